/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/zk_logic.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/zk_state.h"

enum {
	RENEWALS = 3,            /* per lease */
	TELL_FIRST_MS = 2000,    /* without the service */
	TELL_AGAIN_MS = 30000,
};
static const char format_text[] = "sheepfold membership 1\n";

/* What has to exist, in the order of making; the first holds the format. */
static const char *const setup_paths[] = {"", "/live", "/maps", "/parts"};

void zk_fail(struct zk_logic *l, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	if (!l->active)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	l->active = false;
	l->config.callbacks.failed(l->config.callbacks.arg, why);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

static uint64_t tag_make(uint32_t generation, enum zk_kind kind, uint32_t number)
{
	return (uint64_t)(generation & 0xffffff) << 40 | (uint64_t)kind << 32 | number;
}

void zk_ask(struct zk_logic *l, enum zk_kind kind, uint32_t number, enum zk_op op, const void *data, size_t len,
            const char *path_fmt, ...)
{
	char path[ZK_ROOT_LEN + ZK_PATH_LEN];
	size_t root = strlen(l->config.root);
	va_list ap;

	assert(l->connected);
	memcpy(path, l->config.root, root);
	va_start(ap, path_fmt);
	vsnprintf(path + root, sizeof(path) - root, path_fmt, ap);
	va_end(ap);
	struct zk_request request = {
		.op = op,
		.tag = tag_make(l->generation, kind, number),
		.path = path,
		.data = data,
		.len = len,
	};
	if (!l->unanswered++)
		l->heard_ms = l->now_ms;
	l->config.ops.request(l->config.ops.arg, &request);
}

bool zk_unusual(struct zk_logic *l, const struct zk_answer *a, const char *what)
{
	switch (a->result) {
	case ZK_OK:
	case ZK_NO_NODE:
	case ZK_NODE_EXISTS:
		return false;
	case ZK_LOST: /* a disconnect follows, or has been told */
		return true;
	case ZK_DENIED:
		zk_logic_denied(l);
		return true;
	case ZK_BROKEN:
		break;
	}
	zk_fail(l, "ZooKeeper, %s in %s: %s", what, l->config.root, a->text ? a->text : "an error");
	return true;
}

void zk_logic_denied(struct zk_logic *l)
{
	zk_fail(l, "ZooKeeper denies access to %s: its ACL asks for another user; see auth-file= of -c zookeeper:",
	        l->config.root);
}

/* ---- Setting up -------------------------------------------------------------------------------- */

static void prepared(struct zk_logic *l)
{
	l->prepared = true;
	zk_register_fetch(l);
	zk_live_ask(l);
}

/* The first is read first: what it holds must be ours. */
static void setup_ask(struct zk_logic *l)
{
	if (l->setup == ARRAY_LEN(setup_paths)) {
		prepared(l);
		return;
	}
	if (l->setup == 0)
		zk_ask(l, KIND_SETUP, 0, ZK_GET, NULL, 0, "%s", "");
	else
		zk_ask(l, KIND_SETUP, l->setup, ZK_CREATE, NULL, 0, "%s", setup_paths[l->setup]);
}

static void root_read(struct zk_logic *l, const struct zk_answer *a)
{
	if (a->result == ZK_NO_NODE) {
		zk_ask(l, KIND_SETUP, UINT32_MAX, ZK_CREATE, format_text, strlen(format_text), "%s", "");
		return;
	}
	if (a->len != strlen(format_text) || memcmp(a->data, format_text, a->len) != 0) {
		zk_fail(l, "%s in ZooKeeper is not a membership of this version of Sheepfold: choose another name with "
		           "-c zookeeper:HOSTS/NAME",
		        l->config.root);
		return;
	}
	l->setup = 1;
	setup_ask(l);
}

static void setup_answer(struct zk_logic *l, uint32_t number, const struct zk_answer *a)
{
	if (zk_unusual(l, a, "creating the znodes"))
		return;
	if (number == UINT32_MAX) { /* the root was made, by us or another: read it */
		if (a->result == ZK_NO_NODE)
			zk_fail(l, "%s cannot be made in ZooKeeper: what is above it does not exist", l->config.root);
		else
			setup_ask(l);
	} else if (number == 0) {
		root_read(l, a);
	} else if (a->result == ZK_NO_NODE) {
		zk_fail(l, "%s was removed from ZooKeeper", l->config.root);
	} else {
		l->setup = number + 1;
		setup_ask(l);
	}
}

/* ---- The lease --------------------------------------------------------------------------------- */

void zk_lease_try(struct zk_logic *l)
{
	const struct member_callbacks *cb = &l->config.callbacks;

	if (!l->proof || l->reg.state != FETCH_ARMED || !l->live.told)
		return;
	l->proof = false;
	l->leased = l->ever_leased = true;
	cb->lease(cb->arg, l->proof_ms, l->lease_ms);
}

static void renew(struct zk_logic *l)
{
	char path[ZK_PATH_LEN];
	uint8_t *data;
	size_t len;

	if (l->renewing || l->live.announce != ANNOUNCE_DONE ||
	    (l->renew_sent_ms && l->now_ms < l->renew_sent_ms + l->lease_ms / RENEWALS))
		return;
	zk_live_own_path(l, l->live.n, path);
	zk_live_encode(&l->config.self, &data, &len);
	l->renewing = true;
	l->renew_sent_ms = l->now_ms;
	zk_ask(l, KIND_RENEW, l->live.n, ZK_SET, data, len, "%s", path);
	free(data);
}

static void renew_answer(struct zk_logic *l, uint32_t n, const struct zk_answer *a)
{
	l->renewing = false;
	if (zk_unusual(l, a, "renewing this node's announcement") || n != l->live.n)
		return;
	if (a->result == ZK_NO_NODE) {
		if (l->live.announce == ANNOUNCE_DONE) {
			log_warn(l->log, "this node's announcement in %s was gone: made again", l->config.root);
			l->live.announce = ANNOUNCE_NONE;
		}
		return;
	}
	l->proof = true;
	l->proof_ms = l->renew_sent_ms;
	zk_lease_try(l);
}

/* ---- The connection ---------------------------------------------------------------------------- */

void zk_logic_connected(struct zk_logic *l, uint64_t now_ms, bool new_session, uint32_t timeout_ms)
{
	l->now_ms = now_ms;
	if (!l->active)
		return;
	if (l->connected)
		zk_logic_disconnected(l, now_ms);
	if (new_session) {
		zk_live_lost(l, true);
		l->leased = false;
	}
	l->generation++;
	l->connected = true;
	l->unanswered = 0;
	l->timeout_ms = MAX(timeout_ms, 10u);
	l->lease_ms = MIN(l->timeout_ms / 3, (uint32_t)MEMBER_LEASE_MAX_MS);
	l->tell_ms = now_ms + TELL_FIRST_MS;
	if (l->prepared)
		prepared(l);
	else
		setup_ask(l);
	zk_logic_run(l, now_ms);
}

void zk_logic_disconnected(struct zk_logic *l, uint64_t now_ms)
{
	l->now_ms = now_ms;
	if (!l->connected)
		return;
	l->connected = false;
	l->generation++;
	l->renewing = l->proof = false;
	l->renew_sent_ms = 0;
	l->setup = 0;
	l->tell_ms = now_ms + TELL_FIRST_MS;
	zk_register_lost(l);
	zk_live_lost(l, false);
}

void zk_logic_expired(struct zk_logic *l, uint64_t now_ms)
{
	zk_logic_disconnected(l, now_ms);
	if (!l->active)
		return;
	if (l->leased)
		log_warn(l->log, "the ZooKeeper session has expired: this node joins anew");
	l->leased = false;
	zk_live_lost(l, true);
}

void zk_logic_answer(struct zk_logic *l, uint64_t now_ms, const struct zk_answer *a)
{
	enum zk_kind kind = (enum zk_kind)(a->tag >> 32 & 0xff);
	uint32_t number = (uint32_t)a->tag;

	l->now_ms = MAX(l->now_ms, now_ms);
	if (!l->active || !l->connected || a->tag >> 40 != (l->generation & 0xffffff))
		return;
	l->unanswered--;
	l->heard_ms = l->now_ms;
	switch (kind) {
	case KIND_SETUP:
		setup_answer(l, number, a);
		break;
	case KIND_MAP:
	case KIND_PART:
	case KIND_PROPOSE:
	case KIND_PROPOSE_PART:
		zk_register_answer(l, kind, number, a);
		break;
	case KIND_CHILDREN:
	case KIND_MEMBER:
	case KIND_ANNOUNCE:
		zk_live_answer(l, kind, number, a);
		break;
	case KIND_RENEW:
		renew_answer(l, number, a);
		break;
	case KIND_FORGET:
		break;
	}
	zk_logic_run(l, now_ms);
}

void zk_logic_watch(struct zk_logic *l, uint64_t now_ms, const char *path)
{
	size_t root = strlen(l->config.root);

	l->now_ms = MAX(l->now_ms, now_ms);
	if (!l->active || !l->connected || !l->prepared || strncmp(path, l->config.root, root) != 0)
		return;
	if (!strncmp(path + root, "/maps/", 6))
		zk_register_watch(l);
	else if (!strcmp(path + root, "/live"))
		zk_live_watch(l);
	zk_logic_run(l, now_ms);
}

/* Somebody waits: for the start, or to serve again. */
static void tell_waiting(struct zk_logic *l)
{
	if (!l->tell_ms)
		l->tell_ms = l->now_ms + TELL_FIRST_MS;
	if (l->now_ms < l->tell_ms)
		return;
	l->tell_ms = l->now_ms + TELL_AGAIN_MS;
	log_warn(l->log, "waiting for ZooKeeper: none of its servers can be reached, or they have no quorum; this node %s",
	         l->ever_leased ? "serves nothing until then" : "starts as soon as they are there");
}

void zk_logic_run(struct zk_logic *l, uint64_t now_ms)
{
	l->now_ms = MAX(l->now_ms, now_ms);
	if (!l->active)
		return;
	if (!l->connected) {
		tell_waiting(l);
		zk_register_run(l); /* a proposal may be over already */
		return;
	}
	if (l->active && l->prepared)
		zk_register_run(l);
	if (l->active && l->prepared)
		zk_live_run(l);
	if (l->active && l->prepared)
		renew(l);
}

/* ---- The daemon -------------------------------------------------------------------------------- */

struct zk_logic *zk_logic_create(const struct zk_config *config)
{
	struct zk_logic *l = xcalloc(1, sizeof(*l));

	l->config = *config;
	l->log = config->log;
	l->active = true;
	/* Different for each proposal of each process. */
	l->next_nonce = config->self.incarnation;
	return l;
}

void zk_logic_destroy(struct zk_logic *l)
{
	if (!l)
		return;
	zk_register_fini(l);
	zk_live_fini(l);
	free(l);
}

void zk_logic_update(struct zk_logic *l, const struct node_info *self)
{
	l->config.self = *self;
	l->live.renew_name = true;
	l->config.ops.wake(l->config.ops.arg);
}

void zk_logic_leave(struct zk_logic *l)
{
	l->active = false;
}

bool zk_logic_is_connected(const struct zk_logic *l)
{
	return l->connected;
}

bool zk_logic_is_stuck(const struct zk_logic *l, uint64_t now_ms)
{
	if (!l->connected)
		return false;
	if (l->unanswered && now_ms > l->heard_ms + 2 * (uint64_t)l->timeout_ms)
		return true;
	return l->renewing && now_ms > l->renew_sent_ms + l->timeout_ms;
}

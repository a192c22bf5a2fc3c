/* SPDX-License-Identifier: Apache-2.0 */

/* Views, and which message goes where. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "sheep/member/cs_state.h"

enum { SAY_AGAIN_MS = 1000 };

void cs_fail(struct cs_logic *l, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	if (l->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	l->failed = true;
	l->phase = CS_ALONE;
	l->config.callbacks.failed(l->config.callbacks.arg, why);
}

void cs_send(struct cs_logic *l, struct cs_msg *m)
{
	size_t len;
	uint8_t *bytes;

	m->view = l->view;
	bytes = cs_msg_encode(m, &len);
	l->config.ops.send(l->config.ops.arg, bytes, len);
	free(bytes);
}

/* ---- Who is in it ---- */

static int id_compare(struct cs_id a, struct cs_id b)
{
	if (a.node != b.node)
		return a.node < b.node ? -1 : 1;
	return a.pid < b.pid ? -1 : a.pid > b.pid;
}

static int peer_compare(const void *a, const void *b)
{
	return id_compare(((const struct cs_peer *)a)->id, ((const struct cs_peer *)b)->id);
}

struct cs_peer *cs_peer_find(struct cs_logic *l, struct cs_id id)
{
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (!id_compare(l->peers[i].id, id))
			return &l->peers[i];
	return NULL;
}

bool cs_majority(const struct cs_logic *l, bool (*has)(const struct cs_logic *, const struct cs_peer *))
{
	uint32_t count = 0, last = 0;

	for (uint32_t i = 0; i < l->peer_count; i++) {
		const struct cs_peer *p = &l->peers[i];

		if (!has(l, p) || (count && p->id.node == last))
			continue;
		count++;
		last = p->id.node;
	}
	return 2 * count > l->nodes;
}

bool cs_caught_up(const struct cs_logic *l)
{
	return l->committed >= l->decided;
}

bool cs_logic_is_active(const struct cs_logic *l)
{
	return l->phase == CS_ACTIVE;
}

/* ---- Saying what we know ---- */

static void state_say(struct cs_logic *l)
{
	struct cs_msg m = l->frozen;
	uint8_t *info;
	size_t len;

	node_info_encode(&l->config.self, &info, &len);
	m.data = info;
	m.len = (uint32_t)len;
	cs_send(l, &m);
	free(info);
	l->said_ms = l->now;
}

static uint64_t nonce_of(const uint8_t *data, uint32_t len)
{
	uint64_t h = 0x9ae16a3b2f90404full ^ len;

	for (uint32_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 0x100000001b3ull;
	h = hash64(h);
	return h ? h : 1;
}

/* What we have accepted and promised by now. */
static void vote_tell(const struct cs_logic *l, struct cs_msg *m)
{
	m->promised = l->vote.promised;
	m->accepted_ballot = l->vote.ballot;
	m->accepted_seq = l->vote.seq;
	m->accepted_nonce = l->vote.ballot ? nonce_of(l->vote.data, l->vote.len) : 0;
	m->committed = l->committed;
	m->reg = l->reg;
}

void cs_ready_say(struct cs_logic *l)
{
	struct cs_msg m = {.type = CS_READY, .ballot = l->ballot};

	if (l->vote.promised != l->ballot)
		return; /* it promised nothing */
	vote_tell(l, &m);
	cs_send(l, &m);
	l->said_ms = l->now;
}

uint64_t cs_nonce(const uint8_t *data, uint32_t len)
{
	return nonce_of(data, len);
}

/* ---- Views ---- */

static bool is_among(struct cs_id id, const struct cs_id *ids, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!id_compare(id, ids[i]))
			return true;
	return false;
}

static uint64_t view_tag(const struct cs_logic *l, uint64_t ring)
{
	uint64_t h = hash64(ring);

	for (uint32_t i = 0; i < l->peer_count; i++)
		h = hash64(h ^ ((uint64_t)l->peers[i].id.node << 32 | l->peers[i].id.pid));
	return h;
}

/* Announcements stay with their processes: one that is stopped tells nothing new. */
static void peers_take(struct cs_logic *l, const struct cs_view *v)
{
	struct cs_peer *peers = xcalloc(v->count + 1, sizeof(*peers));

	for (uint32_t i = 0; i < v->count; i++) {
		const struct cs_peer *old = cs_peer_find(l, v->members[i]);

		peers[i].id = v->members[i];
		if (!old)
			continue;
		peers[i].has_info = old->has_info;
		peers[i].info = old->info;
	}
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (!is_among(l->peers[i].id, v->members, v->count))
			cs_live_left(l, &l->peers[i],
			             is_among(l->peers[i].id, v->dead, v->dead_count));
	free(l->peers);
	qsort(peers, v->count, sizeof(*peers), peer_compare);
	l->peers = peers;
	l->peer_count = v->count;
}

static void view_begin(struct cs_logic *l)
{
	cs_decide_over(l);
	l->nodes = l->nodes_next;
	l->ballot = 0;
	l->phase = cs_peer_find(l, l->config.id) ? CS_GATHER : CS_ALONE;
	if (l->phase == CS_ALONE)
		return;
	l->frozen = (struct cs_msg){.type = CS_STATE, .ballot = l->active_ballot};
	vote_tell(l, &l->frozen);
	state_say(l);
}

void cs_logic_view(struct cs_logic *l, uint64_t now_ms, const struct cs_view *v)
{
	if (l->failed)
		return;
	l->now = now_ms;
	peers_take(l, v);
	l->view = view_tag(l, v->ring);
	l->nodes_next = v->nodes;
	l->quorate = v->quorate;
	view_begin(l);
}

/* At one place in the order for all: who began anew alone would miss what the others decide. */
static void anew_heard(struct cs_logic *l)
{
	for (uint32_t i = 0; i < l->peer_count; i++) {
		struct cs_peer *p = &l->peers[i];

		*p = (struct cs_peer){.id = p->id, .has_info = p->has_info, .info = p->info};
	}
	l->view = hash64(l->view);
	view_begin(l);
}

void cs_logic_votes(struct cs_logic *l, uint32_t nodes, bool quorate)
{
	struct cs_msg anew = {.type = CS_ANEW};

	l->quorate = quorate;
	l->nodes_next = nodes;
	if (l->phase != CS_ALONE && !l->failed && nodes != l->nodes)
		cs_send(l, &anew);
}

void cs_logic_alone(struct cs_logic *l)
{
	cs_decide_over(l);
	l->phase = CS_ALONE;
	for (uint32_t i = 0; i < l->peer_count; i++)
		cs_live_left(l, &l->peers[i], !id_compare(l->peers[i].id, l->config.id));
	l->peer_count = 0;
}

void cs_logic_set_id(struct cs_logic *l, struct cs_id id)
{
	l->config.id = id;
}

/* ---- Messages ---- */

static void state_heard(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m)
{
	bool again = p->told;

	cs_live_info(l, p, m->data, m->len);
	if (again) { /* it lacks something of ours, perhaps */
		if (l->now >= l->said_ms + SAY_AGAIN_MS && l->phase == CS_ACTIVE) {
			state_say(l);
			cs_ready_say(l);
		}
		return;
	}
	p->told = true;
	p->state = *m;
	p->state.data = NULL;
	cs_decide_gathered(l);
}

void cs_logic_message(struct cs_logic *l, uint64_t now_ms, struct cs_id from, const uint8_t *bytes, size_t len)
{
	static __thread struct cs_echo echoes[CS_ECHO_MAX];
	struct cs_peer *p = cs_peer_find(l, from);
	struct cs_msg m;

	l->now = now_ms;
	if (l->phase == CS_ALONE || l->failed || !p || cs_msg_decode(bytes, len, echoes, &m) < 0 ||
	    m.view != l->view)
		return;
	switch (m.type) {
	case CS_STATE:
		state_heard(l, p, &m);
		break;
	case CS_READY:
		cs_decide_ready(l, p, &m);
		break;
	case CS_PROPOSE:
		cs_decide_proposed(l, &m);
		break;
	case CS_ACK:
		cs_decide_acked(l, p, &m);
		break;
	case CS_BEAT:
		cs_live_beat(l, p, &m);
		break;
	case CS_WANT:
		cs_decide_wanted(l, p, &m);
		break;
	case CS_MAP:
		cs_decide_map(l, &m);
		break;
	case CS_INFO:
		cs_live_info(l, p, m.data, m.len);
		break;
	case CS_ANEW:
		anew_heard(l);
		break;
	default:
		break; /* of a later version */
	}
}

void cs_logic_run(struct cs_logic *l, uint64_t now_ms)
{
	l->now = now_ms;
	if (l->phase == CS_ALONE || l->failed)
		return;
	if (l->phase != CS_ACTIVE && l->now >= l->said_ms + SAY_AGAIN_MS) {
		state_say(l);
		if (l->phase == CS_PROMISED)
			cs_ready_say(l);
	}
	cs_decide_run(l);
	if (!l->failed)
		cs_live_run(l);
}

/* ---- The daemon ---- */

void cs_logic_update(struct cs_logic *l, const struct node_info *self)
{
	struct cs_msg m = {.type = CS_INFO};
	uint8_t *info;
	size_t len;

	l->config.self = *self;
	if (l->phase == CS_ALONE)
		return;
	node_info_encode(self, &info, &len);
	m.data = info;
	m.len = (uint32_t)len;
	cs_send(l, &m);
	free(info);
}

struct cs_logic *cs_logic_create(const struct cs_config *config)
{
	struct cs_logic *l = xcalloc(1, sizeof(*l));

	l->config = *config;
	l->vote = config->vote;
	l->committed = config->committed;
	l->decided = config->committed;
	l->reg = config->reg;
	l->cluster = config->cluster;
	l->epoch = config->epoch;
	return l;
}

void cs_logic_destroy(struct cs_logic *l)
{
	if (!l)
		return;
	free(l->peers);
	free(l->lingers);
	free(l->vote.data);
	free(l->pending.data);
	free(l->own.data);
	free(l);
}

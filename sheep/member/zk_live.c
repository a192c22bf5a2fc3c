/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/zk_state.h"

enum { NODE_VERSION = 1, MAX_MEMBERS = 16384, TAKEN_EXTRA_MS = 2000 };

/* In front of a node_info; little-endian. The checksum is of what follows. */
struct node_head {
	uint8_t magic[4];
	uint32_t version, len, crc;
};
static_assert(sizeof(struct node_head) == 16, "no padding");
static const uint8_t node_magic[4] = {'S', 'F', 'z', 'n'};

void zk_live_fini(struct zk_logic *l)
{
	free(l->live.members);
}

/* What was told stays until the next connection knows better. */
void zk_live_lost(struct zk_logic *l, bool session)
{
	struct zk_live *v = &l->live;

	v->asked = v->armed = false;
	v->taken_since_ms = 0;
	for (uint32_t i = 0; i < v->count; i++)
		v->members[i].asked = false;
	if (v->announce == ANNOUNCE_SENT)
		v->announce = ANNOUNCE_NONE;
	if (session) {
		v->announce = ANNOUNCE_NONE;
		v->told = false;
		v->old_n = 0;
	}
}

/* ---- Announcements ----------------------------------------------------------------------------- */

void zk_live_own_path(const struct zk_logic *l, uint32_t n, char path[ZK_PATH_LEN])
{
	snprintf(path, ZK_PATH_LEN, "/live/%016llx.%016llx.%08x", (unsigned long long)l->config.self.id,
	         (unsigned long long)l->config.self.incarnation, n);
}

static bool name_parse(const char *name, struct zk_member *ret)
{
	unsigned long long id, incarnation;
	unsigned n;
	int end = 0;

	if (sscanf(name, "%16llx.%16llx.%8x%n", &id, &incarnation, &n, &end) != 3 || name[end] != '\0')
		return false;
	*ret = (struct zk_member){.id = id, .incarnation = incarnation, .n = n, .seen = true};
	return true;
}

void zk_live_encode(const struct node_info *info, uint8_t **ret, size_t *ret_len)
{
	struct node_head h = {.version = htole32(NODE_VERSION)};
	uint8_t *body;
	size_t len;

	node_info_encode(info, &body, &len);
	memcpy(h.magic, node_magic, sizeof(node_magic));
	h.len = htole32((uint32_t)len);
	h.crc = htole32(crc32c(0, body, len));
	*ret_len = sizeof(h) + len;
	*ret = xmalloc(*ret_len);
	memcpy(*ret, &h, sizeof(h));
	memcpy(*ret + sizeof(h), body, len);
	free(body);
}

static int node_decode(const uint8_t *data, size_t len, struct node_info *ret)
{
	struct node_head h;

	if (len < sizeof(h))
		return -SF_ECORRUPT;
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, node_magic, sizeof(node_magic)) != 0 || le32toh(h.version) != NODE_VERSION)
		return -SF_EFORMAT;
	if (le32toh(h.len) != len - sizeof(h) || le32toh(h.crc) != crc32c(0, data + sizeof(h), len - sizeof(h)))
		return -SF_ECORRUPT;
	return node_info_decode(data + sizeof(h), len - sizeof(h), ret);
}

/* A name of its own for each announcement: what a name holds never changes, so that a list of names is all
 * that has to be watched. */
static void announce(struct zk_logic *l)
{
	struct zk_live *v = &l->live;
	char path[ZK_PATH_LEN];
	uint8_t *data;
	size_t len;

	if (v->announce == ANNOUNCE_DONE)
		v->old_n = v->n;
	v->n++;
	v->renew_name = false;
	v->announce = ANNOUNCE_SENT;
	zk_live_own_path(l, v->n, path);
	zk_live_encode(&l->config.self, &data, &len);
	zk_ask(l, KIND_ANNOUNCE, v->n, ZK_CREATE_EPHEMERAL, data, len, "%s", path);
	free(data);
}

static void announce_answer(struct zk_logic *l, uint32_t n, const struct zk_answer *a)
{
	struct zk_live *v = &l->live;
	char path[ZK_PATH_LEN];

	if (zk_unusual(l, a, "announcing this node") || n != v->n || v->announce != ANNOUNCE_SENT)
		return;
	if (a->result == ZK_NO_NODE) {
		zk_fail(l, "%s/live was removed from ZooKeeper", l->config.root);
		return;
	}
	if (a->result == ZK_NODE_EXISTS) { /* of a session before: another name */
		v->announce = ANNOUNCE_NONE;
		return;
	}
	v->announce = ANNOUNCE_DONE;
	if (v->old_n) {
		zk_live_own_path(l, v->old_n, path);
		zk_ask(l, KIND_FORGET, 0, ZK_DELETE, NULL, 0, "%s", path);
		v->old_n = 0;
	}
}

/* ---- The list ---------------------------------------------------------------------------------- */

void zk_live_ask(struct zk_logic *l)
{
	l->live.asked = true;
	zk_ask(l, KIND_CHILDREN, 0, ZK_CHILDREN_WATCH, NULL, 0, "/live");
}

void zk_live_watch(struct zk_logic *l)
{
	l->live.armed = false;
	if (!l->live.asked)
		zk_live_ask(l);
}

static int member_compare(const void *a, const void *b)
{
	const struct zk_member *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->incarnation != y->incarnation)
		return x->incarnation < y->incarnation ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static struct zk_member *member_find(struct zk_live *v, const struct zk_member *like)
{
	return v->count ? bsearch(like, v->members, v->count, sizeof(*like), member_compare) : NULL;
}

static void member_remove(struct zk_live *v, uint32_t i)
{
	v->count--;
	memmove(&v->members[i], &v->members[i + 1], (v->count - i) * sizeof(v->members[0]));
	v->changed = true;
}

static void member_add(struct zk_live *v, const struct zk_member *fresh)
{
	if (v->count == MAX_MEMBERS)
		return;
	if (v->count == v->capacity) {
		v->capacity = MAX(2 * v->capacity, 16u);
		v->members = xrealloc(v->members, v->capacity * sizeof(v->members[0]));
	}
	v->members[v->count] = *fresh;
	v->members[v->count++].number = ++v->next_number;
	qsort(v->members, v->count, sizeof(v->members[0]), member_compare);
	v->changed = true;
}

static void children_answer(struct zk_logic *l, const struct zk_answer *a)
{
	struct zk_live *v = &l->live;
	struct zk_member fresh, *m;

	v->asked = false;
	if (zk_unusual(l, a, "reading the live set"))
		return;
	if (a->result != ZK_OK) {
		zk_fail(l, "%s/live was removed from ZooKeeper", l->config.root);
		return;
	}
	v->armed = true;
	for (uint32_t i = 0; i < v->count; i++)
		v->members[i].seen = false;
	for (uint32_t i = 0; i < a->name_count; i++) {
		if (!name_parse(a->names[i], &fresh))
			continue;
		m = member_find(v, &fresh);
		if (m)
			m->seen = true;
		else
			member_add(v, &fresh);
	}
	for (uint32_t i = v->count; i-- > 0;)
		if (!v->members[i].seen)
			member_remove(v, i);
}

static void member_ask(struct zk_logic *l, struct zk_member *m)
{
	m->asked = true;
	zk_ask(l, KIND_MEMBER, m->number, ZK_GET, NULL, 0, "/live/%016llx.%016llx.%08x", (unsigned long long)m->id,
	       (unsigned long long)m->incarnation, m->n);
}

static void member_answer(struct zk_logic *l, uint32_t number, const struct zk_answer *a)
{
	struct zk_live *v = &l->live;
	uint32_t i = 0;
	int err;

	if (zk_unusual(l, a, "reading the live set"))
		return;
	while (i < v->count && v->members[i].number != number)
		i++;
	if (i == v->count)
		return;
	struct zk_member *m = &v->members[i];

	err = a->result == ZK_OK ? node_decode(a->data, a->len, &m->info) : -SF_EAGAIN;
	if (!err && (m->info.id != m->id || m->info.incarnation != m->incarnation))
		err = -SF_ECORRUPT;
	if (err && a->result == ZK_OK)
		log_warn(l->log, "%s/live/%016llx in ZooKeeper is no announcement of a node: %s", l->config.root,
		         (unsigned long long)m->id, sf_strerror(err));
	if (err)
		member_remove(v, i);
	else
		m->known = true;
}

void zk_live_answer(struct zk_logic *l, enum zk_kind kind, uint32_t number, const struct zk_answer *a)
{
	if (kind == KIND_CHILDREN)
		children_answer(l, a);
	else if (kind == KIND_MEMBER)
		member_answer(l, number, a);
	else
		announce_answer(l, number, a);
}

/* ---- Another process of this node -------------------------------------------------------------- */

static bool same_place(const struct node_info *a, const struct node_info *b)
{
	return a->port == b->port && !strcmp(a->addr, b->addr);
}

/* Where we listen nobody else can: a process that announced the same address is dead, and its session need not be waited
 * for. Another one has until its session must be over. True: there is another. */
static bool id_taken(struct zk_logic *l)
{
	const struct node_info *self = &l->config.self;
	struct zk_live *v = &l->live;
	bool taken = false;

	for (uint32_t i = 0; i < v->count; i++) {
		struct zk_member *m = &v->members[i];

		if (m->id != self->id || m->incarnation == self->incarnation)
			continue;
		taken = true;
		if (m->known && !m->ended && same_place(&m->info, self)) {
			m->ended = true;
			zk_ask(l, KIND_FORGET, 0, ZK_DELETE, NULL, 0, "/live/%016llx.%016llx.%08x",
			       (unsigned long long)m->id, (unsigned long long)m->incarnation, m->n);
		}
	}
	if (!taken)
		v->taken_since_ms = 0;
	else if (!v->taken_since_ms)
		v->taken_since_ms = l->now_ms;
	return taken;
}

static void taken_wait(struct zk_logic *l)
{
	struct zk_live *v = &l->live;

	if (l->now_ms > v->taken_since_ms + 2 * (uint64_t)l->timeout_ms + TAKEN_EXTRA_MS)
		zk_fail(l, "a daemon with this node's id is running already (is META_DIR a copy?)");
}

/* ---- Telling ----------------------------------------------------------------------------------- */

static bool live_complete(struct zk_logic *l)
{
	struct zk_live *v = &l->live;
	bool complete = v->armed && !v->asked;

	for (uint32_t i = 0; i < v->count; i++) {
		if (v->members[i].known)
			continue;
		complete = false;
		if (!v->members[i].asked)
			member_ask(l, &v->members[i]);
	}
	return complete;
}

static bool has_own(const struct zk_live *v, const struct node_info *self)
{
	for (uint32_t i = 0; i < v->count; i++)
		if (v->members[i].id == self->id && v->members[i].incarnation == self->incarnation &&
		    v->members[i].n == v->n)
			return true;
	return false;
}

/* Of a node's announcements the newest; of its processes our own, or one of them: the other is about to end. */
static void live_tell(struct zk_logic *l)
{
	const struct member_callbacks *cb = &l->config.callbacks;
	struct zk_live *v = &l->live;
	struct node_info *nodes = xcalloc(v->count + 1, sizeof(*nodes));
	uint32_t count = 0;

	for (uint32_t i = 0; i < v->count; i++) {
		const struct zk_member *m = &v->members[i];

		if (m->id == l->config.self.id && m->incarnation != l->config.self.incarnation)
			continue;
		if (count > 0 && nodes[count - 1].id == m->id)
			count--;
		nodes[count++] = m->info;
	}
	v->changed = false;
	v->told = true;
	cb->live(cb->arg, nodes, count);
	free(nodes);
	if (l->active)
		zk_lease_try(l);
}

void zk_live_run(struct zk_logic *l)
{
	struct zk_live *v = &l->live;
	bool taken;

	if (!live_complete(l))
		return;
	taken = id_taken(l);
	if (taken && !v->told) { /* no lease in this session yet */
		taken_wait(l);
		if (!l->active || v->announce == ANNOUNCE_NONE)
			return;
	}
	if (v->announce == ANNOUNCE_NONE || (v->announce == ANNOUNCE_DONE && v->renew_name)) {
		announce(l);
		return;
	}
	/* The first set that is told in a session has this node in it, and no other process of it. */
	if (v->announce == ANNOUNCE_DONE && (!taken || v->told) && has_own(v, &l->config.self) &&
	    (v->changed || !v->told))
		live_tell(l);
}

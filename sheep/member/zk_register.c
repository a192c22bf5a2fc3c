/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/msg.h"
#include "sheep/member/zk_state.h"

enum { MAP_VERSION = 1, MAX_PARTS = 4096 };

/* What map.SEQ holds; little-endian. The map's bytes follow, or are in `parts` znodes part.NONCE.I. */
struct map_head {
	uint8_t magic[4];
	uint32_t version;
	uint32_t seq;
	uint32_t len;
	uint64_t nonce; /* of the proposal that won */
	uint32_t parts;
	uint32_t crc; /* of all before it, and the bytes */
};
static_assert(sizeof(struct map_head) == 32, "no padding");
static const uint8_t map_magic[4] = {'S', 'F', 'z', 'm'};

static uint32_t head_crc(const struct map_head *h)
{
	return crc32c(0, h, offsetof(struct map_head, crc));
}

static void body_reset(struct zk_register *r)
{
	free(r->body);
	r->body = NULL;
	r->parts = r->parts_got = r->len = r->want = 0;
}

static void held_drop(struct zk_register *r)
{
	for (uint32_t i = 0; i < r->held_count; i++)
		map_unref(r->held[i]);
	r->held_count = 0;
}

static void proposal_fini(struct zk_proposal *p)
{
	free(p->znode);
	free(p->body);
	*p = (struct zk_proposal){0};
}

void zk_register_fini(struct zk_logic *l)
{
	body_reset(&l->reg);
	held_drop(&l->reg);
	free(l->reg.held);
	proposal_fini(&l->proposal);
}

void zk_register_lost(struct zk_logic *l)
{
	struct zk_proposal *p = &l->proposal;

	body_reset(&l->reg);
	l->reg.state = FETCH_NONE;
	if (p->state != PROPOSE_NONE && p->state != PROPOSE_OVER)
		p->state = PROPOSE_WAITING;
}

static void register_broken(struct zk_logic *l, int err)
{
	zk_fail(l, "the map register %s/maps in ZooKeeper cannot be read: map %u: %s", l->config.root, l->reg.seq + 1,
	        sf_strerror(err));
}

/* ---- Reading ----------------------------------------------------------------------------------- */

void zk_register_fetch(struct zk_logic *l)
{
	l->reg.state = FETCH_GET;
	zk_ask(l, KIND_MAP, 0, ZK_GET, NULL, 0, "/maps/map.%08x", l->reg.seq + 1);
}

static void maps_tell(struct zk_logic *l)
{
	const struct member_callbacks *cb = &l->config.callbacks;
	struct zk_register *r = &l->reg;

	for (uint32_t i = 0; i < r->held_count; i++) {
		if (l->active)
			cb->map(cb->arg, r->held[i]);
		map_unref(r->held[i]);
	}
	r->held_count = 0;
}

static void parts_delete(struct zk_logic *l, const struct zk_proposal *p)
{
	for (uint32_t i = 0; l->connected && i < p->parts; i++)
		zk_ask(l, KIND_FORGET, 0, ZK_DELETE, NULL, 0, "/parts/part.%016llx.%04x",
		       (unsigned long long)p->nonce, i);
}

static void proposal_over(struct zk_logic *l, int result)
{
	struct zk_proposal *p = &l->proposal;

	if (result)
		parts_delete(l, p);
	p->state = PROPOSE_OVER;
	p->result = result;
}

/* The map after the last one. What precedes the last format is history and told to nobody. */
static void map_accept(struct zk_logic *l, struct map *map, uint64_t nonce)
{
	struct zk_register *r = &l->reg;
	struct zk_proposal *p = &l->proposal;

	if (map->epoch != 1 && (map->cluster != r->cluster || map->epoch != r->epoch + 1)) {
		map_unref(map);
		register_broken(l, -SF_ECORRUPT);
		return;
	}
	r->seq++;
	r->cluster = map->cluster;
	r->epoch = map->epoch;
	if (!r->complete && map->epoch == 1)
		held_drop(r);
	if (r->held_count == r->held_capacity) {
		r->held_capacity = MAX(2 * r->held_capacity, 16u);
		r->held = xrealloc(r->held, r->held_capacity * sizeof(*r->held));
	}
	r->held[r->held_count++] = map;
	if (p->state != PROPOSE_NONE && p->state != PROPOSE_OVER && p->seq == r->seq)
		proposal_over(l, nonce == p->nonce ? 0 : -SF_EAGAIN);
	if (r->complete)
		maps_tell(l);
	if (l->active)
		zk_register_fetch(l);
}

static void body_complete(struct zk_logic *l)
{
	struct zk_register *r = &l->reg;
	uint64_t nonce = r->nonce;
	struct map *map;
	int err = r->len != r->want || crc32c(r->crc, r->body, r->len) != r->stored_crc ? -SF_ECORRUPT : 0;

	if (!err)
		err = map_decode(r->body, r->len, &map);
	body_reset(r);
	if (err)
		register_broken(l, err);
	else
		map_accept(l, map, nonce);
}

static void part_ask(struct zk_logic *l)
{
	zk_ask(l, KIND_PART, l->reg.parts_got, ZK_GET, NULL, 0, "/parts/part.%016llx.%04x",
	       (unsigned long long)l->reg.nonce, l->reg.parts_got);
}

static int map_take(struct zk_logic *l, const uint8_t *data, size_t len)
{
	struct zk_register *r = &l->reg;
	struct map_head h;

	if (len < sizeof(h))
		return -SF_ECORRUPT;
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, map_magic, sizeof(map_magic)) != 0 || le32toh(h.version) != MAP_VERSION)
		return -SF_EFORMAT;
	if (le32toh(h.seq) != r->seq + 1 || le32toh(h.len) > MSG_MAX_BLOB || le32toh(h.parts) > MAX_PARTS ||
	    len - sizeof(h) != (h.parts ? 0 : le32toh(h.len)))
		return -SF_ECORRUPT;
	body_reset(r);
	r->nonce = le64toh(h.nonce);
	r->parts = le32toh(h.parts);
	r->body = xmalloc(le32toh(h.len) + 1);
	r->crc = head_crc(&h);
	r->stored_crc = le32toh(h.crc);
	if (r->parts) {
		r->state = FETCH_PARTS;
		r->want = le32toh(h.len);
		part_ask(l);
		return 0;
	}
	r->want = r->len = le32toh(h.len);
	memcpy(r->body, data + sizeof(h), r->len);
	body_complete(l);
	return 0;
}

static void part_take(struct zk_logic *l, const struct zk_answer *a)
{
	struct zk_register *r = &l->reg;

	if (a->result != ZK_OK || a->len > r->want - r->len) {
		register_broken(l, -SF_ECORRUPT);
		return;
	}
	memcpy(r->body + r->len, a->data, a->len);
	r->len += (uint32_t)a->len;
	if (++r->parts_got < r->parts)
		part_ask(l);
	else
		body_complete(l);
}

static void armed(struct zk_logic *l)
{
	l->reg.state = FETCH_ARMED;
	if (!l->reg.complete) {
		l->reg.complete = true;
		maps_tell(l);
	}
	if (l->active)
		zk_lease_try(l);
}

static void map_answer(struct zk_logic *l, const struct zk_answer *a)
{
	struct zk_register *r = &l->reg;
	int err;

	if (zk_unusual(l, a, "reading the map"))
		return;
	if (r->state == FETCH_EXISTS) {
		if (a->result == ZK_OK || r->fired)
			zk_register_fetch(l);
		else
			armed(l);
	} else if (a->result == ZK_NO_NODE) {
		/* No watch is left by a read of what is missing. */
		r->state = FETCH_EXISTS;
		r->fired = false;
		zk_ask(l, KIND_MAP, 0, ZK_EXISTS_WATCH, NULL, 0, "/maps/map.%08x", r->seq + 1);
	} else {
		err = map_take(l, a->data, a->len);
		if (err)
			register_broken(l, err);
	}
}

void zk_register_watch(struct zk_logic *l)
{
	if (l->reg.state == FETCH_ARMED)
		zk_register_fetch(l);
	else
		l->reg.fired = true;
}

/* ---- Proposing --------------------------------------------------------------------------------- */

static void proposal_part(struct zk_logic *l)
{
	struct zk_proposal *p = &l->proposal;
	size_t at = (size_t)p->parts_done * l->config.part_bytes;

	zk_ask(l, KIND_PROPOSE_PART, p->parts_done, ZK_CREATE, p->body + at,
	       MIN(p->body_len - at, (size_t)l->config.part_bytes), "/parts/part.%016llx.%04x",
	       (unsigned long long)p->nonce, p->parts_done);
}

static void proposal_send(struct zk_logic *l)
{
	struct zk_proposal *p = &l->proposal;

	if (p->parts_done < p->parts) {
		p->state = PROPOSE_PARTS;
		proposal_part(l);
		return;
	}
	p->state = PROPOSE_CREATE;
	p->sent = true;
	zk_ask(l, KIND_PROPOSE, 0, ZK_CREATE, p->znode, p->znode_len, "/maps/map.%08x", p->seq);
}

static void proposal_answer(struct zk_logic *l, enum zk_kind kind, const struct zk_answer *a)
{
	struct zk_proposal *p = &l->proposal;

	if (zk_unusual(l, a, "proposing a map"))
		return;
	if (a->result == ZK_NO_NODE) {
		zk_fail(l, "%s/maps was removed from ZooKeeper", l->config.root);
	} else if (kind == KIND_PROPOSE_PART && p->state == PROPOSE_PARTS) {
		p->parts_done++;
		proposal_send(l);
	} else if (kind == KIND_PROPOSE && p->state == PROPOSE_CREATE) {
		/* Whoever made it: the znode says. */
		p->state = PROPOSE_READ;
		zk_register_watch(l);
	}
}

void zk_register_answer(struct zk_logic *l, enum zk_kind kind, uint32_t number, const struct zk_answer *a)
{
	(void)number;
	if (kind == KIND_MAP)
		map_answer(l, a);
	else if (kind != KIND_PART)
		proposal_answer(l, kind, a);
	else if (l->reg.state == FETCH_PARTS && !zk_unusual(l, a, "reading a part of the map"))
		part_take(l, a);
}

static void znode_make(struct zk_logic *l)
{
	struct zk_proposal *p = &l->proposal;
	struct map_head h = {
		.version = htole32(MAP_VERSION),
		.seq = htole32(p->seq),
		.len = htole32((uint32_t)p->body_len),
		.nonce = htole64(p->nonce),
		.parts = htole32(p->parts),
	};
	size_t inside = p->parts ? 0 : p->body_len;

	memcpy(h.magic, map_magic, sizeof(map_magic));
	h.crc = htole32(crc32c(head_crc(&h), p->body, p->body_len));
	p->znode_len = sizeof(h) + inside;
	p->znode = xmalloc(p->znode_len);
	memcpy(p->znode, &h, sizeof(h));
	memcpy(p->znode + sizeof(h), p->body, inside);
}

void zk_logic_propose(struct zk_logic *l, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map)
{
	struct zk_register *r = &l->reg;
	struct zk_proposal *p = &l->proposal;

	if (!l->active)
		return; /* it left, or failed: nothing of it may win any more */
	l->config.ops.wake(l->config.ops.arg);
	/* Who waited in vain may have asked again. What was sent may win still: the new one is not even tried. */
	if (p->sent) {
		p->refused = true;
		return;
	}
	proposal_fini(p);
	if (!r->complete || r->cluster != expected_cluster || r->epoch != expected_epoch) {
		proposal_over(l, -SF_EAGAIN);
		return;
	}
	assert(map->epoch == 1 || (map->cluster == r->cluster && map->epoch == r->epoch + 1));
	map_encode(map, &p->body, &p->body_len);
	if (p->body_len > MSG_MAX_BLOB) {
		proposal_over(l, -EFBIG);
		return;
	}
	p->seq = r->seq + 1;
	p->nonce = l->next_nonce++;
	if (p->body_len > l->config.part_bytes)
		p->parts = (uint32_t)((p->body_len + l->config.part_bytes - 1) / l->config.part_bytes);
	znode_make(l);
	p->state = PROPOSE_WAITING;
}

void zk_register_run(struct zk_logic *l)
{
	const struct member_callbacks *cb = &l->config.callbacks;
	struct zk_proposal *p = &l->proposal;

	if (p->refused) {
		p->refused = false;
		cb->proposed(cb->arg, -SF_EAGAIN);
	}
	if (l->active && p->state == PROPOSE_OVER) {
		int result = p->result;

		proposal_fini(p);
		cb->proposed(cb->arg, result);
	}
	if (l->active && p->state == PROPOSE_WAITING && l->connected && l->reg.state == FETCH_ARMED)
		proposal_send(l);
}

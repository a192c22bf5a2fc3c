/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A node that is told anything that the wire can carry, by clients and by other nodes, while its
 * cluster changes. It may refuse and it may wait; it must not fail, must not leak, and what it says
 * must fit on the wire. Whether what it does is right is the simulator's business.
 *
 * An input is a sequence of items: a tag, and what belongs to it.
 */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/header.h"
#include "sheep/core/disk_job.h"
#include "tests/fuzz/node_rig.h"

enum { ITEMS_MAX = 160, LIST_MAX = 8, PAYLOAD_CAP = 64 << 10 };

enum item {
	ITEM_REQUEST, /* a message made of fields, from another node */
	ITEM_CLIENT,  /* likewise, from a client */
	ITEM_ANSWER,  /* an honest answer, changed in places, to something the node asked */
	ITEM_HONEST,  /* some honest answers */
	ITEM_JOBS,    /* the node's own disks and computations */
	ITEM_SETTLE,  /* all of that until nothing is left */
	ITEM_TICK,
	ITEM_RAW,      /* a message out of the bytes of a header */
	ITEM_LOST,     /* a connection */
	ITEM_MAP,      /* a change of the map */
	ITEM_PROPOSED, /* the register's answer */
	ITEM_LEASE,
	ITEM_DISK_LOST,
	ITEM_LIVE, /* who is in the live set */
	ITEMS,
};

static const enum msg_type types[] = {
#define X(name, number) name,
	MSG_TYPES(X)
#undef X
};

static uint64_t node_of(struct fuzz_in *in)
{
	return 2 + fuzz_u8(in) % 3; /* the last one is nobody */
}

static uint64_t disk_of(struct fuzz_in *in)
{
	uint8_t v = fuzz_u8(in);

	return v < 250 ? (1 + v % RIG_NODES) * 10ull + v / RIG_NODES % RIG_DISKS : v;
}

/* Mostly of a recent epoch and small. */
static uint64_t version_of(const struct node_rig *r, struct fuzz_in *in)
{
	uint8_t kind = fuzz_u8(in);

	if (kind == 0)
		return 0;
	if (kind > 250)
		return fuzz_le(in, 8);
	return version_make(r->map->epoch + 1 - MIN(kind % 4u, r->map->epoch), fuzz_num(in));
}

static uint64_t oid_of(struct fuzz_in *in)
{
	uint8_t v = fuzz_u8(in);

	return v < 240 ? v % 12 : fuzz_le(in, 8);
}

static void payload_give(struct node_rig *r, struct msg *m, uint32_t len)
{
	struct slice s;

	payload_fini(&m->payload);
	if (len == 0)
		return;
	s = (struct slice){buf_get(r->pool, len), 0, len};
	memset(s.buf->data, 0x5a, len);
	payload_add(&m->payload, &s);
}

static void ranges_take(struct node_rig *r, struct fuzz_in *in, struct msg *m)
{
	uint64_t data = 0;

	m->range_count = fuzz_u8(in) % (MAX_RANGES + 1);
	for (uint32_t i = 0; i < m->range_count; i++) {
		struct shard_range *range = &m->ranges[i];
		range->op = fuzz_u8(in) % 3;
		range->length = (uint32_t)fuzz_num(in);
		range->offset = (uint32_t)fuzz_num(in);
		if (range->op != RANGE_ZERO) {
			range->length %= PAYLOAD_CAP;
			data += range->length;
		}
		range->length = MIN(range->length, UINT32_MAX - range->offset);
	}
	data = 0;
	for (uint32_t i = 0; i < m->range_count; i++)
		data += m->ranges[i].op == RANGE_ZERO ? 0 : m->ranges[i].length;
	payload_give(r, m, (uint32_t)data);
}

/* A few entries of any kind, or (bit 7) very many that follow each other. */
static uint32_t count_take(struct fuzz_in *in, bool *ret_many)
{
	uint8_t v = fuzz_u8(in);

	*ret_many = v & 0x80;
	return *ret_many ? (v & 0x7f) * (MSG_MAX_ENTRIES / 0x7f) : v % (LIST_MAX + 1);
}

static void entries_take(struct node_rig *r, struct fuzz_in *in, struct msg *m)
{
	bool many;

	free(m->entries);
	m->entry_count = count_take(in, &many);
	m->entries = xcalloc(m->entry_count + 1, sizeof(*m->entries));
	for (uint32_t i = 0; i < m->entry_count; i++) {
		struct shard_entry *e = &m->entries[i];
		if (many && i > 0) {
			*e = e[-1];
			e->oid++;
			continue;
		}
		e->oid = oid_of(in);
		e->shard = (uint32_t)fuzz_num(in);
		e->flags = fuzz_u8(in);
		e->version = version_of(r, in);
		e->pending = version_of(r, in);
		e->size = fuzz_num(in);
		e->stood = fuzz_u8(in);
		e->pending_stood = e->stood ^ (e->flags >> 4);
	}
}

static void log_take(struct node_rig *r, struct fuzz_in *in, struct msg *m)
{
	bool many;

	free(m->log);
	m->log_count = count_take(in, &many);
	m->log = xcalloc(m->log_count + 1, sizeof(*m->log));
	for (uint32_t i = 0; i < m->log_count; i++) {
		struct log_entry *e = &m->log[i];
		if (many && i > 0) {
			*e = e[-1];
			e->version++;
			e->oid++;
			e->req.seq++;
			continue;
		}
		e->version = version_of(r, in);
		e->oid = oid_of(in);
		e->req.client = fuzz_num(in);
		e->req.seq = fuzz_num(in);
	}
}

static void info_take(struct node_rig *r, struct fuzz_in *in, struct pg_info *info)
{
	info->activated = (uint32_t)fuzz_num(in);
	info->clean = (uint32_t)fuzz_num(in);
	info->complete = (uint32_t)fuzz_num(in);
	info->clean_commit = version_of(r, in);
	info->floor = version_of(r, in);
	info->objects = fuzz_num(in);
	info->suspect = fuzz_u8(in) & 1;
	info->scrubbed = fuzz_num(in);
}

static void blob_take(struct fuzz_in *in, struct msg *m)
{
	const uint8_t *raw;

	free(m->blob);
	m->blob_len = fuzz_bytes(in, 4096, &raw);
	m->blob = xmemdup(raw, m->blob_len);
}

/* Changes the fields of a message that a mask names. */
static void fields_take(struct node_rig *r, struct fuzz_in *in, struct msg *m)
{
	uint32_t mask = (uint32_t)fuzz_le(in, 2);

	if (mask & 1 << 0)
		m->epoch = r->map->epoch + 2 - fuzz_u8(in) % 8;
	if (mask & 1 << 1)
		m->flags = fuzz_u8(in);
	if (mask & 1 << 2)
		m->pool = (uint32_t)fuzz_num(in);
	if (mask & 1 << 3)
		m->pg = (uint32_t)fuzz_num(in);
	if (mask & 1 << 4)
		m->oid = oid_of(in);
	if (mask & 1 << 5)
		m->shard = (uint32_t)fuzz_num(in);
	if (mask & 1 << 6)
		m->version = version_of(r, in);
	if (mask & 1 << 7)
		m->base = version_of(r, in);
	if (mask & 1 << 8)
		m->commit = m->info.commit = version_of(r, in);
	if (mask & 1 << 9) {
		m->offset = fuzz_num(in);
		m->length = MIN(fuzz_le(in, 3), UINT64_MAX - m->offset);
	}
	if (mask & 1 << 10)
		m->shard_flags = fuzz_u8(in);
	if (mask & 1 << 11)
		ranges_take(r, in, m);
	if (mask & 1 << 12)
		entries_take(r, in, m);
	if (mask & 1 << 13)
		log_take(r, in, m);
	if (mask & 1 << 14) {
		m->result = fuzz_u8(in);
		info_take(r, in, &m->info);
	}
	if (mask & 1 << 15) {
		if (fuzz_u8(in) % 2)
			blob_take(in, m);
		else
			payload_give(r, m, (uint32_t)fuzz_num(in) % PAYLOAD_CAP);
	}
}

static struct msg *request_make(struct node_rig *r, struct fuzz_in *in)
{
	struct msg *m = msg_create(types[fuzz_u8(in) % ARRAY_LEN(types)]);

	m->epoch = r->map->epoch;
	m->id = fuzz_u8(in);
	m->pool = 1 + fuzz_u8(in) % 2;
	m->disk = disk_of(in);
	m->req = (struct req_id){1 + m->id % 4, fuzz_u8(in)};
	fields_take(r, in, m);
	return m;
}

static struct msg *raw_make(struct node_rig *r, struct fuzz_in *in)
{
	uint32_t payload = (uint32_t)fuzz_num(in) % PAYLOAD_CAP, len;
	struct msg *m = msg_create(MSG_PING);
	const uint8_t *raw;

	len = fuzz_bytes(in, 4096, &raw);
	if (header_unpack(raw, len, payload, m) == 0)
		payload_give(r, m, payload);
	return m;
}

/* Only what a frame can hold reaches a node. */
static void hand_over(struct node_rig *r, enum event_type type, uint64_t from, struct msg *m)
{
	struct event ev = {.type = type, .from = from, .msg = m};

	if (header_valid(m, payload_len(&m->payload)) && !(type == EV_CLIENT_MSG && m->reply))
		node_rig_event(r, &ev);
	else
		msg_destroy(m);
}

static void answer_item(struct node_rig *r, struct fuzz_in *in)
{
	struct rig_asked a = node_rig_take_asked(r, fuzz_u8(in));
	struct msg *reply;

	if (!a.msg)
		return;
	reply = node_rig_answer_of(r, a);
	if (!reply)
		return;
	fields_take(r, in, reply);
	hand_over(r, EV_PEER_MSG, a.node, reply);
}

static void honest_item(struct node_rig *r, struct fuzz_in *in)
{
	for (uint32_t n = 1 + fuzz_u8(in) % 8; n > 0; n--) {
		struct rig_asked a = node_rig_take_asked(r, 0);
		struct msg *reply = a.msg ? node_rig_answer_of(r, a) : NULL;

		if (reply)
			hand_over(r, EV_PEER_MSG, a.node, reply);
	}
}

static void map_item(struct node_rig *r, struct fuzz_in *in)
{
	uint8_t type = fuzz_u8(in); /* the later events in the upper half: inputs keep their meaning */
	struct map_event ev = {.now_s = 9};
	uint32_t which = fuzz_u8(in) % RIG_NODES;
	struct node_info info = r->info[which];

	ev.type = type % ((type < 128 ? MAP_EV_SCRUB : MAP_EV_FORGET) + 1);
	ev.info = &info;
	ev.node = info.id;
	ev.disk = disk_of(in);
	info.cluster = RIG_CLUSTER;
	info.incarnation += which ? fuzz_u8(in) % 4 : 0; /* ours is what it is */
	ev.set_flags = fuzz_u8(in) & MAP_RECOVERY_DISABLED;
	ev.clear_flags = MAP_RECOVERY_DISABLED & ~ev.set_flags;
	ev.weight = fuzz_u8(in);
	ev.grace_ms = fuzz_u8(in);
	ev.disks = &ev.disk;
	ev.disk_count = 1;
	ev.min_live_extra = fuzz_u8(in) % 4;
	ev.scrub_interval_s = fuzz_u8(in);
	ev.scrub_now = ev.on = ev.grace_ms & 1;
	ev.failed = ev.grace_ms & 2;
	ev.weights = &ev.weight;
	if (ev.type != MAP_EV_POOL)
		node_rig_change_map(r, &ev);
}

static void lost_item(struct node_rig *r, struct fuzz_in *in)
{
	struct event ev = {.type = fuzz_u8(in) % 2 ? EV_PEER_LOST : EV_CLIENT_LOST};

	ev.from = ev.type == EV_PEER_LOST ? node_of(in) : fuzz_u8(in) % 4;
	node_rig_event(r, &ev);
}

static void state_item(struct node_rig *r, struct fuzz_in *in, enum item item)
{
	struct event lease = {.type = EV_LEASE, .lease_until_ms = r->now_ms + fuzz_num(in)};
	struct event disk = {.type = EV_DISK_LOST, .from = 10 + fuzz_u8(in) % RIG_DISKS};
	struct event live = {.type = EV_LIVE, .live = r->info, .live_count = 1 + fuzz_u8(in) % 3};

	node_rig_event(r, item == ITEM_LEASE ? &lease : item == ITEM_LIVE ? &live : &disk);
}

static void item_run(struct node_rig *r, struct fuzz_in *in)
{
	enum item item = fuzz_u8(in) % ITEMS;
	uint64_t from;
	uint8_t kind;

	switch (item) {
	case ITEM_REQUEST:
		from = node_of(in);
		hand_over(r, EV_PEER_MSG, from, request_make(r, in));
		break;
	case ITEM_CLIENT:
		from = 1 + fuzz_u8(in) % 3;
		hand_over(r, EV_CLIENT_MSG, from, request_make(r, in));
		break;
	case ITEM_RAW:
		kind = fuzz_u8(in) % 2;
		from = node_of(in);
		hand_over(r, kind ? EV_PEER_MSG : EV_CLIENT_MSG, from, raw_make(r, in));
		break;
	case ITEM_ANSWER:
		answer_item(r, in);
		break;
	case ITEM_HONEST:
		honest_item(r, in);
		break;
	case ITEM_JOBS:
		node_rig_run_jobs(r, 1 + fuzz_u8(in));
		break;
	case ITEM_SETTLE:
		node_rig_settle(r);
		break;
	case ITEM_TICK:
		node_rig_tick(r, (uint32_t)fuzz_num(in) % 10000);
		break;
	case ITEM_LOST:
		lost_item(r, in);
		break;
	case ITEM_MAP:
		map_item(r, in);
		break;
	case ITEM_PROPOSED:
		node_rig_proposed(r, fuzz_u8(in) % 2);
		break;
	default:
		state_item(r, in, item);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, data + size};
	static struct node_rig r;
	uint8_t options = fuzz_u8(&in);

	node_rig_init(&r, options & 1);
	if (options & 2)
		node_rig_settle(&r);
	for (uint32_t i = 0; i < ITEMS_MAX && in.p < in.end && !r.gone; i++)
		item_run(&r, &in);
	/* What is under way comes to its end. */
	node_rig_settle(&r);
	node_rig_tick(&r, 1000);
	node_rig_settle(&r);
	node_rig_fini(&r);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_UNIT_WIRE_RANDOM_H
#define SF_TESTS_UNIT_WIRE_RANDOM_H

/* Random messages within the limits, and comparing two of them. Include cmocka.h first. */

#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/wire/codec.h"
#include "lib/wire/msg.h"

static const enum msg_type all_types[] = {
#define X(name, number) name,
	MSG_TYPES(X)
#undef X
};

/* Often 0, often small, sometimes anything: as varints see it. */
static inline uint64_t random_u64(struct prng *p)
{
	switch (prng_below(p, 4)) {
	case 0:
		return 0;
	case 1:
		return prng_below(p, 200);
	default:
		return prng_next(p) >> prng_below(p, 64);
	}
}

static inline uint32_t random_u32(struct prng *p)
{
	return (uint32_t)random_u64(p);
}

static inline void random_lists(struct prng *p, struct msg *m)
{
	m->entry_count = prng_below(p, 3) ? 0 : (uint32_t)prng_below(p, 40);
	m->log_count = prng_below(p, 3) ? 0 : (uint32_t)prng_below(p, 40);
	m->blob_len = prng_below(p, 3) ? 0 : (uint32_t)prng_below(p, 5000);
	if (m->entry_count > 0)
		m->entries = xcalloc(m->entry_count, sizeof(m->entries[0]));
	if (m->log_count > 0)
		m->log = xcalloc(m->log_count, sizeof(m->log[0]));
	if (m->blob_len > 0)
		m->blob = xmalloc(m->blob_len);
	prng_fill(p, m->blob, m->blob_len);
	for (uint32_t i = 0; i < m->entry_count; i++) {
		m->entries[i] = (struct shard_entry){
			.oid = prng_next(p),
			.shard = random_u32(p),
			.flags = random_u32(p),
			.version = random_u64(p),
			.pending = random_u64(p),
			.size = random_u64(p),
			.stood = random_u32(p),
			.pending_stood = random_u32(p),
		};
	}
	for (uint32_t i = 0; i < m->log_count; i++) {
		m->log[i] = (struct log_entry){
			.version = random_u64(p),
			.oid = prng_next(p),
			.req = {random_u64(p), random_u64(p)},
		};
	}
}

/* Returns how many payload bytes the ranges ask for. */
static inline uint32_t random_ranges(struct prng *p, struct msg *m)
{
	uint32_t data = 0;

	m->range_count = (uint32_t)prng_below(p, MAX_RANGES + 1);
	for (uint32_t i = 0; i < m->range_count; i++) {
		struct shard_range *r = &m->ranges[i];

		r->op = (uint32_t)prng_below(p, 3);
		r->length = random_u32(p) % 50000;
		r->offset = (uint32_t)prng_below(p, UINT32_MAX - r->length + 1ull);
		if (r->op != RANGE_ZERO)
			data += r->length;
	}
	return data;
}

static inline void random_payload(struct prng *p, struct msg *m, uint32_t len)
{
	while (len > 0) {
		uint32_t n = 1 + (uint32_t)prng_below(p, len);
		struct slice s = slice_make(NULL, 0, n);

		if (m->payload.count == PAYLOAD_MAX_SLICES - 1)
			n = s.len = len;
		if (prng_below(p, 4)) {
			struct buf *buf = buf_get(NULL, n);

			prng_fill(p, buf->data, n);
			if (prng_below(p, 2))
				buf_seal(buf);
			s = slice_make(buf, 0, n);
			buf_unref(buf);
		}
		payload_add(&m->payload, &s);
		len -= n;
	}
}

static inline void msg_randomise(struct msg *m, struct prng *p, enum msg_type type)
{
	uint32_t data;

	msg_init(m, type);
	m->reply = prng_below(p, 2);
	m->id = random_u64(p);
	m->epoch = random_u32(p);
	m->result = random_u32(p);
	m->flags = random_u32(p);
	m->pool = random_u32(p);
	m->pg = random_u32(p);
	m->oid = random_u64(p);
	m->shard = random_u32(p);
	m->disk = random_u64(p);
	m->version = random_u64(p);
	m->base = random_u64(p);
	m->commit = random_u64(p);
	m->offset = random_u64(p);
	m->length = random_u64(p);
	m->length = MIN(m->length, UINT64_MAX - m->offset);
	m->shard_flags = random_u32(p);
	m->req = (struct req_id){random_u64(p), random_u64(p)};
	m->version_min = random_u32(p);
	m->version_max = random_u32(p);
	m->cluster = random_u64(p);
	m->node = random_u64(p);
	m->info = (struct pg_info){
		.activated = random_u32(p),
		.clean = random_u32(p),
		.commit = random_u64(p),
		.complete = random_u32(p),
		.clean_commit = random_u64(p),
		.floor = random_u64(p),
		.objects = random_u64(p),
		.suspect = prng_below(p, 2),
		.scrubbed = random_u64(p),
	};
	m->check = (struct check_counts){random_u32(p), random_u32(p), random_u32(p), random_u32(p),
	                                 random_u32(p), random_u32(p), random_u32(p)};
	random_lists(p, m);
	data = random_ranges(p, m);
	if (m->reply || (type != MSG_SHARD_PREPARE && type != MSG_SHARD_PUSH))
		data = prng_below(p, 2) ? 0 : (uint32_t)prng_below(p, 200000);
	random_payload(p, m, data);
}

/* A message's payload as a receiver finds it: in one buffer. NULL when empty. */
static inline struct buf *payload_flatten(const struct payload *p)
{
	uint32_t len = payload_len(p);
	struct buf *buf = len > 0 ? buf_get(NULL, len) : NULL;

	if (buf)
		payload_copy_out(p, 0, buf->data, len);
	return buf;
}

/* The members are compared one by one: structs have padding. */
static inline void msg_assert_same(const struct msg *a, const struct msg *b)
{
	struct buf *da = payload_flatten(&a->payload), *db = payload_flatten(&b->payload);

#define SAME(name) assert_true(a->name == b->name)
	SAME(type), SAME(reply), SAME(id), SAME(epoch), SAME(result), SAME(flags), SAME(pool);
	SAME(pg), SAME(oid), SAME(shard), SAME(disk), SAME(version), SAME(base), SAME(commit);
	SAME(offset), SAME(length), SAME(shard_flags), SAME(req.client), SAME(req.seq);
	SAME(version_min), SAME(version_max), SAME(cluster), SAME(node), SAME(info.activated);
	SAME(info.clean), SAME(info.commit), SAME(info.clean_commit), SAME(info.floor);
	SAME(info.objects), SAME(info.suspect), SAME(info.complete), SAME(info.scrubbed);
	 SAME(check.shards), SAME(check.missing);
	SAME(check.damaged), SAME(check.stale), SAME(check.repaired), SAME(range_count);
	SAME(check.leftover), SAME(check.undecided);
	for (uint32_t i = 0; i < a->range_count; i++)
		SAME(ranges[i].op), SAME(ranges[i].offset), SAME(ranges[i].length);
	SAME(entry_count), SAME(log_count), SAME(blob_len);
	for (uint32_t i = 0; i < a->entry_count; i++) {
		SAME(entries[i].oid), SAME(entries[i].shard), SAME(entries[i].flags);
		SAME(entries[i].version), SAME(entries[i].pending), SAME(entries[i].size);
		SAME(entries[i].stood), SAME(entries[i].pending_stood);
	}
	for (uint32_t i = 0; i < a->log_count; i++) {
		SAME(log[i].version), SAME(log[i].oid);
		SAME(log[i].req.client), SAME(log[i].req.seq);
	}
#undef SAME
	if (a->blob_len > 0)
		assert_memory_equal(a->blob, b->blob, a->blob_len);
	assert_int_equal(da ? da->len : 0, db ? db->len : 0);
	if (da)
		assert_memory_equal(da->data, db->data, da->len);
	buf_unref(da);
	buf_unref(db);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/header.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"

/* Fields of the same name and meaning in our structs and in what protoc-c makes. */
/* clang-format off */
#define PLAIN_FIELDS(X)                                                                            \
	X(type) X(reply) X(id) X(epoch) X(result) X(flags) X(pool) X(pg) X(oid) X(shard) X(disk)   \
	X(version) X(commit) X(offset) X(length) X(shard_flags) X(version_min) X(version_max)      \
	X(cluster) X(node)
#define ENTRY_FIELDS(X)                                                                            \
	X(oid) X(shard) X(flags) X(version) X(pending) X(size) X(stood) X(pending_stood)
#define INFO_FIELDS(X)                                                                             \
	X(activated) X(clean) X(commit) X(complete) X(clean_commit) X(floor) X(objects) X(suspect) \
	X(scrubbed)
#define CHECK_FIELDS(X) X(shards) X(missing) X(damaged) X(stale) X(repaired) X(leftover) X(undecided)
#define RANGE_FIELDS(X) X(op) X(offset) X(length)
/* clang-format on */

static bool ranges_valid(const struct msg *m, uint32_t payload_len)
{
	uint64_t data = 0;

	if (m->range_count > MAX_RANGES)
		return false;
	for (uint32_t i = 0; i < m->range_count; i++) {
		const struct shard_range *r = &m->ranges[i];

		if (r->op > RANGE_ZERO || r->length > UINT32_MAX - r->offset)
			return false;
		if (r->op != RANGE_ZERO)
			data += r->length;
	}
	if (!m->reply && (m->type == MSG_SHARD_PREPARE || m->type == MSG_SHARD_PUSH))
		return data == payload_len;
	return true;
}

bool header_valid(const struct msg *m, uint32_t payload_len)
{
	return m->entry_count <= MSG_MAX_ENTRIES && m->log_count <= MSG_MAX_ENTRIES &&
	       m->blob_len <= MSG_MAX_BLOB && payload_len <= MSG_MAX_PAYLOAD &&
	       m->length <= UINT64_MAX - m->offset && ranges_valid(m, payload_len);
}

static bool info_is_zero(const struct pg_info *i)
{
#define X(name) && !i->name
	return true INFO_FIELDS(X);
#undef X
}

static bool check_is_zero(const struct check_counts *i)
{
#define X(name) && !i->name
	return true CHECK_FIELDS(X);
#undef X
}

/* What a protobuf Header points to while it is packed. Lists are rare and long: on the heap. */
struct pack_parts {
	Sf__Range ranges[MAX_RANGES], *range_ptrs[MAX_RANGES];
	Sf__ReqId req;
	Sf__PgInfo info;
	Sf__CheckCounts check;
	Sf__Entry *entries, **entry_ptrs;
	Sf__LogEntry *log, **log_ptrs;
};

#define X(name) to->name = from->name;
static void pack_small(const struct msg *m, Sf__Header *h, struct pack_parts *parts)
{
	{
		const struct msg *from = m;
		Sf__Header *to = h;

		PLAIN_FIELDS(X)
		to->base_version = from->base;
	}
	for (uint32_t i = 0; i < m->range_count; i++) {
		const struct shard_range *from = &m->ranges[i];
		Sf__Range *to = parts->range_ptrs[i] = &parts->ranges[i];

		sf__range__init(to);
		RANGE_FIELDS(X)
	}
	h->n_ranges = m->range_count;
	h->ranges = parts->range_ptrs;
	/* Sub-messages that say nothing are left out; they come back as zeros. */
	if (m->req.client || m->req.seq) {
		sf__req_id__init(&parts->req);
		parts->req.client = m->req.client;
		parts->req.seq = m->req.seq;
		h->req = &parts->req;
	}
	if (!info_is_zero(&m->info)) {
		const struct pg_info *from = &m->info;
		Sf__PgInfo *to = h->info = &parts->info;

		sf__pg_info__init(to);
		INFO_FIELDS(X)
	}
	if (!check_is_zero(&m->check)) {
		const struct check_counts *from = &m->check;
		Sf__CheckCounts *to = h->check = &parts->check;

		sf__check_counts__init(to);
		CHECK_FIELDS(X)
	}
}

static void pack_lists(const struct msg *m, Sf__Header *h, struct pack_parts *parts)
{
	if (m->entry_count > 0) {
		parts->entries = xmalloc(m->entry_count * sizeof(parts->entries[0]));
		parts->entry_ptrs = xmalloc(m->entry_count * sizeof(parts->entry_ptrs[0]));
	}
	for (uint32_t i = 0; i < m->entry_count; i++) {
		const struct shard_entry *from = &m->entries[i];
		Sf__Entry *to = parts->entry_ptrs[i] = &parts->entries[i];

		sf__entry__init(to);
		ENTRY_FIELDS(X)
	}
	h->n_entries = m->entry_count;
	h->entries = parts->entry_ptrs;

	if (m->log_count > 0) {
		parts->log = xmalloc(m->log_count * sizeof(parts->log[0]));
		parts->log_ptrs = xmalloc(m->log_count * sizeof(parts->log_ptrs[0]));
	}
	for (uint32_t i = 0; i < m->log_count; i++) {
		Sf__LogEntry *to = parts->log_ptrs[i] = &parts->log[i];

		sf__log_entry__init(to);
		to->version = m->log[i].version;
		to->oid = m->log[i].oid;
		to->client = m->log[i].req.client;
		to->seq = m->log[i].req.seq;
	}
	h->n_log = m->log_count;
	h->log = parts->log_ptrs;
}

uint8_t *header_pack(const struct msg *m, uint32_t room_before, uint32_t room_after,
                     uint32_t *ret_header_len)
{
	struct pack_parts parts;
	Sf__Header h = SF__HEADER__INIT;
	size_t len, packed;
	uint8_t *area;

	parts.entries = NULL;
	parts.entry_ptrs = NULL;
	parts.log = NULL;
	parts.log_ptrs = NULL;
	pack_small(m, &h, &parts);
	pack_lists(m, &h, &parts);
	h.blob.len = m->blob_len;
	h.blob.data = m->blob;

	len = sf__header__get_packed_size(&h);
	assert(len < UINT32_MAX - room_before - room_after);
	area = xmalloc(room_before + len + room_after);
	packed = sf__header__pack(&h, area + room_before);
	assert(packed == len);
	free(parts.entries);
	free(parts.entry_ptrs);
	free(parts.log);
	free(parts.log_ptrs);
	*ret_header_len = (uint32_t)len;
	return area;
}

/*
 * Memory for one unpack: small headers stay on the stack. Nothing is freed before the end, so that
 * the budget bounds all that a header can make protobuf-c take: three bytes of an empty list item
 * would become a hundred of memory.
 */
enum { ARENA_LOCAL = 2048, ARENA_EXTRA = 4 << 20 };

struct spill {
	alignas(max_align_t) struct spill *next;
	uint8_t data[];
};

struct arena {
	size_t used;
	size_t budget;
	struct spill *spills;
	alignas(max_align_t) uint8_t local[ARENA_LOCAL];
};

static void *arena_alloc(void *arg, size_t size)
{
	struct arena *a = arg;
	struct spill *s;
	size_t step;

	if (size > a->budget)
		return NULL;
	step = round_up(size, alignof(max_align_t));
	if (step <= sizeof(a->local) - a->used) {
		a->used += step;
		return a->local + a->used - step;
	}
	if (step + sizeof(*s) > a->budget)
		return NULL;
	a->budget -= step + sizeof(*s);
	s = xmalloc(sizeof(*s) + step);
	s->next = a->spills;
	a->spills = s;
	return s->data;
}

static void arena_free(void *arg, void *ptr)
{
	(void)arg;
	(void)ptr;
}

static void arena_fini(struct arena *a)
{
	struct spill *next;

	for (struct spill *s = a->spills; s; s = next) {
		next = s->next;
		free(s);
	}
}

static void unpack_small(const Sf__Header *h, struct msg *m)
{
	{
		const Sf__Header *from = h;
		struct msg *to = m;

		PLAIN_FIELDS(X)
		to->base = from->base_version;
	}
	m->range_count = (uint32_t)h->n_ranges;
	for (uint32_t i = 0; i < m->range_count; i++) {
		const Sf__Range *from = h->ranges[i];
		struct shard_range *to = &m->ranges[i];

		RANGE_FIELDS(X)
	}
	if (h->req)
		m->req = (struct req_id){.client = h->req->client, .seq = h->req->seq};
	if (h->info) {
		const Sf__PgInfo *from = h->info;
		struct pg_info *to = &m->info;

		INFO_FIELDS(X)
	}
	if (h->check) {
		const Sf__CheckCounts *from = h->check;
		struct check_counts *to = &m->check;

		CHECK_FIELDS(X)
	}
}

static void unpack_lists(const Sf__Header *h, struct msg *m)
{
	m->entry_count = (uint32_t)h->n_entries;
	if (m->entry_count > 0)
		m->entries = xmalloc(m->entry_count * sizeof(m->entries[0]));
	for (uint32_t i = 0; i < m->entry_count; i++) {
		const Sf__Entry *from = h->entries[i];
		struct shard_entry *to = &m->entries[i];

		ENTRY_FIELDS(X)
	}

	m->log_count = (uint32_t)h->n_log;
	if (m->log_count > 0)
		m->log = xmalloc(m->log_count * sizeof(m->log[0]));
	for (uint32_t i = 0; i < m->log_count; i++) {
		const Sf__LogEntry *from = h->log[i];

		m->log[i] = (struct log_entry){
			.version = from->version,
			.oid = from->oid,
			.req = {.client = from->client, .seq = from->seq},
		};
	}

	m->blob_len = (uint32_t)h->blob.len;
	m->blob = xmemdup(h->blob.data, h->blob.len);
}
#undef X

/* The counts that must hold before anything is copied into a message. */
static bool counts_fit(const Sf__Header *h)
{
	return h->n_ranges <= MAX_RANGES && h->n_entries <= MSG_MAX_ENTRIES &&
	       h->n_log <= MSG_MAX_ENTRIES && h->blob.len <= MSG_MAX_BLOB;
}

int header_unpack(const uint8_t *data, uint32_t len, uint32_t payload_len, struct msg *ret)
{
	struct arena arena;
	ProtobufCAllocator allocator = {arena_alloc, arena_free, &arena};
	Sf__Header *h;
	struct msg m;
	int err = -SF_EFORMAT;

	arena.used = 0;
	arena.budget = len + (size_t)ARENA_EXTRA;
	arena.spills = NULL;
	h = sf__header__unpack(&allocator, len, data);
	if (!h || !counts_fit(h))
		goto out;
	msg_init(&m, 0);
	unpack_small(h, &m);
	if (!header_valid(&m, payload_len))
		goto out; /* before the lists: nothing to free yet */
	unpack_lists(h, &m);
	memcpy(ret, &m, offsetof(struct msg, payload));
	payload_init(&ret->payload);
	err = 0;
out:
	arena_fini(&arena);
	return err;
}

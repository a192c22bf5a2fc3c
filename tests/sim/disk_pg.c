/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/disk_pg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

static void version_copy(struct shard_version *dst, const struct shard_version *src)
{
	*dst = *src;
	content_copy(&dst->content, &src->content);
}

static void version_fini(struct shard_version *v)
{
	content_fini(&v->content);
	*v = (struct shard_version){0};
}

static void shard_fini(struct shard *s)
{
	version_fini(&s->committed);
	version_fini(&s->pending);
}

void disk_pg_copy(struct disk_pg *dst, const struct disk_pg *src)
{
	*dst = *src;
	dst->log = xmemdup(src->log, src->log_count * sizeof(*src->log));
	dst->shards = xmemdup(src->shards, src->shard_count * sizeof(*src->shards));
	for (uint32_t i = 0; i < src->shard_count; i++) {
		version_copy(&dst->shards[i].committed, &src->shards[i].committed);
		version_copy(&dst->shards[i].pending, &src->shards[i].pending);
	}
}

void disk_pg_fini(struct disk_pg *pg)
{
	for (uint32_t i = 0; i < pg->shard_count; i++)
		shard_fini(&pg->shards[i]);
	free(pg->shards);
	free(pg->log);
	pg->shards = NULL;
	pg->log = NULL;
	pg->shard_count = pg->log_count = 0;
	pg->info = (struct pg_info){0};
}

/* ---- Shards of the PG ---- */

static bool shard_before(const struct shard *s, uint64_t oid, uint32_t number)
{
	return s->oid < oid || (s->oid == oid && s->number < number);
}

static uint32_t pg_position(const struct disk_pg *pg, uint64_t oid, uint32_t number)
{
	uint32_t i = 0;

	while (i < pg->shard_count && shard_before(&pg->shards[i], oid, number))
		i++;
	return i;
}

struct shard *disk_pg_find(struct disk_pg *pg, uint64_t oid, uint32_t number)
{
	uint32_t i = pg_position(pg, oid, number);

	if (i == pg->shard_count || pg->shards[i].oid != oid || pg->shards[i].number != number)
		return NULL;
	return &pg->shards[i];
}

static struct shard *pg_get(struct disk_pg *pg, uint64_t oid, uint32_t number)
{
	struct shard *s = disk_pg_find(pg, oid, number);
	uint32_t i;

	if (s)
		return s;
	i = pg_position(pg, oid, number);
	pg->shards = xrealloc(pg->shards, (pg->shard_count + 1) * sizeof(*pg->shards));
	memmove(pg->shards + i + 1, pg->shards + i, (pg->shard_count - i) * sizeof(*pg->shards));
	pg->shard_count++;
	pg->shards[i] = (struct shard){.oid = oid, .number = number};
	return &pg->shards[i];
}

static void pg_erase(struct disk_pg *pg, struct shard *s)
{
	uint32_t i = s - pg->shards;

	shard_fini(s);
	pg->shard_count--;
	memmove(pg->shards + i, pg->shards + i + 1, (pg->shard_count - i) * sizeof(*pg->shards));
}

static const struct shard_version *shard_newest(const struct shard *s)
{
	return s->pending.version ? &s->pending : &s->committed;
}

static void shard_commit(struct shard *s)
{
	version_fini(&s->committed);
	s->committed = s->pending;
	s->pending = (struct shard_version){0};
}

void disk_pg_commit(struct disk_pg *pg, uint64_t commit)
{
	for (uint32_t i = 0; i < pg->shard_count; i++) {
		struct shard *s = &pg->shards[i];
		if (s->pending.version && s->pending.version <= commit)
			shard_commit(s);
	}
}

/* ---- The log of recent changes ---- */

/* Into its place by version, unless it is there already. The oldest gives way. */
static void log_add(struct disk_pg *pg, const struct log_entry *e)
{
	uint32_t at = pg->log_count;

	while (at > 0 && pg->log[at - 1].version > e->version)
		at--;
	for (uint32_t i = at; i > 0 && pg->log[i - 1].version == e->version; i--)
		if (pg->log[i - 1].oid == e->oid)
			return;
	pg->log = xrealloc(pg->log, (pg->log_count + 1) * sizeof(*pg->log));
	memmove(pg->log + at + 1, pg->log + at, (pg->log_count - at) * sizeof(*pg->log));
	pg->log[at] = *e;
	if (++pg->log_count <= PG_LOG_MAX)
		return;
	pg->info.floor = MAX(pg->info.floor, pg->log[0].version);
	pg->log_count--;
	memmove(pg->log, pg->log + 1, pg->log_count * sizeof(*pg->log));
}

static void log_forget(struct disk_pg *pg, uint64_t version, uint64_t oid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < pg->log_count; i++)
		if (pg->log[i].version != version || pg->log[i].oid != oid)
			pg->log[kept++] = pg->log[i];
	pg->log_count = kept;
}

/* Changes of that epoch are in it, or newer ones. */
static bool log_reaches(const struct disk_pg *pg, uint32_t epoch)
{
	return pg->log_count && version_epoch(pg->log[pg->log_count - 1].version) >= epoch;
}

static bool is_pending(struct disk_pg *pg, const struct log_entry *e)
{
	for (uint32_t i = 0; i < pg->shard_count; i++)
		if (pg->shards[i].oid == e->oid && pg->shards[i].pending.version == e->version)
			return true;
	return false;
}

/* What peering found to count replaces what was here, but for what it has not decided about. */
static void log_replace(struct disk_pg *pg, const struct msg *req)
{
	struct log_entry *old = pg->log;
	uint32_t old_count = pg->log_count;

	pg->log = NULL;
	pg->log_count = 0;
	pg->info.floor = req->info.floor;
	for (uint32_t i = 0; i < req->log_count; i++)
		log_add(pg, &req->log[i]);
	for (uint32_t i = 0; i < old_count; i++)
		if (is_pending(pg, &old[i]))
			log_add(pg, &old[i]);
	free(old);
}

/* ---- Changes ---- */

static bool needs_old_bytes(const struct msg *req)
{
	for (uint32_t i = 0; i < req->range_count; i++)
		if (req->ranges[i].op == RANGE_XOR)
			return true;
	return false;
}

static void content_apply(struct content *c, const struct msg *req)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < req->range_count; i++) {
		const struct shard_range *r = &req->ranges[i];
		uint8_t *bytes;

		if (r->length == 0)
			continue;
		if (r->op == RANGE_ZERO) {
			content_cut(c, r->offset, r->length);
			continue;
		}
		bytes = xmalloc(r->length);
		payload_copy_out(&req->payload, at, bytes, r->length);
		at += r->length;
		if (r->op == RANGE_XOR)
			content_xor(c, r->offset, bytes, r->length);
		else
			content_put(c, r->offset, bytes, r->length);
		free(bytes);
	}
	assert(at == payload_len(&req->payload));
}

/* Looks at the bytes: damage is known from then on. */
static bool version_is_bad(struct disk_pg *pg, struct shard_version *v)
{
	v->damaged |= v->rotten;
	pg->info.suspect |= v->damaged;
	return v->damaged;
}

uint32_t disk_pg_prepare(struct disk_pg *pg, const struct msg *req, bool full,
                         uint64_t *ret_version)
{
	bool replace = req->shard_flags & SHARD_REPLACE, remove = req->shard_flags & SHARD_DELETE;
	struct log_entry e = {req->version, req->oid, req->req};
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);
	uint64_t newest = s ? shard_newest(s)->version : 0;

	disk_pg_commit(pg, req->commit);
	*ret_version = newest;
	if (s && (s->committed.version == req->version || s->pending.version == req->version))
		return RES_OK;
	if (req->version <= newest || req->version <= pg->info.commit)
		return RES_BASE;
	if (s && s->pending.version) {
		if (s->pending.version != req->base)
			return RES_BASE;
		shard_commit(s);
	}
	if (!replace && !remove && newest != req->base)
		return RES_BASE;
	if (full && !remove)
		return RES_NOSPACE;
	if (s && !replace && !remove && needs_old_bytes(req) && version_is_bad(pg, &s->committed))
		return RES_CORRUPT;
	s = pg_get(pg, req->oid, req->shard);
	s->pending = (struct shard_version){
		.version = req->version, .stood = version_epoch(req->version), .tombstone = remove};
	if (!replace && !remove && !s->committed.tombstone) {
		content_copy(&s->pending.content, &s->committed.content);
		s->pending.damaged = s->committed.damaged;
		s->pending.rotten = s->committed.rotten;
	}
	if (!remove)
		content_apply(&s->pending.content, req);
	log_add(pg, &e);
	*ret_version = req->version;
	return RES_OK;
}

static void version_set(struct shard_version *v, const struct msg *req)
{
	version_fini(v);
	v->version = req->version;
	v->stood = req->info.activated;
	v->tombstone = req->shard_flags & SHARD_DELETE;
	content_apply(&v->content, req);
}

/* A version that may yet be taken back. */
static uint32_t push_unstable(struct disk_pg *pg, const struct msg *req)
{
	struct log_entry e = {req->version, req->oid, req->req};
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);

	if (s && s->committed.version >= req->version)
		return RES_OK;
	if (s && s->pending.version == req->version && !s->pending.damaged) {
		s->pending.stood = MAX(s->pending.stood, req->info.activated);
		return RES_OK;
	}
	if (req->shard_flags & SHARD_ACCEPT)
		return RES_BASE;
	s = pg_get(pg, req->oid, req->shard);
	if (s->pending.version && s->pending.version == req->base)
		shard_commit(s);
	else if (s->pending.version && s->pending.version != req->version)
		log_forget(pg, s->pending.version, req->oid);
	version_set(&s->pending, req);
	log_add(pg, &e);
	return RES_OK;
}

uint32_t disk_pg_push(struct disk_pg *pg, const struct msg *req, bool full)
{
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);

	if (req->shard_flags & SHARD_UNSTABLE)
		return push_unstable(pg, req);
	if (s && s->committed.version >= req->version && !s->committed.damaged)
		return RES_OK;
	if (s && s->pending.version > req->version)
		return RES_BASE;
	if (full)
		return RES_NOSPACE;
	s = pg_get(pg, req->oid, req->shard);
	if (s->pending.version && s->pending.version != req->version)
		log_forget(pg, s->pending.version, req->oid);
	version_fini(&s->pending);
	version_set(&s->committed, req);
	return RES_OK;
}

uint32_t disk_pg_rollback(struct disk_pg *pg, const struct msg *req)
{
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);

	if (s && s->committed.version == req->version)
		return RES_BASE;
	if (s && s->pending.version == req->version) {
		version_fini(&s->pending);
		if (!s->committed.version)
			pg_erase(pg, s);
		log_forget(pg, req->version, req->oid);
	}
	return RES_OK;
}

void disk_pg_remove(struct disk_pg *pg, const struct msg *req)
{
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);

	if (s && shard_newest(s)->version <= req->version)
		pg_erase(pg, s);
}

void disk_pg_activate(struct disk_pg *pg, const struct msg *req)
{
	disk_pg_commit(pg, req->info.commit);
	if ((req->flags & MSG_F_LOG) && !log_reaches(pg, req->info.activated))
		log_replace(pg, req);
	pg->info.activated = MAX(pg->info.activated, req->info.activated);
	pg->info.commit = MAX(pg->info.commit, req->info.commit);
	pg->info.clean = MAX(pg->info.clean, req->info.clean);
	pg->info.scrubbed = MAX(pg->info.scrubbed, req->info.scrubbed);
	if (!(req->flags & MSG_F_PURGE))
		return;
	if (pg->info.complete < pg->info.clean)
		pg->info.clean_commit = 0;
	pg->info.complete = pg->info.clean;
	pg->info.clean_commit = MAX(pg->info.clean_commit, req->info.clean_commit);
	pg->info.suspect = false;
	for (uint32_t i = pg->shard_count; i-- > 0;) {
		struct shard *s = &pg->shards[i];
		if (req->shard != SHARD_NONE && s->number != req->shard) {
			pg_erase(pg, s);
			continue;
		}
		if (s->committed.tombstone && !s->pending.version &&
		    s->committed.version <= req->info.commit)
			pg_erase(pg, s);
	}
}

void disk_pg_drop(struct disk_pg *pg, uint32_t keep_shard)
{
	for (uint32_t i = pg->shard_count; i-- > 0;)
		if (pg->shards[i].number != keep_shard)
			pg_erase(pg, &pg->shards[i]);
	if (keep_shard != SHARD_NONE)
		return;
	disk_pg_fini(pg);
}

/* ---- Reads ---- */

static void shard_list_entry(const struct shard *s, struct shard_entry *e)
{
	const struct shard_version *newest = shard_newest(s);

	*e = (struct shard_entry){
		.oid = s->oid,
		.shard = s->number,
		.version = s->committed.version,
		.pending = s->pending.version,
		.stood = s->committed.stood,
		.pending_stood = s->pending.stood,
		.size = content_end(&newest->content),
		.flags = (s->committed.tombstone ? ENTRY_TOMBSTONE : 0) |
	                 (s->pending.tombstone ? ENTRY_PENDING_TOMBSTONE : 0) |
	                 (s->committed.damaged || s->pending.damaged ? ENTRY_DAMAGED : 0),
	};
}

uint32_t disk_pg_read(struct disk_pg *pg, const struct msg *req, struct msg *reply)
{
	struct shard *s = disk_pg_find(pg, req->oid, req->shard);
	struct shard_version *newest = !s ? NULL : s->pending.version ? &s->pending : &s->committed;
	struct slice *into = &reply->payload.v[0];

	reply->version = newest ? newest->version : 0;
	if (!newest || newest->tombstone)
		return RES_NOENT;
	if (version_is_bad(pg, newest))
		return RES_CORRUPT;
	assert(reply->payload.count == 1 && into->len == req->length && into->off == 0);
	content_read(&newest->content, req->offset, into->buf->data, req->length);
	into->buf->crc_valid = false;
	buf_seal(into->buf);
	return RES_OK;
}

uint32_t disk_pg_stat(struct disk_pg *pg, const struct msg *req, struct msg *reply)
{
	const struct shard *s = disk_pg_find(pg, req->oid, req->shard);

	if (!s)
		return RES_NOENT;
	reply->entries = xcalloc(1, sizeof(*reply->entries));
	reply->entry_count = 1;
	shard_list_entry(s, &reply->entries[0]);
	return RES_OK;
}

static void list_named(struct disk_pg *pg, const struct msg *req, struct msg *reply)
{
	for (uint32_t i = 0; i < req->log_count; i++)
		for (uint32_t at = pg_position(pg, req->log[i].oid, 0);
		     at < pg->shard_count && pg->shards[at].oid == req->log[i].oid; at++) {
			if (reply->entry_count == MSG_MAX_ENTRIES) {
				reply->flags |= MSG_F_MORE;
				return;
			}
			shard_list_entry(&pg->shards[at], &reply->entries[reply->entry_count++]);
		}
}

void disk_pg_query(const struct disk_pg *pg, struct msg *reply)
{
	reply->info = pg->info;
	for (uint32_t i = 0; i < pg->shard_count; i++)
		reply->info.objects += !shard_newest(&pg->shards[i])->tombstone;
	reply->log_count = pg->log_count;
	reply->log = xmemdup(pg->log, pg->log_count * sizeof(*pg->log));
}

void disk_pg_list(struct disk_pg *pg, const struct msg *req, struct msg *reply)
{
	if (req->log_count) {
		reply->entries = xcalloc(MSG_MAX_ENTRIES, sizeof(*reply->entries));
		list_named(pg, req, reply);
		return;
	}
	uint32_t at = 0, limit = MIN(req->length, (uint64_t)MSG_MAX_ENTRIES);

	if (!(req->flags & MSG_F_FIRST)) {
		at = pg_position(pg, req->oid, req->shard);
		if (at < pg->shard_count && pg->shards[at].oid == req->oid &&
		    pg->shards[at].number == req->shard)
			at++;
	}
	reply->entry_count = MIN(limit, pg->shard_count - at);
	reply->entries = xcalloc(MAX(reply->entry_count, 1u), sizeof(*reply->entries));
	for (uint32_t i = 0; i < reply->entry_count; i++)
		shard_list_entry(&pg->shards[at + i], &reply->entries[i]);
	if (at + reply->entry_count < pg->shard_count)
		reply->flags |= MSG_F_MORE;
}

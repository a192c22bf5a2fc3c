/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/state.h"

struct listing {
	struct msg *reply;
	uint32_t max, cap;
	uint64_t oid;
};

static int list_each_shard(void *ctx, const struct shard *s)
{
	struct listing *l = ctx;
	struct msg *reply = l->reply;

	if (reply->entry_count == l->max) {
		reply->flags |= MSG_F_MORE;
		return 1;
	}
	if (reply->entry_count == l->cap) {
		l->cap = MIN(l->max, MAX(64, l->cap * 2));
		reply->entries = xrealloc(reply->entries, l->cap * sizeof(*reply->entries));
	}
	shard_list_entry(s, &reply->entries[reply->entry_count++]);
	return 0;
}

static int list_each_of_object(void *ctx, const struct shard *s)
{
	struct listing *l = ctx;

	return s->key.oid != l->oid ? 1 : list_each_shard(ctx, s);
}

static uint32_t list_named(struct store *st, const struct msg *req, struct listing *l)
{
	int err = 0;

	l->max = MSG_MAX_ENTRIES;
	for (uint32_t i = 0; i < req->log_count && !err; i++) {
		struct shard_key from = {.pool = req->pool, .pg = req->pg, .oid = req->log[i].oid};
		l->oid = from.oid;
		err = memtable_list(&st->mt, &from, true, list_each_of_object, l);
	}
	if (!err)
		return RES_OK;
	l->reply->entry_count = 0;
	return store_error(st, err);
}

uint32_t store_pg_list(struct store *st, const struct msg *req, struct msg *reply)
{
	struct shard_key after = {
		.pool = req->pool,
		.pg = req->pg,
		.oid = req->oid,
		.shard = (uint8_t)MIN(req->shard, (uint32_t)SHARD_NONE),
	};
	struct listing l = {
		.reply = reply,
		.max = (uint32_t)MIN(req->length, (uint64_t)MSG_MAX_ENTRIES),
	};
	bool first = req->flags & MSG_F_FIRST;

	if (req->log_count)
		return list_named(st, req, &l);
	if (first) {
		after.oid = 0;
		after.shard = 0;
	}
	int err = memtable_list(&st->mt, &after, first, list_each_shard, &l);
	if (!err)
		return RES_OK;
	reply->entry_count = 0;
	return store_error(st, err);
}

uint32_t store_pg_commit(struct store *st, const struct msg *req)
{
	struct pg *pg = memtable_pg(&st->mt, req->pool, req->pg);

	store_promote_pg(st, pg, req->commit);
	if (req->commit > pg->info.commit) {
		pg->info.commit = req->commit;
		memtable_pg_changed(&st->mt, pg);
	}
	return RES_OK;
}

uint32_t store_pg_query(struct store *st, const struct msg *req, struct msg *reply)
{
	struct pg *pg = memtable_pg_find(&st->mt, req->pool, req->pg);

	if (!pg)
		return RES_OK;
	reply->info = pg->info;
	reply->info.objects = pg->objects;
	reply->log_count = pg->log_count;
	reply->log = xmemdup(pg->log, pg->log_count * sizeof(*pg->log));
	return RES_OK;
}

int store_log_pg(struct store *st, struct pg *pg, enum space_use use)
{
	uint8_t raw[PG_ENCODED_MAX];
	struct record r = {.type = REC_PG, .key = {.pool = pg->pool, .pg = pg->pg}};

	r.blob_len = pg_is_known(pg) ? pg_encode(pg, raw) : 0;
	r.blob = raw;
	int err = batch_reserve(st, use, record_encoded_len(0, 0, r.blob_len), 0);
	if (err)
		return err;
	batch_add_record(st, &r);
	store_pg_logged(st, pg, &r);
	return 0;
}

/*
 * Shards that a walk over a PG found, to be dropped: in one batch, so that a power cut leaves all or
 * none of them, unless there are more than PAGE_MAX.
 */
enum { PAGE_MAX = 65536 };
struct page {
	struct shard_key *v;
	uint32_t count, cap;
	uint64_t tombstones_up_to; /* those of any number; 0: none */
	bool strays;               /* shards of another number than `keep` */
	uint32_t keep;
	struct shard_key last;
	bool started, full;
};

static int page_each(void *ctx, const struct shard *s)
{
	struct page *p = ctx;

	p->last = s->key;
	bool stray = p->strays && s->key.shard != p->keep;
	bool deleted = (s->flags & ST_TOMBSTONE) && !s->pending &&
	               s->committed <= p->tombstones_up_to;
	if (!stray && !deleted)
		return 0;
	if (p->count == p->cap) {
		p->cap = MAX(256, p->cap * 2);
		p->v = xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->count++] = s->key;
	p->full = p->count == PAGE_MAX;
	return p->full;
}

/* Finds the next ones and makes room in the batch for their records and `extra` bytes more. */
static int page_collect(struct store *st, struct page *p, uint32_t extra)
{
	struct shard_key after = p->last;

	p->count = 0;
	p->full = false;
	int err = memtable_list(&st->mt, &after, !p->started, page_each, p);
	p->started = true;
	if (err)
		return err;
	return batch_reserve(st, SPACE_META, p->count * record_encoded_len(0, 0, 0) + extra, 0);
}

static int page_drop(struct store *st, const struct page *p)
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct shard *s;
		int err = memtable_shard(&st->mt, &p->v[i], &s);
		if (!err && shard_exists(s))
			err = store_drop_shard(st, s);
		if (err)
			return err;
	}
	return 0;
}

/* What was collected, and whatever did not fit with it. */
static int page_drop_all(struct store *st, struct page *p)
{
	int err = page_drop(st, p);

	while (!err && p->full) {
		err = batch_flush(st);
		if (!err && st->mt.dirty > MEMTABLE_DIRTY_MAX)
			err = store_checkpoint(st);
		if (!err)
			err = page_collect(st, p, 0);
		if (!err)
			err = page_drop(st, p);
	}
	return err;
}

static void pg_set_complete(struct pg *pg, uint64_t commit)
{
	if (pg->info.complete < pg->info.clean)
		pg->info.clean_commit = 0;
	pg->info.complete = pg->info.clean;
	pg->info.clean_commit = MAX(pg->info.clean_commit, commit);
	pg->info.suspect = false;
}

static int pg_activate(struct store *st, const struct msg *req, struct page *p)
{
	struct pg *pg = memtable_pg(&st->mt, req->pool, req->pg);
	uint32_t extra = record_encoded_len(0, 0, PG_ENCODED_MAX);

	store_promote_pg(st, pg, req->info.commit);
	p->tombstones_up_to = pg->tombstones ? req->info.commit : 0;
	p->keep = req->shard;
	p->strays = req->shard != SHARD_NONE;
	bool drop = (req->flags & MSG_F_PURGE) && (p->tombstones_up_to || p->strays);
	int err = drop ? page_collect(st, p, extra) : batch_reserve(st, SPACE_META, extra, 0);
	if (err)
		return err;
	if ((req->flags & MSG_F_LOG) && !pg_log_reaches(pg, req->info.activated))
		pg_log_replace(pg, req->log, req->log_count, req->info.floor);
	pg->info.activated = MAX(pg->info.activated, req->info.activated);
	pg->info.commit = MAX(pg->info.commit, req->info.commit);
	pg->info.clean = MAX(pg->info.clean, req->info.clean);
	pg->info.scrubbed = MAX(pg->info.scrubbed, req->info.scrubbed);
	if (req->flags & MSG_F_PURGE)
		pg_set_complete(pg, req->info.clean_commit);
	memtable_pg_changed(&st->mt, pg);
	err = store_log_pg(st, pg, SPACE_META);
	return err ? err : page_drop_all(st, p);
}

static int pg_drop(struct store *st, const struct msg *req, struct page *p)
{
	bool forget = req->shard == SHARD_NONE && memtable_pg_find(&st->mt, req->pool, req->pg);

	p->keep = req->shard;
	p->strays = true;
	int err = page_collect(st, p, record_encoded_len(0, 0, 0));
	if (!err && forget) {
		struct pg *pg = memtable_pg(&st->mt, req->pool, req->pg);
		pg_forget(pg);
		memtable_pg_changed(&st->mt, pg);
		err = store_log_pg(st, pg, SPACE_META);
	}
	return err ? err : page_drop_all(st, p);
}

static uint32_t pg_change(struct store *st, const struct msg *req,
                          int (*change)(struct store *st, const struct msg *req, struct page *p))
{
	int err = 0;

	for (int attempt = 0; attempt < 2; attempt++) {
		struct page p = {.last = {.pool = req->pool, .pg = req->pg}};
		err = change(st, req, &p);
		free(p.v);
		if (err != -ENOSPC || attempt)
			break;
		store_compact_urgent(st, 0);
		if (st->failed)
			return RES_IO;
	}
	return err ? store_error(st, err) : RES_OK;
}

uint32_t store_pg_activate(struct store *st, const struct msg *req)
{
	return pg_change(st, req, pg_activate);
}

uint32_t store_pg_drop(struct store *st, const struct msg *req)
{
	return pg_change(st, req, pg_drop);
}

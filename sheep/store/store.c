/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/state.h"

enum { CHECKPOINT_MS = 5000, SPACE_MS = 1000, HINT_DESC_MAX = 1 << 20 };

struct store_identity store_identity(const struct store *st)
{
	return (struct store_identity){
		.disk = st->sb.disk,
		.cluster = st->sb.cluster,
		.node = st->sb.node,
		.fresh = st->fresh,
	};
}

bool store_failed(const struct store *st)
{
	return st->failed;
}

static uint32_t store_stat(struct store *st, const struct msg *req, struct msg *reply)
{
	struct shard_key key = {
		.pool = req->pool,
		.pg = req->pg,
		.oid = req->oid,
		.shard = (uint8_t)req->shard,
	};
	struct shard *s;

	if (req->shard >= SHARD_NONE)
		return RES_INVALID;
	int err = memtable_shard(&st->mt, &key, &s);
	if (err)
		return store_error(st, err);
	if (!shard_exists(s))
		return RES_NOENT;
	reply->entries = xcalloc(1, sizeof(*reply->entries));
	reply->entry_count = 1;
	shard_list_entry(s, reply->entries);
	return RES_OK;
}

static uint32_t store_usage(struct store *st, struct disk_usage *u)
{
	uint64_t avail = segments_avail(&st->segs, SPACE_DATA);

	if (st->index_full ||
	    (st->refused_bytes && !segments_fit(&st->segs, SPACE_DATA, st->refused_bytes)))
		avail = 0;
	*u = (struct disk_usage){
		.size_bytes = st->segs.limit,
		.used_bytes = segments_used(&st->segs),
		.live_bytes = st->segs.live,
		.avail_bytes = avail,
		.shards = st->mt.existing,
		.checksum_errors = st->checksum_errors,
	};
	return RES_OK;
}

static uint32_t job_run(struct store *st, struct disk_job *job)
{
	const struct msg *req = job->req;
	struct msg *reply = job->reply;

	switch ((uint32_t)req->type) {
	case MSG_SHARD_PREPARE:
		return store_prepare(st, req, reply);
	case MSG_SHARD_PUSH:
		return store_push(st, req, reply);
	case MSG_SHARD_ROLLBACK:
		return store_rollback(st, req, reply);
	case MSG_SHARD_REMOVE:
		return store_remove(st, req);
	case MSG_SHARD_READ:
		return store_read(st, req, reply);
	case MSG_SHARD_STAT:
		return store_stat(st, req, reply);
	case MSG_PG_LIST:
		return store_pg_list(st, req, reply);
	case MSG_PG_COMMIT:
		return store_pg_commit(st, req);
	case MSG_PG_QUERY:
		return store_pg_query(st, req, reply);
	case MSG_PG_ACTIVATE:
		return store_pg_activate(st, req);
	case MSG_PG_DROP:
		return store_pg_drop(st, req);
	case DISK_USAGE:
		return store_usage(st, &job->usage);
	default:
		return RES_INVALID;
	}
}

static bool job_writes_data(const struct disk_job *job)
{
	return job->req->type == MSG_SHARD_PREPARE || job->req->type == MSG_SHARD_PUSH;
}

static uint32_t job_desc(const struct disk_job *job)
{
	return record_encoded_len(MAX_RANGES, payload_len(&job->req->payload), 0);
}

static uint32_t job_blocks(const struct disk_job *job)
{
	return (uint32_t)div_up(payload_len(&job->req->payload), LOG_BLOCK);
}

/* How large a batch these jobs will make, so that one is started that holds them all. */
static void hints_add(struct store *st, struct list *jobs)
{
	struct batch *b = &st->batch;

	b->hint_desc = b->hint_blocks = 0;
	list_each (it, jobs) {
		struct disk_job *job = list_item(it, struct disk_job, link);
		if (job_writes_data(job) && b->hint_desc < HINT_DESC_MAX) {
			b->hint_desc += job_desc(job);
			b->hint_blocks += job_blocks(job);
		}
	}
}

static void hints_drop(struct store *st, const struct disk_job *job)
{
	struct batch *b = &st->batch;

	if (!job_writes_data(job))
		return;
	b->hint_desc -= MIN(b->hint_desc, job_desc(job));
	b->hint_blocks -= MIN(b->hint_blocks, job_blocks(job));
}

/* What cannot wait for an idle moment. */
static void store_before_jobs(struct store *st)
{
	int err = 0;

	if (st->index_bad && !st->failed) {
		store_compact_stop(st);
		err = store_rebuild_index(st);
		st->index_bad = err != 0;
	} else if (st->mt.dirty > 2 * MEMTABLE_DIRTY_MAX && !st->failed && !st->index_full) {
		err = store_checkpoint(st);
		st->index_bad = err == -SF_ECORRUPT;
	}
	if (err && err != -ENOSPC && !st->index_bad)
		st->failed = true;
}

void store_execute(struct store *st, struct list *jobs)
{
	store_before_jobs(st);
	hints_add(st, jobs);
	list_each (it, jobs) {
		struct disk_job *job = list_item(it, struct disk_job, link);
		job->reply->result = st->failed || st->index_bad ? RES_IO : job_run(st, job);
		if (st->batch.open)
			batch_add_job(&st->batch, job);
		hints_drop(st, job);
		memtable_trim(&st->mt);
	}
	batch_flush(st);
}

static bool idle_checkpoint(struct store *st, uint64_t now_ms)
{
	bool dirty = st->mt.dirty || st->mt.dirty_pgs;
	bool due = st->mt.dirty > MEMTABLE_DIRTY_MAX || now_ms - st->checkpoint_ms >= CHECKPOINT_MS;

	if (!dirty) {
		/* Nothing happened for that long: then the index did not kill anybody either. */
		if (due && st->checkpoint_ms)
			index_is_sound(st->index_path);
		if (due)
			st->checkpoint_ms = now_ms;
		return false;
	}
	if (!due)
		return false;
	st->checkpoint_ms = now_ms;
	if (store_checkpoint(st) == -SF_ECORRUPT)
		st->index_bad = true;
	return true;
}

bool store_idle(struct store *st, uint64_t now_ms, uint32_t *wait_ms)
{
	*wait_ms = 1000;
	if (st->failed)
		return false;
	if (st->index_bad) {
		store_before_jobs(st);
		return false;
	}
	if (!st->space_ms || now_ms - st->space_ms >= SPACE_MS) {
		st->space_ms = now_ms;
		segments_look_at_fs(&st->segs);
	}
	if (idle_checkpoint(st, now_ms))
		return true;
	if (store_compact_slice(st, now_ms, false))
		return true;
	return segment_prepare_spare(&st->segs);
}

uint64_t store_size_bytes(const struct store *st)
{
	return st->segs.limit;
}

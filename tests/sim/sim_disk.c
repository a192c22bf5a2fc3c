/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/disk_pg.h"

/* ---- What a power cut takes back ---- */

struct undo {
	struct disk_pg pg; /* as it was; with nothing in it when it did not exist */
};

void sim_disk_init(struct sim_disk *d, uint64_t id)
{
	memset(d, 0, sizeof(*d));
	d->id = id;
}

static void undo_drop(struct sim_disk *d)
{
	for (uint32_t i = 0; i < d->undo_count; i++)
		disk_pg_fini(&d->undo[i].pg);
	d->undo_count = 0;
}

void sim_disk_wipe(struct sim_disk *d)
{
	undo_drop(d);
	for (uint32_t i = 0; i < d->pg_count; i++)
		disk_pg_fini(&d->pgs[i]);
	free(d->pgs);
	d->pgs = NULL;
	d->pg_count = 0;
}

void sim_disk_copy_data(struct sim_disk *dst, const struct sim_disk *src)
{
	sim_disk_wipe(dst);
	dst->pgs = xcalloc(src->pg_count + 1, sizeof(*dst->pgs));
	dst->pg_count = src->pg_count;
	for (uint32_t i = 0; i < src->pg_count; i++)
		disk_pg_copy(&dst->pgs[i], &src->pgs[i]);
}

void sim_disk_restart(struct sim_disk *d)
{
	if (d->mends)
		d->failed = d->mends = false;
	d->taken_out = false;
}

void sim_disk_fini(struct sim_disk *d)
{
	sim_disk_wipe(d);
	free(d->undo);
	d->undo = NULL;
}

static struct disk_pg *disk_find(const struct sim_disk *d, uint32_t pool, uint32_t number)
{
	for (uint32_t i = 0; i < d->pg_count; i++)
		if (d->pgs[i].pool == pool && d->pgs[i].number == number)
			return &d->pgs[i];
	return NULL;
}

static struct disk_pg *disk_get(struct sim_disk *d, uint32_t pool, uint32_t number)
{
	struct disk_pg *pg = disk_find(d, pool, number);

	if (pg)
		return pg;
	d->pgs = xrealloc(d->pgs, (d->pg_count + 1) * sizeof(*d->pgs));
	pg = &d->pgs[d->pg_count++];
	memset(pg, 0, sizeof(*pg));
	pg->pool = pool;
	pg->number = number;
	return pg;
}

static void undo_record(struct sim_disk *d, const struct disk_pg *pg)
{
	if (d->undo_count == d->undo_capacity) {
		d->undo_capacity = MAX(16u, d->undo_capacity * 2);
		d->undo = xrealloc(d->undo, d->undo_capacity * sizeof(*d->undo));
	}
	disk_pg_copy(&d->undo[d->undo_count++].pg, pg);
}

void sim_disk_sync(struct sim_disk *d)
{
	undo_drop(d);
}

uint32_t sim_disk_unsynced(const struct sim_disk *d)
{
	return d->undo_count;
}

void sim_disk_crash(struct sim_disk *d, uint32_t kept)
{
	assert(kept <= d->undo_count);
	while (d->undo_count > kept) {
		struct undo *u = &d->undo[--d->undo_count];
		struct disk_pg *pg = disk_get(d, u->pg.pool, u->pg.number);

		disk_pg_fini(pg);
		*pg = u->pg;
	}
	sim_disk_sync(d);
}

/* ---- Requests ---- */

bool sim_disk_request_durable(enum msg_type type)
{
	switch (type) {
	case MSG_SHARD_PREPARE:
	case MSG_SHARD_PUSH:
	case MSG_SHARD_ROLLBACK:
	case MSG_PG_ACTIVATE:
		return true;
	default:
		return false;
	}
}

static bool request_changes(enum msg_type type)
{
	return sim_disk_request_durable(type) || type == MSG_SHARD_REMOVE ||
	       type == MSG_PG_COMMIT || type == MSG_PG_DROP;
}

uint64_t sim_disk_live_bytes(const struct sim_disk *d)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < d->pg_count; i++)
		for (uint32_t j = 0; j < d->pgs[i].shard_count; j++)
			sum += content_end(&d->pgs[i].shards[j].committed.content) +
			       content_end(&d->pgs[i].shards[j].pending.content);
	return sum;
}

static void disk_usage(struct sim_disk *d, struct disk_job *job)
{
	uint64_t live = sim_disk_live_bytes(d);
	uint64_t size = d->limit_bytes ? d->limit_bytes : 1ull << 40;

	job->usage = (struct disk_usage){
		.size_bytes = size,
		.used_bytes = live,
		.live_bytes = live,
		.avail_bytes = size > live ? size - live : 0,
		.checksum_errors = d->checksum_errors,
	};
	for (uint32_t i = 0; i < d->pg_count; i++)
		job->usage.shards += d->pgs[i].shard_count;
}

/* EIO once takes the disk out of service until its node starts again. */
static bool disk_fails(struct sim_disk *d, const struct msg *req)
{
	bool now = (d->eio_reads && req->type == MSG_SHARD_READ) ||
	           (d->eio_writes && sim_disk_request_durable(req->type));

	if (now && !d->failed) {
		d->failed = d->mends = true;
		d->eio_reads = d->eio_writes = false;
	}
	return d->failed;
}

void sim_disk_execute(struct sim_disk *d, struct disk_job *job)
{
	const struct msg *req = job->req;
	struct msg *reply = job->reply;
	bool full = d->limit_bytes && sim_disk_live_bytes(d) >= d->limit_bytes;
	struct disk_pg *pg;

	if (disk_fails(d, req)) {
		reply->result = RES_IO;
		return;
	}
	reply->result = RES_OK;
	if ((uint32_t)req->type == DISK_USAGE) {
		disk_usage(d, job);
		return;
	}
	pg = disk_get(d, req->pool, req->pg);
	if (request_changes(req->type))
		undo_record(d, pg);
	switch (req->type) {
	case MSG_SHARD_PREPARE:
		reply->result = disk_pg_prepare(pg, req, full, &reply->version);
		break;
	case MSG_SHARD_PUSH:
		reply->result = disk_pg_push(pg, req, full);
		break;
	case MSG_SHARD_ROLLBACK:
		reply->result = disk_pg_rollback(pg, req);
		break;
	case MSG_SHARD_REMOVE:
		disk_pg_remove(pg, req);
		break;
	case MSG_SHARD_READ:
		reply->result = disk_pg_read(pg, req, reply);
		d->checksum_errors += reply->result == RES_CORRUPT;
		break;
	case MSG_SHARD_STAT:
		reply->result = disk_pg_stat(pg, req, reply);
		break;
	case MSG_PG_LIST:
		disk_pg_list(pg, req, reply);
		break;
	case MSG_PG_COMMIT:
		disk_pg_commit(pg, req->commit);
		pg->info.commit = MAX(pg->info.commit, req->commit);
		break;
	case MSG_PG_QUERY:
		disk_pg_query(pg, reply);
		break;
	case MSG_PG_ACTIVATE:
		disk_pg_activate(pg, req);
		break;
	case MSG_PG_DROP:
		disk_pg_drop(pg, req->shard);
		break;
	default:
		reply->result = RES_INVALID;
	}
}

/* ---- Views ---- */

struct disk_pg *sim_disk_pg(const struct sim_disk *d, uint32_t pool, uint32_t pg)
{
	return disk_find(d, pool, pg);
}

const struct shard *sim_disk_shard(const struct sim_disk *d, uint32_t pool, uint32_t number,
                                   uint64_t oid, uint32_t shard)
{
	const struct disk_pg *pg = disk_find(d, pool, number);

	return pg ? disk_pg_find((struct disk_pg *)pg, oid, shard) : NULL;
}

bool sim_disk_rot(struct sim_disk *d, uint32_t pool, uint32_t number, uint64_t oid, uint32_t shard)
{
	struct disk_pg *pg = disk_find(d, pool, number);
	struct shard *s = pg ? disk_pg_find(pg, oid, shard) : NULL;

	if (!s || !content_end(&s->committed.content))
		return false;
	s->committed.rotten = true;
	return true;
}

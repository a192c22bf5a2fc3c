/* SPDX-License-Identifier: Apache-2.0 */

/* What a disk job did, told from the disk before and after it. */
#include <string.h>

#include "lib/place/place.h"
#include "tests/sim/cover.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

static void look(struct world *w, uint32_t node, uint32_t disk, const struct disk_job *job,
                 struct cover_job *ret)
{
	const struct sim_disk *d = &w->nodes[node]->disks[disk];
	const struct msg *req = job->req;
	const struct disk_pg *pg = sim_disk_pg(d, req->pool, req->pg);
	uint64_t commit = req->type == MSG_PG_ACTIVATE ? req->info.commit : req->commit;

	memset(ret, 0, sizeof(*ret));
	if (!pg)
		return;
	ret->shards = pg->shard_count;
	ret->log = pg->log_count;
	for (uint32_t i = 0; i < pg->shard_count; i++) {
		const struct shard *s = &pg->shards[i];

		ret->tombstones += s->committed.tombstone;
		ret->others += s->number != req->shard;
		ret->behind += s->pending.version && s->pending.version <= commit &&
		               version_epoch(s->pending.version) < req->epoch;
		if (s->oid != req->oid || s->number != req->shard)
			continue;
		ret->committed = s->committed.version;
		ret->pending = s->pending.version;
		ret->pending_tombstone = s->pending.tombstone;
		ret->damaged = s->committed.damaged || s->pending.damaged;
	}
}

void cover_job_before(struct world *w, uint32_t node, uint32_t disk, const struct disk_job *job,
                      struct cover_job *ret)
{
	look(w, node, disk, job, ret);
}

static void cover_prepare(struct world *w, const struct disk_job *job, const struct cover_job *b)
{
	const struct msg *req = job->req;

	switch (job->reply->result) {
	case RES_OK:
		break;
	case RES_BASE:
		cover(w, BR_PREPARE_BASE);
		return;
	case RES_NOSPACE:
		cover(w, BR_PREPARE_NOSPACE);
		return;
	case RES_CORRUPT:
		cover(w, BR_PREPARE_CORRUPT);
		return;
	default:
		cover(w, BR_PREPARE_IO);
		return;
	}
	if (b->committed == req->version || b->pending == req->version) {
		cover(w, BR_PREPARE_REPEATED);
		return;
	}
	cover(w, BR_PREPARE);
	if (b->pending && b->pending <= req->commit)
		cover(w, BR_PREPARE_RIDES);
	else if (b->pending)
		cover(w, BR_PREPARE_ON_PENDING);
	if (req->shard_flags & SHARD_DELETE)
		cover(w, BR_PREPARE_DELETE);
	else if (req->shard_flags & SHARD_REPLACE)
		cover(w, BR_PREPARE_REPLACE);
	for (uint32_t i = 0; i < req->range_count; i++)
		if (req->ranges[i].op != RANGE_DATA)
			cover(w, req->ranges[i].op == RANGE_XOR ? BR_PREPARE_XOR : BR_PREPARE_ZERO);
}

static void cover_push(struct world *w, const struct disk_job *job, const struct cover_job *b)
{
	const struct msg *req = job->req;

	if (job->reply->result == RES_BASE)
		cover(w, BR_PUSH_OVERTAKEN);
	else if (job->reply->result == RES_NOSPACE)
		cover(w, BR_PUSH_NOSPACE);
	else if (job->reply->result != RES_OK)
		cover(w, BR_PUSH_IO);
	else if (b->committed >= req->version && !b->damaged)
		cover(w, BR_PUSH_REPEATED);
	else {
		cover(w, req->shard_flags & SHARD_DELETE ? BR_PUSH_DELETE : BR_PUSH);
		if (b->damaged)
			cover(w, BR_PUSH_HEALS);
		if (b->committed && b->committed < req->version)
			cover(w, BR_PUSH_OVER_OLD);
		if (req->shard_flags & SHARD_UNSTABLE)
			cover(w, BR_FORWARD_PUSH);
	}
}

static void cover_rollback(struct world *w, const struct disk_job *job, const struct cover_job *b)
{
	const struct msg *req = job->req;

	if (job->reply->result != RES_OK)
		return;
	if (!b->pending || b->pending != req->version) {
		cover(w, BR_BACK_NOTHING);
		return;
	}
	cover(w, version_epoch(req->version) < req->epoch ? BR_BACK : BR_BACK_WRITE);
	if (b->pending_tombstone && version_epoch(req->version) < req->epoch)
		cover(w, BR_BACK_DELETE);
}

static void cover_read(struct world *w, const struct disk_job *job)
{
	const struct msg *req = job->req;
	const struct map *map = sim_member_map(w);
	const struct map_pool *pool = map ? map_find_pool(map, req->pool) : NULL;
	const uint64_t *slots;

	if (job->reply->result == RES_CORRUPT)
		cover(w, BR_READ_CORRUPT);
	if (job->reply->result == RES_IO)
		cover(w, BR_READ_IO);
	if (!pool || job->reply->result != RES_OK)
		return;
	slots = placement_slots(sim_member_placement(w, map->epoch), req->pool, req->pg);
	if (req->shard >= pool->k + pool->m || slots[req->shard] != job->disk)
		cover(w, BR_READ_STRAY);
}

/* Whether somebody listed objects since the PG's members were last asked what they know. */
static bool *listed_of(struct world *w, const struct msg *req)
{
	return &w->listed[req->pool % SIM_POOLS][req->pg % SIM_PGS];
}

static void cover_list(struct world *w, const struct msg *req)
{
	if (!req->epoch)
		return; /* in search of strays, or for a client */
	*listed_of(w, req) = true;
	if (req->log_count)
		cover(w, BR_LIST_SOME);
	else if (req->flags & MSG_F_FIRST)
		cover(w, BR_LIST_ALL);
}

static void cover_activate(struct world *w, const struct msg *req, const struct cover_job *b,
                           const struct cover_job *a)
{
	if ((req->flags & MSG_F_LOG) && !*listed_of(w, req))
		cover(w, BR_SHORT);
	cover(w, BR_ACTIVATE);
	if (b->behind)
		cover(w, BR_FORWARD);
	if (a->log > b->log)
		cover(w, BR_ACTIVATE_LOG);
	if (a->log < b->log)
		cover(w, BR_ACTIVATE_VOID);
	if (req->shard != SHARD_NONE && a->others < b->others)
		cover(w, BR_DROP_WRONG);
	if (a->tombstones < b->tombstones)
		cover(w, BR_PURGE);
}

void cover_job_after(struct world *w, uint32_t node, uint32_t disk, const struct disk_job *job,
                     const struct cover_job *before)
{
	struct cover_job after;

	look(w, node, disk, job, &after);
	switch (job->req->type) {
	case MSG_SHARD_PREPARE:
		cover_prepare(w, job, before);
		break;
	case MSG_SHARD_PUSH:
		cover_push(w, job, before);
		break;
	case MSG_SHARD_ROLLBACK:
		cover_rollback(w, job, before);
		break;
	case MSG_SHARD_REMOVE:
		if (after.shards < before->shards)
			cover(w, BR_REMOVE);
		break;
	case MSG_SHARD_READ:
		cover_read(w, job);
		break;
	case MSG_PG_QUERY:
		*listed_of(w, job->req) = false;
		break;
	case MSG_PG_LIST:
		cover_list(w, job->req);
		if (job->reply->flags & MSG_F_MORE)
			cover(w, BR_LIST_MORE);
		break;
	case MSG_PG_COMMIT:
		cover(w, BR_COMMIT);
		break;
	case MSG_PG_ACTIVATE:
		if (job->reply->result == RES_OK)
			cover_activate(w, job->req, before, &after);
		break;
	case MSG_PG_DROP:
		if (after.shards < before->shards)
			cover(w, job->req->shard == SHARD_NONE ? BR_DROP_STRAY : BR_DROP_WRONG);
		break;
	default:
		break;
	}
}

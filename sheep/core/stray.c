/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Data that a disk still has of PGs it is no slot of any more, because it was away when the PG
 * became clean: looked for PG by PG after each change of the map, and reported to the primary,
 * which has it dropped once it is not needed.
 */
#include "lib/base/mem.h"
#include "sheep/core/core.h"

enum { STRAY_PAUSE_MS = 3000, STRAY_STEP = 64 };

static bool disk_is_slot(const struct node *node, uint32_t pool, uint32_t pg, uint64_t disk)
{
	const struct map_pool *conf = map_find_pool(node->map, pool);
	const uint64_t *disks = placement_slots(node->placement, pool, pg);

	for (uint32_t i = 0; i < conf->k + conf->m; i++)
		if (disks[i] == disk)
			return true;
	return false;
}

static void stray_answer(struct node *node, struct call *call, struct msg *reply)
{
	uint32_t pool = (uintptr_t)call->ctx;
	uint64_t live;
	const uint64_t *disks;

	if (reply->result != RES_OK || !reply->entry_count || !node->rec_count)
		return;
	if (!epoch_slots(&node->rec[node->rec_count - 1], pool, call->index, &disks, &live) || !live)
		return;
	const struct map_disk *d = map_find_disk(node->map, disks[__builtin_ctzll(live)]);
	struct msg *m = msg_create(MSG_PG_STRAY);
	m->epoch = node->map->epoch;
	m->pool = pool;
	m->pg = call->index;
	m->disk = call->disk;
	if (!node->stray_at) /* look again, until its primary had it dropped */
		node->stray_at = node->now + STRAY_PAUSE_MS;
	if (node_is_self(node, d->node)) {
		stray_reported(node, m);
		msg_destroy(m);
	} else {
		node_send(node, d->node, m);
	}
}

/* We are the primary. While the PG is not clean the stray may still be needed; it is reported
 * again later. */
void stray_reported(struct node *node, const struct msg *msg)
{
	struct pg *pg = node_find_pg(node, msg->pool, msg->pg);
	const struct map_disk *d = node->map ? map_find_disk(node->map, msg->disk) : NULL;

	if (!pg || !pg->clean || !d || disk_is_slot(node, msg->pool, msg->pg, msg->disk))
		return;
	/* It was moved to the reporter, and the map does not say so yet. */
	if (node_is_self(node, d->node) && !node_disk(node, d->id))
		return;
	struct msg *drop = pg_msg(node, pg, MSG_PG_DROP);
	drop->shard = SHARD_NONE;
	drop->disk = msg->disk;
	if (node_is_self(node, d->node))
		call_start(node, pg, d->node, d->id, drop, NULL, NULL);
	else
		node_send(node, d->node, drop);
}

static void stray_ask(struct node *node, uint32_t pool, uint32_t pg, uint64_t disk)
{
	struct msg *m = msg_create(MSG_PG_LIST);

	m->flags = MSG_F_FIRST;
	m->length = 1;
	m->pool = pool;
	m->pg = pg;
	call_start(node, NULL, node->config.info.id, disk, m, stray_answer, (void *)(uintptr_t)pool)
		->index = pg;
}

/* Next (pool, pg, disk) of the walk; false at its end. */
static bool stray_advance(struct node *node)
{
	if (++node->stray_disk < node->config.info.disk_count)
		return true;
	node->stray_disk = 0;
	if (++node->stray_pg < node->pools[node->stray_pool].pg_count)
		return true;
	node->stray_pg = 0;
	return ++node->stray_pool < node->pool_count;
}

void stray_tick(struct node *node)
{
	if (!node->map || node->adopting || !node->pool_count || !node->config.info.disk_count)
		return;
	if (node->stray_epoch != node->map->epoch) {
		/* Start over once the map has been the same for a while. */
		node->stray_epoch = node->map->epoch;
		node->stray_at = node->now + STRAY_PAUSE_MS;
		node->stray_pool = node->stray_pg = node->stray_disk = 0;
	}
	if (!node->stray_at || node->now < node->stray_at)
		return;
	for (uint32_t i = 0; i < STRAY_STEP; i++) {
		uint64_t disk = node->disks[node->stray_disk].id;
		uint32_t pool = node->pools[node->stray_pool].pool;
		/* What was given up stays as it is: somebody may want to look at it. */
		if (!disk_is_slot(node, pool, node->stray_pg, disk) &&
		    !disk_is_lost(node->map, disk))
			stray_ask(node, pool, node->stray_pg, disk);
		if (stray_advance(node))
			continue;
		node->stray_at = 0;
		node->stray_pool = node->stray_pg = node->stray_disk = 0;
		break;
	}
}

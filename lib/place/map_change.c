/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/place/map.h"
#include "lib/place/map_edit.h"
#include "lib/place/place.h"

/*
 * Each event has one function here. It edits `next`, a copy of the map whose epoch is already the
 * new one, and says whether it changed anything; if not, the copy is dropped. Every refusal is "no
 * change": several nodes propose the same event, and all but the first find it already done.
 */

static struct map_node *node_of(struct map *next, uint64_t id)
{
	return (struct map_node *)map_find_node(next, id);
}

static struct map_disk *disk_of(struct map *next, uint64_t id)
{
	return (struct map_disk *)map_find_disk(next, id);
}

/* ---- Who goes with MAP_EV_FORGET ---- */

static bool node_is_leaving(const struct map_node *node)
{
	return (node->flags & NODE_DRAIN) && !(node->flags & NODE_UP);
}

static bool disk_goes(const struct map *map, const struct map_disk *disk)
{
	const struct map_node *node = map_find_node(map, disk->node);

	return !(disk->flags & DISK_LOST) &&
	       ((disk->flags & DISK_LEAVING) || (node && node_is_leaving(node)));
}

static bool node_goes(const struct map *map, const struct map_node *node)
{
	if (!node_is_leaving(node))
		return false;
	for (uint32_t i = 0; i < map->disk_count; i++)
		if (map->disks[i].node == node->id && !disk_goes(map, &map->disks[i]))
			return false;
	return true;
}

/* Asked at every tick: cheap where nothing leaves. */
bool map_has_leavers(const struct map *map)
{
	bool node_leaves = false;

	for (uint32_t i = 0; i < map->node_count; i++) {
		node_leaves = node_leaves || node_is_leaving(&map->nodes[i]);
		if (node_goes(map, &map->nodes[i]))
			return true;
	}
	for (uint32_t i = 0; i < map->disk_count; i++)
		if ((node_leaves || (map->disks[i].flags & DISK_LEAVING)) &&
		    disk_goes(map, &map->disks[i]))
			return true;
	return false;
}

/* ---- Joining ---- */

static bool announces_disk(const struct node_info *info, uint64_t disk)
{
	if (info->gateway)
		return false;
	for (uint32_t i = 0; i < info->disk_count; i++) {
		if (info->disks[i].id == disk)
			return true;
	}
	return false;
}

static void node_from_info(struct map_node *ret, const struct node_info *info)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = info->id;
	ret->incarnation = info->incarnation;
	memccpy(ret->addr, info->addr, 0, sizeof(ret->addr) - 1);
	ret->port = info->port;
	ret->zone = info->zone;
	ret->flags = NODE_UP | (info->gateway ? NODE_GATEWAY : 0);
}

static bool node_equal(const struct map_node *a, const struct map_node *b)
{
	return a->id == b->id && a->incarnation == b->incarnation && !strcmp(a->addr, b->addr) &&
	       a->port == b->port && a->zone == b->zone && a->flags == b->flags &&
	       a->down_since_s == b->down_since_s;
}

/*
 * The disks the node announces. `fresh`: the node started anew, so what failed before deserves
 * another chance, and a disk that another node held was carried over. Without `fresh` neither is
 * true: two nodes that both claim one disk would otherwise take it from each other in epoch after
 * epoch.
 */
static bool join_announced_disks(struct map *next, const struct node_info *info, bool fresh)
{
	bool changed = false;

	for (uint32_t i = 0; i < info->disk_count; i++) {
		struct map_disk *disk = disk_of(next, info->disks[i].id);

		if (!disk) {
			struct map_disk new_disk = {
				.id = info->disks[i].id,
				.node = info->id,
				.weight = MIN(MAX(info->disks[i].weight, 1u),
			                      (uint32_t)MAP_MAX_WEIGHT),
			};

			map_put_disk(next, &new_disk);
			changed = true;
		} else if (disk->flags & DISK_LOST) {
			continue; /* what it holds was given up: nobody may meet it again */
		} else if (fresh && disk->node != info->id) {
			disk->node = info->id;
			disk->flags = 0;
			changed = true;
		} else if (fresh && (disk->flags & DISK_FAILED)) {
			disk->flags &= ~(uint32_t)DISK_FAILED;
			changed = true;
		}
	}
	return changed;
}

/* Disks that were the node's and that it announces no more: pulled, or broken at its start. */
static bool join_missing_disks(struct map *next, const struct node_info *info)
{
	bool changed = false;

	for (uint32_t i = 0; i < next->disk_count; i++) {
		struct map_disk *disk = &next->disks[i];

		if (disk->node != info->id || (disk->flags & DISK_FAILED) ||
		    announces_disk(info, disk->id))
			continue;
		disk->flags |= DISK_FAILED;
		changed = true;
	}
	return changed;
}

static bool change_join(struct map *next, const struct node_info *info)
{
	const struct map_node *old = map_find_node(next, info->id);
	bool fresh = !old || old->incarnation != info->incarnation;
	struct map_node node;
	bool changed = false;

	assert(info->id != 0 && info->disk_count <= NODE_MAX_DISKS);
	if (info->cluster != 0 && info->cluster != next->cluster)
		return false;
	/* The process that left in order is about to exit; only its successor may join. */
	if (!fresh && (old->flags & NODE_LEFT))
		return false;

	node_from_info(&node, info);
	if (old)
		node.flags |= old->flags & (NODE_DRAIN | NODE_MAINTENANCE);
	if (!old || !node_equal(old, &node)) {
		map_put_node(next, &node);
		changed = true;
	}
	if (!info->gateway && join_announced_disks(next, info, fresh))
		changed = true;
	if (join_missing_disks(next, info))
		changed = true;
	if (next->node_count > MAP_MAX_NODES || next->disk_count > MAP_MAX_DISKS)
		return false;
	if (changed)
		next->flags &= ~(uint32_t)MAP_SHUTDOWN;
	return changed;
}

static bool change_down(struct map *next, const struct map_event *event)
{
	struct map_node *node = node_of(next, event->node);

	if (!node || !(node->flags & NODE_UP))
		return false;
	node->flags &= ~(uint32_t)NODE_UP;
	node->down_since_s = event->now_s;
	return true;
}

static bool change_leave(struct map *next, const struct map_event *event)
{
	struct map_node *node = node_of(next, event->node);

	if (!node || (node->flags & NODE_LEFT))
		return false;
	change_down(next, event);
	node->flags |= NODE_LEFT;
	return true;
}

static bool change_out(struct map *next, const struct map_event *event)
{
	struct map_node *node = node_of(next, event->node);

	if (!node || (node->flags & (NODE_UP | NODE_OUT | NODE_MAINTENANCE)))
		return false;
	node->flags |= NODE_OUT;
	return true;
}

static bool change_disk_failed(struct map *next, const struct map_event *event)
{
	struct map_disk *disk = disk_of(next, event->disk);

	if (!disk || (disk->flags & DISK_FAILED))
		return false;
	disk->flags |= DISK_FAILED;
	return true;
}

/* Losing as many disks as a pool can spare must not lose what its volumes are found by. */
static void widen_metadata(struct map *next, uint32_t spare, const uint32_t places[2])
{
	struct map_pool *meta = (struct map_pool *)map_find_pool(next, POOL_META);

	if (meta && places[meta->same_node_ok] > 0)
		meta->m = MAX(meta->m, MIN(spare, places[meta->same_node_ok] - 1));
}

static bool change_pool(struct map *next, const struct map_event *event)
{
	uint32_t places[2], last_id = 0;

	if (!map_redundancy_valid(event->k, event->m) ||
	    !map_object_shift_valid(event->object_shift) || next->pool_count == MAP_MAX_POOLS)
		return false;
	for (uint32_t i = 0; i < next->pool_count; i++) {
		const struct map_pool *pool = &next->pools[i];

		/* The pool of inodes is not shared with data: it is listed as a whole. */
		if (pool->id != POOL_META && pool->k == event->k && pool->m == event->m &&
		    pool->object_shift == event->object_shift)
			return false;
		last_id = pool->id;
	}
	if (last_id == UINT32_MAX)
		return false;
	map_count_places(next, places);

	struct map_pool pool = {
		.id = last_id + 1,
		.k = event->k,
		.m = event->m,
		.pg_count = place_pg_count(places[1], event->k + event->m),
		.object_shift = event->object_shift,
		.created_epoch = next->epoch,
		.same_node_ok = event->same_node_ok,
	};

	map_put_pool(next, &pool);
	widen_metadata(next, event->m, places);
	return map_slot_count(next) <= MAP_MAX_SLOTS;
}

static bool change_flags(struct map *next, const struct map_event *event)
{
	const uint32_t known = MAP_RECOVERY_DISABLED | MAP_SHUTDOWN;
	uint32_t flags = ((next->flags & ~event->clear_flags) | event->set_flags) & known;

	if (flags == next->flags)
		return false;
	next->flags = flags;
	return true;
}

static bool change_grace(struct map *next, const struct map_event *event)
{
	if (next->grace_ms == event->grace_ms)
		return false;
	next->grace_ms = event->grace_ms;
	return true;
}

static bool change_weight(struct map *next, const struct map_event *event)
{
	struct map_disk *disk = disk_of(next, event->disk);

	if (!disk || disk->weight == event->weight)
		return false;
	if (event->weight < 1 || event->weight > MAP_MAX_WEIGHT)
		return false;
	disk->weight = event->weight;
	return true;
}

static bool change_lost(struct map *next, const struct map_event *event)
{
	bool changed = false;

	for (uint32_t i = 0; i < event->disk_count; i++) {
		struct map_disk *disk = disk_of(next, event->disks[i]);

		if (!disk || map_disk_up(next, disk))
			return false;
		changed = changed || !(disk->flags & DISK_LOST);
		disk->flags |= DISK_FAILED | DISK_LOST;
	}
	return changed;
}

static bool change_min_live(struct map *next, const struct map_event *event)
{
	if (event->min_live_extra > MAX_PARITY || next->min_live_extra == event->min_live_extra)
		return false;
	next->min_live_extra = event->min_live_extra;
	return true;
}

static bool change_scrub(struct map *next, const struct map_event *event)
{
	bool changed = false;

	if (event->scrub_interval_s && event->scrub_interval_s != next->scrub_interval_s) {
		next->scrub_interval_s = event->scrub_interval_s;
		changed = true;
	}
	if (event->scrub_now && event->now_s > next->scrub_since_s) {
		next->scrub_since_s = event->now_s;
		changed = true;
	}
	return changed;
}

static bool change_node_flag(struct map *next, const struct map_event *event, uint32_t flag)
{
	struct map_node *node = node_of(next, event->node);
	uint32_t flags = node ? (event->on ? node->flags | flag : node->flags & ~flag) : 0;

	if (!node || node->flags == flags)
		return false;
	node->flags = flags;
	return true;
}

/* All or nothing. */
static bool change_weights(struct map *next, const struct map_event *event)
{
	bool changed = false;

	for (uint32_t i = 0; i < event->disk_count; i++) {
		struct map_disk *disk = disk_of(next, event->disks[i]);

		if (!disk || event->weights[i] < 1 || event->weights[i] > MAP_MAX_WEIGHT)
			return false;
		changed = changed || disk->weight != event->weights[i];
		disk->weight = event->weights[i];
	}
	return changed;
}

static bool change_disk_leave(struct map *next, const struct map_event *event)
{
	struct map_disk *disk = disk_of(next, event->disk);
	uint32_t flags = DISK_LEAVING | (event->failed ? DISK_FAILED : 0);

	if (!disk || (disk->flags & DISK_LOST) || (disk->flags & flags) == flags)
		return false;
	disk->flags |= flags;
	return true;
}

static bool change_disk_back(struct map *next, const struct map_event *event)
{
	struct map_disk *disk = disk_of(next, event->disk);

	if (!disk || !node_of(next, event->node) || (disk->flags & DISK_LOST))
		return false;
	if (disk->node == event->node && !(disk->flags & (DISK_FAILED | DISK_LEAVING)))
		return false;
	disk->node = event->node;
	disk->flags = 0;
	return true;
}

static bool change_forget(struct map *next)
{
	if (!map_has_leavers(next))
		return false;
	map_remove(next, node_goes, disk_goes);
	return true;
}

static bool change_by_type(struct map *next, const struct map_event *event)
{
	switch (event->type) {
	case MAP_EV_JOIN:
		return change_join(next, event->info);
	case MAP_EV_DOWN:
		return change_down(next, event);
	case MAP_EV_LEAVE:
		return change_leave(next, event);
	case MAP_EV_OUT:
		return change_out(next, event);
	case MAP_EV_DISK_FAILED:
		return change_disk_failed(next, event);
	case MAP_EV_POOL:
		return change_pool(next, event);
	case MAP_EV_FLAGS:
		return change_flags(next, event);
	case MAP_EV_GRACE:
		return change_grace(next, event);
	case MAP_EV_WEIGHT:
		return change_weight(next, event);
	case MAP_EV_LOST:
		return change_lost(next, event);
	case MAP_EV_MIN_LIVE:
		return change_min_live(next, event);
	case MAP_EV_SCRUB:
		return change_scrub(next, event);
	case MAP_EV_DRAIN:
		return change_node_flag(next, event, NODE_DRAIN);
	case MAP_EV_MAINTENANCE:
		return change_node_flag(next, event, NODE_MAINTENANCE);
	case MAP_EV_WEIGHTS:
		return change_weights(next, event);
	case MAP_EV_DISK_LEAVE:
		return change_disk_leave(next, event);
	case MAP_EV_DISK_BACK:
		return change_disk_back(next, event);
	case MAP_EV_FORGET:
		return change_forget(next);
	case MAP_EV_ANEW:
		return true;
	}
	assert(!"unknown map event");
	return false;
}

struct map *map_apply(const struct map *map, const struct map_event *event)
{
	struct map *next;

	if (map->epoch == UINT32_MAX)
		return NULL;
	next = map_clone(map);
	next->epoch++;
	next->changed_s = event->now_s;
	if (!change_by_type(next, event)) {
		map_unref(next);
		return NULL;
	}
	assert(map_valid(next));
	return next;
}

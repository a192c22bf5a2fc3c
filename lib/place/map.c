/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/place/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/place/map_edit.h"

struct map *map_create(void)
{
	struct map *map = xcalloc(1, sizeof(*map));

	map->refs = 1;
	return map;
}

struct map *map_clone(const struct map *map)
{
	struct map *copy = xmemdup(map, sizeof(*map));

	copy->refs = 1;
	copy->nodes = xmemdup(map->nodes, map->node_count * sizeof(*map->nodes));
	copy->disks = xmemdup(map->disks, map->disk_count * sizeof(*map->disks));
	copy->pools = xmemdup(map->pools, map->pool_count * sizeof(*map->pools));
	copy->overrides = xmemdup(map->overrides, map->override_count * sizeof(*map->overrides));
	return copy;
}

struct map *map_ref(struct map *map)
{
	assert(map->refs > 0 && map->refs < UINT32_MAX);
	map->refs++;
	return map;
}

void map_unref(struct map *map)
{
	if (!map)
		return;
	assert(map->refs > 0);
	if (--map->refs > 0)
		return;
	free(map->nodes);
	free(map->disks);
	free(map->pools);
	free(map->overrides);
	free(map);
}

/* Index of the first node whose id is not below `id`; likewise for disks and pools. */
static uint32_t node_lower_bound(const struct map *map, uint64_t id)
{
	uint32_t lo = 0, hi = map->node_count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (map->nodes[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t disk_lower_bound(const struct map *map, uint64_t id)
{
	uint32_t lo = 0, hi = map->disk_count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (map->disks[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t pool_lower_bound(const struct map *map, uint32_t id)
{
	uint32_t lo = 0, hi = map->pool_count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (map->pools[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct map_node *map_find_node(const struct map *map, uint64_t id)
{
	uint32_t i = node_lower_bound(map, id);

	return i < map->node_count && map->nodes[i].id == id ? &map->nodes[i] : NULL;
}

const struct map_disk *map_find_disk(const struct map *map, uint64_t id)
{
	uint32_t i = disk_lower_bound(map, id);

	return i < map->disk_count && map->disks[i].id == id ? &map->disks[i] : NULL;
}

const struct map_pool *map_find_pool(const struct map *map, uint32_t id)
{
	uint32_t i = pool_lower_bound(map, id);

	return i < map->pool_count && map->pools[i].id == id ? &map->pools[i] : NULL;
}

bool map_disk_up(const struct map *map, const struct map_disk *disk)
{
	const struct map_node *node = map_find_node(map, disk->node);

	return node && (node->flags & NODE_UP) && !(disk->flags & DISK_FAILED);
}

bool map_disk_usable(const struct map *map, const struct map_disk *disk)
{
	const struct map_node *node = map_find_node(map, disk->node);

	return node && !(node->flags & (NODE_OUT | NODE_GATEWAY | NODE_DRAIN)) &&
	       !(disk->flags & (DISK_FAILED | DISK_LEAVING));
}

/* Opens a gap for one item at index `at`; returns the array, which may have moved. */
static void *array_open(void *array, uint32_t *count, uint32_t at, size_t size)
{
	char *base = xrealloc(array, (*count + (size_t)1) * size);

	memmove(base + (at + (size_t)1) * size, base + at * size, (*count - at) * size);
	(*count)++;
	return base;
}

struct map_node *map_put_node(struct map *map, const struct map_node *node)
{
	uint32_t i = node_lower_bound(map, node->id);

	if (i == map->node_count || map->nodes[i].id != node->id)
		map->nodes = array_open(map->nodes, &map->node_count, i, sizeof(*node));
	map->nodes[i] = *node;
	return &map->nodes[i];
}

struct map_disk *map_put_disk(struct map *map, const struct map_disk *disk)
{
	uint32_t i = disk_lower_bound(map, disk->id);

	if (i == map->disk_count || map->disks[i].id != disk->id)
		map->disks = array_open(map->disks, &map->disk_count, i, sizeof(*disk));
	map->disks[i] = *disk;
	return &map->disks[i];
}

struct map_pool *map_put_pool(struct map *map, const struct map_pool *pool)
{
	uint32_t i = pool_lower_bound(map, pool->id);

	if (i == map->pool_count || map->pools[i].id != pool->id)
		map->pools = array_open(map->pools, &map->pool_count, i, sizeof(*pool));
	map->pools[i] = *pool;
	return &map->pools[i];
}

void map_remove(struct map *map, bool (*node_goes)(const struct map *, const struct map_node *),
                bool (*disk_goes)(const struct map *, const struct map_disk *))
{
	uint32_t nodes = 0, disks = 0, overrides = 0;
	bool *gone = xcalloc(map->node_count + 1, sizeof(*gone));

	/* Each is asked about the map as it was. */
	for (uint32_t i = 0; i < map->node_count; i++)
		gone[i] = node_goes(map, &map->nodes[i]);
	for (uint32_t i = 0; i < map->disk_count; i++) {
		struct map_disk disk = map->disks[i];

		if (!disk_goes(map, &disk))
			map->disks[disks++] = disk;
	}
	for (uint32_t i = 0; i < map->node_count; i++)
		if (!gone[i])
			map->nodes[nodes++] = map->nodes[i];
	map->disk_count = disks;
	map->node_count = nodes;
	for (uint32_t i = 0; i < map->override_count; i++)
		if (map_find_disk(map, map->overrides[i].disk))
			map->overrides[overrides++] = map->overrides[i];
	map->override_count = overrides;
	free(gone);
}

bool map_redundancy_valid(uint32_t k, uint32_t m)
{
	if (k < 1 || k > MAX_DATA || m > MAX_PARITY || k + m > MAX_SHARDS)
		return false;
	return k == 1 || m >= 1;
}

bool map_object_shift_valid(uint32_t shift)
{
	return shift >= 20 && shift <= 24;
}

static bool nodes_valid(const struct map *map)
{
	const uint32_t known = NODE_UP | NODE_OUT | NODE_GATEWAY | NODE_LEFT | NODE_DRAIN |
	                       NODE_MAINTENANCE;
	uint64_t last = 0;

	if (map->node_count > MAP_MAX_NODES)
		return false;
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct map_node *node = &map->nodes[i];

		if (node->id <= last || (node->flags & ~known))
			return false;
		if ((node->flags & NODE_UP) && (node->flags & (NODE_OUT | NODE_LEFT)))
			return false;
		if (!memchr(node->addr, 0, sizeof(node->addr)))
			return false;
		last = node->id;
	}
	return true;
}

static bool disks_valid(const struct map *map)
{
	uint64_t last = 0;

	if (map->disk_count > MAP_MAX_DISKS)
		return false;
	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *disk = &map->disks[i];

		const uint32_t known = DISK_FAILED | DISK_LOST | DISK_LEAVING;

		if (disk->id <= last || (disk->flags & ~known))
			return false;
		if ((disk->flags & DISK_LOST) && !(disk->flags & DISK_FAILED))
			return false;
		if (disk->weight < 1 || disk->weight > MAP_MAX_WEIGHT)
			return false;
		if (!map_find_node(map, disk->node))
			return false;
		last = disk->id;
	}
	return true;
}

uint64_t map_slot_count(const struct map *map)
{
	uint64_t slots = 0;

	for (uint32_t i = 0; i < map->pool_count; i++)
		slots += (uint64_t)map->pools[i].pg_count * (map->pools[i].k + map->pools[i].m);
	return slots;
}

static bool pools_valid(const struct map *map)
{
	uint32_t last = 0;

	if (map->pool_count > MAP_MAX_POOLS)
		return false;
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *pool = &map->pools[i];

		if (pool->id <= last || !map_redundancy_valid(pool->k, pool->m))
			return false;
		if (pool->pg_count < 1 || pool->pg_count > POOL_MAX_PGS ||
		    (pool->pg_count & (pool->pg_count - 1)))
			return false;
		if (!map_object_shift_valid(pool->object_shift))
			return false;
		if (pool->created_epoch < 1 || pool->created_epoch > map->epoch)
			return false;
		last = pool->id;
	}
	return map_slot_count(map) <= MAP_MAX_SLOTS;
}

static bool override_after(const struct map_override *a, const struct map_override *b)
{
	if (a->pool != b->pool)
		return a->pool > b->pool;
	if (a->pg != b->pg)
		return a->pg > b->pg;
	return a->slot > b->slot;
}

static bool overrides_valid(const struct map *map)
{
	if (map->override_count > MAP_MAX_OVERRIDES)
		return false;
	for (uint32_t i = 0; i < map->override_count; i++) {
		const struct map_override *o = &map->overrides[i];
		const struct map_pool *pool = map_find_pool(map, o->pool);

		if (i > 0 && !override_after(o, &map->overrides[i - 1]))
			return false;
		if (!pool || o->pg >= pool->pg_count || o->slot >= pool->k + pool->m)
			return false;
		if (!map_find_disk(map, o->disk))
			return false;
	}
	return true;
}

bool map_valid(const struct map *map)
{
	if (map->epoch < 1 || map->cluster == 0)
		return false;
	if (map->flags & ~(uint32_t)(MAP_RECOVERY_DISABLED | MAP_SHUTDOWN))
		return false;
	if (map->min_live_extra > MAX_PARITY)
		return false;
	return nodes_valid(map) && disks_valid(map) && pools_valid(map) && overrides_valid(map);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_PLACE_CLUSTER_H
#define SF_TESTS_PLACE_CLUSTER_H

#include "lib/base/htab.h"
#include "lib/place/map.h"
#include "lib/place/map_edit.h"
#include "lib/place/place.h"

/*
 * Maps for the tests of placement, and counting in what they give. Ids are hashed, because real
 * ones are random. Include after <cmocka.h>.
 */

static inline uint64_t cluster_node_id(uint32_t i)
{
	return hash64(1000000 + i);
}

static inline uint64_t cluster_disk_id(uint32_t node, uint32_t i)
{
	return hash64(2000000 + node * 1000 + i);
}

static inline void cluster_add_node(struct map *map, uint32_t i, uint32_t zone, uint32_t disks,
                                    uint32_t weight)
{
	struct map_node node = {.id = cluster_node_id(i), .zone = zone, .flags = NODE_UP};

	map_put_node(map, &node);
	for (uint32_t d = 0; d < disks; d++) {
		struct map_disk disk = {
			.id = cluster_disk_id(i, d), .node = node.id, .weight = weight};

		map_put_disk(map, &disk);
	}
}

static inline void cluster_set_pool(struct map *map, uint32_t k, uint32_t m, uint32_t pg_count,
                                    bool same_node_ok)
{
	struct map_pool pool = {
		.id = POOL_DATA,
		.k = k,
		.m = m,
		.pg_count = pg_count,
		.object_shift = 22,
		.created_epoch = 1,
		.same_node_ok = same_node_ok,
	};

	map_put_pool(map, &pool);
}

/* `nodes` nodes, each a zone of its own when zones == 0, else spread over so many zones. */
static inline struct map *cluster_make(uint32_t nodes, uint32_t disks_each, uint32_t zones)
{
	struct map *map = map_create();

	map->epoch = 1;
	map->cluster = 1;
	for (uint32_t i = 0; i < nodes; i++)
		cluster_add_node(map, i, zones ? i % zones : i, disks_each, 1000);
	return map;
}

static inline struct map_node *cluster_node(struct map *map, uint32_t i)
{
	return (struct map_node *)map_find_node(map, cluster_node_id(i));
}

static inline struct map_disk *cluster_disk(struct map *map, uint32_t node, uint32_t i)
{
	return (struct map_disk *)map_find_disk(map, cluster_disk_id(node, i));
}

static inline const struct pool_placement *data_pool(const struct placement *p)
{
	for (uint32_t i = 0; i < p->pool_count; i++) {
		if (p->pools[i].pool == POOL_DATA)
			return &p->pools[i];
	}
	fail_msg("no data pool");
	return NULL;
}

static inline size_t shard_count(const struct pool_placement *pp)
{
	return (size_t)pp->pg_count * pp->slots;
}

/* Shards whose disk differs. */
static inline size_t moved(const struct placement *a, const struct placement *b)
{
	const struct pool_placement *x = data_pool(a), *y = data_pool(b);
	size_t count = 0;

	assert_int_equal(shard_count(x), shard_count(y));
	for (size_t i = 0; i < shard_count(x); i++)
		count += x->disk[i] != y->disk[i];
	return count;
}

static inline size_t shards_on_node(const struct map *map, const struct placement *p, uint64_t node)
{
	const struct pool_placement *pp = data_pool(p);
	size_t count = 0;

	for (size_t i = 0; i < shard_count(pp); i++) {
		if (pp->disk[i] != NO_DISK)
			count += map_find_disk(map, pp->disk[i])->node == node;
	}
	return count;
}

static inline size_t shards_on_disk(const struct placement *p, uint64_t disk)
{
	const struct pool_placement *pp = data_pool(p);
	size_t count = 0;

	for (size_t i = 0; i < shard_count(pp); i++)
		count += pp->disk[i] == disk;
	return count;
}

#endif

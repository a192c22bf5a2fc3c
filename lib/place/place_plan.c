/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/place/place_plan.h"

#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "lib/place/place_score.h"

static const uint64_t LANE_ONES = 0x0001000100010001u;

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Disks of a node that may hold slots, and those among them that are usable. */
struct node_disks {
	uint32_t all, usable;
};

static void plan_candidates(struct place_plan *plan, struct node_disks *nodes)
{
	const struct map *map = plan->map;

	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *disk = &map->disks[i];
		const struct map_node *node = map_find_node(map, disk->node);
		uint32_t c = plan->count, n = node - map->nodes;

		if (node->flags & NODE_GATEWAY)
			continue;
		plan->ids[c] = disk->id;
		plan->keys[c] = hash64(disk->id);
		plan->weights[c] = disk->weight;
		plan->domains[c] = n;
		plan->ghosts[c] = !map_disk_usable(map, disk);
		plan->weight_sum += disk->weight;
		nodes[n].all++;
		nodes[n].usable += !plan->ghosts[c];
		plan->count++;
	}
}

/* The zones of nodes with candidates (usable ones only, if `usable`), sorted, once each. */
static uint32_t plan_zones(const struct map *map, const struct node_disks *nodes, bool usable,
                           uint32_t *zones)
{
	uint32_t count = 0, unique = 0;

	for (uint32_t i = 0; i < map->node_count; i++) {
		if (usable ? nodes[i].usable : nodes[i].all)
			zones[count++] = map->nodes[i].zone;
	}
	qsort(zones, count, sizeof(*zones), compare_u32);
	for (uint32_t i = 0; i < count; i++) {
		if (i == 0 || zones[i] != zones[i - 1])
			zones[unique++] = zones[i];
	}
	return unique;
}

/* Slots that fit when no node may hold more than `cap`. */
static struct node_disks node_capacity(const struct map *map, const struct node_disks *nodes,
                                       uint32_t cap)
{
	struct node_disks sum = {0};

	for (uint32_t i = 0; i < map->node_count; i++) {
		sum.all += MIN(nodes[i].all, cap);
		sum.usable += MIN(nodes[i].usable, cap);
	}
	return sum;
}

static void domains_are_zones(struct place_plan *plan, const uint32_t *zones, uint32_t zone_count)
{
	for (uint32_t c = 0; c < plan->count; c++) {
		uint32_t *zone = bsearch(&plan->map->nodes[plan->domains[c]].zone, zones,
		                         zone_count, sizeof(*zones), compare_u32);

		plan->domains[c] = zone - zones;
	}
}

/*
 * What slots must not share: zones if there are enough, else nodes; nodes are shared only if the
 * pool allows it, and then as evenly as they can, so that a lost node takes as few shards as
 * possible. Returns how many slots the domains could hold.
 */
static struct node_disks plan_domains(struct place_plan *plan, const struct node_disks *nodes,
                                      bool same_node_ok)
{
	const struct map *map = plan->map;
	uint32_t *zones = xcalloc(map->node_count + 1, sizeof(*zones));
	struct node_disks room = {.usable = plan_zones(map, nodes, true, zones)};

	plan->domain_cap = 1;
	if (room.usable >= plan->slots) {
		room.all = plan_zones(map, nodes, false, zones);
		domains_are_zones(plan, zones, room.all);
	} else {
		uint32_t disks = node_capacity(map, nodes, plan->slots).usable;
		uint32_t want = MIN(plan->slots, disks);

		room = node_capacity(map, nodes, 1);
		while (same_node_ok && room.usable < want)
			room = node_capacity(map, nodes, ++plan->domain_cap);
	}
	free(zones);
	return room;
}

uint64_t place_plan_hash_limit(const struct place_plan *plan, uint32_t candidate, uint64_t horizon)
{
	uint64_t rate = (uint64_t)plan->weights[candidate] * plan->slots;
	unsigned __int128 limit = ((unsigned __int128)horizon + 1) * rate + 8;

	limit <<= 64 - PLACE_EXP_FRACTION_BITS;
	return limit > UINT64_MAX ? UINT64_MAX : (uint64_t)limit;
}

/*
 * About twice the score at which the last slot is filled when all domains are alike: with s slots
 * free and d of D domains free, the next match takes 1 / (s * weight_sum * d / D) on average.
 */
static uint64_t horizon_of(const struct place_plan *plan, uint32_t room)
{
	uint64_t unit = ((uint64_t)1 << PLACE_EXP_FRACTION_BITS) / MAX(plan->weight_sum, 1u);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < plan->fillable_ghosts; i++)
		sum += unit * room / ((uint64_t)(plan->slots - i) * (room - i));
	return 2 * sum + 1;
}

static void plan_alloc(struct place_plan *plan)
{
	size_t disks = plan->map->disk_count + (size_t)1;

	plan->ids = xcalloc(disks, sizeof(*plan->ids));
	plan->keys = xcalloc(disks, sizeof(*plan->keys));
	plan->lane_limits = xcalloc(disks, sizeof(*plan->lane_limits));
	plan->weights = xcalloc(disks, sizeof(*plan->weights));
	plan->domains = xcalloc(disks, sizeof(*plan->domains));
	plan->ghosts = xcalloc(disks, sizeof(*plan->ghosts));
	plan->heap = xcalloc(disks, sizeof(*plan->heap));
	plan->wide.v = xcalloc(disks, sizeof(*plan->wide.v));
	for (uint32_t i = 0; i < PG_BLOCK; i++)
		plan->callers[i].v = xcalloc(disks, sizeof(*plan->callers[i].v));
	plan->domain_used = xcalloc(plan->map->node_count + 1, sizeof(*plan->domain_used));
}

struct place_plan *place_plan_create(const struct map *map, const struct map_pool *pool)
{
	struct place_plan *plan = xcalloc(1, sizeof(*plan));
	struct node_disks *nodes = xcalloc(map->node_count + 1, sizeof(*nodes)), room;

	plan->map = map;
	plan->pool = pool->id;
	plan->slots = pool->k + pool->m;
	plan->pool_key = hash64(pool->id);
	plan_alloc(plan);
	plan_candidates(plan, nodes);
	room = plan_domains(plan, nodes, pool->same_node_ok);
	plan->fillable = MIN(plan->slots, room.usable);
	plan->fillable_ghosts = MIN(plan->slots, room.all);
	plan->horizon = horizon_of(plan, room.all);
	for (uint32_t c = 0; c < plan->count; c++)
		plan->lane_limits[c] = LANE_ONES * (place_plan_hash_limit(plan, c, plan->horizon) >>
		                                    (64 - LANE_USED));
	free(nodes);
	return plan;
}

void place_plan_destroy(struct place_plan *plan)
{
	if (!plan)
		return;
	free(plan->ids);
	free(plan->keys);
	free(plan->lane_limits);
	free(plan->weights);
	free(plan->domains);
	free(plan->ghosts);
	free(plan->heap);
	free(plan->wide.v);
	for (uint32_t i = 0; i < PG_BLOCK; i++)
		free(plan->callers[i].v);
	free(plan->domain_used);
	free(plan);
}

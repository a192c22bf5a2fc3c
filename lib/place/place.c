/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/place/place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/place_plan.h"

uint32_t place_pg_of(const struct map_pool *pool, uint64_t oid)
{
	return hash64(oid ^ hash64(pool->id)) % pool->pg_count;
}

uint32_t place_pg_count(uint32_t disks, uint32_t slots)
{
	enum { SHARDS_PER_DISK = 100, MIN_PGS = 8 };
	uint64_t want = (uint64_t)disks * SHARDS_PER_DISK / MAX(slots, 1u);
	uint64_t count = MIN_PGS;

	while (count < POOL_MAX_PGS && count * 2 <= want)
		count *= 2;
	/* The nearer one by ratio: above the square root of 2, the next power. */
	if (count < POOL_MAX_PGS && want * want > 2 * count * count)
		count *= 2;
	return count;
}

void place_pg(const struct map *map, const struct map_pool *pool, uint32_t pg, uint64_t *out)
{
	struct place_plan *plan = place_plan_create(map, pool);

	assert(pg < pool->pg_count);
	place_plan_pg(plan, pg, out);
	place_plan_destroy(plan);
}

struct placement *placement_create(const struct map *map)
{
	struct placement *p = xcalloc(1, sizeof(*p));

	p->pool_count = map->pool_count;
	p->pools = xcalloc(map->pool_count + 1, sizeof(*p->pools));
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *pool = &map->pools[i];
		struct pool_placement *pp = &p->pools[i];
		struct place_plan *plan = place_plan_create(map, pool);

		pp->pool = pool->id;
		pp->pg_count = pool->pg_count;
		pp->slots = pool->k + pool->m;
		pp->disk = xcalloc((size_t)pp->pg_count * pp->slots, sizeof(*pp->disk));
		for (uint32_t pg = 0; pg < pp->pg_count; pg++)
			place_plan_pg(plan, pg, pp->disk + (size_t)pg * pp->slots);
		place_plan_destroy(plan);
	}
	return p;
}

void placement_destroy(struct placement *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->pool_count; i++)
		free(p->pools[i].disk);
	free(p->pools);
	free(p);
}

const uint64_t *placement_slots(const struct placement *p, uint32_t pool, uint32_t pg)
{
	for (uint32_t i = 0; i < p->pool_count; i++) {
		const struct pool_placement *pp = &p->pools[i];

		if (pp->pool == pool)
			return pg < pp->pg_count ? pp->disk + (size_t)pg * pp->slots : NULL;
	}
	return NULL;
}

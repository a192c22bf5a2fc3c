/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_PLACE_H
#define SF_PLACE_PLACE_H

#include <stdint.h>

#include "lib/place/map.h"

/*
 * Placement: pure functions of the map, integer arithmetic only, the same on every machine.
 *
 * Object -> PG by hash; PG -> k+m slots, each a disk, by weighted rendezvous hashing (straw2; Weil
 * 2006, "CRUSH") with deferred acceptance (Gale, Shapley 1962) where slots want the same zone or
 * node; place_match.c says how. Disks that failed, and those of an "out" node, hold no slot, but
 * still influence who does, so that nothing moves twice. Those of a gateway play no role. Nor does
 * it whether a node is up.
 */

/* The PG of an object. */
uint32_t place_pg_of(const struct map_pool *pool, uint64_t oid);

/* A whole map's placement, computed once per epoch. */
enum { NO_DISK = 0 };
struct placement {
	uint32_t pool_count;
	struct pool_placement {
		uint32_t pool, pg_count, slots;
		uint64_t *disk; /* [pg * slots + slot], NO_DISK where a slot cannot be filled */
	} *pools;
};
struct placement *placement_create(const struct map *map);
void placement_destroy(struct placement *p); /* NULL is fine */
/* The `slots` disk ids of one PG; NULL when pool or pg is unknown. */
const uint64_t *placement_slots(const struct placement *p, uint32_t pool, uint32_t pg);

/* One PG alone: out[k + m]. */
void place_pg(const struct map *map, const struct map_pool *pool, uint32_t pg, uint64_t *out);

/* A power of two that gives about 100 shards a disk, within 8 and 65536. */
uint32_t place_pg_count(uint32_t disks, uint32_t slots);

#endif

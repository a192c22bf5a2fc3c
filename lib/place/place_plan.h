/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_PLACE_PLAN_H
#define SF_PLACE_PLACE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/place/map.h"

/*
 * For lib/place only: all that placing the PGs of one pool needs to know about the map, prepared
 * once (place_plan.c), and the placing of each PG (place_match.c, which says how). Refers to the
 * map, which must outlive it.
 */
enum { PG_BLOCK = 4, LANE_BITS = 16, LANE_USED = LANE_BITS - 1 };

/* A disk with a score below the horizon, and the hash its first score comes from. */
struct caller {
	uint64_t hash;
	uint32_t candidate;
};

struct callers {
	uint32_t count;
	struct caller *v;
};

struct call {
	uint64_t score; /* of the disk's current slot */
	uint64_t hash;
	uint64_t visited; /* slots called so far, one bit each */
	uint32_t candidate;
	uint32_t calls; /* how many bits that is */
};

struct place_plan {
	const struct map *map;
	uint32_t pool, slots;
	uint32_t fillable;        /* slots that usable disks can fill at all */
	uint32_t fillable_ghosts; /* the same with ghosts */
	uint32_t domain_cap;      /* slots one domain may hold */
	uint64_t pool_key;

	/* Usable disks and ghosts in the order of their ids. */
	uint32_t count;
	uint64_t *ids, *keys;
	uint64_t
		*lane_limits; /* the highest lane that may score below the horizon, in every lane */
	uint32_t *weights, *domains;
	bool *ghosts;
	uint64_t weight_sum;
	uint64_t horizon;

	uint32_t block; /* the block of PGs that callers[] is about, from 1; 0: none yet */
	struct callers callers[PG_BLOCK], wide;

	/* Scratch of the PG in work. */
	uint8_t *domain_used; /* slots held, by domain; all 0 between PGs */
	struct call *heap;
	uint32_t heap_count;
	uint32_t slot_candidate[MAX_SHARDS];
};

struct place_plan *place_plan_create(const struct map *map, const struct map_pool *pool);
void place_plan_destroy(struct place_plan *plan);
/* The highest first hash that may score at most `horizon`; a little too high is harmless. */
uint64_t place_plan_hash_limit(const struct place_plan *plan, uint32_t candidate, uint64_t horizon);

/* The disks of one PG: out[k + m]. PGs in ascending order are cheapest. */
void place_plan_pg(struct place_plan *plan, uint32_t pg, uint64_t *out);

#endif

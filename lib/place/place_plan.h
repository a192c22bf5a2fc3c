/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_PLACE_PLAN_H
#define SF_PLACE_PLACE_PLAN_H

#include <stdint.h>

#include "lib/place/map.h"

/*
 * For lib/place only: all that placing the PGs of one pool needs to know about the map, prepared once.
 * Refers to the map, which must outlive it.
 */
struct place_plan;
struct place_plan *place_plan_create(const struct map *map, const struct map_pool *pool);
void place_plan_destroy(struct place_plan *plan);
/* The disks of one PG: out[k + m]. */
void place_plan_pg(struct place_plan *plan, uint32_t pg, uint64_t *out);

#endif

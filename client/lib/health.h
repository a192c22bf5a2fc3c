/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_HEALTH_H
#define SF_CLIENT_HEALTH_H

#include <stdint.h>

#include "include/sheepfold.h"
#include "lib/place/map.h"

/*
 * From what map and daemons say to one word and one piece of advice. Pure functions.
 *
 * How to read it: PGs are counted by their primaries; those of which nobody says anything have no
 * living primary (or one that gave no answer).
 */

/* Counts nodes, disks and PGs as the map has them. now_s: seconds since 1970. */
void health_count_map(struct sf_status *status, const struct map *map);

/* After all daemons' figures were added: fills pgs_down, min_redundancy, recovery_eta_s, health and
 * advice. */
void health_judge(struct sf_status *status, const struct map *map, uint64_t now_s);

#endif

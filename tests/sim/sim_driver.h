/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_DRIVER_H
#define SF_SIM_DRIVER_H

#include "lib/place/map.h"
#include "tests/sim/world.h"

/* What the simulations of real drivers (sim_zk.c, sim_cs.c) share. */

/* A node's driver has given this lease: it must know every map that had won before the moment from which it counts. */
void sim_driver_check_lease(struct world *w, uint32_t node, uint64_t proven_ms, uint32_t lease_ms);

/* The last ones of a process: one that was sent goes on when the next are refused. */
enum { SIM_PROPOSED = 1024 };
struct sim_proposals {
	struct map *maps[SIM_PROPOSED];
	uint32_t count;
};
void sim_proposals_add(struct sim_proposals *p, const struct map *map);
void sim_proposals_fini(struct sim_proposals *p);
/* It is told that one won. */
void sim_proposals_check_won(struct world *w, uint32_t node, const struct sim_proposals *p);

/* The process that something is meant for. */
struct sim_turn {
	uint32_t node, life;
};
struct sim_turn *sim_turn_create(struct world *w, uint32_t node);

#endif

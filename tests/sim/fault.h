/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_FAULT_H
#define SF_SIM_FAULT_H

#include "tests/sim/world.h"

/*
 * What goes wrong during the safety phase.
 *
 * What a healthy cluster must survive, and what this budget keeps to: any number of crashes,
 * pauses and partitions at a time, for their disks come back with all that was durable. Nodes and
 * disks that never come back: one at any moment; the next only once the cluster has made good for
 * the one before (all nodes at rest, check_clean passes). An acknowledged write is on at least k
 * + 1 slots (all, when m is 1), so that one of them may go whatever else is down, stale or being
 * rebuilt. Likewise bit rot takes one shard of an object at a time, and only in runs that lose
 * nothing else.
 */
struct fault_plan {
	uint32_t every_ms;            /* mean time between two faults; 0: none */
	uint32_t weight[FAULT_KINDS]; /* how often which */
	uint32_t lost_max;            /* nodes and disks lost for good, at most */
	uint32_t min_nodes;           /* slots must be filled from distinct nodes that are left */
	bool over;                    /* healed: no more */
	uint32_t lost;
};

void faults_start(struct world *w, struct fault_plan *plan);
/* Ends them all: links healed, losses off, nodes back (but those lost for good). */
void faults_heal(struct world *w, struct fault_plan *plan);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_SCENARIO_H
#define SF_SIM_SCENARIO_H

#include "tests/sim/fault.h"
#include "tests/sim/stats.h"
#include "tests/sim/world.h"

/*
 * One seed, one run: a cluster, a workload and a list of faults are drawn; then
 *
 *   format     an operator asks until there is a map, with all its pools
 *   safety     clients work while things break (fault.c)
 *   liveness   everything is healed; clients finish, every PG must become clean within
 *              HEAL_LIMIT_S simulated seconds
 *   scrub      every object is checked and repaired: what rotted unnoticed is sound again
 *   final      every object is read once more
 *              (a run whose faults go beyond all redundancy has none of these three: it is only
 *              never wrong)
 *   checks     histories, placement, parity, leaks, bounds
 */
enum {
	FORMAT_LIMIT_S = 60,
	SAFETY_LIMIT_S = 40,
	HEAL_LIMIT_S = 240,
	FINAL_LIMIT_S = 60,
};

struct scenario;

struct scenario_options {
	uint64_t seed;
	uint64_t salt;    /* another course of the same plan; 0: the seed's own */
	uint64_t dropped; /* bit set of faults of the list that are left out */
	uint32_t nodes;   /* 0: drawn */
	bool trace;
	bool quick; /* fewer operations */
	const struct sim_driver *driver; /* NULL: the simple membership service */
	bool swaps; /* half of the writes are compare-and-swap */
	bool operators; /* nodes are drained, and in maintenance */
	void (*volumes)(struct scenario *s); /* instead of the workload (volumes.h) */
	struct buf_pool *pool; /* used run after run; NULL: one for this run */
};

enum { SCENARIO_WHY_LEN = 4096 };
struct scenario_result {
	bool failed;
	char why[SCENARIO_WHY_LEN];
	uint64_t trace_hash;
	struct sim_stats stats;
	uint32_t fault_count;
	struct fault faults[FAULTS_MAX];
};

void scenario_run(const struct scenario_options *options, struct scenario_result *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_SCENARIO_H
#define SF_SIM_SCENARIO_H

#include "tests/sim/world.h"

/*
 * One seed, one run: a cluster, a workload and a mix of faults are drawn; then
 *
 *   format     an operator asks until there is a map
 *   safety     clients work while things break (fault.c)
 *   liveness   everything is healed; clients finish, every PG must become clean within HEAL_LIMIT
 *   final      every object is read once more
 *   checks     histories, placement, parity, leaks
 */
struct scenario_options {
	uint64_t seed;
	uint32_t nodes; /* 0: drawn */
	bool trace;
	bool quick; /* fewer operations */
};

enum { SCENARIO_WHY_LEN = 4096 };
struct scenario_result {
	bool failed;
	char why[SCENARIO_WHY_LEN];
	uint64_t trace_hash;
	struct sim_stats stats;
};

void scenario_run(const struct scenario_options *options, struct scenario_result *ret);

/* Adds b to a. */
void stats_add(struct sim_stats *a, const struct sim_stats *b);

#endif

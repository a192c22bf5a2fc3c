/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_RUNNER_H
#define SF_SIM_RUNNER_H

#include "tests/sim/scenario.h"

/* Many seeds, in several processes. */
struct runner {
	struct scenario_options options; /* of every seed but for the seed itself */
	uint64_t first, last;
	uint32_t jobs;
	bool shrink; /* a failing seed */
	/* results */
	uint64_t failed;
	struct sim_stats stats;
};

/* Failing seeds are printed with their reasons. 0, or -errno when there are no processes. */
int runner_run(struct runner *r);
/* As many as there are processors, two at most: the machine is shared. */
uint32_t runner_jobs(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_SCENARIO_DRAW_H
#define SF_SIM_SCENARIO_DRAW_H

#include "tests/sim/scenario.h"
#include "tests/sim/sim_client.h"

/* What a seed draws before its run begins. */
struct scenario {
	const struct scenario_options *options;
	struct world *w;
	struct sim_format format;
	uint32_t pool_k, pool_m; /* a third pool; 0: none */
	bool pool_late;          /* made among the faults, for which the metadata gets wider */
	uint32_t slots;          /* of the widest pool */
	uint32_t late_nodes;     /* start after the format */
	uint32_t objects, ops;
	bool big; /* many nodes, many operations */
	struct fault_plan faults;
	uint64_t final_moment;
	size_t pool_before; /* bytes in use */
	struct scenario_result *result;
};

/* Cluster, profile and faults; the nodes and clients are made. */
void scenario_draw(struct scenario *s);

/* For volumes.c. Until then; what is wrong begins: late nodes, faults, the membership's; it is all over; every node at
 * rest and every object clean, or the run fails. */
void scenario_poll(struct world *w, uint64_t ms);
void scenario_break(struct scenario *s);
void scenario_heal(struct scenario *s);
bool scenario_until_clean(struct scenario *s, uint32_t limit_s, const char *phase);

/* What the cluster looks like now, for who looks into a failure (scenario_text.c). */
void scenario_tell(struct scenario *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_FAULT_H
#define SF_SIM_FAULT_H

#include "lib/base/prng.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/stats.h"
#include "tests/sim/world.h"

/*
 * What goes wrong during the safety phase: a list drawn before the run, so that any of it can be
 * left out when a failing run is made smaller (shrink.h). tests/sim/README.md says what damage a
 * healthy cluster must survive; fault_budget.c keeps to it: a fault that would go beyond it, or
 * finds nothing to hit, does not happen.
 */
enum { FAULTS_MAX = 64, FAULT_TEXT_LEN = 96 };

struct fault {
	enum sim_fault kind;
	uint64_t at_us; /* after the safety phase began; 0: of the network, from its start */
	uint64_t seed;  /* of its own draws: whom it hits, for how long */
	uint32_t ppm;   /* of the network's */
	bool happened;
	char text[FAULT_TEXT_LEN];
};

struct fault_plan {
	uint32_t count;
	struct fault v[FAULTS_MAX];
	uint64_t dropped; /* bit set of faults left out */
	uint32_t min_nodes; /* with a disk: slots must be filled from distinct ones that are left */
	bool same_node_ok;
	uint32_t m;         /* of the least redundant pool */
	uint32_t losses_left; /* nodes and disks that may be lost in this run */
	bool reckless;      /* no budget: nothing may be wrong, but all may be gone */
	uint32_t beyond;    /* losses that no budget would have allowed */
	bool over;          /* healed: no more */
	bool hurt;          /* something was lost and is perhaps not made good yet */
	bool lies;          /* disks may come back older than they had said: then links and membership work */
	bool lying;         /* likewise a disk that came back older than it had said */
	bool swapped;       /* disks are in other nodes, and perhaps slots of a PG in one node */
	uint32_t burst;     /* how many of the losses of this moment are left */
	uint64_t burst_until_us; /* losses at one moment */
};

/* What is drawn for a seed: kinds with weights. */
void faults_draw(struct world *w, struct fault_plan *plan, uint32_t every_ms, uint64_t span_us,
                 const uint8_t weight[FAULT_KINDS]);
/* A fault of the network that lasts from the start to the healing. */
void faults_add_network(struct world *w, struct fault_plan *plan, enum sim_fault kind,
                        uint32_t ppm);
/* Sets the profile's rates by what is not dropped. */
void faults_set_network(struct world *w, const struct fault_plan *plan);

void faults_start(struct world *w, struct fault_plan *plan);
/* An operator looks whether a change asked for before the healing came only after it. */
void faults_stay_healed(struct world *w);
/* Ends them all: links healed, losses off, nodes back (but those lost for good). */
void faults_heal(struct world *w, struct fault_plan *plan);

/* ---- Inside: what a fault does. All return false when there was nothing to do. ---- */
bool fault_net(struct world *w, struct fault *f);  /* partitions (fault_net.c) */
bool fault_node(struct world *w, struct fault_plan *plan, struct fault *f); /* (fault_node.c) */
bool fault_disk(struct world *w, struct fault_plan *plan, struct fault *f); /* (fault_disk.c) */
bool fault_damage(struct world *w, struct fault_plan *plan, struct fault *f); /* (fault_damage.c) */
void fault_say(struct world *w, struct fault *f, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Draws, and what several of them need. */
uint32_t fault_draw_running(struct world *w); /* UINT32_MAX: none */
uint64_t fault_draw_away(struct world *w);
void fault_restart_after(struct world *w, uint32_t node, uint64_t delay_us);
/* A request of an operator to some running node; never answered to anybody. */
void fault_ask(struct world *w, void *request);

/* ---- The budget (fault_budget.c) ---- */

/* It is, or will be, lost to its node: an error that is to come counts from the start. */
bool budget_is_counted(const struct sim_disk *d);
/* The disk may be taken for another node's, for good: are there places enough? */
bool budget_moved(const struct world *w, const struct fault_plan *plan, uint32_t node, uint32_t disk);
/* Node or disk may go now (disk UINT32_MAX: the whole node). */
bool budget_loss(struct world *w, struct fault_plan *plan, uint32_t node, uint32_t disk);
/* A disk may begin to lie about what it has. Nobody else is away and everything is whole. */
bool budget_lie(struct world *w, struct fault_plan *plan);
/* One more shard of this object may rot. */
bool budget_rot(struct world *w, struct fault_plan *plan, uint32_t pool, uint64_t oid);
/* While a lie is not made good nobody else may go away. */
bool budget_away(struct world *w, struct fault_plan *plan);

#endif

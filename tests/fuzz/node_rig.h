/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_FUZZ_NODE_RIG_H
#define SF_TESTS_FUZZ_NODE_RIG_H

#include "lib/place/map.h"
#include "sheep/core/node.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/sim_disk.h"

/*
 * One real node in a cluster of three, of two pools with a few placement groups. The other two are
 * stores that answer what they are asked, as long as a test lets them; whatever the node says must
 * fit on the wire.
 */
enum { RIG_NODES = 3, RIG_DISKS = 2, RIG_PGS = 4, RIG_QUEUE = 512, RIG_CLUSTER = 77 };

struct rig_asked {
	uint64_t node;
	struct msg *msg;
};
struct node_rig {
	struct node *node;
	struct buf_pool *pool;
	struct log log;
	struct map *map; /* newest */
	struct node_info info[RIG_NODES];
	struct sim_disk disk[RIG_NODES][RIG_DISKS];
	uint64_t now_ms;
	bool gone;

	/* What the node waits for. */
	struct rig_asked asked[RIG_QUEUE]; /* sent to other nodes, oldest first */
	uint32_t asked_count;
	struct list jobs, computations;
	struct map *proposed; /* NULL: none under way */
};

/* seed_ok: k of the second pool is 2, else 1. */
void node_rig_init(struct node_rig *r, bool coded);
void node_rig_fini(struct node_rig *r);
/* One event, and its effects into the queues. */
void node_rig_event(struct node_rig *r, struct event *ev);
void node_rig_tick(struct node_rig *r, uint32_t ms);
/* The next map, if the event makes one (otherwise nothing happens). */
void node_rig_change_map(struct node_rig *r, const struct map_event *ev);
/* Its own disks and computations get so far. */
void node_rig_run_jobs(struct node_rig *r, uint32_t max);
/* The oldest question to others, taken out of the queue; at: which. msg NULL when there is none. */
struct rig_asked node_rig_take_asked(struct node_rig *r, uint32_t at);
/* What an honest node replies (NULL: nothing). Takes over the request. */
struct msg *node_rig_answer_of(struct node_rig *r, struct rig_asked asked);
/* Honest answers, own jobs and proposals until nothing is left to do. */
void node_rig_settle(struct node_rig *r);
/* The register's word on the proposal under way. */
void node_rig_proposed(struct node_rig *r, bool wins);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_NODE_H
#define SF_SIM_NODE_H

#include "sheep/core/node.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/world.h"

/*
 * One machine: its disks, which survive, and the daemon on it, which comes and goes. Drives the
 * core library as sheep/loop does: everything becomes an event, every effect is carried out, and
 * its result comes back as an event.
 *
 *   off -> running <-> paused        start, crash; pause: nothing happens for a while, then all
 *                                    at once (SIGSTOP)
 *   gone                             lost for good, with its disks
 */
enum sim_node_state { NODE_OFF, NODE_RUNNING, NODE_GONE };

struct disk_queue; /* jobs of one disk (disk_queue.c) */

struct sim_node {
	uint32_t index;
	struct node_info info; /* what it announces; the cluster is what its disks carry */
	uint64_t clock_ms;     /* its clock at time 0: every machine booted at another time */
	enum sim_node_state state;
	uint32_t life; /* counts starts: what was meant for an older process does not arrive */
	uint64_t paused_until_us;
	struct node *core; /* while running */
	struct log *log;   /* with --trace */
	struct sim_disk disks[SIM_MAX_DISKS];
	struct disk_queue *queues[SIM_MAX_DISKS];
	uint32_t seen_epoch; /* checked against the register */
};

struct sim_node *sim_node_create(struct world *w, uint32_t index, uint32_t disk_count,
                                 uint32_t zone);
void sim_node_destroy(struct world *w, uint32_t index);

/* What happens to it. */
void sim_node_start(struct world *w, uint32_t index);
void sim_node_crash(struct world *w,
                    uint32_t index); /* kill -9 or power: what was not durable may be gone */
void sim_node_pause(struct world *w, uint32_t index, uint64_t duration_us);
void sim_node_lose(struct world *w, uint32_t index); /* for good */
void sim_node_fail_disk(struct world *w, uint32_t index, uint32_t disk);

bool sim_node_is_running(const struct world *w, uint32_t index);
bool sim_node_is_paused(const struct world *w, uint32_t index);
uint32_t sim_node_life(const struct world *w, uint32_t index);
bool sim_node_is_life(const struct world *w, uint32_t index,
                      uint32_t life); /* running, and that process */
uint64_t sim_node_now_ms(const struct world *w, const struct sim_node *n);
/* Every node but those lost for good runs, has the newest map and nothing to do. */
bool sim_nodes_at_rest(const struct world *w);
/* While the node is paused: puts the entry off until it resumes and returns true. */
bool sim_node_defer(struct world *w, uint32_t index, world_run *run, void *arg,
                    void (*drop)(void *arg));

/* Events for a running node; msg is taken over. */
void sim_node_peer_msg(struct world *w, uint32_t index, uint32_t from, struct msg *msg);
void sim_node_peer_lost(struct world *w, uint32_t index, uint32_t from);
void sim_node_client_msg(struct world *w, uint32_t index, uint64_t conn, struct msg *msg);
void sim_node_client_lost(struct world *w, uint32_t index, uint64_t conn);
void sim_node_event(struct world *w, uint32_t index, struct event *ev); /* fills in the times */

/* Index of the node with this id, or UINT32_MAX. */
uint32_t sim_node_by_id(const struct world *w, uint64_t id);

/* ---- Jobs of one disk: delays, group commit (disk_queue.c) ---- */
struct disk_queue *disk_queue_create(uint32_t node, uint32_t disk);
/* The jobs still in it are the core's, which goes too. */
void disk_queue_destroy(struct disk_queue *q);
void disk_queue_add(struct world *w, struct disk_queue *q, struct disk_job *job);
/* The process is gone: forgets its jobs. Some of those not yet answered may have taken effect. */
void disk_queue_crash(struct world *w, struct disk_queue *q);
uint32_t disk_queue_peak(const struct disk_queue *q);

#endif

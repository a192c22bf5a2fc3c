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
#define SIM_OPERATOR_CONN UINT64_MAX /* of answers to nobody */

enum sim_node_state { NODE_OFF, NODE_RUNNING, NODE_GONE };

struct disk_queue; /* jobs of one disk (disk_queue.c) */

struct sim_node {
	uint32_t index;
	struct node_info info; /* what it announces; the cluster is what its disks carry */
	uint64_t clock_ms;     /* its clock at time 0: every machine booted at another time */
	int32_t drift_ppm;     /* how much faster that clock runs */
	int64_t wall_offset_s;
	enum sim_node_state state;
	uint32_t life; /* counts starts: what was meant for an older process does not arrive */
	uint64_t paused_until_us;
	struct node *core; /* while running */
	struct log *log;   /* with --trace */
	struct sim_disk disks[SIM_MAX_DISKS];
	struct disk_queue *queues[SIM_MAX_DISKS];
	uint32_t seen_epoch; /* checked against the register */
	uint32_t wide;       /* most that one step had to send or start */
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
void sim_node_leave(struct world *w, uint32_t index); /* asked to stop in order */
/* Of nodes that do not run: another disk in its place, with nothing on it; disks change places;
 * a copy, id and all, is put into another node too. */
void sim_node_replace_disk(struct world *w, uint32_t index, uint32_t disk);
void sim_node_swap_disks(struct world *w, uint32_t a, uint32_t i, uint32_t b, uint32_t j);
void sim_node_clone_disk(struct world *w, uint32_t index, uint32_t disk, uint32_t to);
bool sim_node_has_disk(const struct sim_node *n, uint64_t id);

bool sim_node_is_running(const struct world *w, uint32_t index);
bool sim_node_is_paused(const struct world *w, uint32_t index);
uint32_t sim_node_life(const struct world *w, uint32_t index);
bool sim_node_is_life(const struct world *w, uint32_t index,
                      uint32_t life); /* running, and that process */
uint64_t sim_node_now_ms(const struct world *w, const struct sim_node *n);
uint64_t sim_node_clock_ms(const struct sim_node *n, uint64_t at_us); /* what it showed then */
/* Every node but those lost for good runs, is up in the newest map, knows it and has nothing to
 * do. */
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
/* From an operator who hears no answer; nothing happens unless the node runs. */
void sim_node_operator_msg(struct world *w, uint32_t index, struct msg *msg);
/* Asks every running node how it is, for cover.h. */
void sim_nodes_ask_status(struct world *w);

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

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_WORLD_H
#define SF_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/prng.h"
#include "tests/sim/stats.h"

/*
 * One simulated run: virtual time, one queue of things to happen, ordered by (time, sequence),
 * and one random source. A run uses one thread, reads no clock and uses no address as a key or
 * for order, so that a seed always gives the same run; trace_hash covers all that happened and
 * proves it.
 *
 * Whatever acts in a run (nodes, network, disks, membership, clients, faults) hangs off the
 * world.
 */
enum {
	SIM_MAX_NODES = 16,
	SIM_MAX_DISKS = 6, /* per node */
	SIM_MAX_CLIENTS = 8,
	SIM_POOLS = 4,
	SIM_PGS = 16, /* of one pool */
	/* Ends of a link: the nodes, then the clients, then the membership service. */
	SIM_CLIENT_0 = SIM_MAX_NODES,
	SIM_SERVICE = SIM_MAX_NODES + SIM_MAX_CLIENTS,
	SIM_ENDS,
};
#define SIM_MS 1000ull
#define SIM_SECOND 1000000ull
#define SIM_WALL_START 1700000000ull /* seconds since 1970 at time 0 */

struct world;
struct sim_node;
struct sim_client;
struct sim_net;
struct sim_member;
struct workload;
typedef void world_run(struct world *w, void *arg);

/* Others at the clients' ends of the network, instead of sim_client.c. */
struct msg;
struct sim_guest {
	void (*take)(struct world *w, uint32_t client, uint32_t node, uint64_t conn, struct msg *msg);
	void (*lost)(struct world *w, uint32_t client, uint32_t node, uint64_t conn);
	void (*replace)(struct world *w, uint32_t client);
	void *arg;
};

/* How rough this run is; drawn by the scenario. */
struct sim_profile {
	/* network */
	uint32_t delay_min_us, delay_max_us;
	uint32_t slow_ppm, slow_max_us; /* messages that take much longer */
	uint32_t reset_ppm;             /* messages whose connection breaks */
	uint32_t silent_ppm; /* messages lost without a word: rare, TCP does not do this */
	uint32_t dup_ppm;
	bool fifo;  /* a link keeps the order, as one TCP connection does */
	bool codec; /* messages cross the network as bytes */
	/* disks */
	uint32_t disk_min_us, disk_max_us, sync_us;
	bool reads_overtake;
	uint32_t list_page; /* entries of one page of a listing, at most; 0: no limit */
	/* membership */
	uint32_t ping_ms, lease_ms, session_ms, notify_max_us;
	/* computations */
	uint32_t compute_max_us;
	uint32_t scrub_ms; /* interval of the scrub; 0: as the map says */
	/* clocks: a node's runs faster or slower by up to this */
	uint32_t drift_ppm;
};

struct world_item; /* one entry of the queue */

struct world {
	uint64_t seed;
	uint64_t now_us;
	uint64_t sequence; /* of queue entries */
	uint64_t moment;   /* counts invocations and responses: a total order for the checkers */
	struct prng prng;
	struct world_item *queue;
	uint32_t queue_count, queue_capacity;
	uint64_t trace_hash;
	bool trace;
	bool failed;
	uint32_t operator_result; /* of the last answer to the operator (sim_hands.c) */
	char failure[512];

	struct sim_profile profile;
	struct sim_stats stats;
	bool listed[SIM_POOLS][SIM_PGS]; /* for cover.h */
	struct buf_pool *pool;
	bool pool_borrowed;
	uint32_t node_count;
	struct sim_node *nodes[SIM_MAX_NODES];
	uint32_t client_count;
	struct sim_client *clients[SIM_MAX_CLIENTS];
	struct sim_net *net;
	struct sim_member *member;
	struct workload *workload;
	const struct sim_guest *guest; /* NULL: none */
};

/* pool: borrowed; NULL: its own. */
struct world *world_create(uint64_t seed, bool trace, struct buf_pool *pool);
/* Frees the queue and what its entries carry; the parts must have been freed before. */
void world_destroy(struct world *w);

/* After delay_us, run(w, arg). drop, if not NULL, frees arg when the world ends first. */
void world_after(struct world *w, uint64_t delay_us, world_run *run, void *arg,
                 void (*drop)(void *arg));
/* Frees all that is still queued (before the parts go). */
void world_clear(struct world *w);
/* Carries out the next entry. false: nothing is left, or the run failed. */
bool world_step(struct world *w);
/* Until then, or failure. */
void world_run_until(struct world *w, uint64_t until_us);

/* The run is over: something is wrong. The first reason is kept. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Mixes a step of the run into trace_hash. */
void world_note(struct world *w, uint64_t a, uint64_t b, uint64_t c);
/* A line of the trace, only with --trace. */
void world_print(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define world_trace(w, ...)                                                                        \
	do {                                                                                       \
		if ((w)->trace)                                                                    \
			world_print(w, __VA_ARGS__);                                               \
	} while (0)

/* Draws. */
uint64_t draw_below(struct world *w, uint64_t limit);
uint64_t draw_between(struct world *w, uint64_t low, uint64_t high); /* both included */
bool draw_chance(struct world *w, uint32_t ppm);
/* low..high, short ones much more often than long ones. */
uint64_t draw_skewed(struct world *w, uint64_t low, uint64_t high);
uint64_t draw_id(struct world *w); /* never 0 */

#endif

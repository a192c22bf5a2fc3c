/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_CLUSTER_H
#define SF_CLIENT_CLUSTER_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "client/lib/request.h"
#include "client/lib/task.h"
#include "include/sheepfold.h"
#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/base/prng.h"
#include "lib/place/map.h"
#include "lib/place/place.h"
#include "lib/tls/tls.h"

/*
 * A cluster handle. Its I/O thread owns everything but `submitted` and `stopping`, which have the
 * lock. Other threads hand it tasks; what runs on the I/O thread hands over tasks too (never calls
 * across), so that connections and volumes are entered from the loop alone, and callbacks cannot
 * re-enter them.
 */
struct endpoint {
	char addr[ADDR_LEN];
	uint16_t port;
};

struct sf_cluster {
	uint32_t timeout_ms, window, lease_ms;
	const volatile bool *stop; /* or NULL */
	struct tls *tls; /* NULL: no key */
	char *key_file;  /* NULL: no key */
	struct timespec key_changed; /* when what we have of it was written */

	pthread_t thread;
	pthread_mutex_t lock;
	struct list submitted;
	bool stopping;
	ev_async wake;

	struct ev_loop *loop;
	ev_prepare prepare;
	ev_timer ticker;
	double ticker_s;   /* its period now; 0: not running */
	struct list ready; /* tasks */
	struct prng prng;

	struct map *map; /* NULL: none yet, or not formatted */
	struct placement *placement;
	struct map *next_map; /* fetched, to be adopted by adopt_task */
	struct task adopt_task;
	struct request map_request;
	bool map_under_way;
	uint64_t map_asked_ms;
	uint32_t lost_epoch; /* of the map by which an object stayed lost: others are believed to be at once */

	/* Daemons to try for ROUTE_ANY, the one that answered last first. */
	struct endpoint *endpoints;
	uint32_t endpoint_count, endpoint_home;
	struct endpoint seeds[4]; /* what the user's address resolved to */
	uint32_t seed_count;
	uint64_t home_node; /* who answered first */

	struct list conns, dirty;
	struct htab inflight; /* requests by id */
	uint64_t next_id, next_seq, client;
	uint64_t retries; /* read by any thread */
	struct list delayed, admission;
	uint32_t active; /* requests submitted and not finished */
	uint64_t bytes_under_way;
};

enum { CLUSTER_MAX_BYTES = 64 << 20 };

uint64_t cluster_now_ms(void);
/* Runs the task on the I/O thread. From any thread. */
void cluster_post(struct sf_cluster *cluster, struct task *task);
/* Runs fn there and waits. Not from the I/O thread. */
void cluster_run(struct sf_cluster *cluster, void (*fn)(struct sf_cluster *, void *arg), void *arg);
bool cluster_is_io_thread(const struct sf_cluster *cluster);

/* Retries are due to the hundredth of a second; time-outs are not. */
#define TICK_BUSY_S 0.01
#define TICK_SLOW_S 0.25

/* ---- On the I/O thread ---- */

/* Runs the tasks of one round, and sends what they left to be sent. */
void cluster_run_ready(struct sf_cluster *cluster);
/* Begins what is due again, and ends what has waited too long; the period after which to come back, 0: none. */
void cluster_tick(struct sf_cluster *cluster);
double cluster_tick_s(const struct sf_cluster *cluster);

/* Asks some daemon for the newest map, unless that is under way or was just done. */
void cluster_refresh_map(struct sf_cluster *cluster);
/* The daemon that serves this PG now, or NULL. */
const struct map_node *cluster_primary(const struct sf_cluster *cluster, uint32_t pool,
                                       uint32_t pg);

/* Reads the key file again when it has changed: keys are changed while clients run. */
void cluster_refresh_key(struct sf_cluster *cluster);

/* ---- On other threads ---- */

/* A copy of the newest map the handle has, for the calling thread (map_unref); NULL: not formatted.
 */
struct map *cluster_map_copy(struct sf_cluster *cluster);
/* A random number, from any thread but the I/O thread. */
uint64_t cluster_random(struct sf_cluster *cluster);
/* Waits for a map that is at least as new as when this was called. */
int cluster_map_refetch(struct sf_cluster *cluster);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_LIB_HOST_H
#define SF_SIM_LIB_HOST_H

#include "client/lib/cluster.h"
#include "lib/wire/msg.h"
#include "tests/sim/world.h"

/*
 * A process that has the real client library in it. What the library takes from its system comes from the simulation:
 *
 *   threads   each a coroutine; one runs at a time, and only until it waits (lib_host.c, by ld's --wrap)
 *   time      the world's
 *   sockets   the simulated network (lib_net.c stands in for client/lib/cluster.c and conn.c)
 *
 * All above that is what `dog` and sheepfs run: the router with its retries, maps, locks with leases, volumes.
 */
struct host;

/* One world at a time. */
void lib_open(struct world *w);
void lib_close(void); /* no process goes on */

/* Its messages come and go by this client's end of the network. main runs in a thread of it. */
struct host *host_start(struct world *w, uint32_t client, void (*main)(void *arg), void *arg);
/* Vanishes wherever it is. */
void host_kill(struct host *h);
struct world *host_world(const struct host *h);
uint32_t host_client(const struct host *h);
bool host_is_alive(const struct host *h);
/* Runs fn(h) as the I/O thread would, and then what it left to do. */
void host_io(struct host *h, void (*fn)(struct host *h, void *arg), void *arg);

/* ---- For its threads ---- */

void lib_sleep_us(uint64_t us);
bool lib_is_thread(void);
/* sf_connect, for the daemons of the simulated cluster; waits until one has answered. */
int lib_connect(struct host *h, const struct sf_options *options, struct sf_cluster **ret);

/* ---- lib_net.c ---- */

struct lib_net;
struct lib_net *lib_net_create(struct host *h);
void lib_net_destroy(struct lib_net *net);
struct lib_net *host_net(const struct host *h);
void lib_net_take(struct host *h, uint32_t node, uint64_t conn, struct msg *msg);
void lib_net_lost(struct host *h, uint32_t node, uint64_t conn);
/* After anything on the I/O thread: tasks, sending, the next tick. */
void lib_net_settle(struct host *h);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_MEMBER_H
#define SF_SIM_MEMBER_H

#include "lib/place/map.h"
#include "lib/place/place.h"
#include "tests/sim/world.h"

/*
 * Simulated membership: one service that every node's driver talks to, over links that can be cut
 * like any other.
 *
 *   register  holds every epoch; a proposal wins when the register still holds what it expects
 *   live set  who has a session. A crash ends a session soon, silence ends it after session_ms
 *   lease     a ping that was answered allows a node to serve until lease_ms after it was sent;
 *             lease_ms < session_ms, so that nobody acts without a node before it has stopped.
 *             The answer follows all news that came before it: who may serve knows the map of the
 *             moment when its ping arrived.
 *
 * Each node's driver hears of epochs in order, of live sets and leases after drawn delays; a
 * paused node's driver is paused too.
 */
struct sim_member *sim_member_create(struct world *w);
void sim_member_destroy(struct sim_member *m);

/*
 * Instead of this service, a real driver's logic against a simulation of its engine (--driver NAME): one table per
 * engine. What the driver has to say goes to the node by sim_node_event; what wins a proposal goes to the register by
 * sim_member_install, once, at the moment when it has won.
 */
struct sim_driver {
	const char *name;
	void *(*create)(struct world *w); /* sim_member_engine() gives it back */
	void (*destroy)(void *engine);
	void (*join)(struct world *w, uint32_t node); /* its process has started */
	void (*leave)(struct world *w, uint32_t node); /* in order; the process goes on for a moment */
	void (*died)(struct world *w, uint32_t node);
	/* map is taken over. */
	void (*propose)(struct world *w, uint32_t node, uint64_t expected_cluster, uint32_t expected_epoch,
	                struct map *map);
	void (*update)(struct world *w, uint32_t node); /* what it announces has changed */
	void (*start_faults)(struct world *w); /* the engine's own: from now on */
	void (*heal)(struct world *w);         /* and until now */
	bool (*may_lose)(const struct world *w); /* one more node, for good; NULL: any */
	bool (*is_settled)(const struct world *w); /* nothing that happened will show only later; NULL: always */
};
extern const struct sim_driver sim_zk, sim_cs;
const struct sim_driver *sim_driver_find(const char *name); /* NULL: unknown */
/* Before any node starts; NULL: the simple service above. */
void sim_member_use(struct world *w, const struct sim_driver *driver);
void *sim_member_engine(const struct world *w);
/* As the run wants proposals to be (few PGs); another map, of which the caller has the reference. */
struct map *sim_member_shape(const struct world *w, const struct map *map);
bool sim_member_may_lose(const struct world *w); /* one more node, for good */
bool sim_member_is_settled(const struct world *w);
void sim_member_start_faults(struct world *w);
void sim_member_heal(struct world *w);

/* The node's side. */
void sim_member_join(struct world *w, uint32_t node);  /* its process has started */
void sim_member_leave(struct world *w, uint32_t node); /* in order */
void sim_member_died(struct world *w, uint32_t node);
void sim_member_propose(struct world *w, uint32_t node, uint64_t expected_cluster,
                        uint32_t expected_epoch, struct map *map);
void sim_member_adopt(struct world *w, uint32_t node, uint64_t cluster, bool wipe);

/* The register. */
const struct map *sim_member_map(const struct world *w); /* newest; NULL while there is none */
const struct map *sim_member_epoch(const struct world *w, uint32_t epoch);
uint64_t sim_member_won_us(const struct world *w, uint32_t epoch); /* when; 0: it has not yet */
const struct placement *sim_member_placement(const struct world *w, uint32_t epoch);
bool sim_member_is_register_map(const struct world *w, const struct map *map);
/* The next epoch, whoever wants it (for tests of the checkers). */
void sim_member_install(struct world *w, const struct map *map);
/* PGs of each new pool, instead of what was proposed: small clusters, few PGs. 0: as they
 * come. */
void sim_member_set_pg_count(struct world *w, uint32_t pg_count);

#endif

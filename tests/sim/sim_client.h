/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_CLIENT_H
#define SF_SIM_CLIENT_H

#include "lib/wire/msg.h"
#include "tests/sim/world.h"

/*
 * A client with one operation in flight: routes it to the object's primary by its own copy of the
 * map, and repeats it with the same request id until it is answered for good. What it asked and
 * heard goes into the workload's history.
 */
struct sim_client *sim_client_create(struct world *w, uint32_t index);
void sim_client_destroy(struct world *w, uint32_t index);

/* Asks for a cluster to be formatted until there is one; then works while there is work. */
struct sim_format {
	uint32_t k, m, object_shift, grace_ms;
	bool same_node_ok;
};
void sim_client_format(struct world *w, uint32_t index, const struct sim_format *format);
void sim_client_work(struct world *w, uint32_t index);
/* Nothing under way. */
bool sim_client_idle(const struct world *w, uint32_t index);
/* The process goes away in the middle of what it does, and another takes its place. */
void sim_client_replace(struct world *w, uint32_t index);
/* The object of the operation under way; NULL when idle. */
struct sim_object;
const struct sim_object *sim_client_object(const struct world *w, uint32_t index);
/* One line about what it waits for. */
void sim_client_text(const struct world *w, uint32_t index, char *text, size_t len);

/* From the network; msg is taken over. */
void sim_client_take(struct world *w, uint32_t index, uint32_t node, uint64_t conn,
                     struct msg *msg);
void sim_client_lost(struct world *w, uint32_t index, uint32_t node, uint64_t conn);

#endif

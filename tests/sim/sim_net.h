/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_NET_H
#define SF_SIM_NET_H

#include "lib/wire/msg.h"
#include "tests/sim/world.h"

/*
 * Messages between the ends of the world (nodes, clients, the membership service). A link goes
 * one way, from one end to another. What is sent arrives after a drawn delay, or its connection
 * breaks: then it is lost, with some or all of what was under way on that link, and both ends
 * hear of it (EV_PEER_LOST, EV_CLIENT_LOST). A cut link is silent: its ends hear of what was lost
 * when it is healed.
 */
struct sim_net *sim_net_create(struct world *w);
void sim_net_destroy(struct sim_net *net);

/* msg is taken over. Between two nodes, or between a client and a node on connection conn. */
void sim_net_send(struct world *w, uint32_t from, uint32_t to, uint64_t conn, struct msg *msg);
/* A client's connection to a node; opened on first use. */
uint64_t sim_net_connect(struct world *w, uint32_t client, uint32_t node);
/* Which client a connection of this node belongs to; UINT32_MAX when it is gone. */
uint32_t sim_net_client_of(const struct world *w, uint32_t node, uint64_t conn);

/* Both ends hear that the connections between them broke; what was under way may be lost. */
void sim_net_reset(struct world *w, uint32_t a, uint32_t b);
/* The process behind this end died: all its connections break, by and by. */
void sim_net_end_died(struct world *w, uint32_t end);

void sim_net_cut(struct world *w, uint32_t from, uint32_t to);
void sim_net_heal(struct world *w, uint32_t from, uint32_t to);
void sim_net_heal_all(struct world *w);
bool sim_net_any_cut(const struct world *w);
bool sim_net_reaches(const struct world *w, uint32_t from, uint32_t to);
/* Most messages under way at once, for bounds. */
uint32_t sim_net_peak(const struct world *w);

#endif

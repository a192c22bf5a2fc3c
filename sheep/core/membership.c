/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who is a member: what the live set, the map and our own pings say, and what we propose about it.
 *
 * Each condition is proposed by the lowest live node first, by the next ones a little later, so
 * that there is little noise; the register lets exactly one proposal win. A node joins by
 * proposing itself.
 *
 * Being in the live set does not prove that data can flow: every node pings every other. One
 * that stays silent while most others are heard is reported, and so dropped from the map. It
 * comes back by proposing itself again.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct peer *membership_peer(struct node *node, uint64_t id)
{
	for (uint32_t i = 0; i < node->peer_count; i++)
		if (node->peers[i].id == id)
			return &node->peers[i];
	return NULL;
}

static struct peer *peer_get(struct node *node, uint64_t id)
{
	struct peer *p = membership_peer(node, id);

	if (p)
		return p;
	node->peers = xrealloc(node->peers, (node->peer_count + 1) * sizeof(*node->peers));
	p = &node->peers[node->peer_count++];
	memset(p, 0, sizeof(*p));
	p->id = id;
	p->heard_ms = node->now;
	return p;
}

bool node_in_live_set(const struct node *node, uint64_t id)
{
	for (uint32_t i = 0; i < node->live_count; i++)
		if (node->live[i].id == id)
			return true;
	return false;
}

static void peers_update_live(struct node *node)
{
	for (uint32_t i = 0; i < node->peer_count; i++) {
		struct peer *p = &node->peers[i];
		p->live = node_in_live_set(node, p->id);
		if (p->live)
			p->absent_since_ms = 0;
		else if (!p->absent_since_ms)
			p->absent_since_ms = node->now;
	}
}

void membership_take_live(struct node *node, const struct node_info *live, uint32_t count)
{
	free(node->live);
	node->live = xmemdup(live, count * sizeof(*live));
	node->live_count = count;
	node->live_known = true;
	for (uint32_t i = 0; i < count; i++)
		peer_get(node, live[i].id);
	peers_update_live(node);
}

void membership_heard(struct node *node, uint64_t peer)
{
	struct peer *p = membership_peer(node, peer);

	if (p)
		p->heard_ms = node->now;
}

void membership_map_changed(struct node *node)
{
	node->map_at = node->now;
	for (uint32_t i = 0; i < node->map->node_count; i++) {
		const struct map_node *n = &node->map->nodes[i];
		struct peer *p = peer_get(node, n->id);
		if (!(n->flags & NODE_UP)) {
			if (!p->down_since_ms)
				p->down_since_ms = node->now;
			p->up_since_ms = 0;
		} else {
			if (!p->up_since_ms || p->down_since_ms)
				p->up_since_ms = p->heard_ms = node->now;
			p->down_since_ms = 0;
		}
	}
	peers_update_live(node);
}

uint64_t membership_lease_barrier(const struct node *node)
{
	uint64_t barrier = 0;

	for (uint32_t i = 0; i < node->peer_count; i++) {
		const struct peer *p = &node->peers[i];
		if (p->down_since_ms && p->live && !node_is_self(node, p->id))
			barrier = MAX(barrier, p->down_since_ms + LEASE_MARGIN_MS);
	}
	return barrier;
}

/* ---- Proposals ---- */

void propose_map(struct node *node, struct map *next)
{
	struct effect *fx = effect_add(node, EFF_PROPOSE);

	fx->map = next;
	fx->expected_epoch = node->map ? node->map->epoch : 0;
	fx->expected_cluster = node->map ? node->map->cluster : 0;
	node->proposing = true;
	node->proposed_ms = node->now;
}

bool propose_event(struct node *node, struct map_event *event)
{
	event->now_s = node->wall;
	struct map *next = map_apply(node->map, event);
	if (!next)
		return false;
	propose_map(node, next);
	return true;
}

/* Our turn to propose something about others: position among the living, by id. */
uint64_t membership_rank_delay(const struct node *node)
{
	uint64_t rank = 0;

	for (uint32_t i = 0; i < node->live_count; i++)
		rank += node->live[i].id < node->config.info.id;
	return rank * RANK_DELAY_MS;
}

static bool propose_self(struct node *node)
{
	const struct map_node *self = map_find_node(node->map, node->config.info.id);
	bool was_dropped = self && !(self->flags & NODE_UP) &&
	                   self->incarnation == node->config.info.incarnation;
	struct map_event join = {.type = MAP_EV_JOIN, .info = &node->config.info};
	const struct peer *us = membership_peer(node, node->config.info.id);

	if (!node_in_live_set(node, node->config.info.id))
		return false;
	if (us && us->up_since_ms && node->now > us->up_since_ms + 10 * node->rejoin_delay_ms)
		node->rejoin_delay_ms = 0; /* it held: forgotten */
	if (was_dropped && !node->rejoin_at) {
		/* Dropped while alive: come back, but ever more slowly if that repeats. */
		node->rejoin_delay_ms = MIN(MAX(node->rejoin_delay_ms * 2, (uint64_t)REJOIN_MS),
		                            30 * (uint64_t)REJOIN_MS);
		node->rejoin_at = node->now + node->rejoin_delay_ms;
	}
	if (node->now < node->rejoin_at)
		return false;
	node->rejoin_at = 0;
	return propose_event(node, &join);
}

/* Down in order: true when there is nothing more to wait for. */
static bool propose_leave(struct node *node)
{
	const struct map_node *self = map_find_node(node->map, node->config.info.id);
	struct map_event leave = {.type = MAP_EV_LEAVE, .node = node->config.info.id};

	return !self || !(self->flags & NODE_UP) || !propose_event(node, &leave);
}

static bool propose_failed_disk(struct node *node)
{
	for (uint32_t i = 0; i < node->config.info.disk_count; i++) {
		struct disk_state *d = &node->disks[i];
		struct map_event failed = {.type = MAP_EV_DISK_FAILED, .disk = d->id};
		const struct map_disk *known = map_find_disk(node->map, d->id);
		/* One that was moved meanwhile, or a copy of it, may be well in another node. */
		bool ours = known && node_is_self(node, known->node);
		if (d->failed && ours && propose_event(node, &failed))
			return true;
	}
	return false;
}

/* Most of the others that are up have been heard: silence is then the silent one's. */
static bool hears_most(const struct node *node)
{
	uint32_t others = 0, heard = 0;

	for (uint32_t i = 0; i < node->peer_count; i++) {
		const struct peer *p = &node->peers[i];
		if (!p->up_since_ms || node_is_self(node, p->id))
			continue;
		others++;
		heard += node->now - p->heard_ms < SUSPECT_MS / 2;
	}
	return others >= 2 && 2 * heard >= others;
}

static bool peer_is_gone(const struct node *node, const struct peer *p, uint64_t delay)
{
	if (p->absent_since_ms)
		return node->now >= p->absent_since_ms + delay &&
		       node->now >= node->started_ms + START_HOLD_MS;
	return node->now >= p->heard_ms + SUSPECT_MS + delay && hears_most(node);
}

void membership_peer_anew(struct node *node)
{
	node->anew_epoch = node->map->epoch;
}

static bool propose_anew(struct node *node)
{
	struct map_event anew = {.type = MAP_EV_ANEW};

	if (node->anew_epoch != node->map->epoch || node->now < node->anew_at)
		return false;
	if (node->now > node->anew_at + 60 * (uint64_t)ANEW_MS)
		node->anew_pause_ms = 0; /* that was long ago */
	node->anew_pause_ms = MIN(MAX(node->anew_pause_ms * 2, (uint64_t)ANEW_MS),
	                          60 * (uint64_t)ANEW_MS);
	node->anew_at = node->now + node->anew_pause_ms;
	return propose_event(node, &anew);
}

static bool propose_about_peers(struct node *node)
{
	uint64_t delay = membership_rank_delay(node);

	for (uint32_t i = 0; i < node->peer_count; i++) {
		const struct peer *p = &node->peers[i];
		struct map_event event = {.node = p->id};
		if (node_is_self(node, p->id))
			continue;
		if (p->up_since_ms && peer_is_gone(node, p, delay))
			event.type = MAP_EV_DOWN;
		else if (p->down_since_ms &&
		         node->now >= p->down_since_ms + node->map->grace_ms + delay)
			event.type = MAP_EV_OUT;
		else
			continue;
		if (propose_event(node, &event))
			return true;
	}
	return false;
}

static void ping_peers(struct node *node)
{
	uint32_t flags;

	if (node->now < node->pinged_ms + PING_MS)
		return;
	node->pinged_ms = node->now;
	flags = leave_ping_flags(node);
	for (uint32_t i = 0; i < node->map->node_count; i++) {
		const struct map_node *n = &node->map->nodes[i];
		if (!(n->flags & NODE_UP) || node_is_self(node, n->id))
			continue;
		struct msg *m = msg_create(MSG_PING);
		m->epoch = node->map->epoch;
		m->flags = flags;
		node_send(node, n->id, m);
	}
}

void membership_tick(struct node *node)
{
	if (node->proposing && node->now > node->proposed_ms + CALL_RETRY_MS)
		node->proposing = false; /* the driver never answered */
	if (!node->live_known || node->exiting)
		return;
	if (!node->map && node->leaving) {
		node_exit(node, 0, "asked to stop");
		return;
	}
	if (!node->map) {
		if (!node->proposing)
			admin_next_event(node);
		return;
	}
	ping_peers(node);
	if (node->proposing || node->adopting)
		return;
	if (node->leaving) {
		if (propose_leave(node))
			node_exit(node, 0, "left the cluster");
		return;
	}
	if (propose_self(node) || propose_failed_disk(node) || leave_propose_disks(node) ||
	    admin_next_event(node) || propose_anew(node) || propose_about_peers(node))
		return;
	leave_propose_forget(node);
}

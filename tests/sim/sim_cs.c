/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_cs.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

/*
 * A node's side: what libcpg, votequorum and sheep/member/corosync.c do for the real logic. One per process; a node that
 * starts again gets another, with what its directory had kept.
 */
enum { TICK_MS = 50, REOPEN_MS = 300, VOTES_MS = 1000, NO_VOTES_MS = 100, SETTLED_MS = 4000 };

struct cs_client {
	struct cs_client *next_dead;
	struct world *w;
	uint32_t node, life;
	struct cs_logic *logic; /* NULL: the daemon has not heard the maps that are here yet */
	bool over;              /* left, failed or dead */
	bool connected, broken, reading;
	uint32_t reign; /* of the Corosync that it is connected to */
	uint64_t ring, ring_us, reopen_us, votes_us;
	uint32_t nodes;
	bool quorate;
	uint32_t member_count;
	struct cs_id members[CS_IDS_MAX];
	struct cs_frames frames;
	struct sim_proposals proposals;
	struct map *proposed; /* the last one */
};

static struct cs_engine *engine(const struct world *w)
{
	return sim_member_engine(w);
}

static struct cs_machine *machine_of(const struct cs_client *c)
{
	return &engine(c->w)->machines[c->node];
}

static struct cs_store *store_of(const struct cs_client *c)
{
	return &engine(c->w)->stores[c->node];
}

/* The process that this is meant for; NULL when it is no more. */
static struct cs_client *client_of(struct world *w, const struct sim_turn *t)
{
	struct cs_client *c = engine(w)->clients[t->node];

	return c && c->life == t->life && !c->over && sim_node_is_life(w, t->node, t->life) ? c : NULL;
}

static uint64_t now_ms(const struct cs_client *c)
{
	return sim_node_now_ms(c->w, c->w->nodes[c->node]);
}

/* ---- Views ---- */

static uint32_t nodes_known(const struct world *w)
{
	return (uint32_t)__builtin_popcount(engine(w)->configured);
}

/* An operator adds a node to corosync.conf when those that have the maps are more than half with it, too. */
static bool is_configured(struct world *w, uint32_t node)
{
	struct cs_engine *e = engine(w);
	uint32_t have = 0;

	for (uint32_t i = 0; i < w->node_count; i++) {
		have += w->nodes[i]->state != NODE_GONE && e->stores[i].vote.promised;
		if (!sim_member_map(w) && w->nodes[i]->life) /* those that it begins with */
			e->configured |= 1u << i;
	}
	if (!(e->configured & 1u << node) && 2 * have > nodes_known(w) + 1)
		e->configured |= 1u << node;
	return e->configured & 1u << node;
}

/* The quorum service hears of its peers a while after the ring is there, each machine's in its own time. */
static bool votes_are_in(const struct cs_client *c)
{
	uint64_t lag = hash64(c->ring ^ c->node);

	return lag % 2 || c->w->now_us >= c->ring_us + lag % (600 * SIM_MS);
}

static void votes_look(struct cs_client *c)
{
	c->votes_us = c->w->now_us;
	c->nodes = nodes_known(c->w);
	c->quorate = 2 * cs_machine_ring_size(c->w, c->node) > c->nodes && votes_are_in(c);
}

static void view_tell(struct cs_client *c, const struct cs_id *dead, uint32_t dead_count)
{
	struct cs_view v = {
		.ring = c->ring,
		.nodes = c->nodes,
		.quorate = c->quorate,
		.count = c->member_count,
		.members = c->members,
		.dead_count = dead_count,
		.dead = dead,
	};

	if (c->member_count)
		cs_logic_view(c->logic, now_ms(c), &v);
}

static void event_take(struct cs_client *c, const struct cs_event *e)
{
	const uint8_t *whole;
	size_t len;

	switch (e->type) {
	case EVENT_RING:
		c->ring = e->ring;
		c->ring_us = c->w->now_us;
		votes_look(c);
		view_tell(c, NULL, 0);
		break;
	case EVENT_VIEW:
		c->member_count = e->member_count;
		memcpy(c->members, e->members, sizeof(c->members));
		cs_frames_keep(&c->frames, c->members, c->member_count);
		votes_look(c);
		view_tell(c, e->dead, e->dead_count);
		break;
	case EVENT_MESSAGE:
		whole = cs_frames_take(&c->frames, e->item->id, e->item->bytes, e->item->len, &len);
		if (whole)
			cs_logic_message(c->logic, now_ms(c), e->item->id, whole, len);
		break;
	}
}

/* ---- The connection ---- */

static void connection_close(struct cs_client *c)
{
	world_trace(c->w, "cs: n%u has lost its Corosync", c->node);
	if (c->reign == machine_of(c)->reign)
		cs_process_leave(c->w, c->node, false);
	c->connected = c->broken = false;
	c->member_count = 0;
	cs_frames_keep(&c->frames, NULL, 0);
	cs_frames_drop(&c->frames);
	cs_logic_alone(c->logic);
}

static void connection_open(struct cs_client *c)
{
	struct cs_id id = {c->node + 1, c->life};

	if (c->w->now_us < c->reopen_us)
		return;
	c->reopen_us = c->w->now_us + REOPEN_MS * SIM_MS;
	if (!is_configured(c->w, c->node) || !machine_of(c)->up || cs_machine_is_stuck(c->w, c->node) || machine_of(c)->process.pid)
		return;
	c->connected = true;
	c->reign = machine_of(c)->reign;
	cs_logic_set_id(c->logic, id);
	cs_process_join(c->w, c->node, id);
	votes_look(c);
}

static void queue_flush(struct cs_client *c)
{
	struct cs_frame *f;

	/* Now and then it says: try again. */
	while (c->connected && !c->broken && (f = cs_frames_first(&c->frames)) && draw_below(c->w, 50)) {
		cs_process_send(c->w, c->node, f->bytes, f->len);
		cs_frames_pop(&c->frames);
	}
}

static void maps_tell(struct cs_client *c);

static void turn(struct cs_client *c)
{
	uint32_t nodes = c->nodes;
	bool quorate = c->quorate;

	if (c->connected && (c->broken || c->reign != machine_of(c)->reign || !machine_of(c)->up))
		connection_close(c);
	if (!c->connected) {
		connection_open(c);
		return;
	}
	if (c->w->now_us >= c->votes_us + (c->quorate ? VOTES_MS : NO_VOTES_MS) * SIM_MS)
		votes_look(c);
	if (nodes != c->nodes || quorate != c->quorate)
		cs_logic_votes(c->logic, c->nodes, c->quorate);
	cs_logic_run(c->logic, now_ms(c));
	queue_flush(c);
}

static void reads(struct world *w, void *arg)
{
	struct sim_turn *t = arg;
	struct cs_client *c;

	if (sim_node_defer(w, t->node, reads, t, free))
		return;
	c = client_of(w, t);
	free(t);
	if (!c)
		return;
	c->reading = false;
	for (uint64_t n = draw_between(w, 1, 12); n && c->connected && c->reign == machine_of(c)->reign && !c->over; n--) {
		struct cs_machine *m = machine_of(c);
		struct cs_event *e = m->first;

		if (!e || cs_machine_is_stuck(w, c->node))
			break;
		m->first = e->next;
		if (!m->first)
			m->last = &m->first;
		event_take(c, e);
		cs_event_free(e);
	}
	if (!c->over)
		turn(c);
	cs_client_wake(w, c->node);
}

void cs_client_wake(struct world *w, uint32_t node)
{
	struct cs_client *c = engine(w)->clients[node];

	if (!c || c->reading || c->over || !c->connected || !machine_of(c)->first)
		return;
	c->reading = true;
	world_after(w, draw_skewed(w, 20, 10 * SIM_MS), reads, sim_turn_create(w, node), free);
}

static void client_tick(struct world *w, void *arg)
{
	struct sim_turn *t = arg;
	struct cs_client *c;

	if (sim_node_defer(w, t->node, client_tick, t, free))
		return;
	c = client_of(w, t);
	if (!c) {
		free(t);
		return;
	}
	if (!c->logic)
		maps_tell(c);
	if (c->logic && !c->over)
		turn(c);
	world_after(w, TICK_MS * SIM_MS / 2 + draw_below(w, TICK_MS * SIM_MS / 2), client_tick, t, free);
}

/* ---- The logic's side ---- */

static void on_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct cs_client *c = arg;

	if (!c->connected)
		return;
	if (!cs_frames_put(&c->frames, bytes, len))
		c->broken = true;
	queue_flush(c);
}

static int on_vote_save(void *arg, const struct cs_vote *vote)
{
	struct cs_vote *kept = &store_of(arg)->vote;

	free(kept->data);
	*kept = *vote;
	kept->data = xmemdup(vote->data, vote->len);
	return 0;
}

/* The first to know that a map has won tells the register. */
static int on_map_save(void *arg, uint32_t seq, const struct map *map)
{
	struct cs_client *c = arg;
	struct cs_store *s = store_of(c);
	const struct map *newest = sim_member_map(c->w);

	if (seq != s->map_count + 1)
		return -SF_ECORRUPT;
	if (seq == (newest ? newest->epoch : 0) + 1)
		sim_member_install(c->w, map);
	if (!sim_member_is_register_map(c->w, map) || map->epoch != seq)
		world_fail(c->w, "two maps have won as number %u; one of them at node %u", seq, c->node);
	s->maps = xrealloc(s->maps, seq * sizeof(*s->maps));
	s->maps[s->map_count++] = map_ref((struct map *)map);
	return 0;
}

static int on_map_load(void *arg, uint32_t seq, struct map **ret)
{
	struct cs_store *s = store_of(arg);

	if (!seq || seq > s->map_count)
		return -SF_ECORRUPT;
	*ret = map_ref(s->maps[seq - 1]);
	return 0;
}

static void on_map(void *arg, struct map *map)
{
	struct cs_client *c = arg;
	struct event ev = {.type = EV_MAP, .map = map};

	world_note(c->w, c->node, map->epoch, 77);
	sim_node_event(c->w, c->node, &ev);
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct cs_client *c = arg;
	struct event ev = {.type = EV_LIVE, .live = nodes, .live_count = count};

	sim_node_event(c->w, c->node, &ev);
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct cs_client *c = arg;
	struct event ev = {.type = EV_LEASE, .lease_until_ms = proven_ms + lease_ms};

	sim_driver_check_lease(c->w, c->node, proven_ms, lease_ms);
	sim_node_event(c->w, c->node, &ev);
}

static void on_proposed(void *arg, int result)
{
	struct cs_client *c = arg;
	struct event ev = {.type = EV_PROPOSED, .result = result};

	if (result == 0)
		sim_proposals_check_won(c->w, c->node, &c->proposals);
	else if (c->proposed && sim_member_is_register_map(c->w, c->proposed))
		world_fail(c->w, "node %u is told that its proposal lost, and it won", c->node);
	sim_node_event(c->w, c->node, &ev);
}

static void on_failed(void *arg, const char *why)
{
	struct cs_client *c = arg;

	world_fail(c->w, "node %u's driver gave up: %s", c->node, why);
}

/* First of all the maps that are here: they have won. */
static void maps_tell(struct cs_client *c)
{
	struct cs_store *s = store_of(c);
	struct cs_config config = {
		.id = {c->node + 1, c->life},
		.self = c->w->nodes[c->node]->info,
		.log = c->w->nodes[c->node]->log,
		.callbacks = {c, on_map, on_live, on_lease, on_proposed, on_failed},
		.ops = {c, on_send, on_vote_save, on_map_save, on_map_load},
		.vote = s->vote,
		.committed = s->map_count,
	};

	for (uint32_t i = 0; i < s->map_count && !c->over; i++)
		on_map(c, s->maps[i]);
	if (c->over)
		return;
	if (s->map_count) {
		config.reg = s->maps[0]->cluster;
		config.cluster = s->maps[s->map_count - 1]->cluster;
		config.epoch = s->maps[s->map_count - 1]->epoch;
	}
	config.vote.data = xmemdup(s->vote.data, s->vote.len);
	c->logic = cs_logic_create(&config);
}

/* ---- The table ---- */

static void *sim_cs_create(struct world *w)
{
	struct cs_engine *e = xcalloc(1, sizeof(*e));

	e->token_ms = (uint32_t)draw_between(w, 200, 1500);
	cs_totem_start(w, e);
	return e;
}

static void store_wipe(struct cs_store *s)
{
	free(s->vote.data);
	for (uint32_t i = 0; i < s->map_count; i++)
		map_unref(s->maps[i]);
	free(s->maps);
	*s = (struct cs_store){0};
}

/* It may be at work further up the stack: freed at the end. */
static void client_end(struct world *w, struct cs_engine *e, uint32_t node, bool in_order)
{
	struct cs_client *c = e->clients[node];

	if (!c)
		return;
	c->over = true;
	if (w)
		cs_process_leave(w, node, in_order);
	e->clients[node] = NULL;
	c->next_dead = e->dead;
	e->dead = c;
}

static void sim_cs_destroy(void *arg)
{
	struct cs_engine *e = arg;

	for (uint32_t i = 0; i < SIM_MAX_NODES; i++)
		client_end(NULL, e, i, false);
	for (struct cs_client *c; (c = e->dead);) {
		e->dead = c->next_dead;
		cs_logic_destroy(c->logic);
		cs_frames_keep(&c->frames, NULL, 0);
		cs_frames_drop(&c->frames);
		sim_proposals_fini(&c->proposals);
		map_unref(c->proposed);
		free(c);
	}
	for (uint32_t i = 0; i < SIM_MAX_NODES; i++)
		store_wipe(&e->stores[i]);
	cs_totem_destroy(e);
	free(e);
}

/* More than half of all nodes count, also without this one: who was emptied himself counts only when he has promised anew. */
static bool may_forget(const struct world *w, uint32_t node)
{
	uint32_t have = 0;

	for (uint32_t i = 0; i < w->node_count; i++)
		have += i != node && w->nodes[i]->state != NODE_GONE && engine(w)->stores[i].vote.promised;
	return 2 * have > nodes_known(w);
}

static void sim_cs_join(struct world *w, uint32_t node)
{
	struct cs_engine *e = engine(w);
	struct cs_client *c = xcalloc(1, sizeof(*c));

	client_end(w, e, node, false);
	c->w = w;
	c->node = node;
	c->life = sim_node_life(w, node);
	cs_frames_init(&c->frames);
	e->clients[node] = c;
	cs_machine_up(w, node);
	if (e->faults && draw_below(w, 20) == 0 && may_forget(w, node)) {
		world_trace(w, "cs: the directory of n%u is empty", node);
		store_wipe(&e->stores[node]);
	}
	world_after(w, draw_below(w, TICK_MS * SIM_MS), client_tick, sim_turn_create(w, node), free);
}

static void sim_cs_leave(struct world *w, uint32_t node)
{
	client_end(w, engine(w), node, true);
}

/* By itself, or with its machine. */
static void sim_cs_died(struct world *w, uint32_t node)
{
	client_end(w, engine(w), node, false);
	if (draw_below(w, 2))
		cs_machine_down(w, node);
}

static void sim_cs_propose(struct world *w, uint32_t node, uint64_t expected_cluster, uint32_t expected_epoch,
                           struct map *map)
{
	struct cs_client *c = engine(w)->clients[node];
	struct map *shaped = sim_member_shape(w, map);

	if (c && c->logic) {
		sim_proposals_add(&c->proposals, shaped);
		map_unref(c->proposed);
		c->proposed = map_ref(shaped);
		cs_logic_propose(c->logic, expected_cluster, expected_epoch, shaped);
	}
	map_unref(shaped);
	map_unref(map);
}

static void sim_cs_update(struct world *w, uint32_t node)
{
	struct cs_client *c = engine(w)->clients[node];

	if (c && c->logic)
		cs_logic_update(c->logic, &w->nodes[node]->info);
}

/* More than half of all nodes must stay, with what they know: nobody knows which of two halves the lost ones would side with. */
static bool sim_cs_may_lose(const struct world *w)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < w->node_count; i++)
		left += engine(w)->stores[i].map_count && w->nodes[i]->state != NODE_GONE;
	return left && 2 * (left - 1) > w->node_count;
}

/* Longer than a token, a lease and what the daemons make of it. */
static bool sim_cs_is_settled(const struct world *w)
{
	return w->now_us > engine(w)->changed_us + SETTLED_MS * SIM_MS;
}

const struct sim_driver sim_cs = {
	.name = "corosync",
	.create = sim_cs_create,
	.destroy = sim_cs_destroy,
	.join = sim_cs_join,
	.leave = sim_cs_leave,
	.died = sim_cs_died,
	.propose = sim_cs_propose,
	.update = sim_cs_update,
	.start_faults = cs_totem_start_faults,
	.heal = cs_totem_heal,
	.may_lose = sim_cs_may_lose,
	.is_settled = sim_cs_is_settled,
};

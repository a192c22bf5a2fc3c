/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_zk.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "tests/sim/sim_driver.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

/*
 * A node's side: what libzookeeper and sheep/member/zookeeper.c do for the real logic. One per process; a node that starts
 * again gets another.
 */
enum { TICK_MS = 50 };

struct zk_client {
	struct zk_client *next_dead;
	struct world *w;
	uint32_t node, life;
	struct zk_logic *logic;
	struct zk_conn *conn; /* NULL: looking for a server */
	bool accepted;
	bool over; /* left, failed or dead */
	bool woken, connecting;
	uint64_t session, seen; /* the newest transaction that was shown */
	uint64_t heard_us, sent_us;
	uint64_t lease_until_ms; /* the node's clock */
	struct sim_proposals proposals;
};

static struct zk_ensemble *ensemble(const struct world *w)
{
	return sim_member_engine(w);
}

/* The process that this is meant for; NULL when it is no more. */
static struct zk_client *client_of(struct world *w, uint32_t node, uint32_t life)
{
	struct zk_client *c = ensemble(w)->clients[node];

	return c && c->life == life && !c->over && sim_node_is_life(w, node, life) ? c : NULL;
}

static uint64_t now_ms(const struct zk_client *c)
{
	return sim_node_now_ms(c->w, c->w->nodes[c->node]);
}

/* ---- The connection ---- */

static void connect_arrives(struct world *w, void *arg);

static void connect_soon(struct zk_client *c)
{
	if (c->connecting || c->over)
		return;
	c->connecting = true;
	world_after(c->w, 1000 + draw_skewed(c->w, 100, 300 * SIM_MS), connect_arrives, sim_turn_create(c->w, c->node), free);
}

static void connection_lost(struct zk_client *c)
{
	world_trace(c->w, "zk: n%u has lost its connection", c->node);
	c->conn = NULL;
	c->accepted = false;
	zk_logic_disconnected(c->logic, now_ms(c));
	connect_soon(c);
}

static void connect_arrives(struct world *w, void *arg)
{
	struct sim_turn *t = arg;
	struct zk_client *c;

	if (sim_node_defer(w, t->node, connect_arrives, t, free))
		return;
	c = client_of(w, t->node, t->life);
	free(t);
	if (!c)
		return;
	c->connecting = false;
	if (c->conn)
		return;
	c->conn = zk_connect(w, c->node, c->life, (uint32_t)draw_below(w, ensemble(w)->server_count));
	c->heard_us = c->sent_us = w->now_us;
	zk_send_hello(w, c->conn, c->session, c->seen);
}

static void client_take(struct zk_client *c, struct zk_message *m)
{
	uint64_t now = now_ms(c);
	bool fresh;

	c->heard_us = c->w->now_us;
	if (m->word != WORD_RESET && m->word != WORD_EXPIRED && m->zxid > c->seen)
		c->seen = m->zxid;
	switch (m->word) {
	case WORD_ACCEPTED:
		fresh = c->session != m->session;
		c->session = m->session;
		c->accepted = true;
		world_trace(c->w, "zk: n%u is connected, session %llu%s", c->node, (unsigned long long)m->session,
		            fresh ? " (new)" : "");
		zk_logic_connected(c->logic, now, fresh, c->w->profile.session_ms);
		break;
	case WORD_EXPIRED:
		c->session = 0;
		c->seen = 0;
		zk_logic_expired(c->logic, now);
		connection_lost(c);
		break;
	case WORD_PONG:
		break;
	case WORD_ANSWER:
		m->answer.data = m->data;
		m->answer.names = (const char *const *)m->names;
		zk_logic_answer(c->logic, now, &m->answer);
		break;
	case WORD_WATCH:
		world_trace(c->w, "zk: n%u sees a watch fire on %s", c->node, m->path);
		zk_logic_watch(c->logic, now, m->path);
		break;
	case WORD_RESET:
		connection_lost(c);
		break;
	}
}

void zk_client_hears(struct world *w, void *arg)
{
	struct zk_message *m = arg;
	struct zk_ensemble *e = ensemble(w);
	struct zk_conn *conn = e->conns[m->conn - 1];
	struct zk_client *c;

	if (sim_node_defer(w, m->node, zk_client_hears, m, zk_message_free))
		return;
	c = client_of(w, m->node, m->life);
	if (!sim_net_reaches(w, SIM_SERVICE, m->node) || !sim_net_reaches(w, m->node, SIM_SERVICE))
		conn->broken = true;
	if (c && c->conn == conn && !conn->broken)
		client_take(c, m);
	zk_message_free(m);
}

/* As the library: a ping in a silence of a third of the session's timeout, another server after two thirds. */
static void connection_mind(struct zk_client *c)
{
	uint64_t third_us = c->w->profile.session_ms * SIM_MS / 3;

	if (!c->conn) {
		connect_soon(c);
	} else if (c->w->now_us > c->heard_us + 2 * third_us || zk_logic_is_stuck(c->logic, now_ms(c))) {
		connection_lost(c);
	} else if (c->accepted && c->w->now_us > c->sent_us + third_us) {
		c->sent_us = c->w->now_us;
		zk_send_ping(c->w, c->conn);
	}
}

static void client_tick(struct world *w, void *arg)
{
	struct sim_turn *t = arg;
	struct zk_client *c;

	if (sim_node_defer(w, t->node, client_tick, t, free))
		return;
	c = client_of(w, t->node, t->life);
	if (!c) {
		free(t);
		return;
	}
	connection_mind(c);
	zk_logic_run(c->logic, now_ms(c));
	world_after(w, TICK_MS * SIM_MS / 2 + draw_below(w, TICK_MS * SIM_MS / 2), client_tick, t, free);
}

/* ---- The logic's side ---- */

static void on_request(void *arg, const struct zk_request *r)
{
	struct zk_client *c = arg;

	c->sent_us = c->w->now_us;
	if (r->op != ZK_SET)
		world_trace(c->w, "zk: n%u asks %d %s", c->node, r->op, r->path);
	if (c->conn)
		zk_send_request(c->w, c->conn, r);
}

static void wake_arrives(struct world *w, void *arg)
{
	struct sim_turn *t = arg;
	struct zk_client *c;

	if (sim_node_defer(w, t->node, wake_arrives, t, free))
		return;
	c = client_of(w, t->node, t->life);
	free(t);
	if (!c)
		return;
	c->woken = false;
	zk_logic_run(c->logic, now_ms(c));
}

static void on_wake(void *arg)
{
	struct zk_client *c = arg;

	if (c->woken)
		return;
	c->woken = true;
	world_after(c->w, 10, wake_arrives, sim_turn_create(c->w, c->node), free);
}

static void on_map(void *arg, struct map *map)
{
	struct zk_client *c = arg;
	struct event ev = {.type = EV_MAP, .map = map};

	world_note(c->w, c->node, map->epoch, 77);
	sim_node_event(c->w, c->node, &ev);
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct zk_client *c = arg;
	struct event ev = {.type = EV_LIVE, .live = nodes, .live_count = count};

	sim_node_event(c->w, c->node, &ev);
}

void zk_client_check_expired(struct world *w, uint32_t node, uint64_t session)
{
	const struct zk_client *c = ensemble(w)->clients[node];

	if (c && c->session == session && sim_node_is_life(w, node, c->life) && now_ms(c) < c->lease_until_ms)
		world_fail(w, "the session of node %u expires while it holds a lease", node);
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct zk_client *c = arg;
	struct event ev = {.type = EV_LEASE, .lease_until_ms = proven_ms + lease_ms};

	sim_driver_check_lease(c->w, c->node, proven_ms, lease_ms);
	c->lease_until_ms = ev.lease_until_ms;
	sim_node_event(c->w, c->node, &ev);
}

static void on_proposed(void *arg, int result)
{
	struct zk_client *c = arg;
	struct event ev = {.type = EV_PROPOSED, .result = result};

	if (result == 0)
		sim_proposals_check_won(c->w, c->node, &c->proposals);
	sim_node_event(c->w, c->node, &ev);
}

static void on_failed(void *arg, const char *why)
{
	struct zk_client *c = arg;

	world_fail(c->w, "node %u's driver gave up: %s", c->node, why);
}

/* ---- The table ---- */

static void *sim_zk_create(struct world *w)
{
	return zk_ensemble_create(w);
}

/* It may be at work further up the stack: freed at the end. */
static void client_end(struct zk_ensemble *e, uint32_t node)
{
	struct zk_client *c = e->clients[node];

	if (!c)
		return;
	c->over = true;
	zk_logic_leave(c->logic);
	e->clients[node] = NULL;
	c->next_dead = e->dead;
	e->dead = c;
}

static void sim_zk_destroy(void *engine)
{
	struct zk_ensemble *e = engine;

	for (uint32_t i = 0; i < SIM_MAX_NODES; i++)
		client_end(e, i);
	for (struct zk_client *c; (c = e->dead);) {
		e->dead = c->next_dead;
		zk_logic_destroy(c->logic);
		sim_proposals_fini(&c->proposals);
		free(c);
	}
	zk_ensemble_destroy(e);
}

static void sim_zk_join(struct world *w, uint32_t node)
{
	struct zk_ensemble *e = ensemble(w);
	struct zk_client *c = xcalloc(1, sizeof(*c));
	struct zk_config config = {
		.root = "/sheepfold",
		.part_bytes = e->part_bytes,
		.self = w->nodes[node]->info,
		.log = w->nodes[node]->log,
		.callbacks = {c, on_map, on_live, on_lease, on_proposed, on_failed},
		.ops = {c, on_request, on_wake},
	};

	client_end(e, node);
	c->w = w;
	c->node = node;
	c->life = sim_node_life(w, node);
	c->logic = zk_logic_create(&config);
	e->clients[node] = c;
	world_after(w, draw_below(w, TICK_MS * SIM_MS), client_tick, sim_turn_create(c->w, c->node), free);
}

static void sim_zk_leave(struct world *w, uint32_t node)
{
	struct zk_client *c = ensemble(w)->clients[node];

	if (c && c->conn && c->accepted)
		zk_send_close(w, c->conn);
	client_end(ensemble(w), node);
}

static void sim_zk_died(struct world *w, uint32_t node)
{
	client_end(ensemble(w), node);
}

static void sim_zk_propose(struct world *w, uint32_t node, uint64_t expected_cluster, uint32_t expected_epoch,
                           struct map *map)
{
	struct zk_client *c = ensemble(w)->clients[node];
	struct map *shaped = sim_member_shape(w, map);

	if (c) {
		zk_logic_propose(c->logic, expected_cluster, expected_epoch, shaped);
		sim_proposals_add(&c->proposals, shaped);
	}
	map_unref(shaped);
	map_unref(map);
}

static void sim_zk_update(struct world *w, uint32_t node)
{
	struct zk_client *c = ensemble(w)->clients[node];

	if (c)
		zk_logic_update(c->logic, &w->nodes[node]->info);
}

const struct sim_driver sim_zk = {
	.name = "zookeeper",
	.create = sim_zk_create,
	.destroy = sim_zk_destroy,
	.join = sim_zk_join,
	.leave = sim_zk_leave,
	.died = sim_zk_died,
	.propose = sim_zk_propose,
	.update = sim_zk_update,
	.start_faults = zk_ensemble_start_faults,
	.heal = zk_ensemble_heal,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_net.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_node.h"

struct link {
	bool cut;
	bool lossy;          /* something was lost silently while it was cut */
	uint32_t generation; /* of the connection; what was sent on an older one does not arrive */
	uint64_t busy_until_us; /* arrival of the last message */
};

/* A client's connection. */
struct conn {
	uint32_t client, node, life; /* life: of the node's process */
	bool open;
};

struct sim_net {
	struct link link[SIM_ENDS][SIM_ENDS];
	uint32_t conn_count, conn_capacity;
	struct conn *conns;                                 /* id - 1 is the index */
	uint64_t of_client[SIM_MAX_CLIENTS][SIM_MAX_NODES]; /* open connection, or 0 */
	uint32_t in_flight, peak;
};

/* A message under way: as a value, or as the bytes that cross the network. */
struct packet {
	struct sim_net *net;
	uint32_t from, to, generation, life;
	uint64_t conn;
	struct msg *msg;
	uint8_t *head;
	uint32_t head_len;
	struct buf *payload;
};

static bool is_node(uint32_t end)
{
	return end < SIM_MAX_NODES;
}

static bool is_client(uint32_t end)
{
	return end >= SIM_CLIENT_0 && end < SIM_SERVICE;
}

struct sim_net *sim_net_create(struct world *w)
{
	return xcalloc(1, sizeof(struct sim_net));
}

void sim_net_destroy(struct sim_net *net)
{
	free(net->conns);
	free(net);
}

uint32_t sim_net_peak(const struct world *w)
{
	return w->net->peak;
}

bool sim_net_any_cut(const struct world *w)
{
	for (uint32_t a = 0; a < SIM_ENDS; a++)
		for (uint32_t b = 0; b < SIM_ENDS; b++)
			if (w->net->link[a][b].cut)
				return true;
	return false;
}

bool sim_net_reaches(const struct world *w, uint32_t from, uint32_t to)
{
	return !w->net->link[from][to].cut;
}

/* ---- Packets ---- */

static void packet_drop(void *arg)
{
	struct packet *p = arg;

	p->net->in_flight--;
	msg_destroy(p->msg);
	free(p->head);
	buf_unref(p->payload);
	free(p);
}

static void packet_encode(struct world *w, struct packet *p)
{
	uint32_t len = payload_len(&p->msg->payload);

	frame_encode(p->msg, &p->head, &p->head_len);
	if (len) {
		p->payload = buf_get(w->pool, len);
		payload_copy_out(&p->msg->payload, 0, p->payload->data, len);
	}
	msg_destroy(p->msg);
	p->msg = NULL;
}

static struct msg *packet_take_msg(struct world *w, struct packet *p)
{
	struct msg *m = p->msg;
	int err;

	p->msg = NULL;
	if (m)
		return m;
	m = xmalloc(sizeof(*m));
	err = frame_decode(p->head, p->head_len, p->payload, m);
	if (err) {
		world_fail(w, "a frame does not decode: error %d", err);
		free(m);
		return NULL;
	}
	p->payload = NULL;
	return m;
}

static bool packet_arrives(struct world *w, const struct packet *p)
{
	struct link *link = &w->net->link[p->from][p->to];

	if (link->cut) {
		link->lossy = true;
		return false;
	}
	if (link->generation != p->generation)
		return false;
	if (is_node(p->to) && !sim_node_is_life(w, p->to, p->life))
		return false;
	return true;
}

static void packet_deliver(struct world *w, void *arg)
{
	struct packet *p = arg;
	struct msg *m;

	if (is_node(p->to) && sim_node_defer(w, p->to, packet_deliver, p, packet_drop))
		return;
	if (packet_arrives(w, p) && (m = packet_take_msg(w, p))) {
		w->stats.messages++;
		world_note(w, (uint64_t)p->from << 40 | (uint64_t)p->to << 32 | m->type, m->id,
		           m->version ^ m->result);
		if (is_client(p->to))
			sim_client_take(w, p->to - SIM_CLIENT_0, p->from, p->conn, m);
		else if (is_client(p->from))
			sim_node_client_msg(w, p->to, p->conn, m);
		else
			sim_node_peer_msg(w, p->to, p->from, m);
	}
	packet_drop(p);
}

static uint64_t link_delay(struct world *w, struct link *link)
{
	const struct sim_profile *f = &w->profile;
	uint64_t delay = draw_skewed(w, f->delay_min_us, f->delay_max_us);

	if (draw_chance(w, f->slow_ppm)) {
		delay += draw_below(w, f->slow_max_us + 1);
		w->stats.fault[FAULT_LATE]++;
	}
	if (f->fifo)
		delay = MAX(w->now_us + delay, link->busy_until_us) - w->now_us;
	w->stats.fault[FAULT_REORDER] += w->now_us + delay < link->busy_until_us;
	link->busy_until_us = MAX(link->busy_until_us, w->now_us + delay);
	return delay;
}

static void packet_send(struct world *w, uint32_t from, uint32_t to, uint64_t conn, struct msg *msg)
{
	struct link *link = &w->net->link[from][to];
	struct packet *p = xcalloc(1, sizeof(*p));

	p->net = w->net;
	p->from = from;
	p->to = to;
	p->conn = conn;
	p->generation = link->generation;
	p->life = is_node(to) ? sim_node_life(w, to) : 0;
	p->msg = msg;
	if (w->profile.codec)
		packet_encode(w, p);
	w->net->peak = MAX(w->net->peak, ++w->net->in_flight);
	world_after(w, link_delay(w, link), packet_deliver, p, packet_drop);
}

void sim_net_send(struct world *w, uint32_t from, uint32_t to, uint64_t conn, struct msg *msg)
{
	struct link *link = &w->net->link[from][to];
	const struct sim_profile *f = &w->profile;

	if (link->cut) {
		link->lossy = true;
		msg_destroy(msg);
	} else if (is_node(to) && !sim_node_is_running(w, to)) {
		msg_destroy(msg);
		sim_net_reset(w, from, to);
	} else if (draw_chance(w, f->reset_ppm)) {
		w->stats.fault[FAULT_RESET]++;
		msg_destroy(msg);
		sim_net_reset(w, from, to);
	} else if (draw_chance(w, f->silent_ppm)) {
		w->stats.fault[FAULT_SILENT]++;
		msg_destroy(msg);
	} else {
		if (draw_chance(w, f->dup_ppm)) {
			w->stats.fault[FAULT_DUPLICATE]++;
			packet_send(w, from, to, conn, msg_clone(msg));
		}
		packet_send(w, from, to, conn, msg);
	}
}

/* ---- Connections that break ---- */

struct lost {
	uint32_t end, other, life;
	uint64_t conn; /* of a client; 0 between nodes */
};

static void lost_deliver(struct world *w, void *arg)
{
	struct lost *l = arg;

	if (is_node(l->end) && sim_node_defer(w, l->end, lost_deliver, l, free))
		return;
	if (is_client(l->end))
		sim_client_lost(w, l->end - SIM_CLIENT_0, l->other, l->conn);
	else if (sim_node_is_life(w, l->end, l->life) && l->conn)
		sim_node_client_lost(w, l->end, l->conn);
	else if (sim_node_is_life(w, l->end, l->life))
		sim_node_peer_lost(w, l->end, l->other);
	free(l);
}

static void lost_tell(struct world *w, uint32_t end, uint32_t other, uint64_t conn)
{
	struct lost *l = xcalloc(1, sizeof(*l));
	/* Mostly at once; now and then the other side just stays silent for a while. */
	uint64_t delay =
		draw_chance(w, 50000) ? draw_below(w, 3 * SIM_SECOND) : draw_below(w, 20 * SIM_MS);

	l->end = end;
	l->other = other;
	l->conn = conn;
	l->life = is_node(end) ? sim_node_life(w, end) : 0;
	world_after(w, delay, lost_deliver, l, free);
}

static void conn_reset(struct world *w, uint32_t client, uint32_t node)
{
	uint64_t id = w->net->of_client[client][node];
	struct conn *c;

	if (!id)
		return;
	c = &w->net->conns[id - 1];
	c->open = false;
	w->net->of_client[client][node] = 0;
	lost_tell(w, SIM_CLIENT_0 + client, node, id);
	if (sim_node_is_life(w, node, c->life))
		lost_tell(w, node, SIM_CLIENT_0 + client, id);
}

void sim_net_reset(struct world *w, uint32_t a, uint32_t b)
{
	/* What was under way arrives or not: the reader may have had it in its socket already. */
	if (draw_below(w, 2))
		w->net->link[a][b].generation++;
	if (draw_below(w, 2))
		w->net->link[b][a].generation++;
	if (is_client(a) && is_node(b)) {
		conn_reset(w, a - SIM_CLIENT_0, b);
	} else if (is_node(a) && is_client(b)) {
		conn_reset(w, b - SIM_CLIENT_0, a);
	} else if (is_node(a) && is_node(b)) {
		lost_tell(w, a, b, 0);
		if (sim_node_is_running(w, b))
			lost_tell(w, b, a, 0);
	}
}

void sim_net_end_died(struct world *w, uint32_t end)
{
	for (uint32_t other = 0; other < w->node_count; other++)
		if (other != end)
			sim_net_reset(w, other, end);
	for (uint32_t c = 0; c < w->client_count; c++)
		conn_reset(w, c, end);
}

uint64_t sim_net_connect(struct world *w, uint32_t client, uint32_t node)
{
	struct sim_net *net = w->net;
	uint64_t *id = &net->of_client[client][node];

	if (*id)
		return *id;
	if (net->conn_count == net->conn_capacity) {
		net->conn_capacity = MAX(64u, net->conn_capacity * 2);
		net->conns = xrealloc(net->conns, net->conn_capacity * sizeof(*net->conns));
	}
	net->conns[net->conn_count++] = (struct conn){client, node, sim_node_life(w, node), true};
	*id = net->conn_count;
	return *id;
}

uint32_t sim_net_client_of(const struct world *w, uint32_t node, uint64_t conn)
{
	const struct conn *c =
		conn >= 1 && conn <= w->net->conn_count ? &w->net->conns[conn - 1] : NULL;

	return c && c->open && c->node == node ? c->client : UINT32_MAX;
}

/* ---- Partitions ---- */

void sim_net_cut(struct world *w, uint32_t from, uint32_t to)
{
	w->net->link[from][to].cut = true;
}

void sim_net_heal(struct world *w, uint32_t from, uint32_t to)
{
	struct link *link = &w->net->link[from][to];

	if (!link->cut)
		return;
	link->cut = false;
	if (!link->lossy)
		return;
	link->lossy = false;
	sim_net_reset(w, from, to);
}

void sim_net_heal_all(struct world *w)
{
	for (uint32_t a = 0; a < SIM_ENDS; a++)
		for (uint32_t b = 0; b < SIM_ENDS; b++)
			sim_net_heal(w, a, b);
}

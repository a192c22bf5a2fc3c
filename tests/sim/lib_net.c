/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/conn.h"
#include "client/lib/error.h"
#include "client/lib/lock.h"
#include "client/lib/mapcache.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "tests/sim/lib_host.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

/* In the place of client/lib/cluster.c and conn.c: a handle whose loop is the world's queue, and whose connections are
 * those of the simulated network. A message goes out and comes in as a whole. */
enum { FIRST_PORT = 7000, ROUNDS_MAX = 64, CONNECT_TRY_MS = 8000 };

struct lib_net {
	struct host *host;
	struct sf_cluster *cluster;
	uint64_t turn; /* of the tick that counts */
	double tick_s; /* what it was set to; 0: none */
	bool kicked;
};

/* The connection of the network that a conn is now, in place of its socket. */
struct link {
	struct conn conn;
	uint32_t index;
	uint64_t id;
};

static struct sf_cluster *cluster_of(const struct host *h)
{
	return host_net(h)->cluster;
}

static struct host *host_of(const struct sf_cluster *c)
{
	return (struct host *)(void *)c->loop; /* the loop's place is free */
}

/* ---- cluster.h ---- */

uint64_t cluster_now_ms(void)
{
	return fence_now_ms();
}

bool cluster_is_io_thread(const struct sf_cluster *cluster)
{
	(void)cluster;
	return !lib_is_thread();
}

static void nothing(struct host *h, void *arg)
{
	(void)h, (void)arg;
}

static void kicked(struct world *w, void *arg)
{
	struct host *h = arg;

	(void)w;
	host_net(h)->kicked = false;
	if (host_is_alive(h))
		host_io(h, nothing, NULL);
}

static void kick(struct host *h)
{
	if (host_net(h)->kicked)
		return;
	host_net(h)->kicked = true;
	world_after(host_world(h), 0, kicked, h, NULL);
}

void cluster_post(struct sf_cluster *cluster, struct task *task)
{
	list_push(&cluster->ready, &task->link);
	kick(host_of(cluster));
}

void cluster_refresh_key(struct sf_cluster *cluster)
{
	(void)cluster;
}

struct tick {
	struct host *host;
	uint64_t turn;
};

static void tick_run(struct host *h, void *arg)
{
	(void)arg;
	host_net(h)->tick_s = 0;
	cluster_tick(cluster_of(h));
}

static void tick_due(struct world *w, void *arg)
{
	struct tick *t = arg;

	(void)w;
	if (host_is_alive(t->host) && host_net(t->host)->turn == t->turn)
		host_io(t->host, tick_run, NULL);
	free(t);
}

static void tick_adjust(struct host *h)
{
	struct lib_net *net = host_net(h);
	double want = cluster_tick_s(net->cluster);
	struct tick *t;

	if (want == net->tick_s)
		return;
	net->tick_s = want;
	net->turn++;
	if (want == 0)
		return;
	t = xcalloc(1, sizeof(*t));
	*t = (struct tick){h, net->turn};
	world_after(host_world(h), (uint64_t)(want * 1e6), tick_due, t, free);
}

void lib_net_settle(struct host *h)
{
	struct sf_cluster *c = cluster_of(h);

	if (!c)
		return;
	for (int round = 0; round < ROUNDS_MAX && (!round || !list_empty(&c->ready)); round++)
		cluster_run_ready(c);
	if (!list_empty(&c->ready))
		kick(h);
	tick_adjust(h);
}

/* ---- conn.h ---- */

static struct link *link_of(struct conn *conn)
{
	return container_of(conn, struct link, conn);
}

struct conn *conn_get(struct sf_cluster *c, const char *addr, uint16_t port)
{
	struct host *h = host_of(c);
	struct link *l;

	list_each (it, &c->conns) {
		struct conn *conn = list_item(it, struct conn, link);

		if (conn->port == port && strcmp(conn->addr, addr) == 0)
			return conn;
	}
	l = xcalloc(1, sizeof(*l));
	l->index = port - FIRST_PORT;
	assert(l->index < host_world(h)->node_count);
	l->id = sim_net_connect(host_world(h), host_client(h), l->index);
	l->conn.cluster = c;
	snprintf(l->conn.addr, sizeof(l->conn.addr), "%s", addr);
	l->conn.port = port;
	l->conn.state = CONN_READY;
	l->conn.node = host_world(h)->nodes[l->index]->info.id;
	l->conn.opened_ms = l->conn.heard_ms = cluster_now_ms();
	list_init(&l->conn.dirty);
	list_init(&l->conn.tx);
	list_init(&l->conn.sent);
	list_push(&c->conns, &l->conn.link);
	return &l->conn;
}

void conn_enqueue(struct conn *conn, struct request *req)
{
	req->conn = conn;
	req->state = REQ_QUEUED;
	list_push(&conn->tx, &req->link);
	if (list_empty(&conn->dirty))
		list_push(&conn->cluster->dirty, &conn->dirty);
}

void conn_abandon(struct conn *conn, struct request *req)
{
	(void)conn;
	list_remove(&req->link);
}

static void requests_lose(struct list *lost, const char *why)
{
	for (struct list *it; (it = list_pop(lost));)
		request_lost(list_item(it, struct request, link), why);
}

static void link_fail(struct link *l, const char *why)
{
	struct list lost;

	list_init(&lost);
	list_splice(&lost, &l->conn.sent);
	list_splice(&lost, &l->conn.tx);
	list_remove(&l->conn.link);
	list_remove(&l->conn.dirty);
	free(l);
	requests_lose(&lost, why);
}

void conn_fail(struct conn *conn, const char *why)
{
	struct link *l = link_of(conn);
	struct host *h = host_of(conn->cluster);

	if (sim_net_client_of(host_world(h), l->index, l->id) == host_client(h))
		sim_net_reset(host_world(h), SIM_CLIENT_0 + host_client(h), l->index);
	link_fail(l, why);
}

bool conn_check_time(struct conn *conn, uint64_t now_ms)
{
	(void)conn, (void)now_ms;
	return false;
}

static void request_send(struct link *l, struct request *req)
{
	struct host *h = host_of(l->conn.cluster);
	struct world *w = host_world(h);
	struct buf *payload = req->tx_len ? buf_get(w->pool, req->tx_len) : NULL;
	struct msg *m = xmalloc(sizeof(*m));

	request_encode(req);
	if (payload)
		memcpy(payload->data, req->tx, req->tx_len);
	if (frame_decode(req->head, req->head_len, payload, m) < 0)
		abort();
	req->state = REQ_SENT;
	req->sent = request_frame_len(req);
	list_remove(&req->link);
	list_push(&l->conn.sent, &req->link);
	sim_net_send(w, SIM_CLIENT_0 + host_client(h), l->index, l->id, m);
}

void conn_flush(struct conn *conn)
{
	struct link *l = link_of(conn);
	struct host *h = host_of(conn->cluster);

	list_remove(&conn->dirty);
	list_each_safe (it, &conn->tx) {
		struct request *req = list_item(it, struct request, link);

		if (sim_net_client_of(host_world(h), l->index, l->id) != host_client(h)) {
			link_fail(l, "the connection broke");
			return;
		}
		if (request_is_fenced(req))
			request_hold(req);
		else
			request_send(l, req);
	}
}

/* ---- From the network ---- */

struct arrival {
	uint32_t node;
	uint64_t conn;
	struct msg *msg; /* NULL: the connection broke */
};

static struct request *request_of(struct link *l, const struct msg *m)
{
	struct htab *t = &l->conn.cluster->inflight;

	for (struct hnode *n = htab_first(t, hash64(m->id)); n; n = htab_next(n)) {
		struct request *req = container_of(n, struct request, by_id);

		if (req->id == m->id && req->conn == &l->conn && req->type == m->type)
			return req;
	}
	return NULL;
}

static void link_take(struct world *w, struct link *l, struct msg *m)
{
	struct request *req = request_of(l, m);
	uint32_t len = payload_len(&m->payload);
	bool zeros = m->flags & MSG_F_ZEROS;

	l->conn.heard_ms = cluster_now_ms();
	if (!req || req->state != REQ_SENT)
		return; /* to a try that was given up */
	if (req->type == MSG_OBJ_READ && m->result == RES_OK && !zeros && len != req->length) {
		world_fail(w, "a read of %llu bytes gave %u", (unsigned long long)req->length, len);
		return;
	}
	if (req->rx && m->result == RES_OK && zeros)
		memset(req->rx, 0, req->length);
	else if (req->rx && m->result == RES_OK)
		payload_copy_out(&m->payload, 0, req->rx, len);
	request_answered(req, m, l->conn.node);
}

static void arrive(struct host *h, void *arg)
{
	const struct arrival *a = arg;

	list_each (it, &cluster_of(h)->conns) {
		struct link *l = link_of(list_item(it, struct conn, link));

		if (l->index != a->node || l->id != a->conn)
			continue;
		if (a->msg)
			link_take(host_world(h), l, a->msg);
		else
			link_fail(l, "the daemon closed the connection");
		return;
	}
}

void lib_net_take(struct host *h, uint32_t node, uint64_t conn, struct msg *msg)
{
	struct arrival a = {node, conn, msg};

	if (host_is_alive(h) && cluster_of(h) &&
	    sim_net_client_of(host_world(h), node, conn) == host_client(h))
		host_io(h, arrive, &a);
	msg_destroy(msg);
}

void lib_net_lost(struct host *h, uint32_t node, uint64_t conn)
{
	struct arrival a = {node, conn, NULL};

	if (host_is_alive(h) && cluster_of(h))
		host_io(h, arrive, &a);
}

/* ---- Connect ---- */

struct lib_net *lib_net_create(struct host *h)
{
	struct lib_net *net = xcalloc(1, sizeof(*net));

	net->host = h;
	return net;
}

void lib_net_destroy(struct lib_net *net)
{
	struct sf_cluster *c = net->cluster;

	if (c) {
		for (struct list *it; (it = list_pop(&c->conns));)
			free(link_of(list_item(it, struct conn, link)));
		map_unref(c->map);
		map_unref(c->next_map);
		placement_destroy(c->placement);
		free(c->endpoints);
		htab_fini(&c->inflight);
		free(c);
	}
	free(net);
}

int lib_connect(struct host *h, const struct sf_options *o, struct sf_cluster **ret)
{
	struct world *w = host_world(h);
	struct sf_cluster *c = xcalloc(1, sizeof(*c));
	int err;

	c->timeout_ms = o->timeout_ms;
	c->window = o->window;
	c->lease_ms = o->lease_ms;
	list_init(&c->submitted);
	list_init(&c->ready);
	list_init(&c->conns);
	list_init(&c->dirty);
	list_init(&c->delayed);
	list_init(&c->admission);
	htab_init(&c->inflight);
	c->client = draw_id(w);
	prng_init(&c->prng, draw_id(w));
	c->loop = (struct ev_loop *)(void *)h;
	for (; c->seed_count < MIN(w->node_count, ARRAY_LEN(c->seeds)); c->seed_count++) {
		const struct node_info *info = &w->nodes[c->seed_count]->info;

		memcpy(c->seeds[c->seed_count].addr, info->addr, sizeof(c->seeds[0].addr));
		c->seeds[c->seed_count].port = info->port;
	}
	mapcache_set_endpoints(c);
	host_net(h)->cluster = c;
	while ((err = mapcache_fetch(c, CONNECT_TRY_MS)) == -ENOTCONN || err == -ETIMEDOUT || err == -ENODEV)
		lib_sleep_us(SIM_SECOND);
	*ret = c;
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/mapcache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/conn.h"
#include "lib/base/mem.h"

enum {
	MAP_TRY_MS = 1000,    /* then the next daemon is asked */
	MAP_INTERVAL_MS = 20, /* between two fetches that changed nothing */
	MAP_TIMEOUT_MS = 10000,
};

/* ---- Daemons ---- */

static void endpoint_add(struct sf_cluster *c, const char *addr, uint16_t port)
{
	struct endpoint *e;

	for (uint32_t i = 0; i < c->endpoint_count; i++) {
		if (c->endpoints[i].port == port && strcmp(c->endpoints[i].addr, addr) == 0)
			return;
	}
	c->endpoints = xrealloc(c->endpoints, (c->endpoint_count + 1) * sizeof(*e));
	e = &c->endpoints[c->endpoint_count++];
	snprintf(e->addr, sizeof(e->addr), "%s", addr);
	e->port = port;
}

static void endpoints_add_nodes(struct sf_cluster *c, bool up)
{
	for (uint32_t i = 0; i < c->map->node_count; i++) {
		const struct map_node *n = &c->map->nodes[i];

		if (!!(n->flags & NODE_UP) == up)
			endpoint_add(c, n->addr, n->port);
	}
}

void mapcache_set_endpoints(struct sf_cluster *c)
{
	struct endpoint *old = c->endpoints;
	struct endpoint home = old ? old[c->endpoint_home] : c->seeds[0];

	c->endpoints = NULL;
	c->endpoint_count = c->endpoint_home = 0;
	endpoint_add(c, home.addr, home.port);
	if (c->map)
		endpoints_add_nodes(c, true);
	for (uint32_t i = 0; i < c->seed_count; i++)
		endpoint_add(c, c->seeds[i].addr, c->seeds[i].port);
	if (c->map)
		endpoints_add_nodes(c, false);
	free(old);
}

void mapcache_set_home(struct sf_cluster *c, const char *addr, uint16_t port)
{
	for (uint32_t i = 0; i < c->endpoint_count; i++) {
		if (c->endpoints[i].port == port && strcmp(c->endpoints[i].addr, addr) == 0)
			c->endpoint_home = i;
	}
}

const struct map_node *cluster_primary(const struct sf_cluster *c, uint32_t pool, uint32_t pg)
{
	const struct map_pool *p = map_find_pool(c->map, pool);
	const uint64_t *slots = placement_slots(c->placement, pool, pg);

	for (uint32_t i = 0; slots && p && i < p->k + p->m; i++) {
		const struct map_disk *disk =
			slots[i] == NO_DISK ? NULL : map_find_disk(c->map, slots[i]);

		if (disk && map_disk_up(c->map, disk))
			return map_find_node(c->map, disk->node);
	}
	return NULL;
}

/* ---- Adoption ---- */

static bool map_is_newer(const struct sf_cluster *c, const struct map *map)
{
	if (!c->map)
		return true;
	if (map->cluster != c->map->cluster) /* formatted again */
		return map->created_s >= c->map->created_s;
	return map->epoch > c->map->epoch;
}

/* A request under way to a daemon that is down now will not be answered. One is handled at a time,
 * because taking it back may close its connection. */
static bool move_one_from_dead(struct sf_cluster *c)
{
	list_each (it, &c->conns) {
		struct conn *conn = list_item(it, struct conn, link);
		bool up = false, known = false;

		for (uint32_t i = 0; i < c->map->node_count; i++) {
			const struct map_node *n = &c->map->nodes[i];

			if (n->port == conn->port && strcmp(n->addr, conn->addr) == 0) {
				known = true;
				up |= !!(n->flags & NODE_UP);
			}
		}
		if (known && !up && !(list_empty(&conn->tx) && list_empty(&conn->sent))) {
			conn_fail(conn, "the daemon is down");
			return true;
		}
	}
	return false;
}

/* Takes over the reference. */
static void map_adopt(struct sf_cluster *c, struct map *map)
{
	if (!map_is_newer(c, map)) {
		map_unref(map);
		return;
	}
	map_unref(c->map);
	placement_destroy(c->placement);
	c->map = map;
	c->placement = placement_create(map);
	mapcache_set_endpoints(c);
	while (move_one_from_dead(c))
		;
	/* Whoever waits may have somewhere to go now. */
	list_each (it, &c->delayed)
		list_item(it, struct request, link)->not_before_ms = 0;
}

/* Nobody can serve what waits for a map: there is none. One is handled at a time, because whoever is
 * told may do anything. */
static bool fail_one_unformatted(struct sf_cluster *c)
{
	list_each (it, &c->delayed) {
		struct request *req = list_item(it, struct request, link);

		if (req->route != ROUTE_PRIMARY)
			continue;
		request_finish(req, -ENODEV, "the cluster is not formatted yet");
		return true;
	}
	return false;
}

static void adopt_run(struct task *task)
{
	struct sf_cluster *c = container_of(task, struct sf_cluster, adopt_task);
	struct map *map = c->next_map;

	while (!c->map && c->map_request.result == -ENODEV && fail_one_unformatted(c))
		;
	c->next_map = NULL;
	c->map_under_way = false;
	c->map_asked_ms = cluster_now_ms();
	if (map)
		map_adopt(c, map);
}

static void map_request_done(struct request *req)
{
	struct sf_cluster *c = req->cluster;

	if (req->result == 0)
		(void)map_decode(req->reply->blob, req->reply->blob_len, &c->next_map);
	request_fini(req);
	/* Not from in here: this may be inside a connection that adoption closes. */
	c->adopt_task.run = adopt_run;
	cluster_post(c, &c->adopt_task);
}

void cluster_refresh_map(struct sf_cluster *c)
{
	struct request *req = &c->map_request;

	if (c->map_under_way || cluster_now_ms() - c->map_asked_ms < MAP_INTERVAL_MS)
		return;
	c->map_under_way = true;
	request_init(req, ROUTE_ANY, MSG_GET_MAP);
	req->keep_reply = true;
	req->try_ms = MAP_TRY_MS;
	req->timeout_ms = MAP_TIMEOUT_MS;
	req->done = map_request_done;
	request_submit(c, req);
}

/* ---- From other threads ---- */

struct fetched {
	struct map *map;
	uint64_t node;
};

static void fetched_adopt(struct sf_cluster *c, void *arg)
{
	struct fetched *f = arg;

	if (!c->home_node)
		c->home_node = f->node;
	if (f->map)
		map_adopt(c, f->map);
}

int mapcache_fetch(struct sf_cluster *c, uint32_t timeout_ms)
{
	struct request req;
	struct fetched f = {0};
	int err;

	request_init(&req, ROUTE_ANY, MSG_GET_MAP);
	req.keep_reply = true;
	req.try_ms = MAP_TRY_MS;
	req.timeout_ms = timeout_ms;
	err = call_request(c, &req);
	f.node = req.answered_node;
	if (!err && map_decode(req.reply->blob, req.reply->blob_len, &f.map) < 0)
		err = error_set(-EPROTO,
		                "a daemon sent a map that this version does not understand");
	request_fini(&req);
	if (!err || err == -ENODEV)
		cluster_run(c, fetched_adopt, &f);
	return err;
}

int cluster_map_refetch(struct sf_cluster *c)
{
	return mapcache_fetch(c, MAP_TIMEOUT_MS);
}

struct encoded {
	uint8_t *bytes;
	size_t len;
};

static void encode_map(struct sf_cluster *c, void *arg)
{
	struct encoded *e = arg;

	if (c->map)
		map_encode(c->map, &e->bytes, &e->len);
}

struct map *cluster_map_copy(struct sf_cluster *c)
{
	struct encoded e = {0};
	struct map *map = NULL;

	/* Reference counts belong to one thread: the copy goes by way of bytes. */
	cluster_run(c, encode_map, &e);
	if (e.bytes)
		(void)map_decode(e.bytes, e.len, &map);
	free(e.bytes);
	return map;
}

static void read_home(struct sf_cluster *c, void *arg)
{
	*(uint64_t *)arg = c->home_node;
}

uint64_t sf_home_node(struct sf_cluster *cluster)
{
	uint64_t node;

	cluster_run(cluster, read_home, &node);
	return node;
}

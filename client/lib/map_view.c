/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/map_view.h"
#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { VNODES_AVERAGE = 128, FETCH_MS = 10000 };

/* 10.0.0.9 before 10.0.0.10: by the address's bytes, IPv4 before IPv6, names last. */
static int address_compare(const char *a, const char *b)
{
	static const int families[] = {AF_INET, AF_INET6};
	uint8_t x[16], y[16];

	for (int i = 0; i < 2; i++) {
		size_t len = families[i] == AF_INET ? 4 : 16;
		bool is_x = inet_pton(families[i], a, x) == 1,
		     is_y = inet_pton(families[i], b, y) == 1;

		if (is_x && is_y)
			return memcmp(x, y, len);
		if (is_x != is_y)
			return is_x ? -1 : 1;
	}
	return strcmp(a, b);
}

static int node_compare(const void *a, const void *b)
{
	const struct sf_node *x = a, *y = b;
	int order = address_compare(x->address, y->address);

	return order ? order : (x->port > y->port) - (x->port < y->port);
}

static void view_fill_nodes(const struct map *map, struct sf_map *view)
{
	uint64_t total = 0, storing = 0, *weights = xcalloc(map->node_count, sizeof(*weights));

	view->node_count = map->node_count;
	view->nodes = xcalloc(map->node_count, sizeof(view->nodes[0]));
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct map_node *n = &map->nodes[i];
		struct sf_node *out = &view->nodes[i];

		out->id = n->id;
		memcpy(out->address, n->addr, sizeof(out->address));
		out->port = n->port;
		out->zone = n->zone;
		out->up = n->flags & NODE_UP;
		out->out = n->flags & NODE_OUT;
		out->gateway = n->flags & NODE_GATEWAY;
		out->draining = n->flags & NODE_DRAIN;
		out->maintenance = n->flags & NODE_MAINTENANCE;
		for (uint32_t d = 0; d < map->disk_count; d++) {
			if (map->disks[d].node != n->id)
				continue;
			out->disk_count++;
			weights[i] += map->disks[d].weight;
		}
		total += weights[i];
		storing += weights[i] > 0;
	}
	for (uint32_t i = 0; i < map->node_count; i++)
		if (total > 0)
			view->nodes[i].weight =
				(uint32_t)((weights[i] * VNODES_AVERAGE * storing + total / 2) /
			                   total);
	free(weights);
	qsort(view->nodes, view->node_count, sizeof(view->nodes[0]), node_compare);
}

static void view_fill_pools(const struct map *map, struct sf_map *view)
{
	view->pool_count = map->pool_count;
	view->pools = xcalloc(map->pool_count, sizeof(view->pools[0]));
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *p = &map->pools[i];

		view->pools[i] = (struct sf_pool){
			.id = p->id,
			.redundancy = {p->k, p->m},
			.pg_count = p->pg_count,
			.object_shift = p->object_shift,
		};
	}
}

static struct sf_map *view_create(const struct map *map, bool formatted)
{
	struct sf_map *view = xcalloc(1, sizeof(*view));

	view->formatted = formatted;
	view->epoch = formatted ? map->epoch : 0;
	view->cluster_id = formatted ? map->cluster : 0;
	view->created_s = map->created_s;
	view->changed_s = map->changed_s;
	view->recovery_enabled = !(map->flags & MAP_RECOVERY_DISABLED);
	view->shutting_down = map->flags & MAP_SHUTDOWN;
	view->grace_ms = map->grace_ms;
	view->min_live_extra = map->min_live_extra;
	view->scrub_interval_s = map->scrub_interval_s ? map->scrub_interval_s : SCRUB_DEFAULT_S;
	view_fill_nodes(map, view);
	view_fill_pools(map, view);
	return view;
}

int map_ask(struct sf_cluster *cluster, enum msg_type type, uint32_t epoch, struct map **ret)
{
	struct request req;
	int err;

	request_init(&req, ROUTE_ANY, type);
	req.offset = epoch;
	req.timeout_ms = FETCH_MS;
	req.keep_reply = true;
	err = call_request(cluster, &req);
	if (!err && map_decode(req.reply->blob, req.reply->blob_len, ret) < 0)
		err = error_set(-EPROTO,
		                "a daemon sent a map that this version does not understand");
	request_fini(&req);
	return err;
}

int sf_map_get(struct sf_cluster *cluster, uint32_t epoch, struct sf_map **ret)
{
	struct map *map = NULL;
	bool formatted = true;
	int err = 0;

	if (epoch == 0) {
		err = cluster_map_refetch(cluster);
		if (!err)
			map = cluster_map_copy(cluster);
	} else {
		err = map_ask(cluster, MSG_GET_MAP, epoch, &map);
	}
	if (err == -ENODEV && epoch == 0) {
		formatted = false;
		err = map_ask(cluster, MSG_NODES, 0, &map);
	}
	if (err < 0)
		return err;
	*ret = view_create(map, formatted);
	map_unref(map);
	return 0;
}

void sf_map_free(struct sf_map *map)
{
	if (!map)
		return;
	free(map->nodes);
	free(map->pools);
	free(map);
}

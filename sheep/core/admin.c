/* SPDX-License-Identifier: Apache-2.0 */

/* What an operator asks of the cluster: each request becomes one change of the map. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "sheep/core/admin.h"

enum { ADMIN_BLOB_MAX = 64 << 10, ADMIN_WAITING_MAX = 64 };

void admin_answer(struct node *node, struct admin_wait *w, uint32_t result)
{
	struct msg *reply = msg_create_reply(w->req, result);

	reply->length = w->length;
	reply->blob_len = strlen(w->text);
	reply->blob = xmemdup(w->text, reply->blob_len);
	if (w->conn)
		node_reply(node, w->conn, reply);
	else
		msg_destroy(reply);
	list_remove(&w->link);
	sf__admin_request__free_unpacked(w->ask, NULL);
	msg_destroy(w->req);
	free(w);
}

void admin_refuse(struct node *node, struct admin_wait *w, uint32_t result, const char *why)
{
	snprintf(w->text, sizeof(w->text), "%s", why);
	admin_answer(node, w, result);
}

static bool admin_has_room(const struct node *node)
{
	uint32_t count = 0;

	list_each (l, &node->admin)
		count++;
	return count < ADMIN_WAITING_MAX;
}

void admin_handle(struct node *node, uint64_t conn, struct msg *msg)
{
	/* Unpacked, fields that we do not know take many times their length; and requests wait. */
	bool fits = msg->blob_len <= ADMIN_BLOB_MAX;
	bool room = admin_has_room(node);
	Sf__AdminRequest *ask =
		fits && room ? sf__admin_request__unpack(NULL, msg->blob_len, msg->blob) : NULL;

	if (!ask) {
		node_reply_result(node, conn, msg, fits && !room ? RES_AGAIN : RES_INVALID);
		msg_destroy(msg);
		return;
	}
	struct admin_wait *w = xcalloc(1, sizeof(*w));
	w->conn = conn;
	w->req = msg;
	w->ask = ask;
	list_push(&node->admin, &w->link);
	if (ask->verb == SF__ADMIN_REQUEST__VERB__KILL) {
		admin_answer(node, w, RES_OK);
		node_exit(node, 0, "killed by an operator");
		return;
	}
	admin_local(node, w);
}

void admin_client_lost(struct node *node, uint64_t conn)
{
	list_each (l, &node->admin) {
		struct admin_wait *w = list_item(l, struct admin_wait, link);
		if (w->conn == conn)
			w->conn = 0;
	}
}

void admin_destroy(struct node *node)
{
	struct list *l;

	while ((l = list_pop(&node->admin))) {
		struct admin_wait *w = list_item(l, struct admin_wait, link);
		sf__admin_request__free_unpacked(w->ask, NULL);
		msg_destroy(w->req);
		free(w);
	}
}

/* The new cluster's id: needs to differ from any other's, not to be secret. */
static uint64_t cluster_id_make(const struct node *node)
{
	uint64_t id =
		hash64(node->config.info.incarnation ^ hash64(node->wall ^ hash64(node->now)));

	return id ? id : 1;
}

static bool admin_format(struct node *node, struct admin_wait *w)
{
	const Sf__AdminRequest *ask = w->ask;
	struct map *map;

	if (node->map && !ask->force) {
		admin_refuse(node, w, RES_EXISTS, "the cluster is formatted already");
		return false;
	}
	struct format_options opt = {
		.cluster = cluster_id_make(node),
		.now_s = node->wall,
		.k = ask->k,
		.m = ask->m,
		.object_shift = ask->object_shift,
		.grace_ms = ask->grace_ms,
		.same_node_ok = ask->same_node_ok,
	};
	if (map_format(&opt, node->live, node->live_count, &map, w->text) < 0) {
		admin_answer(node, w, RES_INVALID);
		return false;
	}
	w->proposed = true;
	propose_map(node, map);
	return true;
}

static bool event_from_request(const struct map *map, const struct admin_wait *w,
                               struct map_event *ev)
{
	const Sf__AdminRequest *ask = w->ask;
	const struct map_pool *data = map_find_pool(map, POOL_DATA);

	memset(ev, 0, sizeof(*ev));
	switch (ask->verb) {
	case SF__ADMIN_REQUEST__VERB__SHUTDOWN:
		ev->type = MAP_EV_FLAGS;
		ev->set_flags = MAP_SHUTDOWN;
		return true;
	case SF__ADMIN_REQUEST__VERB__RECOVERY:
		ev->type = MAP_EV_FLAGS;
		ev->set_flags = ask->enable ? 0 : MAP_RECOVERY_DISABLED;
		ev->clear_flags = ask->enable ? MAP_RECOVERY_DISABLED : 0;
		return true;
	case SF__ADMIN_REQUEST__VERB__GRACE:
		ev->type = MAP_EV_GRACE;
		ev->grace_ms = ask->grace_ms;
		return true;
	case SF__ADMIN_REQUEST__VERB__POOL:
		ev->type = MAP_EV_POOL;
		ev->k = ask->k;
		ev->m = ask->m;
		ev->object_shift = ask->object_shift ? ask->object_shift : data->object_shift;
		ev->same_node_ok = ask->same_node_ok || data->same_node_ok;
		return true;
	case SF__ADMIN_REQUEST__VERB__DISK_FAIL:
		ev->type = MAP_EV_DISK_FAILED;
		ev->disk = ask->disk;
		return true;
	case SF__ADMIN_REQUEST__VERB__WEIGHT:
		ev->type = MAP_EV_WEIGHT;
		ev->disk = ask->disk;
		ev->weight = ask->weight;
		return true;
	case SF__ADMIN_REQUEST__VERB__MIN_LIVE:
		ev->type = MAP_EV_MIN_LIVE;
		ev->min_live_extra = ask->min_live_extra;
		return ask->min_live_extra <= MAX_PARITY;
	case SF__ADMIN_REQUEST__VERB__SCRUB:
		ev->type = MAP_EV_SCRUB;
		ev->scrub_interval_s = ask->scrub_interval_s;
		ev->scrub_now = ask->scrub_now;
		return true;
	case SF__ADMIN_REQUEST__VERB__DRAIN:
	case SF__ADMIN_REQUEST__VERB__MAINTENANCE:
		ev->type = ask->verb == SF__ADMIN_REQUEST__VERB__DRAIN ? MAP_EV_DRAIN
		                                                       : MAP_EV_MAINTENANCE;
		ev->node = ask->node;
		ev->on = ask->on;
		return true;
	case SF__ADMIN_REQUEST__VERB__WEIGHTS:
		ev->type = MAP_EV_WEIGHTS;
		ev->disks = ask->disks;
		ev->weights = ask->weights;
		ev->disk_count = ask->n_disks;
		return ask->n_disks == ask->n_weights;
	case SF__ADMIN_REQUEST__VERB__UNPLUG:
		ev->type = MAP_EV_DISK_LEAVE;
		ev->disk = w->disk;
		ev->failed = ask->force;
		return true;
	case SF__ADMIN_REQUEST__VERB__LOST:
		ev->type = MAP_EV_LOST;
		ev->disks = ask->disks;
		ev->disk_count = ask->n_disks;
		return true;
	default:
		return false;
	}
}

static uint32_t pool_like(const struct map *map, const struct map_event *ev)
{
	for (uint32_t i = map->pool_count; i-- > 0;) {
		const struct map_pool *p = &map->pools[i];
		if (p->id != POOL_META && p->k == ev->k && p->m == ev->m &&
		    p->object_shift == ev->object_shift)
			return p->id;
	}
	return 0;
}

/* Enough nodes (or disks, where slots may share a node) for every slot to have one. */
static bool pool_fits(const struct map *map, const struct map_event *ev, char text[FORMAT_TEXT_LEN])
{
	uint32_t places = 0;

	for (uint32_t i = 0; i < map->node_count; i++) {
		uint32_t disks = 0;
		for (uint32_t d = 0; d < map->disk_count; d++)
			disks += map->disks[d].node == map->nodes[i].id &&
			         !(map->disks[d].flags & DISK_FAILED);
		if (map->nodes[i].flags & (NODE_OUT | NODE_GATEWAY))
			continue;
		places += ev->same_node_ok ? disks : disks > 0;
	}
	if (places >= ev->k + ev->m)
		return true;
	snprintf(text, FORMAT_TEXT_LEN, "that redundancy needs %u %s and the cluster has %u",
	         ev->k + ev->m, ev->same_node_ok ? "disks" : "nodes", places);
	return false;
}

/* Data can only leave for slots elsewhere. What has failed already is gone anyway. */
static bool leaves_too_few(const struct map_event *ev, const struct map *next,
                           char text[FORMAT_TEXT_LEN])
{
	bool leaves = (ev->type == MAP_EV_DRAIN && ev->on &&
	               (map_find_node(next, ev->node)->flags & NODE_UP)) ||
	              (ev->type == MAP_EV_DISK_LEAVE && !ev->failed &&
	               !(map_find_disk(next, ev->disk)->flags & DISK_FAILED));

	return leaves && !map_fills_slots(next, text);
}

static void admin_refuse_change(struct node *node, struct admin_wait *w, enum map_event_type type)
{
	if (type == MAP_EV_LOST)
		admin_refuse(node, w, RES_DENIED, "a disk that is up cannot be given up");
	else
		admin_refuse(node, w, type == MAP_EV_POOL ? RES_INVALID : RES_OK, "");
}

static bool admin_propose(struct node *node, struct admin_wait *w)
{
	struct map_event ev;

	if (w->ask->verb == SF__ADMIN_REQUEST__VERB__FORMAT)
		return admin_format(node, w);
	if (!node->map) {
		admin_refuse(node, w, RES_NOT_FORMATTED, "the cluster is not formatted yet");
		return false;
	}
	if (!event_from_request(node->map, w, &ev)) {
		admin_refuse(node, w, RES_INVALID, "this release does not know that request");
		return false;
	}
	ev.now_s = node->wall;
	if (ev.type == MAP_EV_POOL && (w->length = pool_like(node->map, &ev))) {
		admin_answer(node, w, RES_OK);
		return false;
	}
	if (ev.type == MAP_EV_POOL && !pool_fits(node->map, &ev, w->text)) {
		admin_answer(node, w, RES_INVALID);
		return false;
	}
	if (ev.type == MAP_EV_LOST && w->ask->epoch != node->map->epoch) {
		/* What the operator agreed to may not be what it would mean now. */
		admin_refuse(node, w, RES_DENIED, "the cluster has changed meanwhile; look again");
		return false;
	}
	if (ev.type == MAP_EV_DRAIN && !map_find_node(node->map, ev.node)) {
		admin_refuse(node, w, RES_NOENT, "there is no such node");
		return false;
	}
	struct map *next = map_apply(node->map, &ev);
	if (!next) { /* nothing to change */
		admin_refuse_change(node, w, ev.type);
		return false;
	}
	if (leaves_too_few(&ev, next, w->text)) {
		map_unref(next);
		admin_answer(node, w, RES_INVALID);
		return false;
	}
	if (ev.type == MAP_EV_POOL)
		w->length = pool_like(next, &ev);
	w->proposed = true;
	propose_map(node, next);
	return true;
}

bool admin_next_event(struct node *node)
{
	list_each_safe (l, &node->admin) {
		struct admin_wait *w = list_item(l, struct admin_wait, link);
		if (!w->proposed && !w->local && admin_propose(node, w))
			return true;
	}
	return false;
}

void admin_proposed(struct node *node, int result)
{
	list_each_safe (l, &node->admin) {
		struct admin_wait *w = list_item(l, struct admin_wait, link);
		if (!w->proposed)
			continue;
		if (result == 0) {
			admin_answer(node, w, RES_OK);
		} else {
			w->proposed =
				false; /* somebody else's map won: on top of that one, again */
			w->length = 0;
		}
	}
}

static int node_by_id(const void *a, const void *b)
{
	const struct map_node *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int disk_by_id(const void *a, const void *b)
{
	const struct map_disk *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* The live set as a map, for asking who is there before there is a cluster. */
void nodes_handle(struct node *node, uint64_t conn, struct msg *msg)
{
	struct msg *reply = msg_create_reply(msg, RES_OK);
	struct map map = {.epoch = 1,
	                  .cluster = node->map ? node->map->cluster : 1,
	                  .node_count = node->live_count};
	uint32_t room = 0;
	uint8_t *bytes;
	size_t len;

	for (uint32_t i = 0; i < node->live_count; i++)
		room += node->live[i].disk_count;
	map.nodes = xcalloc(node->live_count + 1, sizeof(*map.nodes));
	map.disks = xcalloc(room + 1, sizeof(*map.disks));
	for (uint32_t i = 0; i < node->live_count; i++) {
		const struct node_info *info = &node->live[i];
		struct map_node *n = &map.nodes[i];
		n->id = info->id;
		n->incarnation = info->incarnation;
		memcpy(n->addr, info->addr, sizeof(n->addr));
		n->port = info->port;
		n->zone = info->zone;
		n->flags = NODE_UP | (info->gateway ? NODE_GATEWAY : 0);
		for (uint32_t d = 0; d < info->disk_count; d++)
			map.disks[map.disk_count++] =
				(struct map_disk){.id = info->disks[d].id,
			                          .node = info->id,
			                          .weight = info->disks[d].weight};
	}
	qsort(map.nodes, map.node_count, sizeof(*map.nodes), node_by_id);
	qsort(map.disks, map.disk_count, sizeof(*map.disks), disk_by_id);
	map_encode(&map, &bytes, &len);
	free(map.nodes);
	free(map.disks);
	reply->blob = bytes;
	reply->blob_len = len;
	node_reply(node, conn, reply);
	msg_destroy(msg);
}

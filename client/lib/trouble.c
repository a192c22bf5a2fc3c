/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/trouble.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/inode.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/place.h"

enum { ASK_MS = 5000, NAME_MS = 1500, NAMES_MAX = 256, NAME_WINDOW = 16, DISKS_MAX = 256 };

static struct sf_trouble *trouble_add(struct sf_troubles *list)
{
	if ((list->count & (list->count - 1)) == 0)
		list->v =
			xrealloc(list->v, (list->count ? 2 * list->count : 1) * sizeof(list->v[0]));
	struct sf_trouble *t = &list->v[list->count++];

	memset(t, 0, sizeof(*t));
	return t;
}

static bool kind_of(int in, enum sf_trouble_kind *ret)
{
	switch (in) {
	case SF__TROUBLE__KIND__DOWN:
		*ret = SF_TROUBLE_DOWN;
		return true;
	case SF__TROUBLE__KIND__UNFOUND:
		*ret = SF_TROUBLE_UNFOUND;
		return true;
	case SF__TROUBLE__KIND__LOST:
		*ret = SF_TROUBLE_LOST;
		return true;
	case SF__TROUBLE__KIND__UNDECIDED:
		*ret = SF_TROUBLE_UNDECIDED;
		return true;
	default:
		return false; /* of a later release */
	}
}

void trouble_take(struct sf_troubles *list, const Sf__Trouble *in, size_t max)
{
	enum sf_trouble_kind kind;

	if (!kind_of((int)in->kind, &kind) || list->count >= max)
		return;
	struct sf_trouble *t = trouble_add(list);
	t->kind = kind;
	t->pool = in->pool;
	t->pg = in->pg;
	t->oid = in->oid;
	t->version = in->version;
	t->have = in->have;
	t->since_epoch = in->since_epoch;
	t->disk_count = (uint32_t)MIN(in->n_disks, (size_t)DISKS_MAX);
	if (t->disk_count)
		t->disks = xmemdup(in->disks, t->disk_count * sizeof(t->disks[0]));
}

void trouble_take_some(struct sf_troubles *list, const Sf__Trouble *in)
{
	uint32_t down = 0;

	for (size_t i = 0; i < list->count; i++)
		down += list->v[i].kind == SF_TROUBLE_DOWN;
	if (in->kind != SF__TROUBLE__KIND__DOWN || down < DOWN_SHOWN)
		trouble_take(list, in, TROUBLES_SHOWN + DOWN_SHOWN);
}

static void leaderless_add(struct sf_troubles *list, const struct map *map,
                           const struct map_pool *pool, uint32_t pg, size_t max)
{
	uint64_t disks[MAX_SHARDS], away[MAX_SHARDS];
	uint32_t count = 0;

	place_pg(map, pool, pg, disks);
	for (uint32_t i = 0; i < pool->k + pool->m; i++) {
		const struct map_disk *d =
			disks[i] == NO_DISK ? NULL : map_find_disk(map, disks[i]);
		if (d && map_disk_up(map, d))
			return;
		if (d && !(d->flags & DISK_LOST))
			away[count++] = d->id;
	}
	if (list->count >= max)
		return;
	struct sf_trouble *t = trouble_add(list);
	t->kind = SF_TROUBLE_DOWN;
	t->pool = pool->id;
	t->pg = pg;
	t->disk_count = count;
	t->disks = xmemdup(away, (count + 1) * sizeof(away[0]));
}

void trouble_take_leaderless(struct sf_troubles *list, const struct map *map, size_t max)
{
	bool all_up = true;

	for (uint32_t i = 0; i < map->disk_count; i++)
		all_up = all_up && map_disk_up(map, &map->disks[i]);
	if (all_up) /* placing every PG costs */
		return;
	for (uint32_t i = 0; i < map->pool_count; i++)
		for (uint32_t pg = 0; pg < map->pools[i].pg_count; pg++)
			leaderless_add(list, map, &map->pools[i], pg, max);
}

/* ---- Names ---- */

struct naming {
	struct sf_troubles *list;
	uint32_t ids[NAMES_MAX];
	uint32_t count;
};

static void name_set(struct sf_troubles *list, uint32_t id, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		struct sf_trouble *t = &list->v[i];
		if (t->oid && t->volume_id == id)
			memcpy(t->volume, name, sizeof(t->volume));
	}
}

static void name_answered(struct batch_slot *slot, void *arg)
{
	struct naming *n = arg;
	struct inode inode;

	if (slot->req.result < 0 || (slot->req.reply_flags & MSG_F_ABSENT) ||
	    inode_decode(slot->memory, &inode) < 0 || (inode.flags & INODE_DELETED))
		return;
	name_set(n->list, n->ids[slot->tag], inode.info.name);
}

static void id_add(struct naming *n, uint32_t id)
{
	for (uint32_t i = 0; i < n->count; i++)
		if (n->ids[i] == id)
			return;
	if (n->count < NAMES_MAX)
		n->ids[n->count++] = id;
}

static void names_look_up(struct sf_cluster *cluster, struct naming *n)
{
	struct batch batch;

	batch_init(&batch, cluster, NAME_WINDOW, INODE_HEADER_LEN, name_answered, n);
	for (uint32_t i = 0; i < n->count; i++) {
		struct batch_slot *slot = batch_take(&batch, ROUTE_PRIMARY, MSG_OBJ_READ);

		slot->tag = i;
		slot->req.pool = POOL_META;
		slot->req.oid = oid_inode(n->ids[i], 0);
		slot->req.length = INODE_HEADER_LEN;
		slot->req.rx = slot->memory;
		slot->req.timeout_ms = NAME_MS;
		batch_submit(slot);
	}
	batch_fini(&batch);
}

static int trouble_compare(const void *a, const void *b)
{
	const struct sf_trouble *x = a, *y = b;

	if (x->kind != y->kind)
		return (x->kind > y->kind) - (x->kind < y->kind);
	if (x->oid != y->oid)
		return x->oid < y->oid ? -1 : 1;
	if (x->pool != y->pool)
		return x->pool < y->pool ? -1 : 1;
	return (x->pg > y->pg) - (x->pg < y->pg);
}

void troubles_name(struct sf_cluster *cluster, const struct map *map, struct sf_troubles *list)
{
	struct naming n = {.list = list};

	if (list->count)
		qsort(list->v, list->count, sizeof(list->v[0]), trouble_compare);
	for (size_t i = 0; i < list->count; i++) {
		struct sf_trouble *t = &list->v[i];
		const struct map_pool *pool = map_find_pool(map, t->pool);

		if (pool) {
			t->need = pool->k;
			t->shards = pool->k + pool->m;
		}
		if (!t->oid || !pool)
			continue;
		t->volume_id = oid_volume(t->oid);
		t->is_inode = oid_is_inode(t->oid);
		t->length = 1ull << pool->object_shift;
		t->offset = (uint64_t)oid_index(t->oid) << pool->object_shift;
		id_add(&n, t->volume_id);
	}
	if (n.count)
		names_look_up(cluster, &n);
}

/* ---- The whole list ---- */

static int node_ask(struct sf_cluster *cluster, const struct map_node *n, struct request *req,
                    const struct msg *cursor)
{
	request_init(req, ROUTE_NODE, MSG_TROUBLES);
	req->addr = n->addr;
	req->port = n->port;
	req->timeout_ms = ASK_MS;
	req->keep_reply = true;
	req->flags = cursor ? 0 : MSG_F_FIRST;
	if (cursor) {
		req->pool = cursor->pool;
		req->pg = cursor->pg;
		req->oid = cursor->oid;
	}
	return call_request(cluster, req);
}

/* Page by page. False: it gave no answer. */
static bool node_list(struct sf_cluster *cluster, const struct map_node *n,
                      struct sf_troubles *list)
{
	struct msg cursor;
	bool more = false, ok;

	do {
		struct request req;
		Sf__Troubles *in = NULL;

		ok = node_ask(cluster, n, &req, more ? &cursor : NULL) == 0;
		if (ok)
			in = sf__troubles__unpack(NULL, req.reply->blob_len, req.reply->blob);
		ok = ok && in;
		more = ok && (req.reply_flags & MSG_F_MORE);
		if (more)
			cursor = (struct msg){.pool = req.reply->pool,
			                      .pg = req.reply->pg,
			                      .oid = req.reply->oid};
		for (size_t i = 0; in && i < in->n_list; i++)
			trouble_take(list, in->list[i], SIZE_MAX);
		if (in)
			sf__troubles__free_unpacked(in, NULL);
		request_fini(&req);
	} while (more);
	return ok;
}

int sf_troubles_get(struct sf_cluster *cluster, struct sf_troubles **ret)
{
	int err = cluster_map_refetch(cluster);
	struct sf_troubles *list;
	struct map *map;

	if (err < 0)
		return err;
	map = cluster_map_copy(cluster);
	list = xcalloc(1, sizeof(*list));
	list->epoch = map->epoch;
	for (uint32_t i = 0; i < map->node_count; i++)
		if (map->nodes[i].flags & NODE_UP)
			list->silent += !node_list(cluster, &map->nodes[i], list);
	trouble_take_leaderless(list, map, SIZE_MAX);
	troubles_name(cluster, map, list);
	error_clear();
	map_unref(map);
	*ret = list;
	return 0;
}

void troubles_fini(struct sf_troubles *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->v[i].disks);
	free(list->v);
}

void sf_troubles_free(struct sf_troubles *list)
{
	if (!list)
		return;
	troubles_fini(list);
	free(list);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The epoch log, and what a new map means for each placement group: a new interval or none. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

const struct epoch_rec *node_epoch(const struct node *node, uint32_t epoch)
{
	if (epoch < node->first_epoch || epoch - node->first_epoch >= node->rec_count)
		return NULL;
	return &node->rec[epoch - node->first_epoch];
}

uint32_t epoch_slots(const struct epoch_rec *rec, uint32_t pool, uint32_t pg,
                     const uint64_t **ret_disks, uint64_t *ret_live)
{
	const struct map_pool *p = rec ? map_find_pool(rec->map, pool) : NULL;
	const uint64_t *disks = p ? placement_slots(rec->placement, pool, pg) : NULL;

	if (!disks)
		return 0;
	*ret_live = 0;
	for (uint32_t i = 0; i < p->k + p->m; i++) {
		const struct map_disk *d =
			disks[i] == NO_DISK ? NULL : map_find_disk(rec->map, disks[i]);
		if (d && map_disk_up(rec->map, d))
			*ret_live |= slot_bit(i);
	}
	*ret_disks = disks;
	return p->k + p->m;
}

bool intervals_each(struct node *node, struct pg *pg, uint32_t from, interval_visit visit,
                    void *ctx)
{
	struct interval iv = {0};

	for (uint32_t e = MAX(from, node->first_epoch); e < pg->epoch; e++) {
		const struct epoch_rec *rec = node_epoch(node, e);
		struct interval now = {.epoch = e};
		now.n = epoch_slots(rec, pg->pool, pg->number, &now.disks, &now.live);
		if (!now.n)
			continue;
		now.writable = (uint32_t)__builtin_popcountll(now.live) >=
		               MIN(now.n, pg->k + rec->map->min_live_extra);
		bool same = now.n == iv.n && now.live == iv.live && now.writable == iv.writable &&
		            !memcmp(now.disks, iv.disks, now.n * sizeof(*now.disks));
		if (same)
			continue;
		iv = now;
		if (!visit(node, pg, &iv, ctx))
			return false;
	}
	return true;
}

uint32_t pg_min_live(const struct node *node, const struct pg *pg)
{
	return MIN(pg->n, pg->k + node->map->min_live_extra);
}

static struct pool_state *node_pool(struct node *node, uint32_t pool)
{
	for (uint32_t i = 0; i < node->pool_count; i++)
		if (node->pools[i].pool == pool)
			return &node->pools[i];
	return NULL;
}

struct pg_slot *node_pg_slot(struct node *node, uint32_t pool, uint32_t pg)
{
	struct pool_state *p = node_pool(node, pool);

	return p && pg < p->pg_count ? &p->pgs[pg] : NULL;
}

struct pg *node_find_pg(struct node *node, uint32_t pool, uint32_t pg)
{
	struct pg_slot *slot = node_pg_slot(node, pool, pg);

	return slot ? slot->pg : NULL;
}

/* Whether a PG's slots, their being up, or their nodes' incarnations differ between two epochs. */
static bool interval_differs(const struct epoch_rec *a, const struct epoch_rec *b, uint32_t pool,
                             uint32_t pg)
{
	const uint64_t *da, *db;
	uint64_t la, lb;
	uint32_t n = epoch_slots(a, pool, pg, &da, &la);

	if (!n || epoch_slots(b, pool, pg, &db, &lb) != n || la != lb)
		return true;
	if (a->map->min_live_extra != b->map->min_live_extra)
		return true; /* who may write is another question now */
	if (memcmp(da, db, n * sizeof(*da)))
		return true;
	for (uint32_t i = 0; i < n; i++) {
		if (!(la & slot_bit(i)))
			continue;
		const struct map_disk *x = map_find_disk(a->map, da[i]),
				      *y = map_find_disk(b->map, db[i]);
		if (x->node != y->node || map_find_node(a->map, x->node)->incarnation !=
		                                  map_find_node(b->map, y->node)->incarnation)
			return true;
	}
	return false;
}

/* We are primary when the lowest live slot is a disk of ours. */
static bool pg_is_ours(const struct node *node, const struct epoch_rec *rec, uint32_t pool,
                       uint32_t pg)
{
	const uint64_t *disks;
	uint64_t live;

	if (!epoch_slots(rec, pool, pg, &disks, &live) || !live)
		return false;
	const struct map_disk *d = map_find_disk(rec->map, disks[__builtin_ctzll(live)]);
	const struct map_node *n = map_find_node(rec->map, d->node);
	return node_is_self(node, d->node) && n->incarnation == node->config.info.incarnation;
}

void pg_restart(struct node *node, struct pg *pg)
{
	struct pg_slot *slot = node_pg_slot(node, pg->pool, pg->number);
	const struct map_pool *conf = pg->conf;
	struct ec_code *code = pg->code;
	uint32_t number = pg->number;

	pg_end(node, pg);
	slot->pg = NULL;
	slot->pg = pg_begin(node, conf, code, number, node->map->epoch);
}

static bool pg_has_unfound(const struct pg *pg)
{
	uint32_t cursor = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));)
		if (container_of(h, struct missing, by_oid)->unfound)
			return true;
	return false;
}

/* The slots are the same, but an earlier holder that peering or recovery counts on is gone, or
 * one that peering waits for may be back. */
static bool pg_sources_changed(const struct pg *pg, const struct map *map)
{
	if (pg->state == PG_DOWN || pg_has_unfound(pg))
		return true;
	for (uint32_t i = 0; i < pg->member_count && !pg->clean; i++) {
		const struct member *mb = &pg->members[i];
		const struct map_disk *d = map_find_disk(map, mb->disk);
		if (mb->slot < 0 && mb->asked && (!d || !map_disk_up(map, d)))
			return true;
	}
	return false;
}

static void pool_update(struct node *node, struct pool_state *p, const struct map_pool *conf,
                        const struct epoch_rec *before, const struct epoch_rec *now)
{
	for (uint32_t i = 0; i < p->pg_count; i++) {
		struct pg_slot *slot = &p->pgs[i];
		bool changed =
			!before || interval_differs(before, now, p->pool, i);
		if (changed) {
			slot->interval_start = now->map->epoch;
			slot->activated_by = slot->purged_by = 0;
			if (slot->pg)
				pg_end(node, slot->pg);
			slot->pg = NULL;
		}
		if (slot->pg)
			slot->pg->conf = conf;
		if (slot->pg && pg_sources_changed(slot->pg, now->map))
			pg_restart(node, slot->pg);
		else if (!slot->pg && !node->adopting && pg_is_ours(node, now, p->pool, i))
			slot->pg = pg_begin(node, conf, p->code, i, slot->interval_start);
		if (changed && !slot->pg)
			troubles_forget_pg(node, p->pool, i); /* its new primary finds its own */
	}
}

/* A pool that got wider begins all its PGs anew, with the new code. */
static void pool_set_code(struct pool_state *p, const struct map_pool *conf)
{
	if (p->code && ec_m(p->code) == conf->m)
		return;
	ec_unref(p->code);
	int rc = ec_create(conf->k, conf->m, &p->code);
	assert(rc == 0);
}

static void pools_update(struct node *node, const struct epoch_rec *before,
                         const struct epoch_rec *now)
{
	for (uint32_t i = 0; i < now->map->pool_count; i++) {
		const struct map_pool *conf = &now->map->pools[i];
		struct pool_state *p = node_pool(node, conf->id);
		if (!p) {
			node->pools = xrealloc(node->pools,
			                       (node->pool_count + 1) * sizeof(*node->pools));
			p = &node->pools[node->pool_count++];
			p->pool = conf->id;
			p->pg_count = conf->pg_count;
			p->pgs = xcalloc(p->pg_count, sizeof(*p->pgs));
			p->code = NULL;
		}
		pool_set_code(p, conf);
		pool_update(node, p, conf, before, now);
	}
}

static void pools_drop(struct node *node)
{
	for (uint32_t i = 0; i < node->pool_count; i++) {
		struct pool_state *p = &node->pools[i];
		for (uint32_t j = 0; j < p->pg_count; j++)
			if (p->pgs[j].pg)
				pg_end(node, p->pgs[j].pg);
		free(p->pgs);
		ec_unref(p->code);
	}
	free(node->pools);
	node->pools = NULL;
	node->pool_count = 0;
}

void epochs_drop(struct node *node)
{
	pools_drop(node);
	troubles_forget(node);
	for (uint32_t i = 0; i < node->rec_count; i++) {
		map_unref(node->rec[i].map);
		placement_destroy(node->rec[i].placement);
	}
	node->rec_count = 0;
	node->map = NULL;
	node->placement = NULL;
}

static void adopt_start(struct node *node, const struct map *map)
{
	struct effect *fx = effect_add(node, EFF_ADOPT);

	fx->cluster = map->cluster;
	fx->wipe = node->cluster != 0;
	node->adopting = true;
}

void node_exit(struct node *node, int status, const char *why)
{
	if (node->exiting)
		return;
	node->exiting = true;
	struct effect *fx = effect_add(node, EFF_EXIT);
	fx->text = why;
	fx->status = status;
}

/* A map of another cluster than before: our directory is foreign, or the cluster was formatted
 * anew. */
static bool take_other_cluster(struct node *node, const struct map *map)
{
	if (!node->map && node->cluster) {
		node_exit(node, 1, "this directory belongs to another cluster; use an empty one");
		return false;
	}
	epochs_drop(node);
	adopt_start(node, map);
	node->cluster = map->cluster;
	return true;
}

void node_take_map(struct node *node, struct map *map)
{
	if (map->cluster != node->cluster && !take_other_cluster(node, map))
		return;
	if (node->rec_count && map->epoch <= node->map->epoch)
		return; /* repeated */
	if (!node->rec_count)
		node->first_epoch = map->epoch;
	assert(map->epoch == node->first_epoch + node->rec_count);

	if (node->rec_count == node->rec_capacity) {
		node->rec_capacity = MAX(16u, node->rec_capacity * 2);
		node->rec = xrealloc(node->rec, node->rec_capacity * sizeof(*node->rec));
	}
	struct epoch_rec *now = &node->rec[node->rec_count++];
	now->map = map_ref(map);
	now->placement = placement_create(map);
	node->map = map;
	node->placement = now->placement;
	membership_map_changed(node);
	pools_update(node, node->rec_count > 1 ? now - 1 : NULL, now);

	const struct map_node *self = map_find_node(map, node->config.info.id);
	if ((map->flags & MAP_SHUTDOWN) && self && (self->flags & NODE_UP) &&
	    self->incarnation == node->config.info.incarnation)
		node_exit(node, 0, "the cluster was shut down");
}

void node_take_adopted(struct node *node, int result)
{
	if (result < 0) {
		node_exit(node, 1, "the disks could not be prepared for the cluster");
		return;
	}
	node->adopting = false;
	node->config.info.cluster = node->cluster;
	if (node->rec_count) {
		const struct epoch_rec *now = &node->rec[node->rec_count - 1];
		pools_update(node, now, now);
	}
}

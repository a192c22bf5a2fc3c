/* SPDX-License-Identifier: Apache-2.0 */

/* A placement group at its primary: creation and end with its interval, versions, commit point,
 * request ids, becoming clean. */
#include <assert.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

static void pg_fill_slots(struct node *node, struct pg *pg)
{
	const uint64_t *disks;
	bool known = epoch_slots(&node->rec[node->rec_count - 1], pg->pool, pg->number, &disks,
	                         &pg->live);

	assert(known && pg->live);
	for (uint32_t i = 0; i < pg->n; i++) {
		const struct map_disk *d =
			disks[i] == NO_DISK ? NULL : map_find_disk(node->map, disks[i]);
		pg->slot_disk[i] = disks[i];
		pg->slot_node[i] = d ? d->node : 0;
	}
	pg->own = __builtin_ctzll(pg->live);
}

struct pg *pg_begin(struct node *node, const struct map_pool *conf, struct ec_code *code,
                    uint32_t number, uint32_t epoch)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));

	pg->pool = conf->id;
	pg->number = number;
	pg->conf = conf;
	pg->code = code;
	pg->k = conf->k;
	pg->n = conf->k + conf->m;
	pg->epoch = epoch;
	pg->commit_cap = UINT64_MAX;
	pg->clean_epoch = conf->created_epoch;
	pg_fill_slots(node, pg);
	list_init(&pg->turn);
	list_init(&pg->inflight);
	list_init(&pg->requests_order);
	list_init(&pg->calls);
	list_init(&pg->waiting);
	list_init(&pg->ops);
	htab_init(&pg->objects);
	htab_init(&pg->missing);
	htab_init(&pg->requests);
	peering_start(node, pg);
	return pg;
}

static void pg_forget_requests(struct pg *pg)
{
	struct list *l;

	while ((l = list_pop(&pg->requests_order)))
		free(list_item(l, struct done_req, order));
	htab_fini(&pg->requests);
}

void pg_end(struct node *node, struct pg *pg)
{
	struct list *l;

	scrub_pg_gone(node, pg); /* first: a check broken off did not get past its object */
	calls_cancel(node, &pg->calls);
	while ((l = list_pop(&pg->ops)))
		op_abort(node, list_item(l, struct op, in_pg));

	uint32_t cursor = 0;
	for (struct hnode *h = htab_walk(&pg->missing, &cursor, NULL), *next; h; h = next) {
		next = htab_walk(&pg->missing, &cursor, h);
		struct missing *m = container_of(h, struct missing, by_oid);
		list_remove(&m->queue);
		free(m);
	}
	cursor = 0;
	for (struct hnode *h = htab_walk(&pg->objects, &cursor, NULL), *next; h; h = next) {
		next = htab_walk(&pg->objects, &cursor, h);
		object_free(node, container_of(h, struct object, by_oid));
	}
	node->recovering -= pg->running;
	htab_fini(&pg->missing);
	htab_fini(&pg->objects);
	pg_forget_requests(pg);
	listing_drop(node, pg);
	members_free(pg);
	free(pg->done);
	free(pg);
}

struct msg *pg_msg(const struct node *node, const struct pg *pg, enum msg_type type)
{
	struct msg *m = msg_create(type);

	m->epoch = node->map->epoch;
	m->pool = pg->pool;
	m->pg = pg->number;
	return m;
}

/* ---- Request ids ---- */

static uint64_t req_hash(struct req_id req)
{
	return hash64(req.client ^ hash64(req.seq));
}

static struct done_req *pg_request(const struct pg *pg, struct req_id req)
{
	for (struct hnode *h = htab_first(&pg->requests, req_hash(req)); h; h = htab_next(h)) {
		struct done_req *r = container_of(h, struct done_req, by_req);
		if (r->e.req.client == req.client && r->e.req.seq == req.seq)
			return r;
	}
	return NULL;
}

static void pg_drop_request(struct pg *pg, struct done_req *r)
{
	htab_remove(&pg->requests, &r->by_req);
	list_remove(&r->order);
	pg->requests_count--;
	free(r);
}

void pg_add_request(struct pg *pg, const struct log_entry *e, uint32_t result)
{
	struct done_req *r = e->req.client ? pg_request(pg, e->req) : NULL;

	if (r) { /* done once, though an earlier try may have left its version behind */
		r->e.version = MAX(r->e.version, e->version);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->e = *e;
	r->result = result;
	htab_insert(&pg->requests, &r->by_req, req_hash(e->req));
	list_push(&pg->requests_order, &r->order);
	if (++pg->requests_count <= PG_LOG_MAX)
		return;
	r = list_item(pg->requests_order.next, struct done_req, order);
	pg->floor = MAX(pg->floor, r->e.version);
	pg_drop_request(pg, r);
}

const struct done_req *pg_find_request(const struct pg *pg, struct req_id req)
{
	return req.client ? pg_request(pg, req) : NULL;
}

void pg_remove_request(struct pg *pg, uint64_t version, uint64_t oid)
{
	list_each_safe (l, &pg->requests_order) {
		struct done_req *r = list_item(l, struct done_req, order);
		if (r->e.version == version && r->e.oid == oid)
			pg_drop_request(pg, r);
	}
}

/* ---- Versions and the commit point ---- */

uint64_t pg_next_version(struct pg *pg)
{
	return version_make(pg->epoch, ++pg->counter);
}

void pg_advance_commit(struct node *node, struct pg *pg)
{
	uint64_t commit = version_make(pg->epoch, pg->counter);

	if (!list_empty(&pg->inflight))
		commit = list_item(pg->inflight.next, struct op, by_version)->version - 1;
	commit = MIN(commit, pg->commit_cap);
	if (commit > pg->commit) {
		pg->commit = commit;
		pg->commit_at = node->now;
	}
}

static void pg_send_commit(struct node *node, struct pg *pg)
{
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_COMMIT);
		m->commit = pg->commit;
		m->disk = pg->slot_disk[i];
		call_start(node, pg, pg->slot_node[i], pg->slot_disk[i], m, NULL, NULL);
	}
	pg->commit_sent = pg->commit;
}

/* ---- Clean ---- */

static void pg_drop_strays(struct node *node, struct pg *pg)
{
	for (uint32_t i = 0; i < pg->member_count; i++) {
		struct member *mb = &pg->members[i];
		mb->wrong_shards = false;
		if (!mb->answered || mb->slot >= 0)
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_DROP);
		m->shard = SHARD_NONE;
		m->disk = mb->disk;
		mb->answered = false;
		if (node_is_self(node, mb->node))
			call_start(node, pg, mb->node, mb->disk, m, NULL, NULL);
		else
			node_send(node, mb->node, m);
	}
}

static bool pg_is_whole(const struct pg *pg)
{
	return pg->state == PG_ACTIVE && pg->missing.count == 0 && pg->live == slot_bit(pg->n) - 1;
}

static void clean_record(struct node *node, struct pg *pg);

static void clean_recorded(struct node *node, struct call *call, struct msg *reply)
{
	struct pg *pg = call->ctx;

	if (call->index != pg->clean_round)
		return;
	if (reply->result != RES_OK) { /* no room, say: later again */
		pg->clean_round++;
		pg->clean_retry_at = node->now + CLEAN_RETRY_MS;
		pg->clean_sent = false;
		return;
	}
	if (--pg->awaited)
		return;
	if (pg->commit_durable < pg->clean_commit) {
		pg->commit_durable = pg->clean_commit;
		if (pg->clean_sent && pg_is_whole(pg))
			clean_record(node, pg);
		return;
	}
	if (!pg->clean_sent || !pg_is_whole(pg))
		return; /* something turned up meanwhile */
	pg->clean = true;
	pg->clean_epoch = pg->epoch;
	pg_drop_strays(node, pg);
}

/*
 * Two rounds. Every slot first records the commit point, so that no delete up to it can be
 * taken for one that was never acknowledged; only then may slots forget tombstones, some
 * earlier than others, and record that all is clean.
 */
static void clean_record(struct node *node, struct pg *pg)
{
	bool settled = pg->commit_durable >= pg->clean_commit;

	pg->awaited = pg->n;
	pg->clean_round++;
	for (uint32_t i = 0; i < pg->n; i++) {
		struct msg *m = pg_msg(node, pg, MSG_PG_ACTIVATE);
		m->flags = settled ? MSG_F_PURGE : 0;
		m->shard = pg->members[i].wrong_shards ? i : (uint32_t)SHARD_NONE;
		m->info.activated = pg->epoch;
		m->info.clean = settled ? pg->epoch : pg->clean_epoch;
		m->info.commit = pg->clean_commit;
		m->info.clean_commit = settled ? pg->clean_commit : 0;
		call_start(node, pg, pg->slot_node[i], pg->slot_disk[i], m, clean_recorded, pg)
			->index = pg->clean_round;
	}
}

void pg_check_clean(struct node *node, struct pg *pg)
{
	if (!pg_is_whole(pg) || pg->clean_sent || node->now < pg->clean_retry_at)
		return;
	pg->clean_sent = true;
	/* Some may be above the commit point. */
	pg->tombstones = pg->tombstones && !list_empty(&pg->inflight);
	pg->changes = 0;
	pg->clean_commit = pg->commit;
	clean_record(node, pg);
}

void pg_tick(struct node *node, struct pg *pg)
{
	if (pg->state != PG_ACTIVE) {
		peering_tick(node, pg);
		return;
	}
	if (pg->commit > pg->commit_sent && node->now >= pg->commit_at + COMMIT_IDLE_MS)
		pg_send_commit(node, pg);
	/* Deletes since the PG became clean left tombstones, which every slot has by now. And the
	 * log must reach back to the last clean point. */
	bool forget = pg->tombstones && list_empty(&pg->inflight) && pg->commit_sent == pg->commit;
	if (pg->clean && (forget || pg->changes >= PG_LOG_MAX / 2))
		pg->clean_sent = pg->clean = false;
	pg_check_clean(node, pg);
}

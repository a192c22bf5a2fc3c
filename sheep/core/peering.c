/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Peering: before a PG serves in a new interval, its primary learns what may have been
 * acknowledged before.
 *
 *   PG_QUERY       every slot that is up, then every disk that was a slot since the PG was last
 *                  clean, tells what it knows of the PG and promises to refuse older epochs
 *   PG_LIST        they tell what they hold of each object that may differ (listing.c); resolve.c
 *                  decides about it, pg_log.c about the requests behind it
 *   PG_ROLLBACK    versions that were never acknowledged are taken back, durably
 *   PG_ACTIVATING  every slot records that the PG is active in this interval, and how far all is
 *                  decided
 *   PG_ACTIVE      clients are served; what is missing is rebuilt
 *
 *   PG_DOWN        an interval that may have acknowledged writes has no member we can ask: wait
 *   for one
 *
 * A member that is up in the map but does not answer holds peering up until it answers or the
 * map drops it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

enum { PEERING_RETRY_MS = 1000, UNDO_AT_ONCE = 64 };

void members_free(struct pg *pg)
{
	for (uint32_t i = 0; i < pg->member_count; i++) {
		msg_destroy(pg->members[i].log);
		free(pg->members[i].entries);
	}
	free(pg->members);
	free(pg->undo);
}

void peering_wait(struct node *node, struct pg *pg)
{
	listing_drop(node, pg);
	pg->state = PG_DOWN;
	pg->retry_at = node->now + PEERING_RETRY_MS;
}

static struct member *member_add(struct pg *pg, uint64_t disk, uint64_t owner, int32_t slot)
{
	pg->members = xrealloc(pg->members, (pg->member_count + 1) * sizeof(*pg->members));
	struct member *mb = &pg->members[pg->member_count++];
	memset(mb, 0, sizeof(*mb));
	mb->disk = disk;
	mb->node = owner;
	mb->slot = slot;
	return mb;
}

struct member *member_find(struct pg *pg, uint64_t disk)
{
	for (uint32_t i = 0; i < pg->member_count; i++)
		if (pg->members[i].disk == disk && disk != NO_DISK)
			return &pg->members[i];
	return NULL;
}

/* ---- Query ---- */

static void peering_prior(struct node *node, struct pg *pg);

static void query_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct pg *pg = call->ctx;
	struct member *mb = &pg->members[call->index];

	if (reply->result == RES_OK) {
		mb->answered = true;
		mb->info = reply->info;
		mb->log = msg_clone(reply);
		pg->clean_epoch = MAX(pg->clean_epoch, mb->info.clean);
	} else if (mb->slot >= 0) {
		peering_wait(node, pg);
	}
	if (--pg->awaited == 0 && pg->state == PG_QUERY)
		peering_prior(node, pg);
}

static void member_query(struct node *node, struct pg *pg, uint32_t index)
{
	struct member *mb = &pg->members[index];

	mb->asked = true;
	pg->awaited++;
	call_start(node, pg, mb->node, mb->disk, pg_msg(node, pg, MSG_PG_QUERY), query_answer, pg)
		->index = index;
}

static bool disk_can_be_asked(const struct node *node, uint64_t disk, uint64_t *ret_node)
{
	const struct map_disk *d = map_find_disk(node->map, disk);

	if (!d || !map_disk_up(node->map, d))
		return false;
	*ret_node = d->node;
	return true;
}

static bool interval_add_members(struct node *node, struct pg *pg, const struct interval *iv,
                                 void *ctx)
{
	uint64_t owner;

	for (uint32_t i = 0; i < iv->n && iv->writable; i++)
		if ((iv->live & slot_bit(i)) && !member_find(pg, iv->disks[i]) &&
		    pg->member_count < PG_MAX_MEMBERS &&
		    disk_can_be_asked(node, iv->disks[i], &owner))
			member_add(pg, iv->disks[i], owner, -1);
	return true;
}

static bool interval_all_asked(struct node *node, struct pg *pg, const struct interval *iv, void *ctx)
{
	uint64_t owner;

	for (uint32_t i = 0; i < iv->n && iv->writable; i++)
		if ((iv->live & slot_bit(i)) && !member_find(pg, iv->disks[i]) &&
		    disk_can_be_asked(node, iv->disks[i], &owner))
			return false;
	return true;
}

bool peering_lacks_holders(struct node *node, struct pg *pg)
{
	return pg->member_count < PG_MAX_MEMBERS &&
	       !intervals_each(node, pg, pg->clean_epoch, interval_all_asked, NULL);
}

/* Somebody of the interval was heard, or all of it was given up. (Nobody it could have been active
 * without: activation is recorded on every live slot before anything is acknowledged.) */
static bool interval_is_known(struct node *node, struct pg *pg, const struct interval *iv,
                              void *ctx)
{
	bool lost = true;

	for (uint32_t i = 0; i < iv->n; i++) {
		if (!(iv->live & slot_bit(i)))
			continue;
		struct member *mb = member_find(pg, iv->disks[i]);
		if (mb && mb->answered)
			return true;
		lost = lost && disk_is_lost(node->map, iv->disks[i]);
	}
	return lost || !iv->writable;
}

static void peering_prior(struct node *node, struct pg *pg)
{
	intervals_each(node, pg, pg->clean_epoch, interval_add_members, NULL);
	for (uint32_t i = 0; i < pg->member_count; i++)
		if (!pg->members[i].asked && pg->members[i].slot < 0)
			member_query(node, pg, i);
	if (pg->awaited)
		return;
	if (intervals_each(node, pg, pg->clean_epoch, interval_is_known, NULL))
		listing_start(node, pg);
	else
		peering_wait(node, pg);
}

void peering_start(struct node *node, struct pg *pg)
{
	pg->state = PG_QUERY;
	pg->not_before = membership_lease_barrier(node);
	for (uint32_t i = 0; i < pg->n; i++)
		member_add(pg, pg->slot_disk[i], pg->slot_node[i], i);
	for (uint32_t i = 0; i < pg->n; i++)
		if (pg->live & slot_bit(i))
			member_query(node, pg, i);
}

/* ---- Taking back what was never acknowledged ---- */

static void peering_activate(struct node *node, struct pg *pg);
static void peering_undo(struct node *node, struct pg *pg);

static void undo_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct pg *pg = call->ctx;

	pg->awaited--;
	if (reply->result == RES_OK)
		peering_undo(node, pg);
	else
		peering_wait(node, pg);
}

void peering_resolved(struct node *node, struct pg *pg)
{
	pg->state = PG_ROLLBACK;
	peering_undo(node, pg);
}

static void peering_undo(struct node *node, struct pg *pg)
{
	if (pg->state != PG_ROLLBACK)
		return;
	while (pg->undo_next < pg->undo_count && pg->awaited < UNDO_AT_ONCE) {
		const struct undo *u = &pg->undo[pg->undo_next++];
		const struct member *mb = &pg->members[u->member];
		if (u->kind == UNDO_LATER)
			continue;
		bool remove = u->kind == UNDO_REMOVE;
		struct msg *m = pg_msg(node, pg, remove ? MSG_SHARD_REMOVE : MSG_SHARD_ROLLBACK);
		m->oid = u->oid;
		m->shard = u->shard;
		m->version = u->version;
		pg->awaited++;
		call_start(node, pg, mb->node, mb->disk, m, undo_answer, pg);
	}
	if (!pg->awaited)
		peering_activate(node, pg);
}

/* ---- Activation ---- */

static void peering_done(struct node *node, struct pg *pg)
{
	struct list waiting;
	struct list *l;

	pg->state = PG_ACTIVE;
	free(pg->undo);
	pg->undo = NULL;
	pg->undo_count = pg->undo_next = 0;
	pg->commit_durable = pg->commit;
	recovery_release(node, pg);
	list_init(&waiting);
	list_splice(&waiting, &pg->waiting);
	while ((l = list_pop(&waiting))) {
		struct op *op = list_item(l, struct op, link);
		if (op->run == list_run)
			list_run(node, op);
		else
			op_start(node, op);
	}
	pg_check_clean(node, pg);
}

static void activate_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct pg *pg = call->ctx;

	if (reply->result != RES_OK)
		peering_wait(node, pg);
	else if (--pg->awaited == 0 && pg->state == PG_ACTIVATING)
		peering_done(node, pg);
}

static void peering_activate(struct node *node, struct pg *pg)
{
	struct list *order = &pg->requests_order;

	pg->state = PG_ACTIVATING;
	if (node->now < pg->not_before)
		return; /* peering_tick comes back */
	pg->awaited = __builtin_popcountll(pg->live);
	pg->commit = pg->commit_sent = MIN(pg->max_version, pg->commit_cap);
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_ACTIVATE);
		m->flags = MSG_F_LOG;
		m->info = (struct pg_info){.activated = pg->epoch,
		                           .clean = pg->clean_epoch,
		                           .commit = pg->commit,
		                           .floor = pg->floor};
		m->log = xcalloc(pg->requests_count + 1, sizeof(*m->log));
		list_each (l, order)
			m->log[m->log_count++] = list_item(l, struct done_req, order)->e;
		call_start(node, pg, pg->slot_node[i], pg->slot_disk[i], m, activate_answer, pg);
	}
}

void peering_tick(struct node *node, struct pg *pg)
{
	if (pg->state == PG_ACTIVATING && !pg->awaited && node->now >= pg->not_before)
		peering_activate(node, pg);
	else if (pg->state == PG_DOWN && node->now >= pg->retry_at)
		pg_restart(node, pg);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The scrub: every primary walks its PGs, each once in an interval, or when an operator asked:
 *
 *   1. each slot lists a page of its shards; the pages are merged, so that an object shows up
 *      even if one slot alone has it
 *   2. each object is checked (check.c) under a reader's lock: clients may read, writers of this
 *      one object wait
 *   3. what was marked is rebuilt by recovery; the scrub waits for that before it goes on
 *
 * One object at a time per node, and while clients are served one every YIELD_MS. A new interval
 * breaks a PG's scrub off; it goes on behind the last object.
 */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

enum {
	PAGE = 256,
	LOOK_MS = 200, /* between two looks for a PG that is due */
	YIELD_MS = 2000,
	QUIET_MS = 200, /* so long without clients and recovery: they are not there */
	REPAIR_WAIT_MS = 10000,
	FAILED_PAUSE_MS = 1000,       /* a slot did not list */
	SPREAD_MS = 24 * 3600 * 1000, /* PGs of which we do not know when they were scrubbed */
};

struct page {
	struct shard_entry *v;
	uint32_t count, at;
	bool more;
};

struct scrub {
	struct pg *pg; /* NULL: none */
	struct op *op; /* the check under way */
	uint32_t awaited;
	bool listed, failed, last;
	struct page page[MAX_SHARDS];
	uint64_t bound;                   /* the pages are complete up to this object */
	uint64_t repairing, repair_until; /* shards being rebuilt */
	uint64_t oid;                     /* checked last */
	uint64_t next_at, op_ended, busy_at;
	uint32_t pool, number; /* where to look for the next PG: an index into node->pools, a PG */
	struct scrub_stat stat;
};

struct scrub *scrub_create(void)
{
	return xcalloc(1, sizeof(struct scrub));
}

static void pages_drop(struct scrub *s)
{
	for (uint32_t i = 0; i < MAX_SHARDS; i++) {
		free(s->page[i].v);
		s->page[i] = (struct page){0};
	}
	s->listed = s->failed = s->last = false;
	s->awaited = 0;
}

void scrub_destroy(struct scrub *s)
{
	pages_drop(s);
	free(s);
}

bool scrub_is_running(const struct node *node)
{
	return node->scrub->pg;
}

const struct scrub_stat *scrub_stat(const struct node *node)
{
	return &node->scrub->stat;
}

/* ---- Which PG, and when ---- */

/* 0: never. */
static uint64_t interval_ms(const struct node *node)
{
	uint32_t s = node->map->scrub_interval_s;

	if (node->config.scrub_interval_ms)
		return node->config.scrub_interval_ms;
	return s == SCRUB_NEVER ? 0 : (s ? s : SCRUB_DEFAULT_S) * 1000ull;
}

/* A request is void once it is older than an interval: by then all was scrubbed anyway. */
static bool scrub_is_asked(const struct node *node, const struct scrub_times *t)
{
	uint64_t since = node->map->scrub_since_s, interval = interval_ms(node) / 1000;

	if (!since || t->done_s >= since)
		return false;
	return t->done_s || node->wall < since + MAX(interval, (uint64_t)SCRUB_DEFAULT_S);
}

static uint64_t scrub_due_ms(const struct node *node, const struct pg_slot *slot)
{
	const struct scrub_times *t = &slot->scrub;
	uint64_t interval = interval_ms(node);

	if (t->done_ms)
		return t->done_ms + interval;
	if (t->done_s)
		return t->seen_ms + (interval > t->age_ms ? interval - t->age_ms : 0);
	return t->seen_ms + hash64(slot->pg->number | (uint64_t)slot->pg->pool << 32) %
	                            MIN(interval, (uint64_t)SPREAD_MS);
}

bool scrub_is_due(const struct node *node, const struct pg_slot *slot)
{
	const struct scrub_times *t = &slot->scrub;

	if (scrub_is_asked(node, t))
		return true;
	return interval_ms(node) && t->seen_ms && node->now >= scrub_due_ms(node, slot);
}

static void scrub_begin(struct node *node, struct pg_slot *slot)
{
	struct scrub *s = node->scrub;

	pages_drop(s);
	s->pg = slot->pg;
	s->repairing = 0;
	if (!slot->scrub.cursor) {
		slot->scrub.begun_ms = node->now;
		slot->scrub.begun_s = node->wall;
	}
}

/* Whoever is alive has what it should have; that may be fewer slots than there should be. */
static bool pg_has_all(const struct pg *pg)
{
	return pg->state == PG_ACTIVE && !pg->missing.count &&
	       (uint32_t)__builtin_popcountll(pg->live) >= pg->k;
}

/* What the slots remember of scrubs by other primaries, or before we started. */
static void scrub_see(struct node *node, struct pg_slot *slot)
{
	struct scrub_times *t = &slot->scrub;
	uint64_t done_s = 0;

	for (uint32_t i = 0; i < slot->pg->member_count; i++)
		done_s = MAX(done_s, slot->pg->members[i].info.scrubbed);
	if (t->seen_ms && done_s <= t->done_s)
		return;
	t->seen_ms = node->now;
	t->done_s = done_s;
	t->done_ms = 0;
	t->age_ms = node->wall > done_s ? (node->wall - done_s) * 1000 : 0;
}

/* Every slot remembers when; nobody waits for that. */
static void scrub_record(struct node *node, struct pg *pg, uint64_t done_s)
{
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_ACTIVATE);
		m->info.scrubbed = done_s;
		call_start(node, pg, pg->slot_node[i], pg->slot_disk[i], m, NULL, NULL);
	}
}

/* The next PG in turn that is due, and at rest. */
static void scrub_look(struct node *node)
{
	struct scrub *s = node->scrub;
	uint32_t total = 0;

	for (uint32_t i = 0; i < node->pool_count; i++)
		total += node->pools[i].pg_count;
	for (uint32_t i = 0; i < total; i++) {
		if (s->pool >= node->pool_count)
			s->pool = s->number = 0;
		struct pool_state *p = &node->pools[s->pool];
		struct pg_slot *slot = s->number < p->pg_count ? &p->pgs[s->number] : NULL;
		if (++s->number >= p->pg_count) {
			s->number = 0;
			s->pool++;
		}
		if (!slot || !slot->pg)
			continue;
		scrub_see(node, slot);
		if (pg_has_all(slot->pg) && scrub_is_due(node, slot)) {
			scrub_begin(node, slot);
			return;
		}
	}
	s->next_at = node->now + LOOK_MS;
}

static struct pg_slot *scrub_slot(struct node *node)
{
	return node_pg_slot(node, node->scrub->pg->pool, node->scrub->pg->number);
}

static void scrub_end(struct node *node)
{
	struct scrub_times *t = &scrub_slot(node)->scrub;

	t->done_ms = t->begun_ms;
	t->done_s = t->begun_s;
	t->cursor = 0;
	scrub_record(node, node->scrub->pg, t->done_s);
	node->scrub->pg = NULL;
	pages_drop(node->scrub);
}

void scrub_pg_gone(struct node *node, const struct pg *pg)
{
	struct scrub *s = node->scrub;

	if (s->pg != pg)
		return;
	s->pg = NULL;
	s->repairing = 0;
	pages_drop(s);
}

/* ---- Listing ---- */

/* A shard that belongs to another slot: a left-over of an earlier placement. */
static void drop_wrong_shards(struct node *node, struct pg *pg, uint32_t slot, uint32_t count)
{
	struct msg *m = pg_msg(node, pg, MSG_PG_DROP);

	node->scrub->stat.leftover += count;
	node->scrub->stat.repaired += count;
	m->shard = slot;
	m->disk = pg->slot_disk[slot];
	if (node_is_self(node, pg->slot_node[slot]))
		call_start(node, pg, pg->slot_node[slot], m->disk, m, NULL, NULL);
	else
		node_send(node, pg->slot_node[slot], m);
}

/* In order and behind the cursor: the walk depends on it, whatever a peer says. */
static bool page_is_sound(const struct msg *reply, uint64_t cursor)
{
	const struct shard_entry *v = reply->entries;

	for (uint32_t i = 0; i < reply->entry_count; i++)
		if ((i ? v[i].oid < v[i - 1].oid : cursor && v[i].oid <= cursor) ||
		    v[i].shard >= MAX_SHARDS)
			return false;
	return !(reply->flags & MSG_F_MORE) ||
	       (reply->entry_count && v[reply->entry_count - 1].oid > cursor);
}

static void page_take(struct node *node, struct scrub *s, uint32_t slot, struct msg *reply)
{
	struct page *page = &s->page[slot];
	uint32_t wrong = 0;

	page->count = reply->entry_count;
	page->v = reply->entries;
	reply->entries = NULL;
	reply->entry_count = 0;
	page->more = reply->flags & MSG_F_MORE;
	if (page->more)
		s->bound = MIN(s->bound, page->v[page->count - 1].oid);
	for (uint32_t i = 0; i < page->count; i++)
		wrong += page->v[i].shard != slot;
	if (wrong && s->pg->clean)
		drop_wrong_shards(node, s->pg, slot, wrong);
}

static void page_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct scrub *s = node->scrub;

	if (reply->result == RES_OK && page_is_sound(reply, scrub_slot(node)->scrub.cursor))
		page_take(node, s, call->index, reply);
	else
		s->failed = true;
	if (--s->awaited)
		return;
	if (s->failed) { /* in a while; other PGs come first */
		s->pg = NULL;
		pages_drop(s);
		s->next_at = node->now + FAILED_PAUSE_MS;
		return;
	}
	s->last = s->bound == UINT64_MAX;
	s->listed = true;
}

static void scrub_list(struct node *node)
{
	struct scrub *s = node->scrub;
	struct pg *pg = s->pg;
	uint64_t cursor = scrub_slot(node)->scrub.cursor;

	pages_drop(s);
	s->bound = UINT64_MAX;
	s->awaited = __builtin_popcountll(pg->live);
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_LIST);
		m->length = PAGE;
		m->oid = cursor;
		m->shard = SHARD_NONE; /* behind every shard of the cursor's object */
		m->flags = cursor ? 0 : MSG_F_FIRST;
		call_start(node, pg, pg->slot_node[i], pg->slot_disk[i], m, page_answer, pg)
			->index = i;
	}
}

static bool entry_is_alive(const struct shard_entry *e)
{
	return !(e->flags & (e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE));
}

/* The next object on the pages that any slot has. False: the pages are done. */
static bool pages_next(struct scrub *s, uint64_t *ret_oid)
{
	for (;;) {
		uint64_t oid = UINT64_MAX;
		bool any = false, alive = false;
		for (uint32_t i = 0; i < MAX_SHARDS; i++) {
			const struct page *p = &s->page[i];
			if (p->at < p->count && (!any || p->v[p->at].oid < oid)) {
				oid = p->v[p->at].oid;
				any = true;
			}
		}
		if (!any || (oid > s->bound && !s->last))
			return false;
		for (uint32_t i = 0; i < MAX_SHARDS; i++) {
			struct page *p = &s->page[i];
			for (; p->at < p->count && p->v[p->at].oid == oid; p->at++)
				alive = alive ||
				        (p->v[p->at].shard == i && entry_is_alive(&p->v[p->at]));
		}
		if (!alive)
			continue;
		*ret_oid = oid;
		return true;
	}
}

/* ---- Objects ---- */

static void scrub_check(struct node *node, uint64_t oid)
{
	struct scrub *s = node->scrub;
	struct msg *req = msg_create(MSG_OBJ_CHECK);

	req->oid = oid;
	req->pool = s->pg->pool;
	req->flags = MSG_F_REPAIR;
	s->oid = oid;
	s->op = op_create(node, s->pg, 0, req, check_run, false);
	op_start(node, s->op);
}

void scrub_checked(struct node *node, struct op *op, uint64_t marked)
{
	struct scrub *s = node->scrub;
	bool wrong = op->suspects && !op->check.undecided;

	if (s->op != op)
		return; /* an operation's that met a contradiction (absent.c) */
	s->stat.objects++;
	s->stat.missing += op->check.missing;
	s->stat.damaged += op->check.damaged - wrong;
	s->stat.wrong += wrong;
	s->stat.stale += op->check.stale;
	s->stat.leftover += op->check.leftover;
	s->stat.repaired += op->check.repaired;
	s->repairing = marked;
	s->repair_until = node->now + REPAIR_WAIT_MS;
	if (marked || op->check.leftover || op->check.undecided)
		log_warn(node->log,
		         "scrub: object %016llx of placement group %u.%u: %u missing, %u damaged, "
		         "%u stale, %u left over%s",
		         (unsigned long long)op->req->oid, op->pg->pool, op->pg->number,
		         op->check.missing, op->check.damaged, op->check.stale, op->check.leftover,
		         op->check.undecided ? "; its parts contradict each other" : "");
}

void scrub_op_gone(struct node *node, const struct op *op)
{
	struct scrub *s = node->scrub;

	if (s->op != op)
		return;
	s->op = NULL;
	s->op_ended = node->now;
	if (s->pg && !s->repairing)
		scrub_slot(node)->scrub.cursor = s->oid;
}

/* True while recovery is at what the last check marked. */
static bool scrub_waits_for_repair(struct node *node)
{
	struct scrub *s = node->scrub;

	if (!s->repairing)
		return false;
	if (!missing_find(s->pg, s->oid))
		s->stat.repaired += __builtin_popcountll(s->repairing);
	else if (node->now < s->repair_until)
		return true;
	s->repairing = 0; /* only now: a new interval does not know what was marked */
	scrub_slot(node)->scrub.cursor = s->oid;
	return false;
}

static void scrub_go(struct node *node)
{
	struct scrub *s = node->scrub;
	uint64_t oid;

	if (scrub_waits_for_repair(node) || s->pg->state != PG_ACTIVE)
		return;
	if (!s->listed) {
		scrub_list(node);
	} else if (pages_next(s, &oid)) {
		scrub_check(node, oid);
	} else if (s->last) {
		scrub_end(node);
	} else {
		scrub_slot(node)->scrub.cursor = s->bound;
		scrub_list(node);
	}
}

static bool scrub_yields(const struct node *node, struct scrub *s)
{
	uint64_t yield = YIELD_MS;

	if (node->config.scrub_interval_ms)
		yield = MIN(yield, node->config.scrub_interval_ms / 16);
	if (node->client_ops || node->recovering)
		s->busy_at = node->now;
	return node->now < s->busy_at + QUIET_MS && node->now < s->op_ended + yield &&
	       !s->repairing;
}

void scrub_pump(struct node *node)
{
	struct scrub *s = node->scrub;

	if (s->op || s->awaited || node->now < s->next_at)
		return;
	if (!node->map || node->adopting || node->exiting || !node_may_serve(node, node->now))
		return;
	if (scrub_yields(node, s))
		return;
	if (!s->pg)
		scrub_look(node);
	if (s->pg)
		scrub_go(node);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an operator has to hear of by name: PGs that wait for disks, objects of which too few shards
 * are there, and objects whose shards contradict each other. And what is lost for good: who reads
 * it hears so, who replaces or deletes it as a whole makes an end of it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/trouble.h"

enum { CONTRADICTIONS_MAX = 1000 };

/* ---- Objects whose shards contradict each other ---- */

static struct contradiction *contradiction_find(struct node *node, uint32_t pool, uint64_t oid)
{
	list_each (l, &node->contradictions) {
		struct contradiction *c = list_item(l, struct contradiction, link);
		if (c->pool == pool && c->oid == oid)
			return c;
	}
	return NULL;
}

static void contradiction_free(struct node *node, struct contradiction *c)
{
	list_remove(&c->link);
	node->contradiction_count--;
	free(c);
}

void trouble_note(struct node *node, const struct pg *pg, uint64_t oid, uint64_t version)
{
	struct contradiction *c = contradiction_find(node, pg->pool, oid);

	if (!c) {
		if (node->contradiction_count >= CONTRADICTIONS_MAX)
			return;
		c = xcalloc(1, sizeof(*c));
		list_push(&node->contradictions, &c->link);
		node->contradiction_count++;
	}
	c->pool = pg->pool;
	c->pg = pg->number;
	c->oid = oid;
	c->version = version;
}

void trouble_settled(struct node *node, const struct pg *pg, uint64_t oid)
{
	struct contradiction *c = contradiction_find(node, pg->pool, oid);

	if (c)
		contradiction_free(node, c);
}

void troubles_forget_pg(struct node *node, uint32_t pool, uint32_t pg)
{
	list_each_safe (l, &node->contradictions) {
		struct contradiction *c = list_item(l, struct contradiction, link);
		if (c->pool == pool && c->pg == pg)
			contradiction_free(node, c);
	}
}

void troubles_forget(struct node *node)
{
	while (!list_empty(&node->contradictions))
		contradiction_free(
			node, list_item(node->contradictions.next, struct contradiction, link));
}

/* ---- Who may have what was not heard ---- */

struct absent {
	uint64_t disk[PG_MAX_MEMBERS * 2];
	uint32_t count, since;
};

static void absent_add(struct absent *a, uint64_t disk)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->disk[i] == disk)
			return;
	if (a->count < ARRAY_LEN(a->disk))
		a->disk[a->count++] = disk;
}

bool disk_is_lost(const struct map *map, uint64_t disk)
{
	const struct map_disk *d = map_find_disk(map, disk);

	return d && (d->flags & DISK_LOST);
}

struct absent_walk {
	struct absent *all;
	bool needed_only;
};

/* Adds those of an interval's disks that were not heard and not given up. */
static bool interval_absent(struct node *node, struct pg *pg, const struct interval *iv, void *ctx)
{
	struct absent_walk *walk = ctx;
	struct absent one = {.count = 0};
	bool heard = false;

	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(iv->live & slot_bit(i)))
			continue;
		const struct member *mb = member_find(pg, iv->disks[i]);
		if (mb && mb->answered)
			heard = true;
		else if (!disk_is_lost(node->map, iv->disks[i]))
			absent_add(&one, iv->disks[i]);
	}
	if (!one.count || (walk->needed_only && (heard || !iv->writable)))
		return true;
	if (!walk->all->since)
		walk->all->since = iv->epoch;
	for (uint32_t i = 0; i < one.count; i++)
		absent_add(walk->all, one.disk[i]);
	return true;
}

/* Disks of earlier intervals, since the PG was clean, that were not heard; needed_only: of those
 * that may have changed something and of which nobody was. */
static void pg_absent(struct node *node, struct pg *pg, bool needed_only, struct absent *ret)
{
	struct absent_walk walk = {ret, needed_only};

	memset(ret, 0, sizeof(*ret));
	intervals_each(node, pg, pg->clean_epoch, interval_absent, &walk);
}

/* Once in an interval: a disk given up later makes a PG that misses something peer anew. */
bool pg_heard_all(struct node *node, struct pg *pg)
{
	struct absent a;

	if (pg->state != PG_ACTIVE)
		return false;
	if (!pg->absent_known) {
		pg_absent(node, pg, false, &a);
		pg->absent_known = true;
		pg->heard_all = a.count == 0;
	}
	return pg->heard_all;
}

/* ---- What is lost ---- */

/* The whole object goes, or is replaced: nothing of what it was is needed. */
static bool op_replaces(const struct op *op)
{
	const struct msg *req = op->req;
	uint64_t size = 1ull << op->pg->conf->object_shift;

	if (req->type == MSG_OBJ_DELETE)
		return true;
	if (req->offset)
		return false;
	return (req->type == MSG_OBJ_ZERO && req->length == size) ||
	       (req->type == MSG_OBJ_WRITE && payload_len(&req->payload) == size);
}

bool lost_handle(struct node *node, struct op *op, struct missing *m, bool *ret_answered)
{
	*ret_answered = false;
	if (!m->unfound || m->running || missing_is_in_doubt(m) || !pg_heard_all(node, op->pg))
		return false; /* (running: recovery still uses it, and looks again at its end) */
	*ret_answered = true;
	if (!op->exclusive || !op_replaces(op)) {
		op_finish(node, op, RES_LOST);
		return true;
	}
	if ((uint32_t)__builtin_popcountll(op->pg->live) < pg_min_live(node, op->pg)) {
		op_finish(node, op, RES_AGAIN); /* the write would not be taken: it stays lost */
		return true;
	}
	*ret_answered = false;
	/* Lost it is until the change has succeeded: m stays till then (lost_replaced). */
	struct object *o = object_get(node, op->pg, m->oid);
	o->known = true;
	o->exists = true;
	o->version = m->version;
	return true;
}

void lost_replaced(struct node *node, struct pg *pg, uint64_t oid)
{
	struct missing *m = missing_find(pg, oid);

	if (!m)
		return;
	m->req = (struct req_id){0}; /* its own write was never whole */
	missing_free(node, m);
}

/* ---- The list ---- */

static int oid_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static Sf__Trouble *trouble_add(struct troubles *t, uint32_t kind, const struct pg *pg)
{
	Sf__Trouble *e = xcalloc(1, sizeof(*e));

	sf__trouble__init(e);
	e->kind = kind;
	e->pool = pg->pool;
	e->pg = pg->number;
	t->v[t->count++] = e;
	return e;
}

static void trouble_disks(Sf__Trouble *e, const struct absent *a)
{
	if (!a->count)
		return;
	e->disks = xmemdup(a->disk, a->count * sizeof(a->disk[0]));
	e->n_disks = a->count;
}

/* Slots without a disk that is up: what an active PG waits for. */
static void slots_absent(struct node *node, const struct pg *pg, struct absent *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < pg->n; i++)
		if (!(pg->live & slot_bit(i)) && pg->slot_disk[i] != NO_DISK &&
		    !disk_is_lost(node->map, pg->slot_disk[i]))
			absent_add(ret, pg->slot_disk[i]);
}

static void list_pg_down(struct node *node, struct pg *pg, struct troubles *t)
{
	uint32_t live = __builtin_popcountll(pg->live);
	struct absent a;

	if (pg->state == PG_DOWN)
		pg_absent(node, pg, true, &a);
	else if (live < pg->k)
		slots_absent(node, pg, &a);
	else
		return;
	if (pg->state == PG_DOWN && !a.count)
		return; /* for a moment only: a slot is about to answer */
	Sf__Trouble *e = trouble_add(t, SF__TROUBLE__KIND__DOWN, pg);
	t->down++;
	e->have = live;
	e->since_epoch = a.since;
	trouble_disks(e, &a);
}

/* Behind `after`, or from the first on. */
static uint64_t *oids_in_trouble(struct node *node, struct pg *pg, bool first, uint64_t after,
                                 uint32_t *ret)
{
	uint64_t *v = xcalloc(pg->missing.count + node->contradiction_count + 1, sizeof(*v));
	uint32_t cursor = 0, count = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));) {
		const struct missing *m = container_of(h, struct missing, by_oid);
		if (m->unfound && (first || m->oid > after))
			v[count++] = m->oid;
	}
	list_each (l, &node->contradictions) {
		const struct contradiction *c = list_item(l, struct contradiction, link);
		const struct missing *m = missing_find(pg, c->oid);
		if (c->pool == pg->pool && c->pg == pg->number && (first || c->oid > after) &&
		    !(m && m->unfound))
			v[count++] = c->oid;
	}
	if (count)
		qsort(v, count, sizeof(*v), oid_compare);
	*ret = count;
	return v;
}

static void list_object(struct node *node, struct pg *pg, uint64_t oid, const struct absent *a,
                        struct troubles *t)
{
	const struct missing *m = missing_find(pg, oid);
	const struct contradiction *c = contradiction_find(node, pg->pool, oid);
	Sf__Trouble *e;

	if (!m || !m->unfound) {
		e = trouble_add(t, SF__TROUBLE__KIND__UNDECIDED, pg);
		e->version = c->version;
		e->have = __builtin_popcountll(pg->live);
	} else {
		bool may_be_found = a->count || missing_is_in_doubt(m);
		e = trouble_add(
			t, may_be_found ? SF__TROUBLE__KIND__UNFOUND : SF__TROUBLE__KIND__LOST, pg);
		e->version = m->version;
		e->have = __builtin_popcountll(m->have);
		trouble_disks(e, a);
	}
	e->oid = oid;
}

/* Troubles of one PG behind an object; first: the PG itself too. */
static void list_pg(struct node *node, struct pg *pg, bool first, uint64_t after,
                    struct troubles *t)
{
	struct absent a;
	uint32_t count;

	if (first && t->count < t->max && t->down < t->max_down)
		list_pg_down(node, pg, t);
	if (pg->state != PG_ACTIVE)
		return;
	uint64_t *oids = oids_in_trouble(node, pg, first, after, &count);
	if (count)
		pg_absent(node, pg, false, &a);
	for (uint32_t i = 0; i < count && t->count < t->max; i++)
		list_object(node, pg, oids[i], &a, t);
	free(oids);
}

void troubles_list(struct node *node, const struct msg *from, struct troubles *t)
{
	bool first = from->flags & MSG_F_FIRST;

	t->v = xcalloc(t->max + 1, sizeof(t->v[0]));
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count && t->count < t->max; j++) {
			struct pg *pg = node->pools[i].pgs[j].pg;
			if (!pg)
				continue;
			bool before = pg->pool < from->pool ||
			              (pg->pool == from->pool && pg->number < from->pg);
			bool same = pg->pool == from->pool && pg->number == from->pg;
			if (first || !before)
				list_pg(node, pg, first || !same, from->oid, t);
		}
}

void troubles_fini(struct troubles *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		free(t->v[i]->disks);
		free(t->v[i]);
	}
	free(t->v);
}

void troubles_handle(struct node *node, uint64_t conn, struct msg *msg)
{
	struct msg *reply = msg_create_reply(msg, RES_OK);
	struct troubles t = {.max = TROUBLES_PAGE, .max_down = TROUBLES_PAGE};
	Sf__Troubles list = SF__TROUBLES__INIT;

	troubles_list(node, msg, &t);
	list.list = t.v;
	list.n_list = t.count;
	reply->blob_len = sf__troubles__get_packed_size(&list);
	reply->blob = xmalloc(reply->blob_len + 1);
	sf__troubles__pack(&list, reply->blob);
	if (t.count == t.max) {
		const Sf__Trouble *last = t.v[t.count - 1];
		reply->flags = MSG_F_MORE;
		reply->pool = last->pool;
		reply->pg = last->pg;
		reply->oid = last->oid;
	}
	troubles_fini(&t);
	node_reply(node, conn, reply);
	msg_destroy(msg);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Listing a PG's objects: what our own slot holds, and what it still lacks. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct list_work {
	struct shard_entry *own;    /* of our slot's disk */
	struct shard_entry *lacked; /* what the slot lacked when the disk was asked first */
	uint32_t own_count, lacked_count;
};

void list_free(struct list_work *w)
{
	if (!w)
		return;
	free(w->own);
	free(w->lacked);
	free(w);
}

static int entry_compare(const void *a, const void *b)
{
	const struct shard_entry *x = a, *y = b;

	return x->oid < y->oid ? -1 : x->oid > y->oid;
}

static bool entry_is_dead(const struct shard_entry *e)
{
	return e->flags & (e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE);
}

/* Entries of our own shard that stand as they are. */
static uint32_t take_own(struct pg *pg, const struct msg *page, struct shard_entry *out)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < page->entry_count; i++) {
		const struct shard_entry *e = &page->entries[i];
		if (e->shard == pg->own && !entry_is_dead(e) && !missing_find(pg, e->oid))
			out[count++] = *e;
	}
	return count;
}

static uint32_t take_missing(struct pg *pg, uint64_t after, bool from_start, uint64_t last,
                             struct shard_entry *out)
{
	uint32_t cursor = 0, count = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));) {
		const struct missing *m = container_of(h, struct missing, by_oid);
		if (m->tombstone || m->oid > last || (!from_start && m->oid <= after))
			continue;
		out[count++] = (struct shard_entry){
			.oid = m->oid, .version = m->version, .size = m->size};
	}
	return count;
}

/* What recovery has brought back since: neither the disk's page nor `missing` shows it. */
static uint32_t take_regained(struct pg *pg, const struct op *op, uint64_t last, struct shard_entry *out)
{
	const struct list_work *w = op->list;
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->lacked_count; i++)
		if (w->lacked[i].oid <= last && !missing_find(pg, w->lacked[i].oid))
			out[count++] = w->lacked[i];
	return count;
}

/* Sorted, each once. */
static uint32_t entries_sort(struct shard_entry *v, uint32_t count)
{
	uint32_t kept = 0;

	qsort(v, count, sizeof(*v), entry_compare);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || v[kept - 1].oid != v[i].oid)
			v[kept++] = v[i];
	return kept;
}

static void list_reply(struct node *node, struct op *op, uint64_t last, bool more)
{
	struct pg *pg = op->pg;
	struct list_work *w = op->list;
	struct msg *reply = msg_create_reply(op->req, RES_OK);
	uint32_t count = w->own_count;
	struct shard_entry *v =
		xrealloc(w->own, (count + pg->missing.count + w->lacked_count + 1) * sizeof(*v));

	w->own = NULL;
	count += take_missing(pg, op->req->oid, op->req->flags & MSG_F_FIRST, last, v + count);
	count += take_regained(pg, op, last, v + count);
	count = entries_sort(v, count);
	reply->entries = v;
	reply->entry_count = MIN(count, (uint32_t)MSG_MAX_ENTRIES);
	if (count > reply->entry_count)
		more = true;
	if (more)
		reply->flags = MSG_F_MORE;
	/* The next page starts behind what this one covers, even if all of it was filtered out. */
	reply->oid = count > reply->entry_count ? v[reply->entry_count - 1].oid : last;
	op_finish_reply(node, op, reply);
}

static void list_ask(struct node *node, struct op *op, uint64_t oid, uint32_t shard, uint32_t flags);

static void list_answer(struct node *node, struct call *call, struct msg *page)
{
	struct op *op = call->ctx;
	struct list_work *w = op->list;
	const struct shard_entry *end =
		page->entry_count ? &page->entries[page->entry_count - 1] : NULL;

	if (page->result != RES_OK) {
		op_finish(node, op, RES_IO);
		return;
	}
	w->own = xrealloc(w->own, (w->own_count + page->entry_count + 1) * sizeof(*w->own));
	w->own_count += take_own(op->pg, page, w->own + w->own_count);
	if (!(page->flags & MSG_F_MORE) || !end)
		list_reply(node, op, UINT64_MAX, page->flags & MSG_F_MORE);
	else if (end->shard >= op->pg->own)
		list_reply(node, op, end->oid, true);
	else /* the disk holds several shards of the last object, and ours may come yet */
		list_ask(node, op, end->oid, end->shard, 0);
}

static void list_ask(struct node *node, struct op *op, uint64_t oid, uint32_t shard, uint32_t flags)
{
	struct pg *pg = op->pg;
	struct msg *m = pg_msg(node, pg, MSG_PG_LIST);

	m->oid = oid;
	m->shard = shard;
	m->flags = flags;
	m->length = op->req->length ? MIN(op->req->length, (uint64_t)LIST_PAGE) : LIST_PAGE;
	op_call(node, op, pg->slot_node[pg->own], pg->slot_disk[pg->own], m, list_answer, 0);
}

void list_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	uint32_t first = op->req->flags & MSG_F_FIRST;
	struct list_work *w = xcalloc(1, sizeof(*w));

	list_free(op->list);
	op->list = w;
	w->lacked = xcalloc(pg->missing.count + 1, sizeof(*w->lacked));
	w->lacked_count = take_missing(pg, op->req->oid, first, UINT64_MAX, w->lacked);
	list_ask(node, op, op->req->oid, SHARD_NONE, first); /* behind every shard of the cursor's object */
}

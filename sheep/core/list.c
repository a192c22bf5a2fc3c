/* SPDX-License-Identifier: Apache-2.0 */

/* Listing a PG's objects: what our own slot holds, and what it still lacks. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

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
                             struct shard_entry *out, uint32_t room)
{
	uint32_t cursor = 0, count = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));) {
		const struct missing *m = container_of(h, struct missing, by_oid);
		if (m->tombstone || m->oid > last || (!from_start && m->oid <= after))
			continue;
		if (count < room)
			out[count++] = (struct shard_entry){
				.oid = m->oid, .version = m->version, .size = m->size};
	}
	return count;
}

static void list_answer(struct node *node, struct call *call, struct msg *page)
{
	struct op *op = call->ctx;
	struct pg *pg = op->pg;
	struct msg *reply = msg_create_reply(op->req, page->result == RES_OK ? RES_OK : RES_IO);
	bool more = page->flags & MSG_F_MORE;
	uint64_t last =
		more && page->entry_count ? page->entries[page->entry_count - 1].oid : UINT64_MAX;
	uint32_t room = page->entry_count + pg->missing.count;

	reply->entries = xcalloc(room + 1, sizeof(*reply->entries));
	uint32_t count = take_own(pg, page, reply->entries);
	count += take_missing(pg, op->req->oid, op->req->flags & MSG_F_FIRST, last,
	                      reply->entries + count, room - count);
	qsort(reply->entries, count, sizeof(*reply->entries), entry_compare);
	reply->entry_count = MIN(count, (uint32_t)MSG_MAX_ENTRIES);
	if (count > reply->entry_count)
		more = true;
	if (more)
		reply->flags = MSG_F_MORE;
	/* The next page starts behind what this one covers, even if all of it was filtered out. */
	reply->oid = count > reply->entry_count ? reply->entries[reply->entry_count - 1].oid : last;
	op_finish_reply(node, op, reply);
}

void list_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct msg *m = pg_msg(node, pg, MSG_PG_LIST);

	m->oid = op->req->oid;
	m->shard = SHARD_NONE; /* behind every shard of the cursor's object */
	m->flags = op->req->flags & MSG_F_FIRST;
	m->length = op->req->length ? MIN(op->req->length, (uint64_t)LIST_PAGE) : LIST_PAGE;
	op_call(node, op, pg->slot_node[pg->own], pg->slot_disk[pg->own], m, list_answer, 0);
}

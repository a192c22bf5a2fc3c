/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the members of a PG hold, told to its primary at peering.
 *
 * Members that were slots when the PG was last clean, and whose logs reach back to then, differ at most
 * in what the logs name: they are asked about these objects only, often none. Otherwise each lists
 * all its shards, in pages side by side: an object is decided as soon as every member's listing is
 * past it, and its entries are dropped. Few PGs list at once, so the memory for it is bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

enum { LISTING_MAX = 32 };

static void listing_pages(struct node *node, struct pg *pg);
static void listing_names(struct node *node, struct pg *pg);

/* ---- Catching up by the logs ---- */

static bool interval_has_our_slots(struct node *node, struct pg *pg, const struct interval *iv,
                                   void *ctx)
{
	return iv->n == pg->n && !memcmp(iv->disks, pg->slot_disk, pg->n * sizeof(*iv->disks));
}

/* True when all that can differ is in the logs, above *ret_since. (A disk put back from an older copy
 * tells of an older clean point.) */
static bool logs_reach_back(struct node *node, struct pg *pg, uint64_t *ret_since)
{
	uint64_t since = 0;

	if (!intervals_each(node, pg, pg->clean_epoch, interval_has_our_slots, NULL))
		return false;
	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct member *mb = &pg->members[i];
		if (!mb->answered)
			continue;
		if (mb->slot < 0 || mb->info.suspect || mb->info.complete != pg->clean_epoch)
			return false;
		since = MAX(since, mb->info.clean_commit);
	}
	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct member *mb = &pg->members[i];
		if (mb->answered && (mb->info.clean_commit != since || mb->info.floor > since))
			return false;
	}
	*ret_since = since;
	return true;
}

static int oid_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void names_collect(struct pg *pg, uint64_t since)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < pg->member_count; i++)
		count += pg->members[i].answered ? pg->members[i].log->log_count : 0;
	pg->names = xcalloc(count + 1, sizeof(*pg->names));
	count = 0;
	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct msg *log = pg->members[i].log;
		for (uint32_t j = 0; log && j < log->log_count; j++)
			if (log->log[j].version > since)
				pg->names[count++] = log->log[j].oid;
	}
	if (count)
		qsort(pg->names, count, sizeof(*pg->names), oid_compare);
	for (uint32_t i = 0; i < count; i++)
		if (!i || pg->names[i] != pg->names[i - 1])
			pg->names[pg->name_count++] = pg->names[i];
}

/* Our own slot knew how many objects there are; those to be decided anew are counted anew. */
static void count_others(struct pg *pg)
{
	const struct member *own = &pg->members[pg->own];

	pg->object_count = own->info.objects;
	for (uint32_t i = 0; i < own->entry_count; i++) {
		const struct shard_entry *e = &own->entries[i];
		uint32_t dead = e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE;
		pg->object_count -= !(e->flags & dead);
	}
}

/* ---- Pages ---- */

static bool entry_after(const struct shard_entry *a, const struct shard_entry *b)
{
	return a->oid != b->oid ? a->oid > b->oid : a->shard > b->shard;
}

/* What a member says is checked, for the walk depends on its order. */
static bool page_is_sound(const struct member *mb, const struct msg *page)
{
	const struct shard_entry *before = mb->begun ? &mb->cursor : NULL;

	for (uint32_t i = 0; i < page->entry_count; before = &page->entries[i++])
		if (before && !entry_after(&page->entries[i], before))
			return false;
	return !(page->flags & MSG_F_MORE) || (page->entry_count && before->oid);
}

/* Nothing but shards of the objects asked for. */
static bool answer_is_sound(const struct pg *pg, const struct msg *page)
{
	uint32_t at = pg->named - pg->asked;

	for (uint32_t i = 0; i < page->entry_count; i++) {
		const struct shard_entry *e = &page->entries[i];
		if (i && !entry_after(e, &page->entries[i - 1]))
			return false;
		while (at < pg->named && pg->names[at] < e->oid)
			at++;
		if (at == pg->named || pg->names[at] != e->oid)
			return false;
	}
	return !(page->flags & MSG_F_MORE);
}

static void page_take(struct member *mb, const struct msg *page)
{
	uint32_t count = mb->entry_count + page->entry_count;

	if (count > mb->entry_capacity) {
		mb->entry_capacity = count;
		mb->entries = xrealloc(mb->entries, count * sizeof(*mb->entries));
	}
	if (page->entry_count)
		memcpy(mb->entries + mb->entry_count, page->entries,
		       page->entry_count * sizeof(*mb->entries));
	mb->entry_count = count;
}

/* Up to which object every listing is complete. */
static uint64_t listed_to(const struct pg *pg)
{
	uint64_t to = UINT64_MAX;

	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct member *mb = &pg->members[i];
		if (mb->answered && !mb->listed)
			to = MIN(to, mb->cursor.oid - 1);
	}
	return to;
}

static void entries_drop(struct member *mb, uint64_t to)
{
	uint32_t n = 0;

	if (!mb->entries)
		return;
	while (n < mb->entry_count && mb->entries[n].oid <= to)
		n++;
	mb->entry_count -= n;
	memmove(mb->entries, mb->entries + n, mb->entry_count * sizeof(*mb->entries));
	if (mb->entry_count)
		return;
	free(mb->entries);
	mb->entries = NULL;
	mb->entry_capacity = 0;
}

static void listing_end(struct node *node, struct pg *pg)
{
	listing_drop(node, pg);
	pg_log_settle(pg);
	peering_resolved(node, pg);
}

/* Every member has told more: decides what can be decided. */
static void listing_round(struct node *node, struct pg *pg)
{
	uint64_t to = listed_to(pg);

	resolve_objects(node, pg, to);
	pg_log_take(pg, pg->listed_from, to);
	for (uint32_t i = 0; i < pg->member_count; i++)
		entries_drop(&pg->members[i], to);
	pg->listed_from = to + 1;
	if (to == UINT64_MAX)
		listing_end(node, pg);
	else
		listing_pages(node, pg);
}

static void page_answer(struct node *node, struct call *call, struct msg *page)
{
	struct pg *pg = call->ctx;
	struct member *mb = &pg->members[call->index];

	if (pg->state != PG_LIST)
		return; /* another's answer has ended this try */
	if (page->result != RES_OK || !page_is_sound(mb, page)) {
		peering_wait(node, pg);
		return;
	}
	page_take(mb, page);
	mb->begun = true;
	if (page->entry_count)
		mb->cursor = page->entries[page->entry_count - 1];
	mb->listed = !(page->flags & MSG_F_MORE);
	if (--pg->awaited == 0)
		listing_round(node, pg);
}

/* The next page of each whose last one is used up: the others are ahead. */
static void listing_pages(struct node *node, struct pg *pg)
{
	for (uint32_t i = 0; i < pg->member_count; i++)
		pg->awaited += pg->members[i].answered && !pg->members[i].listed &&
		               pg->members[i].cursor.oid <= pg->listed_from;
	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct member *mb = &pg->members[i];
		if (!mb->answered || mb->listed || mb->cursor.oid > pg->listed_from)
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_LIST);
		m->length = LIST_PAGE;
		m->oid = mb->cursor.oid;
		m->shard = mb->cursor.shard;
		m->flags = mb->begun ? 0 : MSG_F_FIRST;
		call_start(node, pg, mb->node, mb->disk, m, page_answer, pg)->index = i;
	}
}

static void names_answer(struct node *node, struct call *call, struct msg *page)
{
	struct pg *pg = call->ctx;

	if (pg->state != PG_LIST)
		return;
	if (page->result != RES_OK || !answer_is_sound(pg, page)) {
		peering_wait(node, pg);
		return;
	}
	page_take(&pg->members[call->index], page);
	if (--pg->awaited)
		return;
	if (pg->named < pg->name_count) {
		listing_names(node, pg);
		return;
	}
	count_others(pg);
	listing_round(node, pg);
}

/* As many as have room in an answer, whatever shards of them there are. */
static void listing_names(struct node *node, struct pg *pg)
{
	uint32_t count = MIN(pg->name_count - pg->named, (uint32_t)MSG_MAX_ENTRIES / pg->n);

	pg->named += count;
	pg->asked = count;
	for (uint32_t i = 0; i < pg->member_count; i++)
		pg->awaited += pg->members[i].answered;
	for (uint32_t i = 0; i < pg->member_count; i++) {
		struct member *mb = &pg->members[i];
		if (!mb->answered)
			continue;
		struct msg *m = pg_msg(node, pg, MSG_PG_LIST);
		m->log = xcalloc(count, sizeof(*m->log));
		m->log_count = count;
		for (uint32_t j = 0; j < count; j++)
			m->log[j].oid = pg->names[pg->named - count + j];
		call_start(node, pg, mb->node, mb->disk, m, names_answer, pg)->index = i;
	}
}

static void listing_names_start(struct node *node, struct pg *pg, uint64_t since)
{
	names_collect(pg, since);
	pg->max_version = since;
	for (uint32_t i = 0; i < pg->member_count; i++) {
		struct member *mb = &pg->members[i];
		mb->listed = true;
		if (mb->answered)
			pg->max_version = MAX(pg->max_version, mb->info.commit);
	}
	if (pg->name_count) {
		listing_names(node, pg);
		return;
	}
	count_others(pg);
	listing_round(node, pg);
}

/* ---- Turns ---- */

static void listing_next(struct node *node)
{
	while (node->listing < LISTING_MAX && !list_empty(&node->to_list)) {
		struct pg *pg = list_item(list_pop(&node->to_list), struct pg, turn);
		node->listing++;
		pg->listing = true;
		listing_pages(node, pg);
	}
}

void listing_start(struct node *node, struct pg *pg)
{
	uint64_t since;

	pg->state = PG_LIST;
	if (logs_reach_back(node, pg, &since)) {
		listing_names_start(node, pg, since);
		return;
	}
	list_push(&node->to_list, &pg->turn);
	listing_next(node);
}

void listing_drop(struct node *node, struct pg *pg)
{
	free(pg->names);
	pg->names = NULL;
	list_remove(&pg->turn);
	if (!pg->listing)
		return;
	pg->listing = false;
	node->listing--;
	listing_next(node);
}

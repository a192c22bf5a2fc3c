/* SPDX-License-Identifier: Apache-2.0 */

/* Which changes in the members' logs count as done: their requests are not applied again, and every
 * slot's log becomes the list of them. */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

/* What is committed there, or was before what is committed there, was acknowledged. */
static bool member_committed(const struct member *mb, const struct log_entry *e)
{
	uint32_t lo = 0, hi = mb->entry_count;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (mb->entries[mid].oid < e->oid)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < mb->entry_count && mb->entries[lo].oid == e->oid; lo++)
		if (mb->entries[lo].version >= e->version)
			return true;
	return false;
}

/*
 * Logs of the last active interval tell all that was acknowledged before it; older logs may tell of
 * versions that were taken back while their holder was away. Even in the former, what was pending
 * when the interval began, and still is, was only kept until it is decided. What is not stable yet
 * counts once it is. A left-over of a deleted object is dropped where it turns up, but it did happen.
 */
static bool change_counts(const struct pg *pg, uint32_t member, const struct log_entry *e,
                          uint32_t last_active)
{
	const struct member *mb = &pg->members[member];

	if (undo_never_was(pg, e->version, e->oid))
		return false;
	if (member_committed(mb, e))
		return true;
	return mb->info.activated == last_active &&
	       (version_epoch(e->version) >= last_active ||
	        !undo_pending_below(pg, member, e->version, e->oid));
}

static uint32_t members_last_active(const struct pg *pg)
{
	uint32_t newest = 0;

	for (uint32_t i = 0; i < pg->member_count; i++)
		newest = MAX(newest, pg->members[i].info.activated);
	return newest;
}

/* The version is not stable yet: whose it is is kept with it. */
static bool keep_unstable(struct pg *pg, const struct log_entry *e)
{
	struct missing *m = missing_find(pg, e->oid);

	if (!m || !m->unstable || m->version != e->version)
		return false;
	m->req = e->req;
	return true;
}

void pg_log_take(struct pg *pg, uint64_t from, uint64_t to)
{
	uint32_t last_active = members_last_active(pg);

	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct msg *log = pg->members[i].log;
		for (uint32_t j = 0; log && j < log->log_count; j++) {
			const struct log_entry *e = &log->log[j];
			if (e->oid < from || e->oid > to || keep_unstable(pg, e) ||
			    !change_counts(pg, i, e, last_active))
				continue;
			if (pg->done_count == pg->done_capacity) {
				pg->done_capacity = MAX(64u, pg->done_capacity * 2);
				pg->done = xrealloc(pg->done, pg->done_capacity * sizeof(*pg->done));
			}
			pg->done[pg->done_count++] = *e;
		}
	}
}

static int log_compare(const void *a, const void *b)
{
	const struct log_entry *x = a, *y = b;

	if (x->version != y->version)
		return x->version < y->version ? -1 : 1;
	return x->oid < y->oid ? -1 : x->oid > y->oid;
}

void pg_log_settle(struct pg *pg)
{
	uint32_t last_active = members_last_active(pg);

	for (uint32_t i = 0; i < pg->member_count; i++) {
		struct member *mb = &pg->members[i];
		if (mb->answered && mb->info.activated == last_active)
			pg->floor = MAX(pg->floor, mb->info.floor);
		msg_destroy(mb->log);
		mb->log = NULL;
	}
	if (pg->done_count)
		qsort(pg->done, pg->done_count, sizeof(*pg->done), log_compare);
	for (uint32_t i = 0; i < pg->done_count; i++)
		if (!i || log_compare(&pg->done[i - 1], &pg->done[i]))
			pg_add_request(pg, &pg->done[i], RES_OK);
	free(pg->done);
	pg->done = NULL;
	pg->done_count = pg->done_capacity = 0;
}

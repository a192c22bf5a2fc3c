/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/pg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { PG_CODEC = 2 };

struct pg *pg_create(uint32_t pool, uint32_t number)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));

	pg->pool = pool;
	pg->pg = number;
	list_init(&pg->link);
	list_init(&pg->pending);
	list_init(&pg->dirty);
	return pg;
}

void pg_destroy(struct pg *pg)
{
	assert(list_empty(&pg->pending) && list_empty(&pg->dirty));
	free(pg->log);
	free(pg);
}

void pg_forget(struct pg *pg)
{
	memset(&pg->info, 0, sizeof(pg->info));
	pg->log_count = 0;
	pg->seen_commit = pg->logged_commit = pg->commit_lsn = 0;
}

/* Index of the first entry that is newer. */
static uint32_t pg_log_after(const struct pg *pg, uint64_t version)
{
	uint32_t i = pg->log_count;

	while (i && pg->log[i - 1].version > version)
		i--;
	return i;
}

void pg_log_add(struct pg *pg, const struct log_entry *e)
{
	uint32_t at = pg_log_after(pg, e->version);

	for (uint32_t i = at; i && pg->log[i - 1].version == e->version; i--)
		if (pg->log[i - 1].oid == e->oid)
			return;
	if (pg->log_count == PG_LOG_MAX) {
		pg->info.floor = MAX(pg->info.floor, at ? pg->log[0].version : e->version);
		if (!at)
			return;
		memmove(pg->log, pg->log + 1, (at - 1) * sizeof(*pg->log));
		pg->log[at - 1] = *e;
		return;
	}
	if (pg->log_count == pg->log_cap) {
		pg->log_cap = MIN(PG_LOG_MAX, MAX(16, pg->log_cap * 2));
		pg->log = xrealloc(pg->log, pg->log_cap * sizeof(*pg->log));
	}
	memmove(pg->log + at + 1, pg->log + at, (pg->log_count - at) * sizeof(*pg->log));
	pg->log[at] = *e;
	pg->log_count++;
}

bool pg_log_reaches(const struct pg *pg, uint32_t epoch)
{
	return pg->log_count && version_epoch(pg->log[pg->log_count - 1].version) >= epoch;
}

static bool pg_is_pending(const struct pg *pg, const struct log_entry *e)
{
	list_each (l, &pg->pending) {
		const struct shard *s = list_item(l, struct shard, pend);
		if (s->pending == e->version && s->key.oid == e->oid)
			return true;
	}
	return false;
}

void pg_log_replace(struct pg *pg, const struct log_entry *log, uint32_t count, uint64_t floor)
{
	struct log_entry *old = pg->log;
	uint32_t old_count = pg->log_count;

	pg->log = NULL;
	pg->log_count = pg->log_cap = 0;
	pg->info.floor = floor;
	for (uint32_t i = 0; i < count; i++)
		pg_log_add(pg, &log[i]);
	for (uint32_t i = 0; i < old_count; i++)
		if (pg_is_pending(pg, &old[i]))
			pg_log_add(pg, &old[i]);
	free(old);
}

void pg_log_drop(struct pg *pg, uint64_t version, uint64_t oid)
{
	uint32_t i = pg_log_after(pg, version);

	for (; i && pg->log[i - 1].version == version; i--) {
		if (pg->log[i - 1].oid != oid)
			continue;
		memmove(pg->log + i - 1, pg->log + i, (pg->log_count - i) * sizeof(*pg->log));
		pg->log_count--;
	}
}

bool pg_log_has(const struct pg *pg, uint64_t version)
{
	uint32_t at = pg_log_after(pg, version);
	return at && pg->log[at - 1].version == version;
}

void pg_pending_add(struct pg *pg, struct shard *s)
{
	struct list *at = pg->pending.prev;

	while (at != &pg->pending && list_item(at, struct shard, pend)->pending > s->pending)
		at = at->prev;
	list_push_front(at, &s->pend);
}

uint32_t pg_encode(const struct pg *pg, uint8_t dst[PG_ENCODED_MAX])
{
	struct bytes_out o = bytes_out(dst, PG_ENCODED_MAX);

	put_u32(&o, PG_CODEC);
	put_u32(&o, pg->pool);
	put_u32(&o, pg->pg);
	put_u32(&o, pg->info.activated);
	put_u32(&o, pg->info.clean);
	put_u64(&o, pg->info.commit);
	put_u32(&o, pg->info.complete);
	put_u64(&o, pg->info.clean_commit);
	put_u64(&o, pg->info.scrubbed);
	put_u64(&o, pg->info.floor);
	put_u32(&o, pg->info.suspect);
	put_u32(&o, pg->tombstones);
	put_u64(&o, pg->objects);
	put_u64(&o, pg->base_lsn);
	put_u64(&o, pg->seen_commit);
	put_u64(&o, pg->logged_commit);
	put_u64(&o, pg->commit_lsn);
	put_u32(&o, pg->log_count);
	for (uint32_t i = 0; i < pg->log_count; i++) {
		put_u64(&o, pg->log[i].version);
		put_u64(&o, pg->log[i].oid);
		put_u64(&o, pg->log[i].req.client);
		put_u64(&o, pg->log[i].req.seq);
	}
	put_u32(&o, crc32c(0, dst, (size_t)(o.p - dst)));
	assert(!o.full);
	return (uint32_t)(o.p - dst);
}

bool pg_decode(struct pg *pg, const uint8_t *src, uint32_t len)
{
	struct bytes_in in = bytes_in(src, len);

	uint32_t codec = get_u32(&in);
	if (in.bad || codec < 1 || codec > PG_CODEC || get_u32(&in) != pg->pool ||
	    get_u32(&in) != pg->pg)
		return false;
	pg_forget(pg);
	pg->info.activated = get_u32(&in);
	pg->info.clean = get_u32(&in);
	pg->info.commit = get_u64(&in);
	pg->info.complete = codec < 2 ? 0 : get_u32(&in);
	pg->info.clean_commit = codec < 2 ? 0 : get_u64(&in);
	pg->info.scrubbed = codec < 2 ? 0 : get_u64(&in);
	uint64_t floor = codec < 2 ? UINT64_MAX : get_u64(&in);
	pg->info.suspect = codec < 2 ? true : get_u32(&in);
	pg->tombstones = get_u32(&in);
	pg->objects = codec < 2 ? 0 : get_u64(&in);
	pg->base_lsn = get_u64(&in);
	pg->seen_commit = get_u64(&in);
	pg->logged_commit = get_u64(&in);
	pg->commit_lsn = get_u64(&in);
	uint32_t count = get_u32(&in);
	if (in.bad || count > PG_LOG_MAX)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct log_entry e;
		e.version = get_u64(&in);
		e.oid = get_u64(&in);
		e.req.client = get_u64(&in);
		e.req.seq = get_u64(&in);
		pg_log_add(pg, &e);
	}
	pg->info.floor = floor;
	uint32_t crc = crc32c(0, src, (size_t)(in.p - src));
	return get_u32(&in) == crc && !in.bad;
}

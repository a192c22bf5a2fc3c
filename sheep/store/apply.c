/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "sheep/store/state.h"

/*
 * What records do. A record says everything that its effect depends on, so that the live path, the
 * replay of the tail and a rebuild from all segments come to the same state with the same code. Two
 * things are not in the log at once: commit points (the next prepare or PG record carries them) and
 * damage (found again).
 */

/* What counters knew of a shard before it changed. */
struct before {
	bool existed, tombstone, object;
	uint64_t pending;
};

static void account(struct store *st, const struct extvec *x, bool add)
{
	for (uint32_t i = 0; i < x->count; i++) {
		const struct extent *e = &x->v[i];
		struct segment *seg = e->seg == SEG_HOLE ? NULL : segment_find(&st->segs, e->seg);
		if (!seg)
			continue;
		uint64_t n = extent_footprint(e);
		if (!add)
			n = MIN(n, seg->live);
		seg->dirty = true;
		seg->live += add ? n : -n;
		st->segs.live += add ? n : -n;
	}
}

static struct before shard_change_begin(struct store *st, struct shard *s)
{
	account(st, &s->content, false);
	account(st, &s->overlay, false);
	return (struct before){
		.existed = shard_exists(s),
		.tombstone = s->flags & ST_TOMBSTONE,
		.object = shard_exists(s) && !shard_newest_is_tombstone(s),
		.pending = s->pending,
	};
}

static void shard_change_end(struct store *st, struct shard *s, struct before b)
{
	bool exists = shard_exists(s), tombstone = s->flags & ST_TOMBSTONE;
	bool object = exists && !shard_newest_is_tombstone(s);

	account(st, &s->content, true);
	account(st, &s->overlay, true);
	st->mt.existing += exists;
	st->mt.existing -= b.existed;
	if (tombstone != b.tombstone || object != b.object) {
		struct pg *pg = memtable_pg(&st->mt, s->key.pool, s->key.pg);
		pg->tombstones += tombstone;
		pg->tombstones -= b.tombstone && pg->tombstones;
		pg->objects += object;
		pg->objects -= b.object && pg->objects;
		memtable_pg_changed(&st->mt, pg);
	}
	if (s->pending != b.pending)
		memtable_pending_changed(&st->mt, s);
	memtable_shard_changed(&st->mt, s);
}

void store_promote_pg(struct store *st, struct pg *pg, uint64_t commit)
{
	pg->seen_commit = MAX(pg->seen_commit, commit);
	while (!list_empty(&pg->pending)) {
		struct shard *s = list_item(pg->pending.next, struct shard, pend);
		if (s->pending > commit)
			break;
		struct before b = shard_change_begin(st, s);
		shard_promote(s, &st->scratch);
		shard_change_end(st, s, b);
	}
}

void store_mark_damaged(struct store *st, struct shard *s)
{
	st->checksum_errors++;
	if (s->flags & ST_DAMAGED)
		return;
	log_warn(st->log,
	         "%s: object %016llx shard %u of pg %u.%u: stored data does not match its checksum",
	         st->path, (unsigned long long)s->key.oid, s->key.shard, s->key.pool, s->key.pg);
	s->flags |= ST_DAMAGED;
	memtable_shard_changed(&st->mt, s);
	struct pg *pg = memtable_pg(&st->mt, s->key.pool, s->key.pg);
	pg->info.suspect = true;
	memtable_pg_changed(&st->mt, pg);
}

/* The record's ranges as a list of extents, later ones over earlier ones. */
static void record_extents(struct store *st, const struct record *r)
{
	struct extvec one = {0}, *list = &st->ranges;
	uint32_t skip = 0;

	extvec_clear(list);
	for (uint32_t i = 0; i < r->range_count; i++) {
		const struct shard_range *range = &r->ranges[i];
		struct extent e = {.off = range->offset, .len = range->length};
		if (range->op == RANGE_DATA) {
			e.seg = r->seg;
			e.pos = r->payload_pos;
			e.skip = skip;
			e.plen = r->payload_len;
			skip += range->length;
		}
		const uint32_t *crcs = r->crcs ? r->crcs + e.skip / CRC_BLOCK : NULL;
		if (!list->count ||
		    (list->v[list->count - 1].off + list->v[list->count - 1].len <= e.off)) {
			extvec_add(list, &e, crcs);
			continue;
		}
		extvec_clear(&one);
		extvec_add(&one, &e, crcs);
		extvec_overlay(&st->ranges2, list, &one, true);
		extvec_swap(list, &st->ranges2);
	}
	extvec_fini(&one);
}

/* The record says that everything up to `commit` is committed. */
static void pg_commit_logged(struct pg *pg, uint64_t commit, uint64_t lsn)
{
	if (!commit || commit < pg->logged_commit)
		return;
	pg->logged_commit = commit;
	pg->commit_lsn = lsn;
}

static uint64_t pg_record_commit(const struct pg *pg, const struct record *r)
{
	return r->type == REC_PG ? MAX(pg->info.commit, pg->seen_commit) : r->commit;
}

void store_pg_logged(struct store *st, struct pg *pg, const struct record *r)
{
	if (r->type == REC_PG)
		pg->base_lsn = r->lsn;
	pg_commit_logged(pg, pg_record_commit(pg, r), r->lsn);
	memtable_pg_changed(&st->mt, pg);
}

static void apply_log_add(struct store *st, const struct record *r)
{
	struct pg *pg = memtable_pg(&st->mt, r->key.pool, r->key.pg);
	struct log_entry e = {.version = r->version, .oid = r->key.oid, .req = r->req};

	pg_log_add(pg, &e);
	pg_commit_logged(pg, r->commit, r->lsn);
	memtable_pg_changed(&st->mt, pg);
}

static void apply_log_drop(struct store *st, const struct record *r)
{
	struct pg *pg = memtable_pg(&st->mt, r->key.pool, r->key.pg);

	pg_log_drop(pg, r->version, r->key.oid);
	memtable_pg_changed(&st->mt, pg);
}

static int apply_snapshot(struct store *st, struct shard *s, const struct record *r)
{
	struct bytes_in in = bytes_in(r->blob, r->blob_len);

	if (!shard_decode(s, &in, r->seg, r->payload_pos)) {
		shard_clear(s);
		return -SF_ECORRUPT;
	}
	s->lsn = s->base_lsn = r->lsn;
	if (s->pend_lsn)
		s->pend_lsn = r->lsn;
	return 0;
}

int store_apply_to(struct store *st, struct shard *s, const struct record *r)
{
	struct before b = shard_change_begin(st, s);
	int err = 0;

	switch (r->type) {
	case REC_PREPARE:
		record_extents(st, r);
		shard_prepare(s, r->lsn, r->version, r->prev, r->shard_flags, &st->ranges,
		              &st->scratch);
		shard_accept(s, r->version, r->stood);
		break;
	case REC_PUSH:
		record_extents(st, r);
		shard_push(s, r->lsn, r->version, r->shard_flags, &st->ranges, &st->scratch);
		shard_accept(s, r->version, r->stood);
		break;
	case REC_ACCEPT:
		shard_accept(s, r->version, r->stood);
		s->lsn = r->lsn;
		break;
	case REC_ROLLBACK:
		shard_rollback(s, r->version);
		s->lsn = r->lsn;
		break;
	case REC_REMOVE:
		if (s->lsn <= r->orig_lsn)
			shard_clear(s);
		break;
	case REC_SNAPSHOT:
		err = apply_snapshot(st, s, r);
		break;
	default:
		err = -SF_EFORMAT;
	}
	shard_change_end(st, s, b);
	if (r->type == REC_PREPARE)
		apply_log_add(st, r);
	else if (r->type == REC_ROLLBACK)
		apply_log_drop(st, r);
	return err;
}

static int apply_pg(struct store *st, const struct record *r)
{
	struct pg *pg = memtable_pg(&st->mt, r->key.pool, r->key.pg);

	if (r->type == REC_PG) {
		uint32_t tombstones = pg->tombstones;
		uint64_t objects = pg->objects;
		bool ok = true;
		if (r->blob_len)
			ok = pg_decode(pg, r->blob, r->blob_len);
		else
			pg_forget(pg);
		pg->tombstones = tombstones;
		pg->objects = objects;
		if (!ok) {
			/* Of what it said nothing is believed, not even half. */
			pg_forget(pg);
			pg->info.suspect = true;
			memtable_pg_changed(&st->mt, pg);
			return -SF_ECORRUPT;
		}
	}
	store_pg_logged(st, pg, r);
	store_promote_pg(st, pg, pg_record_commit(pg, r));
	return 0;
}

int store_apply(struct store *st, const struct record *r)
{
	struct shard *s;

	if (r->type == REC_PG || r->type == REC_COMMIT)
		return apply_pg(st, r);
	int err = memtable_shard(&st->mt, &r->key, &s);
	if (err)
		return err;
	if (r->type == REC_PREPARE)
		store_promote_pg(st, memtable_pg(&st->mt, r->key.pool, r->key.pg), r->commit);
	return store_apply_to(st, s, r);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/replay.h"
#include "sheep/store/state.h"

/*
 * Frees a segment, one slice at a time:
 *
 *   1. read its descriptors, batch after batch; every shard and PG named there that still depends
 *      on a record of this segment, or has bytes in it, is written anew at the end of the log
 *   2. the index is brought up to that point, synced, without the segment
 *   3. the file goes
 *
 * A crash before 3 costs the work, nothing else. A segment with a descriptor that cannot be read is
 * left alone for good: what depends on it is not known.
 */
enum { SLICE_BYTES = 4 << 20, SLICE_RECORDS = 1024, URGENT_SLICES = 32 };

struct compact_pg {
	uint32_t pool, pg;
	bool log;    /* its log or info depends on the segment */
	bool commit; /* so does what is known of its commit point */
};

void store_compact_stop(struct store *st)
{
	struct compaction *c = &st->compact;

	c->victim = NULL;
	c->pg_count = 0;
	free(c->pgs);
	c->pgs = NULL;
	c->pg_cap = 0;
}

static struct compact_pg *compact_pg(struct compaction *c, uint32_t pool, uint32_t pg)
{
	for (uint32_t i = c->pg_count; i > 0; i--)
		if (c->pgs[i - 1].pool == pool && c->pgs[i - 1].pg == pg)
			return &c->pgs[i - 1];
	if (c->pg_count == c->pg_cap) {
		c->pg_cap = c->pg_cap ? c->pg_cap * 2 : 64;
		c->pgs = xrealloc(c->pgs, c->pg_cap * sizeof(*c->pgs));
	}
	c->pgs[c->pg_count] = (struct compact_pg){.pool = pool, .pg = pg};
	return &c->pgs[c->pg_count++];
}

static void compact_note_pg(struct store *st, const struct record *r)
{
	struct compact_pg *n = compact_pg(&st->compact, r->key.pool, r->key.pg);
	struct pg *pg = memtable_pg_find(&st->mt, r->key.pool, r->key.pg);

	if (!pg) {
		/* Forgotten: that must be known as long as older records of it are there. */
		n->log |= r->type == REC_PG && segment_next(&st->segs, NULL) != st->compact.victim;
		return;
	}
	n->commit |= r->lsn == pg->commit_lsn;
	if (r->lsn < pg->base_lsn)
		return;
	n->log |= r->type == REC_PG || r->type == REC_ROLLBACK ||
	          (r->type == REC_PREPARE && pg_log_has(pg, r->version));
}

/* Whether records that this one makes void may still be somewhere else. */
static bool remove_still_needed(struct store *st, const struct record *r)
{
	for (struct segment *s = segment_next(&st->segs, NULL); s; s = segment_next(&st->segs, s))
		if (s != st->compact.victim && s->first_lsn <= r->orig_lsn &&
		    s->last_lsn >= r->first_lsn)
			return true;
	return false;
}

static int compact_remove(struct store *st, const struct record *old)
{
	struct record r = {
		.type = REC_REMOVE,
		.key = old->key,
		.first_lsn = old->first_lsn,
		.orig_lsn = old->orig_lsn,
	};

	if (!remove_still_needed(st, old))
		return 0;
	int err = batch_reserve(st, SPACE_MOVE, record_encoded_len(0, 0, 0), 0);
	if (!err)
		batch_add_record(st, &r);
	return err;
}

static int compact_record(struct store *st, const struct record *r, void *ctx)
{
	uint32_t victim = st->compact.victim->number;
	struct shard *s;

	compact_note_pg(st, r);
	if (r->type == REC_PG || r->type == REC_COMMIT)
		return 0;
	if (r->type == REC_REMOVE)
		return compact_remove(st, r);
	int err = memtable_shard(&st->mt, &r->key, &s);
	if (err || !shard_exists(s))
		return err;
	if (r->lsn >= s->base_lsn || extvec_touches(&s->content, victim) ||
	    extvec_touches(&s->overlay, victim))
		err = store_move_shard(st, s, victim);
	return err;
}

static int compact_log_commit(struct store *st, struct pg *pg)
{
	struct record r = {
		.type = REC_COMMIT,
		.key = {.pool = pg->pool, .pg = pg->pg},
		.commit = MAX(pg->seen_commit, pg->logged_commit),
	};

	int err = batch_reserve(st, SPACE_MOVE, record_encoded_len(0, 0, 0), 0);
	if (err)
		return err;
	batch_add_record(st, &r);
	store_pg_logged(st, pg, &r);
	return 0;
}

static int compact_pgs(struct store *st)
{
	struct compaction *c = &st->compact;
	int err = 0;

	for (uint32_t i = 0; i < c->pg_count && !err; i++) {
		struct compact_pg *n = &c->pgs[i];
		struct pg *pg = memtable_pg(&st->mt, n->pool, n->pg);
		if (n->log)
			err = store_log_pg(st, pg, SPACE_MOVE);
		else if (n->commit || pg->seen_commit > pg->logged_commit)
			err = compact_log_commit(st, pg);
	}
	return err;
}

/* The victim was read to its end. */
static int compact_finish(struct store *st)
{
	struct segment *victim = st->compact.victim;

	int err = compact_pgs(st);
	if (!err)
		err = batch_flush(st);
	if (err)
		return err;
	store_compact_stop(st);
	if (victim->live) {
		log_error(st->log,
		          "%s: segment %08x: %llu live bytes that no record explains; kept",
		          st->path, victim->number, (unsigned long long)victim->live);
		victim->bad = victim->dirty = true;
		return 0;
	}
	victim->gone = true;
	err = store_checkpoint(st);
	if (err) {
		victim->gone = false;
		return err;
	}
	st->compact.freed_segments++;
	log_debug(st->log, "%s: segment %08x freed", st->path, victim->number);
	err = segment_free(&st->segs, victim);
	if (err) {
		log_error(st->log, "%s: cannot free a segment: %s", st->path, sf_strerror(err));
		st->failed = true;
	}
	return err;
}

static int compact_read_batch(struct store *st, struct found_batch *f)
{
	struct compaction *c = &st->compact;

	int got = replay_batch_read(st, c->victim, c->offset, f);
	if (got > 0)
		return 0;
	log_error(st->log, "%s: segment %08x: no batch can be read at %llu; it will not be freed",
	          st->path, c->victim->number, (unsigned long long)c->offset);
	c->victim->bad = c->victim->dirty = true;
	store_compact_stop(st);
	return -SF_ECORRUPT;
}

static int compact_some(struct store *st)
{
	struct compaction *c = &st->compact;
	struct found_batch f = {0};
	uint64_t until = c->moved_bytes + SLICE_BYTES;
	uint32_t records = 0;
	int err = 0;

	while (c->offset < c->victim->end && c->moved_bytes < until && records < SLICE_RECORDS) {
		err = compact_read_batch(st, &f);
		if (err) {
			err = 0;
			break;
		}
		err = replay_batch_each(st, &f, compact_record, NULL);
		if (err)
			break;
		memtable_trim(&st->mt);
		c->offset += (uint64_t)f.h.blocks * LOG_BLOCK;
		records += f.h.records;
	}
	found_batch_fini(&f);
	if (!err)
		err = batch_flush(st);
	return err;
}

/* Dead share in percent from which a segment is worth it: the less space is left, the lower.
 * Descriptors count as dead, so that it must stay above what they take. */
static uint32_t worth_percent(const struct store *st, bool urgent)
{
	uint64_t avail = segments_avail(&st->segs, SPACE_DATA), limit = st->segs.limit;

	if (urgent || avail < limit / 10)
		return 15;
	return avail < limit / 4 ? 30 : 60;
}

static struct segment *compact_choose(struct store *st, bool urgent)
{
	uint32_t worth = worth_percent(st, urgent);
	struct segment *best = NULL;
	double best_score = 0;

	for (struct segment *s = segment_next(&st->segs, NULL); s; s = segment_next(&st->segs, s)) {
		if (s == st->segs.current || s->bad || s->gone || !s->end)
			continue;
		uint64_t dead = s->end - MIN(s->end, s->live);
		if (s->live && dead * 100 / s->end < worth)
			continue;
		double score = (double)(dead + 1) / (double)(s->live + 65536);
		if (score > best_score) {
			best = s;
			best_score = score;
		}
	}
	return best;
}

void store_note_fragmented(struct store *st, const struct shard *s)
{
	struct compaction *c = &st->compact;

	for (uint32_t i = 0; i < c->fragmented_count; i++)
		if (!shard_key_cmp(&c->fragmented[i], &s->key))
			return;
	if (c->fragmented_count < sizeof(c->fragmented) / sizeof(c->fragmented[0]))
		c->fragmented[c->fragmented_count++] = s->key;
}

static int compact_fragmented(struct store *st)
{
	struct shard_key key = st->compact.fragmented[--st->compact.fragmented_count];
	struct shard *s;

	int err = memtable_shard(&st->mt, &key, &s);
	if (!err && s->content.count + s->overlay.count > FRAGMENTS_MANY)
		err = store_move_shard(st, s, 0);
	return err ? err : batch_flush(st);
}

static void compact_failed(struct store *st, uint64_t now_ms, int err)
{
	batch_flush(st); /* whatever was complete in it is as good as any */
	store_compact_stop(st);
	st->compact.retry_ms = now_ms + 10000;
	if (err == -ENOSPC)
		log_warn(st->log, "%s: no space to compact", st->path);
	else if (err == -SF_ECORRUPT)
		st->index_bad = true;
}

/* One step of whatever there is to do. False when there is nothing. */
static bool compact_step(struct store *st, uint64_t now_ms, bool urgent)
{
	struct compaction *c = &st->compact;
	int err;

	if (st->failed || st->index_bad || st->index_full)
		return false;
	if (!c->victim && c->fragmented_count && !urgent) {
		err = compact_fragmented(st);
	} else {
		if (!c->victim) {
			c->victim = compact_choose(st, urgent);
			c->offset = 0;
		}
		if (!c->victim)
			return false;
		err = c->offset < c->victim->end ? compact_some(st) : compact_finish(st);
	}
	if (!err && st->mt.dirty > MEMTABLE_DIRTY_MAX)
		err = store_checkpoint(st);
	memtable_trim(&st->mt);
	if (err)
		compact_failed(st, now_ms, err);
	return !err;
}

bool store_compact_slice(struct store *st, uint64_t now_ms, bool urgent)
{
	if (now_ms < st->compact.retry_ms)
		return false;
	return compact_step(st, now_ms, urgent);
}

void store_compact_urgent(struct store *st, uint64_t bytes)
{
	struct compaction *c = &st->compact;
	uint64_t need = round_up(bytes, LOG_BLOCK) + 2 * LOG_BLOCK;

	if (batch_flush(st))
		return;
	segments_look_at_fs(&st->segs);
	/* Nothing has died since the last time that nothing was found. */
	if (c->barren_lsn == st->next_lsn && c->barren_live == st->segs.live && !c->victim)
		return;
	for (uint32_t i = 0; i < URGENT_SLICES; i++) {
		if (segments_fit(&st->segs, bytes ? SPACE_DATA : SPACE_META, need))
			return;
		if (!compact_step(st, 0, true)) {
			c->barren_lsn = st->next_lsn;
			c->barren_live = st->segs.live;
			return;
		}
	}
}

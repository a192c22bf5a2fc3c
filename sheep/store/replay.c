/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/*
 * After a restart the log from the last checkpoint on is applied to the index; without an index,
 * all of it. Batches follow each other without gaps. The last one may have been cut short by a
 * power failure: it was never acknowledged, and goes. A bad one that is followed by others is
 * damage to what was acknowledged: it is passed over and reported, and records that built on it
 * show by their `prev` that something is missing.
 */
void found_batch_fini(struct found_batch *f)
{
	free(f->desc);
	memset(f, 0, sizeof(*f));
}

static int desc_grow(struct found_batch *f, uint32_t len)
{
	void *p;

	if (len <= f->cap)
		return 0;
	if (posix_memalign(&p, LOG_BLOCK, len))
		return -ENOMEM;
	if (f->cap)
		memcpy(p, f->desc, LOG_BLOCK);
	free(f->desc);
	f->desc = p;
	f->cap = len;
	return 0;
}

static int none_if_short(int err)
{
	return err == -ENODATA || err == -ENOENT ? 0 : err;
}

int replay_batch_read(struct store *st, struct segment *seg, uint64_t off, struct found_batch *f)
{
	int err = desc_grow(f, LOG_BLOCK);
	if (!err)
		err = segment_read(&st->segs, seg, off, f->desc, LOG_BLOCK);
	if (err)
		return none_if_short(err);
	if (!batch_header_decode(&f->h, f->desc) || f->h.disk != st->sb.disk ||
	    f->h.salt != st->sb.salt || f->h.segment != seg->number)
		return 0;
	err = desc_grow(f, f->h.desc_len);
	if (!err && f->h.desc_len > LOG_BLOCK)
		err = segment_read(&st->segs, seg, off + LOG_BLOCK, f->desc + LOG_BLOCK,
		                   f->h.desc_len - LOG_BLOCK);
	if (err)
		return none_if_short(err);
	f->seg = seg;
	f->off = off;
	return batch_desc_verify(&f->h, f->desc);
}

int replay_batch_each(struct store *st, const struct found_batch *f,
                      int (*each)(struct store *st, const struct record *r, void *ctx), void *ctx)
{
	struct bytes_in in = bytes_in(f->desc + BATCH_HEADER_LEN, f->h.body_len);

	for (uint32_t i = 0; i < f->h.records; i++) {
		struct record r = {0};
		if (!record_decode(&r, &in, (uint32_t)(f->off / LOG_BLOCK), &st->record_scratch))
			return -SF_ECORRUPT;
		r.seg = f->seg->number;
		r.lsn = f->h.lsn + i;
		int err = each(st, &r, ctx);
		if (err)
			return err;
	}
	return 0;
}

static int verify_payload(struct store *st, const struct record *r, void *ctx)
{
	struct segment *seg = ctx;

	for (uint32_t b = 0; b < block_count(r->payload_len); b++) {
		uint32_t len = MIN((uint32_t)CRC_BLOCK, r->payload_len - b * CRC_BLOCK);
		int err =
			segment_read(&st->segs, seg,
		                     (uint64_t)r->payload_pos * LOG_BLOCK + (uint64_t)b * CRC_BLOCK,
		                     st->read_buf, (uint32_t)round_up(len, LOG_BLOCK));
		if (err)
			return err;
		if (crc32c(0, st->read_buf, len) != r->crcs[b])
			return -SF_ECORRUPT;
	}
	return 0;
}

/* A way through the log. */
struct replay {
	bool rebuild;
	struct segment *seg; /* where to look next */
	uint64_t off;
	uint64_t lsn; /* expected */
	struct found_batch next, last;
	bool have_last;
	bool dropped; /* the last batch was unfinished */
};

static bool block_may_start_batch(const uint8_t *block)
{
	struct batch_header h;
	return batch_header_decode(&h, block);
}

/* The next valid batch of this segment at or after rp->off, for when the one expected there is not.
 */
static int replay_search(struct store *st, struct replay *rp)
{
	for (uint64_t off = rp->off;; off += READ_BUF) {
		uint32_t len = READ_BUF;
		int err = segment_read(&st->segs, rp->seg, off, st->read_buf, len);
		if (err == -ENODATA) {
			/* The end of the file is somewhere in here. */
			len = LOG_BLOCK;
			err = segment_read(&st->segs, rp->seg, off, st->read_buf, len);
		}
		if (err)
			return none_if_short(err);
		for (uint32_t i = 0; i < len; i += LOG_BLOCK) {
			if (!block_may_start_batch(st->read_buf + i))
				continue;
			int got = replay_batch_read(st, rp->seg, off + i, &rp->next);
			if (got < 0 || (got && rp->next.h.lsn >= rp->lsn))
				return got;
			err = segment_read(&st->segs, rp->seg, off, st->read_buf, len);
			if (err)
				return err;
		}
		if (len < READ_BUF)
			off -= READ_BUF - LOG_BLOCK;
	}
}

/* Finds the next batch, in this segment or a later one. 1, 0 at the end of the log, or an error. */
static int replay_find(struct store *st, struct replay *rp)
{
	while (rp->seg) {
		int got = replay_batch_read(st, rp->seg, rp->off, &rp->next);
		if (got && rp->next.h.lsn < rp->lsn)
			got = 0;
		if (!got)
			got = replay_search(st, rp);
		if (got)
			return got;
		rp->seg = segment_next(&st->segs, rp->seg);
		rp->off = 0;
	}
	return 0;
}

static void replay_note_gap(struct store *st, struct replay *rp)
{
	const struct found_batch *n = &rp->next;
	bool first_of_segment = n->off == 0;
	bool after_freed = rp->rebuild && first_of_segment &&
	                   (!rp->have_last || rp->last.seg->number + 1 != n->seg->number);

	if (n->h.lsn == rp->lsn || after_freed ||
	    (rp->rebuild && !rp->have_last && first_of_segment))
		return;
	log_error(st->log, "%s: log records %llu to %llu are damaged; passing over them", st->path,
	          (unsigned long long)rp->lsn, (unsigned long long)n->h.lsn - 1);
	st->checksum_errors++;
	n->seg->bad = true;
	if (rp->have_last)
		rp->last.seg->bad = true;
}

static int apply_each(struct store *st, const struct record *r, void *ctx)
{
	const struct replay *rp = ctx;

	int err = store_apply(st, r);
	if (err == -SF_ECORRUPT && rp->rebuild) {
		log_error(st->log, "%s: log record %llu is not sane; passing over it", st->path,
		          (unsigned long long)r->lsn);
		return 0;
	}
	return err;
}

static int replay_apply(struct store *st, struct replay *rp, const struct found_batch *f)
{
	struct segment *seg = f->seg;

	log_debug(st->log, "%s: segment %08x at %llu: records %llu to %llu", st->path, seg->number,
	          (unsigned long long)f->off, (unsigned long long)f->h.lsn,
	          (unsigned long long)f->h.lsn + f->h.records - 1);
	int err = replay_batch_each(st, f, apply_each, rp);
	if (err == -SF_ECORRUPT && rp->rebuild) {
		/* Otherwise one batch that nobody can read would keep all others from being found. */
		log_error(
			st->log,
			"%s: segment %08x at %llu: records that cannot be read; passing over them",
			st->path, seg->number, (unsigned long long)f->off);
		seg->bad = true;
		err = 0;
	}
	if (err)
		return err;
	if (!seg->first_lsn)
		seg->first_lsn = f->h.lsn;
	seg->last_lsn = f->h.lsn + f->h.records - 1;
	seg->end = f->off + (uint64_t)f->h.blocks * LOG_BLOCK;
	seg->dirty = true;
	st->next_lsn = f->h.lsn + f->h.records;
	memtable_trim(&st->mt);
	if (rp->rebuild && st->mt.dirty > MEMTABLE_DIRTY_MAX)
		return store_checkpoint(st);
	return 0;
}

static int replay_step(struct store *st, struct replay *rp)
{
	struct found_batch t;

	replay_note_gap(st, rp);
	if (rp->have_last) {
		int err = replay_apply(st, rp, &rp->last);
		if (err)
			return err;
	}
	t = rp->last;
	rp->last = rp->next;
	rp->next = t;
	rp->have_last = true;
	rp->seg = rp->last.seg;
	rp->off = rp->last.off + (uint64_t)rp->last.h.blocks * LOG_BLOCK;
	rp->lsn = rp->last.h.lsn + rp->last.h.records;
	return 1;
}

/* The last batch counts if all of it is there. */
static int replay_last(struct store *st, struct replay *rp)
{
	if (!rp->have_last)
		return 0;
	int err = replay_batch_each(st, &rp->last, verify_payload, rp->last.seg);
	if (!err)
		return replay_apply(st, rp, &rp->last);
	if (err != -SF_ECORRUPT && err != -ENODATA)
		return err;
	log_info(st->log, "%s: dropped an unfinished write of %u records", st->path,
	         rp->last.h.records);
	rp->dropped = true;
	return 0;
}

static int load_segment(void *ctx, const struct segment *row)
{
	struct store *st = ctx;
	struct segment *seg = segment_find(&st->segs, row->number);

	if (!seg) {
		log_error(st->log, "%s: segment %08x is gone; what it held is lost here", st->path,
		          row->number);
		return 0;
	}
	seg->bad = row->bad;
	seg->alloc = row->alloc;
	seg->end = row->end;
	seg->live = row->live;
	seg->first_lsn = row->first_lsn;
	seg->last_lsn = row->last_lsn;
	seg->indexed = true;
	st->segs.live += row->live;
	return 0;
}

static int load_pg(void *ctx, uint32_t pool, uint32_t number, const uint8_t *value, uint32_t len)
{
	struct store *st = ctx;

	return pg_decode(memtable_pg(&st->mt, pool, number), value, len) ? 0 : -SF_ECORRUPT;
}

static int load_pending(void *ctx, const struct shard_key *key)
{
	struct store *st = ctx;
	struct shard *s;

	return memtable_shard(&st->mt, key, &s);
}

/* What the index knows. Fills where the log goes on. */
static int replay_load(struct store *st, struct replay *rp)
{
	struct index_meta m;

	int err = index_meta_get(st->index, &m);
	if (!err && (!m.complete || m.disk != st->sb.disk))
		err = -SF_ECORRUPT;
	if (!err)
		err = index_segment_each(st->index, load_segment, st);
	if (!err)
		err = index_pg_each(st->index, load_pg, st);
	if (!err)
		err = index_pending_each(st->index, load_pending, st);
	if (err)
		return err;
	st->mt.existing = m.shards;
	st->checksum_errors = MAX(st->checksum_errors, m.checksum_errors);
	st->next_lsn = st->checkpoint_lsn = rp->lsn = m.lsn;
	rp->seg = m.segment ? segment_find(&st->segs, m.segment) : segment_next(&st->segs, NULL);
	rp->off = m.segment ? m.offset : 0;
	log_debug(st->log, "%s: index as of record %llu, segment %08x at %llu", st->path,
	          (unsigned long long)m.lsn, m.segment, (unsigned long long)m.offset);
	return m.segment && !rp->seg ? -SF_ECORRUPT : 0;
}

static void replay_reset(struct store *st)
{
	memtable_clear(&st->mt);
	st->next_lsn = 1;
	st->checkpoint_lsn = 0;
	st->segs.live = 0;
	for (struct segment *s = segment_next(&st->segs, NULL); s; s = segment_next(&st->segs, s)) {
		s->live = s->end = s->first_lsn = s->last_lsn = 0;
		s->indexed = s->bad = false;
	}
}

/* Files that hold nothing: freed before the restart, or opened for a batch that never came to be.
 */
static int replay_clean_up(struct store *st, bool rebuild, struct segment *last)
{
	struct segment *next, *first = segment_next(&st->segs, NULL);
	bool discarded = false;
	int err = 0;

	for (struct segment *s = first; s && !err; s = next) {
		next = segment_next(&st->segs, s);
		if (s == last || s->end)
			continue;
		/* Without the index, an old segment without a single good batch is damaged, not
		 * empty. */
		if (rebuild && last && s->number < last->number) {
			s->bad = true;
			continue;
		}
		err = segment_discard(&st->segs, s);
		discarded = true;
	}
	return err || !discarded ? err : segments_sync_dir(&st->segs);
}

int store_replay(struct store *st, bool rebuild)
{
	struct replay rp = {.rebuild = rebuild, .lsn = 1};
	int err = 0, got = 0;

	replay_reset(st);
	st->segs.current = NULL;
	rp.seg = segment_next(&st->segs, NULL);
	if (!rebuild)
		err = replay_load(st, &rp);
	struct segment *start = rebuild ? NULL : rp.seg;
	while (!err && (got = replay_find(st, &rp)) > 0) {
		got = replay_step(st, &rp);
		err = got < 0 ? got : 0;
	}
	if (!err)
		err = got < 0 ? got : replay_last(st, &rp);
	struct segment *last = start;
	for (struct segment *s = segment_next(&st->segs, NULL); s; s = segment_next(&st->segs, s))
		if (s->end && (!last || s->number > last->number))
			last = s;
	/* The next batch gets the number of the unfinished one and may stand elsewhere: nothing of
	 * that one may be found again. */
	struct segment *torn = rp.dropped ? rp.last.seg : NULL;
	if (torn && torn != last)
		torn = NULL; /* holds nothing else, and goes */
	if (!err)
		err = replay_clean_up(st, rebuild, last);
	if (!err && last)
		segment_set_current(&st->segs, last);
	if (!err && torn)
		err = batch_void(st, rp.last.off);
	found_batch_fini(&rp.next);
	found_batch_fini(&rp.last);
	return err;
}

struct kept_commit {
	uint32_t pool, pg;
	uint64_t commit;
};

int store_reload(struct store *st)
{
	struct kept_commit *kept = NULL;
	uint32_t count = 0;

	store_compact_stop(st);
	list_each (it, &st->mt.all_pgs) {
		struct pg *pg = list_item(it, struct pg, link);
		kept = xrealloc(kept, (count + 1) * sizeof(*kept));
		kept[count++] = (struct kept_commit){pg->pool, pg->pg, pg->info.commit};
	}
	int err = store_replay(st, false);
	/* Commit points are facts of the cluster, not of this log. */
	for (uint32_t i = 0; i < count && !err; i++) {
		struct pg *pg = memtable_pg(&st->mt, kept[i].pool, kept[i].pg);
		store_promote_pg(st, pg, kept[i].commit);
		pg->info.commit = MAX(pg->info.commit, kept[i].commit);
		memtable_pg_changed(&st->mt, pg);
	}
	free(kept);
	return err;
}

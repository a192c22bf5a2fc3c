/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "sheep/store/state.h"

/*
 * The index follows the log in large steps: one synced transaction holds every change since the
 * last one together with the place in the log from which a restart goes on. Between two steps the
 * log alone has the changes.
 */
static int checkpoint_shards(struct store *st)
{
	list_each (it, &st->mt.all_pgs) {
		struct pg *pg = list_item(it, struct pg, link);
		list_each (d, &pg->dirty) {
			int err = index_shard_put(st->index, list_item(d, struct shard, dirty));
			if (err)
				return err;
		}
		int err = pg->is_dirty
		                  ? index_pg_put(st->index, pg, pg_is_known(pg) || pg->tombstones || pg->objects)
		                  : 0;
		if (err)
			return err;
	}
	return 0;
}

static int checkpoint_log(struct store *st)
{
	const struct segment *cur = st->segs.current;
	struct index_meta m = {
		.disk = st->sb.disk,
		.segment = cur ? cur->number : 0,
		.offset = cur ? cur->end : 0,
		.lsn = st->next_lsn,
		.shards = st->mt.existing,
		.checksum_errors = st->checksum_errors,
		.complete = !st->rebuilding,
	};

	for (struct segment *seg = segment_next(&st->segs, NULL); seg;
	     seg = segment_next(&st->segs, seg)) {
		int err = seg->gone                     ? index_segment_del(st->index, seg->number)
		          : seg->dirty || !seg->indexed ? index_segment_put(st->index, seg)
		                                        : 0;
		if (err)
			return err;
	}
	return index_meta_put(st->index, &m);
}

static void checkpoint_done(struct store *st)
{
	for (struct segment *seg = segment_next(&st->segs, NULL); seg;
	     seg = segment_next(&st->segs, seg)) {
		seg->dirty = false;
		seg->indexed = !seg->gone;
	}
	st->checkpoint_lsn = st->next_lsn;
	st->segs.index_bytes = index_file_bytes(st->index);
	memtable_all_clean(&st->mt);
	index_is_sound(st->index_path);
}

int store_checkpoint(struct store *st)
{
	assert(!st->batch.open || !st->batch.records);
	if (st->failed)
		return -EIO;
	int err = index_begin(st->index);
	if (err)
		return err;
	err = checkpoint_shards(st);
	if (!err)
		err = checkpoint_log(st);
	if (err)
		index_abort(st->index);
	else
		err = index_commit(st->index);
	st->index_full = err == -ENOSPC;
	if (err) {
		log_error(st->log, "%s: writing the index failed: %s", st->path, sf_strerror(err));
		if (err != -ENOSPC && err != -SF_ECORRUPT)
			st->failed = true;
		return err;
	}
	checkpoint_done(st);
	return 0;
}

int store_open_index(struct store *st, bool wipe)
{
	/* Address space only: the file grows as it is used. */
	uint64_t map = MAX((uint64_t)1 << 30, st->segs.limit / 16);
	int err = 0;

	index_close(st->index);
	st->index = st->mt.index = NULL;
	if (wipe)
		err = index_remove(st->index_path);
	/* An index that comes back after a power cut would be taken for the current one. */
	if (wipe && !err)
		err = fs_sync_dir(st->fs, st->index_path);
	if (!err)
		err = index_open(st->index_path, round_up(map, 1 << 20),
		                 st->opt.nosync || st->opt.index_nosync, &st->index);
	if (err)
		return err;
	st->mt.index = st->index;
	st->segs.index_bytes = index_file_bytes(st->index);
	return 0;
}

int store_rebuild_index(struct store *st)
{
	log_warn(st->log, "%s: the index is missing or damaged; rebuilding it from the log",
	         st->path);
	int err = store_open_index(st, true);
	if (err)
		return err;
	st->rebuilding = true;
	err = store_replay(st, true);
	st->rebuilding = false;
	if (!err)
		err = store_checkpoint(st);
	if (!err)
		log_info(st->log, "%s: index rebuilt, %llu shards", st->path,
		         (unsigned long long)st->mt.existing);
	return err;
}

uint32_t store_error(struct store *st, int err)
{
	switch (err) {
	case -ENOSPC:
	case -SF_EFULL:
		return RES_NOSPACE;
	case -SF_ECORRUPT:
		/* Only the index gives this here: content that is bad has been dealt with. */
		st->index_bad = true;
		return RES_IO;
	default:
		return RES_IO;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/index.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { INDEX_CODEC = 1, UNSURE_MAX = 3, INDEX_PAGE = 4096 };

struct index {
	MDB_env *env;
	MDB_txn *read; /* kept, reset while a write transaction runs */
	MDB_txn *write;
	MDB_cursor *cursor; /* on shards, of the read transaction */
	MDB_cursor *probe;  /* another one, for the neighbours of what is not there */
	MDB_dbi shards, pending, pgs, segments, meta;
	struct shard lent;
};

static int index_err(int rc)
{
	if (rc == MDB_NOTFOUND)
		return -ENOENT;
	if (rc == MDB_MAP_FULL)
		return -ENOSPC;
	return rc > 0 ? -rc : rc ? -SF_ECORRUPT : 0;
}

static int index_open_tables(struct index *ix)
{
	static const char *const names[] = {"shards", "pending", "pgs", "segments", "meta"};
	MDB_dbi *dbi[] = {&ix->shards, &ix->pending, &ix->pgs, &ix->segments, &ix->meta};
	MDB_txn *txn;

	int rc = mdb_txn_begin(ix->env, NULL, 0, &txn);
	for (int i = 0; !rc && i < 5; i++) {
		rc = mdb_dbi_open(txn, names[i], MDB_CREATE, dbi[i]);
		if (rc)
			mdb_txn_abort(txn);
	}
	return rc ? rc : mdb_txn_commit(txn);
}

/* A file cut short would not give errors but kill the process that reads its map. */
static int index_check_size(struct index *ix)
{
	mdb_filehandle_t fd;
	struct stat sb;

	if (mdb_env_get_fd(ix->env, &fd) || fstat(fd, &sb))
		return EIO;
	return (uint64_t)sb.st_size < index_file_bytes(ix) ? MDB_CORRUPTED : 0;
}

/*
 * LMDB has no checksums of its own pages: one that is damaged in the wrong place kills the process.
 * Whoever opens the index leaves a note until the first checkpoint; after a few deaths in a row the
 * index is not trusted any more.
 */
static int unsure_count(const char *dir, bool leave)
{
	char path[PATH_MAX];
	struct stat sb;

	snprintf(path, sizeof(path), "%s/unsure", dir);
	if (!leave) {
		unlink(path);
		return 0;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return 0;
	int count = !fstat(fd, &sb) && write(fd, "+", 1) == 1 ? (int)sb.st_size : 0;
	close(fd);
	return count;
}

void index_is_sound(const char *dir)
{
	unsure_count(dir, false);
}

int index_open(const char *dir, uint64_t map_bytes, bool nosync, struct index **ret)
{
	if (unsure_count(dir, true) >= UNSURE_MAX)
		return -SF_ECORRUPT;

	struct index *ix = xcalloc(1, sizeof(*ix));
	unsigned flags = MDB_NOTLS | MDB_NOLOCK | MDB_NORDAHEAD | (nosync ? MDB_NOSYNC : 0);

	int rc = mdb_env_create(&ix->env);
	if (!rc)
		rc = mdb_env_set_maxdbs(ix->env, 8);
	if (!rc)
		rc = mdb_env_set_mapsize(ix->env, map_bytes);
	if (!rc)
		rc = mdb_env_open(ix->env, dir, flags, 0644);
	if (!rc)
		rc = index_check_size(ix);
	if (!rc)
		rc = index_open_tables(ix);
	if (!rc)
		rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &ix->read);
	if (!rc)
		rc = mdb_cursor_open(ix->read, ix->shards, &ix->cursor);
	if (!rc)
		rc = mdb_cursor_open(ix->read, ix->shards, &ix->probe);
	if (rc) {
		index_close(ix);
		return index_err(rc);
	}
	*ret = ix;
	return 0;
}

void index_close(struct index *ix)
{
	if (!ix)
		return;
	if (ix->write)
		mdb_txn_abort(ix->write);
	if (ix->cursor)
		mdb_cursor_close(ix->cursor);
	if (ix->probe)
		mdb_cursor_close(ix->probe);
	if (ix->read)
		mdb_txn_abort(ix->read);
	if (ix->env)
		mdb_env_close(ix->env);
	extvec_fini(&ix->lent.content);
	extvec_fini(&ix->lent.overlay);
	free(ix);
}

int index_remove(const char *dir)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "unsure"};
	char path[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) && errno != ENOENT)
			return -errno;
	}
	return 0;
}

uint64_t index_file_bytes(struct index *ix)
{
	MDB_envinfo info;
	MDB_stat st;

	if (mdb_env_info(ix->env, &info) || mdb_env_stat(ix->env, &st))
		return 0;
	return ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
}

static MDB_val val(const void *data, size_t len)
{
	return (MDB_val){.mv_data = (void *)data, .mv_size = len};
}

enum { META_LEN = 4 + 8 + 4 + 8 + 8 + 8 + 8 + 1 + 4 };

int index_meta_get(struct index *ix, struct index_meta *m)
{
	MDB_val k = val("meta", 4), v;
	MDB_stat st;

	int rc = mdb_get(ix->read, ix->meta, &k, &v);
	if (rc)
		return index_err(rc);
	if (v.mv_size != META_LEN)
		return -SF_ECORRUPT;
	struct bytes_in in = bytes_in(v.mv_data, v.mv_size);
	uint32_t codec = get_u32(&in);
	m->disk = get_u64(&in);
	m->segment = get_u32(&in);
	m->offset = get_u64(&in);
	m->lsn = get_u64(&in);
	m->shards = get_u64(&in);
	m->checksum_errors = get_u64(&in);
	m->complete = get_u8(&in);
	if (get_u32(&in) != crc32c(0, v.mv_data, META_LEN - 4) || codec != INDEX_CODEC)
		return -SF_ECORRUPT;
	rc = mdb_stat(ix->read, ix->shards, &st);
	if (rc || (m->complete && st.ms_entries != m->shards))
		return rc ? index_err(rc) : -SF_ECORRUPT;
	return 0;
}

int index_meta_put(struct index *ix, const struct index_meta *m)
{
	uint8_t raw[META_LEN];
	struct bytes_out o = bytes_out(raw, sizeof(raw));

	put_u32(&o, INDEX_CODEC);
	put_u64(&o, m->disk);
	put_u32(&o, m->segment);
	put_u64(&o, m->offset);
	put_u64(&o, m->lsn);
	put_u64(&o, m->shards);
	put_u64(&o, m->checksum_errors);
	put_u8(&o, m->complete);
	put_u32(&o, crc32c(0, raw, META_LEN - 4));
	MDB_val k = val("meta", 4), v = val(raw, sizeof(raw));
	return index_err(mdb_put(ix->write, ix->meta, &k, &v, 0));
}

/* Steps the probe; the row there has to lie behind `key` (or before it, going back), which becomes
 * its own. -ENOENT at the end. */
static int index_step(struct index *ix, MDB_cursor_op op, uint8_t key[SHARD_KEY_LEN],
                      uintptr_t *page)
{
	bool back = op == MDB_PREV || op == MDB_LAST;
	MDB_val k = val(key, SHARD_KEY_LEN), v;

	int rc = mdb_cursor_get(ix->probe, &k, &v, op);
	if (rc)
		return index_err(rc);
	int c = k.mv_size == SHARD_KEY_LEN ? memcmp(k.mv_data, key, SHARD_KEY_LEN) : 0;
	if (back ? c >= 0 : c <= 0)
		return -SF_ECORRUPT;
	memcpy(key, k.mv_data, SHARD_KEY_LEN);
	*page = (uintptr_t)k.mv_data / INDEX_PAGE;
	return 0;
}

/* The rows on one side of where the key should be, to the first one of the next page. */
static int index_side(struct index *ix, const uint8_t key[SHARD_KEY_LEN], MDB_cursor_op first,
                      MDB_cursor_op then)
{
	uint8_t at[SHARD_KEY_LEN];
	uintptr_t start, page;

	memcpy(at, key, sizeof(at));
	int err = index_step(ix, first, at, &start);
	for (page = start; !err && page == start;)
		err = index_step(ix, then, at, &page);
	return err == -ENOENT ? 0 : err;
}

/*
 * A row has a checksum, the way to it has none: a damaged page leads to the wrong place, and what
 * is there seems absent. But then the rows around are not in order, or those of the wrong page not in
 * order with the next one's. -ENOENT when all is well.
 */
static int index_shard_absent(struct index *ix, const uint8_t key[SHARD_KEY_LEN])
{
	uint8_t at[SHARD_KEY_LEN];
	uintptr_t page;

	int err = index_side(ix, key, MDB_SET_RANGE, MDB_NEXT);
	if (err)
		return err;
	memcpy(at, key, sizeof(at));
	err = index_step(ix, MDB_SET_RANGE, at, &page);
	if (err && err != -ENOENT)
		return err;
	err = index_side(ix, key, err ? MDB_LAST : MDB_PREV, MDB_PREV);
	return err ? err : -ENOENT;
}

int index_shard_get(struct index *ix, struct shard *s)
{
	uint8_t key[SHARD_KEY_LEN];
	MDB_val k = val(key, sizeof(key)), v;

	shard_key_encode(&s->key, key);
	int rc = mdb_get(ix->read, ix->shards, &k, &v);
	if (rc == MDB_NOTFOUND)
		return index_shard_absent(ix, key);
	if (rc)
		return index_err(rc);
	struct bytes_in in = bytes_in(v.mv_data, v.mv_size);
	return shard_decode(s, &in, 0, 0) ? 0 : -SF_ECORRUPT;
}

int index_shard_list(struct index *ix, const struct shard_key *after, bool inclusive,
                     int (*each)(void *ctx, const struct shard *s), void *ctx)
{
	uint8_t key[SHARD_KEY_LEN];
	MDB_val k = val(key, sizeof(key)), v;

	shard_key_encode(after, key);
	int rc = mdb_cursor_get(ix->cursor, &k, &v, MDB_SET_RANGE);
	if (!rc && !inclusive && k.mv_size == SHARD_KEY_LEN && !memcmp(k.mv_data, key, sizeof(key)))
		rc = mdb_cursor_get(ix->cursor, &k, &v, MDB_NEXT);
	for (; !rc; rc = mdb_cursor_get(ix->cursor, &k, &v, MDB_NEXT)) {
		if (k.mv_size != SHARD_KEY_LEN || memcmp(k.mv_data, key, sizeof(key)) < 0)
			return -SF_ECORRUPT;
		memcpy(key, k.mv_data, sizeof(key));
		shard_key_decode(&ix->lent.key, k.mv_data);
		if (ix->lent.key.pool != after->pool || ix->lent.key.pg != after->pg)
			return 0;
		struct bytes_in in = bytes_in(v.mv_data, v.mv_size);
		if (!shard_decode(&ix->lent, &in, 0, 0))
			return -SF_ECORRUPT;
		int err = each(ctx, &ix->lent);
		if (err)
			return err > 0 ? 0 : err;
	}
	return rc == MDB_NOTFOUND ? 0 : index_err(rc);
}

/* Walks a whole table. */
static int index_walk(struct index *ix, MDB_dbi dbi, int (*each)(void *ctx, MDB_val *k, MDB_val *v),
                      void *ctx)
{
	MDB_cursor *c;
	MDB_val k, v;
	int err = 0;

	int rc = mdb_cursor_open(ix->read, dbi, &c);
	if (rc)
		return index_err(rc);
	while (!err && !(rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)))
		err = each(ctx, &k, &v);
	mdb_cursor_close(c);
	return err ? err : rc == MDB_NOTFOUND ? 0 : index_err(rc);
}

struct walk {
	int (*pg)(void *ctx, uint32_t pool, uint32_t pg, const uint8_t *value, uint32_t len);
	int (*segment)(void *ctx, const struct segment *seg);
	int (*pending)(void *ctx, const struct shard_key *key);
	void *ctx;
};

static int walk_pg(void *ctx, MDB_val *k, MDB_val *v)
{
	struct walk *w = ctx;
	struct bytes_in in = bytes_in(k->mv_data, k->mv_size);

	if (k->mv_size != 8)
		return -SF_ECORRUPT;
	uint32_t pool = get_u32(&in);
	return w->pg(w->ctx, pool, get_u32(&in), v->mv_data, (uint32_t)v->mv_size);
}

int index_pg_each(struct index *ix,
                  int (*each)(void *ctx, uint32_t pool, uint32_t pg, const uint8_t *value,
                              uint32_t len),
                  void *ctx)
{
	struct walk w = {.pg = each, .ctx = ctx};
	return index_walk(ix, ix->pgs, walk_pg, &w);
}

int index_pg_put(struct index *ix, const struct pg *pg, bool keep)
{
	uint8_t key[8], raw[PG_ENCODED_MAX];
	struct bytes_out o = bytes_out(key, sizeof(key));

	put_u32(&o, pg->pool);
	put_u32(&o, pg->pg);
	MDB_val k = val(key, sizeof(key)), v = val(raw, 0);
	if (!keep) {
		int rc = mdb_del(ix->write, ix->pgs, &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : index_err(rc);
	}
	v.mv_size = pg_encode(pg, raw);
	return index_err(mdb_put(ix->write, ix->pgs, &k, &v, 0));
}

enum { SEGMENT_LEN = 4 + 1 + 5 * 8 + 4 };

static int walk_segment(void *ctx, MDB_val *k, MDB_val *v)
{
	struct walk *w = ctx;
	struct segment seg = {.fd = -1};
	struct bytes_in in = bytes_in(v->mv_data, v->mv_size);

	if (v->mv_size != SEGMENT_LEN)
		return -SF_ECORRUPT;
	seg.number = get_u32(&in);
	seg.bad = get_u8(&in);
	seg.alloc = get_u64(&in);
	seg.end = get_u64(&in);
	seg.live = get_u64(&in);
	seg.first_lsn = get_u64(&in);
	seg.last_lsn = get_u64(&in);
	if (get_u32(&in) != crc32c(0, v->mv_data, SEGMENT_LEN - 4))
		return -SF_ECORRUPT;
	return w->segment(w->ctx, &seg);
}

int index_segment_each(struct index *ix, int (*each)(void *ctx, const struct segment *seg),
                       void *ctx)
{
	struct walk w = {.segment = each, .ctx = ctx};
	return index_walk(ix, ix->segments, walk_segment, &w);
}

int index_segment_put(struct index *ix, const struct segment *seg)
{
	uint8_t key[4], raw[SEGMENT_LEN];
	struct bytes_out o = bytes_out(key, sizeof(key));

	put_u32(&o, seg->number);
	o = bytes_out(raw, sizeof(raw));
	put_u32(&o, seg->number);
	put_u8(&o, seg->bad);
	put_u64(&o, seg->alloc);
	put_u64(&o, seg->end);
	put_u64(&o, seg->live);
	put_u64(&o, seg->first_lsn);
	put_u64(&o, seg->last_lsn);
	put_u32(&o, crc32c(0, raw, SEGMENT_LEN - 4));
	MDB_val k = val(key, sizeof(key)), v = val(raw, sizeof(raw));
	return index_err(mdb_put(ix->write, ix->segments, &k, &v, 0));
}

int index_segment_del(struct index *ix, uint32_t number)
{
	uint8_t key[4];
	struct bytes_out o = bytes_out(key, sizeof(key));

	put_u32(&o, number);
	MDB_val k = val(key, sizeof(key));
	int rc = mdb_del(ix->write, ix->segments, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : index_err(rc);
}

static int walk_pending(void *ctx, MDB_val *k, MDB_val *v)
{
	struct walk *w = ctx;
	struct shard_key key;

	if (k->mv_size != SHARD_KEY_LEN)
		return -SF_ECORRUPT;
	shard_key_decode(&key, k->mv_data);
	return w->pending(w->ctx, &key);
}

int index_pending_each(struct index *ix, int (*each)(void *ctx, const struct shard_key *key),
                       void *ctx)
{
	struct walk w = {.pending = each, .ctx = ctx};
	return index_walk(ix, ix->pending, walk_pending, &w);
}

int index_begin(struct index *ix)
{
	assert(!ix->write);
	mdb_txn_reset(ix->read);
	return index_err(mdb_txn_begin(ix->env, NULL, 0, &ix->write));
}

int index_shard_put(struct index *ix, const struct shard *s)
{
	uint8_t key[SHARD_KEY_LEN];
	MDB_val k = val(key, sizeof(key)), v, none = val("", 0);
	int rc;

	shard_key_encode(&s->key, key);
	if (s->pending)
		rc = mdb_put(ix->write, ix->pending, &k, &none, 0);
	else
		rc = mdb_del(ix->write, ix->pending, &k, NULL);
	if (rc && rc != MDB_NOTFOUND)
		return index_err(rc);
	if (!shard_exists(s)) {
		rc = mdb_del(ix->write, ix->shards, &k, NULL);
		return rc == MDB_NOTFOUND ? 0 : index_err(rc);
	}
	v = val(NULL, shard_encoded_len(s));
	rc = mdb_put(ix->write, ix->shards, &k, &v, MDB_RESERVE);
	if (rc)
		return index_err(rc);
	struct bytes_out o = bytes_out(v.mv_data, v.mv_size);
	shard_encode(s, &o);
	assert(!o.full && o.p == o.end);
	return 0;
}

static int index_read_again(struct index *ix)
{
	int rc = mdb_txn_renew(ix->read);
	if (!rc)
		rc = mdb_cursor_renew(ix->read, ix->cursor);
	if (!rc)
		rc = mdb_cursor_renew(ix->read, ix->probe);
	return index_err(rc);
}

int index_commit(struct index *ix)
{
	MDB_txn *txn = ix->write;

	ix->write = NULL;
	int rc = mdb_txn_commit(txn);
	int err = index_read_again(ix);
	/* Which of the two states a restart will find is open, and LMDB refuses to go on. */
	if (rc && err)
		return -EIO;
	return rc ? index_err(rc) : err;
}

void index_abort(struct index *ix)
{
	if (!ix->write)
		return;
	mdb_txn_abort(ix->write);
	ix->write = NULL;
	index_read_again(ix);
}

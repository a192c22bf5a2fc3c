/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/memtable.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

void memtable_init(struct memtable *mt)
{
	memset(mt, 0, sizeof(*mt));
	htab_init(&mt->shards);
	htab_init(&mt->pgs);
	list_init(&mt->all_pgs);
	list_init(&mt->lru);
}

static void shard_free(struct memtable *mt, struct shard *s)
{
	htab_remove(&mt->shards, &s->hash);
	if (!list_empty(&s->lru))
		mt->clean--;
	list_remove(&s->lru);
	list_remove(&s->dirty);
	list_remove(&s->pend);
	extvec_fini(&s->content);
	extvec_fini(&s->overlay);
	free(s);
}

void memtable_clear(struct memtable *mt)
{
	uint32_t cursor = 0;
	struct hnode *n = htab_walk(&mt->shards, &cursor, NULL);

	while (n) {
		struct shard *s = container_of(n, struct shard, hash);
		n = htab_walk(&mt->shards, &cursor, n);
		shard_free(mt, s);
	}
	while (!list_empty(&mt->all_pgs)) {
		struct pg *pg = list_item(mt->all_pgs.next, struct pg, link);
		htab_remove(&mt->pgs, &pg->hash);
		list_remove(&pg->link);
		pg_destroy(pg);
	}
	mt->clean = mt->dirty = mt->dirty_pgs = 0;
	mt->existing = 0;
}

void memtable_fini(struct memtable *mt)
{
	memtable_clear(mt);
	htab_fini(&mt->shards);
	htab_fini(&mt->pgs);
}

static uint64_t pg_hash(uint32_t pool, uint32_t pg)
{
	return hash64(((uint64_t)pool << 32) | pg);
}

struct pg *memtable_pg_find(struct memtable *mt, uint32_t pool, uint32_t number)
{
	struct hnode *n = htab_first(&mt->pgs, pg_hash(pool, number));

	for (; n; n = htab_next(n)) {
		struct pg *pg = container_of(n, struct pg, hash);
		if (pg->pool == pool && pg->pg == number)
			return pg;
	}
	return NULL;
}

struct pg *memtable_pg(struct memtable *mt, uint32_t pool, uint32_t number)
{
	struct pg *pg = memtable_pg_find(mt, pool, number);

	if (pg)
		return pg;
	pg = pg_create(pool, number);
	htab_insert(&mt->pgs, &pg->hash, pg_hash(pool, number));
	list_push(&mt->all_pgs, &pg->link);
	return pg;
}

struct shard *memtable_shard_find(struct memtable *mt, const struct shard_key *key)
{
	struct hnode *n = htab_first(&mt->shards, shard_key_hash(key));

	for (; n; n = htab_next(n)) {
		struct shard *s = container_of(n, struct shard, hash);
		if (!shard_key_cmp(&s->key, key))
			return s;
	}
	return NULL;
}

int memtable_shard(struct memtable *mt, const struct shard_key *key, struct shard **ret)
{
	struct shard *s = memtable_shard_find(mt, key);

	if (s) {
		if (!list_empty(&s->lru)) {
			list_remove(&s->lru);
			list_push(&mt->lru, &s->lru);
		}
		*ret = s;
		return 0;
	}
	s = xcalloc(1, sizeof(*s));
	s->key = *key;
	list_init(&s->lru);
	list_init(&s->dirty);
	list_init(&s->pend);
	int err = index_shard_get(mt->index, s);
	if (err && err != -ENOENT) {
		extvec_fini(&s->content);
		extvec_fini(&s->overlay);
		free(s);
		return err;
	}
	htab_insert(&mt->shards, &s->hash, shard_key_hash(key));
	if (s->pending) {
		memtable_pending_changed(mt, s);
	} else {
		list_push(&mt->lru, &s->lru);
		mt->clean++;
	}
	*ret = s;
	return 0;
}

static void shard_relist(struct memtable *mt, struct shard *s)
{
	bool idle = !s->is_dirty && !s->pending;

	if (idle && list_empty(&s->lru)) {
		list_push(&mt->lru, &s->lru);
		mt->clean++;
	} else if (!idle && !list_empty(&s->lru)) {
		list_remove(&s->lru);
		mt->clean--;
	}
}

void memtable_shard_changed(struct memtable *mt, struct shard *s)
{
	if (!s->is_dirty) {
		s->is_dirty = true;
		mt->dirty++;
		list_push(&memtable_pg(mt, s->key.pool, s->key.pg)->dirty, &s->dirty);
	}
	shard_relist(mt, s);
}

void memtable_pending_changed(struct memtable *mt, struct shard *s)
{
	list_remove(&s->pend);
	if (s->pending)
		pg_pending_add(memtable_pg(mt, s->key.pool, s->key.pg), s);
}

void memtable_pg_changed(struct memtable *mt, struct pg *pg)
{
	mt->dirty_pgs += !pg->is_dirty;
	pg->is_dirty = true;
}

void memtable_all_clean(struct memtable *mt)
{
	list_each (it, &mt->all_pgs) {
		struct pg *pg = list_item(it, struct pg, link);
		struct list *d;
		pg->is_dirty = false;
		while ((d = list_pop(&pg->dirty))) {
			struct shard *s = list_item(d, struct shard, dirty);
			s->is_dirty = false;
			shard_relist(mt, s);
		}
	}
	mt->dirty = mt->dirty_pgs = 0;
	memtable_trim(mt);
}

void memtable_trim(struct memtable *mt)
{
	while (mt->clean > MEMTABLE_CLEAN_MAX)
		shard_free(mt, list_item(mt->lru.next, struct shard, lru));
}

/* The dirty shards of the PG behind the cursor, in order, and how far the merge has come. */
struct merge {
	struct shard **v;
	uint32_t count, at;
	struct memtable *mt;
	int (*each)(void *ctx, const struct shard *s);
	void *ctx;
	bool stopped;
};

static int merge_cmp(const void *a, const void *b)
{
	return shard_key_cmp(&(*(struct shard *const *)a)->key, &(*(struct shard *const *)b)->key);
}

static int merge_memory(struct merge *m, const struct shard_key *until)
{
	while (m->at < m->count && (!until || shard_key_cmp(&m->v[m->at]->key, until) < 0)) {
		const struct shard *s = m->v[m->at++];
		int ret = shard_exists(s) ? m->each(m->ctx, s) : 0;
		if (ret) {
			m->stopped = true;
			return ret;
		}
	}
	return 0;
}

static int merge_indexed(void *ctx, const struct shard *s)
{
	struct merge *m = ctx;

	int ret = merge_memory(m, &s->key);
	if (ret)
		return ret;
	if (m->at < m->count && !shard_key_cmp(&m->v[m->at]->key, &s->key))
		return 0; /* memory knows better, and it is next */
	ret = m->each(m->ctx, s);
	m->stopped = ret != 0;
	return ret;
}

int memtable_list(struct memtable *mt, const struct shard_key *after, bool inclusive,
                  int (*each)(void *ctx, const struct shard *s), void *ctx)
{
	struct merge m = {.mt = mt, .each = each, .ctx = ctx};
	struct pg *pg = memtable_pg_find(mt, after->pool, after->pg);
	uint32_t cap = 0;

	if (pg) {
		list_each (it, &pg->dirty) {
			struct shard *s = list_item(it, struct shard, dirty);
			int c = shard_key_cmp(&s->key, after);
			if (c < 0 || (!c && !inclusive))
				continue;
			if (m.count == cap) {
				cap = cap ? cap * 2 : 256;
				m.v = xrealloc(m.v, cap * sizeof(*m.v));
			}
			m.v[m.count++] = s;
		}
	}
	if (m.count)
		qsort(m.v, m.count, sizeof(*m.v), merge_cmp);
	int err = index_shard_list(mt->index, after, inclusive, merge_indexed, &m);
	if (!err && !m.stopped) {
		err = merge_memory(&m, NULL);
		err = err > 0 ? 0 : err;
	}
	free(m.v);
	return err;
}

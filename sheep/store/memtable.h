/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_MEMTABLE_H
#define SF_STORE_MEMTABLE_H

#include "sheep/store/index.h"

/*
 * Shards and PGs in memory: those newer than the index, those with something pending, and a bounded
 * number of others, the least recently used of which go first. An entry whose shard does not exist
 * stands for its absence.
 */
struct memtable {
	struct index *index; /* where misses are looked up */
	struct htab shards, pgs;
	struct list all_pgs;
	struct list lru;
	uint32_t clean, dirty, dirty_pgs;
	uint64_t existing; /* shards in index and memory together */
};

enum { MEMTABLE_CLEAN_MAX = 8192, MEMTABLE_DIRTY_MAX = 20000 };

void memtable_init(struct memtable *mt);
/* Forgets everything. */
void memtable_clear(struct memtable *mt);
void memtable_fini(struct memtable *mt);

struct pg *memtable_pg_find(struct memtable *mt, uint32_t pool, uint32_t pg); /* NULL: not known */
struct pg *memtable_pg(struct memtable *mt, uint32_t pool, uint32_t pg);
/* The shard's entry, from the index when it is not in memory. */
int memtable_shard(struct memtable *mt, const struct shard_key *key, struct shard **ret);
/* In memory, or NULL. */
struct shard *memtable_shard_find(struct memtable *mt, const struct shard_key *key);
/* To be called after any change: puts the entry into the lists it belongs in now. */
void memtable_shard_changed(struct memtable *mt, struct shard *s);
/* pending changed from what it was: keeps the PG's list in order. */
void memtable_pending_changed(struct memtable *mt, struct shard *s);
void memtable_pg_changed(struct memtable *mt, struct pg *pg);
/* After a checkpoint. */
void memtable_all_clean(struct memtable *mt);
/* Evicts what is over the limit. Entries found before may be gone after this. */
void memtable_trim(struct memtable *mt);

/* Shards of a PG in order after the cursor (from it on if inclusive), index and memory merged. */
int memtable_list(struct memtable *mt, const struct shard_key *after, bool inclusive,
                  int (*each)(void *ctx, const struct shard *s), void *ctx);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_INDEX_H
#define SF_STORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "sheep/store/pg.h"
#include "sheep/store/segment.h"
#include "sheep/store/shard.h"

/*
 * The index on disk: what the memtable held at the last checkpoint, in LMDB. Everything in it
 * follows from the log, and every value has a checksum, so that a damaged index is found, thrown
 * away and rebuilt, never believed. All functions return 0 or a negative error; -SF_ECORRUPT and
 * LMDB's own errors as -SF_ECORRUPT mean "rebuild".
 */
struct index;

struct index_meta {
	uint64_t disk;
	uint32_t segment; /* the log from here on is not in the index */
	uint64_t offset;
	uint64_t lsn;
	uint64_t shards, checksum_errors;
	bool complete; /* false: a rebuild was under way */
};

int index_open(const char *dir, uint64_t map_bytes, bool nosync, struct index **ret);
/* Nothing died of it so far: forgets earlier deaths. */
void index_is_sound(const char *dir);
void index_close(struct index *ix); /* NULL is fine */
/* Removes the files. The index must be closed. */
int index_remove(const char *dir);
uint64_t index_file_bytes(struct index *ix);

/* -ENOENT when it was never written. */
int index_meta_get(struct index *ix, struct index_meta *m);
/* Fills s, whose key is set. -ENOENT: absent. */
int index_shard_get(struct index *ix, struct shard *s);
/* Shards of a PG with a key after `after` (or from it on, if `inclusive`), until `each` returns
 * non-zero. The shard is lent for the call. */
int index_shard_list(struct index *ix, const struct shard_key *after, bool inclusive,
                     int (*each)(void *ctx, const struct shard *s), void *ctx);
/* Every PG, every segment's state, every shard with something pending. */
int index_pg_each(struct index *ix,
                  int (*each)(void *ctx, uint32_t pool, uint32_t pg, const uint8_t *value,
                              uint32_t len),
                  void *ctx);
int index_segment_each(struct index *ix, int (*each)(void *ctx, const struct segment *seg),
                       void *ctx);
int index_pending_each(struct index *ix, int (*each)(void *ctx, const struct shard_key *key),
                       void *ctx);

/* One transaction: begin, any number of puts, then commit (synced) or abort. */
int index_begin(struct index *ix);
int index_shard_put(struct index *ix,
                    const struct shard *s); /* deletes it when it does not exist */
int index_pg_put(struct index *ix, const struct pg *pg, bool keep);
int index_segment_put(struct index *ix, const struct segment *seg);
int index_segment_del(struct index *ix, uint32_t number);
int index_meta_put(struct index *ix, const struct index_meta *m);
int index_commit(struct index *ix);
void index_abort(struct index *ix);

#endif

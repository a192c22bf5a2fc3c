/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_STATE_H
#define SF_STORE_STATE_H

#include "lib/base/log.h"
#include "sheep/core/disk_job.h"
#include "sheep/store/batch.h"
#include "sheep/store/index.h"
#include "sheep/store/memtable.h"
#include "sheep/store/record.h"
#include "sheep/store/segment.h"
#include "sheep/store/store.h"
#include "sheep/store/superblock.h"

/*
 * The store behind store.h. Everything below happens in the disk thread:
 *
 *   store.c   open, close, adopt, and which function carries out which job
 *   write.c   prepare, push, rollback, remove: decide, then add a record to the batch and apply it
 *   batch.c   the write itself: one pwritev and one fdatasync
 *   apply.c   what a record does to shards and PGs; the same for live records, replay and rebuild
 *   read.c    content out of extents, every byte verified
 *   pg_job.c  listings, commit points, info and log
 *   replay.c  from the log to the index after a restart
 *   checkpoint.c  from memory to the index
 *   compact.c idle work: freeing segments that are mostly dead
 *   move.c    writing one shard anew
 */
struct compaction {
	struct segment *victim; /* NULL: none under way */
	uint64_t offset;        /* next batch of it */
	struct compact_pg *pgs; /* PGs met in it */
	uint32_t pg_count, pg_cap;
	struct shard_key fragmented[16]; /* shards to write anew in one piece */
	uint32_t fragmented_count;
	uint64_t retry_ms;                /* after a failure: not before */
	uint64_t barren_lsn, barren_live; /* as of when urgent compaction found nothing to win */
	uint64_t moved_bytes, freed_segments;
};

struct store {
	struct store_options opt;
	char *path, *index_path;
	const struct fs_ops *fs;
	const struct log *log;
	int lock_fd;
	struct superblock sb;
	bool fresh;
	bool failed;    /* a write or fdatasync failed: nothing is written any more */
	bool index_bad; /* to be rebuilt before anything else */
	bool rebuilding;
	uint64_t refused_bytes; /* a payload of that size did not fit, the last time */
	bool index_full;        /* the last checkpoint found no space */

	struct segments segs;
	struct index *index;
	struct memtable mt;
	struct batch batch;
	uint64_t next_lsn;
	uint64_t checkpoint_lsn; /* the index holds everything below */
	uint64_t checkpoint_ms;
	uint64_t space_ms;
	uint64_t checksum_errors;

	struct record_scratch record_scratch;
	struct extvec scratch, ranges, ranges2; /* for building lists */
	uint8_t *read_buf;                      /* for verifying whole blocks, READ_BUF bytes */
	struct compaction compact;
};

enum { READ_BUF = 1 << 16, FRAGMENTS_MANY = 256, FRAGMENTS_MAX = 1024 };

/* apply.c */
/* One record, to whatever it names. */
int store_apply(struct store *st, const struct record *r);
int store_apply_to(struct store *st, struct shard *s, const struct record *r);
/* Everything pending in the PG up to that version becomes committed. */
void store_promote_pg(struct store *st, struct pg *pg, uint64_t commit);
/* A record was made of the PG's state as it is. */
void store_pg_logged(struct store *st, struct pg *pg, const struct record *r);
void store_mark_damaged(struct store *st, struct shard *s);

/* write.c */
uint32_t store_prepare(struct store *st, const struct msg *req, struct msg *reply);
uint32_t store_push(struct store *st, const struct msg *req, struct msg *reply);
uint32_t store_rollback(struct store *st, const struct msg *req, struct msg *reply);
uint32_t store_remove(struct store *st, const struct msg *req);
/* Adds the record that drops the shard, and applies it. 0 or a negative error. */
int store_drop_shard(struct store *st, struct shard *s);

/* pg_job.c */
uint32_t store_pg_list(struct store *st, const struct msg *req, struct msg *reply);
uint32_t store_pg_commit(struct store *st, const struct msg *req);
uint32_t store_pg_query(struct store *st, const struct msg *req, struct msg *reply);
uint32_t store_pg_activate(struct store *st, const struct msg *req);
uint32_t store_pg_drop(struct store *st, const struct msg *req);
/* Writes the PG's whole state as a record. */
int store_log_pg(struct store *st, struct pg *pg, enum space_use use);

/* read.c */
uint32_t store_read(struct store *st, const struct msg *req, struct msg *reply);
/* Newest content of a shard, verified; holes give zeros. 0, -SF_ECORRUPT or an errno. */
int store_read_newest(struct store *st, struct shard *s, uint32_t off, void *dst, uint32_t len);
/* The bytes of one extent; with *bad, a failed checksum is reported there and the bytes are given
 * all the same. */
int store_read_extent(struct store *st, const struct extvec *x, const struct extent *e,
                      uint8_t *dst, bool *bad);

/* replay.c */
/* Brings index and memory up to the end of the log; `rebuild`: from nothing. */
int store_replay(struct store *st, bool rebuild);
/* After a batch that could not be written: back to what the log says. */
int store_reload(struct store *st);

/* checkpoint.c */
int store_checkpoint(struct store *st);
int store_open_index(struct store *st, bool wipe);
/* The index turned out to be damaged: throws it away and rebuilds it. */
int store_rebuild_index(struct store *st);
/* Maps an error to a result, and marks the store where it concerns it as a whole. */
uint32_t store_error(struct store *st, int err);

/* compact.c */
bool store_compact_slice(struct store *st, uint64_t now_ms, bool urgent);
void store_compact_stop(struct store *st);
/* Space was refused: wins some if there is any to win, until a payload of that size fits. */
void store_compact_urgent(struct store *st, uint64_t bytes);

/* move.c */
/* Rewrites the shard's extents in `seg` (0: all of them) as one record. */
int store_move_shard(struct store *st, struct shard *s, uint32_t seg);
/* compact.c: to be moved into one piece when there is time. */
void store_note_fragmented(struct store *st, const struct shard *s);

#endif

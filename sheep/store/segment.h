/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_SEGMENT_H
#define SF_STORE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "sheep/store/fs.h"

/*
 * The segment files of one store and the space they take. Segments are numbered upwards from 1, so
 * that their order is the order of the log. The one with the highest number is written to; the
 * others are closed. A freed file may stay as spare-N.log: writing over blocks that exist is faster
 * than having new ones allocated; it is renamed when the next segment opens.
 */
struct segment {
	struct hnode hash;
	struct list link; /* all, by number */
	struct list lru;  /* open files of closed segments */
	uint32_t number;
	int fd; /* -1: not open */
	bool direct;
	bool bad;         /* part of its descriptors cannot be read: never freed */
	bool written;     /* since the last fdatasync */
	bool dirty;       /* the index has older numbers */
	bool indexed;     /* the index has it */
	bool gone;        /* about to be freed: leaves the index with the next checkpoint */
	uint64_t alloc;   /* bytes of the file that exist */
	uint64_t planned; /* bytes it may take: what counts as used */
	uint64_t end;     /* bytes in use */
	uint64_t live;    /* bytes of those that some shard needs */
	uint64_t first_lsn, last_lsn;
};

enum { SPARE_MAX = 2, OPEN_MAX = 48 };

struct segments {
	const struct fs_ops *fs;
	const struct log *log;
	const char *dir;
	struct htab table;
	struct list all, lru;
	uint32_t open_count;
	struct segment *current; /* NULL before the first */
	struct segment *cached;  /* last one found */
	uint64_t bytes;          /* regular size */
	uint64_t planned;        /* sum over all */
	uint64_t live;
	uint64_t spare_alloc[SPARE_MAX];
	bool spare[SPARE_MAX];
	uint64_t limit;       /* bytes the store may use */
	uint64_t fs_avail;    /* as of the last look */
	uint64_t index_bytes; /* counted as used */
	uint32_t next_number;
};

void segments_init(struct segments *s, const struct fs_ops *fs, const struct log *log,
                   const char *dir, uint64_t segment_bytes, uint64_t limit);
void segments_fini(struct segments *s); /* closes files */
/* Enters every seg-*.log of the directory; removes leftovers of spare-*.log. */
int segments_scan(struct segments *s);

struct segment *segment_find(struct segments *s, uint32_t number);
struct segment *segment_next(struct segments *s, const struct segment *seg); /* NULL: first */
/* Reads exactly len bytes (multiples of LOG_BLOCK, as are off and dst). -ENODATA past the end of
 * the file. */
int segment_read(struct segments *s, struct segment *seg, uint64_t off, void *dst, uint32_t len);
/* Opens a new current segment for at least min_bytes. Its directory entry is durable on return. */
int segment_roll(struct segments *s, uint64_t min_bytes);
/* Makes sure that the current segment's blocks exist up to `end`, and some ahead. */
int segment_reserve(struct segments *s, uint64_t end);
int segment_write(struct segments *s, const struct iovec *iov, int count, uint64_t off);
int segment_sync(struct segments *s);
/* Gives up a segment: nothing refers to it any more, and the index says so durably. */
int segment_free(struct segments *s, struct segment *seg);
/* Removes a segment that holds nothing, not even for the index. */
int segment_discard(struct segments *s, struct segment *seg);
/* After a restart: writing goes on at the end of this one. */
void segment_set_current(struct segments *s, struct segment *seg);
/* Makes a spare file ready when the current segment is nearly full. True if it did something. */
bool segment_prepare_spare(struct segments *s);
void segments_look_at_fs(struct segments *s);
int segments_sync_dir(struct segments *s);

/* Bytes that may still be written: SPACE_DATA leaves the reserve alone; SPACE_SMALL (locks and headers of volumes, without
 * which no volume can be deleted) leaves the deletes their part of it; SPACE_META (these and the like) leaves compaction what
 * it needs to win space; SPACE_MOVE is compaction itself. */
enum space_use { SPACE_DATA, SPACE_SMALL, SPACE_META, SPACE_MOVE };
uint64_t segments_avail(const struct segments *s, enum space_use use);
/* Whether a batch of that many bytes fits. */
bool segments_fit(const struct segments *s, enum space_use use, uint64_t bytes);
uint64_t segments_used(const struct segments *s);

#endif

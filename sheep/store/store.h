/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_STORE_H
#define SF_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "sheep/core/disk_job.h"
#include "sheep/store/fs.h"

/*
 * One disk: append-only segment files and an index in LMDB, in one directory:
 *
 *   superblock      who this disk is: disk id, cluster, node (two checksummed copies, replaced
 *   by rename)
 *   lock            held (OFD lock) while a process uses the directory
 *   seg-%08x.log    the log; the truth
 *   index/          LMDB; derived, rebuilt from the segments when it is gone or damaged
 *
 * A store belongs to one thread, its disk thread: every function below but store_open/store_close
 * (before and after that thread lives) is called there. It never touches buffer references.
 */
struct store;

struct store_options {
	const char *path;
	const struct fs_ops *fs; /* fs_posix(), or a test's */
	const struct log *log;   /* may be NULL; must be callable from the disk thread */
	uint64_t node;           /* the owner: a disk of another node is refused (-SF_EFOREIGN) */
	uint64_t cluster; /* 0: whatever the superblock says; otherwise it must match or be fresh */
	uint64_t new_disk_id;   /* random, used when the directory is fresh */
	uint64_t new_salt;      /* likewise, and secret: clients must not guess it */
	uint64_t size_bytes;    /* limit on what the store may use; 0: what the file system has */
	uint64_t segment_bytes; /* 0: default, smaller on small disks */
	bool nosync;            /* tests only */
	bool index_nosync;      /* tests only: LMDB's own syncs */
};

struct store_identity {
	uint64_t disk, cluster, node;
	bool fresh; /* made by this open */
};

/* Opens or makes the store, replays the tail, rebuilds the index if it must. -SF_EINUSE,
 * -SF_EFOREIGN, -SF_EFORMAT, -SF_ECORRUPT, -ENOSPC, errno; text (if not NULL) then holds one
 * line that says what was wrong and what to do. */
enum { STORE_TEXT_LEN = 512 };
int store_open(const struct store_options *options, struct store **ret, char text[STORE_TEXT_LEN]);
/* Makes everything durable and the index current. NULL is fine. */
void store_close(struct store *store);
/* Closes without writing anything, as if the process had been killed. NULL is fine. For tests. */
void store_abandon(struct store *store);
struct store_identity store_identity(const struct store *store);
/* What the store may use, for the disk's weight. */
uint64_t store_size_bytes(const struct store *store);

/* Stamps the cluster; drops all data first when the store belonged to another. Durable. */
int store_adopt(struct store *store, uint64_t cluster);

/* Carries out a batch: every job's reply is filled (disk_job.h), then everything durable is
 * durable, with one sequential write and one fdatasync for all of them (group commit). Jobs
 * take effect in list order. After a failed write or fdatasync the store is dead: this and all
 * later durable requests answer RES_IO, and store_failed() says so. */
void store_execute(struct store *store, struct list *jobs /* of struct disk_job.link */);
bool store_failed(const struct store *store);

/* Background work in small slices, called when the disk thread has nothing else to do: index
 * checkpoint, compaction, removal of dead segments. Returns true when there is more to do now;
 * otherwise *wait_ms says when to come again. */
bool store_idle(struct store *store, uint64_t now_ms, uint32_t *wait_ms);

#endif

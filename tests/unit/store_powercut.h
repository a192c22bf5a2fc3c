/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_STORE_POWERCUT_H
#define SF_TESTS_STORE_POWERCUT_H

#include "lib/base/prng.h"
#include "sheep/store/fs.h"

/*
 * File system calls on top of the real ones, with an undo record for everything that no sync has
 * covered yet. When the power goes (cut_at calls from now, or powercut_now), all further calls
 * fail, and powercut_restore brings the files to what a disk could hold then: of each unsynced
 * write any blocks may be missing, of the unsynced changes to directories the last ones. Faults:
 * the call number fail_at gives fail_err instead (a write after having done a part).
 */
enum powercut_policy {
	POWERCUT_RANDOM,   /* any blocks of any unsynced write */
	POWERCUT_PREFIX,   /* the writes reached the disk in order, the last one in part */
	POWERCUT_LOSE_ALL, /* nothing that was not synced */
	POWERCUT_KEEP_ALL,
};
enum { POWERCUT_SHORT = -10000 }; /* fail_err: less is read or written than asked for */

struct powercut {
	struct fs_ops ops;
	struct prng p;
	uint64_t calls;   /* so far */
	uint64_t cut_at;  /* 0: never */
	uint64_t fail_at; /* 0: never */
	int fail_err;
	const char *fail_on; /* only calls of this name count for fail_at; NULL: all */
	bool off;
	bool hit; /* the cut or the failure has happened */
	enum powercut_policy policy;
	void (*seen)(void *arg, const char *name); /* NULL, or told of each call before it is made */
	void *seen_arg;
	struct undo *undo; /* newest first */
	uint32_t parked;   /* names given to files that were unlinked or replaced */
	char park[300];    /* where they are kept */
};

/* dir: an existing directory beside the store's, for parked files. */
void powercut_init(struct powercut *pc, const char *park, uint64_t seed);
void powercut_fini(struct powercut *pc);
/* After the store was abandoned: what is left on the disk; power is on again. */
void powercut_restore(struct powercut *pc);

/* For the index's own input and output (store_powercut_index.c): counts a call, false: it fails
 * with *err; notes what is about to be written, was synced, is about to be unlinked. */
bool powercut_index_call(struct powercut *pc, const char *name, int *err);
void powercut_index_writes(struct powercut *pc, int fd, off_t off, size_t len);
void powercut_index_synced(struct powercut *pc, int fd);
void powercut_index_unlinks(struct powercut *pc, const char *path);
/* From now on the calls of LMDB go through pc too; NULL: no more. Only in programs that are linked
 * with store_powercut_index.c. */
void powercut_watch_index(struct powercut *pc);

#endif

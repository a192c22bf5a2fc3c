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
struct powercut {
	struct fs_ops ops;
	struct prng p;
	uint64_t calls;   /* so far */
	uint64_t cut_at;  /* 0: never */
	uint64_t fail_at; /* 0: never */
	int fail_err;
	const char *fail_on; /* only calls of this name count for fail_at; NULL: all */
	bool off;
	struct undo *undo; /* newest first */
	uint32_t parked;   /* names given to files that were unlinked or replaced */
	char park[300];    /* where they are kept */
};

/* dir: an existing directory beside the store's, for parked files. */
void powercut_init(struct powercut *pc, const char *park, uint64_t seed);
void powercut_fini(struct powercut *pc);
/* After the store was abandoned: what is left on the disk; power is on again. */
void powercut_restore(struct powercut *pc);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_STORE_WORLD_H
#define SF_TESTS_STORE_WORLD_H

#include "lib/base/prng.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_model.h"

/* A store and the model side by side, and random jobs for both: a few objects in a few PGs, all
 * kinds of changes, now and then wrong ones. */
enum { WORLD_OIDS = 12, WORLD_PGS = 3, WORLD_SHARDS = 2, WORLD_JOBS = 8, WORLD_REGION = 200000 };

struct world {
	struct fixture *f;
	struct model *m;
	struct prng p;
	uint32_t region; /* bytes of an object at most; 0: WORLD_REGION */
	uint64_t version[WORLD_PGS]; /* last one given out */
	uint64_t commit[WORLD_PGS];  /* last commit point given out */
};

uint64_t world_below(struct world *w, uint64_t n);
struct disk_job *world_job(struct world *w);
/* The same request again, without what it was given to read into. */
struct disk_job *world_job_twin(const struct disk_job *job);
/* Both give the same for one range; for everything there is. */
bool world_read_same(struct world *w, uint32_t pg, uint64_t oid, uint32_t shard, uint32_t off,
                     uint32_t len);
bool world_all_same(struct world *w);
/* Tells both the newest commit points again: what a restart may have forgotten. */
void world_tell_commits(struct world *w);

#endif

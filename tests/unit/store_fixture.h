/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_STORE_FIXTURE_H
#define SF_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "sheep/store/store.h"

/* A store on a directory of its own, and jobs for it in one line. */
struct fixture {
	char dir[256];
	struct buf_pool *pool;
	struct store_options opt;
	struct store *st;
	struct log log;
	uint64_t now_ms;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_open(struct fixture *f);
void fixture_reopen(struct fixture *f);
/* As after kill -9: nothing is written on the way out. */
void fixture_crash(struct fixture *f);
void fixture_drop_index(struct fixture *f); /* while the store is closed */
void fixture_close(struct fixture *f);
/* Runs idle work until there is none, time passing. */
void fixture_idle(struct fixture *f, uint64_t ms);
void remove_tree(const char *dir);

/* One object's shard in pg 1.1, shard 0, unless told otherwise. */
struct disk_job *job_make(struct fixture *f, uint32_t type, uint64_t oid);
void job_destroy(struct disk_job *job);
/* Adds a range; DATA and XOR with bytes that prng(seed) makes. */
void job_range(struct fixture *f, struct disk_job *job, enum range_op op, uint32_t off,
               uint32_t len, uint64_t seed);
void job_run(struct fixture *f, struct disk_job *job);
struct disk_job *job_prepare(struct fixture *f, uint64_t oid, uint64_t version, uint64_t base);

/* Runs and frees; the result. */
uint32_t do_prepare(struct fixture *f, uint64_t oid, uint64_t version, uint64_t base,
                    uint32_t flags, enum range_op op, uint32_t off, uint32_t len, uint64_t seed);
uint32_t do_simple(struct fixture *f, uint32_t type, uint64_t oid, uint64_t version);
uint32_t do_commit(struct fixture *f, uint64_t commit);
/* Newest content [off, off + len) into dst; its checksums are checked. */
uint32_t do_read(struct fixture *f, uint64_t oid, uint32_t off, uint32_t len, uint8_t *dst);
/* NULL entry when absent. */
uint32_t do_stat(struct fixture *f, uint64_t oid, struct shard_entry *e);
struct disk_usage do_usage(struct fixture *f);
/* True when [off, off + len) reads as prng(seed) makes it. */
bool reads_as(struct fixture *f, uint64_t oid, uint32_t off, uint32_t len, uint64_t seed);

#endif

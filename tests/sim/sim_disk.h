/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_DISK_H
#define SF_SIM_DISK_H

#include "sheep/core/disk_job.h"
#include "tests/sim/content.h"
#include "tests/sim/world.h"

/*
 * A store in memory that keeps sheep/core/disk_job.h to the letter, and forgets on a power cut
 * what was not yet durable: back to the last sync and then forward again by any number of whole
 * changes, in order.
 */

/* One version of a shard; version 0: none. */
struct shard_version {
	uint64_t version;
	uint32_t stood; /* the last interval that accepted it here */
	bool tombstone;
	bool rotten;  /* its bytes no longer match their checksum, and nobody noticed */
	bool damaged; /* somebody did */
	struct content content;
};
struct shard {
	uint64_t oid;
	uint32_t number;
	struct shard_version committed, pending;
};
struct disk_pg {
	uint32_t pool, number;
	struct pg_info info;
	uint32_t log_count;
	struct log_entry *log; /* ascending versions are not promised: as prepared */
	uint32_t shard_count;
	struct shard *shards; /* by (oid, number) */
};

struct undo; /* a PG as it was before a change that is not durable yet */

struct sim_disk {
	uint64_t id;
	uint32_t pg_count;
	struct disk_pg *pgs;  /* by (pool, number) */
	uint64_t limit_bytes; /* 0: none; what live shards may take before RES_NOSPACE */
	bool failed;          /* every request is answered RES_IO */
	bool eio_reads, eio_writes; /* the next one fails, and with it the disk, until a restart */
	bool mends;           /* failed that way */
	bool taken_out;       /* by an operator, though it works */
	uint64_t slow_until_us;
	uint32_t slow_factor;
	uint64_t checksum_errors;
	uint32_t undo_count, undo_capacity;
	struct undo *undo; /* oldest first */
};

void sim_disk_init(struct sim_disk *d, uint64_t id);
void sim_disk_fini(struct sim_disk *d);
/* Everything is gone, durably: the disk is made anew for another cluster. */
void sim_disk_wipe(struct sim_disk *d);
/* dst holds what src holds, durably: an image of it. */
void sim_disk_copy_data(struct sim_disk *dst, const struct sim_disk *src);
/* The machine starts again: what was a passing error is over. */
void sim_disk_restart(struct sim_disk *d);

/* Carries out one job: fills its reply. */
void sim_disk_execute(struct sim_disk *d, struct disk_job *job);
/* Whether the reply to such a request waits for sim_disk_sync. */
bool sim_disk_request_durable(enum msg_type type);
/* All changes so far survive from now on. */
void sim_disk_sync(struct sim_disk *d);
/* Changes since the last sync that a power cut may take back. */
uint32_t sim_disk_unsynced(const struct sim_disk *d);
/* A power cut that only the first `kept` of them survive. */
void sim_disk_crash(struct sim_disk *d, uint32_t kept);

/* For checks and faults. */
struct disk_pg *sim_disk_pg(const struct sim_disk *d, uint32_t pool, uint32_t pg);
const struct shard *sim_disk_shard(const struct sim_disk *d, uint32_t pool, uint32_t pg,
                                   uint64_t oid, uint32_t number);
uint64_t sim_disk_live_bytes(const struct sim_disk *d);
/* The bytes of the committed version change under the store. false: there are none. */
bool sim_disk_rot(struct sim_disk *d, uint32_t pool, uint32_t pg, uint64_t oid, uint32_t number);

#endif

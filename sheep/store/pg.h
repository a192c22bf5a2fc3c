/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_PG_H
#define SF_STORE_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "sheep/core/disk_job.h"
#include "sheep/store/bytes.h"
#include "sheep/store/shard.h"

/* One placement group: its info, its log of recent changes, and its shards that wait for a commit
 * point or for the index. */
struct pg {
	struct hnode hash;
	struct list link;    /* all */
	struct list pending; /* shards with a pending version, lowest first */
	struct list dirty;   /* shards that are newer than the index */
	uint32_t pool, pg;
	bool is_dirty;
	struct pg_info info;
	struct log_entry *log; /* by version, lowest first; at most PG_LOG_MAX */
	uint32_t log_count, log_cap;
	uint32_t tombstones;    /* committed ones */
	uint64_t objects;       /* shards whose newest version is no tombstone */
	uint64_t base_lsn;      /* of the last whole record: older ones do not matter */
	uint64_t seen_commit;   /* newest commit point that anything here was promoted by */
	uint64_t logged_commit; /* newest commit point that the log knows */
	uint64_t commit_lsn;    /* of the newest record that says so */
};

struct pg *pg_create(uint32_t pool, uint32_t pg);
void pg_destroy(struct pg *pg); /* its lists must be empty */

/* Anything worth keeping besides shards. */
static inline bool pg_is_known(const struct pg *pg)
{
	return pg->log_count || pg->info.activated || pg->info.clean || pg->info.commit ||
	       pg->info.suspect || pg->info.scrubbed;
}
void pg_forget(struct pg *pg);
/* Into its place by version, unless it is there already. The oldest gives way. */
void pg_log_add(struct pg *pg, const struct log_entry *e);
/* The log becomes what is given, and info.floor too; of the own entries those stay that are pending. */
void pg_log_replace(struct pg *pg, const struct log_entry *log, uint32_t count, uint64_t floor);
/* Changes of that epoch are in it, or newer ones. */
bool pg_log_reaches(const struct pg *pg, uint32_t epoch);
void pg_log_drop(struct pg *pg, uint64_t version, uint64_t oid);
bool pg_log_has(const struct pg *pg, uint64_t version);
/* Into the list of pending shards, by version. */
void pg_pending_add(struct pg *pg, struct shard *s);

/* info, log and counters. */
enum { PG_ENCODED_MAX = 128 + PG_LOG_MAX * 32 };
uint32_t pg_encode(const struct pg *pg, uint8_t dst[PG_ENCODED_MAX]);
bool pg_decode(struct pg *pg, const uint8_t *src, uint32_t len);

#endif

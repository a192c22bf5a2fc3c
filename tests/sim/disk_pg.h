/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_DISK_PG_H
#define SF_SIM_DISK_PG_H

#include "tests/sim/sim_disk.h"

/* What one simulated disk holds of one PG, and each request of disk_job.h on it. Used by
 * sim_disk.c only. */
void disk_pg_copy(struct disk_pg *dst, const struct disk_pg *src); /* dst is overwritten */
void disk_pg_fini(struct disk_pg *pg);
struct shard *disk_pg_find(struct disk_pg *pg, uint64_t oid, uint32_t number);

uint32_t disk_pg_prepare(struct disk_pg *pg, const struct msg *req, bool full,
                         uint64_t *ret_version);
uint32_t disk_pg_push(struct disk_pg *pg, const struct msg *req, bool full);
uint32_t disk_pg_rollback(struct disk_pg *pg, const struct msg *req);
void disk_pg_remove(struct disk_pg *pg, const struct msg *req);
uint32_t disk_pg_read(struct disk_pg *pg, const struct msg *req, struct msg *reply);
uint32_t disk_pg_stat(struct disk_pg *pg, const struct msg *req, struct msg *reply);
void disk_pg_query(const struct disk_pg *pg, struct msg *reply);
void disk_pg_list(struct disk_pg *pg, const struct msg *req, struct msg *reply);
void disk_pg_commit(struct disk_pg *pg, uint64_t commit);
void disk_pg_activate(struct disk_pg *pg, const struct msg *req);
void disk_pg_drop(struct disk_pg *pg, uint32_t keep_shard);

#endif

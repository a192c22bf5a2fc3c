/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_COVER_H
#define SF_SIM_COVER_H

#include <stdio.h>

#include "lib/place/map.h"
#include "sheep/core/disk_job.h"
#include "tests/sim/stats.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

/*
 * Which branches of the protocol a run took, told from the outside: from messages, disk jobs,
 * maps and the nodes' own status. Looks and changes nothing.
 */
static inline void cover(struct world *w, enum sim_branch branch)
{
	w->stats.branch[branch]++;
}

/* Around the execution of a disk job: what the disk held tells what the job did. */
struct cover_job {
	uint64_t committed, pending; /* of the shard */
	bool damaged, pending_tombstone;
	/* of the PG; behind: pending up to the commit point; others: not of the slot asked */
	uint32_t shards, tombstones, log, behind, others;
};
void cover_job_before(struct world *w, uint32_t node, uint32_t disk, const struct disk_job *job,
                      struct cover_job *ret);
void cover_job_after(struct world *w, uint32_t node, uint32_t disk, const struct disk_job *job,
                     const struct cover_job *before);

/* A message about to reach a node from another. */
void cover_peer_msg(struct world *w, uint32_t node, const struct msg *m);
/* An answer that leaves for a client. */
void cover_answer(struct world *w, uint32_t node, const struct msg *m);
/* An answer of a node to a client about this object, as it arrives. */
void cover_request_done(struct world *w, uint32_t node, const struct sim_object *o,
                        const struct msg *m);
/* A new epoch. before: NULL for the first. */
void cover_map(struct world *w, const struct map *before, const struct map *now);
/* A node's answer to MSG_STATUS. */
void cover_status(struct world *w, const struct msg *m);

#endif

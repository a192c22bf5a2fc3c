/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_RIG_H
#define SF_SIM_RIG_H

#include "lib/place/map.h"
#include "tests/sim/disk_pg.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

/* A small cluster at rest with objects in it, for tests that do something to its disks by hand. */
enum { RIG_NODES = 8, RIG_SCRUB_MS = 5000 };

struct rig {
	struct world *w;
	const struct sim_object *object; /* one with data in the data pool */
	const struct map_pool *pool;
	uint64_t version;
	uint8_t *before[MAX_SHARDS]; /* its shards */
	uint32_t part;
};

/* scrub_ms 0: the scrub comes only after a long time. */
void rig_init(struct rig *r, uint32_t k, uint32_t m, uint32_t scrub_ms);
void rig_fini(struct rig *r);
/* Clients at rest, every PG clean. */
void rig_run_until_clean(struct rig *r);
void rig_run_until_idle(struct rig *r);

/* What a slot of the object has. */
struct disk_pg *rig_slot_pg(const struct rig *r, uint32_t slot);
struct shard *rig_slot_shard(const struct rig *r, uint32_t slot);
void rig_shard_bytes(const struct rig *r, uint32_t slot, uint8_t *bytes);
/* Gone, and the disk does not know. */
void rig_shard_lose(struct rig *r, uint32_t slot);

#endif

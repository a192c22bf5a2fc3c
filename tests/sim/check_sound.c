/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tests/sim/check.h"
#include "tests/sim/sim_node.h"

static bool is_bad(const struct shard *s)
{
	return s->committed.rotten || s->committed.damaged || s->pending.rotten ||
	       s->pending.damaged;
}

/* The first bad shard in a disk, of one object or (oid 0) of any. */
static const struct shard *find_bad(const struct sim_disk *d, uint32_t pool, uint64_t oid)
{
	for (uint32_t i = 0; i < d->pg_count; i++) {
		const struct disk_pg *pg = &d->pgs[i];

		for (uint32_t j = 0; j < pg->shard_count; j++)
			if (is_bad(&pg->shards[j]) &&
			    (!oid || (pg->pool == pool && pg->shards[j].oid == oid)))
				return &pg->shards[j];
	}
	return NULL;
}

static int check_disks(const struct world *w, uint32_t pool, uint64_t oid, char *why)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_node *n = w->nodes[i];

		for (uint32_t d = 0; n->state != NODE_GONE && d < n->info.disk_count; d++) {
			const struct shard *s = find_bad(&n->disks[d], pool, oid);

			if (!s || n->disks[d].failed || n->disks[d].taken_out)
				continue;
			snprintf(why, CHECK_WHY_LEN, "object %llx shard %u in n%u is damaged%s",
			         (unsigned long long)s->oid, s->number, i,
			         s->committed.damaged || s->pending.damaged
			                 ? ""
			                 : ", and nobody noticed");
			return -1;
		}
	}
	return 0;
}

int check_sound(const struct world *w, char why[CHECK_WHY_LEN])
{
	return check_disks(w, 0, 0, why);
}

bool check_object_rot(const struct world *w, uint32_t pool, uint64_t oid)
{
	char why[CHECK_WHY_LEN];

	return check_disks(w, pool, oid, why) != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bytes that change under a store. Its records name themselves and carry checksums kept apart, so
 * that a lost or misdirected write shows as bytes that do not match: the shard that was not
 * written and the one that was written over.
 */
#include "lib/place/map.h"
#include "lib/place/place.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

/* A shard of the object on this disk, with bytes in it. */
static struct shard_version *version_find(struct sim_disk *d, const struct sim_object *o,
                                          uint32_t pg, bool newest)
{
	const struct disk_pg *held = sim_disk_pg(d, o->pool, pg);

	for (uint32_t i = 0; held && i < held->shard_count; i++) {
		struct shard *s = &held->shards[i];
		struct shard_version *v = newest && s->pending.version ? &s->pending : &s->committed;

		if (s->oid == o->oid && content_end(&v->content) && !v->rotten && !v->damaged)
			return v;
	}
	return NULL;
}

static bool rot_one(struct world *w, struct fault_plan *plan, struct sim_disk *d,
                    const struct sim_object *o, bool newest)
{
	uint32_t pg = place_pg_of(map_find_pool(sim_member_map(w), o->pool), o->oid);
	struct shard_version *v = version_find(d, o, pg, newest);

	if (!v || !budget_rot(w, plan, o->pool, o->oid))
		return false;
	v->rotten = true;
	return true;
}

/* Some object in that disk, one after another. */
static const struct sim_object *object_draw(struct world *w, uint32_t *at)
{
	return &w->workload->objects[(*at)++ % w->workload->object_count];
}

bool fault_damage(struct world *w, struct fault_plan *plan, struct fault *f)
{
	struct sim_node *n = w->nodes[draw_below(w, w->node_count)];
	uint32_t disk = draw_below(w, n->info.disk_count), at, wanted, done = 0;
	struct sim_disk *d = &n->disks[disk];
	uint64_t oid = 0;

	if (n->state == NODE_GONE || d->failed)
		return false;
	wanted = f->kind == FAULT_MISDIRECTED ? 2 : 1;
	at = draw_below(w, w->workload->object_count);
	for (uint32_t i = 0; i < w->workload->object_count && done < wanted; i++) {
		const struct sim_object *o = object_draw(w, &at);

		if (rot_one(w, plan, d, o, f->kind != FAULT_ROT)) {
			oid = o->oid;
			done++;
		}
	}
	fault_say(w, f, "%s on disk %u of n%u, oid %llx", sim_fault_name[f->kind], disk, n->index,
	          (unsigned long long)oid);
	return done > 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/ec/ec.h"
#include "lib/place/place.h"
#include "tests/sim/check.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

enum { OBJECTS = 12, OPERATIONS = 150 };

static bool clients_idle(const struct world *w)
{
	for (uint32_t i = 0; i < w->client_count; i++)
		if (!sim_client_idle(w, i))
			return false;
	return true;
}

static bool is_clean(struct world *w)
{
	char why[CHECK_WHY_LEN];

	return clients_idle(w) && sim_nodes_at_rest(w) && !check_clean(w, why);
}

void rig_run_until_idle(struct rig *r)
{
	struct world *w = r->w;

	while (!w->failed && (w->workload->ops_left || !clients_idle(w)))
		world_run_until(w, w->now_us + 100 * SIM_MS);
}

void rig_run_until_clean(struct rig *r)
{
	struct world *w = r->w;

	for (uint32_t i = 0; i < 1200 && !w->failed && !is_clean(w); i++)
		world_run_until(w, w->now_us + 100 * SIM_MS);
	if (w->failed)
		print_error("%s\n", w->failure);
	assert_false(w->failed);
	assert_true(is_clean(w));
}

/* The disk of a slot. */
static struct sim_disk *slot_disk(const struct rig *r, uint32_t slot)
{
	uint64_t disks[MAX_SHARDS];

	place_pg(sim_member_map(r->w), r->pool, r->object->pg, disks);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		for (uint32_t d = 0; d < r->w->nodes[i]->info.disk_count; d++)
			if (r->w->nodes[i]->disks[d].id == disks[slot])
				return &r->w->nodes[i]->disks[d];
	fail_msg("no disk in slot %u", slot);
	return NULL;
}

struct disk_pg *rig_slot_pg(const struct rig *r, uint32_t slot)
{
	return sim_disk_pg(slot_disk(r, slot), r->object->pool, r->object->pg);
}

struct shard *rig_slot_shard(const struct rig *r, uint32_t slot)
{
	struct disk_pg *pg = rig_slot_pg(r, slot);

	return pg ? disk_pg_find(pg, r->object->oid, slot) : NULL;
}

static bool object_chosen(struct rig *r)
{
	for (uint32_t i = 0; i < r->w->workload->object_count; i++) {
		r->object = &r->w->workload->objects[i];
		if (r->object->pool != r->pool->id)
			continue;
		struct shard *s = rig_slot_shard(r, 0);
		if (s && !s->committed.tombstone && content_end(&s->committed.content)) {
			r->version = s->committed.version;
			return true;
		}
	}
	return false;
}

void rig_shard_bytes(const struct rig *r, uint32_t slot, uint8_t *bytes)
{
	const struct shard *s = rig_slot_shard(r, slot);

	assert_non_null(s);
	content_read(&s->committed.content, 0, bytes, r->part);
}

/* A cluster at rest, with the scrub on and objects in it. */
void rig_init(struct rig *r, uint32_t k, uint32_t m, uint32_t scrub_ms)
{
	struct sim_format format = {.k = k, .m = m, .object_shift = 20, .grace_ms = 5000};
	struct world *w = r->w = world_create(k * 100 + m, false, NULL);

	w->net = sim_net_create(w);
	w->member = sim_member_create(w);
	w->profile = (struct sim_profile){.delay_min_us = 50,
	                                  .delay_max_us = 500,
	                                  .slow_max_us = 1000,
	                                  .fifo = true,
	                                  .disk_min_us = 20,
	                                  .disk_max_us = 100,
	                                  .sync_us = 100,
	                                  .ping_ms = 300,
	                                  .lease_ms = 1000,
	                                  .session_ms = 2000,
	                                  .notify_max_us = 1000,
	                                  .compute_max_us = 100,
	                                  .scrub_ms = scrub_ms};
	w->node_count = RIG_NODES;
	for (uint32_t i = 0; i < RIG_NODES; i++)
		sim_node_create(w, i, 1, i);
	sim_member_set_pg_count(w, 4);
	w->client_count = 2;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_create(w, i);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		sim_node_start(w, i);
	sim_client_format(w, 0, &format);
	while (!w->failed && !sim_member_map(w))
		world_run_until(w, w->now_us + 50 * SIM_MS);
	assert_false(w->failed);
	workload_create(w, sim_member_map(w), OBJECTS);
	w->workload->ops_left = OPERATIONS;
	w->workload->pause_max_us = 1000;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	rig_run_until_idle(r);
	rig_run_until_clean(r);
	r->pool = map_find_pool(sim_member_map(w), POOL_DATA);
	r->part = ec_part_size(k, 1u << 20);
	assert_true(object_chosen(r));
	for (uint32_t i = 0; i < k + m; i++) {
		r->before[i] = xmalloc(r->part);
		rig_shard_bytes(r, i, r->before[i]);
	}
}

void rig_fini(struct rig *r)
{
	struct world *w = r->w;

	world_clear(w);
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_destroy(w, i);
	for (uint32_t i = 0; i < w->node_count; i++)
		sim_node_destroy(w, i);
	workload_destroy(w);
	sim_member_destroy(w->member);
	sim_net_destroy(w->net);
	world_destroy(w);
	for (uint32_t i = 0; i < MAX_SHARDS; i++)
		free(r->before[i]);
}

void rig_shard_lose(struct rig *r, uint32_t slot)
{
	struct msg remove = {.oid = r->object->oid, .shard = slot, .version = UINT64_MAX};

	disk_pg_remove(rig_slot_pg(r, slot), &remove);
	assert_null(rig_slot_shard(r, slot));
}

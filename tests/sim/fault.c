/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/fault.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/check.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

static uint32_t running_draw(struct world *w)
{
	uint32_t node = draw_below(w, w->node_count);

	for (uint32_t i = 0; i < w->node_count; i++, node = (node + 1) % w->node_count)
		if (sim_node_is_running(w, node))
			return node;
	return UINT32_MAX;
}

/* ---- Crashes ---- */

static void node_restart(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	if (n->state == NODE_OFF)
		sim_node_start(w, n->index);
}

static uint64_t away_draw(struct world *w)
{
	/* Back before anybody noticed, soon, or after it was declared out. */
	return draw_skewed(w, 20 * SIM_MS, 20 * SIM_SECOND);
}

static void fault_crash(struct world *w)
{
	uint32_t count = draw_below(w, 3) ? 1 : draw_between(w, 1, w->node_count);

	for (; count > 0; count--) {
		uint32_t node = running_draw(w);

		if (node == UINT32_MAX)
			return;
		sim_node_crash(w, node);
		world_after(w, away_draw(w), node_restart, w->nodes[node], NULL);
	}
}

static void fault_power_cut(struct world *w)
{
	uint64_t away = away_draw(w);

	for (uint32_t i = 0; i < w->node_count; i++) {
		if (!sim_node_is_running(w, i))
			continue;
		sim_node_crash(w, i);
		world_after(w, away + draw_below(w, 3 * SIM_SECOND), node_restart, w->nodes[i],
		            NULL);
	}
}

static void fault_pause(struct world *w)
{
	uint32_t node = running_draw(w);

	if (node != UINT32_MAX)
		sim_node_pause(w, node,
		               draw_between(w, 0, 1) * 3 * SIM_SECOND +
		                       draw_skewed(w, 50 * SIM_MS, 8 * SIM_SECOND));
}

/* ---- Partitions ---- */

struct partition {
	uint64_t cut[SIM_ENDS]; /* bit set of ends that this end no longer reaches */
};

static void partition_heal(struct world *w, void *arg)
{
	struct partition *p = arg;

	for (uint32_t a = 0; a < SIM_ENDS; a++)
		for (uint32_t b = 0; b < SIM_ENDS; b++)
			if (p->cut[a] & 1ull << b)
				sim_net_heal(w, a, b);
	free(p);
}

static void partition_add(struct world *w, struct partition *p, uint32_t from, uint32_t to)
{
	static_assert(SIM_ENDS <= 64, "a bit set per end");

	p->cut[from] |= 1ull << to;
	sim_net_cut(w, from, to);
}

/* Two sides; the membership service and each client are on one of them. */
static void partition_sides(struct world *w, struct partition *p, bool one_way)
{
	uint64_t side = prng_next(&w->prng);

	for (uint32_t a = 0; a < SIM_ENDS; a++) {
		for (uint32_t b = 0; b < SIM_ENDS; b++) {
			bool across = (side >> a & 1) && !(side >> b & 1);

			if (a == b || !across)
				continue;
			partition_add(w, p, a, b);
			if (!one_way)
				partition_add(w, p, b, a);
		}
	}
}

static void partition_pairs(struct world *w, struct partition *p)
{
	for (uint32_t i = draw_between(w, 1, w->node_count); i > 0; i--) {
		uint32_t a = draw_below(w, w->node_count), b = draw_below(w, w->node_count);

		if (a == b)
			continue;
		partition_add(w, p, a, b);
		if (draw_below(w, 2))
			partition_add(w, p, b, a);
	}
}

/* One node alone with the clients, or without them: the old primary that goes on. */
static void partition_node(struct world *w, struct partition *p)
{
	uint32_t node = draw_below(w, w->node_count);
	bool service = draw_below(w, 3), clients = draw_below(w, 3) == 0;

	for (uint32_t other = 0; other < SIM_ENDS; other++) {
		bool is_client = other >= SIM_CLIENT_0 && other < SIM_SERVICE;

		if (other == node || (is_client && !clients) || (other == SIM_SERVICE && !service))
			continue;
		partition_add(w, p, node, other);
		partition_add(w, p, other, node);
	}
}

static void fault_partition(struct world *w)
{
	struct partition *p = xcalloc(1, sizeof(*p));
	uint64_t duration = draw_skewed(w, 100 * SIM_MS, 12 * SIM_SECOND);

	switch (draw_below(w, 5)) {
	case 0:
		partition_sides(w, p, false);
		break;
	case 1:
		partition_sides(w, p, true);
		break;
	case 2:
		partition_pairs(w, p);
		break;
	default:
		partition_node(w, p);
		duration += draw_below(w, 2) * 4 *
		            SIM_SECOND; /* long enough for others to act without it */
		break;
	}
	world_trace(w, "partition");
	world_after(w, duration, partition_heal, p, free);
}

/* ---- What never comes back ---- */

static bool loss_allowed(struct world *w, const struct fault_plan *plan)
{
	uint32_t left = 0;
	char why[CHECK_WHY_LEN];

	for (uint32_t i = 0; i < w->node_count; i++)
		left += w->nodes[i]->state != NODE_GONE;
	if (plan->lost == plan->lost_max || left <= plan->min_nodes)
		return false;
	return plan->lost == 0 || (sim_nodes_at_rest(w) && check_clean(w, why) == 0);
}

static bool fault_node_lost(struct world *w, struct fault_plan *plan)
{
	uint32_t node = draw_below(w, w->node_count);

	if (w->nodes[node]->state == NODE_GONE || w->nodes[node]->life == 0 ||
	    !loss_allowed(w, plan))
		return false;
	plan->lost++;
	sim_node_lose(w, node);
	return true;
}

static bool fault_disk(struct world *w, struct fault_plan *plan)
{
	uint32_t node = running_draw(w), disk;

	if (node == UINT32_MAX || !loss_allowed(w, plan))
		return false;
	disk = draw_below(w, w->nodes[node]->info.disk_count);
	if (w->nodes[node]->info.disk_count < 2 || w->nodes[node]->disks[disk].failed)
		return false;
	plan->lost++;
	sim_node_fail_disk(w, node, disk);
	return true;
}

/* ---- Bit rot ---- */

static const struct shard *shard_bad(const struct sim_disk *d, const struct sim_object *o,
                                     uint32_t pg)
{
	const struct disk_pg *held = sim_disk_pg(d, o->pool, pg);

	for (uint32_t i = 0; held && i < held->shard_count; i++)
		if (held->shards[i].oid == o->oid &&
		    (held->shards[i].committed.rotten || held->shards[i].committed.damaged))
			return &held->shards[i];
	return NULL;
}

/* One shard of an object that has no other bad one, and only where nothing is lost for good. */
static bool fault_rot(struct world *w, struct fault_plan *plan)
{
	const struct sim_object *o =
		&w->workload->objects[draw_below(w, w->workload->object_count)];
	uint32_t pg = place_pg_of(map_find_pool(sim_member_map(w), o->pool), o->oid);
	uint32_t node = draw_below(w, w->node_count);
	struct sim_node *n = w->nodes[node];
	const struct disk_pg *held;
	struct sim_disk *d;

	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t j = 0; j < w->nodes[i]->info.disk_count; j++)
			if (shard_bad(&w->nodes[i]->disks[j], o, pg))
				return false;
	d = &n->disks[draw_below(w, n->info.disk_count)];
	held = sim_disk_pg(d, o->pool, pg);
	if (plan->lost_max || d->failed || !held)
		return false;
	for (uint32_t i = 0; i < held->shard_count; i++)
		if (held->shards[i].oid == o->oid) {
			world_trace(w, "n%u: oid %llx shard %u rots", node,
			            (unsigned long long)o->oid, held->shards[i].number);
			return sim_disk_rot(d, o->pool, pg, o->oid, held->shards[i].number);
		}
	return false;
}

/* ---- The plan ---- */

static bool fault_carry_out(struct world *w, struct fault_plan *plan, enum sim_fault kind)
{
	switch (kind) {
	case FAULT_CRASH:
		fault_crash(w);
		return true;
	case FAULT_POWER_CUT:
		fault_power_cut(w);
		return true;
	case FAULT_PAUSE:
		fault_pause(w);
		return true;
	case FAULT_PARTITION:
		fault_partition(w);
		return true;
	case FAULT_NODE_LOST:
		return fault_node_lost(w, plan);
	case FAULT_DISK_FAIL:
		return fault_disk(w, plan);
	case FAULT_ROT:
		return fault_rot(w, plan);
	case FAULT_CLIENT_GONE:
		sim_client_replace(w, draw_below(w, w->client_count));
		return true;
	default:
		return false;
	}
}

static enum sim_fault kind_draw(struct world *w, const struct fault_plan *plan)
{
	uint32_t sum = 0, at;

	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		sum += plan->weight[i];
	at = draw_below(w, MAX(sum, 1u));
	for (uint32_t i = 0; i < FAULT_KINDS; i++) {
		if (at < plan->weight[i])
			return i;
		at -= plan->weight[i];
	}
	return FAULT_KINDS;
}

static void fault_turn(struct world *w, void *arg)
{
	struct fault_plan *plan = arg;
	enum sim_fault kind;

	if (plan->over)
		return;
	kind = kind_draw(w, plan);
	if (kind < FAULT_KINDS && fault_carry_out(w, plan, kind))
		w->stats.faults[kind]++;
	world_after(w, draw_below(w, 2 * plan->every_ms) * SIM_MS, fault_turn, plan, NULL);
}

void faults_start(struct world *w, struct fault_plan *plan)
{
	if (plan->every_ms)
		world_after(w, draw_below(w, 2 * plan->every_ms) * SIM_MS, fault_turn, plan, NULL);
}

void faults_heal(struct world *w, struct fault_plan *plan)
{
	world_trace(w, "healed");
	plan->over = true;
	w->profile.reset_ppm = w->profile.silent_ppm = 0;
	w->profile.slow_max_us = MIN(w->profile.slow_max_us, (uint32_t)(200 * SIM_MS));
	sim_net_heal_all(w);
	for (uint32_t i = 0; i < w->node_count; i++)
		if (w->nodes[i]->state == NODE_OFF)
			sim_node_start(w, i);
}

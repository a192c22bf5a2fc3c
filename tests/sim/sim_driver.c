/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_driver.h"

#include "lib/base/mem.h"
#include "sheep/member/member.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

void sim_driver_check_lease(struct world *w, uint32_t node, uint64_t proven_ms, uint32_t lease_ms)
{
	uint32_t known = w->nodes[node]->seen_epoch;
	uint64_t won_us = sim_member_won_us(w, known + 1);

	if (lease_ms > MEMBER_LEASE_MAX_MS)
		world_fail(w, "node %u: a lease of %u ms", node, lease_ms);
	if (won_us && sim_node_clock_ms(w->nodes[node], won_us) < proven_ms)
		world_fail(w, "node %u has a lease from %llu ms and does not know epoch %u, which had won before", node,
		           (unsigned long long)proven_ms, known + 1);
}

void sim_proposals_add(struct sim_proposals *p, const struct map *map)
{
	struct map **place = &p->maps[p->count++ % SIM_PROPOSED];

	map_unref(*place);
	*place = map_ref((struct map *)map);
}

void sim_proposals_fini(struct sim_proposals *p)
{
	for (uint32_t i = 0; i < SIM_PROPOSED; i++)
		map_unref(p->maps[i]);
}

void sim_proposals_check_won(struct world *w, uint32_t node, const struct sim_proposals *p)
{
	for (uint32_t i = 0; i < SIM_PROPOSED; i++)
		if (p->maps[i] && sim_member_is_register_map(w, p->maps[i]))
			return;
	world_fail(w, "node %u is told that its proposal won, but none of its last ones did", node);
}

struct sim_turn *sim_turn_create(struct world *w, uint32_t node)
{
	struct sim_turn *t = xcalloc(1, sizeof(*t));

	t->node = node;
	t->life = sim_node_life(w, node);
	return t;
}

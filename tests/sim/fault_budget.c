/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a fault keeps to what a healthy cluster must survive (README.md). */
#include "lib/place/map.h"
#include "lib/place/place.h"
#include "tests/sim/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

/* The operator's word that a disk is to go has not reached the map yet. */
static bool goes_soon(const struct world *w, const struct sim_disk *disk)
{
	const struct map_disk *d = disk->taken_out ? map_find_disk(sim_member_map(w), disk->id) : NULL;

	return d && !(d->flags & DISK_FAILED);
}

/* Errors of disks that nobody has met yet, and the like: losses that nobody can have made good. */
static bool losses_to_come(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count; d++) {
			const struct sim_disk *disk = &w->nodes[i]->disks[d];
			if (w->nodes[i]->state != NODE_GONE && !disk->failed &&
			    (disk->eio_reads || disk->eio_writes || goes_soon(w, disk)))
				return true;
		}
	return false;
}

/* Every node that is not lost for good is there and has nothing to do; every shard is where it
 * should be, at its version, and sound. */
static bool all_whole(struct world *w)
{
	char why[CHECK_WHY_LEN];

	return sim_nodes_at_rest(w) && !losses_to_come(w) && check_clean(w, why) == 0 &&
	       check_sound(w, why) == 0;
}

bool budget_is_counted(const struct sim_disk *d)
{
	return d->failed || d->taken_out || d->eio_reads || d->eio_writes;
}

/* A copy of a disk in another node: whenever that node starts, it may be taken for the disk. */
static bool copies_about(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count; d++)
			for (uint32_t j = 0; j < i; j++)
				if (w->nodes[i]->state != NODE_GONE &&
				    w->nodes[j]->state != NODE_GONE &&
				    sim_node_has_disk(w->nodes[j], w->nodes[i]->disks[d].id))
					return true;
	return false;
}

static uint32_t usable_disks(const struct sim_node *n, uint32_t without)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n->info.disk_count; i++)
		count += i != without && !budget_is_counted(&n->disks[i]);
	return n->state == NODE_GONE ? 0 : count;
}

/* Places for slots that are left without this disk, or node. */
static bool enough_left(const struct world *w, const struct fault_plan *plan, uint32_t node,
                        uint32_t disk)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < w->node_count; i++) {
		uint32_t usable;

		if (i == node && disk == UINT32_MAX)
			continue;
		usable = usable_disks(w->nodes[i], i == node ? disk : UINT32_MAX);
		left += plan->same_node_ok ? usable : usable > 0;
	}
	return left >= plan->min_nodes;
}

bool budget_moved(const struct world *w, const struct fault_plan *plan, uint32_t node, uint32_t disk)
{
	return plan->reckless || enough_left(w, plan, node, disk);
}

bool budget_loss(struct world *w, struct fault_plan *plan, uint32_t node, uint32_t disk)
{
	char why[CHECK_WHY_LEN];

	if (plan->reckless && plan->losses_left) {
		plan->losses_left--;
		plan->beyond += plan->hurt;
		plan->hurt = true;
		return true;
	}
	if (!plan->losses_left || !enough_left(w, plan, node, disk) ||
	    (plan->same_node_ok && disk == UINT32_MAX))
		return false;
	if (disk == UINT32_MAX && plan->swapped && !all_whole(w))
		return false;
	if (plan->burst && w->now_us == plan->burst_until_us) {
		plan->burst--;
	} else if (all_whole(w)) {
		/* As many at once as there is redundancy. */
		plan->burst = draw_below(w, plan->m);
		plan->burst_until_us = w->now_us;
	} else if (plan->hurt || check_sound(w, why)) {
		return false;
	}
	plan->swapped = plan->swapped && disk != UINT32_MAX;
	plan->hurt = true;
	plan->losses_left--;
	return true;
}

bool budget_lie(struct world *w, struct fault_plan *plan)
{
	if (!plan->losses_left || sim_net_any_cut(w) || copies_about(w) || !all_whole(w))
		return false;
	plan->losses_left--;
	plan->hurt = plan->lying = true;
	return true;
}

bool budget_rot(struct world *w, struct fault_plan *plan, uint32_t pool, uint64_t oid)
{
	if (plan->reckless)
		return true;
	if (plan->hurt && !all_whole(w))
		return false;
	plan->hurt = false;
	return !check_object_rot(w, pool, oid);
}

bool budget_away(struct world *w, struct fault_plan *plan)
{
	bool copies = copies_about(w);

	if ((plan->lying || copies) && !all_whole(w))
		return false;
	plan->lying = copies;
	plan->hurt = plan->hurt || copies;
	return true;
}

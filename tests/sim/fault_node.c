/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to whole nodes, and what operators do. */
#include "lib/base/math.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

static bool crash(struct world *w, struct fault *f)
{
	uint32_t count = draw_below(w, 3) ? 1 : draw_between(w, 1, w->node_count), last = 0, i;

	for (i = 0; i < count; i++) {
		uint32_t node = fault_draw_running(w);

		if (node == UINT32_MAX)
			break;
		last = node;
		sim_node_crash(w, node);
		fault_restart_after(w, node, fault_draw_away(w));
	}
	fault_say(w, f, "crash of %u nodes, n%u the last", i, last);
	return i > 0;
}

static bool power_cut(struct world *w, struct fault *f)
{
	uint64_t away = fault_draw_away(w);

	for (uint32_t i = 0; i < w->node_count; i++) {
		if (!sim_node_is_running(w, i))
			continue;
		sim_node_crash(w, i);
		fault_restart_after(w, i, away + draw_below(w, 3 * SIM_SECOND));
	}
	fault_say(w, f, "power cut for %llu ms", (unsigned long long)(away / SIM_MS));
	return true;
}

static bool pause_node(struct world *w, struct fault *f)
{
	uint32_t node = fault_draw_running(w);
	uint64_t duration = draw_between(w, 0, 1) * 3 * SIM_SECOND +
	                    draw_skewed(w, 50 * SIM_MS, 8 * SIM_SECOND);

	if (node == UINT32_MAX)
		return false;
	fault_say(w, f, "n%u stops for %llu ms", node, (unsigned long long)(duration / SIM_MS));
	sim_node_pause(w, node, duration);
	w->stats.fault[FAULT_PAUSE_LONG] += duration > w->profile.lease_ms * SIM_MS;
	return true;
}

static bool leave(struct world *w, struct fault *f)
{
	uint32_t node = fault_draw_running(w);

	if (node == UINT32_MAX)
		return false;
	fault_say(w, f, "n%u leaves", node);
	sim_node_leave(w, node);
	/* Until it has left, and then a while. */
	fault_restart_after(w, node, fault_draw_away(w) + 3 * SIM_SECOND);
	return true;
}

static bool lose(struct world *w, struct fault_plan *plan, struct fault *f)
{
	uint32_t node = draw_below(w, w->node_count);

	if (w->nodes[node]->state == NODE_GONE || w->nodes[node]->life == 0 || !sim_member_may_lose(w) ||
	    !budget_loss(w, plan, node, UINT32_MAX))
		return false;
	fault_say(w, f, "n%u is lost for good", node);
	sim_node_lose(w, node);
	return true;
}

static bool swap_disks(struct world *w, struct fault_plan *plan, struct fault *f)
{
	uint32_t a = draw_below(w, w->node_count), b = draw_below(w, w->node_count), i, j;
	struct sim_node *x = w->nodes[a], *y = w->nodes[b];

	if (a == b || x->state == NODE_GONE || y->state == NODE_GONE || !x->life || !y->life)
		return false;
	i = draw_below(w, x->info.disk_count);
	j = draw_below(w, y->info.disk_count);
	if (budget_is_counted(&x->disks[i]) || budget_is_counted(&y->disks[j]))
		return false; /* lost to its node: it has to stay there */
	if (sim_node_is_running(w, a))
		sim_node_crash(w, a);
	if (sim_node_is_running(w, b))
		sim_node_crash(w, b);
	sim_node_swap_disks(w, a, i, b, j);
	plan->swapped = true;
	fault_say(w, f, "disk %u of n%u and disk %u of n%u swapped", i, a, j, b);
	fault_restart_after(w, a, fault_draw_away(w));
	fault_restart_after(w, b, fault_draw_away(w));
	return true;
}

static bool weight(struct world *w, struct fault *f)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;
	struct sim_node *n = w->nodes[draw_below(w, w->node_count)];

	ask.verb = SF__ADMIN_REQUEST__VERB__WEIGHT;
	ask.disk = n->info.disks[draw_below(w, n->info.disk_count)].id;
	ask.weight = draw_between(w, 1, 8);
	fault_say(w, f, "a disk of n%u weighs %u", n->index, ask.weight);
	fault_ask(w, &ask);
	return true;
}

/* Two times of three on, for any node there is: also one that is down. */
static bool operate(struct world *w, struct fault_plan *plan, struct fault *f)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;
	struct sim_node *n = w->nodes[draw_below(w, w->node_count)];

	ask.verb = f->kind == FAULT_NODE_DRAIN ? SF__ADMIN_REQUEST__VERB__DRAIN
	                                       : SF__ADMIN_REQUEST__VERB__MAINTENANCE;
	ask.node = n->info.id;
	ask.on = draw_below(w, 3);
	fault_say(w, f, "n%u: %s %s", n->index,
	          f->kind == FAULT_NODE_DRAIN ? "drain" : "maintenance", ask.on ? "on" : "off");
	fault_ask(w, &ask);
	/* Drained, it may go: for so long that it is forgotten. */
	if (f->kind == FAULT_NODE_DRAIN && ask.on && draw_below(w, 2) && budget_away(w, plan) &&
	    sim_node_is_running(w, n->index)) {
		sim_node_leave(w, n->index);
		fault_restart_after(w, n->index, draw_between(w, 4, 20) * SIM_SECOND);
	}
	return true;
}

static bool grace(struct world *w, struct fault *f)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;

	ask.verb = SF__ADMIN_REQUEST__VERB__GRACE;
	ask.grace_ms = draw_between(w, 1, 12) * 1000;
	fault_say(w, f, "grace of %u ms", ask.grace_ms);
	fault_ask(w, &ask);
	return true;
}

static void recovery_on(struct world *w, void *arg)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;

	ask.verb = SF__ADMIN_REQUEST__VERB__RECOVERY;
	ask.enable = true;
	fault_ask(w, &ask);
}

static bool recovery_off(struct world *w, struct fault *f)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;

	ask.verb = SF__ADMIN_REQUEST__VERB__RECOVERY;
	fault_say(w, f, "recovery off for a while");
	fault_ask(w, &ask);
	world_after(w, draw_skewed(w, SIM_SECOND, 8 * SIM_SECOND), recovery_on, NULL, NULL);
	return true;
}

static bool wall_jump(struct world *w, struct fault *f)
{
	struct sim_node *n = w->nodes[draw_below(w, w->node_count)];

	n->wall_offset_s = (int64_t)draw_below(w, 20000000) - 10000000;
	fault_say(w, f, "the wall clock of n%u jumps by %lld s", n->index,
	          (long long)n->wall_offset_s);
	return true;
}

bool fault_node(struct world *w, struct fault_plan *plan, struct fault *f)
{
	switch (f->kind) {
	case FAULT_CRASH:
		return crash(w, f);
	case FAULT_POWER_CUT:
		return power_cut(w, f);
	case FAULT_PAUSE:
		return pause_node(w, f);
	case FAULT_LEAVE:
		return leave(w, f);
	case FAULT_NODE_LOST:
		return lose(w, plan, f);
	case FAULT_SWAPPED_DISK:
		return swap_disks(w, plan, f);
	case FAULT_WEIGHT:
		return weight(w, f);
	case FAULT_GRACE:
		return grace(w, f);
	case FAULT_RECOVERY_OFF:
		return recovery_off(w, f);
	case FAULT_NODE_DRAIN:
	case FAULT_MAINTENANCE:
		return operate(w, plan, f);
	case FAULT_WALL:
		return wall_jump(w, f);
	default:
		return false;
	}
}

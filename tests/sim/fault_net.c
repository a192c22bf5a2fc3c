/* SPDX-License-Identifier: Apache-2.0 */

/* Partitions: in two, one way, some pairs (so that a sees b and b sees c, but a not c), one node. */
#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_net.h"

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
static void partition_node(struct world *w, struct partition *p, uint32_t node)
{
	bool service = draw_below(w, 3), clients = draw_below(w, 3) == 0;

	for (uint32_t other = 0; other < SIM_ENDS; other++) {
		bool is_client = other >= SIM_CLIENT_0 && other < SIM_SERVICE;

		if (other == node || (is_client && !clients) || (other == SIM_SERVICE && !service))
			continue;
		partition_add(w, p, node, other);
		partition_add(w, p, other, node);
	}
}

bool fault_net(struct world *w, struct fault *f)
{
	struct partition *p = xcalloc(1, sizeof(*p));
	uint64_t duration = draw_skewed(w, 100 * SIM_MS, 12 * SIM_SECOND);
	uint32_t node = draw_below(w, w->node_count);

	if (f->kind == FAULT_ALONE) {
		duration += draw_below(w, 2) * 4 * SIM_SECOND; /* so that others act without it */
		partition_node(w, p, node);
		fault_say(w, f, "n%u is cut off for %llu ms", node,
		          (unsigned long long)(duration / SIM_MS));
	} else {
		if (f->kind == FAULT_PAIRS)
			partition_pairs(w, p);
		else
			partition_sides(w, p, f->kind == FAULT_ONE_WAY);
		fault_say(w, f, "%s for %llu ms", sim_fault_name[f->kind],
		          (unsigned long long)(duration / SIM_MS));
	}
	world_after(w, duration, partition_heal, p, free);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tests/sim/check.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

enum { DISK_QUEUE_MAX = 4096, NET_MAX = 50000, STEP_MAX = 8192 };

int check_bounds(const struct world *w, char why[CHECK_WHY_LEN])
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_node *n = w->nodes[i];

		for (uint32_t d = 0; d < n->info.disk_count; d++) {
			uint32_t peak = disk_queue_peak(n->queues[d]);

			if (peak <= DISK_QUEUE_MAX)
				continue;
			snprintf(why, CHECK_WHY_LEN, "node %u had %u jobs queued for one disk", i,
			         peak);
			return -1;
		}
		if (n->wide > STEP_MAX) {
			snprintf(why, CHECK_WHY_LEN, "node %u had %u effects of one event", i,
			         n->wide);
			return -1;
		}
	}
	if (sim_net_peak(w) > NET_MAX) {
		snprintf(why, CHECK_WHY_LEN, "%u messages were under way", sim_net_peak(w));
		return -1;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/stats.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/wire/msg.h"

const char *const sim_fault_name[FAULT_KINDS] = {
#define X(name, text) [name] = text,
	SIM_FAULTS(X)
#undef X
};

const char *const sim_branch_name[BRANCHES] = {
#define X(name, text) [name] = text,
	SIM_BRANCHES(X)
#undef X
};

void stats_close(struct sim_stats *s)
{
	s->seeds = 1;
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		s->fault_seeds[i] = s->fault[i] > 0;
	for (uint32_t i = 0; i < BRANCHES; i++)
		s->branch_seeds[i] = s->branch[i] > 0;
}

void stats_add(struct sim_stats *a, const struct sim_stats *b)
{
	static_assert(sizeof(*a) % sizeof(uint64_t) == 0, "nothing but counters");
	uint64_t heal_max = MAX(a->heal_max_ms, b->heal_max_ms);
	const uint64_t *from = (const uint64_t *)b;
	uint64_t *to = (uint64_t *)a;

	for (uint32_t i = 0; i < sizeof(*a) / sizeof(uint64_t); i++)
		to[i] += from[i];
	a->heal_max_ms = heal_max;
}

static uint32_t table_print(const char *title, const char *const *name, const uint64_t *count,
                            const uint64_t *seeds, uint32_t rows)
{
	uint32_t never = 0;

	printf("%-52s %12s %10s\n", title, "occurrences", "seeds");
	for (uint32_t i = 0; i < rows; i++) {
		bool fence = strstr(name[i], SECOND_FENCE);
		printf("  %-50s %12" PRIu64 " %10" PRIu64 "%s\n", name[i], count[i], seeds[i],
		       count[i] || fence ? "" : "  NEVER");
		never += count[i] == 0 && !fence;
	}
	return never;
}

static void answers_print(const struct sim_stats *s)
{
	printf("answers of nodes\n");
	for (uint32_t t = 0; t < STAT_TYPES; t++) {
		bool any = false;

		for (uint32_t r = 0; r < STAT_RESULTS; r++) {
			if (!s->answers[t][r])
				continue;
			if (!any)
				printf("  %s:", msg_type_name(t));
			printf("%s %s %" PRIu64, any ? "," : "", wire_result_text(r),
			       s->answers[t][r]);
			any = true;
		}
		if (any)
			putchar('\n');
	}
}

uint32_t stats_print(const struct sim_stats *s)
{
	uint32_t never;

	table_print("faults", sim_fault_name, s->fault, s->fault_seeds, FAULT_KINDS);
	never = table_print("branches of the protocol", sim_branch_name, s->branch, s->branch_seeds,
	                    BRANCHES);
	answers_print(s);
	printf("operations acknowledged %" PRIu64 ", retries %" PRIu64
	       ", without an answer %" PRIu64 ", objects not decided %" PRIu64 "\n",
	       s->ops_ok, s->retries, s->ops_open, s->undecided);
	printf("events %" PRIu64 ", messages %" PRIu64 ", disk jobs %" PRIu64 ", epochs %" PRIu64
	       ", simulated %" PRIu64 " s\n",
	       s->events, s->messages, s->disk_jobs, s->epochs, s->simulated_s);
	printf("healing took %.1f s at the mean, %.1f s at most\n",
	       s->seeds ? s->heal_ms / 1000.0 / s->seeds : 0, s->heal_max_ms / 1000.0);
	return never;
}

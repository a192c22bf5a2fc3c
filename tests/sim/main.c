/* SPDX-License-Identifier: Apache-2.0 */

/* sim --seeds A-B [--nodes N] [--trace] [--quick]: runs seeds; a failing one is printed with its
 * reason. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"

struct totals {
	uint64_t seeds, failed;
	struct sim_stats stats;
	double seconds;
};

/* For the line that a failed assertion leaves behind. */
static volatile uint64_t running_seed;

static void abort_handler(int sig)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "seed %" PRIu64 ": aborted\n", running_seed);

	if (write(STDOUT_FILENO, text, len) != len)
		_exit(3);
}

static int usage(void)
{
	fprintf(stderr, "usage: sim --seeds A[-B] [--nodes N] [--trace] [--quick]\n");
	return 2;
}

static void run_seed(struct scenario_options *options, struct totals *t)
{
	static struct scenario_result result;

	running_seed = options->seed;
	scenario_run(options, &result);
	t->seeds++;
	stats_add(&t->stats, &result.stats);
	if (result.failed) {
		t->failed++;
		printf("seed %" PRIu64 ": %s\n", options->seed, result.why);
	}
	if (options->trace)
		printf("trace hash %016" PRIx64 "\n", result.trace_hash);
	fflush(stdout);
}

static void report(const struct totals *t)
{
	const struct sim_stats *s = &t->stats;

	printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f s (%.0f seeds/s)\n", t->seeds,
	       t->failed, t->seconds, t->seeds / t->seconds);
	printf("operations acknowledged %" PRIu64 ", retries %" PRIu64
	       ", without an answer %" PRIu64 ", objects not decided %" PRIu64 "\n",
	       s->ops_ok, s->retries, s->ops_open, s->undecided);
	printf("events %" PRIu64 ", messages %" PRIu64 ", disk jobs %" PRIu64 ", epochs %" PRIu64
	       "\n",
	       s->events, s->messages, s->disk_jobs, s->epochs);
	printf("faults:");
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		printf(" %s %" PRIu64 "%s", sim_fault_name[i], s->faults[i],
		       i + 1 < FAULT_KINDS ? "," : "\n");
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'},
		{"nodes", required_argument, NULL, 'n'},
		{"trace", no_argument, NULL, 't'},
		{"quick", no_argument, NULL, 'q'},
		{NULL, 0, NULL, 0},
	};
	struct scenario_options options = {0};
	struct totals totals = {0};
	uint64_t first = 0, last = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's') {
			int n = sscanf(optarg, "%" SCNu64 "-%" SCNu64, &first, &last);
			if (n < 1)
				return usage();
			if (n == 1)
				last = first;
		} else if (c == 'n') {
			options.nodes = strtoul(optarg, NULL, 10);
		} else if (c == 't') {
			options.trace = true;
		} else if (c == 'q') {
			options.quick = true;
		} else {
			return usage();
		}
	}
	if (optind != argc || last < first ||
	    (options.nodes && (options.nodes < 3 || options.nodes > 16)))
		return usage();
	signal(SIGABRT, abort_handler);
	totals.seconds = -now_s();
	for (options.seed = first; options.seed <= last; options.seed++)
		run_seed(&options, &totals);
	totals.seconds += now_s();
	report(&totals);
	return totals.failed ? 1 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sim --seeds A[-B] [--jobs N] [--nodes N] [--quick] [--no-shrink] [--swaps] [--operators] [--trace]
 *     [--driver NAME] [--volumes] [--salt S] [--drop MASK]
 *
 * Runs seeds. A failing one is printed with its reason and, made smaller, with the faults that it
 * needs. At the end: how often each fault and each branch of the protocol occurred. With --trace
 * one seed tells all that happens in it; --salt and --drop are what a smaller run needs.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/runner.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/volumes.h"

static int usage(void)
{
	fprintf(stderr, "usage: sim --seeds A[-B] [--jobs N] [--nodes N] [--quick] [--no-shrink] "
	                "[--swaps] [--operators] [--volumes] [--trace] [--salt S] [--drop MASK]\n"
	                "           [--driver zookeeper|corosync]\n");
	return 2;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* In this process, for a debugger. */
static int run_traced(struct runner *r)
{
	static struct scenario_result result;
	struct scenario_options options = r->options;

	for (options.seed = r->first; options.seed <= r->last; options.seed++) {
		scenario_run(&options, &result);
		if (result.failed)
			printf("seed %" PRIu64 ": %s\n", options.seed, result.why);
		printf("trace hash %016" PRIx64 "\n", result.trace_hash);
		r->failed += result.failed;
	}
	return r->failed ? 1 : 0;
}

static int run_seeds(struct runner *r)
{
	double seconds = -now_s();
	uint32_t never;

	if (runner_run(r))
		return 2;
	seconds += now_s();
	never = stats_print(&r->stats);
	printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f s (%.0f seeds/s); %u branches never "
	       "occurred\n",
	       r->last - r->first + 1, r->failed, seconds, (r->last - r->first + 1) / seconds,
	       never);
	return r->failed ? 1 : 0;
}

static bool parse(struct runner *r, int c, const char *arg)
{
	switch (c) {
	case 's': {
		int n = sscanf(arg, "%" SCNu64 "-%" SCNu64, &r->first, &r->last);

		if (n == 1)
			r->last = r->first;
		return n >= 1;
	}
	case 'j':
		r->jobs = strtoul(arg, NULL, 10);
		return r->jobs > 0;
	case 'n':
		r->options.nodes = strtoul(arg, NULL, 10);
		return r->options.nodes >= 1 && r->options.nodes <= SIM_MAX_NODES;
	case 't':
		r->options.trace = true;
		return true;
	case 'q':
		r->options.quick = true;
		return true;
	case 'w':
		r->options.swaps = true;
		return true;
	case 'o':
		r->options.operators = true;
		return true;
	case 'v':
		r->options.volumes = volumes_run;
		return true;
	case 'd':
		r->options.driver = sim_driver_find(arg);
		return r->options.driver;
	case 'k':
		r->shrink = false;
		return true;
	case 'S':
		r->options.salt = strtoull(arg, NULL, 10);
		return true;
	case 'D':
		r->options.dropped = strtoull(arg, NULL, 16);
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"seeds", required_argument, NULL, 's'}, {"jobs", required_argument, NULL, 'j'},
		{"nodes", required_argument, NULL, 'n'}, {"trace", no_argument, NULL, 't'},
		{"quick", no_argument, NULL, 'q'},       {"no-shrink", no_argument, NULL, 'k'},
		{"salt", required_argument, NULL, 'S'},  {"drop", required_argument, NULL, 'D'},
		{"driver", required_argument, NULL, 'd'}, {"volumes", no_argument, NULL, 'v'},
		{"swaps", no_argument, NULL, 'w'},       {"operators", no_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	struct runner r = {.jobs = 1, .shrink = true, .first = 1};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (!parse(&r, c, optarg))
			return usage();
	if (optind != argc || r.last < r.first)
		return usage();
	return r.options.trace ? run_traced(&r) : run_seeds(&r);
}

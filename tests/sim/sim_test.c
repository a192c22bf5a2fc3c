/* SPDX-License-Identifier: Apache-2.0 */

/* Seeds for every `make check`, the named ones of tests/sim/scenarios, and that a seed repeats
 * exactly. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/sim/runner.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/volumes.h"

/* With SF_QUICK (sanitizers): a tenth. */
enum { SEEDS = 2000, SEEDS_QUICK = 200 };

static uint64_t seeds_fail(const struct scenario_options *options, uint64_t first, uint64_t last)
{
	static struct runner r;

	r = (struct runner){
		.options = *options,
		.first = first,
		.last = last,
		.jobs = runner_jobs(),
		.shrink = true,
	};
	assert_int_equal(runner_run(&r), 0);
	return r.failed;
}

static uint64_t seeds(void)
{
	return getenv("SF_QUICK") ? SEEDS_QUICK : SEEDS;
}

static void seeds_keep_every_promise(void **state)
{
	struct scenario_options options = {0};

	assert_int_equal(seeds_fail(&options, 1, seeds()), 0);
}

static void zookeeper_decides_membership_without_harm(void **state)
{
	struct scenario_options options = {.driver = sim_driver_find("zookeeper")};

	assert_non_null(options.driver);
	assert_int_equal(seeds_fail(&options, 1, seeds() / 5), 0);
}

static void corosync_decides_membership_without_harm(void **state)
{
	struct scenario_options options = {.driver = sim_driver_find("corosync")};

	assert_non_null(options.driver);
	assert_int_equal(seeds_fail(&options, 1, seeds() / 10), 0);
}

static void compare_and_swap_is_linearizable_too(void **state)
{
	struct scenario_options options = {.swaps = true};

	assert_int_equal(seeds_fail(&options, 1, seeds() / 10), 0);
}

static void nodes_are_drained_and_worked_on_without_harm(void **state)
{
	struct scenario_options options = {.operators = true};

	assert_int_equal(seeds_fail(&options, 1, seeds() / 5), 0);
}

static void volumes_are_what_was_done_to_them(void **state)
{
	struct scenario_options options = {.volumes = volumes_run};

	assert_int_equal(seeds_fail(&options, 1, seeds() / 20), 0);
}

/* Lines of "seed salt drop [zookeeper:|corosync:|volumes:] why"; # begins a comment. */
static void seeds_that_once_failed_keep_every_promise(void **state)
{
	const char *top = getenv("srcdir");
	char path[4096], line[512];
	uint64_t failed = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/sim/scenarios", top ? top : ".");
	f = fopen(path, "r");
	if (!f)
		skip();
	while (fgets(line, sizeof(line), f)) {
		struct scenario_options options = {0};
		char word[16] = "";

		if (line[0] == '#' || sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNx64 " %15[a-z]:", &options.seed,
		                             &options.salt, &options.dropped, word) < 3)
			continue;
		options.driver = sim_driver_find(word);
		if (strcmp(word, "volumes") == 0)
			options.volumes = volumes_run;
		failed += seeds_fail(&options, options.seed, options.seed);
	}
	fclose(f);
	assert_int_equal(failed, 0);
}

static void a_seed_repeats_exactly(void **state)
{
	static struct scenario_result first, again;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct scenario_options options = {.seed = seed};

		scenario_run(&options, &first);
		scenario_run(&options, &again);
		assert_int_equal(first.trace_hash, again.trace_hash);
		assert_int_equal(first.stats.events, again.stats.events);
	}
}

static void a_seed_of_volumes_repeats_exactly_too(void **state)
{
	static struct scenario_result first, again;

	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct scenario_options options = {.seed = seed, .volumes = volumes_run};

		scenario_run(&options, &first);
		scenario_run(&options, &again);
		assert_int_equal(first.trace_hash, again.trace_hash);
	}
}

static void another_seed_is_another_run(void **state)
{
	static struct scenario_result first, other;
	struct scenario_options options = {.seed = 1};

	scenario_run(&options, &first);
	options.seed = 2;
	scenario_run(&options, &other);
	assert_true(first.trace_hash != other.trace_hash);
}

static void another_salt_is_another_course_of_the_same_plan(void **state)
{
	static struct scenario_result first, other;
	struct scenario_options options = {.seed = 1};

	scenario_run(&options, &first);
	options.salt = 1;
	scenario_run(&options, &other);
	assert_true(first.trace_hash != other.trace_hash);
	assert_int_equal(first.fault_count, other.fault_count);
	for (uint32_t i = 0; i < first.fault_count; i++) {
		assert_int_equal(first.faults[i].kind, other.faults[i].kind);
		assert_int_equal(first.faults[i].at_us, other.faults[i].at_us);
	}
}

static void what_is_dropped_does_not_happen(void **state)
{
	static struct scenario_result r;
	struct scenario_options options = {.dropped = UINT64_MAX};

	for (options.seed = 1; options.seed <= 5; options.seed++) {
		scenario_run(&options, &r);
		assert_false(r.failed);
		assert_int_equal(r.stats.fault[FAULT_CRASH], 0);
		assert_int_equal(r.stats.fault[FAULT_DUPLICATE], 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_repeats_exactly),
		cmocka_unit_test(a_seed_of_volumes_repeats_exactly_too),
		cmocka_unit_test(another_seed_is_another_run),
		cmocka_unit_test(another_salt_is_another_course_of_the_same_plan),
		cmocka_unit_test(what_is_dropped_does_not_happen),
		cmocka_unit_test(seeds_that_once_failed_keep_every_promise),
		cmocka_unit_test(seeds_keep_every_promise),
		cmocka_unit_test(zookeeper_decides_membership_without_harm),
		cmocka_unit_test(corosync_decides_membership_without_harm),
		cmocka_unit_test(compare_and_swap_is_linearizable_too),
		cmocka_unit_test(nodes_are_drained_and_worked_on_without_harm),
		cmocka_unit_test(volumes_are_what_was_done_to_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

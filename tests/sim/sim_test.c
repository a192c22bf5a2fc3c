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
#include <cmocka.h>

#include "tests/sim/scenario.h"

enum { SEEDS = 300, CASES = 6 };

static uint32_t seed_run(uint64_t seed, const char *name)
{
	static struct scenario_result result;
	struct scenario_options options = {.seed = seed};

	scenario_run(&options, &result);
	if (result.failed)
		print_message("# seed %" PRIu64 "%s%s: %s\n", seed, *name ? " " : "", name,
		              result.why);
	return result.failed;
}

static void seeds_run(uint32_t part)
{
	uint32_t failed = 0;

	for (uint64_t seed = 1 + part; seed <= SEEDS; seed += CASES)
		failed += seed_run(seed, "");
	assert_int_equal(failed, 0);
}

#define SEEDS_CASE(n)                                                                              \
	static void seeds_keep_every_promise_##n(void **state)                                     \
	{                                                                                          \
		seeds_run(n);                                                                      \
	}
SEEDS_CASE(0)
SEEDS_CASE(1)
SEEDS_CASE(2)
SEEDS_CASE(3)
SEEDS_CASE(4)
SEEDS_CASE(5)

/* Lines of "seed why"; # begins a comment. */
static void seeds_that_once_failed_keep_every_promise(void **state)
{
	const char *top = getenv("srcdir");
	char path[4096], line[512];
	uint32_t failed = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/sim/scenarios", top ? top : ".");
	f = fopen(path, "r");
	if (!f)
		skip();
	while (fgets(line, sizeof(line), f)) {
		char name[256] = "";
		uint64_t seed;

		if (line[0] != '#' && sscanf(line, "%" SCNu64 " %255[^\n]", &seed, name) >= 1)
			failed += seed_run(seed, name);
	}
	fclose(f);
	assert_int_equal(failed, 0);
}

static void a_seed_repeats_exactly(void **state)
{
	static struct scenario_result first, again;

	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct scenario_options options = {.seed = seed};

		scenario_run(&options, &first);
		scenario_run(&options, &again);
		assert_int_equal(first.trace_hash, again.trace_hash);
		assert_int_equal(first.stats.events, again.stats.events);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_repeats_exactly),
		cmocka_unit_test(another_seed_is_another_run),
		cmocka_unit_test(seeds_that_once_failed_keep_every_promise),
		cmocka_unit_test(seeds_keep_every_promise_0),
		cmocka_unit_test(seeds_keep_every_promise_1),
		cmocka_unit_test(seeds_keep_every_promise_2),
		cmocka_unit_test(seeds_keep_every_promise_3),
		cmocka_unit_test(seeds_keep_every_promise_4),
		cmocka_unit_test(seeds_keep_every_promise_5),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

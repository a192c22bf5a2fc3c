/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/unit/store_world.h"

/*
 * Random jobs on a store with small segments and on the model, with restarts, kills, lost indexes,
 * checkpoints and compaction in between. Whatever the store shows afterwards is what the model
 * shows. STORE_TEST_SEED and STORE_TEST_STEPS run one seed, and longer.
 */
static void run_batch(struct world *w)
{
	struct disk_job *jobs[WORLD_JOBS], *twins[WORLD_JOBS];
	uint32_t n = 1 + (uint32_t)world_below(w, WORLD_JOBS);
	struct list list;

	list_init(&list);
	for (uint32_t i = 0; i < n; i++) {
		jobs[i] = world_job(w);
		twins[i] = world_job_twin(jobs[i]);
		model_execute(w->m, twins[i]);
		list_push(&list, &jobs[i]->link);
	}
	store_execute(w->f->st, &list);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(model_replies_equal(jobs[i], twins[i]));
		list_remove(&jobs[i]->link);
		job_destroy(jobs[i]);
		job_destroy(twins[i]);
	}
}

static void disturb(struct world *w)
{
	struct fixture *f = w->f;
	uint32_t kind = (uint32_t)world_below(w, 10);

	if (kind < 3) {
		fixture_idle(f, 1000 + world_below(w, 12000));
		return;
	}
	if (kind < 6)
		fixture_crash(f);
	else
		fixture_close(f);
	if (kind == 5 || kind == 8)
		fixture_drop_index(f);
	fixture_open(f);
	world_tell_commits(w);
}

static void one_run(struct fixture *f, uint64_t seed, int steps)
{
	struct world w = {.f = f, .m = model_create()};

	prng_init(&w.p, seed);
	f->opt.size_bytes = 24 << 20;
	f->opt.segment_bytes = 512 << 10;
	fixture_open(f);
	for (int i = 0; i < steps; i++) {
		run_batch(&w);
		if (world_below(&w, 8) == 0)
			disturb(&w);
		if (world_below(&w, 16) == 0)
			assert_true(world_all_same(&w));
		assert_true(world_read_same(&w, (uint32_t)world_below(&w, WORLD_PGS),
		                            world_below(&w, WORLD_OIDS) + 1,
		                            (uint32_t)world_below(&w, WORLD_SHARDS),
		                            (uint32_t)world_below(&w, WORLD_REGION),
		                            1 + (uint32_t)world_below(&w, 70000)));
	}
	assert_true(world_all_same(&w));
	fixture_idle(f, 20000);
	assert_true(world_all_same(&w));
	fixture_close(f);
	fixture_drop_index(f);
	fixture_open(f);
	world_tell_commits(&w);
	assert_true(world_all_same(&w));
	model_destroy(w.m);
	fixture_close(f);
	remove_tree(f->dir);
}

static void random_jobs_restarts_and_lost_indexes_agree_with_the_model(void **state)
{
	const char *seed = getenv("STORE_TEST_SEED"), *steps = getenv("STORE_TEST_STEPS");
	uint64_t first = seed ? strtoull(seed, NULL, 0) : 1, last = seed ? first : 6;

	for (uint64_t s = first; s <= last; s++) {
		print_message("# seed %llu\n", (unsigned long long)s);
		one_run(*state, s, steps ? atoi(steps) : 120);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			random_jobs_restarts_and_lost_indexes_agree_with_the_model, fixture_setup,
			fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

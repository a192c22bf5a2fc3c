/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_powercut.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/mem.h"
#include "tests/unit/store_world.h"

/*
 * Random jobs until the power goes at some file system call. Afterwards the store holds everything
 * it has answered, and of the batch under way either nothing or its first jobs, each of them whole.
 */
struct cut {
	struct world w; /* its model: before the batch under way */
	struct powercut pc;
	struct disk_job *twins[WORLD_JOBS]; /* of the batch under way */
	uint32_t jobs;
};

/* Everything in the batch was answered, or is known by now. */
static void batch_forget(struct cut *c)
{
	for (uint32_t i = 0; i < c->jobs; i++)
		job_destroy(c->twins[i]);
	c->jobs = 0;
}

/* Returns false when the power went under it. */
static bool run_batch(struct cut *c)
{
	struct world *w = &c->w;
	struct disk_job *jobs[WORLD_JOBS];
	struct list list;

	list_init(&list);
	c->jobs = 1 + (uint32_t)world_below(w, WORLD_JOBS);
	for (uint32_t i = 0; i < c->jobs; i++) {
		jobs[i] = world_job(w);
		c->twins[i] = world_job_twin(jobs[i]);
		list_push(&list, &jobs[i]->link);
	}
	store_execute(w->f->st, &list);
	for (uint32_t i = 0; i < c->jobs; i++) {
		list_remove(&jobs[i]->link);
		if (!c->pc.off) {
			model_execute(w->m, c->twins[i]);
			assert_true(model_replies_equal(jobs[i], c->twins[i]));
		}
		job_destroy(jobs[i]);
	}
	if (c->pc.off)
		return false;
	batch_forget(c);
	return true;
}

/* Until the power goes. */
static void run_until_cut(struct cut *c)
{
	struct world *w = &c->w;

	for (;;) {
		if (!run_batch(c))
			return;
		uint32_t wait;
		w->f->now_ms += world_below(w, 4000);
		for (int i = 0; world_below(w, 3) == 0 && i < 6; i++)
			store_idle(w->f->st, w->f->now_ms, &wait);
		if (c->pc.off)
			return; /* not in a batch: everything was answered */
	}
}

/* Power on again; it may go once more while the store comes up. */
static void come_up(struct cut *c)
{
	struct world *w = &c->w;
	char text[STORE_TEXT_LEN];

	store_abandon(w->f->st);
	w->f->st = NULL;
	powercut_restore(&c->pc);
	while (world_below(w, 4) == 0) {
		c->pc.cut_at = 1 + world_below(w, 60);
		int err = store_open(&w->f->opt, &w->f->st, text);
		if (!err)
			store_abandon(w->f->st);
		w->f->st = NULL;
		powercut_restore(&c->pc);
	}
	if (world_below(w, 5) == 0)
		fixture_drop_index(w->f);
	fixture_open(w->f);
}

static bool holds_now(struct cut *c)
{
	struct world *w = &c->w;
	struct model *before = w->m;

	w->m = model_clone(before);
	world_tell_commits(w);
	bool same = world_all_same(w);
	if (!same) {
		model_destroy(w->m);
		w->m = before;
	} else {
		model_destroy(before);
	}
	return same;
}

/* Nothing of the batch under way, or its first jobs. */
static bool holds_what_was_answered(struct cut *c)
{
	for (uint32_t i = 0; i <= c->jobs; i++) {
		if (holds_now(c))
			return true;
		if (i < c->jobs)
			model_execute(c->w.m, c->twins[i]);
	}
	return false;
}

static void one_seed(struct fixture *f, uint64_t seed, int rounds)
{
	struct cut *c = xcalloc(1, sizeof(*c)); /* outlives a failing test, as the store does */
	char park[300];

	snprintf(park, sizeof(park), "%s.park", f->dir);
	assert_int_equal(mkdir(park, 0755), 0);
	c->w.f = f;
	c->w.m = model_create();
	powercut_init(&c->pc, park, seed);
	prng_init(&c->w.p, seed);
	f->opt.fs = &c->pc.ops;
	f->opt.nosync = false;
	f->opt.index_nosync = true;
	f->opt.size_bytes = 24 << 20;
	f->opt.segment_bytes = 256 << 10;
	fixture_open(f);
	for (int i = 0; i < rounds; i++) {
		c->pc.cut_at = c->pc.calls + 1 + world_below(&c->w, 250);
		run_until_cut(c);
		come_up(c);
		assert_true(holds_what_was_answered(c));
		batch_forget(c);
	}
	model_destroy(c->w.m);
	fixture_close(f);
	powercut_fini(&c->pc);
	remove_tree(park);
	remove_tree(f->dir);
	free(c);
}

static void after_a_power_cut_at_any_call_every_answered_job_is_there_and_nothing_else(void **state)
{
	const char *seed = getenv("STORE_TEST_SEED"), *steps = getenv("STORE_TEST_STEPS");
	uint64_t first = seed ? strtoull(seed, NULL, 0) : 1, last = seed ? first : 8;

	for (uint64_t s = first; s <= last; s++) {
		print_message("# seed %llu\n", (unsigned long long)s);
		one_seed(*state, s, steps ? atoi(steps) : 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			after_a_power_cut_at_any_call_every_answered_job_is_there_and_nothing_else,
			fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

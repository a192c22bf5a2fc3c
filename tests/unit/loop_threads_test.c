/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "sheep/loop/completions.h"
#include "sheep/loop/compute_pool.h"
#include "sheep/loop/disk_thread.h"

/*
 * A real store behind its thread, and a reactor that only counts what comes back. Waiting is by condition.
 */
enum { PATIENCE_S = 10, MAX_BACK = 4096 };

struct reactor {
	struct ev_loop *loop;
	struct completions completions;
	struct disk_job *back[MAX_BACK];
	uint32_t back_count, wakes, computed, adopted, failed;
	int adopt_result;
	uint32_t back_at_adopt; /* jobs that had come back when the adoption was told */
};

static void on_arrived(struct ev_loop *loop, ev_async *w, int revents)
{
	struct reactor *r = w->data;
	struct list disk, compute, notices, *l;

	r->wakes++;
	completions_take(&r->completions, &disk, &compute, &notices);
	while ((l = list_pop(&disk))) {
		assert_true(r->back_count < MAX_BACK);
		r->back[r->back_count++] = list_item(l, struct disk_job, link);
	}
	while ((l = list_pop(&compute)))
		r->computed++;
	while ((l = list_pop(&notices))) {
		struct notice *n = list_item(l, struct notice, link);

		if (n->type == NOTICE_FAILED)
			r->failed++;
		if (n->type == NOTICE_ADOPTED) {
			r->adopted++;
			r->adopt_result = n->result;
			r->back_at_adopt = r->back_count;
		}
		free(n);
	}
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
	fail_msg("nothing came back in time");
}

static void reactor_open(struct reactor *r)
{
	*r = (struct reactor){.loop = ev_loop_new(EVFLAG_AUTO)};
	completions_init(&r->completions, r->loop, on_arrived, r);
}

static void reactor_close(struct reactor *r)
{
	completions_fini(&r->completions);
	ev_loop_destroy(r->loop);
}

#define WAIT_FOR(r, condition)                                                                     \
	do {                                                                                       \
		ev_timer t_;                                                                       \
		ev_timer_init(&t_, on_timeout, PATIENCE_S, 0.0);                                   \
		ev_timer_start((r)->loop, &t_);                                                    \
		while (!(condition))                                                               \
			ev_run((r)->loop, EVRUN_ONCE);                                             \
		ev_timer_stop((r)->loop, &t_);                                                     \
	} while (0)

/* The thread takes the store over. */
static struct disk_thread *thread_start(struct fixture *f, struct reactor *r)
{
	struct store *store = f->st;

	f->st = NULL;
	return disk_thread_start(store, &r->completions);
}

static struct disk_job *write_job(struct fixture *f, uint64_t oid)
{
	struct disk_job *job = job_prepare(f, oid, version_make(1, oid), 0);

	job_range(f, job, RANGE_DATA, 0, 5000, oid);
	return job;
}

static void destroy_all(struct reactor *r)
{
	for (uint32_t i = 0; i < r->back_count; i++)
		job_destroy(r->back[i]);
	r->back_count = 0;
}

static void every_job_comes_back_once_and_in_order(void **state)
{
	enum { COUNT = 300 };
	struct fixture *f = *state;
	struct disk_thread *t;
	struct reactor r;

	fixture_open(f);
	reactor_open(&r);
	t = thread_start(f, &r);
	assert_int_equal(disk_thread_disk(t), 0x1234);
	for (uint64_t i = 0; i < COUNT; i++) {
		disk_thread_add(t, write_job(f, i + 1));
		if (i % 7 == 0)
			disk_thread_kick(t);
		if (i % 50 == 0)
			ev_run(r.loop, EVRUN_NOWAIT);
	}
	disk_thread_kick(t);
	WAIT_FOR(&r, r.back_count == COUNT);
	for (uint64_t i = 0; i < COUNT; i++) {
		assert_int_equal(r.back[i]->req->oid, i + 1);
		assert_int_equal(r.back[i]->reply->result, RES_OK);
	}
	destroy_all(&r);
	disk_thread_stop(t);
	reactor_close(&r);
	fixture_open(f);
	assert_true(reads_as(f, COUNT, 0, 5000, COUNT));
}

static void jobs_are_gathered_until_the_kick(void **state)
{
	struct fixture *f = *state;
	struct disk_thread *t;
	struct reactor r;

	fixture_open(f);
	reactor_open(&r);
	t = thread_start(f, &r);
	for (uint64_t i = 1; i <= 20; i++)
		disk_thread_add(t, write_job(f, i));
	disk_thread_kick(t);
	WAIT_FOR(&r, r.back_count == 20);
	assert_int_equal(r.wakes, 1); /* one batch, one wake-up */
	destroy_all(&r);
	disk_thread_stop(t);
	reactor_close(&r);
}

static void adoption_comes_after_what_was_queued(void **state)
{
	struct fixture *f = *state;
	struct disk_thread *t;
	struct reactor r;

	fixture_open(f);
	reactor_open(&r);
	t = thread_start(f, &r);
	for (uint64_t i = 1; i <= 5; i++)
		disk_thread_add(t, write_job(f, i));
	disk_thread_adopt(t, 99);
	WAIT_FOR(&r, r.adopted == 1);
	assert_int_equal(r.adopt_result, 0);
	assert_int_equal(r.back_at_adopt, 5);
	destroy_all(&r);
	disk_thread_stop(t);
	reactor_close(&r);
	fixture_open(f);
	assert_int_equal(store_identity(f->st).cluster, 99);
}

static void stopping_carries_out_what_is_queued(void **state)
{
	struct fixture *f = *state;
	struct disk_thread *t;
	struct reactor r;

	fixture_open(f);
	reactor_open(&r);
	t = thread_start(f, &r);
	for (uint64_t i = 1; i <= 50; i++)
		disk_thread_add(t, write_job(f, i)); /* not even kicked */
	disk_thread_stop(t);
	WAIT_FOR(&r, r.back_count == 50);
	destroy_all(&r);
	reactor_close(&r);
	fixture_open(f);
	for (uint64_t i = 1; i <= 50; i++)
		assert_true(reads_as(f, i, 0, 5000, i));
}

static ssize_t no_write(void *arg, int fd, const struct iovec *iov, int count, off_t off)
{
	return -EIO;
}

static void a_failed_disk_is_told_once_and_still_answers(void **state)
{
	struct fixture *f = *state;
	struct fs_ops broken;
	struct disk_thread *t;
	struct reactor r;

	broken = *f->opt.fs;
	f->opt.fs = &broken;
	fixture_open(f);
	reactor_open(&r);
	t = thread_start(f, &r);
	/* The thread has not been handed anything yet: it does not write. */
	broken.pwritev = no_write;
	for (uint64_t i = 1; i <= 3; i++) {
		disk_thread_add(t, write_job(f, i));
		disk_thread_kick(t);
		WAIT_FOR(&r, r.back_count == i);
		assert_int_equal(r.back[i - 1]->reply->result, RES_IO);
	}
	WAIT_FOR(&r, r.failed > 0);
	disk_thread_stop(t);
	ev_run(r.loop, EVRUN_NOWAIT);
	assert_int_equal(r.failed, 1);
	destroy_all(&r);
	reactor_close(&r);
	f->opt.fs = fs_posix();
}

struct sum_job {
	struct compute_job job;
	uint32_t ran;
};

static void sum_run(struct compute_job *job)
{
	container_of(job, struct sum_job, job)->ran++;
}

static void large_computations_run_once_elsewhere_and_small_ones_are_left(void **state)
{
	enum { COUNT = 100 };
	static struct sum_job jobs[COUNT];
	struct sum_job small = {.job = {.cost_bytes = 4096, .run = sum_run}};
	struct compute_pool *pool, *none;
	struct reactor r;

	reactor_open(&r);
	pool = compute_pool_create(2, &r.completions);
	none = compute_pool_create(0, &r.completions);
	assert_false(compute_pool_submit(pool, &small.job));
	for (uint32_t i = 0; i < COUNT; i++) {
		jobs[i] = (struct sum_job){.job = {.cost_bytes = 4 << 20, .run = sum_run}};
		assert_false(compute_pool_submit(none, &jobs[i].job));
		assert_true(compute_pool_submit(pool, &jobs[i].job));
	}
	WAIT_FOR(&r, r.computed == COUNT);
	compute_pool_destroy(pool);
	compute_pool_destroy(none);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(jobs[i].ran, 1);
	assert_int_equal(small.ran, 0);
	reactor_close(&r);
}

static void many_posts_before_the_reactor_looks_wake_it_once(void **state)
{
	struct disk_job jobs[10] = {{.disk = 0}};
	struct list one;
	struct reactor r;

	reactor_open(&r);
	for (uint32_t i = 0; i < 10; i++) {
		list_init(&one);
		list_push(&one, &jobs[i].link);
		completions_post(&r.completions, &r.completions.disk, &one);
		assert_true(list_empty(&one));
	}
	WAIT_FOR(&r, r.back_count == 10);
	ev_run(r.loop, EVRUN_NOWAIT);
	assert_int_equal(r.wakes, 1);
	for (uint32_t i = 0; i < 10; i++)
		assert_ptr_equal(r.back[i], &jobs[i]);
	reactor_close(&r);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(every_job_comes_back_once_and_in_order),
		WITH_STORE(jobs_are_gathered_until_the_kick),
		WITH_STORE(adoption_comes_after_what_was_queued),
		WITH_STORE(stopping_carries_out_what_is_queued),
		WITH_STORE(a_failed_disk_is_told_once_and_still_answers),
		cmocka_unit_test(large_computations_run_once_elsewhere_and_small_ones_are_left),
		cmocka_unit_test(many_posts_before_the_reactor_looks_wake_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

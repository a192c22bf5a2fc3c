/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/place/map.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_powercut.h"

/* A disk fills, is emptied, runs out under a write, breaks. */
enum { LEN = 1 << 20 };

static uint64_t fill_up(struct fixture *f, uint64_t from)
{
	uint64_t oid = from;

	while (do_prepare(f, oid, oid, 0, 0, RANGE_DATA, 0, LEN, oid) == RES_OK) {
		assert_true(oid < from + 200);
		do_commit(f, oid++);
	}
	return oid;
}

static void small_disk(struct fixture *f)
{
	f->opt.size_bytes = 64 << 20;
	fixture_open(f);
}

static void a_full_disk_refuses_data_says_so_and_still_deletes(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	small_disk(f);
	assert_true(do_usage(f).avail_bytes > 40 << 20);
	uint64_t end = fill_up(f, 1);
	assert_true(end > 35);
	assert_int_equal(do_usage(f).avail_bytes, 0);
	assert_true(do_usage(f).used_bytes <= 64 << 20);
	assert_int_equal(do_stat(f, end, &e), RES_NOENT);
	for (uint64_t oid = 1; oid < end; oid++)
		assert_true(reads_as(f, oid, 0, LEN, oid));
	for (uint64_t oid = 1; oid < end; oid++)
		assert_int_equal(do_prepare(f, oid, 1000 + oid, oid, SHARD_DELETE, 0, 0, 0, 0),
		                 RES_OK);
	do_commit(f, 5000);
	fixture_idle(f, 30000);
	assert_true(do_usage(f).avail_bytes > 35 << 20);
	assert_true(fill_up(f, 10000) > 10030);
}

static void deletes_make_room_at_once_when_it_is_needed(void **state)
{
	struct fixture *f = *state;

	small_disk(f);
	uint64_t end = fill_up(f, 1);
	/* Every other one: no segment dies as a whole. */
	for (uint64_t oid = 1; oid < end; oid += 2)
		assert_int_equal(do_prepare(f, oid, 1000 + oid, oid, SHARD_DELETE, 0, 0, 0, 0),
		                 RES_OK);
	do_commit(f, 5000);
	uint64_t more = fill_up(f, 6000) - 6000;
	assert_true(more > end / 4);
	for (uint64_t oid = 2; oid < end; oid += 2)
		assert_true(reads_as(f, oid, 0, LEN, oid));
	fixture_crash(f);
	fixture_drop_index(f);
	fixture_open(f);
	for (uint64_t oid = 2; oid < end; oid += 2)
		assert_true(reads_as(f, oid, 0, LEN, oid));
	for (uint64_t i = 0; i < more; i++)
		assert_true(reads_as(f, 6000 + i, 0, LEN, 6000 + i));
}

static uint32_t prepare_block(struct fixture *f, uint32_t pool, uint64_t oid)
{
	struct disk_job *job = job_prepare(f, oid, oid, 0);

	job->req->pool = pool;
	job_range(f, job, RANGE_DATA, 0, 4096, oid);
	job_run(f, job);
	uint32_t result = job->reply->result;
	job_destroy(job);
	return result;
}

/* Locks and headers: without them no volume can be deleted. */
static void what_a_delete_writes_first_has_room_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t oid = 1000, headers;

	small_disk(f);
	uint64_t end = fill_up(f, 1);
	while (prepare_block(f, POOL_DATA, oid) == RES_OK)
		assert_true(++oid < 10000);
	headers = oid;
	while (prepare_block(f, POOL_META, oid) == RES_OK)
		assert_true(++oid < 20000);
	assert_true(oid > headers + 200);
	for (uint64_t i = 1; i < end; i++)
		assert_int_equal(do_prepare(f, i, 20000 + i, i, SHARD_DELETE, 0, 0, 0, 0), RES_OK);
}

static void overwriting_for_long_needs_no_more_than_the_disk(void **state)
{
	struct fixture *f = *state;
	uint64_t v = 1, base[20] = {0};

	small_disk(f);
	for (int i = 0; i < 400; i++) {
		uint64_t oid = (uint64_t)i * 7 % 20;
		assert_int_equal(
			do_prepare(f, oid + 1, v, base[oid], SHARD_REPLACE, RANGE_DATA, 0, LEN, v),
			RES_OK);
		base[oid] = v;
		do_commit(f, v++);
		if (i % 3 == 0)
			fixture_idle(f, 1000);
	}
	for (uint64_t oid = 0; oid < 20; oid++)
		assert_true(reads_as(f, oid + 1, 0, LEN, base[oid]));
}

static void small_records_are_packed_by_compaction(void **state)
{
	struct fixture *f = *state;

	small_disk(f);
	for (uint64_t oid = 1; oid <= 6000; oid++)
		assert_int_equal(do_prepare(f, oid, oid, 0, 0, RANGE_DATA, 0, 100, oid), RES_OK);
	for (uint64_t oid = 1; oid <= 6000; oid++)
		if (oid % 4)
			do_prepare(f, oid, 10000 + oid, oid, SHARD_DELETE, 0, 0, 0, 0);
	do_commit(f, 100000);
	fixture_idle(f, 60000);
	assert_true(do_usage(f).used_bytes < 40 << 20);
	fixture_close(f);
	fixture_drop_index(f);
	fixture_open(f);
	for (uint64_t oid = 4; oid <= 6000; oid += 4)
		assert_true(reads_as(f, oid, 0, 100, oid));
}

struct faulty {
	struct powercut pc;
	char park[300];
};

static struct faulty *faulty_open(struct fixture *f)
{
	struct faulty *x = calloc(1, sizeof(*x));

	snprintf(x->park, sizeof(x->park), "%s.park", f->dir);
	mkdir(x->park, 0755);
	powercut_init(&x->pc, x->park, 1);
	f->opt.fs = &x->pc.ops;
	f->opt.nosync = false;
	f->opt.index_nosync = true;
	fixture_open(f);
	assert_int_equal(do_prepare(f, 1, 1, 0, 0, RANGE_DATA, 0, LEN, 1), RES_OK);
	assert_int_equal(do_commit(f, 1), RES_OK);
	return x;
}

static void faulty_close(struct fixture *f, struct faulty *x)
{
	fixture_close(f);
	f->opt.fs = fs_posix();
	powercut_fini(&x->pc);
	remove_tree(x->park);
	free(x);
}

static void no_space_in_the_middle_of_a_write_fails_that_batch_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct faulty *x = faulty_open(f);
	struct shard_entry e;

	for (int round = 0; round < 6; round++) {
		x->pc.fail_err = -ENOSPC;
		x->pc.fail_on = "pwritev";
		x->pc.fail_at = 1;
		assert_int_equal(do_prepare(f, 2, 2, 0, 0, RANGE_DATA, 0, LEN, 2), RES_NOSPACE);
		assert_false(store_failed(f->st));
		assert_int_equal(do_stat(f, 2, &e), RES_NOENT);
		assert_int_equal(do_stat(f, 1, &e), RES_OK);
		assert_int_equal(e.version, 1);
		assert_true(reads_as(f, 1, 0, LEN, 1));
		if (round % 2) {
			fixture_crash(f);
			fixture_open(f);
			do_commit(f, 1);
			assert_int_equal(do_stat(f, 2, &e), RES_NOENT);
		}
	}
	assert_int_equal(do_prepare(f, 2, 2, 0, 0, RANGE_DATA, 0, LEN, 2), RES_OK);
	fixture_crash(f);
	fixture_open(f);
	assert_true(reads_as(f, 2, 0, LEN, 2));
	faulty_close(f, x);
}

static void a_failed_write_or_sync_takes_the_disk_out_for_good(void **state)
{
	static const char *const calls[] = {"pwritev", "fdatasync"};
	struct fixture *f = *state;
	struct faulty *x = faulty_open(f);

	for (int i = 0; i < 2; i++) {
		x->pc.fail_err = -EIO;
		x->pc.fail_on = calls[i];
		x->pc.fail_at = 1;
		assert_int_equal(do_prepare(f, 2, 2, 0, 0, RANGE_DATA, 0, LEN, 2), RES_IO);
		assert_true(store_failed(f->st));
		assert_int_equal(do_prepare(f, 3, 3, 0, 0, RANGE_DATA, 0, LEN, 2), RES_IO);
		fixture_close(f); /* writes nothing any more */
		fixture_open(f);
		assert_true(reads_as(f, 1, 0, LEN, 1));
	}
	faulty_close(f, x);
}

static void a_failed_read_is_that_jobs_error_only(void **state)
{
	struct fixture *f = *state;
	struct faulty *x = faulty_open(f);
	uint8_t got[100];

	x->pc.fail_err = -EIO;
	x->pc.fail_on = "pread";
	x->pc.fail_at = 1;
	assert_int_equal(do_read(f, 1, 0, 100, got), RES_IO);
	assert_false(store_failed(f->st));
	assert_int_equal(do_read(f, 1, 0, 100, got), RES_OK);
	faulty_close(f, x);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_full_disk_refuses_data_says_so_and_still_deletes),
		T(what_a_delete_writes_first_has_room_on_a_full_disk),
		T(deletes_make_room_at_once_when_it_is_needed),
		T(overwriting_for_long_needs_no_more_than_the_disk),
		T(small_records_are_packed_by_compaction),
		T(no_space_in_the_middle_of_a_write_fails_that_batch_and_nothing_else),
		T(a_failed_write_or_sync_takes_the_disk_out_for_good),
		T(a_failed_read_is_that_jobs_error_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

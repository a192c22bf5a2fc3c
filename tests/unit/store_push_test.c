/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_fixture.h"

/* Pushes of versions that may yet be taken back: they arrive as pending ones. */
enum { OID = 5 };

static uint32_t do_push_unstable(struct fixture *f, uint64_t version, uint64_t base, uint32_t flags,
                                 uint32_t epoch)
{
	struct disk_job *job = job_make(f, MSG_SHARD_PUSH, OID);

	job->req->version = version;
	job->req->base = base;
	job->req->shard_flags = SHARD_UNSTABLE | flags;
	job->req->info.activated = epoch;
	job->req->req = (struct req_id){5, version};
	job_run(f, job);
	uint32_t result = job->reply->result;
	job_destroy(job);
	return result;
}

static void crash_and_rebuild(struct fixture *f)
{
	fixture_crash(f);
	fixture_drop_index(f);
	fixture_open(f);
}

static void assert_log_is(struct fixture *f, uint32_t count, uint64_t first, uint64_t second)
{
	struct disk_job *job = job_make(f, MSG_PG_QUERY, 0);

	job_run(f, job);
	assert_int_equal(job->reply->log_count, count);
	assert_int_equal(job->reply->log[0].version, first);
	assert_int_equal(job->reply->log[1].version, second);
	assert_int_equal(job->reply->log[1].req.seq, second);
	job_destroy(job);
}

static void assert_versions(struct fixture *f, uint64_t version, uint32_t stood, uint64_t pending,
                            uint32_t pending_stood)
{
	struct shard_entry e;

	assert_int_equal(do_stat(f, OID, &e), RES_OK);
	assert_int_equal(e.version, version);
	assert_int_equal(e.stood, stood);
	assert_int_equal(e.pending, pending);
	assert_int_equal(e.pending_stood, pending_stood);
}

static void a_push_that_may_be_taken_back_is_pending_and_in_the_log(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	do_prepare(f, OID, 10, 0, 0, 0, 0, 4096, 'a');
	do_prepare(f, OID, 11, 10, 0, 0, 0, 4096, 'b');
	assert_int_equal(do_push_unstable(f, 15, 0, SHARD_REPLACE, 7), RES_OK);
	fixture_crash(f);
	fixture_open(f);
	assert_versions(f, 10, 0, 15, 7);
	assert_int_equal(do_push_unstable(f, 15, 0, SHARD_ACCEPT, 9), RES_OK);
	assert_int_equal(do_push_unstable(f, 15, 0, SHARD_ACCEPT, 8), RES_OK);
	fixture_crash(f);
	fixture_open(f);
	assert_versions(f, 10, 0, 15, 9);
	assert_log_is(f, 2, 10, 15);
	do_simple(f, MSG_SHARD_ROLLBACK, OID, 15);
	assert_versions(f, 10, 0, 0, 0);
}

static void a_push_commits_the_pending_version_it_names_and_drops_another(void **state)
{
	struct fixture *f = *state;
	uint64_t base = version_make(2, 1), over = version_make(2, 9), last = version_make(2, 5);

	fixture_open(f);
	do_prepare(f, OID, base, 0, 0, 0, 0, 4096, 'a');
	assert_int_equal(do_push_unstable(f, over, base, SHARD_REPLACE, 7), RES_OK);
	crash_and_rebuild(f);
	assert_versions(f, base, 2, over, 7);
	assert_int_equal(do_push_unstable(f, last, base, SHARD_ACCEPT, 8), RES_BASE);
	assert_versions(f, base, 2, over, 7);
	assert_int_equal(do_push_unstable(f, last, base, SHARD_REPLACE, 8), RES_OK);
	assert_int_equal(do_push_unstable(f, last, base, SHARD_ACCEPT, 9), RES_OK);
	crash_and_rebuild(f);
	assert_versions(f, base, 2, last, 9);
	assert_log_is(f, 2, base, last);
	do_commit(f, last);
	assert_versions(f, last, 9, 0, 0);
	fixture_reopen(f);
	assert_versions(f, last, 9, 0, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_push_that_may_be_taken_back_is_pending_and_in_the_log),
		T(a_push_commits_the_pending_version_it_names_and_drops_another),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

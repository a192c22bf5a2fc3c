/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "tests/unit/store_fixture.h"

/* The clauses of sheep/core/disk_job.h one by one. */
enum { OID = 5, LEN = 10000 };

static struct shard_entry stat_of(struct fixture *f, uint64_t oid)
{
	struct shard_entry e = {0};

	assert_int_equal(do_stat(f, oid, &e), RES_OK);
	return e;
}

static uint32_t put(struct fixture *f, uint64_t version, uint64_t base)
{
	return do_prepare(f, OID, version, base, 0, RANGE_DATA, 0, LEN, version);
}

static void prepare_promotes_what_the_commit_point_covers_in_this_pg_only(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	put(f, 10, 0);
	do_prepare(f, 6, 11, 0, 0, RANGE_DATA, 0, 100, 1);
	do_prepare(f, 7, 12, 0, 0, RANGE_DATA, 0, 100, 1);
	struct disk_job *job = job_prepare(f, 8, 13, 0);
	job->req->commit = 11;
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_OK);
	job_destroy(job);
	assert_int_equal(stat_of(f, OID).version, 10);
	assert_int_equal(stat_of(f, 6).version, 11);
	assert_int_equal(stat_of(f, 7).pending, 12);
	job = job_make(f, MSG_PG_COMMIT, 0);
	job->req->pg = 2;
	job->req->commit = 100;
	job_run(f, job);
	job_destroy(job);
	assert_int_equal(stat_of(f, 7).pending, 12);
}

static void repeated_prepare_succeeds_and_changes_nothing(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	assert_int_equal(put(f, 10, 0), RES_OK);
	assert_int_equal(do_prepare(f, OID, 10, 0, 0, RANGE_DATA, 0, LEN, 99), RES_OK);
	assert_true(reads_as(f, OID, 0, LEN, 10));
	do_commit(f, 10);
	assert_int_equal(do_prepare(f, OID, 10, 3, 0, RANGE_DATA, 0, LEN, 99), RES_OK);
	assert_true(reads_as(f, OID, 0, LEN, 10));
}

static void prepare_refuses_older_versions_and_wrong_bases(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	assert_int_equal(put(f, 10, 4), RES_BASE);
	assert_int_equal(put(f, 10, 0), RES_OK);
	assert_int_equal(put(f, 9, 0), RES_BASE);
	assert_int_equal(put(f, 12, 9), RES_BASE);
	assert_int_equal(do_prepare(f, OID, 12, 9, SHARD_REPLACE, RANGE_DATA, 0, 5, 1), RES_BASE);
	struct disk_job *job = job_prepare(f, OID, 12, 9);
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_BASE);
	assert_int_equal(job->reply->version, 10);
	job_destroy(job);
	assert_int_equal(stat_of(f, OID).pending, 10);
}

static void prepare_on_the_pending_version_commits_it(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	put(f, 10, 0);
	assert_int_equal(put(f, 11, 10), RES_OK);
	assert_int_equal(stat_of(f, OID).version, 10);
	assert_int_equal(stat_of(f, OID).pending, 11);
}

static void replace_leaves_only_the_ranges_and_needs_no_base_when_nothing_is_pending(void **state)
{
	struct fixture *f = *state;
	uint8_t got[LEN], zero[LEN] = {0};

	fixture_open(f);
	put(f, 10, 0);
	do_commit(f, 10);
	assert_int_equal(do_prepare(f, OID, 12, 3, SHARD_REPLACE, RANGE_DATA, 100, 50, 7), RES_OK);
	assert_true(reads_as(f, OID, 100, 50, 7));
	assert_int_equal(do_read(f, OID, 150, LEN - 150, got), RES_OK);
	assert_memory_equal(got, zero, LEN - 150);
	assert_int_equal(stat_of(f, OID).size, 150);
	assert_int_equal(do_simple(f, MSG_SHARD_ROLLBACK, OID, 12), RES_OK);
	assert_true(reads_as(f, OID, 0, LEN, 10));
}

static void delete_leaves_a_tombstone_that_counts_as_a_version(void **state)
{
	struct fixture *f = *state;
	uint8_t got[16];

	fixture_open(f);
	put(f, 10, 0);
	assert_int_equal(do_prepare(f, OID, 11, 10, SHARD_DELETE, 0, 0, 0, 0), RES_OK);
	assert_int_equal(do_read(f, OID, 0, 16, got), RES_NOENT);
	assert_int_equal(stat_of(f, OID).flags, ENTRY_PENDING_TOMBSTONE);
	do_commit(f, 11);
	assert_int_equal(stat_of(f, OID).flags, ENTRY_TOMBSTONE);
	assert_int_equal(stat_of(f, OID).size, 0);
	assert_int_equal(put(f, 12, 0), RES_BASE);
	assert_int_equal(do_prepare(f, OID, 12, 11, 0, RANGE_DATA, 8, 8, 3), RES_OK);
	assert_true(reads_as(f, OID, 8, 8, 3));
	assert_int_equal(do_read(f, OID, 0, 8, got), RES_OK);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0", 8);
}

static void ranges_apply_data_xor_and_zero_in_order(void **state)
{
	struct fixture *f = *state;
	uint8_t a[300], b[300], got[300];

	fixture_open(f);
	assert_int_equal(do_prepare(f, OID, 10, 0, 0, RANGE_DATA, 0, 300, 1), RES_OK);
	assert_int_equal(do_read(f, OID, 0, 300, a), RES_OK);
	struct disk_job *job = job_prepare(f, OID, 11, 10);
	job_range(f, job, RANGE_XOR, 0, 200, 2);
	job_range(f, job, RANGE_ZERO, 50, 100, 0);
	job_range(f, job, RANGE_XOR, 100, 100, 4);
	payload_copy_out(&job->req->payload, 0, b, 300);
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_OK);
	job_destroy(job);
	for (int i = 0; i < 300; i++) {
		uint8_t x = i < 200 ? a[i] ^ b[i] : a[i];
		x = i >= 50 && i < 150 ? 0 : x;
		x ^= i >= 100 && i < 200 ? b[100 + i] : 0;
		a[i] = x;
	}
	assert_int_equal(do_read(f, OID, 0, 300, got), RES_OK);
	assert_memory_equal(got, a, 300);
	assert_int_equal(do_prepare(f, OID, 12, 11, 0, RANGE_XOR, 1000, 10, 6), RES_OK);
	assert_true(reads_as(f, OID, 1000, 10, 6));
	assert_int_equal(do_prepare(f, OID, 13, 12, 0, RANGE_ZERO, 250, 10000, 0), RES_OK);
	assert_int_equal(stat_of(f, OID).size, 250);
}

static void prepare_without_ranges_changes_only_the_version(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	put(f, 10, 0);
	assert_int_equal(do_prepare(f, OID, 11, 10, 0, 0, 0, 0, 0), RES_OK);
	assert_int_equal(stat_of(f, OID).pending, 11);
	assert_true(reads_as(f, OID, 0, LEN, 10));
}

static void push_becomes_committed_with_exactly_its_content(void **state)
{
	struct fixture *f = *state;
	struct disk_job *job;

	fixture_open(f);
	put(f, 10, 0);
	put(f, 11, 10);
	for (int i = 0; i < 2; i++) {
		job = job_make(f, MSG_SHARD_PUSH, OID);
		job->req->version = i ? 15 : 10;
		job_range(f, job, RANGE_DATA, 20, 80, 3);
		job_run(f, job);
		assert_int_equal(job->reply->result, i ? RES_OK : RES_OK);
		job_destroy(job);
		assert_int_equal(stat_of(f, OID).version, i ? 15 : 10);
	}
	assert_int_equal(stat_of(f, OID).pending, 0);
	assert_int_equal(stat_of(f, OID).size, 100);
	assert_true(reads_as(f, OID, 20, 80, 3));
	assert_int_equal(put(f, 20, 15), RES_OK);
	job = job_make(f, MSG_SHARD_PUSH, OID);
	job->req->version = 17;
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_BASE);
	job_destroy(job);
}

static void rollback_forgets_the_pending_version_and_its_log_entry(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	fixture_open(f);
	put(f, 10, 0);
	assert_int_equal(do_simple(f, MSG_SHARD_ROLLBACK, OID, 9), RES_OK);
	assert_int_equal(do_simple(f, MSG_SHARD_ROLLBACK, OID, 10), RES_OK);
	assert_int_equal(do_stat(f, OID, &e), RES_NOENT);
	put(f, 11, 0);
	do_commit(f, 11);
	assert_int_equal(do_simple(f, MSG_SHARD_ROLLBACK, OID, 11), RES_BASE);
	fixture_crash(f);
	fixture_open(f);
	struct disk_job *job = job_make(f, MSG_PG_QUERY, 0);
	job_run(f, job);
	assert_int_equal(job->reply->log_count, 1);
	assert_int_equal(job->reply->log[0].version, 11);
	job_destroy(job);
}

static void remove_drops_the_shard_unless_it_is_newer(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	fixture_open(f);
	put(f, 10, 0);
	assert_int_equal(do_simple(f, MSG_SHARD_REMOVE, OID, 9), RES_OK);
	assert_int_equal(stat_of(f, OID).pending, 10);
	assert_int_equal(do_simple(f, MSG_SHARD_REMOVE, OID, 10), RES_OK);
	assert_int_equal(do_stat(f, OID, &e), RES_NOENT);
	assert_int_equal(do_simple(f, MSG_SHARD_REMOVE, OID, 10), RES_OK);
}

static void list_pages_through_a_pg_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t seen = 0, oid = 0;
	uint32_t flags = MSG_F_FIRST;

	fixture_open(f);
	for (uint64_t i = 40; i > 0; i--) {
		do_prepare(f, i * 7, 100 + i, 0, 0, RANGE_DATA, 0, (uint32_t)i, 1);
		if (i == 20)
			fixture_idle(f, 10000); /* half in the index, half in memory */
	}
	do_simple(f, MSG_SHARD_REMOVE, 7 * 30, 1000);
	do_simple(f, MSG_SHARD_REMOVE, 7 * 10, 1000);
	for (bool more = true; more;) {
		struct disk_job *job = job_make(f, MSG_PG_LIST, oid);
		job->req->flags = flags;
		job->req->length = 6;
		job_run(f, job);
		assert_true(job->reply->entry_count <= 6);
		for (uint32_t i = 0; i < job->reply->entry_count; i++) {
			assert_true(job->reply->entries[i].oid > oid);
			oid = job->reply->entries[i].oid;
			assert_int_equal(job->reply->entries[i].size, oid / 7);
			seen++;
		}
		more = job->reply->flags & MSG_F_MORE;
		flags = 0;
		job_destroy(job);
	}
	assert_int_equal(seen, 38);
}

static void query_tells_info_and_the_last_changes(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	for (uint64_t v = 1; v <= PG_LOG_MAX + 10; v++)
		do_prepare(f, 100 + v, v, 0, 0, 0, 0, 0, 0);
	struct disk_job *job = job_make(f, MSG_PG_ACTIVATE, 0);
	job->req->info = (struct pg_info){.activated = 6, .clean = 4, .commit = 40};
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_OK);
	job_destroy(job);
	fixture_crash(f);
	fixture_open(f);
	job = job_make(f, MSG_PG_QUERY, 0);
	job_run(f, job);
	assert_int_equal(job->reply->info.activated, 6);
	assert_int_equal(job->reply->info.clean, 4);
	assert_int_equal(job->reply->info.commit, 40);
	assert_int_equal(job->reply->log_count, PG_LOG_MAX);
	assert_int_equal(job->reply->log[PG_LOG_MAX - 1].version, PG_LOG_MAX + 10);
	assert_int_equal(job->reply->info.floor, 10);
	assert_int_equal(job->reply->info.objects, PG_LOG_MAX + 10);
	job_destroy(job);
	assert_int_equal(stat_of(f, 140).version, 40);
	assert_int_equal(stat_of(f, 141).pending, 41);
}

static void activation_makes_the_log_what_counts_but_keeps_what_is_not_decided(void **state)
{
	struct fixture *f = *state;
	struct log_entry counts[2] = {{15, 3, {8, 8}}, {21, 4, {9, 9}}};
	uint64_t late = version_make(6, 1);

	fixture_open(f);
	do_prepare(f, 1, 10, 0, 0, 0, 0, 0, 0); /* committed below, but unknown to the others */
	do_prepare(f, 2, 30, 0, 0, 0, 0, 0, 0);
	for (uint32_t again = 0; again < 2; again++) {
		struct disk_job *job = job_make(f, MSG_PG_ACTIVATE, 0);
		job->req->info = (struct pg_info){.activated = 6, .commit = 20, .floor = 7};
		job->req->flags = MSG_F_LOG;
		job->req->log = xmemdup(counts, sizeof(counts));
		job->req->log_count = 2;
		job_run(f, job);
		job_destroy(job);
		if (!again)
			do_prepare(f, 3, late, 0, 0, 0, 0, 0, 0); /* a late copy does not undo this */
		fixture_crash(f);
		fixture_open(f);
	}
	struct disk_job *job = job_make(f, MSG_PG_QUERY, 0);
	job_run(f, job);
	const struct log_entry *log = job->reply->log;
	assert_int_equal(job->reply->log_count, 4);
	assert_int_equal(log[0].version, 15);
	assert_int_equal(log[1].version, 21);
	assert_int_equal(log[2].version, 30);
	assert_int_equal(log[3].version, late);
	assert_int_equal(job->reply->info.floor, 7);
	job_destroy(job);
}

static void activate_with_purge_drops_committed_tombstones_up_to_the_commit_point(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	fixture_open(f);
	do_prepare(f, 1, 10, 0, SHARD_DELETE, 0, 0, 0, 0);
	do_prepare(f, 2, 11, 0, SHARD_DELETE, 0, 0, 0, 0);
	do_prepare(f, 3, 20, 0, SHARD_DELETE, 0, 0, 0, 0);
	for (uint32_t purge = 0; purge < 2; purge++) {
		struct disk_job *job = job_make(f, MSG_PG_ACTIVATE, 0);
		job->req->info = (struct pg_info){.activated = 5, .clean = 5, .commit = 11};
		job->req->flags = purge ? MSG_F_PURGE : 0;
		job->req->shard = SHARD_NONE;
		job_run(f, job);
		job_destroy(job);
		assert_int_equal(do_stat(f, 1, &e), purge ? RES_NOENT : RES_OK);
	}
	assert_int_equal(do_stat(f, 2, &e), RES_NOENT);
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
}

static void drop_removes_strays_or_everything(void **state)
{
	struct fixture *f = *state;
	struct disk_job *job;
	struct shard_entry e;

	fixture_open(f);
	for (uint32_t shard = 0; shard < 3; shard++) {
		job = job_prepare(f, OID, 10 + shard, 0);
		job->req->shard = shard;
		job_run(f, job);
		job_destroy(job);
	}
	for (uint32_t keep = 0; keep <= SHARD_NONE; keep += SHARD_NONE) {
		job = job_make(f, MSG_PG_DROP, 0);
		job->req->shard = keep;
		job_run(f, job);
		assert_int_equal(job->reply->result, RES_OK);
		job_destroy(job);
		assert_int_equal(do_stat(f, OID, &e), keep ? RES_NOENT : RES_OK);
		assert_int_equal(do_usage(f).shards, keep ? 0 : 1);
	}
	job = job_make(f, MSG_PG_QUERY, 0);
	job_run(f, job);
	assert_int_equal(job->reply->log_count, 0);
	job_destroy(job);
}

static void malformed_requests_are_refused(void **state)
{
	struct fixture *f = *state;

	fixture_open(f);
	assert_int_equal(do_prepare(f, OID, 0, 0, 0, RANGE_DATA, 0, 5, 1), RES_INVALID);
	assert_int_equal(do_prepare(f, OID, 9, 0, 0, RANGE_DATA, 0xfffffff0, 100, 1), RES_INVALID);
	struct disk_job *job = job_prepare(f, OID, 9, 0);
	job_range(f, job, RANGE_DATA, 0, 100, 1);
	job->req->ranges[0].length = 200;
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_INVALID);
	job_destroy(job);
	job = job_prepare(f, OID, 9, 0);
	job->req->shard = SHARD_NONE;
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_INVALID);
	job_destroy(job);
	assert_int_equal(do_simple(f, MSG_OBJ_READ, OID, 0), RES_INVALID);
}

static void small_overwrites_of_a_large_shard_stay_readable_and_are_joined(void **state)
{
	struct fixture *f = *state;
	uint8_t *want = xmalloc(1 << 20), *got = xmalloc(1 << 20);
	uint64_t v = 1;

	fixture_open(f);
	do_prepare(f, OID, v, 0, 0, RANGE_DATA, 0, 1 << 20, 1);
	assert_int_equal(do_read(f, OID, 0, 1 << 20, want), RES_OK);
	for (uint32_t i = 0; i < 1500; i++, v++) {
		uint32_t off = (i * 7919u) % ((1 << 20) - 100);
		assert_int_equal(do_prepare(f, OID, v + 1, v, 0, RANGE_DATA, off, 100, i), RES_OK);
		assert_int_equal(do_read(f, OID, off, 100, want + off), RES_OK);
	}
	assert_int_equal(do_read(f, OID, 0, 1 << 20, got), RES_OK);
	assert_memory_equal(want, got, 1 << 20);
	fixture_idle(f, 20000);
	fixture_crash(f);
	fixture_open(f);
	assert_int_equal(do_read(f, OID, 0, 1 << 20, got), RES_OK);
	assert_memory_equal(want, got, 1 << 20);
	free(want);
	free(got);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(prepare_promotes_what_the_commit_point_covers_in_this_pg_only),
		T(repeated_prepare_succeeds_and_changes_nothing),
		T(prepare_refuses_older_versions_and_wrong_bases),
		T(prepare_on_the_pending_version_commits_it),
		T(replace_leaves_only_the_ranges_and_needs_no_base_when_nothing_is_pending),
		T(delete_leaves_a_tombstone_that_counts_as_a_version),
		T(ranges_apply_data_xor_and_zero_in_order),
		T(prepare_without_ranges_changes_only_the_version),
		T(push_becomes_committed_with_exactly_its_content),
		T(rollback_forgets_the_pending_version_and_its_log_entry),
		T(remove_drops_the_shard_unless_it_is_newer),
		T(list_pages_through_a_pg_in_order),
		T(query_tells_info_and_the_last_changes),
		T(activation_makes_the_log_what_counts_but_keeps_what_is_not_decided),
		T(activate_with_purge_drops_committed_tombstones_up_to_the_commit_point),
		T(drop_removes_strays_or_everything),
		T(malformed_requests_are_refused),
		T(small_overwrites_of_a_large_shard_stay_readable_and_are_joined),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The simulated disk keeps sheep/core/disk_job.h, clause by clause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "tests/sim/sim_disk.h"

enum { POOL = 2, PG = 3, OID = 77, SHARD = 1, LEN = 4 };

struct fixture {
	struct sim_disk disk;
	struct buf_pool *pool;
	struct msg *reply; /* of the last request */
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->pool = buf_pool_create(1 << 20);
	sim_disk_init(&f->disk, 9);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	msg_destroy(f->reply);
	sim_disk_fini(&f->disk);
	assert_int_equal(buf_pool_used_bytes(f->pool), 0);
	buf_pool_destroy(f->pool);
	free(f);
	return 0;
}

static struct msg *request(enum msg_type type, uint64_t version)
{
	struct msg *m = msg_create(type);

	m->pool = POOL;
	m->pg = PG;
	m->oid = OID;
	m->shard = SHARD;
	m->version = version;
	return m;
}

static uint32_t run(struct fixture *f, struct msg *m)
{
	struct disk_job job = {.disk = 9, .req = m, .reply = msg_create_reply(m, RES_OK)};

	if (m->type == MSG_SHARD_READ) {
		struct slice s = {buf_get(f->pool, m->length), 0, m->length};
		payload_add(&job.reply->payload, &s);
	}
	sim_disk_execute(&f->disk, &job);
	msg_destroy(m);
	msg_destroy(f->reply);
	f->reply = job.reply;
	return f->reply->result;
}

static void range_add(struct fixture *f, struct msg *m, uint32_t op, uint32_t off,
                      const char *bytes)
{
	struct slice s = {buf_get(f->pool, LEN), 0, LEN};

	memcpy(s.buf->data, bytes, LEN);
	m->ranges[m->range_count++] = (struct shard_range){op, off, LEN};
	payload_add(&m->payload, &s);
}

static uint32_t prepare(struct fixture *f, uint64_t version, uint64_t base, uint64_t commit,
                        const char *bytes)
{
	struct msg *m = request(MSG_SHARD_PREPARE, version);

	m->base = base;
	m->commit = commit;
	m->req = (struct req_id){1, version};
	if (bytes)
		range_add(f, m, RANGE_DATA, 10, bytes);
	return run(f, m);
}

static uint32_t prepare_delete(struct fixture *f, uint64_t version, uint64_t base)
{
	struct msg *m = request(MSG_SHARD_PREPARE, version);

	m->base = base;
	m->shard_flags = SHARD_DELETE;
	return run(f, m);
}

static uint32_t push(struct fixture *f, uint64_t version, const char *bytes)
{
	struct msg *m = request(MSG_SHARD_PUSH, version);

	range_add(f, m, RANGE_DATA, 10, bytes);
	return run(f, m);
}

static uint32_t commit(struct fixture *f, uint64_t version)
{
	struct msg *m = request(MSG_PG_COMMIT, 0);

	m->commit = version;
	return run(f, m);
}

static uint32_t simple(struct fixture *f, enum msg_type type, uint64_t version)
{
	return run(f, request(type, version));
}

static void expect_bytes(struct fixture *f, uint32_t off, const char *bytes)
{
	struct msg *m = request(MSG_SHARD_READ, 0);

	m->offset = off;
	m->length = LEN;
	assert_int_equal(run(f, m), RES_OK);
	assert_memory_equal(slice_data(&f->reply->payload.v[0]), bytes, LEN);
	assert_true(f->reply->payload.v[0].buf->crc_valid);
}

static void expect_entry(struct fixture *f, uint64_t committed, uint64_t pending, uint32_t flags)
{
	assert_int_equal(simple(f, MSG_SHARD_STAT, 0), RES_OK);
	assert_int_equal(f->reply->entries[0].version, committed);
	assert_int_equal(f->reply->entries[0].pending, pending);
	assert_int_equal(f->reply->entries[0].flags, flags);
}

static uint32_t log_count(struct fixture *f)
{
	simple(f, MSG_PG_QUERY, 0);
	return f->reply->log_count;
}

/* ---- PREPARE ---- */

static void prepare_keeps_the_old_version_beside_the_new(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(prepare(f, 5, 0, 0, "aaaa"), RES_OK);
	assert_int_equal(f->reply->version, 5);
	commit(f, 5);
	assert_int_equal(prepare(f, 6, 5, 0, "bbbb"), RES_OK);
	expect_entry(f, 5, 6, 0);
	expect_bytes(f, 10, "bbbb");
	assert_int_equal(simple(f, MSG_SHARD_ROLLBACK, 6), RES_OK);
	expect_bytes(f, 10, "aaaa");
}

static void prepare_commits_what_its_commit_point_covers_in_the_whole_pg(void **state)
{
	struct fixture *f = *state;
	struct msg *m = request(MSG_SHARD_PREPARE, 6);

	prepare(f, 5, 0, 0, "aaaa");
	m->oid = OID + 1;
	m->commit = 5;
	run(f, m);
	expect_entry(f, 5, 0, 0);
}

static void prepare_of_a_version_that_is_there_changes_nothing(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 0, "aaaa");
	assert_int_equal(prepare(f, 5, 0, 0, "bbbb"), RES_OK);
	expect_bytes(f, 10, "aaaa");
	assert_int_equal(log_count(f), 1);
}

static void prepare_of_an_older_version_is_refused(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 0, "aaaa");
	assert_int_equal(prepare(f, 4, 0, 0, "bbbb"), RES_BASE);
	assert_int_equal(f->reply->version, 5);
}

static void prepare_onto_a_pending_version_commits_it_when_it_is_the_base(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 0, "aaaa");
	assert_int_equal(prepare(f, 7, 6, 0, "bbbb"), RES_BASE);
	expect_entry(f, 0, 5, 0);
	assert_int_equal(prepare(f, 7, 5, 0, "bbbb"), RES_OK);
	expect_entry(f, 5, 7, 0);
}

static void prepare_needs_its_base(void **state)
{
	struct fixture *f = *state;
	struct msg *m = request(MSG_SHARD_PREPARE, 9);

	assert_int_equal(prepare(f, 5, 4, 0, "aaaa"), RES_BASE);
	m->shard_flags = SHARD_REPLACE;
	m->base = 4;
	range_add(f, m, RANGE_DATA, 0, "cccc");
	assert_int_equal(run(f, m), RES_OK);
}

static void prepare_applies_data_xor_and_holes_and_replaces(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	prepare(f, 5, 0, 0, "aaaa");
	m = request(MSG_SHARD_PREPARE, 6);
	m->base = 5;
	range_add(f, m, RANGE_XOR, 12, "\1\1\1\1");
	run(f, m);
	expect_bytes(f, 10, "aa``");
	expect_bytes(f, 12, "``\1\1");
	m = request(MSG_SHARD_PREPARE, 7);
	m->base = 6;
	m->ranges[m->range_count++] = (struct shard_range){RANGE_ZERO, 11, 2};
	run(f, m);
	expect_bytes(f, 10, "a\0\0`");
	m = request(MSG_SHARD_PREPARE, 8);
	m->base = 7;
	m->shard_flags = SHARD_REPLACE;
	range_add(f, m, RANGE_DATA, 20, "zzzz");
	run(f, m);
	expect_bytes(f, 10, "\0\0\0\0");
	expect_bytes(f, 20, "zzzz");
}

static void prepare_without_ranges_changes_the_version_alone(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 5, "aaaa");
	assert_int_equal(prepare(f, 6, 5, 0, NULL), RES_OK);
	expect_bytes(f, 10, "aaaa");
	assert_int_equal(f->reply->version, 6);
}

static void prepare_of_a_delete_leaves_a_tombstone_and_later_data_starts_from_nothing(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	prepare(f, 5, 0, 5, "aaaa");
	assert_int_equal(prepare_delete(f, 6, 5), RES_OK);
	expect_entry(f, 5, 6, ENTRY_PENDING_TOMBSTONE);
	m = request(MSG_SHARD_READ, 0);
	m->length = LEN;
	assert_int_equal(run(f, m), RES_NOENT);
	assert_int_equal(f->reply->version, 6);
	prepare(f, 7, 6, 0, NULL);
	expect_entry(f, 6, 7, ENTRY_TOMBSTONE);
	expect_bytes(f, 10, "\0\0\0\0");
}

static void prepare_on_a_full_disk_is_refused_but_a_delete_is_not(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 5, "aaaa");
	f->disk.limit_bytes = 1;
	assert_int_equal(prepare(f, 6, 5, 0, "bbbb"), RES_NOSPACE);
	assert_int_equal(push(f, 9, "bbbb"), RES_NOSPACE);
	assert_int_equal(prepare_delete(f, 6, 5), RES_OK);
}

static void prepare_that_needs_damaged_bytes_finds_the_damage(void **state)
{
	struct fixture *f = *state;
	struct msg *m = request(MSG_SHARD_PREPARE, 6);

	prepare(f, 5, 0, 0, "aaaa");
	commit(f, 5);
	assert_true(sim_disk_rot(&f->disk, POOL, PG, OID, SHARD));
	expect_entry(f, 5, 0, 0);
	m->base = 5;
	range_add(f, m, RANGE_XOR, 12, "\1\1\1\1");
	assert_int_equal(run(f, m), RES_CORRUPT);
	expect_entry(f, 5, 0, ENTRY_DAMAGED);
}

/* ---- PUSH, ROLLBACK, REMOVE ---- */

static void push_sets_exactly_its_content_unless_older_or_overtaken(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 5, "aaaa");
	assert_int_equal(push(f, 7, "pppp"), RES_OK);
	expect_entry(f, 7, 0, 0);
	expect_bytes(f, 10, "pppp");
	assert_int_equal(push(f, 6, "qqqq"), RES_OK);
	expect_bytes(f, 10, "pppp");
	prepare(f, 9, 7, 0, "bbbb");
	assert_int_equal(push(f, 8, "qqqq"), RES_BASE);
	expect_entry(f, 7, 9, 0);
}

static void push_heals_damage(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	push(f, 7, "pppp");
	sim_disk_rot(&f->disk, POOL, PG, OID, SHARD);
	m = request(MSG_SHARD_READ, 0);
	m->length = LEN;
	assert_int_equal(run(f, m), RES_CORRUPT);
	assert_int_equal(push(f, 7, "pppp"), RES_OK);
	expect_bytes(f, 10, "pppp");
}

static void rollback_takes_back_the_pending_version_and_its_log_entry(void **state)
{
	struct fixture *f = *state;

	prepare(f, 5, 0, 0, "aaaa");
	assert_int_equal(simple(f, MSG_SHARD_ROLLBACK, 4), RES_OK);
	expect_entry(f, 0, 5, 0);
	assert_int_equal(simple(f, MSG_SHARD_ROLLBACK, 5), RES_OK);
	assert_int_equal(simple(f, MSG_SHARD_STAT, 0), RES_NOENT);
	assert_int_equal(log_count(f), 0);
	prepare(f, 6, 0, 0, "aaaa");
	commit(f, 6);
	assert_int_equal(simple(f, MSG_SHARD_ROLLBACK, 6), RES_BASE);
}

static void remove_drops_a_shard_up_to_its_version(void **state)
{
	struct fixture *f = *state;

	push(f, 7, "pppp");
	simple(f, MSG_SHARD_REMOVE, 6);
	expect_entry(f, 7, 0, 0);
	simple(f, MSG_SHARD_REMOVE, 7);
	assert_int_equal(simple(f, MSG_SHARD_STAT, 0), RES_NOENT);
}

/* ---- The PG ---- */

static void list_goes_on_behind_its_cursor(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	for (uint64_t i = 0; i < 5; i++) {
		m = request(MSG_SHARD_PUSH, 5);
		m->oid = OID + 5 - i;
		run(f, m);
	}
	m = request(MSG_PG_LIST, 0);
	m->flags = MSG_F_FIRST;
	m->length = 3;
	run(f, m);
	assert_int_equal(f->reply->entry_count, 3);
	assert_true(f->reply->flags & MSG_F_MORE);
	m = request(MSG_PG_LIST, 0);
	m->oid = f->reply->entries[2].oid;
	m->length = 3;
	run(f, m);
	assert_int_equal(f->reply->entry_count, 2);
	assert_int_equal(f->reply->entries[1].oid, OID + 5);
	assert_false(f->reply->flags & MSG_F_MORE);
}

static void activate_keeps_the_greatest_replaces_the_log_and_purges_when_told(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	prepare(f, 5, 0, 0, "aaaa");
	prepare_delete(f, 7, 5);
	m = request(MSG_PG_ACTIVATE, 0);
	m->info = (struct pg_info){.activated = 4, .clean = 3, .commit = 7};
	m->flags = MSG_F_LOG;
	m->log = xcalloc(2, sizeof(*m->log));
	m->log_count = 2;
	m->log[0] = (struct log_entry){5, OID, {1, 5}};
	m->log[1] = (struct log_entry){6, OID + 1, {1, 6}};
	run(f, m);
	expect_entry(f, 7, 0, ENTRY_TOMBSTONE);
	assert_int_equal(log_count(f), 2);
	assert_int_equal(f->reply->log[1].version, 6);
	assert_int_equal(f->reply->info.activated, 4);
	assert_int_equal(f->reply->info.objects, 0);
	m = request(MSG_PG_ACTIVATE, 0);
	m->info = (struct pg_info){.activated = 3, .clean = 4, .commit = 7};
	m->flags = MSG_F_PURGE;
	m->shard = SHARD_NONE;
	run(f, m);
	assert_int_equal(simple(f, MSG_SHARD_STAT, 0), RES_NOENT);
	simple(f, MSG_PG_QUERY, 0);
	assert_int_equal(f->reply->info.activated, 4);
	assert_int_equal(f->reply->info.clean, 4);
}

static void drop_keeps_one_shard_number_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct msg *m = request(MSG_SHARD_PUSH, 5);

	push(f, 7, "pppp");
	m->shard = 4;
	run(f, m);
	m = request(MSG_PG_DROP, 0);
	m->shard = 4;
	run(f, m);
	assert_int_equal(simple(f, MSG_SHARD_STAT, 0), RES_NOENT);
	assert_int_equal(sim_disk_pg(&f->disk, POOL, PG)->shard_count, 1);
	prepare(f, 9, 0, 0, "aaaa");
	m = request(MSG_PG_DROP, 0);
	m->shard = SHARD_NONE;
	run(f, m);
	assert_int_equal(sim_disk_pg(&f->disk, POOL, PG)->shard_count, 0);
	assert_int_equal(log_count(f), 0);
}

static void log_keeps_the_newest(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 1; i <= PG_LOG_MAX + 10; i++)
		prepare(f, i, i - 1, 0, NULL);
	assert_int_equal(log_count(f), PG_LOG_MAX);
	assert_int_equal(f->reply->log[0].version, 11);
}

/* ---- Power cuts ---- */

static void power_cut_keeps_what_was_synced_and_any_beginning_of_the_rest(void **state)
{
	for (uint32_t kept = 0; kept <= 2; kept++) {
		struct fixture *f;
		void *own;

		set_up(&own);
		f = own;
		prepare(f, 5, 0, 0, "aaaa");
		sim_disk_sync(&f->disk);
		commit(f, 5);
		prepare(f, 6, 5, 0, "bbbb");
		assert_int_equal(sim_disk_unsynced(&f->disk), 2);
		sim_disk_crash(&f->disk, kept);
		expect_entry(f, kept >= 1 ? 5 : 0, kept == 0 ? 5 : kept == 2 ? 6 : 0, 0);
		expect_bytes(f, 10, kept == 2 ? "bbbb" : "aaaa");
		tear_down(&own);
	}
}

static void power_cut_may_bring_back_what_was_removed_or_dropped(void **state)
{
	struct fixture *f = *state;
	struct msg *m;

	push(f, 7, "pppp");
	sim_disk_sync(&f->disk);
	simple(f, MSG_SHARD_REMOVE, 7);
	m = request(MSG_PG_DROP, 0);
	m->shard = SHARD_NONE;
	run(f, m);
	sim_disk_crash(&f->disk, 0);
	expect_bytes(f, 10, "pppp");
}

#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
	static const struct CMUnitTest tests[] = {
		DISK_TEST(prepare_keeps_the_old_version_beside_the_new),
		DISK_TEST(prepare_commits_what_its_commit_point_covers_in_the_whole_pg),
		DISK_TEST(prepare_of_a_version_that_is_there_changes_nothing),
		DISK_TEST(prepare_of_an_older_version_is_refused),
		DISK_TEST(prepare_onto_a_pending_version_commits_it_when_it_is_the_base),
		DISK_TEST(prepare_needs_its_base),
		DISK_TEST(prepare_applies_data_xor_and_holes_and_replaces),
		DISK_TEST(prepare_without_ranges_changes_the_version_alone),
		DISK_TEST(
			prepare_of_a_delete_leaves_a_tombstone_and_later_data_starts_from_nothing),
		DISK_TEST(prepare_on_a_full_disk_is_refused_but_a_delete_is_not),
		DISK_TEST(prepare_that_needs_damaged_bytes_finds_the_damage),
		DISK_TEST(push_sets_exactly_its_content_unless_older_or_overtaken),
		DISK_TEST(push_heals_damage),
		DISK_TEST(rollback_takes_back_the_pending_version_and_its_log_entry),
		DISK_TEST(remove_drops_a_shard_up_to_its_version),
		DISK_TEST(list_goes_on_behind_its_cursor),
		DISK_TEST(activate_keeps_the_greatest_replaces_the_log_and_purges_when_told),
		DISK_TEST(drop_keeps_one_shard_number_or_nothing),
		DISK_TEST(log_keeps_the_newest),
		DISK_TEST(power_cut_keeps_what_was_synced_and_any_beginning_of_the_rest),
		DISK_TEST(power_cut_may_bring_back_what_was_removed_or_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

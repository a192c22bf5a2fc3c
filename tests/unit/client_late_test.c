/* SPDX-License-Identifier: Apache-2.0 */

/* Two who work on one volume, and a change of the one arrives late. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "client/lib/family.h"
#include "client/lib/lock.h"
#include "client/lib/volume_dir.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "tests/unit/client_fixture.h"

enum { MIB = 1 << 20, LEASE_MS = 300 };

typedef int (*operation)(struct sf_cluster *cluster);

struct late {
	struct fixture *t;
	struct sf_cluster *other;
	operation op;
	pthread_t thread;
	int result;
	bool done;
};

static int setup(void **state)
{
	*state = fixture_create(LEASE_MS);
	return 0;
}

static struct sf_cluster *connect_other(struct fixture *t)
{
	struct sf_options o = {.address = "127.0.0.1", .port = t->fake.nodes[0].port,
	                       .timeout_ms = 20000, .lease_ms = LEASE_MS};
	struct sf_cluster *c;

	assert_int_equal(sf_connect(&o, &c), 0);
	return c;
}

static int write_text(struct sf_cluster *cluster, uint64_t offset, const char *text)
{
	struct sf_volume *v;
	int err = sf_volume_open_write(cluster, "test", "test", &v);

	if (err)
		return err;
	err = sf_write(v, text, strlen(text), offset);
	assert_int_equal(sf_volume_close(v), 0);
	return err;
}

static void assert_text(struct sf_cluster *cluster, uint64_t offset, const char *text)
{
	struct sf_volume *v;
	char back[16] = "";

	assert_int_equal(sf_volume_open(cluster, "test", &v), 0);
	assert_int_equal(sf_read(v, back, strlen(text), offset), 0);
	assert_string_equal(back, text);
	assert_int_equal(sf_volume_close(v), 0);
}

static void *late_main(void *arg)
{
	struct late *l = arg;

	l->result = l->op(l->other);
	__atomic_store_n(&l->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool wait_until_late(struct late *l)
{
	while (!__atomic_load_n(&l->done, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&l->t->fake.late_req.seq, __ATOMIC_ACQUIRE))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static void prepare(struct fixture *t)
{
	struct sf_volume_options o = {.size_bytes = 4 * MIB};

	assert_int_equal(sf_volume_create(t->cluster, "test", &o), 0);
	assert_int_equal(write_text(t->cluster, 0, "first"), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(write_text(t->cluster, 0, "later"), 0);
}

static void clean(struct fixture *t)
{
	const char *tags[] = {"one", "two", "(being converted) 1", "(being converted) 2"};
	size_t cleared;

	for (int i = 0; i < 4; i++)
		(void)sf_snapshot_delete(t->cluster, "test", tags[i]);
	(void)sf_volume_delete(t->cluster, "test");
	assert_int_equal(sf_leftovers_clear(t->cluster, &cleared), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 0);
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
}

/* What the other was told to be done stays done. */
static bool late_once(struct fixture *t, operation op, uint32_t after)
{
	struct late l = {.t = t, .op = op, .other = connect_other(t)};
	int snapshot = -1, written = -1;
	struct sf_volume *v;
	bool late;

	t->fake.late_req = (struct req_id){0};
	t->fake.late_after = after;
	t->fake.late = true;
	assert_int_equal(pthread_create(&l.thread, NULL, late_main, &l), 0);
	late = wait_until_late(&l);
	if (late) {
		snapshot = sf_snapshot_create(t->cluster, "test", "two");
		written = write_text(t->cluster, MIB, "newer");
	}
	t->fake.late = false;
	pthread_join(l.thread, NULL);
	if (written == 0)
		assert_text(t->cluster, MIB, "newer");
	if (snapshot == 0) {
		assert_int_equal(sf_snapshot_open(t->cluster, "test", "two", &v), 0);
		sf_volume_close(v);
	}
	sf_disconnect(l.other);
	clean(t);
	return late;
}

static int do_convert(struct sf_cluster *cluster)
{
	return sf_volume_alter_copy(cluster, "test", (struct sf_redundancy){1, 1}, NULL, NULL, NULL);
}
static int do_delete_one(struct sf_cluster *cluster)
{
	return sf_snapshot_delete(cluster, "test", "one");
}
static void beside_the_end_of_a_conversion(void **state)
{
	struct fixture *t = *state;
	uint32_t after = 11;

	do
		prepare(t);
	while (late_once(t, do_convert, after++));
	assert_true(after > 12);
}

/* Its snapshot was cut off before the last change: it is valid because the snapshot names it. */
static void make_pending(struct fixture *t)
{
	struct inode inode;

	assert_int_equal(volume_find_alive(t->cluster, "test", &inode), 0);
	inode.flags |= INODE_PENDING;
	assert_int_equal(inode_write(t->cluster, &inode), 0);
}

static void beside_a_deletion_of_what_makes_it_valid(void **state)
{
	struct fixture *t = *state;
	uint32_t after = 0;

	do {
		prepare(t);
		make_pending(t);
	} while (late_once(t, do_delete_one, after++));
	assert_true(after > 2);
}

static void what_is_resized_is_not_pending_any_more(void **state)
{
	struct fixture *t = *state;
	struct inode inode;

	prepare(t);
	make_pending(t);
	assert_int_equal(sf_volume_resize(t->cluster, "test", 3 * MIB), 0);
	assert_int_equal(volume_find_alive(t->cluster, "test", &inode), 0);
	assert_false(inode.flags & INODE_PENDING);
}

static void *create_main(void *arg)
{
	struct fixture *t = arg;
	struct sf_volume_options o = {.size_bytes = 2 * MIB, .preallocate = true};

	assert_int_equal(sf_volume_create(t->cluster, "test", &o), 0);
	return NULL;
}

static void preallocation_does_not_overwrite_what_another_writes(void **state)
{
	struct fixture *t = *state;
	struct sf_cluster *other = connect_other(t);
	uint64_t oid = oid_inode(volume_id_of_name("test"), 0);
	struct sf_volume_options o = {.size_bytes = MIB};
	struct sf_volume_info info;
	pthread_t thread;

	t->fake.answer_again = UINT32_MAX;
	assert_int_equal(pthread_create(&thread, NULL, create_main, t), 0);
	while (!fake_has(&t->fake, POOL_META, oid))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(sf_volume_stat(other, "test", &info), -ENOENT);
	assert_int_equal(sf_volume_create(other, "test", &o), -EBUSY);
	t->fake.answer_again = 0;
	pthread_join(thread, NULL);
	assert_int_equal(write_text(other, 0, "mine"), 0);
	assert_text(other, 0, "mine");
	sf_disconnect(other);
}

/* As soon as something has been written. */
struct stopping {
	struct fixture *t;
	uint32_t before;
	volatile bool stop;
};

static void *stop_main(void *arg)
{
	struct stopping *s = arg;

	while (fake_count(&s->t->fake, POOL_DATA) < s->before + 2)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	s->stop = true;
	return NULL;
}

static void what_is_stopped_leaves_nothing(void **state)
{
	struct fixture *t = *state;
	struct stopping s = {.t = t};
	struct sf_options o = {
		.address = "127.0.0.1", .port = t->fake.nodes[0].port, .stop = &s.stop};
	struct sf_volume_options big = {.size_bytes = 4000ull * MIB, .preallocate = true};
	struct sf_volume_info info;
	struct sf_cluster *c;
	pthread_t thread;

	fixture_make_volume(t, "test", big.size_bytes);
	assert_int_equal(write_text(t->cluster, 0, "first"), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	s.before = fake_count(&t->fake, POOL_DATA);
	assert_int_equal(sf_connect(&o, &c), 0);
	for (int clone = 0; clone < 2; clone++) {
		s.stop = false;
		assert_int_equal(pthread_create(&thread, NULL, stop_main, &s), 0);
		if (clone)
			assert_int_equal(sf_volume_clone(c, "test", "one", "new",
			                                 SF_CLONE_COPY | SF_CLONE_PREALLOCATE),
			                 -EINTR);
		else
			assert_int_equal(sf_volume_create(c, "new", &big), -EINTR);
		pthread_join(thread, NULL);
		assert_int_equal(fake_count(&t->fake, POOL_DATA), s.before);
		assert_int_equal(sf_volume_stat(c, "new", &info), -ENOENT);
	}
	sf_disconnect(c);
}

/* What it reads stays, though it was told that the write had failed. */
static void what_a_living_writer_left_unlisted_is_in_a_snapshot(void **state)
{
	struct fixture *t = *state;
	struct sf_cluster *other = connect_other(t);
	struct inode inode;
	struct sf_volume *v;
	char back[2] = "";

	prepare(t);
	assert_int_equal(sf_volume_open_write(other, "test", "a writer", &v), 0);
	assert_int_equal(volume_find_alive(t->cluster, "test", &inode), 0);
	fake_put(&t->fake, POOL_DATA, oid_data(inode.info.id, 2), 0, "x", 1);
	t->fake.answer_nospace = 1;
	assert_int_equal(sf_write(v, "y", 1, 3 * MIB), -ENOSPC);
	assert_int_equal(sf_read(v, back, 1, 2 * MIB), 0);
	assert_string_equal(back, "x");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "two"), 0);
	assert_int_equal(sf_read(v, back, 1, 2 * MIB), 0);
	assert_string_equal(back, "x");
	sf_volume_close(v);
	sf_disconnect(other);
}

static int do_check(struct sf_cluster *cluster)
{
	size_t cleared;

	return sf_leftovers_clear(cluster, &cleared);
}

/* Nor does a snapshot have to wait for it. */
static void a_snapshots_deletion_keeps_no_writer_waiting(void **state)
{
	struct fixture *t = *state;
	struct late l = {.t = t, .op = do_check, .other = connect_other(t)};
	struct sf_cluster *writer = connect_other(t);
	uint64_t begin, now, last;
	struct inode one;
	struct lock *lock;
	struct sf_volume *v;

	prepare(t);
	assert_int_equal(sf_volume_open_write(writer, "test", "a writer", &v), 0);
	assert_int_equal(volume_find_tag(t->cluster, "test", "one", &one), 0);
	one.flags |= INODE_DELETING;
	assert_int_equal(inode_write(t->cluster, &one), 0);
	assert_int_equal(family_lock(t->cluster, one.family, "delete", &lock), 0);
	assert_int_equal(pthread_create(&l.thread, NULL, late_main, &l), 0);
	for (begin = last = fence_now_ms(); last < begin + 2 * LEASE_MS; last = now) {
		assert_int_equal(sf_write(v, "x", 1, 0), 0);
		now = fence_now_ms();
		assert_true(now - last < LEASE_MS / 2);
	}
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "two"), 0);
	lock_release(lock);
	pthread_join(l.thread, NULL);
	sf_volume_close(v);
	sf_disconnect(writer);
	sf_disconnect(l.other);
}

static void a_conversion_that_goes_on_is_no_leftover(void **state)
{
	struct fixture *t = *state;
	struct late l = {.t = t, .op = do_convert, .other = connect_other(t)};
	size_t cleared;

	prepare(t);
	t->fake.late_after = 5;
	t->fake.late = true;
	assert_int_equal(pthread_create(&l.thread, NULL, late_main, &l), 0);
	assert_true(wait_until_late(&l));
	assert_int_equal(sf_leftovers_clear(t->cluster, &cleared), 0);
	assert_int_equal(cleared, 0);
	t->fake.late = false;
	pthread_join(l.thread, NULL);
	assert_int_equal(l.result, 0);
	sf_disconnect(l.other);
}

/* Which may have the id that was copied to, if that was cleared away with the old one. */
static void a_conversion_does_not_write_to_what_comes_after_its_volume(void **state)
{
	struct fixture *t = *state;
	struct late l = {.t = t, .op = do_convert, .other = connect_other(t)};
	struct sf_volume_options o = {.size_bytes = 4 * MIB, .redundancy = {1, 1}};
	int err;

	prepare(t);
	t->fake.late = t->fake.late_data = true;
	assert_int_equal(pthread_create(&l.thread, NULL, late_main, &l), 0);
	assert_true(wait_until_late(&l));
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	err = sf_volume_create(t->cluster, "test", &o);
	if (!err)
		assert_int_equal(write_text(t->cluster, 0, "mine"), 0);
	t->fake.late = false;
	pthread_join(l.thread, NULL);
	if (!err)
		assert_text(t->cluster, 0, "mine");
	else
		assert_int_equal(sf_volume_create(t->cluster, "test", &o), 0);
	sf_disconnect(l.other);
	clean(t);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

int main(void)
{

	const struct CMUnitTest tests[] = {
		CASE(beside_the_end_of_a_conversion),
		CASE(beside_a_deletion_of_what_makes_it_valid),
		CASE(what_is_resized_is_not_pending_any_more),
		CASE(preallocation_does_not_overwrite_what_another_writes),
		CASE(what_is_stopped_leaves_nothing),
		CASE(what_a_living_writer_left_unlisted_is_in_a_snapshot),
		CASE(a_snapshots_deletion_keeps_no_writer_waiting),
		CASE(a_conversion_that_goes_on_is_no_leftover),
		CASE(a_conversion_does_not_write_to_what_comes_after_its_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

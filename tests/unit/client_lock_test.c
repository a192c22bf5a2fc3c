/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/lib/fence.h"
#include "client/lib/lock.h"
#include "client/lib/lock_visit.h"
#include "client/lib/meta_object.h"
#include "client/lib/volume_dir.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "tests/unit/client_fake.h"

enum { MIB = 1 << 20, LEASE_MS = 400 };

struct fixture {
	struct fake fake;
	struct sf_cluster *a, *b;
};

static int setup(void **state)
{
	struct fixture *t = xcalloc(1, sizeof(*t));
	struct sf_options o = {
		.address = "127.0.0.1", .timeout_ms = 20000, .lease_ms = LEASE_MS};
	struct sf_volume_options v = {.size_bytes = 8 * MIB};

	fake_start(&t->fake, 2, 1);
	o.port = t->fake.nodes[0].port;
	assert_int_equal(sf_connect(&o, &t->a), 0);
	assert_int_equal(sf_connect(&o, &t->b), 0);
	assert_int_equal(sf_volume_create(t->a, "test", &v), 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	sf_disconnect(t->a);
	sf_disconnect(t->b);
	fake_stop(&t->fake);
	free(t);
	return 0;
}

static void pause_ms(uint32_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&ts, NULL);
}

static uint64_t oid(void)
{
	return oid_of_name(OID_TYPE_LOCK, "test");
}

/* Somebody who got it and was never heard of again. */
static void put_record(struct fixture *t, struct lock_record *r)
{
	uint8_t bytes[LOCK_RECORD_LEN];

	r->holder = 4711;
	if (!r->lease_ms)
		r->lease_ms = LEASE_MS;
	snprintf(r->host, sizeof(r->host), "elsewhere");
	snprintf(r->purpose, sizeof(r->purpose), "a test");
	snprintf(r->volume, sizeof(r->volume), "test");
	lock_record_encode(r, bytes);
	fake_put(&t->fake, POOL_META, oid(), 0, bytes, sizeof(bytes));
}

static void a_second_writer_is_refused_and_told_who_has_it(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v, *w;
	char host[64], number[32];

	assert_int_equal(sf_volume_open_write(t->a, "test", "the first", &v), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sf_volume_open_write(t->b, "test", "the second", &w), -EBUSY);
		gethostname(host, sizeof(host));
		snprintf(number, sizeof(number), "process %d", (int)getpid());
		assert_non_null(strstr(sf_error(), host));
		assert_non_null(strstr(sf_error(), number));
		assert_non_null(strstr(sf_error(), "the first"));
	}
	/* Reading needs no lock. */
	assert_int_equal(sf_volume_open(t->b, "test", &w), 0);
	sf_volume_close(w);
	sf_volume_close(v);
	assert_int_equal(sf_volume_open_write(t->b, "test", "the second", &w), 0);
	sf_volume_close(w);
}

static void closing_gives_the_lock_back(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;
	struct sf_lock *locks;
	size_t count;

	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_int_equal(sf_lock_list(t->b, &locks, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(locks[0].volume, "test");
	assert_string_equal(locks[0].purpose, "x");
	assert_int_equal(locks[0].process, getpid());
	free(locks);
	sf_volume_close(v);
	assert_int_equal(sf_lock_list(t->b, &locks, &count), 0);
	assert_int_equal(count, 0);
	free(locks);
	assert_false(fake_has(&t->fake, POOL_META, oid()));
	assert_int_equal(sf_volume_open_write(t->a, "none", "x", &v), -ENOENT);
	assert_false(fake_has(&t->fake, POOL_META, oid_of_name(OID_TYPE_LOCK, "none")));
}

static void a_lock_is_held_over_many_leases(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v, *w;

	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	for (int i = 0; i < 4; i++) {
		pause_ms(LEASE_MS * 3 / 4);
		assert_int_equal(sf_volume_open_write(t->b, "test", "y", &w), -EBUSY);
		assert_int_equal(sf_write(v, "x", 1, 0), 0);
	}
	sf_volume_close(v);
}

static void a_dead_writers_lock_expires_after_a_lease(void **state)
{
	struct fixture *t = *state;
	struct lock_record r = {0};
	uint64_t begin = fence_now_ms();
	struct sf_volume *v;

	put_record(t, &r);
	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_true(fence_now_ms() - begin >= LEASE_MS);
	sf_volume_close(v);
}

static void the_lock_of_a_dead_process_of_this_machine_is_free(void **state)
{
	struct fixture *t = *state;
	struct lock_record r = {0};
	struct sf_volume *v;
	uint64_t begin;
	pid_t child;
	int link[2];

	/* So long that a wait for it would be noticed. */
	assert_int_equal(pipe(link), 0);
	child = fork();
	if (child == 0) {
		lock_record_sign(&r);
		_exit(write(link[1], &r, sizeof(r)) != sizeof(r));
	}
	assert_int_equal(read(link[0], &r, sizeof(r)), sizeof(r));
	waitpid(child, NULL, 0);
	close(link[0]);
	close(link[1]);
	assert_true(lock_record_is_dead(&r));
	r.lease_ms = 10000;
	put_record(t, &r);
	begin = fence_now_ms();
	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_true(fence_now_ms() - begin < r.lease_ms);
	sf_volume_close(v);
	lock_record_sign(&r);
	assert_false(lock_record_is_dead(&r));
}

static void a_writer_that_lost_its_lock_writes_no_more(void **state)
{
	struct fixture *t = *state;
	struct lock_record r = {0};
	struct sf_volume *v;
	char back[2] = "";

	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_int_equal(sf_write(v, "a", 1, 0), 0);
	put_record(t, &r);
	pause_ms(LEASE_MS / 2);
	assert_int_equal(sf_write(v, "b", 1, 0), -ENOLCK);
	assert_int_equal(sf_discard(v, MIB, 0), -ENOLCK);
	assert_int_equal(sf_read(v, back, 1, 0), 0);
	assert_string_equal(back, "a");
	assert_int_equal(sf_volume_close(v), 0);
	assert_true(fake_has(&t->fake, POOL_META, oid())); /* the other's */
}

static void an_operator_takes_a_lock_back(void **state)
{
	struct fixture *t = *state;
	struct lock_record r = {0};
	struct sf_volume *v, *w;

	assert_int_equal(sf_lock_break(t->b, "test"), -ENOENT);
	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_int_equal(sf_lock_break(t->b, "test"), 0);
	assert_int_equal(sf_write(v, "b", 1, 0), -ENOLCK);
	assert_int_equal(sf_volume_open_write(t->b, "test", "y", &w), 0);
	sf_volume_close(v);
	assert_int_equal(sf_write(w, "b", 1, 0), 0);
	sf_volume_close(w);
	put_record(t, &r);
	assert_int_equal(sf_lock_break(t->b, "test"), 0);
	assert_int_equal(sf_lock_break(t->b, "test"), -ENOENT);
	assert_int_equal(sf_volume_open_write(t->a, "test", "z", &v), 0);
	sf_volume_close(v);
	assert_false(fake_has(&t->fake, POOL_META, oid()));
}

/* It is read: it must not be gone after a snapshot. */
static void what_a_dead_writer_left_unlisted_is_put_into_the_map(void **state)
{
	struct fixture *t = *state;
	uint64_t stray = oid_data(volume_id_of_name("test"), 0);
	struct sf_map_entry *entries;
	struct lock_record r = {0};
	struct sf_volume *v;
	size_t count;
	char back = 0;

	fake_put(&t->fake, POOL_DATA, stray, 0, "x", 1);
	put_record(t, &r);
	assert_int_equal(sf_volume_map(t->a, "test", NULL, &entries, &count), 0);
	assert_int_equal(count, 0);
	free(entries);
	assert_int_equal(sf_volume_open_write(t->a, "test", "y", &v), 0);
	sf_volume_close(v);
	assert_int_equal(sf_volume_map(t->a, "test", NULL, &entries, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].index, 0);
	free(entries);
	assert_int_equal(sf_snapshot_create(t->a, "test", "s"), 0);
	assert_int_equal(sf_volume_open(t->a, "test", &v), 0);
	assert_int_equal(sf_read(v, &back, 1, 0), 0);
	assert_int_equal(back, 'x');
	sf_volume_close(v);
}

struct outcome {
	volatile bool done;
	int result;
};

static void outcome_take(void *arg, int result)
{
	struct outcome *o = arg;

	o->result = result;
	o->done = true;
}

/* Nobody took it meanwhile: the writer only waits. */
static void changes_wait_while_the_lock_cannot_be_renewed(void **state)
{
	struct fixture *t = *state;
	struct outcome o = {0};
	struct sf_volume *v;
	char back[2] = "";

	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_int_equal(sf_write(v, "a", 1, 0), 0);
	t->fake.meta_again = true;
	pause_ms(LEASE_MS);
	sf_write_async(v, "b", 1, 0, outcome_take, &o);
	pause_ms(LEASE_MS / 2);
	assert_false(o.done);
	assert_int_equal(sf_read(v, back, 1, 0), 0);
	assert_string_equal(back, "a");
	t->fake.meta_again = false;
	assert_int_equal(sf_flush(v), 0);
	assert_true(o.done);
	assert_int_equal(o.result, 0);
	sf_volume_close(v);
}

static void wait_until_done(const struct outcome *o)
{
	for (int i = 0; i < 1000 && !o->done; i++)
		pause_ms(10);
	assert_true(o->done);
}

static void read_record(struct fixture *t, struct lock_record *r)
{
	uint8_t bytes[LOCK_RECORD_LEN];
	uint64_t version;

	assert_int_equal(meta_read(t->b, oid(), 0, bytes, sizeof(bytes), &version), 0);
	assert_int_equal(lock_record_decode(bytes, r), 0);
}

/* A guest that asks, is let in, and is never heard of again; then the lock goes to another. */
static void what_a_visit_holds_back_fails_when_the_lock_is_lost(void **state)
{
	struct fixture *t = *state;
	struct outcome o = {0};
	struct lock_record r;
	struct sf_volume *v;
	uint8_t bytes[LOCK_RECORD_LEN];
	char back[2] = "";

	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	assert_int_equal(sf_write(v, "a", 1, 0), 0);
	read_record(t, &r);
	r.guest = 1;
	r.visit = VISIT_ASKED;
	lock_record_encode(&r, bytes);
	fake_put(&t->fake, POOL_META, oid(), 0, bytes, sizeof(bytes));
	for (int i = 0; i < 1000 && r.visit != VISIT_GRANTED; i++) {
		pause_ms(1);
		read_record(t, &r);
	}
	assert_int_equal(r.visit, VISIT_GRANTED);
	sf_write_async(v, "b", 1, 0, outcome_take, &o);
	put_record(t, &r);
	wait_until_done(&o);
	assert_int_equal(o.result, -ENOLCK);
	assert_int_equal(sf_read(v, back, 1, 0), 0);
	assert_string_equal(back, "a");
	assert_int_equal(sf_volume_close(v), 0);
}

static void a_damaged_lock_is_one_of_a_dead_writer(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;

	fake_put(&t->fake, POOL_META, oid(), 0, "rubbish", 7);
	assert_int_equal(sf_volume_open_write(t->a, "test", "x", &v), 0);
	sf_volume_close(v);
}

static void a_scope_is_a_lock_and_fences_the_thread(void **state)
{
	struct fixture *t = *state;
	struct lock_scope scope, other;

	assert_int_equal(lock_scope_begin(t->a, "test", "x", true, &scope), 0);
	assert_non_null(fence_of_thread());
	/* This holder lets no guests in. */
	assert_int_equal(lock_scope_begin(t->b, "test", "y", true, &other), -EBUSY);
	lock_scope_end(&other);
	lock_scope_end(&scope);
	assert_null(fence_of_thread());
	assert_false(fake_has(&t->fake, POOL_META, oid()));
}

/* As those do that restore, clone, shrink or convert. */
static void a_volume_opened_in_a_scope_is_fenced_by_it(void **state)
{
	struct fixture *t = *state;
	struct lock_record r = {0};
	struct lock_scope scope;
	struct sf_volume *v;
	char back[2] = "";

	assert_int_equal(lock_scope_begin(t->a, "test", "x", false, &scope), 0);
	assert_int_equal(sf_volume_open(t->a, "test", &v), 0);
	assert_int_equal(sf_write(v, "a", 1, 0), 0);
	put_record(t, &r);
	for (int i = 0; i < 1000 && lock_check(scope.lock) == 0; i++)
		pause_ms(10);
	assert_int_equal(sf_write(v, "b", 1, 0), -ENOLCK);
	assert_int_equal(sf_discard(v, MIB, 0), -ENOLCK);
	assert_int_equal(sf_read(v, back, 1, 0), 0);
	assert_string_equal(back, "a");
	assert_int_equal(sf_volume_close(v), 0);
	lock_scope_end(&scope);
	assert_true(fake_has(&t->fake, POOL_META, oid())); /* the other's */
}

static void a_scope_inside_of_another_gives_its_fence_back(void **state)
{
	struct fixture *t = *state;
	struct lock_scope outer, inner;
	const struct fence *fence;

	assert_int_equal(lock_scope_begin(t->a, "test", "x", false, &outer), 0);
	fence = fence_of_thread();
	assert_int_equal(lock_scope_begin(t->a, "other", "x", false, &inner), 0);
	assert_ptr_not_equal(fence_of_thread(), fence);
	lock_scope_end(&inner);
	assert_ptr_equal(fence_of_thread(), fence);
	lock_scope_end(&outer);
	assert_null(fence_of_thread());
}

/* It would be deleted together with what it takes the place of. */
static void nobody_creates_what_another_is_deleting(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_options o = {.size_bytes = MIB};
	struct lock_scope scope;
	struct inode inode;

	assert_int_equal(lock_scope_begin(t->a, "test", "delete", false, &scope), 0);
	assert_int_equal(inode_read(t->a, volume_id_of_name("test"), &inode), 0);
	inode.flags |= INODE_DELETING;
	assert_int_equal(inode_write(t->a, &inode), 0);
	assert_int_equal(sf_volume_create(t->b, "test", &o), -EBUSY);
	lock_scope_end(&scope);
	/* One whose deletion was cut off is finished. */
	assert_int_equal(sf_volume_create(t->b, "test", &o), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_second_writer_is_refused_and_told_who_has_it),
		CASE(closing_gives_the_lock_back),
		CASE(a_lock_is_held_over_many_leases),
		CASE(a_dead_writers_lock_expires_after_a_lease),
		CASE(the_lock_of_a_dead_process_of_this_machine_is_free),
		CASE(a_writer_that_lost_its_lock_writes_no_more),
		CASE(what_a_dead_writer_left_unlisted_is_put_into_the_map),
		CASE(an_operator_takes_a_lock_back),
		CASE(changes_wait_while_the_lock_cannot_be_renewed),
		CASE(a_damaged_lock_is_one_of_a_dead_writer),
		CASE(what_a_visit_holds_back_fails_when_the_lock_is_lost),
		CASE(a_scope_is_a_lock_and_fences_the_thread),
		CASE(a_volume_opened_in_a_scope_is_fenced_by_it),
		CASE(a_scope_inside_of_another_gives_its_fence_back),
		CASE(nobody_creates_what_another_is_deleting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

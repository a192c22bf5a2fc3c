/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/lib/inode.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "tests/unit/client_fixture.h"

enum { MIB = 1 << 20, VOLUME = 24 * MIB };

static struct sf_volume *volume_make(struct fixture *t, const char *name, uint64_t size)
{
	struct sf_volume_options o = {.size_bytes = size};
	struct sf_volume *v;

	assert_int_equal(sf_volume_create(t->cluster, name, &o), 0);
	assert_int_equal(sf_volume_open(t->cluster, name, &v), 0);
	return v;
}

static uint8_t *random_bytes(struct fixture *t, size_t len)
{
	uint8_t *data = xmalloc(len);

	prng_fill(&t->prng, data, len);
	return data;
}

static void expect_bytes(struct sf_volume *v, const uint8_t *want, size_t len, uint64_t offset)
{
	uint8_t *got = xmalloc(len);

	memset(got, 0xa5, len);
	assert_int_equal(sf_read(v, got, len, offset), 0);
	assert_memory_equal(got, want, len);
	free(got);
}

static void any_range_reads_back_as_written(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *model = xcalloc(1, VOLUME), *data;

	for (int i = 0; i < 60; i++) {
		size_t len = 1 + prng_below(&t->prng, i % 3 ? 5000 : 5 * MIB);
		uint64_t off = prng_below(&t->prng, VOLUME - len + 1);

		data = random_bytes(t, len);
		assert_int_equal(sf_write(v, data, len, off), 0);
		memcpy(model + off, data, len);
		free(data);
		expect_bytes(v, model + off, len, off);
	}
	expect_bytes(v, model, VOLUME, 0);
	assert_int_equal(sf_volume_close(v), 0);
	free(model);
}

static void ranges_behind_the_end_are_refused(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", MIB + 5);
	uint8_t byte[16] = {0};

	assert_int_equal(sf_write(v, byte, 6, MIB), -EINVAL);
	assert_int_equal(sf_read(v, byte, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(sf_discard(v, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(sf_write(v, byte, 5, MIB), 0);
	assert_int_equal(sf_write(v, byte, 0, MIB + 5), 0);
	sf_volume_close(v);
}

static void a_lost_reply_does_not_apply_a_write_twice(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, 8 * MIB);

	t->fake.drop_after = 3;
	assert_int_equal(sf_write(v, data, 8 * MIB, 0), 0);
	assert_int_equal(t->fake.drop_after, 0);
	assert_true(t->fake.retries_of_applied >= 3);
	expect_bytes(v, data, 8 * MIB, 0);
	sf_volume_close(v);
	free(data);
}

static void lost_connections_and_refusals_for_now_are_retried(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, 8 * MIB);

	t->fake.drop_before = 5;
	t->fake.answer_again = 20;
	assert_int_equal(sf_write(v, data, 8 * MIB, 77), 0);
	t->fake.drop_before = 5;
	t->fake.answer_again = 5;
	expect_bytes(v, data, 8 * MIB, 77);
	sf_volume_close(v);
	free(data);
}

static void damage_on_the_way_is_noticed_and_read_again(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, 8 * MIB);

	assert_int_equal(sf_write(v, data, 8 * MIB, 0), 0);
	t->fake.damage_payload = 4;
	expect_bytes(v, data, 8 * MIB, 0);
	assert_int_equal(t->fake.damage_payload, 0);
	sf_volume_close(v);
	free(data);
}

static void a_killed_daemon_is_gone_around_once_the_map_says_so(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, VOLUME);

	assert_int_equal(sf_write(v, data, VOLUME / 2, 0), 0);
	fake_kill(&t->fake, 0, true); /* the one that was connected to */
	assert_int_equal(sf_write(v, data + VOLUME / 2, VOLUME / 2, VOLUME / 2), 0);
	expect_bytes(v, data, VOLUME, 0);
	sf_volume_close(v);
	free(data);
}

/* Gives the cluster some time to notice, as a real one takes. */
static void *notice_later(void *arg)
{
	usleep(400000);
	fake_notice(arg, 2);
	return NULL;
}

static void writes_wait_until_a_dead_daemon_is_noticed(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, VOLUME);
	pthread_t thread;

	fake_kill(&t->fake, 2, false);
	pthread_create(&thread, NULL, notice_later, &t->fake);
	assert_int_equal(sf_write(v, data, VOLUME, 0), 0);
	pthread_join(thread, NULL);
	expect_bytes(v, data, VOLUME, 0);
	sf_volume_close(v);
	free(data);
}

static void a_full_cluster_is_told_at_once(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t byte = 1;

	t->fake.answer_nospace = 1;
	assert_int_equal(sf_write(v, &byte, 1, 0), -ENOSPC);
	assert_string_equal(sf_error(), "no space");
	assert_int_equal(sf_write(v, &byte, 1, 0), 0);
	sf_volume_close(v);
}

static void a_stream_of_new_objects_costs_few_map_writes(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	struct sf_volume_info info;
	uint8_t *data = random_bytes(t, VOLUME);

	assert_int_equal(sf_write(v, data, VOLUME, 0), 0);
	assert_true(t->fake.map_writes >= 1 && t->fake.map_writes <= 12);
	t->fake.map_writes = 0;
	assert_int_equal(sf_write(v, data, VOLUME, 0), 0);
	assert_int_equal(t->fake.map_writes, 0);
	assert_int_equal(sf_volume_stat(t->cluster, "a", &info), 0);
	assert_int_equal(info.used_bytes, VOLUME);
	sf_volume_close(v);
	free(data);
}

static void discard_reads_as_zeros_and_gives_objects_back(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", 3 * MIB + 100);
	struct sf_volume_info info;
	uint8_t *data = random_bytes(t, 3 * MIB + 100), *zeros = xcalloc(1, 3 * MIB + 100);

	assert_int_equal(sf_write(v, data, 3 * MIB + 100, 0), 0);
	assert_int_equal(sf_discard(v, 2 * MIB + 110, MIB - 10), 0);
	expect_bytes(v, data, MIB - 10, 0);
	expect_bytes(v, zeros, 2 * MIB + 110, MIB - 10);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 1);
	assert_int_equal(sf_volume_stat(t->cluster, "a", &info), 0);
	assert_int_equal(info.used_bytes, MIB);
	sf_volume_close(v);
	free(data);
	free(zeros);
}

struct async {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int left, flushed_at;
};

static void async_done(void *arg, int result)
{
	struct async *a = arg;

	assert_int_equal(result, 0);
	pthread_mutex_lock(&a->lock);
	a->left--;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

static void async_flushed(void *arg, int result)
{
	struct async *a = arg;

	assert_int_equal(result, 0);
	pthread_mutex_lock(&a->lock);
	a->flushed_at = a->left--;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
}

static void a_flush_waits_for_the_writes_before_it(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t *data = random_bytes(t, VOLUME);
	struct async a = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = 25};

	t->fake.answer_again = 30;
	for (int i = 0; i < 24; i++)
		sf_write_async(v, data + i * MIB, MIB, (uint64_t)i * MIB, async_done, &a);
	sf_flush_async(v, async_flushed, &a);
	pthread_mutex_lock(&a.lock);
	while (a.left > 0)
		pthread_cond_wait(&a.cond, &a.lock);
	pthread_mutex_unlock(&a.lock);
	assert_int_equal(a.flushed_at, 1);
	expect_bytes(v, data, VOLUME, 0);
	sf_volume_close(v);
	free(data);
}

static void connecting_to_nobody_fails_soon(void **state)
{
	struct sf_options o = {.address = "127.0.0.1", .port = 1};
	struct sf_cluster *c;

	assert_int_equal(sf_connect(&o, &c), -ENOTCONN);
	assert_non_null(strstr(sf_error(), "cannot connect to 127.0.0.1 port 1"));
	o.address = "no.such.host.invalid";
	assert_int_equal(sf_connect(&o, &c), -ENOTCONN);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(any_range_reads_back_as_written),
		CASE(ranges_behind_the_end_are_refused),
		CASE(a_lost_reply_does_not_apply_a_write_twice),
		CASE(lost_connections_and_refusals_for_now_are_retried),
		CASE(damage_on_the_way_is_noticed_and_read_again),
		CASE(a_killed_daemon_is_gone_around_once_the_map_says_so),
		CASE(writes_wait_until_a_dead_daemon_is_noticed),
		CASE(a_full_cluster_is_told_at_once),
		CASE(a_stream_of_new_objects_costs_few_map_writes),
		CASE(discard_reads_as_zeros_and_gives_objects_back),
		CASE(a_flush_waits_for_the_writes_before_it),
		cmocka_unit_test(connecting_to_nobody_fails_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/lib/inode.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
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

static void an_operation_ends_when_its_time_is_over(void **state)
{
	struct fixture *t = *state;
	struct sf_options o = {
		.address = "127.0.0.1", .port = t->fake.nodes[1].port, .timeout_ms = 700};
	struct sf_cluster *c;
	struct sf_volume *v;
	uint8_t byte = 1;

	sf_volume_close(volume_make(t, "a", VOLUME));
	assert_int_equal(sf_connect(&o, &c), 0);
	assert_int_equal(sf_volume_open(c, "a", &v), 0);
	t->fake.answer_again = 1000000;
	assert_int_equal(sf_write(v, &byte, 1, 0), -ETIMEDOUT);
	t->fake.answer_again = 0;
	t->fake.never_answer = 1;
	assert_int_equal(sf_write(v, &byte, 1, 0), -ETIMEDOUT);
	assert_int_equal(sf_write(v, &byte, 1, 0), 0);
	sf_volume_close(v);
	sf_disconnect(c);
}

/* Or whoever looks through many would wait for each. */
static void only_the_first_lost_object_is_waited_for(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	time_t begin = time(NULL);
	uint8_t back;

	t->fake.data_lost = true;
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(sf_read(v, &back, 1, i * MIB), -EIO);
	assert_true(time(NULL) - begin < 9);
	t->fake.data_lost = false;
	assert_int_equal(sf_read(v, &back, 1, 0), 0);
	sf_volume_close(v);
}

/* A listing asks all placement groups, more than at once. */
static void whoever_asks_for_much_waits_in_vain_once(void **state)
{
	struct fixture *t = *state;
	struct sf_options o = {
		.address = "127.0.0.1", .port = t->fake.nodes[1].port, .timeout_ms = 1000};
	struct sf_volume_info *volumes;
	struct sf_lock *locks;
	struct sf_cluster *c;
	size_t count;
	time_t begin;

	assert_int_equal(sf_connect(&o, &c), 0);
	t->fake.meta_again = true;
	begin = time(NULL);
	assert_int_equal(sf_lock_list(c, &locks, &count), -ETIMEDOUT);
	assert_int_equal(sf_volume_list(c, &volumes, &count), -ETIMEDOUT);
	assert_true(time(NULL) - begin < 4);
	t->fake.meta_again = false;
	sf_disconnect(c);
}

static void an_answer_that_never_comes_is_asked_for_again(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v = volume_make(t, "a", VOLUME);
	uint8_t byte = 7, back = 0;

	t->fake.never_answer = 1;
	assert_int_equal(sf_write(v, &byte, 1, 5), 0);
	assert_int_equal(t->fake.never_answer, 0);
	assert_int_equal(sf_read(v, &back, 1, 5), 0);
	assert_int_equal(back, 7);
	sf_volume_close(v);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_operation_ends_when_its_time_is_over),
		CASE(an_answer_that_never_comes_is_asked_for_again),
		CASE(only_the_first_lost_object_is_waited_for),
		CASE(whoever_asks_for_much_waits_in_vain_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The checkers of histories are able to fail: each is shown what it exists to find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/msg.h"
#include "tests/sim/check.h"

static char why[CHECK_WHY_LEN];

/* ---- Histories of one object with two cells ---- */

static struct op_record *add(struct history *h, enum op_type type, uint64_t began, uint64_t ended,
                             uint64_t stamp)
{
	struct op_record *op = history_add(h);

	op->type = type;
	op->count = 2;
	op->stamp = stamp;
	op->began = began;
	op->ended = ended;
	return op;
}

static void add_read(struct history *h, uint64_t began, uint64_t ended, uint64_t a, uint64_t b)
{
	struct op_record *op = add(h, OP_READ, began, ended, 0);

	op->seen[0] = a;
	op->seen[1] = b;
}

static void linear_accepts_one_after_another(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add_read(&h, 3, 4, 7, 7);
	add(&h, OP_WRITE, 5, 6, 8);
	add_read(&h, 7, 8, 8, 8);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	history_fini(&h);
}

static void linear_accepts_either_order_of_concurrent_writes(void **state)
{
	for (uint64_t last = 7; last <= 8; last++) {
		struct history h = {0};

		add(&h, OP_WRITE, 1, 4, 7);
		add(&h, OP_WRITE, 2, 3, 8);
		add_read(&h, 5, 6, last, last);
		assert_int_equal(check_linear(&h, 0, 2, why), 0);
		history_fini(&h);
	}
}

static void linear_refuses_a_stale_read(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 4, 8);
	add_read(&h, 5, 6, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	assert_non_null(strstr(why, "not linearizable"));
	history_fini(&h);
}

static void linear_refuses_half_a_write(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 6, 8);
	add_read(&h, 4, 5, 8, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_going_back_after_a_concurrent_write_was_seen(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 10, 8);
	add_read(&h, 4, 5, 8, 8);
	add_read(&h, 6, 7, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_lets_an_unanswered_write_take_effect_late_or_never(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, OP_OPEN, 7);
	add(&h, OP_WRITE, 2, 3, 8);
	add_read(&h, 4, 5, 8, 8);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add_read(&h, 6, 7, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add_read(&h, 8, 9, 8, 8); /* but not twice */
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_a_deleted_object_that_comes_back(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_DELETE, 3, 4, 0);
	add_read(&h, 5, 6, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_an_exclusive_create_that_wins_twice(void **state)
{
	struct history h = {0};

	add(&h, OP_CREATE, 1, 2, 7);
	add(&h, OP_CREATE, 3, 4, 8)->refused = true;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add(&h, OP_CREATE, 5, 6, 9);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_a_swap_of_a_version_that_is_gone(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7)->version = 11;
	add(&h, OP_SWAP, 3, 4, 8)->expect = 11;
	h.v[1].version = 12;
	add(&h, OP_SWAP, 5, 6, 9)->expect = 11;
	h.v[2].refused = true;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	h.v[2].refused = false;
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	h.v[2].expect = 12;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	h.v[2].refused = true;
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_a_read_of_another_version(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7)->version = 11;
	add_read(&h, 3, 4, 7, 7);
	h.v[1].found = 11;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	h.v[1].found = 10;
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_bytes_that_nobody_wrote(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add_read(&h, 3, 4, 7, CELL_TORN);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

/* A state's hash once mixed up "stamp 1" with "absent". */
static void linear_tells_the_first_stamp_from_no_object(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 4, 1);
	add(&h, OP_DELETE, 2, 3, 0);
	add_read(&h, 5, 6, 1, 1);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	history_fini(&h);
}

static void durable_finds_a_lost_acknowledged_write(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, OP_OPEN, 8);
	add_read(&h, 10, 11, 8, 7); /* what it does not look at: atomicity */
	assert_int_equal(check_durable(&h, 10, why), 0);
	add_read(&h, 12, 13, 0, 0);
	assert_int_equal(check_durable(&h, 10, why), -1);
	assert_non_null(strstr(why, "lost or stale"));
	history_fini(&h);
}

static void durable_finds_an_overwritten_write_that_returns(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 4, 8);
	add_read(&h, 10, 11, 7, 7);
	assert_int_equal(check_durable(&h, 10, why), -1);
	history_fini(&h);
}

/* ---- Cells ---- */

static void cells_tell_which_write_they_show(void **state)
{
	struct prng prng;
	struct cells c;

	prng_init(&prng, 1);
	for (uint32_t round = 0; round < 200; round++) {
		uint64_t seen[MAX_CELLS];
		uint32_t bytes, first;
		uint8_t *data;

		cells_draw(&c, &prng, 1 + round % 6, 1 << 20);
		assert_true(c.count >= 6);
		assert_int_equal(c.start[c.count], 1 << 20);
		first = prng_below(&prng, c.count);
		bytes = cells_bytes(&c, first, 1);
		data = xmalloc(bytes);
		cells_fill(&c, first, 1, 1234, data);
		cells_parse(&c, first, 1, data, seen);
		assert_int_equal(seen[0], 1234);
		data[prng_below(&prng, bytes)] ^= 1;
		cells_parse(&c, first, 1, data, seen);
		assert_true(seen[0] != 1234);
		free(data);
	}
}

/* ---- Who completes ---- */

static void add_change(struct history *h, uint64_t began, uint64_t ended, uint32_t node,
                       uint64_t version)
{
	struct op_record *op = add(h, OP_WRITE, began, ended, began);

	op->node = node;
	op->version = version;
}

static void primary_accepts_one_after_another(void **state)
{
	struct history h = {0};

	add_change(&h, 1, 2, 0, version_make(1, 1));
	add_change(&h, 3, 5, 0, version_make(1, 3));
	add_change(&h, 4, 6, 0, version_make(1, 2));
	add_change(&h, 7, 8, 1, version_make(2, 1));
	assert_int_equal(check_primary(&h, why), 0);
	history_fini(&h);
}

static void primary_refuses_two_in_one_interval(void **state)
{
	struct history h = {0};

	add_change(&h, 1, 2, 0, version_make(1, 1));
	add_change(&h, 3, 4, 1, version_make(1, 2));
	assert_int_equal(check_primary(&h, why), -1);
	assert_non_null(strstr(why, "two primaries"));
	history_fini(&h);
}

static void primary_refuses_one_version_twice(void **state)
{
	struct history h = {0};

	add_change(&h, 1, 2, 0, version_make(1, 1));
	add_change(&h, 3, 4, 0, version_make(1, 1));
	assert_int_equal(check_primary(&h, why), -1);
	assert_non_null(strstr(why, "twice"));
	history_fini(&h);
}

static void primary_refuses_the_old_one_after_the_new_one(void **state)
{
	struct history h = {0};

	add_change(&h, 1, 2, 1, version_make(2, 1));
	add_change(&h, 3, 4, 0, version_make(1, 7));
	assert_int_equal(check_primary(&h, why), -1);
	assert_non_null(strstr(why, "backwards"));
	history_fini(&h);
}

static void linear_and_durable_refuse_a_write_without_space_that_is_seen(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7)->failed = true;
	add_read(&h, 3, 4, 0, 0);
	h.v[1].absent = true;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	assert_int_equal(check_durable(&h, 0, why), 0);
	h.v[1].absent = false;
	h.v[1].seen[0] = h.v[1].seen[1] = 7;
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	assert_int_equal(check_durable(&h, 0, why), -1);
	history_fini(&h);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_accepts_one_after_another),
		cmocka_unit_test(linear_accepts_either_order_of_concurrent_writes),
		cmocka_unit_test(linear_refuses_a_stale_read),
		cmocka_unit_test(linear_refuses_half_a_write),
		cmocka_unit_test(linear_refuses_going_back_after_a_concurrent_write_was_seen),
		cmocka_unit_test(linear_lets_an_unanswered_write_take_effect_late_or_never),
		cmocka_unit_test(linear_refuses_a_deleted_object_that_comes_back),
		cmocka_unit_test(linear_refuses_an_exclusive_create_that_wins_twice),
		cmocka_unit_test(linear_refuses_a_swap_of_a_version_that_is_gone),
		cmocka_unit_test(linear_refuses_a_read_of_another_version),
		cmocka_unit_test(linear_refuses_bytes_that_nobody_wrote),
		cmocka_unit_test(linear_tells_the_first_stamp_from_no_object),
		cmocka_unit_test(durable_finds_a_lost_acknowledged_write),
		cmocka_unit_test(durable_finds_an_overwritten_write_that_returns),
		cmocka_unit_test(primary_accepts_one_after_another),
		cmocka_unit_test(primary_refuses_two_in_one_interval),
		cmocka_unit_test(primary_refuses_one_version_twice),
		cmocka_unit_test(primary_refuses_the_old_one_after_the_new_one),
		cmocka_unit_test(linear_and_durable_refuse_a_write_without_space_that_is_seen),
		cmocka_unit_test(cells_tell_which_write_they_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

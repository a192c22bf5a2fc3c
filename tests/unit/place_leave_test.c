/* SPDX-License-Identifier: Apache-2.0 */

/* Nodes and disks that leave, nodes in maintenance, weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "lib/place/place.h"
#include "tests/unit/place_maps.h"

static uint32_t slots_on_node(const struct map *map, uint64_t node)
{
	struct placement *p = placement_create(map);
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->pool_count; i++)
		for (uint32_t s = 0; s < p->pools[i].pg_count * p->pools[i].slots; s++) {
			const struct map_disk *d = map_find_disk(map, p->pools[i].disk[s]);

			count += d && d->node == node;
		}
	placement_destroy(p);
	return count;
}

/* ---- draining a node ---- */

static void a_drained_node_is_up_and_holds_no_slot(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	assert_true(slots_on_node(map, 2) > 0);
	map = step(map, EV(DRAIN, .node = 2, .on = true));
	assert_int_equal(node_flags(map, 2), NODE_UP | NODE_DRAIN);
	assert_true(map_disk_up(map, map_find_disk(map, 200)));
	assert_false(map_disk_usable(map, map_find_disk(map, 200)));
	assert_int_equal(slots_on_node(map, 2), 0);
	no_change(map, EV(DRAIN, .node = 2, .on = true));
	no_change(map, EV(DRAIN, .node = 99, .on = true));
	map_unref(map);
}

static void an_undrained_node_has_its_slots_again(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	uint32_t before = slots_on_node(map, 2);

	no_change(map, EV(DRAIN, .node = 2));
	map = step(map, EV(DRAIN, .node = 2, .on = true));
	map = step(map, EV(DRAIN, .node = 2));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	assert_int_equal(slots_on_node(map, 2), before);
	map_unref(map);
}

static void draining_and_maintenance_outlast_a_restart(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DRAIN, .node = 2, .on = true));
	map = step(map, EV(MAINTENANCE, .node = 2, .on = true));
	map = step(map, EV(LEAVE, .node = 2));
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP | NODE_DRAIN | NODE_MAINTENANCE);
	map_unref(map);
}

static void a_drained_node_is_forgotten_only_once_it_is_down(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	map = step(map, EV(DRAIN, .node = 2, .on = true));
	assert_false(map_has_leavers(map));
	no_change(map, EV(FORGET));
	map = step(map, EV(DOWN, .node = 2));
	assert_true(map_has_leavers(map));
	map = step(map, EV(FORGET));
	assert_int_equal(map->node_count, 4);
	assert_int_equal(map->disk_count, 8);
	assert_null(map_find_node(map, 2));
	assert_null(map_find_disk(map, 200));
	assert_null(map_find_disk(map, 201));
	assert_non_null(map_find_disk(map, 101));
	assert_non_null(map_find_disk(map, 300));
	no_change(map, EV(FORGET));
	map_unref(map);
}

static void a_forgotten_node_that_comes_back_is_a_new_one(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DRAIN, .node = 2, .on = true));
	map = step(map, EV(LEAVE, .node = 2));
	map = step(map, EV(FORGET));
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	assert_int_equal(disk_flags(map, 200), 0);
	assert_true(slots_on_node(map, 2) > 0);
	map_unref(map);
}

/* ---- maintenance ---- */

static void a_node_in_maintenance_does_not_become_out(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	map = step(map, EV(MAINTENANCE, .node = 2, .on = true));
	no_change(map, EV(MAINTENANCE, .node = 2, .on = true));
	map = step(map, EV(DOWN, .node = 2));
	no_change(map, EV(OUT, .node = 2));
	map = step(map, EV(MAINTENANCE, .node = 2));
	map = step(map, EV(OUT, .node = 2));
	assert_int_equal(node_flags(map, 2), NODE_OUT);
	map_unref(map);
}

/* ---- disks ---- */

static void a_leaving_disk_serves_as_a_source_until_it_is_forgotten(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	map = step(map, EV(DISK_LEAVE, .disk = 201));
	no_change(map, EV(DISK_LEAVE, .disk = 201));
	assert_true(map_disk_up(map, map_find_disk(map, 201)));
	assert_false(map_disk_usable(map, map_find_disk(map, 201)));
	map = step(map, EV(FORGET));
	assert_null(map_find_disk(map, 201));
	assert_int_equal(map->node_count, 5);
	assert_int_equal(map->disk_count, 9);
	map_unref(map);
}

static void a_disk_pulled_at_once_is_no_source(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	map = step(map, EV(DISK_LEAVE, .disk = 201));
	map = step(map, EV(DISK_LEAVE, .disk = 201, .failed = true));
	assert_int_equal(disk_flags(map, 201), DISK_LEAVING | DISK_FAILED);
	assert_false(map_disk_up(map, map_find_disk(map, 201)));
	map_unref(map);
}

static void a_restart_does_not_end_a_disks_leaving(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DISK_LEAVE, .disk = 201));
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(disk_flags(map, 201), DISK_LEAVING);
	map_unref(map);
}

static void a_disk_plugged_in_again_is_used_again_wherever_that_is(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);

	no_change(map, EV(DISK_BACK, .disk = 201, .node = 2));
	map = step(map, EV(DISK_LEAVE, .disk = 201, .failed = true));
	no_change(map, EV(DISK_BACK, .disk = 201, .node = 99));
	map = step(map, EV(DISK_BACK, .disk = 201, .node = 3));
	assert_int_equal(disk_flags(map, 201), 0);
	assert_int_equal(map_find_disk(map, 201)->node, 3);
	map_unref(map);
}

static void what_was_given_up_is_neither_forgotten_nor_taken_back(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	uint64_t lost = 201;

	map = step(map, EV(DOWN, .node = 2));
	map = step(map, EV(LOST, .disks = &lost, .disk_count = 1));
	no_change(map, EV(DISK_BACK, .disk = 201, .node = 2));
	no_change(map, EV(DISK_LEAVE, .disk = 201));
	map = step(map, EV(DRAIN, .node = 2, .on = true));
	map = step(map, EV(FORGET));
	assert_non_null(map_find_node(map, 2));
	assert_non_null(map_find_disk(map, 201));
	assert_null(map_find_disk(map, 200));
	map_unref(map);
}

/* ---- weights ---- */

static void weights_change_together_or_not_at_all(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2);
	uint64_t disks[] = {100, 201}, strange[] = {100, 999};
	uint32_t weights[] = {77, 78}, wrong[] = {77, 0}, same[] = {10, 11};

	no_change(map, EV(WEIGHTS, .disks = strange, .weights = weights, .disk_count = 2));
	no_change(map, EV(WEIGHTS, .disks = disks, .weights = wrong, .disk_count = 2));
	no_change(map, EV(WEIGHTS, .disks = disks, .weights = same, .disk_count = 2));
	map = step(map, EV(WEIGHTS, .disks = disks, .weights = weights, .disk_count = 2));
	assert_int_equal(map_find_disk(map, 100)->weight, 77);
	assert_int_equal(map_find_disk(map, 201)->weight, 78);
	map_unref(map);
}

/* ---- enough places ---- */

static void too_few_nodes_for_the_slots_are_named(void **state)
{
	struct map *map = format_ok(2, 1, 4, 2);
	char text[FORMAT_TEXT_LEN] = "";

	map = step(map, EV(DRAIN, .node = 1, .on = true));
	assert_true(map_fills_slots(map, text));
	map = step(map, EV(DISK_LEAVE, .disk = 200));
	assert_true(map_fills_slots(map, text));
	map = step(map, EV(DISK_LEAVE, .disk = 201));
	assert_false(map_fills_slots(map, text));
	assert_string_equal(text, "3 copies need 3 nodes with disks, and 2 would be left");
	map_unref(map);
}

static void the_new_flags_survive_the_codec(void **state)
{
	struct map *map = format_ok(1, 1, 5, 2), *copy;
	uint8_t *bytes;
	size_t len;

	map = step(map, EV(DRAIN, .node = 2, .on = true));
	map = step(map, EV(MAINTENANCE, .node = 3, .on = true));
	map = step(map, EV(DISK_LEAVE, .disk = 100));
	map_encode(map, &bytes, &len);
	assert_int_equal(map_decode(bytes, len, &copy), 0);
	assert_int_equal(node_flags(copy, 2), NODE_UP | NODE_DRAIN);
	assert_int_equal(node_flags(copy, 3), NODE_UP | NODE_MAINTENANCE);
	assert_int_equal(disk_flags(copy, 100), DISK_LEAVING);
	free(bytes);
	map_unref(copy);
	map_unref(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drained_node_is_up_and_holds_no_slot),
		cmocka_unit_test(an_undrained_node_has_its_slots_again),
		cmocka_unit_test(draining_and_maintenance_outlast_a_restart),
		cmocka_unit_test(a_drained_node_is_forgotten_only_once_it_is_down),
		cmocka_unit_test(a_forgotten_node_that_comes_back_is_a_new_one),
		cmocka_unit_test(a_node_in_maintenance_does_not_become_out),
		cmocka_unit_test(a_leaving_disk_serves_as_a_source_until_it_is_forgotten),
		cmocka_unit_test(a_disk_pulled_at_once_is_no_source),
		cmocka_unit_test(a_restart_does_not_end_a_disks_leaving),
		cmocka_unit_test(a_disk_plugged_in_again_is_used_again_wherever_that_is),
		cmocka_unit_test(what_was_given_up_is_neither_forgotten_nor_taken_back),
		cmocka_unit_test(weights_change_together_or_not_at_all),
		cmocka_unit_test(too_few_nodes_for_the_slots_are_named),
		cmocka_unit_test(the_new_flags_survive_the_codec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

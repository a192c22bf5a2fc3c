/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/place_maps.h"

/* ---- joining ---- */

static void joining_again_changes_nothing(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	no_change(map, EV(JOIN, .info = &info));
	info.cluster = CLUSTER;
	no_change(map, EV(JOIN, .info = &info));
	map_unref(map);
}

static void a_new_node_brings_its_disks(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(9, 3);

	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(map->node_count, 4);
	assert_int_equal(map->disk_count, 9);
	assert_int_equal(map_find_disk(map, 902)->weight, 12);
	assert_int_equal(map_find_disk(map, 902)->node, 9);
	assert_true(map_disk_up(map, map_find_disk(map, 902)));
	map_unref(map);
}

static void a_node_of_another_cluster_does_not_join(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(9, 3);

	info.cluster = CLUSTER + 1;
	no_change(map, EV(JOIN, .info = &info));
	map_unref(map);
}

static void a_restarted_node_is_up_and_in_again(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DOWN, .node = 2));
	map = step(map, EV(OUT, .node = 2));
	info.incarnation++;
	info.port = 7777;
	info.zone = 42;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	assert_int_equal(map_find_node(map, 2)->down_since_s, 0);
	assert_int_equal(map_find_node(map, 2)->incarnation, info.incarnation);
	assert_int_equal(map_find_node(map, 2)->port, 7777);
	assert_int_equal(map_find_node(map, 2)->zone, 42);
	map_unref(map);
}

static void a_node_that_was_only_cut_off_comes_back_in_the_same_incarnation(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DOWN, .node = 2));
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	map_unref(map);
}

static void a_node_that_left_joins_only_when_started_anew(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(LEAVE, .node = 2));
	no_change(map, EV(JOIN, .info = &info));
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	map_unref(map);
}

static void a_disk_not_announced_any_more_has_failed(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 1);

	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(map->disk_count, 6);
	assert_int_equal(disk_flags(map, 201), DISK_FAILED);
	assert_int_equal(disk_flags(map, 200), 0);
	assert_int_equal(disk_flags(map, 100), 0);
	map_unref(map);
}

static void a_failed_disk_gets_another_chance_at_the_next_start_only(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(DISK_FAILED, .disk = 201));
	assert_false(map_disk_up(map, map_find_disk(map, 201)));
	no_change(map, EV(JOIN, .info = &info));
	map = step(map, EV(DOWN, .node = 2));
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(disk_flags(map, 201), DISK_FAILED);
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(disk_flags(map, 201), 0);
	map_unref(map);
}

static void a_disk_carried_to_another_node_is_that_nodes(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info old = info_of(2, 2), info = info_of(3, 2);

	map = step(map, EV(DISK_FAILED, .disk = 201));
	info.disks[2].id = 201;
	info.disks[2].weight = 99;
	info.disk_count = 3;
	no_change(map, EV(JOIN, .info = &info)); /* not without a start */
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(map_find_disk(map, 201)->node, 3);
	assert_int_equal(map_find_disk(map, 201)->weight, 11);
	assert_int_equal(disk_flags(map, 201), 0);
	/* the old holder, up all the time, does not take it back */
	no_change(map, EV(JOIN, .info = &old));
	map_unref(map);
}

static void a_gateway_holds_no_disks(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(9, 2);

	info.gateway = true;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 9), NODE_UP | NODE_GATEWAY);
	assert_int_equal(map->disk_count, 6);
	no_change(map, EV(JOIN, .info = &info));
	info = info_of(2, 2);
	info.incarnation++;
	info.gateway = true;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(disk_flags(map, 200), DISK_FAILED);
	map_unref(map);
}

static void a_join_ends_a_shutdown(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(FLAGS, .set_flags = MAP_SHUTDOWN | MAP_RECOVERY_DISABLED));
	no_change(map, EV(JOIN, .info = &info)); /* a member that is still up is no start */
	map = step(map, EV(LEAVE, .node = 2));
	assert_true(map->flags & MAP_SHUTDOWN);
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(map->flags, MAP_RECOVERY_DISABLED);
	map_unref(map);
}

static void a_map_that_is_full_takes_no_more(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(9000, 1);

	for (uint64_t id = 10; map->node_count < MAP_MAX_NODES; id++)
		map_put_node(map, &(struct map_node){.id = id, .flags = NODE_UP});
	no_change(map, EV(JOIN, .info = &info));
	map->node_count--;
	map = step(map, EV(JOIN, .info = &info));
	map_unref(map);
}

/* ---- going down ---- */

static void down_and_out_are_two_steps(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	no_change(map, EV(OUT, .node = 2));
	map = step(map, EV(DOWN, .node = 2));
	assert_int_equal(node_flags(map, 2), 0);
	assert_int_equal(map_find_node(map, 2)->down_since_s, 9);
	assert_false(map_disk_up(map, map_find_disk(map, 200)));
	assert_true(map_disk_usable(map, map_find_disk(map, 200)));
	no_change(map, EV(DOWN, .node = 2));
	map = step(map, EV(OUT, .node = 2));
	assert_int_equal(node_flags(map, 2), NODE_OUT);
	assert_false(map_disk_usable(map, map_find_disk(map, 200)));
	no_change(map, EV(OUT, .node = 2));
	map_unref(map);
}

static void leaving_is_going_down_in_order(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	map = step(map, EV(LEAVE, .node = 2));
	assert_int_equal(node_flags(map, 2), NODE_LEFT);
	assert_int_equal(map_find_node(map, 2)->down_since_s, 9);
	no_change(map, EV(LEAVE, .node = 2));
	no_change(map, EV(DOWN, .node = 2));
	map = step(map, EV(OUT, .node = 2));
	assert_int_equal(node_flags(map, 2), NODE_LEFT | NODE_OUT);
	map_unref(map);
}

static void events_about_strangers_change_nothing(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	no_change(map, EV(DOWN, .node = 99));
	no_change(map, EV(LEAVE, .node = 99));
	no_change(map, EV(OUT, .node = 99));
	no_change(map, EV(DISK_FAILED, .disk = 99));
	no_change(map, EV(WEIGHT, .disk = 99, .weight = 3));
	map_unref(map);
}

/* ---- settings ---- */

static void a_pool_is_made_once(void **state)
{
	struct map *map = format_ok(1, 1, 9, 2);
	struct map_event event = EV(POOL, .k = 4, .m = 2, .object_shift = 22);
	const struct map_pool *pool;

	map = step(map, event);
	pool = map_find_pool(map, 3);
	assert_int_equal(pool->k, 4);
	assert_int_equal(pool->m, 2);
	assert_int_equal(pool->pg_count, 256);
	assert_int_equal(pool->created_epoch, 2);
	no_change(map, event);
	event.object_shift = 23;
	map = step(map, event);
	assert_int_equal(map_find_pool(map, 4)->object_shift, 23);
	event.object_shift = 25;
	no_change(map, event);
	event.object_shift = 22;
	event.k = 33;
	no_change(map, event);
	map_unref(map);
}

static void metadata_spares_as_many_as_the_widest_pool(void **state)
{
	struct map *map = format_ok(1, 0, 1, 2);
	struct node_info second = info_of(2, 2), third = info_of(3, 2);

	assert_int_equal(map_find_pool(map, POOL_META)->m, 0);
	map = step(map, EV(JOIN, .info = &second));
	map = step(map, EV(JOIN, .info = &third));
	assert_int_equal(map_find_pool(map, POOL_META)->m, 0); /* as the data */
	map = step(map, EV(POOL, .k = 1, .m = 2, .object_shift = 22));
	assert_int_equal(map_find_pool(map, POOL_META)->m, 2);
	map = step(map, EV(POOL, .k = 2, .m = 1, .object_shift = 22));
	assert_int_equal(map_find_pool(map, POOL_META)->m, 2); /* never fewer */
	map_unref(map);
}

static void settings_change_when_they_differ(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	map = step(map, EV(FLAGS, .set_flags = MAP_RECOVERY_DISABLED));
	no_change(map, EV(FLAGS, .set_flags = MAP_RECOVERY_DISABLED));
	no_change(map, EV(FLAGS, .set_flags = 1u << 31));
	map = step(map, EV(FLAGS, .clear_flags = MAP_RECOVERY_DISABLED));
	assert_int_equal(map->flags, 0);
	map = step(map, EV(GRACE, .grace_ms = 1000));
	no_change(map, EV(GRACE, .grace_ms = 1000));
	map = step(map, EV(WEIGHT, .disk = 200, .weight = 50));
	assert_int_equal(map_find_disk(map, 200)->weight, 50);
	no_change(map, EV(WEIGHT, .disk = 200, .weight = 50));
	no_change(map, EV(WEIGHT, .disk = 200, .weight = 0));
	no_change(map, EV(WEIGHT, .disk = 200, .weight = MAP_MAX_WEIGHT + 1));
	map = step(map, EV(DISK_FAILED, .disk = 200));
	no_change(map, EV(DISK_FAILED, .disk = 200));
	map_unref(map);
}

static void a_disk_that_was_given_up_never_comes_back(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);
	const uint64_t two[] = {200, 201}, stranger[] = {200, 99999}, others[] = {200, 100};

	no_change(map, EV(LOST, .disks = two, .disk_count = 2)); /* they are up */
	map = step(map, EV(DOWN, .node = 2));
	no_change(map, EV(LOST, .disks = stranger, .disk_count = 2));
	no_change(map, EV(LOST, .disks = others, .disk_count = 2)); /* one of them is up */
	no_change(map, EV(LOST, .disk_count = 0));
	map = step(map, EV(LOST, .disks = two, .disk_count = 2));
	assert_int_equal(disk_flags(map, 200), DISK_FAILED | DISK_LOST);
	assert_int_equal(disk_flags(map, 201), DISK_FAILED | DISK_LOST);
	assert_int_equal(disk_flags(map, 100), 0);
	no_change(map, EV(LOST, .disks = two, .disk_count = 2));
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(node_flags(map, 2), NODE_UP);
	assert_int_equal(disk_flags(map, 200), DISK_FAILED | DISK_LOST);
	/* Nor by way of another node. */
	info = info_of(3, 2);
	info.incarnation++;
	info.disks[info.disk_count].id = 200;
	info.disks[info.disk_count++].weight = 1;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(disk_flags(map, 200), DISK_FAILED | DISK_LOST);
	assert_int_equal(map_find_disk(map, 200)->node, 2);
	map_unref(map);
}

static void min_live_and_scrub_are_settings(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	assert_int_equal(map->min_live_extra, 1);
	map = step(map, EV(MIN_LIVE, .min_live_extra = 0));
	assert_int_equal(map->min_live_extra, 0);
	no_change(map, EV(MIN_LIVE, .min_live_extra = 0));
	no_change(map, EV(MIN_LIVE, .min_live_extra = MAX_PARITY + 1));
	map = step(map, EV(SCRUB, .scrub_interval_s = SCRUB_NEVER));
	no_change(map, EV(SCRUB, .scrub_interval_s = SCRUB_NEVER));
	no_change(map, EV(SCRUB, .scrub_interval_s = 0));
	map = step(map, EV(SCRUB, .scrub_now = true));
	assert_int_equal(map->scrub_since_s, 9);
	no_change(map, EV(SCRUB, .scrub_now = true, .now_s = 9)); /* the same second */
	map_unref(map);
}

static void anew_changes_nothing_but_the_epoch(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2), *next = map_apply(map, &EV(ANEW));

	assert_non_null(next);
	assert_int_equal(next->epoch, map->epoch + 1);
	next->epoch = map->epoch;
	next->changed_s = map->changed_s;
	uint8_t *a, *b;
	size_t a_len, b_len;
	map_encode(map, &a, &a_len);
	map_encode(next, &b, &b_len);
	assert_int_equal(a_len, b_len);
	assert_memory_equal(a, b, a_len);
	free(a);
	free(b);
	map_unref(next);
	map_unref(map);
}

static void an_operators_weight_outlives_a_restart(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);
	struct node_info info = info_of(2, 2);

	map = step(map, EV(WEIGHT, .disk = 200, .weight = 50));
	info.incarnation++;
	map = step(map, EV(JOIN, .info = &info));
	assert_int_equal(map_find_disk(map, 200)->weight, 50);
	map_unref(map);
}

static void applying_leaves_the_old_map_alone(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2), *next;
	uint8_t *before, *after;
	size_t before_len, after_len;

	map_encode(map, &before, &before_len);
	next = map_apply(map, &EV(DOWN, .node = 2));
	map_encode(map, &after, &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, after_len);
	free(before);
	free(after);
	map_unref(next);
	map_unref(map);
}

static void the_last_reference_frees(void **state)
{
	struct map *map = format_ok(1, 1, 3, 2);

	assert_ptr_equal(map_ref(map), map);
	map_unref(map);
	assert_int_equal(map->refs, 1);
	map_unref(map);
	map_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joining_again_changes_nothing),
		cmocka_unit_test(a_new_node_brings_its_disks),
		cmocka_unit_test(a_node_of_another_cluster_does_not_join),
		cmocka_unit_test(a_restarted_node_is_up_and_in_again),
		cmocka_unit_test(a_node_that_was_only_cut_off_comes_back_in_the_same_incarnation),
		cmocka_unit_test(a_node_that_left_joins_only_when_started_anew),
		cmocka_unit_test(a_disk_not_announced_any_more_has_failed),
		cmocka_unit_test(a_failed_disk_gets_another_chance_at_the_next_start_only),
		cmocka_unit_test(a_disk_carried_to_another_node_is_that_nodes),
		cmocka_unit_test(a_gateway_holds_no_disks),
		cmocka_unit_test(a_join_ends_a_shutdown),
		cmocka_unit_test(a_map_that_is_full_takes_no_more),
		cmocka_unit_test(down_and_out_are_two_steps),
		cmocka_unit_test(leaving_is_going_down_in_order),
		cmocka_unit_test(events_about_strangers_change_nothing),
		cmocka_unit_test(a_pool_is_made_once),
		cmocka_unit_test(metadata_spares_as_many_as_the_widest_pool),
		cmocka_unit_test(settings_change_when_they_differ),
		cmocka_unit_test(a_disk_that_was_given_up_never_comes_back),
		cmocka_unit_test(min_live_and_scrub_are_settings),
		cmocka_unit_test(anew_changes_nothing_but_the_epoch),
		cmocka_unit_test(an_operators_weight_outlives_a_restart),
		cmocka_unit_test(applying_leaves_the_old_map_alone),
		cmocka_unit_test(the_last_reference_frees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

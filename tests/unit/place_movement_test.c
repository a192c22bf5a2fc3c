/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdio.h>

#include "lib/base/math.h"
#include "lib/place/place.h"
#include "tests/unit/place_cluster.h"

/* ---- movement ---- */

static void expect_moved(const char *what, size_t moved_count, double ideal, double limit)
{
	double ratio = moved_count / ideal;

	print_message("  %s: moved %.3f of the ideal\n", what, ratio);
	if (ratio > limit)
		fail_msg("%s: moved %.3f times the ideal, limit %.2f", what, ratio, limit);
	assert_true(ratio > 0.99);
}

struct change {
	uint32_t k, m, nodes, disks, zones; /* zones 0: each node is one */
	double limit;
};

static void describe(char what[96], const struct change *c, const char *event)
{
	snprintf(what, 96, "%u:%u on %u nodes of %u disks, %u zones, %s", c->k, c->m, c->nodes,
	         c->disks, c->zones ? c->zones : c->nodes, event);
}

static struct placement *place(struct map *map, const struct change *c)
{
	cluster_set_pool(map, c->k, c->m, 8192, false);
	return placement_create(map);
}

/* The ideal is what lies on the node or disk that comes or goes. */
static void check_new_node(const struct change *c)
{
	struct map *small = cluster_make(c->nodes - 1, c->disks, c->zones);
	struct map *large = cluster_make(c->nodes, c->disks, c->zones);
	struct placement *before = place(small, c), *after = place(large, c);
	char what[96];

	describe(what, c, "one node new");
	expect_moved(what, moved(before, after),
	             shards_on_node(large, after, cluster_node_id(c->nodes - 1)), c->limit);
	placement_destroy(before);
	placement_destroy(after);
	map_unref(small);
	map_unref(large);
}

static void check_new_disk(const struct change *c)
{
	struct map *small = cluster_make(c->nodes, c->disks, c->zones);
	struct map *large = map_clone(small);
	struct map_disk disk = {.id = 4711, .node = cluster_node_id(2), .weight = 1000};
	struct placement *before, *after;
	char what[96];

	map_put_disk(large, &disk);
	before = place(small, c);
	after = place(large, c);
	describe(what, c, "one disk new");
	expect_moved(what, moved(before, after), shards_on_disk(after, disk.id), c->limit);
	placement_destroy(before);
	placement_destroy(after);
	map_unref(small);
	map_unref(large);
}

static void check_lost_node(const struct change *c)
{
	struct map *map = cluster_make(c->nodes, c->disks, c->zones);
	struct placement *before = place(map, c), *after, *later;
	char what[96];

	cluster_node(map, 1)->flags = NODE_OUT;
	after = placement_create(map);
	describe(what, c, "one node out");
	expect_moved(what, moved(before, after), shards_on_node(map, before, cluster_node_id(1)),
	             c->limit);
	if (c->nodes - 2 >= c->k + c->m) {
		cluster_node(map, 2)->flags = NODE_OUT;
		later = placement_create(map);
		describe(what, c, "another node out");
		expect_moved(what, moved(after, later),
		             shards_on_node(map, after, cluster_node_id(2)), c->limit);
		placement_destroy(later);
	}
	placement_destroy(before);
	placement_destroy(after);
	map_unref(map);
}

static void check_lost_disk(const struct change *c)
{
	struct map *map = cluster_make(c->nodes, c->disks, c->zones);
	struct placement *before = place(map, c), *after;
	char what[96];

	cluster_disk(map, 2, 0)->flags = DISK_FAILED;
	after = placement_create(map);
	describe(what, c, "one disk failed");
	expect_moved(what, moved(before, after), shards_on_disk(before, cluster_disk_id(2, 0)),
	             c->limit);
	placement_destroy(before);
	placement_destroy(after);
	map_unref(map);
}

static const struct change with_three_times_the_slots[] = {
	{4, 2, 18, 1, 0, 1.15},
	{8, 3, 33, 1, 0, 1.15},
	{4, 2, 24, 4, 0, 1.15},
	{8, 3, 40, 4, 3, 1.15},
};

static const struct change with_one_to_spare[] = {
	{4, 2, 7, 1, 0, 1.7},
	{8, 3, 12, 1, 0, 1.7},
	{4, 2, 7, 6, 0, 1.7},
};

static void a_new_node_moves_little(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(with_three_times_the_slots); i++)
		check_new_node(&with_three_times_the_slots[i]);
	for (size_t i = 0; i < ARRAY_LEN(with_one_to_spare); i++)
		check_new_node(&with_one_to_spare[i]);
}

/*
 * A new disk in a node that is there already costs more than a new node: its node wins some slots
 * and gives up others, so two chains of slots move instead of one. Measured: 1.23, 1.28, 1.12, 1.73
 * and 2.18 in the order below. The limits only hold that; they are wider than those for new nodes
 * (1.15 with at least three times the slots, 1.7 with one to spare), which a new disk misses.
 */
static void a_new_disk_moves_no_more_than_it_did(void **state)
{
	static const struct change changes[] = {
		{4, 2, 18, 4, 0, 1.3},  {8, 3, 33, 4, 0, 1.35}, {4, 2, 36, 4, 0, 1.2},
		{4, 2, 7, 12, 0, 1.85}, {8, 3, 12, 12, 0, 2.3},
	};

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		check_new_disk(&changes[i]);
}

static void a_lost_node_moves_only_what_it_held(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(with_three_times_the_slots); i++)
		check_lost_node(&with_three_times_the_slots[i]);
	for (size_t i = 0; i < ARRAY_LEN(with_one_to_spare); i++)
		check_lost_node(&with_one_to_spare[i]);
}

static void a_lost_disk_moves_only_what_it_held(void **state)
{
	static const struct change changes[] = {
		{4, 2, 18, 4, 0, 1.001}, {8, 3, 33, 4, 0, 1.001},  {4, 2, 36, 4, 18, 1.001},
		{4, 2, 7, 12, 0, 1.001}, {8, 3, 12, 12, 0, 1.001},
	};

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		check_lost_disk(&changes[i]);
}

/* Twice as many dead nodes as living ones: the living still share evenly and completely. */
static void many_lost_nodes_leave_the_rest_balanced(void **state)
{
	struct map *map = cluster_make(27, 1, 0);
	struct placement *p;

	cluster_set_pool(map, 4, 2, 1024, false);
	for (uint32_t i = 9; i < 27; i++)
		cluster_node(map, i)->flags = NODE_OUT;
	p = placement_create(map);
	for (uint32_t i = 0; i < 9; i++)
		assert_in_range(shards_on_disk(p, cluster_disk_id(i, 0)), 630, 735);
	placement_destroy(p);
	map_unref(map);
}

static void a_lost_disk_is_rebuilt_by_disks_of_all_other_nodes(void **state)
{
	struct map *map = cluster_make(20, 4, 0);
	struct placement *before, *after;
	const struct pool_placement *a, *b;
	uint32_t gained[20] = {0};

	cluster_set_pool(map, 4, 2, 16384, false);
	before = placement_create(map);
	cluster_disk(map, 2, 0)->flags = DISK_FAILED;
	after = placement_create(map);
	a = data_pool(before);
	b = data_pool(after);
	for (size_t i = 0; i < shard_count(a); i++) {
		for (uint32_t node = 0; a->disk[i] == cluster_disk_id(2, 0) && node < 20; node++)
			gained[node] +=
				map_find_disk(map, b->disk[i])->node == cluster_node_id(node);
	}
	for (uint32_t node = 0; node < 20; node++) {
		/* What one disk held, over 79 disks; never most of it on one node. */
		assert_true(gained[node] > 30);
		assert_true(gained[node] < 150);
	}
	placement_destroy(before);
	placement_destroy(after);
	map_unref(map);
}

/* ---- balance and weights ---- */

static double fullest(const struct map *map, const struct placement *p)
{
	size_t most = 0;

	for (uint32_t i = 0; i < map->disk_count; i++) {
		size_t here = shards_on_disk(p, map->disks[i].id);

		most = here > most ? here : most;
	}
	return (double)most * map->disk_count / shard_count(data_pool(p));
}

static void check_balance(uint32_t k, uint32_t m, uint32_t nodes, uint32_t disks)
{
	struct map *map = cluster_make(nodes, disks, 0);
	struct placement *p;
	double ratio;

	/* 100 shards a disk on average; for a test the count need not be a power of two */
	cluster_set_pool(map, k, m, nodes * disks * 100 / (k + m), false);
	p = placement_create(map);
	ratio = fullest(map, p);
	print_message("  %u:%u on %u nodes of %u disks: fullest %.3f of the mean\n", k, m, nodes,
	              disks, ratio);
	assert_true(ratio <= 1.3);
	placement_destroy(p);
	map_unref(map);
}

static void the_fullest_disk_stays_near_the_mean(void **state)
{
	check_balance(4, 2, 7, 1);
	check_balance(4, 2, 9, 4);
	check_balance(4, 2, 18, 4);
	check_balance(8, 3, 12, 12);
	check_balance(8, 3, 33, 2);
}

static void disks_fill_by_weight(void **state)
{
	struct map *map = cluster_make(40, 2, 0);
	uint64_t sum = 0;
	struct placement *p;

	cluster_set_pool(map, 4, 2, 16384, false);
	/* one disk of a node weighs 1 to 8 times the other */
	for (uint32_t i = 0; i < 40; i++)
		cluster_disk(map, i, 0)->weight = 1000 * (1 + i % 8);
	for (uint32_t i = 0; i < map->disk_count; i++)
		sum += map->disks[i].weight;
	p = placement_create(map);
	for (uint32_t i = 0; i < map->disk_count; i++) {
		double want = (double)map->disks[i].weight / sum * 16384 * 6;
		double ratio = shards_on_disk(p, map->disks[i].id) / want;

		/* Slots exclude one another: the heaviest nodes get a little less. */
		if (ratio < 0.8 || ratio > 1.2)
			fail_msg("weight %u: %.3f of its share", map->disks[i].weight, ratio);
	}
	placement_destroy(p);
	map_unref(map);
}

static void weights_from_1_to_100000_are_told_apart(void **state)
{
	struct map *map = cluster_make(30, 2, 0);
	struct placement *p;
	size_t light = 0, heavy = 0;

	cluster_set_pool(map, 1, 1, 65536, false);
	for (uint32_t i = 0; i < 30; i++) {
		cluster_disk(map, i, 0)->weight = 100000;
		cluster_disk(map, i, 1)->weight = i < 15 ? 1 : 1000;
	}
	p = placement_create(map);
	for (uint32_t i = 0; i < 30; i++) {
		heavy += i < 15 ? 0 : shards_on_disk(p, cluster_disk_id(i, 1));
		light += i < 15 ? shards_on_disk(p, cluster_disk_id(i, 1)) : 0;
	}
	/* expected: 131072 * 15000 / 3015015 = 652, and 0.65 */
	assert_in_range(heavy, 560, 750);
	assert_true(light <= 6);
	placement_destroy(p);
	map_unref(map);
}

static void a_tiny_disk_that_is_needed_is_used(void **state)
{
	struct map *map = cluster_make(6, 1, 0);
	struct placement *p;

	cluster_set_pool(map, 4, 2, 256, false);
	for (uint32_t i = 0; i < 5; i++)
		cluster_disk(map, i, 0)->weight = 100000;
	cluster_disk(map, 5, 0)->weight = 1;
	p = placement_create(map);
	assert_int_equal(shards_on_disk(p, cluster_disk_id(5, 0)), 256);
	placement_destroy(p);
	map_unref(map);
}

static void a_weight_change_moves_about_its_difference(void **state)
{
	struct map *map = cluster_make(20, 2, 0);
	struct placement *before, *after;
	size_t old_count, new_count;

	cluster_set_pool(map, 4, 2, 16384, false);
	before = placement_create(map);
	cluster_disk(map, 4, 1)->weight = 1100;
	after = placement_create(map);
	old_count = shards_on_disk(before, cluster_disk_id(4, 1));
	new_count = shards_on_disk(after, cluster_disk_id(4, 1));
	assert_true(new_count > old_count);
	assert_true(moved(before, after) < (new_count - old_count) * 1.4);
	placement_destroy(before);
	placement_destroy(after);
	map_unref(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_node_moves_little),
		cmocka_unit_test(a_new_disk_moves_no_more_than_it_did),
		cmocka_unit_test(a_lost_node_moves_only_what_it_held),
		cmocka_unit_test(a_lost_disk_moves_only_what_it_held),
		cmocka_unit_test(many_lost_nodes_leave_the_rest_balanced),
		cmocka_unit_test(a_lost_disk_is_rebuilt_by_disks_of_all_other_nodes),
		cmocka_unit_test(the_fullest_disk_stays_near_the_mean),
		cmocka_unit_test(disks_fill_by_weight),
		cmocka_unit_test(weights_from_1_to_100000_are_told_apart),
		cmocka_unit_test(a_tiny_disk_that_is_needed_is_used),
		cmocka_unit_test(a_weight_change_moves_about_its_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

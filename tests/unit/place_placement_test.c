/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/place/place.h"
#include "lib/place/place_score.h"
#include "tests/unit/place_cluster.h"

static bool usable(const struct map *map, const struct map_disk *disk)
{
	const struct map_node *node = map_find_node(map, disk->node);

	return !(disk->flags & DISK_FAILED) && !(node->flags & (NODE_OUT | NODE_GATEWAY));
}

/* Distinct zones, nodes and disks among the usable disks. */
static void count_usable(const struct map *map, uint32_t *zones, uint32_t *nodes, uint32_t *disks)
{
	*zones = *nodes = *disks = 0;
	for (uint32_t i = 0; i < map->node_count; i++) {
		uint32_t mine = 0;
		bool zone_seen = false;

		for (uint32_t d = 0; d < map->disk_count; d++)
			mine += map->disks[d].node == map->nodes[i].id &&
			        usable(map, &map->disks[d]);
		if (!mine)
			continue;
		for (uint32_t j = 0; j < i; j++) {
			for (uint32_t d = 0; d < map->disk_count && !zone_seen; d++)
				zone_seen = map->nodes[j].zone == map->nodes[i].zone &&
				            map->disks[d].node == map->nodes[j].id &&
				            usable(map, &map->disks[d]);
		}
		*disks += mine;
		++*nodes;
		*zones += !zone_seen;
	}
}

static struct map *random_cluster(struct prng *rng)
{
	struct map *map = map_create();
	uint32_t nodes = 1 + prng_below(rng, 24), zones = 1 + prng_below(rng, 16);
	uint32_t k = 1 + prng_below(rng, 8),
		 m = k == 1 ? prng_below(rng, 4) : 1 + prng_below(rng, 4);

	map->epoch = 1;
	map->cluster = 1;
	for (uint32_t i = 0; i < nodes; i++) {
		cluster_add_node(map, i, prng_below(rng, zones), prng_below(rng, 5),
		                 1 + prng_below(rng, 20000));
		if (prng_below(rng, 8) == 0)
			cluster_node(map, i)->flags = NODE_OUT;
		else if (prng_below(rng, 8) == 0)
			cluster_node(map, i)->flags |= NODE_GATEWAY;
		else if (prng_below(rng, 8) == 0)
			cluster_node(map, i)->flags = 0;
	}
	for (uint32_t i = 0; i < map->disk_count; i++) {
		map->disks[i].weight = 1 + prng_below(rng, 20000);
		if (prng_below(rng, 6) == 0)
			map->disks[i].flags = DISK_FAILED;
	}
	cluster_set_pool(map, k, m, 16, prng_below(rng, 2));
	return map;
}

/* ---- what every placement keeps to ---- */

static uint32_t same_before(const struct map *map, const uint64_t *slots, uint32_t i, int level)
{
	const struct map_disk *mine = map_find_disk(map, slots[i]);
	uint32_t count = 0;

	for (uint32_t j = 0; j < i; j++) {
		const struct map_disk *other = slots[j] ? map_find_disk(map, slots[j]) : NULL;

		if (!other)
			continue;
		if (level == 0)
			count += other == mine;
		else if (level == 1)
			count += other->node == mine->node;
		else
			count += map_find_node(map, other->node)->zone ==
			         map_find_node(map, mine->node)->zone;
	}
	return count;
}

static void check_pg(const struct map *map, const struct map_pool *pool, const uint64_t *slots)
{
	uint32_t zones, nodes, disks, n = pool->k + pool->m, filled = 0;

	count_usable(map, &zones, &nodes, &disks);
	for (uint32_t i = 0; i < n; i++) {
		if (slots[i] == NO_DISK)
			continue;
		filled++;
		assert_non_null(map_find_disk(map, slots[i]));
		assert_true(usable(map, map_find_disk(map, slots[i])));
		assert_int_equal(same_before(map, slots, i, 0), 0);
		if (nodes >= n || !pool->same_node_ok)
			assert_int_equal(same_before(map, slots, i, 1), 0);
		if (zones >= n)
			assert_int_equal(same_before(map, slots, i, 2), 0);
	}
	if (nodes >= n || !pool->same_node_ok)
		assert_int_equal(filled, nodes < n ? nodes : n);
	else
		assert_int_equal(filled, disks < n ? disks : n);
}

static void random_clusters_get_complete_and_distinct_slots(void **state)
{
	struct prng rng;

	prng_init(&rng, 7);
	for (int round = 0; round < 400; round++) {
		struct map *map = random_cluster(&rng);
		struct placement *p = placement_create(map);
		const struct map_pool *pool = map_find_pool(map, POOL_DATA);

		for (uint32_t pg = 0; pg < pool->pg_count; pg++)
			check_pg(map, pool, placement_slots(p, POOL_DATA, pg));
		placement_destroy(p);
		map_unref(map);
	}
}

static void one_pg_alone_is_placed_as_in_the_whole(void **state)
{
	struct prng rng;

	prng_init(&rng, 8);
	for (int round = 0; round < 50; round++) {
		struct map *map = random_cluster(&rng);
		struct placement *p = placement_create(map);
		const struct map_pool *pool = map_find_pool(map, POOL_DATA);
		uint64_t out[MAX_SHARDS];

		for (uint32_t pg = 0; pg < pool->pg_count; pg++) {
			place_pg(map, pool, pg, out);
			assert_memory_equal(out, placement_slots(p, POOL_DATA, pg),
			                    (pool->k + pool->m) * sizeof(*out));
		}
		placement_destroy(p);
		map_unref(map);
	}
}

static void a_down_node_keeps_its_slots(void **state)
{
	struct map *map = cluster_make(9, 2, 0);
	struct placement *before, *after;

	cluster_set_pool(map, 4, 2, 64, false);
	before = placement_create(map);
	cluster_node(map, 3)->flags &= ~(uint32_t)NODE_UP;
	after = placement_create(map);
	assert_int_equal(moved(before, after), 0);
	placement_destroy(before);
	placement_destroy(after);
	map_unref(map);
}

static void shared_nodes_are_shared_evenly(void **state)
{
	struct map *map = cluster_make(3, 4, 0);
	struct placement *p;

	cluster_set_pool(map, 4, 2, 64, true);
	p = placement_create(map);
	for (uint32_t pg = 0; pg < 64; pg++) {
		const uint64_t *slots = placement_slots(p, POOL_DATA, pg);

		for (uint32_t i = 0; i < 6; i++) {
			assert_int_not_equal(slots[i], NO_DISK);
			assert_true(same_before(map, slots, i, 1) <= 1);
		}
	}
	placement_destroy(p);
	map_unref(map);
}

static void unknown_pools_and_pgs_have_no_slots(void **state)
{
	struct map *map = cluster_make(3, 1, 0);
	struct placement *p;

	cluster_set_pool(map, 1, 2, 8, false);
	p = placement_create(map);
	assert_non_null(placement_slots(p, POOL_DATA, 7));
	assert_null(placement_slots(p, POOL_DATA, 8));
	assert_null(placement_slots(p, POOL_META, 0));
	placement_destroy(p);
	map_unref(map);
}

/* ---- objects, counts, the logarithm ---- */

static void objects_spread_over_pgs(void **state)
{
	struct map_pool pool = {.id = POOL_DATA, .pg_count = 64};
	uint32_t hits[64] = {0};

	for (uint64_t i = 0; i < 64000; i++)
		hits[place_pg_of(&pool, (uint64_t)0x7c2b25 << 32 | i)]++;
	for (uint32_t i = 0; i < 64; i++)
		assert_in_range(hits[i], 850, 1150);
}

static void pg_counts_are_powers_of_two_near_100_shards_a_disk(void **state)
{
	assert_int_equal(place_pg_count(0, 6), 8);
	assert_int_equal(place_pg_count(1, 1), 128);
	assert_int_equal(place_pg_count(9, 6), 128);
	assert_int_equal(place_pg_count(9, 3), 256);
	assert_int_equal(place_pg_count(432, 6), 8192);
	assert_int_equal(place_pg_count(65536, 2), 65536);
	for (uint32_t disks = 1; disks <= 4096; disks++) {
		uint32_t pgs = place_pg_count(disks, 6);

		assert_int_equal(pgs & (pgs - 1), 0);
		if (pgs > 8 && pgs < POOL_MAX_PGS)
			assert_in_range(pgs * 6 / disks, 68, 143);
	}
}

static void the_logarithm_is_right_to_many_bits(void **state)
{
	const long double one = (long double)((uint64_t)1 << PLACE_EXP_FRACTION_BITS);
	struct prng rng;

	assert_int_equal(place_exp(0), 0);
	prng_init(&rng, 3);
	for (int i = 0; i < 200000; i++) {
		uint64_t x = prng_next(&rng) >> prng_below(&rng, 40);
		long double want = -log1pl(-(long double)x / 18446744073709551616.0L);
		long double got = place_exp(x) / one;

		if (fabsl(got - want) > want * 0x1p-40L + 0x1p-54L)
			fail_msg("place_exp(%llx) = %.20Lg, want %.20Lg", (unsigned long long)x,
			         got, want);
	}
	assert_true(fabsl(place_exp(UINT64_MAX) / one - 64 * logl(2)) < 1e-12L);
}

/* ---- overrides ---- */

static void set_override(struct map *map, uint32_t pg, uint32_t slot, uint64_t disk)
{
	free(map->overrides);
	map->overrides = xcalloc(1, sizeof(*map->overrides));
	map->overrides[0] = (struct map_override){POOL_DATA, pg, slot, disk};
	map->override_count = 1;
}

/* A node that none of the PG's slots uses. */
static uint32_t free_node(struct map *map, const uint64_t *slots, uint32_t n, uint32_t nodes)
{
	for (uint32_t i = 0; i < nodes; i++) {
		bool used = false;

		for (uint32_t s = 0; s < n; s++)
			used |= map_find_disk(map, slots[s])->node == cluster_node_id(i);
		if (!used)
			return i;
	}
	fail_msg("no free node");
	return 0;
}

static void an_override_moves_its_slot_only(void **state)
{
	struct map *map = cluster_make(9, 2, 0);
	struct placement *before, *after;
	uint64_t target;

	cluster_set_pool(map, 4, 2, 64, false);
	before = placement_create(map);
	target = cluster_disk_id(free_node(map, placement_slots(before, POOL_DATA, 17), 6, 9), 1);
	set_override(map, 17, 3, target);
	after = placement_create(map);
	assert_int_equal(moved(before, after), 1);
	assert_int_equal(placement_slots(after, POOL_DATA, 17)[3], target);
	placement_destroy(after);

	/* a disk that fails takes its exceptions with it */
	((struct map_disk *)map_find_disk(map, target))->flags = DISK_FAILED;
	after = placement_create(map);
	assert_int_not_equal(placement_slots(after, POOL_DATA, 17)[3], target);
	placement_destroy(after);
	placement_destroy(before);
	map_unref(map);
}

static void an_override_that_would_share_a_disk_or_node_is_ignored(void **state)
{
	struct map *map = cluster_make(9, 2, 0);
	struct placement *before, *after;
	const uint64_t *slots;
	const struct map_disk *taken;

	cluster_set_pool(map, 4, 2, 64, false);
	before = placement_create(map);
	slots = placement_slots(before, POOL_DATA, 17);
	set_override(map, 17, 3, slots[4]);
	after = placement_create(map);
	assert_int_equal(moved(before, after), 0);
	placement_destroy(after);

	taken = map_find_disk(map, slots[4]);
	for (uint32_t i = 0; i < map->disk_count; i++) {
		if (map->disks[i].node == taken->node && map->disks[i].id != taken->id)
			set_override(map, 17, 3, map->disks[i].id);
	}
	after = placement_create(map);
	assert_int_equal(moved(before, after), 0);
	placement_destroy(after);

	/* the other disk of the slot's own node is fine */
	taken = map_find_disk(map, slots[3]);
	for (uint32_t i = 0; i < map->disk_count; i++) {
		if (map->disks[i].node == taken->node && map->disks[i].id != taken->id)
			set_override(map, 17, 3, map->disks[i].id);
	}
	after = placement_create(map);
	assert_int_equal(moved(before, after), 1);
	placement_destroy(after);
	placement_destroy(before);
	map_unref(map);
}

/* ---- the same on every machine ---- */

static uint64_t placement_hash(const struct placement *p)
{
	const struct pool_placement *pp = data_pool(p);
	uint64_t hash = 0;

	for (size_t i = 0; i < shard_count(pp); i++)
		hash = hash64(hash ^ pp->disk[i]);
	return hash;
}

static struct map *golden_map(void)
{
	struct map *map = map_create();

	map->epoch = 1;
	map->cluster = 1;
	for (uint32_t i = 0; i < 9; i++) {
		struct map_node node = {.id = i + 1, .zone = i, .flags = NODE_UP};

		map_put_node(map, &node);
		for (uint32_t d = 0; d < 2; d++) {
			struct map_disk disk = {
				.id = 10 * (i + 1) + d, .node = i + 1, .weight = 100 + i};

			map_put_disk(map, &disk);
		}
	}
	cluster_set_pool(map, 4, 2, 128, false);
	return map;
}

static void golden_placements_never_change(void **state)
{
	static const uint64_t golden[4][6] = {
		{71, 60, 50, 40, 90, 30},
		{61, 50, 20, 11, 70, 31},
		{31, 20, 71, 81, 10, 50},
		{60, 70, 51, 80, 90, 10},
	};
	const uint64_t golden_hash = 0x533a18e656b5dd96;
	struct map *map = golden_map();
	struct placement *p = placement_create(map);
	const struct map_pool *pool = map_find_pool(map, POOL_DATA);

	assert_int_equal(place_pg_of(pool, 0), 52);
	assert_int_equal(place_pg_of(pool, 0x007c2b2500000001), 54);
	for (uint32_t pg = 0; pg < 4; pg++) {
		const uint64_t *slots = placement_slots(p, POOL_DATA, pg);

		for (uint32_t i = 0; i < 6; i++)
			assert_int_equal(slots[i], golden[pg][i]);
	}
	assert_int_equal(placement_hash(p), golden_hash);
	placement_destroy(p);
	map_unref(map);
}

/* ---- speed: printed, judged by whoever reads it ---- */

static void time_placement(const char *what, uint32_t nodes, uint32_t disks, uint32_t pgs)
{
	struct map *map = cluster_make(nodes, disks, nodes > 20 ? 20 : 0);
	struct placement *p;
	clock_t start;

	cluster_set_pool(map, 4, 2, pgs, false);
	start = clock();
	p = placement_create(map);
	print_message("  %s, %u PGs of 4:2: %.3f s\n", what, pgs,
	              (double)(clock() - start) / CLOCKS_PER_SEC);
	placement_destroy(p);
	map_unref(map);
}

static void large_clusters_are_placed(void **state)
{
	/* an eighth of the PGs, so that the test is quick under sanitizers too */
	time_placement("300 nodes of 36 disks", 300, 36, 8192);
	time_placement("4000 nodes of 3 disks", 4000, 3, 8192);
	time_placement("9 nodes of 1 disk", 9, 1, 128);
	time_placement("12 nodes of 36 disks", 12, 36, 8192);
	if (getenv("PLACE_TIME_ALL"))
		time_placement("300 nodes of 36 disks", 300, 36, 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_clusters_get_complete_and_distinct_slots),
		cmocka_unit_test(one_pg_alone_is_placed_as_in_the_whole),
		cmocka_unit_test(a_down_node_keeps_its_slots),
		cmocka_unit_test(shared_nodes_are_shared_evenly),
		cmocka_unit_test(unknown_pools_and_pgs_have_no_slots),
		cmocka_unit_test(objects_spread_over_pgs),
		cmocka_unit_test(pg_counts_are_powers_of_two_near_100_shards_a_disk),
		cmocka_unit_test(the_logarithm_is_right_to_many_bits),
		cmocka_unit_test(an_override_moves_its_slot_only),
		cmocka_unit_test(an_override_that_would_share_a_disk_or_node_is_ignored),
		cmocka_unit_test(golden_placements_never_change),
		cmocka_unit_test(large_clusters_are_placed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

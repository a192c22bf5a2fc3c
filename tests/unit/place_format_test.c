/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lib/base/math.h"
#include "tests/unit/place_maps.h"

static struct format_options format_of(uint32_t k, uint32_t m)
{
	return (struct format_options){.cluster = CLUSTER, .k = k, .m = m};
}

static void format_makes_the_first_epoch(void **state)
{
	struct map *map = format_ok(4, 2, 9, 2);
	const struct map_pool *meta = map_find_pool(map, POOL_META);
	const struct map_pool *data = map_find_pool(map, POOL_DATA);

	assert_int_equal(map->epoch, 1);
	assert_int_equal(map->cluster, CLUSTER);
	assert_int_equal(map->grace_ms, 600000);
	assert_int_equal(map->min_live_extra, 1);
	assert_int_equal(map->node_count, 9);
	assert_int_equal(map->disk_count, 18);
	assert_int_equal(meta->k, 1);
	assert_int_equal(meta->m, 2);
	assert_int_equal(meta->object_shift, 22);
	assert_int_equal(data->k, 4);
	assert_int_equal(data->m, 2);
	assert_int_equal(data->object_shift, 22);
	assert_int_equal(data->pg_count, 256);
	assert_string_equal(map_find_node(map, 3)->addr, "127.0.0.1");
	assert_int_equal(map_find_node(map, 3)->port, 7003);
	assert_int_equal(node_flags(map, 3), NODE_UP);
	assert_int_equal(map_find_disk(map, 301)->weight, 11);
	map_unref(map);
}

/* Returns what map_format returns; *ret_text its text. */
static int try_format(struct format_options opt, const struct node_info *infos, uint32_t count,
                      char ret_text[FORMAT_TEXT_LEN])
{
	struct map *map = NULL;
	int err = map_format(&opt, infos, count, &map, ret_text);

	assert_true((err == 0) == (map != NULL));
	map_unref(map);
	return err;
}

static void format_refuses_what_the_cluster_cannot_hold(void **state)
{
	struct node_info infos[6];
	struct format_options shared = format_of(4, 2);
	char text[FORMAT_TEXT_LEN];

	for (uint32_t i = 0; i < 6; i++)
		infos[i] = info_of(i + 1, 2);
	assert_int_equal(try_format(format_of(4, 2), infos, 5, text), -EINVAL);
	assert_string_equal(text, "4:2 needs 6 nodes with disks, and there are 5");
	assert_int_equal(try_format(format_of(1, 2), infos, 1, text), -EINVAL);
	assert_string_equal(text, "3 copies need 3 nodes with disks, and there is 1");

	shared.same_node_ok = true;
	assert_int_equal(try_format(shared, infos, 2, text), -EINVAL);
	assert_string_equal(text, "4:2 needs 6 disks, and there are 4");
	assert_int_equal(try_format(shared, infos, 3, text), 0);
	assert_non_null(strstr(text, "share nodes"));
	assert_int_equal(try_format(format_of(1, 0), infos, 0, text), -EINVAL);

	infos[5].gateway = true;
	assert_int_equal(try_format(format_of(4, 2), infos, 6, text), -EINVAL);
}

static void format_warns_of_what_is_missing(void **state)
{
	struct node_info infos[8];
	char text[FORMAT_TEXT_LEN];

	for (uint32_t i = 0; i < 8; i++)
		infos[i] = info_of(i + 1, 1);
	assert_int_equal(try_format(format_of(4, 2), infos, 6, text), 0);
	assert_string_equal(text,
	                    "6 nodes for 4:2: a lost node cannot be rebuilt until it is replaced");
	assert_int_equal(try_format(format_of(4, 2), infos, 7, text), 0);
	assert_string_equal(text, "");
	assert_int_equal(try_format(format_of(1, 0), infos, 1, text), 0);
	assert_non_null(strstr(text, "one copy"));
	for (uint32_t i = 0; i < 8; i++)
		infos[i].zone = i % 3;
	assert_int_equal(try_format(format_of(4, 2), infos, 8, text), 0);
	assert_non_null(strstr(text, "3 zones for 4:2"));
	for (uint32_t i = 0; i < 8; i++)
		infos[i].zone = 0;
	assert_int_equal(try_format(format_of(4, 2), infos, 8, text), 0);
	assert_string_equal(text, "");
}

static void format_refuses_impossible_redundancy_and_sizes(void **state)
{
	static const uint32_t bad[][2] = {{0, 1}, {0, 0}, {2, 0}, {33, 2}, {4, 17}, {1, 17}};
	struct node_info infos[60];
	struct format_options opt;
	char text[FORMAT_TEXT_LEN];

	for (uint32_t i = 0; i < 60; i++)
		infos[i] = info_of(i + 1, 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text[0] = 0;
		assert_int_equal(try_format(format_of(bad[i][0], bad[i][1]), infos, 60, text),
		                 -EINVAL);
		assert_true(strlen(text) > 0);
	}
	assert_int_equal(try_format(format_of(32, 16), infos, 60, text), 0);
	opt = format_of(4, 2);
	opt.object_shift = 19;
	assert_int_equal(try_format(opt, infos, 60, text), -EINVAL);
	opt.object_shift = 25;
	assert_int_equal(try_format(opt, infos, 60, text), -EINVAL);
	opt.object_shift = 24;
	assert_int_equal(try_format(opt, infos, 60, text), 0);
}

static void format_refuses_ids_given_twice(void **state)
{
	struct node_info infos[3] = {info_of(1, 2), info_of(2, 2), info_of(3, 2)};
	char text[FORMAT_TEXT_LEN];

	infos[2].disks[1].id = infos[0].disks[0].id;
	assert_int_equal(try_format(format_of(1, 1), infos, 3, text), -EINVAL);
	assert_non_null(strstr(text, "two disks"));
	infos[2] = info_of(2, 0);
	assert_int_equal(try_format(format_of(1, 1), infos, 3, text), -EINVAL);
	assert_non_null(strstr(text, "two nodes"));
}

static void metadata_copies_fit_the_cluster(void **state)
{
	for (uint32_t nodes = 1; nodes <= 4; nodes++) {
		struct map *map = format_ok(1, 0, nodes, 2);

		assert_int_equal(map_find_pool(map, POOL_META)->k, 1);
		assert_int_equal(map_find_pool(map, POOL_META)->m, MIN(nodes, 3u) - 1);
		map_unref(map);
	}

	struct map *map = format_ok(8, 3, 11, 2);

	assert_int_equal(map_find_pool(map, POOL_META)->m, 3); /* it can spare as many */
	map_unref(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(format_makes_the_first_epoch),
		cmocka_unit_test(format_refuses_what_the_cluster_cannot_hold),
		cmocka_unit_test(format_warns_of_what_is_missing),
		cmocka_unit_test(format_refuses_impossible_redundancy_and_sizes),
		cmocka_unit_test(format_refuses_ids_given_twice),
		cmocka_unit_test(metadata_copies_fit_the_cluster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

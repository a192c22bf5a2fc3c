/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_PLACE_MAPS_H
#define SF_TESTS_PLACE_MAPS_H

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/place/map.h"
#include "lib/place/map_edit.h"

/* Maps made by format and events, for the tests of the map. Include after <cmocka.h>. */
enum { CLUSTER = 77 };

static inline struct node_info info_of(uint64_t id, uint32_t disks)
{
	struct node_info info = {.id = id, .incarnation = id * 1000, .port = 7000 + id, .zone = id};

	strcpy(info.addr, "127.0.0.1");
	info.disk_count = disks;
	for (uint32_t i = 0; i < disks; i++) {
		info.disks[i].id = id * 100 + i;
		info.disks[i].weight = 10 + i;
	}
	return info;
}

static inline struct map *format_ok(uint32_t k, uint32_t m, uint32_t nodes, uint32_t disks)
{
	struct format_options opt = {.cluster = CLUSTER, .now_s = 5, .k = k, .m = m};
	struct node_info *infos = xcalloc(nodes, sizeof(*infos));
	char text[FORMAT_TEXT_LEN];
	struct map *map = NULL;

	for (uint32_t i = 0; i < nodes; i++)
		infos[i] = info_of(i + 1, disks);
	assert_int_equal(map_format(&opt, infos, nodes, &map, text), 0);
	free(infos);
	return map;
}

/* Applies the event, which must change the map, and drops the old one. */
static inline struct map *step(struct map *map, struct map_event event)
{
	struct map *next;

	event.now_s = 9;
	next = map_apply(map, &event);
	assert_non_null(next);
	assert_int_equal(next->epoch, map->epoch + 1);
	assert_int_equal(next->changed_s, 9);
	assert_int_equal(next->created_s, map->created_s);
	assert_int_equal(next->refs, 1);
	assert_true(map_valid(next));
	map_unref(map);
	return next;
}

static inline void no_change(const struct map *map, struct map_event event)
{
	assert_null(map_apply(map, &event));
}

static inline uint32_t node_flags(const struct map *map, uint64_t id)
{
	return map_find_node(map, id)->flags;
}

static inline uint32_t disk_flags(const struct map *map, uint64_t id)
{
	return map_find_disk(map, id)->flags;
}

#define EV(t, ...) ((struct map_event){.type = MAP_EV_##t, __VA_ARGS__})

#endif

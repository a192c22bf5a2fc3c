/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cluster maps and announcements of nodes, as bytes of anybody or built value by value: what is
 * decoded keeps every limit, becomes the same bytes again, changes by events into maps that are
 * valid too, and can be placed.
 */
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "lib/place/place.h"
#include "tests/fuzz/fuzz.h"

/* Placing this many slots times disks takes a moment; the limits of a map allow far more. */
enum { PLACE_WORK_MAX = 200000, EVENTS_MAX = 12, FORMAT_NODES = 10 };

static void map_comes_back(const struct map *map)
{
	struct map *again;
	uint8_t *bytes, *bytes2;
	size_t len, len2;

	assert(map_valid(map));
	map_encode(map, &bytes, &len);
	assert(map_decode(bytes, len, &again) == 0);
	map_encode(again, &bytes2, &len2);
	assert(len == len2 && !memcmp(bytes, bytes2, len));
	assert(again->epoch == map->epoch && again->cluster == map->cluster);
	assert(again->node_count == map->node_count && again->disk_count == map->disk_count);
	assert(again->pool_count == map->pool_count);
	assert(again->override_count == map->override_count);
	map_unref(again);
	free(bytes);
	free(bytes2);
}

/* No disk twice, and only such as may be used. */
static void slots_sane(const struct map *map, const uint64_t *disks, uint32_t slots)
{
	for (uint32_t i = 0; i < slots; i++) {
		const struct map_disk *d = map_find_disk(map, disks[i]);

		if (disks[i] == NO_DISK)
			continue;
		assert(d && map_disk_usable(map, d));
		for (uint32_t j = 0; j < i; j++)
			assert(disks[j] != disks[i]);
	}
}

static void map_place(const struct map *map)
{
	struct placement *p;
	uint64_t work = 0, one[MAX_SHARDS];

	for (uint32_t i = 0; i < map->pool_count; i++)
		work += (uint64_t)map->pools[i].pg_count * (map->pools[i].k + map->pools[i].m) *
		        (1 + map->disk_count / 8);
	if (work > PLACE_WORK_MAX)
		return;
	p = placement_create(map);
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *pool = &map->pools[i];

		for (uint32_t pg = 0; pg < pool->pg_count; pg++)
			slots_sane(map, placement_slots(p, pool->id, pg), pool->k + pool->m);
		place_pg(map, pool, pool->pg_count - 1, one);
		assert(!memcmp(one, placement_slots(p, pool->id, pool->pg_count - 1),
		               (pool->k + pool->m) * sizeof(one[0])));
		assert(place_pg_of(pool, work) < pool->pg_count);
	}
	placement_destroy(p);
}

static uint64_t id_take(struct fuzz_in *in)
{
	uint64_t id = fuzz_num(in);

	return id ? id : 1;
}

static void info_take(struct fuzz_in *in, struct node_info *info)
{
	memset(info, 0, sizeof(*info));
	info->id = id_take(in);
	info->incarnation = fuzz_num(in);
	info->port = (uint16_t)fuzz_num(in);
	info->zone = (uint32_t)fuzz_num(in);
	info->gateway = fuzz_u8(in) & 1;
	memcpy(info->addr, "10.0.0.1", 9);
	info->disk_count = fuzz_u8(in) % 6;
	for (uint32_t i = 0; i < info->disk_count; i++) {
		info->disks[i].id = id_take(in);
		info->disks[i].weight = 1 + (uint32_t)(fuzz_num(in) % MAP_MAX_WEIGHT);
		for (uint32_t j = 0; j < i; j++)
			if (info->disks[j].id == info->disks[i].id)
				info->disk_count = i;
	}
}

static struct map *map_event_apply(struct map *map, struct fuzz_in *in)
{
	uint8_t type = fuzz_u8(in); /* the later events in the upper half: inputs keep their meaning */
	struct map_event ev = {.now_s = 7};
	struct node_info info;
	struct map *next;

	ev.type = type % ((type < 128 ? MAP_EV_SCRUB : MAP_EV_FORGET) + 1);
	info_take(in, &info);
	ev.info = &info;
	ev.node = info.id;
	ev.disk = id_take(in);
	ev.k = (uint32_t)fuzz_num(in);
	ev.m = (uint32_t)fuzz_num(in);
	ev.object_shift = fuzz_u8(in) % 32;
	ev.weight = (uint32_t)fuzz_num(in);
	ev.set_flags = fuzz_u8(in);
	ev.clear_flags = fuzz_u8(in);
	ev.same_node_ok = fuzz_u8(in) & 1;
	ev.disks = &ev.disk;
	ev.disk_count = 1;
	ev.min_live_extra = fuzz_u8(in) % 20;
	ev.scrub_interval_s = fuzz_u8(in);
	ev.scrub_now = ev.on = ev.set_flags & 1;
	ev.failed = ev.set_flags & 2;
	ev.weights = &ev.weight;
	next = map_apply(map, &ev);
	if (!next)
		return map;
	assert(next->epoch == map->epoch + 1 && map_valid(next));
	map_unref(map);
	return next;
}

static struct map *map_build(struct fuzz_in *in)
{
	struct map *map = map_create();
	uint32_t nodes = fuzz_u8(in) % 24, pools = fuzz_u8(in) % 4, overrides = fuzz_u8(in) % 6;

	map->epoch = 1 + (uint32_t)fuzz_num(in);
	map->cluster = id_take(in);
	map->min_live_extra = fuzz_u8(in) % 4;
	for (uint32_t i = 0; i < nodes; i++) {
		struct map_node n = {.id = id_take(in)};
		n.flags = fuzz_u8(in) % 16;
		n.zone = fuzz_u8(in) % 8;
		map_put_node(map, &n);
		for (uint32_t d = fuzz_u8(in) % 5; d > 0; d--) {
			struct map_disk disk = {.id = id_take(in), .node = n.id};
			disk.flags = fuzz_u8(in) % 8 == 0;
			disk.weight = 1 + (uint32_t)fuzz_num(in);
			map_put_disk(map, &disk);
		}
	}
	for (uint32_t i = 0; i < pools; i++) {
		struct map_pool pool = {.id = 1 + (uint32_t)fuzz_num(in), .created_epoch = 1};
		pool.k = 1 + fuzz_u8(in) % (MAX_DATA + 1);
		pool.m = fuzz_u8(in) % (MAX_PARITY + 2);
		pool.pg_count = 1u << fuzz_u8(in) % 8;
		pool.object_shift = 18 + fuzz_u8(in) % 8;
		pool.same_node_ok = fuzz_u8(in) & 1;
		map_put_pool(map, &pool);
	}
	map->overrides = xcalloc(overrides + 1, sizeof(*map->overrides));
	for (; map->override_count < overrides; map->override_count++) {
		struct map_override *o = &map->overrides[map->override_count];
		o->pool = 1 + (uint32_t)fuzz_num(in);
		o->pg = (uint32_t)fuzz_num(in);
		o->slot = fuzz_u8(in);
		o->disk = id_take(in);
	}
	if (map_valid(map))
		return map;
	map_unref(map);
	return NULL;
}

static struct map *map_formatted(struct fuzz_in *in)
{
	struct node_info nodes[FORMAT_NODES];
	struct format_options opt = {.cluster = id_take(in), .now_s = 5};
	char text[FORMAT_TEXT_LEN];
	struct map *map = NULL;
	uint32_t count = fuzz_u8(in) % (FORMAT_NODES + 1);
	int err;

	opt.k = (uint32_t)fuzz_num(in);
	opt.m = (uint32_t)fuzz_num(in);
	opt.object_shift = fuzz_u8(in) % 32;
	opt.same_node_ok = fuzz_u8(in) & 1;
	for (uint32_t i = 0; i < count; i++)
		info_take(in, &nodes[i]);
	memset(text, 'x', sizeof(text));
	err = map_format(&opt, nodes, count, &map, text);
	assert(memchr(text, 0, sizeof(text)));
	assert(err == 0 || (err < 0 && text[0] && !map));
	return map;
}

static void info_bytes(const uint8_t *data, size_t size)
{
	struct node_info info, again;
	uint8_t *bytes;
	size_t len;

	if (node_info_decode(data, size, &info) < 0)
		return;
	assert(info.id && info.disk_count <= NODE_MAX_DISKS);
	node_info_encode(&info, &bytes, &len);
	assert(node_info_decode(bytes, len, &again) == 0);
	assert(!memcmp(&info, &again, sizeof(info)));
	free(bytes);
}

/* byte 0: what the others are */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, data + size};
	uint8_t kind = fuzz_u8(&in) % 4, events;
	struct map *map = NULL;

	events = fuzz_u8(&in) % EVENTS_MAX;
	if (kind == 0 && map_decode(in.p, (size_t)(in.end - in.p), &map) < 0)
		map = NULL;
	else if (kind == 1)
		info_bytes(in.p, (size_t)(in.end - in.p));
	else if (kind == 2)
		map = map_build(&in);
	else if (kind == 3)
		map = map_formatted(&in);
	if (!map)
		return 0;
	if (kind == 0) /* the bytes serve once more */
		in.p = data;
	map_comes_back(map);
	map_place(map);
	for (uint32_t i = 0; i < events; i++)
		map = map_event_apply(map, &in);
	map_comes_back(map);
	map_place(map);
	map_unref(map);
	return 0;
}

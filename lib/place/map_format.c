/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"
#include "lib/place/map_edit.h"
#include "lib/place/place.h"

enum { DEFAULT_GRACE_MS = 600000, DEFAULT_OBJECT_SHIFT = 22, META_COPIES = 3 };

/* What there is to place shards on. */
struct domains {
	uint32_t disks, nodes, zones;
};

static int refuse(char text[FORMAT_TEXT_LEN], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(char text[FORMAT_TEXT_LEN], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, FORMAT_TEXT_LEN, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

enum { NAME_LEN = 32 };
static const char *redundancy_name(char name[NAME_LEN], uint32_t k, uint32_t m)
{
	if (k == 1)
		snprintf(name, NAME_LEN, m ? "%u copies" : "%u copy", m + 1);
	else
		snprintf(name, NAME_LEN, "%u:%u", k, m);
	return name;
}

/* "1 node", "2 nodes" */
#define COUNTED(n, noun) (n), (n) == 1 ? noun : noun "s"

/* The map with every node joined, and nothing else. */
static int map_of_nodes(const struct format_options *opt, const struct node_info *nodes,
                        uint32_t count, struct map *map, char text[FORMAT_TEXT_LEN])
{
	if (count > MAP_MAX_NODES)
		return refuse(text, "%u nodes are more than the limit of %u", count, MAP_MAX_NODES);
	for (uint32_t i = 0; i < count; i++) {
		const struct node_info *info = &nodes[i];
		struct map_node node = {
			.id = info->id,
			.incarnation = info->incarnation,
			.port = info->port,
			.zone = info->zone,
			.flags = NODE_UP | (info->gateway ? NODE_GATEWAY : 0),
		};

		assert(info->id != 0 && info->disk_count <= NODE_MAX_DISKS);
		memccpy(node.addr, info->addr, 0, sizeof(node.addr) - 1);
		if (map_find_node(map, info->id))
			return refuse(text, "two nodes have the id %016llx (%s port %u is one)",
			              (unsigned long long)info->id, node.addr, info->port);
		map_put_node(map, &node);
		for (uint32_t d = 0; !info->gateway && d < info->disk_count; d++) {
			struct map_disk disk = {
				.id = info->disks[d].id,
				.node = info->id,
				.weight = MIN(MAX(info->disks[d].weight, 1u),
			                      (uint32_t)MAP_MAX_WEIGHT),
			};

			if (map_find_disk(map, disk.id))
				return refuse(
					text,
					"two disks have the id %016llx (one is at %s port %u)",
					(unsigned long long)disk.id, node.addr, info->port);
			if (map->disk_count == MAP_MAX_DISKS)
				return refuse(text, "more than %u disks", MAP_MAX_DISKS);
			map_put_disk(map, &disk);
		}
	}
	return 0;
}

static void domains_count(struct domains *ret, const struct node_info *nodes, uint32_t count)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < count; i++) {
		bool zone_seen = false;

		if (nodes[i].gateway || nodes[i].disk_count == 0)
			continue;
		ret->nodes++;
		ret->disks += nodes[i].disk_count;
		for (uint32_t j = 0; j < i && !zone_seen; j++)
			zone_seen = !nodes[j].gateway && nodes[j].disk_count > 0 &&
			            nodes[j].zone == nodes[i].zone;
		ret->zones += !zone_seen;
	}
}

static int check_enough(const struct format_options *opt, const struct domains *have,
                        char text[FORMAT_TEXT_LEN])
{
	uint32_t need = opt->k + opt->m;
	char name[NAME_LEN];

	redundancy_name(name, opt->k, opt->m);
	if (have->nodes >= need)
		return 0;
	if (!opt->same_node_ok)
		return refuse(text, "%s need%s %u %s with disks, and there %s %u", name,
		              opt->k == 1 && opt->m > 0 ? "" : "s", COUNTED(need, "node"),
		              have->nodes == 1 ? "is" : "are", have->nodes);
	if (have->disks < need)
		return refuse(text, "%s need%s %u %s, and there %s %u", name,
		              opt->k == 1 && opt->m > 0 ? "" : "s", COUNTED(need, "disk"),
		              have->disks == 1 ? "is" : "are", have->disks);
	return 0;
}

/* The gravest thing to say about a format that is allowed, or an empty text. */
static void warn(const struct format_options *opt, const struct domains *have,
                 char text[FORMAT_TEXT_LEN])
{
	uint32_t need = opt->k + opt->m;
	char name[NAME_LEN];

	redundancy_name(name, opt->k, opt->m);
	text[0] = 0;
	if (opt->m == 0)
		snprintf(text, FORMAT_TEXT_LEN, "one copy: what is on a disk is lost with it");
	else if (have->nodes < need)
		snprintf(
			text, FORMAT_TEXT_LEN,
			"%u %s for %s: shards share nodes, a lost node takes several of an object's",
			COUNTED(have->nodes, "node"), name);
	else if (have->nodes == need)
		snprintf(text, FORMAT_TEXT_LEN,
		         "%u nodes for %s: a lost node cannot be rebuilt until it is replaced",
		         have->nodes, name);
	else if (have->zones > 1 && have->zones < need)
		snprintf(
			text, FORMAT_TEXT_LEN,
			"%u zones for %s: shards are on distinct nodes, but not in distinct zones, "
			"and a lost zone may take several of an object's",
			have->zones, name);
}

static void add_pools(struct map *map, const struct format_options *opt, const struct domains *have)
{
	uint32_t hosts = opt->same_node_ok ? have->disks : have->nodes;
	uint32_t copies = MAX(MIN(MAX((uint32_t)META_COPIES, opt->m + 1), hosts), 1u);
	struct map_pool meta = {
		.id = POOL_META,
		.k = 1,
		.m = copies - 1,
		.pg_count = place_pg_count(have->disks, copies),
		.object_shift = DEFAULT_OBJECT_SHIFT,
		.created_epoch = 1,
		.same_node_ok = opt->same_node_ok,
	};
	struct map_pool data = {
		.id = POOL_DATA,
		.k = opt->k,
		.m = opt->m,
		.pg_count = place_pg_count(have->disks, opt->k + opt->m),
		.object_shift = opt->object_shift,
		.created_epoch = 1,
		.same_node_ok = opt->same_node_ok,
	};

	map_put_pool(map, &meta);
	map_put_pool(map, &data);
}

int map_format(const struct format_options *options, const struct node_info *nodes, uint32_t count,
               struct map **ret, char text[FORMAT_TEXT_LEN])
{
	struct format_options opt = *options;
	struct domains have;
	struct map *map;
	int err;

	assert(opt.cluster != 0);
	if (opt.object_shift == 0)
		opt.object_shift = DEFAULT_OBJECT_SHIFT;
	if (opt.grace_ms == 0)
		opt.grace_ms = DEFAULT_GRACE_MS;
	if (!map_redundancy_valid(opt.k, opt.m))
		return refuse(text,
		              "%u:%u is not 1 to %u copies, nor 2 to %u data and 1 to %u parity",
		              opt.k, opt.m, MAX_PARITY + 1, MAX_DATA, MAX_PARITY);
	if (!map_object_shift_valid(opt.object_shift))
		return refuse(text, "object size 2^%u is not within 2^20 (1 MiB) and 2^24 (16 MiB)",
		              opt.object_shift);

	map = map_create();
	map->epoch = 1;
	map->cluster = opt.cluster;
	map->created_s = map->changed_s = opt.now_s;
	map->grace_ms = opt.grace_ms;
	map->min_live_extra = 1;
	err = map_of_nodes(&opt, nodes, count, map, text);
	domains_count(&have, nodes, err ? 0 : count);
	if (!err)
		err = check_enough(&opt, &have, text);
	if (err) {
		map_unref(map);
		return err;
	}
	warn(&opt, &have, text);
	add_pools(map, &opt, &have);
	assert(map_valid(map));
	*ret = map;
	return 0;
}

void map_count_places(const struct map *map, uint32_t ret[2])
{
	uint32_t *disks = xcalloc(map->node_count + 1, sizeof(*disks));

	for (uint32_t i = 0; i < map->disk_count; i++)
		if (map_disk_usable(map, &map->disks[i]))
			disks[map_find_node(map, map->disks[i].node) - map->nodes]++;
	ret[0] = ret[1] = 0;
	for (uint32_t i = 0; i < map->node_count; i++) {
		ret[0] += disks[i] > 0;
		ret[1] += disks[i];
	}
	free(disks);
}

bool map_fills_slots(const struct map *map, char text[FORMAT_TEXT_LEN])
{
	uint32_t places[2];
	bool fits = true;

	map_count_places(map, places);
	for (uint32_t i = 0; i < map->pool_count && fits; i++) {
		const struct map_pool *pool = &map->pools[i];
		uint32_t have = places[pool->same_node_ok], need = pool->k + pool->m;
		char name[NAME_LEN];

		fits = have >= need;
		if (fits)
			continue;
		redundancy_name(name, pool->k, pool->m);
		snprintf(text, FORMAT_TEXT_LEN, "%s need %u %s, and %u would be left", name, need,
		         pool->same_node_ok ? "disks" : "nodes with disks", have);
	}
	return fits;
}

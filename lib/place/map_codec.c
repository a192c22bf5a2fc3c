/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"
#include "lib/place/map_edit.h"
#include "lib/wire/sheepfold.pb-c.h"

/*
 * protobuf-c writes fields in the order of their numbers and leaves out those that are zero, so
 * equal maps give equal bytes. Fields that this release does not know are ignored; flags that it
 * does not know are refused, because they could change what the map means.
 */

enum { DECODE_MAX_BYTES = 8 << 20, DECODE_MAX_MEMORY = 64 << 20 };

/* Allocation for the decoder with an end to it: a few bytes of hostile input can ask for many. */
struct budget {
	size_t left;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *budget = data;

	if (size > budget->left)
		return NULL;
	budget->left -= size;
	return xmalloc(size ? size : 1);
}

static void budget_free(void *data, void *ptr)
{
	(void)data;
	free(ptr);
}

/* One allocation for `count` messages of `size` bytes and the array of pointers to them. */
static void *messages_make(size_t count, size_t size, void ***ret_pointers)
{
	char *messages = xcalloc(count + 1, size);

	*ret_pointers = xcalloc(count + 1, sizeof(void *));
	for (size_t i = 0; i < count; i++)
		(*ret_pointers)[i] = messages + i * size;
	return messages;
}

static void *encode_nodes(const struct map *map, Sf__Map *pb)
{
	Sf__Map__Node *out = messages_make(map->node_count, sizeof(*out), (void ***)&pb->nodes);

	pb->n_nodes = map->node_count;
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct map_node *node = &map->nodes[i];

		sf__map__node__init(&out[i]);
		out[i].id = node->id;
		out[i].incarnation = node->incarnation;
		out[i].addr = (char *)node->addr;
		out[i].port = node->port;
		out[i].zone = node->zone;
		out[i].flags = node->flags;
		out[i].down_since_s = node->down_since_s;
	}
	return out;
}

static void *encode_disks(const struct map *map, Sf__Map *pb)
{
	Sf__Map__Disk *out = messages_make(map->disk_count, sizeof(*out), (void ***)&pb->disks);

	pb->n_disks = map->disk_count;
	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *disk = &map->disks[i];

		sf__map__disk__init(&out[i]);
		out[i].id = disk->id;
		out[i].node = disk->node;
		out[i].weight = disk->weight;
		out[i].flags = disk->flags;
	}
	return out;
}

static void *encode_pools(const struct map *map, Sf__Map *pb)
{
	Sf__Map__Pool *out = messages_make(map->pool_count, sizeof(*out), (void ***)&pb->pools);

	pb->n_pools = map->pool_count;
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *pool = &map->pools[i];

		sf__map__pool__init(&out[i]);
		out[i].id = pool->id;
		out[i].k = pool->k;
		out[i].m = pool->m;
		out[i].pg_count = pool->pg_count;
		out[i].object_shift = pool->object_shift;
		out[i].created_epoch = pool->created_epoch;
		out[i].same_node_ok = pool->same_node_ok;
	}
	return out;
}

static void *encode_overrides(const struct map *map, Sf__Map *pb)
{
	size_t count = map->override_count;
	Sf__Map__Override *out = messages_make(count, sizeof(*out), (void ***)&pb->overrides);

	pb->n_overrides = count;
	for (size_t i = 0; i < count; i++) {
		const struct map_override *o = &map->overrides[i];

		sf__map__override__init(&out[i]);
		out[i].pool = o->pool;
		out[i].pg = o->pg;
		out[i].slot = o->slot;
		out[i].disk = o->disk;
	}
	return out;
}

void map_encode(const struct map *map, uint8_t **ret_bytes, size_t *ret_len)
{
	Sf__Map pb = SF__MAP__INIT;
	void *nodes = encode_nodes(map, &pb), *disks = encode_disks(map, &pb);
	void *pools = encode_pools(map, &pb), *overrides = encode_overrides(map, &pb);
	size_t len;

	pb.epoch = map->epoch;
	pb.cluster = map->cluster;
	pb.created_s = map->created_s;
	pb.changed_s = map->changed_s;
	pb.flags = map->flags;
	pb.grace_ms = map->grace_ms;
	pb.min_live_extra = map->min_live_extra;
	pb.scrub_interval_s = map->scrub_interval_s;
	pb.scrub_since_s = map->scrub_since_s;
	len = sf__map__get_packed_size(&pb);
	assert(len <= DECODE_MAX_BYTES);
	*ret_bytes = xmalloc(len ? len : 1);
	*ret_len = sf__map__pack(&pb, *ret_bytes);
	assert(*ret_len == len);

	free(nodes);
	free(disks);
	free(pools);
	free(overrides);
	free(pb.nodes);
	free(pb.disks);
	free(pb.pools);
	free(pb.overrides);
}

static bool addr_decode(char addr[ADDR_LEN], const char *text)
{
	size_t len = strlen(text);

	if (len >= ADDR_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		/* It ends up in logs and on terminals. */
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	memset(addr, 0, ADDR_LEN);
	memcpy(addr, text, len);
	return true;
}

static bool decode_nodes(const Sf__Map *pb, struct map *map)
{
	if (pb->n_nodes > MAP_MAX_NODES)
		return false;
	map->node_count = pb->n_nodes;
	map->nodes = xcalloc(pb->n_nodes + 1, sizeof(*map->nodes));
	for (size_t i = 0; i < pb->n_nodes; i++) {
		const Sf__Map__Node *in = pb->nodes[i];
		struct map_node *node = &map->nodes[i];

		if (!addr_decode(node->addr, in->addr) || in->port > UINT16_MAX)
			return false;
		node->id = in->id;
		node->incarnation = in->incarnation;
		node->port = in->port;
		node->zone = in->zone;
		node->flags = in->flags;
		node->down_since_s = in->down_since_s;
	}
	return true;
}

static bool decode_disks(const Sf__Map *pb, struct map *map)
{
	if (pb->n_disks > MAP_MAX_DISKS)
		return false;
	map->disk_count = pb->n_disks;
	map->disks = xcalloc(pb->n_disks + 1, sizeof(*map->disks));
	for (size_t i = 0; i < pb->n_disks; i++) {
		const Sf__Map__Disk *in = pb->disks[i];
		struct map_disk *disk = &map->disks[i];

		disk->id = in->id;
		disk->node = in->node;
		disk->weight = in->weight;
		disk->flags = in->flags;
	}
	return true;
}

static bool decode_pools(const Sf__Map *pb, struct map *map)
{
	if (pb->n_pools > MAP_MAX_POOLS)
		return false;
	map->pool_count = pb->n_pools;
	map->pools = xcalloc(pb->n_pools + 1, sizeof(*map->pools));
	for (size_t i = 0; i < pb->n_pools; i++) {
		const Sf__Map__Pool *in = pb->pools[i];
		struct map_pool *pool = &map->pools[i];

		pool->id = in->id;
		pool->k = in->k;
		pool->m = in->m;
		pool->pg_count = in->pg_count;
		pool->object_shift = in->object_shift;
		pool->created_epoch = in->created_epoch;
		pool->same_node_ok = in->same_node_ok;
	}
	return true;
}

static bool decode_overrides(const Sf__Map *pb, struct map *map)
{
	if (pb->n_overrides > MAP_MAX_OVERRIDES)
		return false;
	map->override_count = pb->n_overrides;
	map->overrides = xcalloc(pb->n_overrides + 1, sizeof(*map->overrides));
	for (size_t i = 0; i < pb->n_overrides; i++) {
		const Sf__Map__Override *in = pb->overrides[i];
		struct map_override *o = &map->overrides[i];

		o->pool = in->pool;
		o->pg = in->pg;
		o->slot = in->slot;
		o->disk = in->disk;
	}
	return true;
}

int map_decode(const uint8_t *bytes, size_t len, struct map **ret)
{
	struct budget budget = {.left = DECODE_MAX_MEMORY};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	struct map *map;
	Sf__Map *pb;
	bool ok;

	if (len > DECODE_MAX_BYTES)
		return -SF_EFORMAT;
	pb = sf__map__unpack(&allocator, len, bytes);
	if (!pb)
		return -SF_EFORMAT;
	map = map_create();
	map->epoch = pb->epoch;
	map->cluster = pb->cluster;
	map->created_s = pb->created_s;
	map->changed_s = pb->changed_s;
	map->flags = pb->flags;
	map->grace_ms = pb->grace_ms;
	map->min_live_extra = pb->min_live_extra;
	map->scrub_interval_s = pb->scrub_interval_s;
	map->scrub_since_s = pb->scrub_since_s;
	ok = decode_nodes(pb, map) && decode_disks(pb, map) && decode_pools(pb, map) &&
	     decode_overrides(pb, map) && map_valid(map);
	sf__map__free_unpacked(pb, &allocator);
	if (!ok) {
		map_unref(map);
		return -SF_EFORMAT;
	}
	*ret = map;
	return 0;
}

void node_info_encode(const struct node_info *info, uint8_t **ret_bytes, size_t *ret_len)
{
	Sf__NodeInfo pb = SF__NODE_INFO__INIT;
	Sf__NodeInfo__Disk disks[NODE_MAX_DISKS], *pointers[NODE_MAX_DISKS];

	assert(info->disk_count <= NODE_MAX_DISKS);
	pb.id = info->id;
	pb.incarnation = info->incarnation;
	pb.cluster = info->cluster;
	pb.addr = (char *)info->addr;
	pb.port = info->port;
	pb.zone = info->zone;
	pb.gateway = info->gateway;
	pb.n_disks = info->disk_count;
	pb.disks = pointers;
	for (uint32_t i = 0; i < info->disk_count; i++) {
		sf__node_info__disk__init(&disks[i]);
		disks[i].id = info->disks[i].id;
		disks[i].weight = info->disks[i].weight;
		pointers[i] = &disks[i];
	}
	*ret_bytes = xmalloc(sf__node_info__get_packed_size(&pb) + 1);
	*ret_len = sf__node_info__pack(&pb, *ret_bytes);
}

static bool node_info_from(const Sf__NodeInfo *pb, struct node_info *info)
{
	memset(info, 0, sizeof(*info));
	if (pb->id == 0 || pb->port > UINT16_MAX || pb->n_disks > NODE_MAX_DISKS ||
	    !addr_decode(info->addr, pb->addr))
		return false;
	info->id = pb->id;
	info->incarnation = pb->incarnation;
	info->cluster = pb->cluster;
	info->port = pb->port;
	info->zone = pb->zone;
	info->gateway = pb->gateway;
	info->disk_count = pb->n_disks;
	for (uint32_t i = 0; i < info->disk_count; i++) {
		const Sf__NodeInfo__Disk *in = pb->disks[i];

		if (in->id == 0 || in->weight < 1 || in->weight > MAP_MAX_WEIGHT)
			return false;
		for (uint32_t j = 0; j < i; j++) {
			if (info->disks[j].id == in->id)
				return false;
		}
		info->disks[i].id = in->id;
		info->disks[i].weight = in->weight;
	}
	return true;
}

int node_info_decode(const uint8_t *bytes, size_t len, struct node_info *ret)
{
	struct budget budget = {.left = DECODE_MAX_MEMORY};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	struct node_info info;
	Sf__NodeInfo *pb;
	bool ok;

	if (len > DECODE_MAX_BYTES)
		return -SF_EFORMAT;
	pb = sf__node_info__unpack(&allocator, len, bytes);
	if (!pb)
		return -SF_EFORMAT;
	ok = node_info_from(pb, &info);
	sf__node_info__free_unpacked(pb, &allocator);
	if (!ok)
		return -SF_EFORMAT;
	*ret = info;
	return 0;
}

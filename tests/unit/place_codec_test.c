/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "tests/unit/place_maps.h"

static struct map *map_with_everything(void)
{
	struct map *map = format_ok(4, 2, 9, 2);

	map = step(map, EV(DOWN, .node = 2));
	map = step(map, EV(OUT, .node = 2));
	map = step(map, EV(LEAVE, .node = 3));
	map = step(map, EV(DISK_FAILED, .disk = 400));
	map = step(map, EV(FLAGS, .set_flags = MAP_RECOVERY_DISABLED));
	map = step(map, EV(POOL, .k = 8, .m = 1, .object_shift = 20, .same_node_ok = true));
	map->overrides = xcalloc(3, sizeof(*map->overrides));
	map->overrides[0] = (struct map_override){POOL_META, 3, 1, 100};
	map->overrides[1] = (struct map_override){POOL_DATA, 3, 0, 101};
	map->overrides[2] = (struct map_override){POOL_DATA, 3, 1, 200};
	map->override_count = 3;
	return map;
}

static bool decodes(const uint8_t *bytes, size_t len)
{
	struct map *map = NULL;
	int err = map_decode(bytes, len, &map);

	assert_true(err == 0 || err == -SF_EFORMAT);
	assert_true((err == 0) == (map != NULL));
	if (map)
		assert_true(map_valid(map));
	map_unref(map);
	return err == 0;
}

static void a_map_survives_its_bytes(void **state)
{
	struct map *map = map_with_everything(), *copy;
	uint8_t *bytes, *again;
	size_t len, again_len;

	map_encode(map, &bytes, &len);
	assert_int_equal(map_decode(bytes, len, &copy), 0);
	assert_int_equal(copy->epoch, map->epoch);
	assert_int_equal(copy->cluster, map->cluster);
	assert_int_equal(copy->flags, map->flags);
	assert_int_equal(copy->grace_ms, map->grace_ms);
	assert_int_equal(copy->min_live_extra, map->min_live_extra);
	assert_int_equal(copy->created_s, map->created_s);
	assert_int_equal(copy->changed_s, map->changed_s);
	assert_int_equal(copy->node_count, map->node_count);
	assert_int_equal(node_flags(copy, 2), NODE_OUT);
	assert_int_equal(map_find_node(copy, 2)->down_since_s, 9);
	assert_string_equal(map_find_node(copy, 2)->addr, "127.0.0.1");
	assert_int_equal(disk_flags(copy, 400), DISK_FAILED);
	assert_true(map_find_pool(copy, 3)->same_node_ok);
	assert_int_equal(copy->override_count, 3);
	assert_int_equal(copy->overrides[2].disk, 200);
	map_encode(copy, &again, &again_len);
	assert_int_equal(len, again_len);
	assert_memory_equal(bytes, again, len);
	free(bytes);
	free(again);
	map_unref(map);
	map_unref(copy);
}

static void fields_from_the_future_are_ignored(void **state)
{
	struct map *map = map_with_everything();
	uint8_t *bytes;
	size_t len;

	map_encode(map, &bytes, &len);
	bytes = xrealloc(bytes, len + 3);
	memcpy(bytes + len, "\xb8\x06\x01", 3); /* field 103, varint 1 */
	assert_true(decodes(bytes, len + 3));
	free(bytes);
	map_unref(map);
}

static void truncated_and_damaged_maps_do_no_harm(void **state)
{
	struct map *map = map_with_everything();
	struct prng rng;
	uint8_t *bytes, *bad;
	size_t len;

	map_encode(map, &bytes, &len);
	prng_init(&rng, 1);
	for (size_t cut = 0; cut < len; cut++) {
		bad = xmemdup(bytes,
		              cut); /* exact size, so that a sanitizer sees a read beyond it */
		decodes(bad, cut);
		free(bad);
	}
	for (int round = 0; round < 20000; round++) {
		bad = xmemdup(bytes, len);
		for (uint64_t flips = 1 + prng_below(&rng, 4); flips > 0; flips--)
			bad[prng_below(&rng, len)] = prng_next(&rng);
		decodes(bad, len);
		free(bad);
	}
	for (int round = 0; round < 5000; round++) {
		size_t noise_len = 1 + prng_below(&rng, 200);

		bad = xmalloc(noise_len);
		prng_fill(&rng, bad, noise_len);
		decodes(bad, noise_len);
		free(bad);
	}
	assert_false(decodes(NULL, 0));
	free(bytes);
	map_unref(map);
}

static void a_flood_of_empty_parts_is_refused(void **state)
{
	size_t len = 4 << 20;
	uint8_t *bytes = xmalloc(len);

	for (size_t i = 0; i < len; i += 2)
		memcpy(bytes + i, "\x4a\x00", 2); /* field 9, an empty disk */
	assert_false(decodes(bytes, len));
	assert_false(decodes(bytes, (8 << 20) + 1)); /* refused before it is read */
	free(bytes);
}

/* Encodes without validation, as a peer with a bug would, and expects a refusal. */
static void refused(struct map *map)
{
	uint8_t *bytes;
	size_t len;

	map_encode(map, &bytes, &len);
	assert_false(decodes(bytes, len));
	free(bytes);
	map_unref(map);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct map *map = map_with_everything();                                           \
		change;                                                                            \
		refused(map);                                                                      \
	} while (0)

static void every_limit_of_a_map_is_checked(void **state)
{
	REFUSED(map->epoch = 0);
	REFUSED(map->cluster = 0);
	REFUSED(map->flags = 4);
	REFUSED(map->min_live_extra = 17);
	REFUSED(map->nodes[1].flags = 64);
	REFUSED(map->nodes[0].flags = NODE_UP | NODE_OUT);
	REFUSED(map->nodes[0].flags = NODE_UP | NODE_LEFT);
	REFUSED(map->nodes[0].addr[2] = '\n');
	REFUSED(map->disks[0].weight = 0);
	REFUSED(map->disks[0].weight = MAP_MAX_WEIGHT + 1);
	REFUSED(map->disks[0].flags = 2);
	REFUSED(map->pools[0].k = 0);
	REFUSED(map->pools[0].k = 33);
	REFUSED(map->pools[0].m = 17);
	REFUSED(map->pools[1].m = 0);
	REFUSED(map->pools[0].pg_count = 0);
	REFUSED(map->pools[0].pg_count = 24);
	REFUSED(map->pools[0].pg_count = 131072);
	REFUSED(map->pools[0].object_shift = 19);
	REFUSED(map->pools[0].object_shift = 25);
	REFUSED(map->pools[0].created_epoch = 0);
	REFUSED(map->pools[0].created_epoch = map->epoch + 1);
}

static void every_order_and_reference_of_a_map_is_checked(void **state)
{
	REFUSED(map->nodes[0].id = 0);
	REFUSED(map->nodes[1].id = map->nodes[0].id);
	REFUSED(map->nodes[0].id = 5);
	REFUSED(map->disks[0].id = 0);
	REFUSED(map->disks[1].id = map->disks[0].id);
	REFUSED(map->disks[0].id = 999);
	REFUSED(map->disks[0].node = 99);
	REFUSED(map->pools[0].id = 0);
	REFUSED(map->pools[1].id = 1);
	REFUSED(map->pools[0].id = 9);
	REFUSED(map->overrides[0].pool = 9);
	REFUSED(map->overrides[2].pool = 9);
	REFUSED(map->overrides[2].pg = map->pools[1].pg_count);
	REFUSED(map->overrides[2].slot = 6);
	REFUSED(map->overrides[2].disk = 99);
	REFUSED(map->overrides[2].slot = 0);
	REFUSED(map->overrides[1].slot = 2);
}

static void what_all_pools_place_together_is_bounded(void **state)
{
	struct map *map = format_ok(1, 0, 1, 1);

	for (uint32_t id = 3; map_slot_count(map) + 48 * POOL_MAX_PGS <= MAP_MAX_SLOTS; id++)
		map_put_pool(map, &(struct map_pool){.id = id, .k = 32, .m = 16, .object_shift = 20,
		                                     .pg_count = POOL_MAX_PGS, .created_epoch = 1});
	assert_true(map_valid(map));
	map_put_pool(map, &(struct map_pool){.id = 200, .k = 32, .m = 16, .object_shift = 20,
	                                     .pg_count = POOL_MAX_PGS, .created_epoch = 1});
	refused(map);
}

/* A protobuf with one node whose address and port are as given. */
static bool node_decodes(size_t addr_len, uint32_t port)
{
	struct map *map = format_ok(1, 0, 1, 1);
	uint8_t *bytes, node[128], *end = node, *p;
	size_t len;
	bool ok;

	*end++ = 0x09; /* id = 0xff..., after the first node */
	memset(end, 0xff, 8);
	end += 8;
	*end++ = 0x1a;
	*end++ = addr_len;
	memset(end, '1', addr_len);
	end += addr_len;
	*end++ = 0x20;
	for (; port >= 128; port >>= 7)
		*end++ = port | 0x80;
	*end++ = port;
	map_encode(map, &bytes, &len);
	bytes = xrealloc(bytes, len + 2 + (end - node));
	p = bytes + len;
	*p++ = 0x42;
	*p++ = end - node;
	memcpy(p, node, end - node);
	ok = decodes(bytes, len + 2 + (end - node));
	free(bytes);
	map_unref(map);
	return ok;
}

static void addresses_and_ports_are_bounded(void **state)
{
	assert_true(node_decodes(9, 7000));
	assert_true(node_decodes(ADDR_LEN - 1, 65535));
	assert_false(node_decodes(ADDR_LEN, 7000));
	assert_false(node_decodes(9, 65536));
}

static void counts_of_a_map_are_bounded(void **state)
{
	struct map *map = format_ok(1, 0, 1, 1);

	for (uint64_t id = 2; map->node_count < MAP_MAX_NODES; id++)
		map_put_node(map, &(struct map_node){.id = id});
	map->disks = xrealloc(map->disks, (MAP_MAX_DISKS + 1) * sizeof(*map->disks));
	for (uint32_t i = 0; i <= MAP_MAX_DISKS; i++)
		map->disks[i] = (struct map_disk){.id = i + 1, .node = 1, .weight = 1};
	map->disk_count = MAP_MAX_DISKS;
	map->overrides = xcalloc(MAP_MAX_OVERRIDES + 1, sizeof(*map->overrides));
	map->pools[1].pg_count = POOL_MAX_PGS;
	for (uint32_t i = 0; i <= MAP_MAX_OVERRIDES; i++)
		map->overrides[i] = (struct map_override){POOL_DATA, i, 0, 1};
	map->override_count = MAP_MAX_OVERRIDES;

	uint8_t *bytes;
	size_t len;

	map_encode(map, &bytes, &len);
	assert_true(decodes(bytes, len)); /* the largest map there is */
	free(bytes);
	map->disk_count++;
	assert_false(map_valid(map));
	map->disk_count--;
	map->override_count++;
	assert_false(map_valid(map));
	map->override_count--;
	map_put_node(map, &(struct map_node){.id = UINT64_MAX});
	assert_false(map_valid(map));
	map_unref(map);
}

static void a_node_info_survives_its_bytes(void **state)
{
	struct node_info info = info_of(7, NODE_MAX_DISKS), copy;
	uint8_t *bytes;
	size_t len;

	info.cluster = CLUSTER;
	info.gateway = true;
	node_info_encode(&info, &bytes, &len);
	assert_int_equal(node_info_decode(bytes, len, &copy), 0);
	assert_int_equal(copy.id, 7);
	assert_int_equal(copy.incarnation, 7000);
	assert_int_equal(copy.cluster, CLUSTER);
	assert_string_equal(copy.addr, "127.0.0.1");
	assert_int_equal(copy.port, 7007);
	assert_int_equal(copy.zone, 7);
	assert_true(copy.gateway);
	assert_int_equal(copy.disk_count, NODE_MAX_DISKS);
	for (uint32_t i = 0; i < NODE_MAX_DISKS; i++) {
		assert_int_equal(copy.disks[i].id, info.disks[i].id);
		assert_int_equal(copy.disks[i].weight, info.disks[i].weight);
	}
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *bad = xmemdup(bytes, cut);

		node_info_decode(bad, cut, &copy);
		free(bad);
	}
	/* one disk more, by hand: field 8, fixed64 id, weight 1 */
	bytes = xrealloc(bytes, len + 13);
	memcpy(bytes + len, "\x42\x0b\x09\x01\x02\x03\x04\x05\x06\x07\x08\x10\x01", 13);
	assert_int_equal(node_info_decode(bytes, len + 13, &copy), -SF_EFORMAT);
	free(bytes);
}

static void a_bad_node_info_is_refused_and_leaves_the_result_alone(void **state)
{
	for (int round = 0; round < 4; round++) {
		struct node_info info = info_of(7, 2), copy = {.id = 1234};
		uint8_t *bytes;
		size_t len;

		if (round == 0)
			info.id = 0;
		else if (round == 1)
			info.disks[1].id = info.disks[0].id;
		else if (round == 2)
			info.disks[1].weight = 0;
		else
			info.disks[0].id = 0;
		node_info_encode(&info, &bytes, &len);
		assert_int_equal(node_info_decode(bytes, len, &copy), -SF_EFORMAT);
		assert_int_equal(copy.id, 1234);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_map_survives_its_bytes),
		cmocka_unit_test(fields_from_the_future_are_ignored),
		cmocka_unit_test(truncated_and_damaged_maps_do_no_harm),
		cmocka_unit_test(a_flood_of_empty_parts_is_refused),
		cmocka_unit_test(every_limit_of_a_map_is_checked),
		cmocka_unit_test(every_order_and_reference_of_a_map_is_checked),
		cmocka_unit_test(what_all_pools_place_together_is_bounded),
		cmocka_unit_test(addresses_and_ports_are_bounded),
		cmocka_unit_test(counts_of_a_map_are_bounded),
		cmocka_unit_test(a_node_info_survives_its_bytes),
		cmocka_unit_test(a_bad_node_info_is_refused_and_leaves_the_result_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

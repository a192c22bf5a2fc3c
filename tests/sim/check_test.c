/* SPDX-License-Identifier: Apache-2.0 */

/* The checkers of disks are able to fail: each is shown what it exists to find. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/ec/ec.h"
#include "tests/sim/check.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

static char why[CHECK_WHY_LEN];

/* ---- Placement: three nodes that never ran, with shards put onto their disks ---- */

enum { OID = 0x100000001 };

struct cluster {
	struct world *w;
	struct map *map;
	const uint64_t *slots;
	uint32_t pg;
};

static struct sim_disk *slot_disk(struct cluster *c, uint32_t slot)
{
	for (uint32_t i = 0; i < c->w->node_count; i++)
		if (c->w->nodes[i]->disks[0].id == c->slots[slot])
			return &c->w->nodes[i]->disks[0];
	fail();
	return NULL;
}

static void disk_request(struct sim_disk *d, struct msg *m)
{
	struct disk_job job = {.disk = d->id, .req = m, .reply = msg_create_reply(m, RES_OK)};

	sim_disk_execute(d, &job);
	assert_int_equal(job.reply->result, RES_OK);
	msg_destroy(job.reply);
	msg_destroy(m);
}

static struct msg *shard_request(struct cluster *c, enum msg_type type, uint32_t shard,
                                 uint64_t version)
{
	struct msg *m = msg_create(type);

	m->pool = POOL_DATA;
	m->pg = c->pg;
	m->oid = OID;
	m->shard = shard;
	m->version = version;
	return m;
}

/* A shard of 16 bytes. */
static void put(struct cluster *c, uint32_t on_slot, uint32_t shard, uint64_t version,
                const uint8_t *bytes)
{
	struct msg *m = shard_request(c, MSG_SHARD_PUSH, shard, version);
	struct slice s = {buf_get(c->w->pool, 16), 0, 16};

	memcpy(s.buf->data, bytes, 16);
	m->range_count = 1;
	m->ranges[0] = (struct shard_range){RANGE_DATA, 100, 16};
	payload_add(&m->payload, &s);
	disk_request(slot_disk(c, on_slot), m);
}

static void cluster_init(struct cluster *c)
{
	static const uint8_t data[2][16] = {"data of part one", "and of part two"};
	const uint8_t *parts[2] = {data[0], data[1]};
	uint8_t parity[16], *parities[1] = {parity};
	struct format_options opt = {
		.cluster = 5, .k = 2, .m = 1, .object_shift = 20, .grace_ms = 1000};
	struct node_info infos[4];
	char text[FORMAT_TEXT_LEN];
	struct ec_code *code;

	memset(c, 0, sizeof(*c));
	c->w = world_create(1, false, NULL);
	c->w->net = sim_net_create(c->w);
	c->w->member = sim_member_create(c->w);
	c->w->node_count = 4;
	for (uint32_t i = 0; i < 4; i++)
		infos[i] = sim_node_create(c->w, i, 1, i)->info;
	assert_int_equal(map_format(&opt, infos, 4, &c->map, text), 0);
	sim_member_install(c->w, c->map);
	c->pg = place_pg_of(map_find_pool(c->map, POOL_DATA), OID);
	c->slots = placement_slots(sim_member_placement(c->w, 1), POOL_DATA, c->pg);
	assert_int_equal(ec_create(2, 1, &code), 0);
	ec_encode(code, 16, parts, parities);
	ec_unref(code);
	put(c, 0, 0, 9, data[0]);
	put(c, 1, 1, 9, data[1]);
	put(c, 2, 2, 9, parity);
}

static void cluster_fini(struct cluster *c)
{
	for (uint32_t i = 0; i < c->w->node_count; i++)
		sim_node_destroy(c->w, i);
	sim_member_destroy(c->w->member);
	sim_net_destroy(c->w->net);
	map_unref(c->map);
	world_destroy(c->w);
}

static void expect_complaint(struct cluster *c, const char *what)
{
	assert_int_equal(check_clean(c->w, why), -1);
	if (!strstr(why, what))
		fail_msg("\"%s\" instead of \"%s\"", why, what);
	cluster_fini(c);
}

static void clean_accepts_what_is_in_its_place(void **state)
{
	struct cluster c;

	cluster_init(&c);
	assert_int_equal(check_clean(c.w, why), 0);
	cluster_fini(&c);
}

static void clean_finds_a_missing_shard(void **state)
{
	struct cluster c;

	cluster_init(&c);
	disk_request(slot_disk(&c, 1), shard_request(&c, MSG_SHARD_REMOVE, 1, 9));
	expect_complaint(&c, "missing");
}

static void clean_finds_an_old_version(void **state)
{
	static const uint8_t bytes[16] = "newer";
	struct cluster c;

	cluster_init(&c);
	put(&c, 0, 0, 10, bytes);
	expect_complaint(&c, "another version");
}

static void clean_finds_stale_parity(void **state)
{
	static const uint8_t bytes[16] = "something else";
	struct cluster c;

	cluster_init(&c);
	for (uint32_t i = 0; i < 3; i++)
		put(&c, i, i, 10, bytes);
	expect_complaint(&c, "parity");
}

static void clean_finds_a_pending_version(void **state)
{
	struct cluster c;
	struct msg *m;

	cluster_init(&c);
	m = shard_request(&c, MSG_SHARD_PREPARE, 2, 10);
	m->base = 9;
	disk_request(slot_disk(&c, 2), m);
	expect_complaint(&c, "pending");
}

static void clean_finds_a_tombstone(void **state)
{
	struct cluster c;
	struct msg *m;

	cluster_init(&c);
	for (uint32_t i = 0; i < 3; i++) {
		m = shard_request(&c, MSG_SHARD_PUSH, i, 10);
		m->shard_flags = SHARD_DELETE;
		disk_request(slot_disk(&c, i), m);
	}
	expect_complaint(&c, "tombstone");
}

static void clean_finds_a_shard_on_another_slots_disk(void **state)
{
	static const uint8_t bytes[16] = "misplaced";
	struct cluster c;

	cluster_init(&c);
	put(&c, 0, 1, 9, bytes);
	expect_complaint(&c, "disk of another slot");
}

static void clean_finds_a_stray(void **state)
{
	static const uint8_t bytes[16] = "stray";
	struct cluster c;
	struct msg *m;

	cluster_init(&c);
	for (uint32_t i = 0; i < 4; i++) {
		struct sim_disk *d = &c.w->nodes[i]->disks[0];
		struct slice s;

		if (d->id == c.slots[0] || d->id == c.slots[1] || d->id == c.slots[2])
			continue;
		s = (struct slice){buf_get(c.w->pool, 16), 0, 16};
		memcpy(s.buf->data, bytes, 16);
		m = shard_request(&c, MSG_SHARD_PUSH, 0, 9);
		m->range_count = 1;
		m->ranges[0] = (struct shard_range){RANGE_DATA, 0, 16};
		payload_add(&m->payload, &s);
		disk_request(d, m);
	}
	expect_complaint(&c, "no slot of its PG");
}

static void sound_finds_rot_before_anybody_does(void **state)
{
	struct cluster c;

	cluster_init(&c);
	assert_int_equal(check_sound(c.w, why), 0);
	assert_false(check_object_rot(c.w, POOL_DATA, OID));
	assert_true(sim_disk_rot(slot_disk(&c, 1), POOL_DATA, c.pg, OID, 1));
	assert_int_equal(check_sound(c.w, why), -1);
	assert_non_null(strstr(why, "nobody noticed"));
	assert_true(check_object_rot(c.w, POOL_DATA, OID));
	assert_false(check_object_rot(c.w, POOL_DATA, OID + 1));
	cluster_fini(&c);
}

static void bounds_finds_an_event_with_too_many_effects(void **state)
{
	struct cluster c;

	cluster_init(&c);
	assert_int_equal(check_bounds(c.w, why), 0);
	c.w->nodes[2]->wide = 1000000;
	assert_int_equal(check_bounds(c.w, why), -1);
	cluster_fini(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_accepts_what_is_in_its_place),
		cmocka_unit_test(clean_finds_a_missing_shard),
		cmocka_unit_test(clean_finds_an_old_version),
		cmocka_unit_test(clean_finds_stale_parity),
		cmocka_unit_test(clean_finds_a_pending_version),
		cmocka_unit_test(clean_finds_a_tombstone),
		cmocka_unit_test(clean_finds_a_shard_on_another_slots_disk),
		cmocka_unit_test(clean_finds_a_stray),
		cmocka_unit_test(sound_finds_rot_before_anybody_does),
		cmocka_unit_test(bounds_finds_an_event_with_too_many_effects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The checkers are able to fail: each is shown what it exists to find. */
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

/* ---- Histories of one object with two cells ---- */

static struct op_record *add(struct history *h, enum op_type type, uint64_t began, uint64_t ended,
                             uint64_t stamp)
{
	struct op_record *op = history_add(h);

	op->type = type;
	op->count = 2;
	op->stamp = stamp;
	op->began = began;
	op->ended = ended;
	return op;
}

static void add_read(struct history *h, uint64_t began, uint64_t ended, uint64_t a, uint64_t b)
{
	struct op_record *op = add(h, OP_READ, began, ended, 0);

	op->seen[0] = a;
	op->seen[1] = b;
}

static void linear_accepts_one_after_another(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add_read(&h, 3, 4, 7, 7);
	add(&h, OP_WRITE, 5, 6, 8);
	add_read(&h, 7, 8, 8, 8);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	history_fini(&h);
}

static void linear_accepts_either_order_of_concurrent_writes(void **state)
{
	for (uint64_t last = 7; last <= 8; last++) {
		struct history h = {0};

		add(&h, OP_WRITE, 1, 4, 7);
		add(&h, OP_WRITE, 2, 3, 8);
		add_read(&h, 5, 6, last, last);
		assert_int_equal(check_linear(&h, 0, 2, why), 0);
		history_fini(&h);
	}
}

static void linear_refuses_a_stale_read(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 4, 8);
	add_read(&h, 5, 6, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	assert_non_null(strstr(why, "not linearizable"));
	history_fini(&h);
}

static void linear_refuses_half_a_write(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 6, 8);
	add_read(&h, 4, 5, 8, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_going_back_after_a_concurrent_write_was_seen(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 10, 8);
	add_read(&h, 4, 5, 8, 8);
	add_read(&h, 6, 7, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_lets_an_unanswered_write_take_effect_late_or_never(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, OP_OPEN, 7);
	add(&h, OP_WRITE, 2, 3, 8);
	add_read(&h, 4, 5, 8, 8);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add_read(&h, 6, 7, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add_read(&h, 8, 9, 8, 8); /* but not twice */
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_a_deleted_object_that_comes_back(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_DELETE, 3, 4, 0);
	add_read(&h, 5, 6, 7, 7);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_an_exclusive_create_that_wins_twice(void **state)
{
	struct history h = {0};

	add(&h, OP_CREATE, 1, 2, 7);
	add(&h, OP_CREATE, 3, 4, 8)->refused = true;
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	add(&h, OP_CREATE, 5, 6, 9);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

static void linear_refuses_bytes_that_nobody_wrote(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add_read(&h, 3, 4, 7, CELL_TORN);
	assert_int_equal(check_linear(&h, 0, 2, why), -1);
	history_fini(&h);
}

/* A state's hash once mixed up "stamp 1" with "absent". */
static void linear_tells_the_first_stamp_from_no_object(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 4, 1);
	add(&h, OP_DELETE, 2, 3, 0);
	add_read(&h, 5, 6, 1, 1);
	assert_int_equal(check_linear(&h, 0, 2, why), 0);
	history_fini(&h);
}

static void durable_finds_a_lost_acknowledged_write(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, OP_OPEN, 8);
	add_read(&h, 10, 11, 8, 7); /* what it does not look at: atomicity */
	assert_int_equal(check_durable(&h, 10, why), 0);
	add_read(&h, 12, 13, 0, 0);
	assert_int_equal(check_durable(&h, 10, why), -1);
	assert_non_null(strstr(why, "lost or stale"));
	history_fini(&h);
}

static void durable_finds_an_overwritten_write_that_returns(void **state)
{
	struct history h = {0};

	add(&h, OP_WRITE, 1, 2, 7);
	add(&h, OP_WRITE, 3, 4, 8);
	add_read(&h, 10, 11, 7, 7);
	assert_int_equal(check_durable(&h, 10, why), -1);
	history_fini(&h);
}

/* ---- Cells ---- */

static void cells_tell_which_write_they_show(void **state)
{
	struct prng prng;
	struct cells c;

	prng_init(&prng, 1);
	for (uint32_t round = 0; round < 200; round++) {
		uint64_t seen[MAX_CELLS];
		uint32_t bytes, first;
		uint8_t *data;

		cells_draw(&c, &prng, 1 + round % 6, 1 << 20);
		assert_true(c.count >= 6);
		assert_int_equal(c.start[c.count], 1 << 20);
		first = prng_below(&prng, c.count);
		bytes = cells_bytes(&c, first, 1);
		data = xmalloc(bytes);
		cells_fill(&c, first, 1, 1234, data);
		cells_parse(&c, first, 1, data, seen);
		assert_int_equal(seen[0], 1234);
		data[prng_below(&prng, bytes)] ^= 1;
		cells_parse(&c, first, 1, data, seen);
		assert_true(seen[0] != 1234);
		free(data);
	}
}

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
	ec_destroy(code);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(linear_accepts_one_after_another),
		cmocka_unit_test(linear_accepts_either_order_of_concurrent_writes),
		cmocka_unit_test(linear_refuses_a_stale_read),
		cmocka_unit_test(linear_refuses_half_a_write),
		cmocka_unit_test(linear_refuses_going_back_after_a_concurrent_write_was_seen),
		cmocka_unit_test(linear_lets_an_unanswered_write_take_effect_late_or_never),
		cmocka_unit_test(linear_refuses_a_deleted_object_that_comes_back),
		cmocka_unit_test(linear_refuses_an_exclusive_create_that_wins_twice),
		cmocka_unit_test(linear_refuses_bytes_that_nobody_wrote),
		cmocka_unit_test(linear_tells_the_first_stamp_from_no_object),
		cmocka_unit_test(durable_finds_a_lost_acknowledged_write),
		cmocka_unit_test(durable_finds_an_overwritten_write_that_returns),
		cmocka_unit_test(cells_tell_which_write_they_show),
		cmocka_unit_test(clean_accepts_what_is_in_its_place),
		cmocka_unit_test(clean_finds_a_missing_shard),
		cmocka_unit_test(clean_finds_an_old_version),
		cmocka_unit_test(clean_finds_stale_parity),
		cmocka_unit_test(clean_finds_a_pending_version),
		cmocka_unit_test(clean_finds_a_tombstone),
		cmocka_unit_test(clean_finds_a_shard_on_another_slots_disk),
		cmocka_unit_test(clean_finds_a_stray),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Slots that have lost what they should have, met by clients before any scrub; and objects of which
 * too much is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/place/place.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "sheep/core/core.h"
#include "tests/sim/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/rig.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

enum { LATE_MS = 10 * 24 * 3600 * 1000 };

static uint32_t primary_of(const struct rig *r, struct pg **ret_pg)
{
	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct node *node = r->w->nodes[i]->core;
		*ret_pg = node ? node_find_pg(node, r->object->pool, r->object->pg) : NULL;
		if (*ret_pg)
			return i;
	}
	fail_msg("no primary");
	return 0;
}

/* What the primary knows by heart is forgotten, as after a long time. */
static void forget_object(struct rig *r)
{
	struct pg *pg;
	struct node *node = r->w->nodes[primary_of(r, &pg)]->core;

	object_get(node, pg, r->object->oid)->known = false;
}

/* Sends it to the primary and returns what that answers. */
static uint32_t ask(struct rig *r, enum msg_type type, uint32_t offset, uint32_t length)
{
	static uint64_t seq;
	struct msg *m = msg_create(type);
	struct pg *pg;

	m->epoch = sim_member_map(r->w)->epoch;
	m->pool = r->object->pool;
	m->oid = r->object->oid;
	m->offset = offset;
	m->length = length;
	m->req = (struct req_id){.client = 4711, .seq = ++seq};
	if (type == MSG_OBJ_WRITE) {
		struct buf *b = buf_get(r->w->pool, length);
		memset(b->data, 0x5a, length);
		buf_seal(b);
		struct slice s = {b, 0, length};
		payload_add(&m->payload, &s);
	}
	r->w->operator_result = UINT32_MAX;
	sim_node_operator_msg(r->w, primary_of(r, &pg), m);
	for (uint32_t i = 0; i < 50 && r->w->operator_result == UINT32_MAX; i++)
		world_run_until(r->w, r->w->now_us + 100 * SIM_MS);
	assert_false(r->w->failed);
	return r->w->operator_result;
}

/* Every object, whole; what is read has to fit to what was written before. */
static void expect_reads_right(struct rig *r)
{
	struct workload *load = r->w->workload;
	char why[CHECK_WHY_LEN] = "";

	load->final = true;
	load->final_next = 0;
	for (uint32_t i = 0; i < r->w->client_count; i++)
		sim_client_work(r->w, i);
	rig_run_until_idle(r);
	for (uint32_t i = 0; i < load->object_count; i++)
		if (check_linear(&load->history, i, load->objects[i].cells.count, why))
			fail_msg("%s", why);
}

static void a_slot_that_lost_its_shard_does_not_make_the_object_absent(void **state)
{
	static const uint32_t kinds[][2] = {{1, 2}, {4, 2}, {1, 1}};

	for (uint32_t i = 0; i < 3; i++) {
		struct rig r = {0};

		rig_init(&r, kinds[i][0], kinds[i][1], LATE_MS);
		rig_shard_lose(&r, 0); /* the primary's own */
		expect_reads_right(&r);
		rig_run_until_clean(&r);
		assert_non_null(rig_slot_shard(&r, 0));
		rig_fini(&r);
	}
}

/* It would take the object for a new one, and make it so everywhere. */
static void a_write_to_a_part_keeps_the_rest_though_the_primary_lost_its_shard(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 2, LATE_MS);
	rig_shard_lose(&r, 0);
	forget_object(&r);
	uint32_t at = r.part - 4096;
	assert_int_equal(ask(&r, MSG_OBJ_WRITE, at, 4096), RES_OK);
	memset(r.before[0] + at, 0x5a, 4096);
	rig_run_until_clean(&r);
	for (uint32_t slot = 0; slot < 3; slot++) {
		rig_shard_bytes(&r, slot, r.before[1]);
		assert_memory_equal(r.before[1], r.before[0], r.part);
	}
	rig_fini(&r);
}

/* The check that the doubt leads to drops what is left of a deleted object, and the answer stands. */
static void a_left_over_does_not_bring_a_deleted_object_back(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 3, LATE_MS);
	for (uint32_t slot = 0; slot < 4; slot++)
		if (slot != 2)
			rig_shard_lose(&r, slot);
	struct pg *pg;
	primary_of(&r, &pg);
	while (pg->requests_count) { /* nobody remembers the last change */
		const struct done_req *d = list_item(pg->requests_order.next, struct done_req, order);
		pg_remove_request(pg, d->e.version, d->e.oid);
	}
	forget_object(&r);
	/* Three say no, one says yes: for one of four that is lost or three, nobody can tell. */
	assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 4096), RES_IO);
	assert_non_null(rig_slot_shard(&r, 2));
	rig_fini(&r);

	r = (struct rig){0};
	rig_init(&r, 4, 2, LATE_MS);
	for (uint32_t slot = 0; slot < 6; slot++)
		if (slot != 5)
			rig_shard_lose(&r, slot);
	forget_object(&r);
	assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 4096), RES_OK);
	assert_null(rig_slot_shard(&r, 5));
	rig_fini(&r);
}

/* A disk that acknowledged a write and has the version before it, whole and with its checksums. */
static void a_shard_of_an_older_version_is_not_read_beside_newer_ones(void **state)
{
	for (uint32_t stale = 0; stale < 5; stale++) {
		struct content before = {0};
		struct rig r = {0};

		rig_init(&r, 4, 2, LATE_MS);
		content_copy(&before, &rig_slot_shard(&r, stale)->committed.content);
		assert_int_equal(ask(&r, MSG_OBJ_WRITE, 0, 1 << 20), RES_OK);
		rig_run_until_clean(&r);
		uint8_t *written = xmalloc(r.part);
		rig_shard_bytes(&r, stale, written);

		struct shard *s = rig_slot_shard(&r, stale);
		s->committed.version = r.version;
		content_fini(&s->committed.content);
		s->committed.content = before;
		if (stale == 4) /* parity: it is read to make up for a part that is lost */
			rig_shard_lose(&r, 1);
		assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 1 << 20), RES_OK);
		rig_run_until_clean(&r);
		rig_shard_bytes(&r, stale, r.before[stale]);
		assert_memory_equal(r.before[stale], written, r.part);
		free(written);
		rig_fini(&r);
	}
}

static void disks_fill(struct rig *r, bool full)
{
	for (uint32_t i = 0; i < RIG_NODES; i++)
		for (uint32_t d = 0; d < r->w->nodes[i]->info.disk_count; d++)
			r->w->nodes[i]->disks[d].limit_bytes = full;
}

/* The nodes of slots 0 and 1 never come back; others take their places, and the operator says so. */
static void two_slots_lost(struct rig *r)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;
	uint64_t slots[MAX_SHARDS];

	place_pg(sim_member_map(r->w), r->pool, r->object->pg, slots);
	for (uint32_t i = 0; i < 2; i++)
		sim_node_lose(r->w, sim_node_by_id(r->w, map_find_disk(sim_member_map(r->w),
		                                                       slots[i])->node));
	world_run_until(r->w, r->w->now_us + 20 * SIM_SECOND);
	ask.verb = SF__ADMIN_REQUEST__VERB__LOST;
	ask.disks = slots;
	ask.n_disks = 2;
	ask.epoch = sim_member_map(r->w)->epoch;
	fault_ask(r->w, &ask);
	world_run_until(r->w, r->w->now_us + 20 * SIM_SECOND);
	assert_false(r->w->failed);
}

static void a_lost_object_stays_lost_until_it_is_replaced(void **state)
{
	struct rig r = {0};

	rig_init(&r, 2, 1, LATE_MS);
	two_slots_lost(&r);
	assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 1 << 20), RES_LOST);
	assert_int_equal(ask(&r, MSG_OBJ_WRITE, 0, 4096), RES_LOST);
	/* A replacement that fails for want of room leaves it lost, not empty. */
	disks_fill(&r, true);
	assert_int_equal(ask(&r, MSG_OBJ_WRITE, 0, 1 << 20), RES_NOSPACE);
	assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 4096), RES_LOST);
	disks_fill(&r, false);
	assert_int_equal(ask(&r, MSG_OBJ_WRITE, 0, 1 << 20), RES_OK);
	assert_int_equal(ask(&r, MSG_OBJ_READ, 0, 4096), RES_OK);
	world_run_until(r.w, r.w->now_us + SIM_SECOND); /* until it is committed everywhere */
	for (uint32_t slot = 0; slot < 2; slot++) {
		rig_shard_bytes(&r, slot, r.before[slot]);
		for (uint32_t i = 0; i < r.part; i++)
			assert_int_equal(r.before[slot][i], 0x5a);
	}
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_that_lost_its_shard_does_not_make_the_object_absent),
		cmocka_unit_test(a_write_to_a_part_keeps_the_rest_though_the_primary_lost_its_shard),
		cmocka_unit_test(a_left_over_does_not_bring_a_deleted_object_back),
		cmocka_unit_test(a_shard_of_an_older_version_is_not_read_beside_newer_ones),
		cmocka_unit_test(a_lost_object_stays_lost_until_it_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

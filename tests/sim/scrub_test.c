/* SPDX-License-Identifier: Apache-2.0 */

/* The scrub against disks that changed behind the stores' backs, in a cluster that is otherwise
 * well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "sheep/core/core.h"
#include "tests/sim/rig.h"
#include "tests/sim/sim_node.h"

/* Long enough for every PG to be scrubbed once more, and repaired. */
static void run_scrub(struct rig *r)
{
	world_run_until(r->w, r->w->now_us + 3 * RIG_SCRUB_MS * SIM_MS);
}

static struct scrub_stat sum(const struct rig *r)
{
	struct scrub_stat all = {0};

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		const struct scrub_stat *s = scrub_stat(r->w->nodes[i]->core);
		all.objects += s->objects;
		all.missing += s->missing;
		all.damaged += s->damaged;
		all.stale += s->stale;
		all.leftover += s->leftover;
		all.wrong += s->wrong;
		all.repaired += s->repaired;
	}
	return all;
}

static uint32_t undecided(const struct rig *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < RIG_NODES; i++)
		count += r->w->nodes[i]->core->contradiction_count;
	return count;
}

static void expect_as_before(const struct rig *r)
{
	uint8_t *now = xmalloc(r->part);

	for (uint32_t i = 0; i < r->pool->k + r->pool->m; i++) {
		rig_shard_bytes(r, i, now);
		assert_memory_equal(now, r->before[i], r->part);
		assert_int_equal(rig_slot_shard(r, i)->committed.version, r->version);
	}
	free(now);
}

/* Its bytes are others, and the checksums fit them. */
static void shard_falsify(struct rig *r, uint32_t slot)
{
	static const uint8_t flip[16] = {1, 2, 4, 8};

	content_xor(&rig_slot_shard(r, slot)->committed.content, 64, flip, sizeof(flip));
}

static void shard_age(struct rig *r, uint32_t slot)
{
	shard_falsify(r, slot);
	rig_slot_shard(r, slot)->committed.version = version_make(0, 1);
}

static void a_scrub_of_what_is_well_finds_nothing(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2, RIG_SCRUB_MS);
	run_scrub(&r);
	struct scrub_stat s = sum(&r);
	assert_true(s.objects > 0);
	assert_int_equal(s.missing + s.damaged + s.stale + s.leftover + s.wrong + s.repaired, 0);
	assert_int_equal(undecided(&r), 0);
	expect_as_before(&r);
	rig_run_until_clean(&r);
	rig_fini(&r);
}

static void missing_old_and_rotten_shards_are_rebuilt(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2, RIG_SCRUB_MS);
	for (uint32_t slot = 0; slot < 6; slot++) { /* the primary's own too */
		struct scrub_stat old = sum(&r);
		uint32_t other = (slot + 3) % 6;
		rig_shard_lose(&r, slot);
		shard_age(&r, other);
		run_scrub(&r);
		struct scrub_stat s = sum(&r);
		assert_int_equal(s.missing, old.missing + 1);
		assert_int_equal(s.stale, old.stale + 1);
		assert_int_equal(s.repaired, old.repaired + 2);
		expect_as_before(&r);
		rig_slot_shard(&r, slot)->committed.rotten = true;
		run_scrub(&r);
		assert_int_equal(sum(&r).damaged, old.damaged + 1);
		expect_as_before(&r);
	}
	rig_run_until_clean(&r);
	rig_fini(&r);
}

static void the_one_wrong_shard_is_singled_out_and_rebuilt(void **state)
{
	static const uint32_t kinds[][2] = {{4, 2}, {2, 2}, {1, 2}, {4, 3}};

	for (uint32_t i = 0; i < 4; i++) {
		struct rig r = {0};

		rig_init(&r, kinds[i][0], kinds[i][1], RIG_SCRUB_MS);
		for (uint32_t slot = 0; slot < r.pool->k + r.pool->m; slot++) {
			shard_falsify(&r, slot);
			run_scrub(&r);
			assert_int_equal(sum(&r).wrong, slot + 1);
			assert_int_equal(sum(&r).repaired, slot + 1);
			assert_int_equal(undecided(&r), 0);
			expect_as_before(&r);
		}
		rig_run_until_clean(&r);
		rig_fini(&r);
	}
}

/* And nothing is written: any of them may be the good one. */
static void contradictions_nobody_can_solve_are_told_and_left_alone(void **state)
{
	static const uint32_t kinds[][2] = {{2, 1}, {1, 1}, {4, 2}};

	for (uint32_t i = 0; i < 3; i++) {
		struct rig r = {0};
		uint32_t wrong = i == 2 ? 2 : 1;

		rig_init(&r, kinds[i][0], kinds[i][1], RIG_SCRUB_MS);
		for (uint32_t slot = 0; slot < wrong; slot++) {
			shard_falsify(&r, slot);
			rig_shard_bytes(&r, slot, r.before[slot]);
		}
		run_scrub(&r);
		assert_int_equal(undecided(&r), 1);
		assert_int_equal(sum(&r).repaired, 0);
		expect_as_before(&r);
		/* It is forgotten once the shards agree again. */
		for (uint32_t slot = 0; slot < wrong; slot++)
			shard_falsify(&r, slot);
		run_scrub(&r);
		assert_int_equal(undecided(&r), 0);
		rig_fini(&r);
	}
}

/* Two faults at once, and the parts that are left disagree: rebuilding from them would make it
 * final. */
static void nothing_is_rebuilt_from_shards_that_disagree(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2, RIG_SCRUB_MS);
	shard_falsify(&r, 3);
	rig_shard_lose(&r, 0);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 1);
	assert_int_equal(sum(&r).repaired, 0);
	assert_null(rig_slot_shard(&r, 0));
	rig_fini(&r);

	r = (struct rig){0};
	rig_init(&r, 4, 3, RIG_SCRUB_MS); /* one more, and it can be told */
	shard_falsify(&r, 3);
	rig_shard_lose(&r, 0);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 0);
	assert_int_equal(sum(&r).wrong, 1);
	assert_int_equal(sum(&r).missing, 1);
	expect_as_before(&r);
	rig_run_until_clean(&r);
	rig_fini(&r);
}

/* An object that one slot alone has, though all others had it deleted long ago. */
static void leftovers_of_deleted_objects_are_dropped(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2, RIG_SCRUB_MS);
	uint64_t oid = r.object->oid;
	for (uint32_t slot = 0; slot < 6; slot++)
		if (slot != 3)
			rig_shard_lose(&r, slot);
	run_scrub(&r);
	assert_int_equal(sum(&r).leftover, 1);
	assert_int_equal(sum(&r).repaired, 1);
	assert_null(disk_pg_find(rig_slot_pg(&r, 3), oid, 3));
	rig_run_until_clean(&r);
	rig_fini(&r);
}

/* Two copies of three say that it is not there: too few to drop the third, too many to believe it.
 * */
static void a_lone_copy_is_neither_dropped_nor_spread(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 2, RIG_SCRUB_MS);
	/* As after a long time: nobody remembers the last change. */
	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct pg *pg = node_find_pg(r.w->nodes[i]->core, r.object->pool, r.object->pg);
		while (pg && pg->requests_count) {
			const struct done_req *d =
				list_item(pg->requests_order.next, struct done_req, order);
			pg_remove_request(pg, d->e.version, d->e.oid);
		}
	}
	rig_shard_lose(&r, 0);
	rig_shard_lose(&r, 2);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 1);
	assert_non_null(rig_slot_shard(&r, 1));
	assert_null(rig_slot_shard(&r, 0));
	rig_fini(&r);
}

/* The last change that is remembered may have been a write that only a damaged slot has. */
static void a_remembered_write_is_not_taken_for_a_delete(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 2, RIG_SCRUB_MS);
	rig_slot_shard(&r, 0)->committed.rotten = true;
	shard_age(&r, 1);
	rig_shard_lose(&r, 2);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 1);
	assert_int_equal(sum(&r).leftover, 0);
	assert_non_null(rig_slot_shard(&r, 0));
	assert_non_null(rig_slot_shard(&r, 1));
	rig_fini(&r);
}

/* Its new primary finds its own. */
static void what_a_primary_found_goes_with_the_placement_group(void **state)
{
	struct rig r = {0};
	uint32_t first = RIG_NODES;

	rig_init(&r, 2, 1, RIG_SCRUB_MS);
	shard_falsify(&r, 1);
	run_scrub(&r);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		if (r.w->nodes[i]->core->contradiction_count)
			first = i;
	assert_true(first < RIG_NODES);
	sim_node_fail_disk(r.w, first, 0);
	world_run_until(r.w, r.w->now_us + 2 * SIM_SECOND);
	assert_false(r.w->failed);
	assert_int_equal(r.w->nodes[first]->core->contradiction_count, 0);
	rig_fini(&r);
}

static void shards_of_another_slot_are_dropped(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2, RIG_SCRUB_MS);
	struct msg push = {.oid = r.object->oid,
	                   .shard = 5,
	                   .version = r.version,
	                   .shard_flags = SHARD_REPLACE};
	assert_int_equal(disk_pg_push(rig_slot_pg(&r, 2), &push, false), RES_OK);
	run_scrub(&r);
	assert_int_equal(sum(&r).leftover, 1);
	assert_null(disk_pg_find(rig_slot_pg(&r, 2), r.object->oid, 5));
	expect_as_before(&r);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scrub_of_what_is_well_finds_nothing),
		cmocka_unit_test(missing_old_and_rotten_shards_are_rebuilt),
		cmocka_unit_test(the_one_wrong_shard_is_singled_out_and_rebuilt),
		cmocka_unit_test(contradictions_nobody_can_solve_are_told_and_left_alone),
		cmocka_unit_test(nothing_is_rebuilt_from_shards_that_disagree),
		cmocka_unit_test(leftovers_of_deleted_objects_are_dropped),
		cmocka_unit_test(a_lone_copy_is_neither_dropped_nor_spread),
		cmocka_unit_test(a_remembered_write_is_not_taken_for_a_delete),
		cmocka_unit_test(what_a_primary_found_goes_with_the_placement_group),
		cmocka_unit_test(shards_of_another_slot_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

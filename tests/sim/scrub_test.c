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
#include "lib/place/place.h"
#include "sheep/core/core.h"
#include "tests/sim/check.h"
#include "tests/sim/disk_pg.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

enum { NODES = 8, OBJECTS = 12, OPERATIONS = 150, SCRUB_MS = 5000 };

struct rig {
	struct world *w;
	const struct sim_object *object; /* one with data in the data pool */
	const struct map_pool *pool;
	uint64_t version;
	uint8_t *before[MAX_SHARDS]; /* its shards */
	uint32_t part;
};

static bool clients_idle(const struct world *w)
{
	for (uint32_t i = 0; i < w->client_count; i++)
		if (!sim_client_idle(w, i))
			return false;
	return true;
}

static bool is_clean(struct world *w)
{
	char why[CHECK_WHY_LEN];

	return clients_idle(w) && sim_nodes_at_rest(w) && !check_clean(w, why);
}

static void run_until_clean(struct world *w)
{
	for (uint32_t i = 0; i < 1200 && !w->failed && !is_clean(w); i++)
		world_run_until(w, w->now_us + 100 * SIM_MS);
	if (w->failed)
		print_error("%s\n", w->failure);
	assert_false(w->failed);
	assert_true(is_clean(w));
}

/* The disk of a slot. */
static struct sim_disk *slot_disk(const struct rig *r, uint32_t slot)
{
	uint64_t disks[MAX_SHARDS];

	place_pg(sim_member_map(r->w), r->pool, r->object->pg, disks);
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t d = 0; d < r->w->nodes[i]->info.disk_count; d++)
			if (r->w->nodes[i]->disks[d].id == disks[slot])
				return &r->w->nodes[i]->disks[d];
	fail_msg("no disk in slot %u", slot);
	return NULL;
}

static struct disk_pg *slot_pg(const struct rig *r, uint32_t slot)
{
	return sim_disk_pg(slot_disk(r, slot), r->object->pool, r->object->pg);
}

static struct shard *slot_shard(const struct rig *r, uint32_t slot)
{
	struct disk_pg *pg = slot_pg(r, slot);

	return pg ? disk_pg_find(pg, r->object->oid, slot) : NULL;
}

static bool object_chosen(struct rig *r)
{
	for (uint32_t i = 0; i < r->w->workload->object_count; i++) {
		r->object = &r->w->workload->objects[i];
		if (r->object->pool != r->pool->id)
			continue;
		struct shard *s = slot_shard(r, 0);
		if (s && !s->committed.tombstone && content_end(&s->committed.content)) {
			r->version = s->committed.version;
			return true;
		}
	}
	return false;
}

static void shard_bytes(const struct rig *r, uint32_t slot, uint8_t *bytes)
{
	const struct shard *s = slot_shard(r, slot);

	assert_non_null(s);
	content_read(&s->committed.content, 0, bytes, r->part);
}

/* A cluster at rest, with the scrub on and objects in it. */
static void rig_init(struct rig *r, uint32_t k, uint32_t m)
{
	struct sim_format format = {.k = k, .m = m, .object_shift = 20, .grace_ms = 5000};
	struct world *w = r->w = world_create(k * 100 + m, false, NULL);

	w->net = sim_net_create(w);
	w->member = sim_member_create(w);
	w->profile = (struct sim_profile){.delay_min_us = 50,
	                                  .delay_max_us = 500,
	                                  .slow_max_us = 1000,
	                                  .fifo = true,
	                                  .disk_min_us = 20,
	                                  .disk_max_us = 100,
	                                  .sync_us = 100,
	                                  .ping_ms = 300,
	                                  .lease_ms = 1000,
	                                  .session_ms = 2000,
	                                  .notify_max_us = 1000,
	                                  .compute_max_us = 100,
	                                  .scrub_ms = SCRUB_MS};
	w->node_count = NODES;
	for (uint32_t i = 0; i < NODES; i++)
		sim_node_create(w, i, 1, i);
	sim_member_set_pg_count(w, 4);
	w->client_count = 2;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_create(w, i);
	for (uint32_t i = 0; i < NODES; i++)
		sim_node_start(w, i);
	sim_client_format(w, 0, &format);
	while (!w->failed && !sim_member_map(w))
		world_run_until(w, w->now_us + 50 * SIM_MS);
	assert_false(w->failed);
	workload_create(w, sim_member_map(w), OBJECTS);
	w->workload->ops_left = OPERATIONS;
	w->workload->pause_max_us = 1000;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	while (!w->failed && (w->workload->ops_left || !clients_idle(w)))
		world_run_until(w, w->now_us + 100 * SIM_MS);
	run_until_clean(w);
	r->pool = map_find_pool(sim_member_map(w), POOL_DATA);
	r->part = ec_part_size(k, 1u << 20);
	assert_true(object_chosen(r));
	for (uint32_t i = 0; i < k + m; i++) {
		r->before[i] = xmalloc(r->part);
		shard_bytes(r, i, r->before[i]);
	}
}

static void rig_fini(struct rig *r)
{
	struct world *w = r->w;

	world_clear(w);
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_destroy(w, i);
	for (uint32_t i = 0; i < w->node_count; i++)
		sim_node_destroy(w, i);
	workload_destroy(w);
	sim_member_destroy(w->member);
	sim_net_destroy(w->net);
	world_destroy(w);
	for (uint32_t i = 0; i < MAX_SHARDS; i++)
		free(r->before[i]);
}

/* Long enough for every PG to be scrubbed once more, and repaired. */
static void run_scrub(struct rig *r)
{
	world_run_until(r->w, r->w->now_us + 3 * SCRUB_MS * SIM_MS);
}

static struct scrub_stat sum(const struct rig *r)
{
	struct scrub_stat all = {0};

	for (uint32_t i = 0; i < NODES; i++) {
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

	for (uint32_t i = 0; i < NODES; i++)
		count += r->w->nodes[i]->core->contradiction_count;
	return count;
}

static void expect_as_before(const struct rig *r)
{
	uint8_t *now = xmalloc(r->part);

	for (uint32_t i = 0; i < r->pool->k + r->pool->m; i++) {
		shard_bytes(r, i, now);
		assert_memory_equal(now, r->before[i], r->part);
		assert_int_equal(slot_shard(r, i)->committed.version, r->version);
	}
	free(now);
}

static void shard_lose(struct rig *r, uint32_t slot)
{
	struct msg remove = {.oid = r->object->oid, .shard = slot, .version = UINT64_MAX};

	disk_pg_remove(slot_pg(r, slot), &remove);
	assert_null(slot_shard(r, slot));
}

/* Its bytes are others, and the checksums fit them. */
static void shard_falsify(struct rig *r, uint32_t slot)
{
	static const uint8_t flip[16] = {1, 2, 4, 8};

	content_xor(&slot_shard(r, slot)->committed.content, 64, flip, sizeof(flip));
}

static void shard_age(struct rig *r, uint32_t slot)
{
	shard_falsify(r, slot);
	slot_shard(r, slot)->committed.version = version_make(0, 1);
}

static void a_scrub_of_what_is_well_finds_nothing(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2);
	run_scrub(&r);
	struct scrub_stat s = sum(&r);
	assert_true(s.objects > 0);
	assert_int_equal(s.missing + s.damaged + s.stale + s.leftover + s.wrong + s.repaired, 0);
	assert_int_equal(undecided(&r), 0);
	expect_as_before(&r);
	run_until_clean(r.w);
	rig_fini(&r);
}

static void missing_old_and_rotten_shards_are_rebuilt(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2);
	for (uint32_t slot = 0; slot < 6; slot++) { /* the primary's own too */
		struct scrub_stat old = sum(&r);
		uint32_t other = (slot + 3) % 6;
		shard_lose(&r, slot);
		shard_age(&r, other);
		run_scrub(&r);
		struct scrub_stat s = sum(&r);
		assert_int_equal(s.missing, old.missing + 1);
		assert_int_equal(s.stale, old.stale + 1);
		assert_int_equal(s.repaired, old.repaired + 2);
		expect_as_before(&r);
		slot_shard(&r, slot)->committed.rotten = true;
		run_scrub(&r);
		assert_int_equal(sum(&r).damaged, old.damaged + 1);
		expect_as_before(&r);
	}
	run_until_clean(r.w);
	rig_fini(&r);
}

static void the_one_wrong_shard_is_singled_out_and_rebuilt(void **state)
{
	static const uint32_t kinds[][2] = {{4, 2}, {2, 2}, {1, 2}, {4, 3}};

	for (uint32_t i = 0; i < 4; i++) {
		struct rig r = {0};

		rig_init(&r, kinds[i][0], kinds[i][1]);
		for (uint32_t slot = 0; slot < r.pool->k + r.pool->m; slot++) {
			shard_falsify(&r, slot);
			run_scrub(&r);
			assert_int_equal(sum(&r).wrong, slot + 1);
			assert_int_equal(sum(&r).repaired, slot + 1);
			assert_int_equal(undecided(&r), 0);
			expect_as_before(&r);
		}
		run_until_clean(r.w);
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

		rig_init(&r, kinds[i][0], kinds[i][1]);
		for (uint32_t slot = 0; slot < wrong; slot++) {
			shard_falsify(&r, slot);
			shard_bytes(&r, slot, r.before[slot]);
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

	rig_init(&r, 4, 2);
	shard_falsify(&r, 3);
	shard_lose(&r, 0);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 1);
	assert_int_equal(sum(&r).repaired, 0);
	assert_null(slot_shard(&r, 0));
	rig_fini(&r);

	r = (struct rig){0};
	rig_init(&r, 4, 3); /* one more, and it can be told */
	shard_falsify(&r, 3);
	shard_lose(&r, 0);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 0);
	assert_int_equal(sum(&r).wrong, 1);
	assert_int_equal(sum(&r).missing, 1);
	expect_as_before(&r);
	run_until_clean(r.w);
	rig_fini(&r);
}

/* An object that one slot alone has, though all others had it deleted long ago. */
static void leftovers_of_deleted_objects_are_dropped(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2);
	uint64_t oid = r.object->oid;
	for (uint32_t slot = 0; slot < 6; slot++)
		if (slot != 3)
			shard_lose(&r, slot);
	run_scrub(&r);
	assert_int_equal(sum(&r).leftover, 1);
	assert_int_equal(sum(&r).repaired, 1);
	assert_null(disk_pg_find(slot_pg(&r, 3), oid, 3));
	run_until_clean(r.w);
	rig_fini(&r);
}

/* Two copies of three say that it is not there: too few to drop the third, too many to believe it.
 * */
static void a_lone_copy_is_neither_dropped_nor_spread(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 2);
	/* As after a long time: nobody remembers the last change. */
	for (uint32_t i = 0; i < NODES; i++) {
		struct pg *pg = node_find_pg(r.w->nodes[i]->core, r.object->pool, r.object->pg);
		while (pg && pg->requests_count) {
			const struct done_req *d =
				list_item(pg->requests_order.next, struct done_req, order);
			pg_remove_request(pg, d->e.version, d->e.oid);
		}
	}
	shard_lose(&r, 0);
	shard_lose(&r, 2);
	run_scrub(&r);
	assert_int_equal(undecided(&r), 1);
	assert_non_null(slot_shard(&r, 1));
	assert_null(slot_shard(&r, 0));
	rig_fini(&r);
}

static void shards_of_another_slot_are_dropped(void **state)
{
	struct rig r = {0};

	rig_init(&r, 4, 2);
	struct msg push = {.oid = r.object->oid,
	                   .shard = 5,
	                   .version = r.version,
	                   .shard_flags = SHARD_REPLACE};
	assert_int_equal(disk_pg_push(slot_pg(&r, 2), &push, false), RES_OK);
	run_scrub(&r);
	assert_int_equal(sum(&r).leftover, 1);
	assert_null(disk_pg_find(slot_pg(&r, 2), r.object->oid, 5));
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
		cmocka_unit_test(shards_of_another_slot_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/workload.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/place.h"

/* One of those that are not of inodes. */
static uint32_t pool_draw(struct world *w, const struct map *map)
{
	uint32_t pool;

	do
		pool = map->pools[draw_below(w, map->pool_count)].id;
	while (pool == POOL_META);
	return pool;
}

void workload_create(struct world *w, const struct map *map, uint32_t objects)
{
	struct workload *load = xcalloc(1, sizeof(*load));
	uint64_t volume = draw_between(w, 1, 0xffffff) << 32;

	assert(objects <= SIM_MAX_OBJECTS);
	for (uint32_t i = 0; i < objects; i++) {
		struct sim_object *o = &load->objects[i];
		const struct map_pool *pool;

		o->pool = draw_below(w, 3) ? pool_draw(w, map) : POOL_META;
		o->oid = o->pool == POOL_META ? 8ull << 60 | (volume + ((uint64_t)i << 32))
		                              : volume | i;
		pool = map_find_pool(map, o->pool);
		o->pg = place_pg_of(pool, o->oid);
		o->begin_only = pool->k == 1 && draw_below(w, 8);
		cells_draw(&o->cells, &w->prng, pool->k,
		           o->begin_only ? 1u << 17 : 1u << pool->object_shift);
	}
	load->object_count = objects;
	for (uint32_t i = 0; i < SIM_MAX_CLIENTS; i++)
		load->reader_ppm[i] = draw_below(w, 3) ? 0 : 900000;
	load->sleep_ppm = draw_below(w, 2) ? 0 : 30000;
	load->check_ppm = draw_below(w, 2) ? 0 : draw_below(w, 60000);
	w->workload = load;
}

void workload_destroy(struct world *w)
{
	if (!w->workload)
		return;
	history_fini(&w->workload->history);
	free(w->workload);
	w->workload = NULL;
}

const struct sim_object *workload_object(const struct world *w, const struct op_record *op)
{
	return &w->workload->objects[op->object];
}

uint64_t workload_pause_us(struct world *w)
{
	const struct workload *load = w->workload;

	if (load->final || load->scrub)
		return 0;
	/* Who sleeps has an old map when it wakes, and trusts it. */
	return draw_skewed(w, 0, load->pause_max_us) +
	       (draw_chance(w, load->sleep_ppm) ? draw_below(w, 7 * SIM_SECOND) : 0);
}

static enum op_type type_draw(struct world *w, uint32_t client)
{
	uint32_t r = draw_below(w, 100);

	if (draw_chance(w, w->workload->reader_ppm[client]))
		return OP_READ;
	if (draw_chance(w, w->workload->check_ppm))
		return draw_below(w, 3) ? OP_CHECK : OP_LIST;
	if (r < 38)
		return w->workload->swaps && draw_below(w, 2) ? OP_SWAP : OP_WRITE;
	if (r < 76)
		return OP_READ;
	if (r < 83)
		return OP_ZERO;
	if (r < 91)
		return OP_DELETE;
	return r < 96 ? OP_CREATE : OP_STAT;
}

/* One to some neighbours, without gaps. */
static void cells_choose(struct world *w, const struct cells *c, struct op_record *op)
{
	uint32_t longest = draw_between(w, 1, 4);

	do
		op->first = draw_below(w, c->count);
	while (cell_is_gap(c, op->first));
	op->count = 1;
	while (op->count < longest && op->first + op->count < c->count &&
	       !cell_is_gap(c, op->first + op->count))
		op->count++;
}

static void op_draw(struct world *w, uint32_t client, struct op_record *op)
{
	const struct workload *load = w->workload;
	const struct cells *c;

	op->type = type_draw(w, client);
	op->object = draw_below(w, load->object_count);
	c = &load->objects[op->object].cells;
	if (op->type == OP_STAT || op->type == OP_DELETE || op->type == OP_CHECK ||
	    op->type == OP_LIST ||
	    (!load->objects[op->object].begin_only && draw_chance(w, load->big_ppm)))
		op->count = c->count;
	else
		cells_choose(w, c, op);
}

uint32_t workload_begin(struct world *w, uint32_t client)
{
	struct workload *load = w->workload;
	struct op_record *op;

	bool asked = load && (load->final || load->scrub);

	if (!load || (asked ? load->final_next == load->object_count : load->ops_left == 0))
		return UINT32_MAX;
	op = history_add(&load->history);
	if (asked) {
		op->type = load->scrub ? OP_CHECK : OP_READ;
		op->object = load->final_next++;
		op->count = load->objects[op->object].cells.count;
	} else {
		load->ops_left--;
		op_draw(w, client, op);
	}
	op->client = client;
	op->pool = load->objects[op->object].pool;
	op->pg = load->objects[op->object].pg;
	op->stamp = op->type == OP_WRITE || op->type == OP_CREATE || op->type == OP_SWAP
	                    ? ++load->last_stamp
	                    : 0;
	op->began = ++w->moment;
	return load->history.count - 1;
}

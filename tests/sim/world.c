/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

struct world_item {
	uint64_t at_us, sequence;
	world_run *run;
	void *arg;
	void (*drop)(void *arg);
};

struct world *world_create(uint64_t seed, bool trace, struct buf_pool *pool)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->seed = seed;
	w->trace = trace;
	w->trace_hash = hash64(seed);
	prng_init(&w->prng, seed);
	w->pool = pool ? pool : buf_pool_create(4 << 20);
	w->pool_borrowed = pool;
	return w;
}

void world_destroy(struct world *w)
{
	assert(w->queue_count == 0);
	free(w->queue);
	if (!w->pool_borrowed)
		buf_pool_destroy(w->pool);
	free(w);
}

static bool item_before(const struct world_item *a, const struct world_item *b)
{
	return a->at_us < b->at_us || (a->at_us == b->at_us && a->sequence < b->sequence);
}

void world_after(struct world *w, uint64_t delay_us, world_run *run, void *arg,
                 void (*drop)(void *arg))
{
	struct world_item item = {w->now_us + delay_us, w->sequence++, run, arg, drop};
	uint32_t i = w->queue_count;

	if (w->queue_count == w->queue_capacity) {
		w->queue_capacity = MAX(256u, w->queue_capacity * 2);
		w->queue = xrealloc(w->queue, w->queue_capacity * sizeof(item));
	}
	w->queue_count++;
	while (i > 0 && item_before(&item, &w->queue[(i - 1) / 2])) {
		w->queue[i] = w->queue[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->queue[i] = item;
}

static struct world_item queue_pop(struct world *w)
{
	struct world_item first = w->queue[0], last = w->queue[--w->queue_count];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child >= w->queue_count)
			break;
		if (child + 1 < w->queue_count &&
		    item_before(&w->queue[child + 1], &w->queue[child]))
			child++;
		if (!item_before(&w->queue[child], &last))
			break;
		w->queue[i] = w->queue[child];
		i = child;
	}
	if (w->queue_count > 0)
		w->queue[i] = last;
	return first;
}

void world_clear(struct world *w)
{
	for (uint32_t i = 0; i < w->queue_count; i++)
		if (w->queue[i].drop)
			w->queue[i].drop(w->queue[i].arg);
	w->queue_count = 0;
}

bool world_step(struct world *w)
{
	struct world_item item;

	if (w->failed || w->queue_count == 0)
		return false;
	item = queue_pop(w);
	w->now_us = item.at_us;
	w->stats.events++;
	world_note(w, item.at_us, item.sequence, 0);
	item.run(w, item.arg);
	return !w->failed;
}

void world_run_until(struct world *w, uint64_t until_us)
{
	while (w->queue_count > 0 && w->queue[0].at_us <= until_us)
		if (!world_step(w))
			return;
	w->now_us = MAX(w->now_us, until_us);
}

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
	va_end(ap);
	world_trace(w, "FAILED: %s", w->failure);
}

void world_note(struct world *w, uint64_t a, uint64_t b, uint64_t c)
{
	w->trace_hash = hash64(w->trace_hash ^ a) + hash64(b + 1) * 3 + hash64(c + 2) * 5;
}

void world_print(struct world *w, const char *fmt, ...)
{
	va_list ap;

	printf("%4u.%06u ", (unsigned)(w->now_us / SIM_SECOND), (unsigned)(w->now_us % SIM_SECOND));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

uint64_t draw_below(struct world *w, uint64_t limit)
{
	return prng_below(&w->prng, limit);
}

uint64_t draw_between(struct world *w, uint64_t low, uint64_t high)
{
	assert(low <= high);
	return low + prng_below(&w->prng, high - low + 1);
}

bool draw_chance(struct world *w, uint32_t ppm)
{
	return ppm > 0 && prng_below(&w->prng, 1000000) < ppm;
}

uint64_t draw_skewed(struct world *w, uint64_t low, uint64_t high)
{
	uint64_t span = high - low;

	for (uint32_t i = draw_below(w, 4); i > 0; i--)
		span /= 3;
	return draw_between(w, low, low + span);
}

uint64_t draw_id(struct world *w)
{
	uint64_t id;

	do
		id = prng_next(&w->prng);
	while (id == 0);
	return id;
}

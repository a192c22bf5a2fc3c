/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/place/place_plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "lib/place/place.h"
#include "lib/place/place_score.h"

/*
 * How a PG finds its disks.
 *
 * Every (slot, disk) pair has a score, an exponentially distributed number whose rate is the disk's
 * weight, from a hash of (pool, PG, disk, slot): it never depends on which other disks exist. A slot
 * prefers low scores, and of two slots that want the same domain (zone or node) the lower score has it.
 * Since both sides rank by the same numbers, the outcome of deferred acceptance is the greedy one: go
 * through all pairs from the lowest score up, and let a pair match if its slot is still free and its
 * domain not yet full. What a domain scores is thus the best of its disks' scores, which makes it win in
 * proportion to the sum of their weights, and makes a lost disk's slots fall to disks everywhere, while
 * nearly all others stay.
 *
 * So that not all pairs have to be scored: the lowest of a disk's n scores is exponential with n times
 * the rate and falls on any slot alike; the next one follows after a time that is exponential with n - 1
 * times the rate, on any other slot; and so on. One hash per (PG, disk) thus tells whether any of its
 * scores is below a horizon. Only those few disks, the callers, enter a heap, from which scores come in
 * order, one slot at a time. When the heap has nothing left below the horizon and slots are still
 * free, the PG starts again with a wider one.
 */

enum { NO_CANDIDATE = UINT32_MAX, HORIZON_STEP = 4 };

struct call {
	uint64_t score; /* of the disk's current slot */
	uint64_t hash;
	uint64_t visited; /* slots called so far, one bit each */
	uint32_t candidate;
	uint32_t calls; /* how many bits that is */
};

struct place_plan {
	const struct map *map;
	uint32_t pool, slots;
	uint32_t fillable;   /* slots that can be filled at all */
	uint32_t domain_cap; /* slots one domain may hold */
	uint64_t pool_key;

	/* Usable disks in the order of their ids. */
	uint32_t count;
	uint64_t *ids, *keys;
	uint64_t *limits; /* first hash at most this: may score below the horizon */
	uint32_t *weights, *domains;
	uint64_t weight_sum;
	uint64_t horizon;

	/* Scratch of the PG in work. */
	uint8_t *domain_used; /* slots held, by domain; all 0 between PGs */
	struct call *heap;
	uint32_t heap_count;
	uint32_t slot_candidate[MAX_SHARDS];
};

static uint64_t mul_high(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* ---- preparation ---- */

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Which node, by position in the map, holds each candidate, and how many each node holds. */
static void plan_candidates(struct place_plan *plan, uint32_t *node_disks)
{
	const struct map *map = plan->map;

	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *disk = &map->disks[i];
		uint32_t c = plan->count;

		if (!map_disk_usable(map, disk))
			continue;
		plan->ids[c] = disk->id;
		plan->keys[c] = hash64(disk->id);
		plan->weights[c] = disk->weight;
		plan->domains[c] = map_find_node(map, disk->node) - map->nodes;
		plan->weight_sum += disk->weight;
		node_disks[plan->domains[c]]++;
		plan->count++;
	}
}

/* The zones of nodes with candidates, sorted, once each. */
static uint32_t plan_zones(const struct map *map, const uint32_t *node_disks, uint32_t *zones)
{
	uint32_t count = 0, unique = 0;

	for (uint32_t i = 0; i < map->node_count; i++) {
		if (node_disks[i])
			zones[count++] = map->nodes[i].zone;
	}
	qsort(zones, count, sizeof(*zones), compare_u32);
	for (uint32_t i = 0; i < count; i++) {
		if (i == 0 || zones[i] != zones[i - 1])
			zones[unique++] = zones[i];
	}
	return unique;
}

/* Slots that fit when no node may hold more than `cap`. */
static uint32_t node_capacity(const struct map *map, const uint32_t *node_disks, uint32_t cap)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < map->node_count; i++)
		sum += MIN(node_disks[i], cap);
	return sum;
}

/*
 * What slots must not share: zones if there are enough, else nodes; nodes are shared only if the pool
 * allows it, and then as evenly as they can, so that a lost node takes as few shards as possible.
 * Returns how many slots the domains could hold.
 */
static uint32_t plan_domains(struct place_plan *plan, const uint32_t *node_disks, bool same_node_ok)
{
	const struct map *map = plan->map;
	uint32_t *zones = xcalloc(map->node_count + 1, sizeof(*zones));
	uint32_t zone_count = plan_zones(map, node_disks, zones), room;

	plan->domain_cap = 1;
	if (zone_count >= plan->slots) {
		for (uint32_t c = 0; c < plan->count; c++) {
			uint32_t *zone = bsearch(&map->nodes[plan->domains[c]].zone, zones, zone_count,
						 sizeof(*zones), compare_u32);

			plan->domains[c] = zone - zones;
		}
		room = zone_count;
	} else {
		uint32_t want = MIN(plan->slots, plan->count);

		room = node_capacity(map, node_disks, 1);
		while (same_node_ok && room < want)
			room = node_capacity(map, node_disks, ++plan->domain_cap);
	}
	free(zones);
	return room;
}

/* The highest first hash that may score at most `horizon`: place_exp(x) is never below x, but for
 * rounding. */
static uint64_t hash_limit(const struct place_plan *plan, uint32_t candidate, uint64_t horizon)
{
	uint64_t rate = (uint64_t)plan->weights[candidate] * plan->slots;
	unsigned __int128 limit = ((unsigned __int128)horizon + 1) * rate + 8;

	limit <<= 64 - PLACE_EXP_FRACTION_BITS;
	return limit > UINT64_MAX ? UINT64_MAX : (uint64_t)limit;
}

/*
 * About twice the score at which the last slot is filled when all domains are alike: with s slots free
 * and d of D domains free, the next match takes 1 / (s * weight_sum * d / D) on average.
 */
static uint64_t horizon_of(const struct place_plan *plan, uint32_t room)
{
	uint64_t unit = ((uint64_t)1 << PLACE_EXP_FRACTION_BITS) / MAX(plan->weight_sum, 1u);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < plan->fillable; i++)
		sum += unit * room / ((uint64_t)(plan->slots - i) * (room - i));
	return 2 * sum + 1;
}

struct place_plan *place_plan_create(const struct map *map, const struct map_pool *pool)
{
	struct place_plan *plan = xcalloc(1, sizeof(*plan));
	uint32_t *node_disks = xcalloc(map->node_count + 1, sizeof(*node_disks));
	size_t disks = map->disk_count + (size_t)1;
	uint32_t room;

	plan->map = map;
	plan->pool = pool->id;
	plan->slots = pool->k + pool->m;
	plan->pool_key = hash64(pool->id);
	plan->ids = xcalloc(disks, sizeof(*plan->ids));
	plan->keys = xcalloc(disks, sizeof(*plan->keys));
	plan->limits = xcalloc(disks, sizeof(*plan->limits));
	plan->weights = xcalloc(disks, sizeof(*plan->weights));
	plan->domains = xcalloc(disks, sizeof(*plan->domains));
	plan->heap = xcalloc(disks, sizeof(*plan->heap));
	plan->domain_used = xcalloc(map->node_count + 1, sizeof(*plan->domain_used));

	plan_candidates(plan, node_disks);
	room = plan_domains(plan, node_disks, pool->same_node_ok);
	plan->fillable = MIN(plan->slots, room);
	plan->horizon = horizon_of(plan, room);
	for (uint32_t c = 0; c < plan->count; c++)
		plan->limits[c] = hash_limit(plan, c, plan->horizon);
	free(node_disks);
	return plan;
}

void place_plan_destroy(struct place_plan *plan)
{
	if (!plan)
		return;
	free(plan->ids);
	free(plan->keys);
	free(plan->limits);
	free(plan->weights);
	free(plan->domains);
	free(plan->heap);
	free(plan->domain_used);
	free(plan);
}

/* ---- the heap of callers, lowest score first; ties go to the lower disk id ---- */

static bool call_before(const struct call *a, const struct call *b)
{
	return a->score != b->score ? a->score < b->score : a->candidate < b->candidate;
}

static void heap_sink(struct place_plan *plan, uint32_t i)
{
	struct call item = plan->heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= plan->heap_count)
			break;
		if (child + 1 < plan->heap_count &&
		    call_before(&plan->heap[child + 1], &plan->heap[child]))
			child++;
		if (!call_before(&plan->heap[child], &item))
			break;
		plan->heap[i] = plan->heap[child];
		i = child;
	}
	plan->heap[i] = item;
}

static void heap_drop_first(struct place_plan *plan)
{
	plan->heap[0] = plan->heap[--plan->heap_count];
	if (plan->heap_count > 0)
		heap_sink(plan, 0);
}

/* ---- one PG ---- */

/* Moves on to the disk's next score: call->hash is fresh, the previous score (or 0) is in call->score. */
static void call_advance(const struct place_plan *plan, struct call *call)
{
	uint64_t left = plan->slots - call->calls;

	call->score += place_exp(call->hash) / (plan->weights[call->candidate] * left);
}

/* The slot that the current score belongs to: any of those not called yet. */
static uint32_t call_slot(const struct place_plan *plan, const struct call *call)
{
	uint32_t skip = mul_high(hash64(~call->hash), plan->slots - call->calls);
	uint64_t open = ~call->visited;

	while (skip-- > 0)
		open &= open - 1;
	return __builtin_ctzll(open);
}

/* Heaps all disks with a score up to the horizon (and perhaps a few more). */
static void collect(struct place_plan *plan, uint64_t pg_key, uint64_t horizon)
{
	bool prepared = horizon == plan->horizon;
	uint32_t count = 0;

	for (uint32_t c = 0; c < plan->count; c++) {
		uint64_t hash = hash64(pg_key ^ plan->keys[c]);

		if (hash > (prepared ? plan->limits[c] : hash_limit(plan, c, horizon)))
			continue;
		plan->heap[count] = (struct call){ .hash = hash, .candidate = c };
		call_advance(plan, &plan->heap[count++]);
	}
	plan->heap_count = count;
	for (uint32_t i = count / 2; i-- > 0;)
		heap_sink(plan, i);
}

/* Lets calls match up to the horizon; returns how many slots got a disk. */
static uint32_t match(struct place_plan *plan, uint64_t horizon)
{
	uint32_t filled = 0;

	while (filled < plan->fillable && plan->heap_count > 0 && plan->heap[0].score <= horizon) {
		struct call *call = &plan->heap[0];
		uint32_t domain = plan->domains[call->candidate], slot;

		if (plan->domain_used[domain] == plan->domain_cap) {
			heap_drop_first(plan);
			continue;
		}
		slot = call_slot(plan, call);
		if (plan->slot_candidate[slot] == NO_CANDIDATE) {
			plan->slot_candidate[slot] = call->candidate;
			plan->domain_used[domain]++;
			filled++;
			heap_drop_first(plan);
			continue;
		}
		call->visited |= (uint64_t)1 << slot;
		/* A free slot is left that this disk has not called, so the calls cannot run out. */
		call->calls++;
		assert(call->calls < plan->slots);
		call->hash = hash64(call->hash + call->calls);
		call_advance(plan, call);
		heap_sink(plan, 0);
	}
	return filled;
}

static void release(struct place_plan *plan)
{
	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		if (plan->slot_candidate[slot] != NO_CANDIDATE)
			plan->domain_used[plan->domains[plan->slot_candidate[slot]]] = 0;
		plan->slot_candidate[slot] = NO_CANDIDATE;
	}
}

static uint32_t find_candidate(const struct place_plan *plan, uint64_t id)
{
	uint32_t lo = 0, hi = plan->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (plan->ids[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < plan->count && plan->ids[lo] == id ? lo : NO_CANDIDATE;
}

/* Puts the slot on another disk, unless that would break what computed placement keeps to. */
static void override_slot(struct place_plan *plan, uint32_t slot, uint32_t candidate)
{
	uint32_t old = plan->slot_candidate[slot];
	uint32_t domain = plan->domains[candidate];
	uint32_t used = plan->domain_used[domain];

	for (uint32_t i = 0; i < plan->slots; i++) {
		if (plan->slot_candidate[i] == candidate)
			return;
	}
	if (old != NO_CANDIDATE && plan->domains[old] == domain)
		used--;
	if (used >= plan->domain_cap)
		return;
	if (old != NO_CANDIDATE)
		plan->domain_used[plan->domains[old]]--;
	plan->domain_used[domain]++;
	plan->slot_candidate[slot] = candidate;
}

static void override_pg(struct place_plan *plan, uint32_t pg)
{
	const struct map *map = plan->map;
	uint32_t lo = 0, hi = map->override_count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct map_override *o = &map->overrides[mid];

		if (o->pool < plan->pool || (o->pool == plan->pool && o->pg < pg))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < map->override_count; lo++) {
		const struct map_override *o = &map->overrides[lo];
		uint32_t candidate = find_candidate(plan, o->disk);

		if (o->pool != plan->pool || o->pg != pg)
			break;
		if (candidate != NO_CANDIDATE && o->slot < plan->slots)
			override_slot(plan, o->slot, candidate);
	}
}

void place_plan_pg(struct place_plan *plan, uint32_t pg, uint64_t *out)
{
	uint64_t pg_key = hash64(plan->pool_key ^ pg);
	uint64_t horizon = plan->horizon;

	for (uint32_t slot = 0; slot < plan->slots; slot++)
		plan->slot_candidate[slot] = NO_CANDIDATE;
	for (;;) {
		collect(plan, pg_key, horizon);
		if (match(plan, horizon) == plan->fillable)
			break;
		assert(horizon < UINT64_MAX);
		release(plan);
		horizon = horizon > UINT64_MAX / HORIZON_STEP ? UINT64_MAX : horizon * HORIZON_STEP;
	}
	override_pg(plan, pg);
	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		uint32_t candidate = plan->slot_candidate[slot];

		out[slot] = candidate == NO_CANDIDATE ? NO_DISK : plan->ids[candidate];
	}
	release(plan);
}

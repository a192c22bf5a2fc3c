/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "lib/base/htab.h"
#include "lib/place/place.h"
#include "lib/place/place_plan.h"
#include "lib/place/place_score.h"

/*
 * How a PG finds its disks.
 *
 * Every (slot, disk) pair has a score, an exponentially distributed number whose rate is the
 * disk's weight, from a hash of (pool, PG, disk, slot): never of which other disks exist. A slot
 * prefers low scores, and of two slots that want the same domain (zone or node) the lower score
 * has it. Since both sides rank by the same numbers, the outcome of deferred acceptance is the
 * greedy one: go through all pairs from the lowest score up, and let a pair match if its slot is
 * free and its domain not yet full. What a domain scores is thus the best of its disks' scores, so
 * that it wins in proportion to the sum of their weights, and a lost disk's slots fall to disks
 * everywhere.
 *
 * Disks that failed or belong to an "out" node still match at first, as ghosts; then the slots that
 * ghosts hold match again, among usable disks. So nobody else moves when a disk is lost or returns.
 *
 * So that not all pairs have to be scored: the lowest of a disk's n scores is exponential with n
 * times the rate and falls on any slot alike; the next one follows after a time that is exponential
 * with n - 1 times the rate, on any other slot; and so on. One hash per (PG, disk) thus tells
 * whether any of its scores is below a horizon. Only those few disks, the callers, enter a heap,
 * from which scores come in order, one slot at a time. When no score is left below the horizon and
 * slots are still free, it is widened. To find callers, one 64-bit hash serves PG_BLOCK
 * neighbouring PGs: each takes the first bits of its own hash from a lane of it.
 */

enum { NO_CANDIDATE = UINT32_MAX, HORIZON_STEP = 4 };
static const uint64_t LANE_TOPS = 0x8000800080008000u;

static uint64_t mul_high(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* The heap has the lowest score first; ties go to the lower disk id. */
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

/* Moves on to the disk's next score: call->hash is fresh, call->score the previous one or 0. */
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

/* The hash of a disk's first score: 15 bits from the block's hash, the rest from one of its own. */
static uint64_t first_hash(uint64_t block_hash, uint32_t lane)
{
	uint64_t top = (block_hash >> (lane * LANE_BITS)) << (64 - LANE_USED);

	return top | hash64(block_hash + lane + 1) >> LANE_USED;
}

static uint64_t block_key(const struct place_plan *plan, uint32_t pg)
{
	return hash64(plan->pool_key ^ (pg / PG_BLOCK));
}

/* Finds the callers of a block of PGs: all disks with a score up to the horizon, and few others. */
static void collect_block(struct place_plan *plan, uint32_t pg)
{
	uint64_t key = block_key(plan, pg);

	for (uint32_t lane = 0; lane < PG_BLOCK; lane++)
		plan->callers[lane].count = 0;
	for (uint32_t c = 0; c < plan->count; c++) {
		uint64_t hash = hash64(key ^ plan->keys[c]);
		/* A lane within its limit keeps its top bit. */
		uint64_t low =
			((plan->lane_limits[c] | LANE_TOPS) - (hash & ~LANE_TOPS)) & LANE_TOPS;

		for (; low; low &= low - 1) {
			uint32_t lane = __builtin_ctzll(low) / LANE_BITS;
			struct callers *callers = &plan->callers[lane];

			callers->v[callers->count++] = (struct caller){first_hash(hash, lane), c};
		}
	}
	plan->block = pg / PG_BLOCK + 1;
}

/* The same for one PG and any horizon. */
static void collect_wide(struct place_plan *plan, uint32_t pg, uint64_t horizon)
{
	uint64_t key = block_key(plan, pg);

	plan->wide.count = 0;
	for (uint32_t c = 0; c < plan->count; c++) {
		uint64_t hash = first_hash(hash64(key ^ plan->keys[c]), pg % PG_BLOCK);

		if (hash <= place_plan_hash_limit(plan, c, horizon))
			plan->wide.v[plan->wide.count++] = (struct caller){hash, c};
	}
}

static void heap_fill(struct place_plan *plan, const struct callers *callers, bool with_ghosts)
{
	plan->heap_count = 0;
	for (uint32_t i = 0; i < callers->count; i++) {
		const struct caller *caller = &callers->v[i];
		struct call *call = &plan->heap[plan->heap_count];

		if (plan->ghosts[caller->candidate] && !with_ghosts)
			continue;
		*call = (struct call){.hash = caller->hash, .candidate = caller->candidate};
		call_advance(plan, call);
		plan->heap_count++;
	}
	for (uint32_t i = plan->heap_count / 2; i-- > 0;)
		heap_sink(plan, i);
}

static bool holds_slot(const struct place_plan *plan, uint32_t candidate)
{
	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		if (plan->slot_candidate[slot] == candidate)
			return true;
	}
	return false;
}

/*
 * Takes calls in order up to the horizon until `want` slots are filled. What matched stays
 * matched: a slot or domain is never freed in between, so after a wider horizon was collected the
 * calls heard before are refused again, and those of disks that hold a slot already are ignored.
 */
static bool match(struct place_plan *plan, uint64_t horizon, uint32_t want, uint32_t *filled)
{
	while (*filled < want && plan->heap_count > 0 && plan->heap[0].score <= horizon) {
		struct call *call = &plan->heap[0];
		uint32_t candidate = call->candidate, domain = plan->domains[candidate], slot;

		if (plan->domain_used[domain] == plan->domain_cap || holds_slot(plan, candidate)) {
			heap_drop_first(plan);
			continue;
		}
		slot = call_slot(plan, call);
		if (plan->slot_candidate[slot] == NO_CANDIDATE) {
			plan->slot_candidate[slot] = candidate;
			plan->domain_used[domain]++;
			++*filled;
			heap_drop_first(plan);
			continue;
		}
		call->visited |= (uint64_t)1 << slot;
		call->calls++;
		/* A free slot is left that this disk has not called. */
		assert(call->calls < plan->slots);
		call->hash = hash64(call->hash + call->calls);
		call_advance(plan, call);
		heap_sink(plan, 0);
	}
	return *filled == want;
}

/* Fills free slots until `filled` is `want`. */
static void fill(struct place_plan *plan, uint32_t pg, bool with_ghosts, uint32_t filled,
                 uint32_t want)
{
	uint64_t horizon = plan->horizon;

	if (filled == want)
		return;
	if (plan->block != pg / PG_BLOCK + 1)
		collect_block(plan, pg);
	heap_fill(plan, &plan->callers[pg % PG_BLOCK], with_ghosts);
	while (!match(plan, horizon, want, &filled)) {
		assert(horizon < UINT64_MAX);
		horizon = horizon > UINT64_MAX / HORIZON_STEP ? UINT64_MAX : horizon * HORIZON_STEP;
		collect_wide(plan, pg, horizon);
		heap_fill(plan, &plan->wide, with_ghosts);
	}
}

/* Takes the slots from ghosts; returns how many slots are still held. */
static uint32_t drop_ghosts(struct place_plan *plan)
{
	uint32_t filled = 0;

	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		uint32_t candidate = plan->slot_candidate[slot];

		if (candidate == NO_CANDIDATE)
			continue;
		if (plan->ghosts[candidate]) {
			plan->domain_used[plan->domains[candidate]]--;
			plan->slot_candidate[slot] = NO_CANDIDATE;
		} else {
			filled++;
		}
	}
	return filled;
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

	if (plan->ghosts[candidate] || holds_slot(plan, candidate))
		return;
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
	for (uint32_t slot = 0; slot < plan->slots; slot++)
		plan->slot_candidate[slot] = NO_CANDIDATE;
	fill(plan, pg, true, 0, plan->fillable_ghosts);
	fill(plan, pg, false, drop_ghosts(plan), plan->fillable);
	override_pg(plan, pg);
	for (uint32_t slot = 0; slot < plan->slots; slot++) {
		uint32_t candidate = plan->slot_candidate[slot];

		out[slot] = candidate == NO_CANDIDATE ? NO_DISK : plan->ids[candidate];
		if (candidate != NO_CANDIDATE)
			plan->domain_used[plan->domains[candidate]] = 0;
	}
}

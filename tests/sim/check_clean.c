/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/ec/ec.h"
#include "tests/sim/check.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

enum { WINDOW = 16384 };

/* One PG under the eye of the checker: what its slots hold. */
struct view {
	const struct map_pool *pool;
	uint32_t pg;
	const uint64_t *slots;
	const struct disk_pg *held[MAX_SHARDS]; /* NULL: nothing */
	struct ec_code *code;
	char *why;
};

/* In the node that has it by the map: there may be copies elsewhere. */
static const struct sim_disk *disk_by_id(const struct world *w, uint64_t id)
{
	const struct map_disk *d = map_find_disk(sim_member_map(w), id);
	uint32_t node = d ? sim_node_by_id(w, d->node) : UINT32_MAX;

	if (node == UINT32_MAX || w->nodes[node]->state == NODE_GONE)
		return NULL;
	for (uint32_t i = 0; i < w->nodes[node]->info.disk_count; i++)
		if (w->nodes[node]->disks[i].id == id)
			return &w->nodes[node]->disks[i];
	return NULL;
}

static int complain(const struct view *v, uint64_t oid, uint32_t shard, const char *what)
{
	snprintf(v->why, CHECK_WHY_LEN, "pg %u.%u (%u:%u) object %llx shard %u: %s", v->pool->id,
	         v->pg, v->pool->k, v->pool->m, (unsigned long long)oid, shard, what);
	return -1;
}

static const struct shard *shard_of(const struct view *v, uint64_t oid, uint32_t slot)
{
	const struct disk_pg *held = v->held[slot];

	for (uint32_t i = 0; held && i < held->shard_count; i++)
		if (held->shards[i].oid == oid && held->shards[i].number == slot)
			return &held->shards[i];
	return NULL;
}

/* ---- Parity ---- */

static int window_check(const struct view *v, const struct shard *const *s, uint32_t off,
                        uint32_t len)
{
	static const uint8_t zeros[WINDOW];
	uint32_t k = v->pool->k, m = v->pool->m;
	uint8_t *bytes = xmalloc((size_t)(k + 2 * m) * WINDOW);
	const uint8_t *data[MAX_DATA];
	uint8_t *parity[MAX_PARITY];
	int bad = -1;

	for (uint32_t i = 0; i < k + m; i++)
		content_read(&s[i]->committed.content, off, bytes + (size_t)i * WINDOW, len);
	for (uint32_t i = 0; i < k; i++)
		data[i] = memcmp(bytes + (size_t)i * WINDOW, zeros, len)
		                  ? bytes + (size_t)i * WINDOW
		                  : NULL;
	for (uint32_t j = 0; j < m; j++)
		parity[j] = bytes + (size_t)(k + m + j) * WINDOW;
	ec_encode(v->code, len, data, parity);
	for (uint32_t j = 0; j < m && bad < 0; j++)
		if (memcmp(parity[j], bytes + (size_t)(k + j) * WINDOW, len))
			bad = k + j;
	free(bytes);
	return bad < 0 ? 0 : complain(v, s[0]->oid, bad, "parity is not made from the data");
}

/* Wherever any shard has data, in windows. */
static int parity_check(const struct view *v, const struct shard *const *s)
{
	uint32_t n = v->pool->k + v->pool->m;
	uint64_t seen[1024] = {0}; /* windows checked: 16 MiB of a shard */

	for (uint32_t i = 0; i < n; i++) {
		const struct content *c = &s[i]->committed.content;

		for (uint32_t e = 0; e < c->count; e++) {
			uint32_t first = c->v[e].off / WINDOW,
				 last = (c->v[e].off + c->v[e].len - 1) / WINDOW;

			for (uint32_t win = first; win <= last && win < 64 * ARRAY_LEN(seen);
			     win++) {
				if (seen[win / 64] & 1ull << (win % 64))
					continue;
				seen[win / 64] |= 1ull << (win % 64);
				if (window_check(v, s, win * WINDOW, WINDOW))
					return -1;
			}
		}
	}
	return 0;
}

/* ---- Objects ---- */

static int object_check(const struct view *v, uint64_t oid)
{
	const struct shard *s[MAX_SHARDS];
	uint32_t n = v->pool->k + v->pool->m;

	for (uint32_t i = 0; i < n; i++) {
		s[i] = shard_of(v, oid, i);
		if (!s[i])
			return complain(v, oid, i, "missing");
		if (s[i]->pending.version)
			return complain(v, oid, i, "still pending");
		if (s[i]->committed.tombstone)
			return complain(v, oid, i, "a tombstone is left");
		if (s[i]->committed.version != s[0]->committed.version)
			return complain(v, oid, i, "at another version than shard 0");
	}
	return parity_check(v, s);
}

static int pg_check(const struct world *w, struct view *v)
{
	for (uint32_t i = 0; i < v->pool->k + v->pool->m; i++) {
		const struct sim_disk *d =
			v->slots[i] == NO_DISK ? NULL : disk_by_id(w, v->slots[i]);

		if (!d || d->failed)
			return complain(v, 0, i, "the slot has no disk");
		v->held[i] = sim_disk_pg(d, v->pool->id, v->pg);
	}
	for (uint32_t i = 0; i < v->pool->k + v->pool->m; i++) {
		const struct disk_pg *held = v->held[i];

		for (uint32_t j = 0; held && j < held->shard_count; j++) {
			if (held->shards[j].number != i)
				return complain(v, held->shards[j].oid, held->shards[j].number,
				                "on the disk of another slot");
			if (object_check(v, held->shards[j].oid))
				return -1;
		}
	}
	return 0;
}

/* Whether the map gives the disk a slot of that PG. */
static bool is_slot(const struct placement *p, const struct map_pool *pool, uint32_t pg,
                    uint64_t disk)
{
	const uint64_t *slots = placement_slots(p, pool->id, pg);

	for (uint32_t i = 0; i < pool->k + pool->m; i++)
		if (slots[i] == disk)
			return true;
	return false;
}

/* Of a disk that takes part. */
static int strays_check(const struct world *w, const struct sim_disk *d, const struct map *map,
                        const struct placement *p, char *why)
{
	const struct map_disk *known = map_find_disk(map, d->id);

	if (!known || !map_disk_up(map, known) || disk_by_id(w, d->id) != d)
		return 0;
	for (uint32_t i = 0; i < d->pg_count; i++) {
		const struct map_pool *pool = map_find_pool(map, d->pgs[i].pool);
		struct view v = {.pool = pool, .pg = d->pgs[i].number, .why = why};

		if (d->pgs[i].shard_count && !is_slot(p, pool, d->pgs[i].number, d->id))
			return complain(&v, d->pgs[i].shards[0].oid, d->pgs[i].shards[0].number,
			                "on a disk that is no slot of its PG");
	}
	return 0;
}

int check_clean(struct world *w, char why[CHECK_WHY_LEN])
{
	const struct map *map = sim_member_map(w);
	const struct placement *p = sim_member_placement(w, map->epoch);
	int err = 0;

	for (uint32_t i = 0; i < map->pool_count && !err; i++) {
		struct view v = {.pool = &map->pools[i], .why = why};

		if (ec_create(v.pool->k, v.pool->m, &v.code))
			abort();
		for (v.pg = 0; v.pg < v.pool->pg_count && !err; v.pg++) {
			v.slots = placement_slots(p, v.pool->id, v.pg);
			err = pg_check(w, &v);
		}
		ec_unref(v.code);
	}
	for (uint32_t i = 0; i < w->node_count && !err; i++)
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count && !err; d++)
			if (w->nodes[i]->state != NODE_GONE && !w->nodes[i]->disks[d].failed)
				err = strays_check(w, &w->nodes[i]->disks[d], map, p, why);
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/cover.h"

#include "lib/place/place.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

static void count_answer(struct world *w, const struct msg *m)
{
	if ((uint32_t)m->type < STAT_TYPES && m->result < STAT_RESULTS)
		w->stats.answers[m->type][m->result]++;
}

/* ---- Between nodes ---- */

void cover_peer_msg(struct world *w, uint32_t node, const struct msg *m)
{
	const struct map *map = node_map(w->nodes[node]->core);

	if (m->type == MSG_PING)
		return;
	if (m->type == MSG_PG_STRAY)
		cover(w, BR_STRAY_REPORT);
	if (!m->reply) {
		if (!map || m->epoch > map->epoch)
			cover(w, BR_HELD);
		return;
	}
	count_answer(w, m);
	if (m->result == RES_STALE)
		cover(w, BR_STALE);
	else if (m->result == RES_AGAIN)
		cover(w, BR_HOLDER_AGAIN);
	else if (m->result == RES_DENIED)
		cover(w, BR_HOLDER_DENIED);
}

/* ---- To clients ---- */

/* Slots and live slots of the object's PG in the node's newest map. */
static bool live_slots(struct world *w, uint32_t node, uint32_t pool, uint64_t oid,
                       uint32_t *ret_live, const struct map_pool **ret_pool)
{
	const struct map *map = node_map(w->nodes[node]->core);
	const struct map_pool *p = map ? map_find_pool(map, pool) : NULL;
	const uint64_t *disks;

	if (!p)
		return false;
	disks = placement_slots(sim_member_placement(w, map->epoch), pool, place_pg_of(p, oid));
	*ret_pool = p;
	*ret_live = 0;
	for (uint32_t i = 0; i < p->k + p->m; i++) {
		const struct map_disk *d =
			disks[i] == NO_DISK ? NULL : map_find_disk(map, disks[i]);

		*ret_live += d && map_disk_up(map, d);
	}
	return true;
}

static void cover_check(struct world *w, const struct msg *m)
{
	if (m->check.damaged)
		cover(w, BR_CHECK_DAMAGED);
	if (m->check.repaired)
		cover(w, BR_CHECK_REPAIRED);
	if (!m->check.missing && !m->check.damaged && !m->check.stale)
		cover(w, BR_CHECK_GOOD);
}

static void cover_served(struct world *w, const struct msg *m)
{
	switch (m->type) {
	case MSG_OBJ_READ:
		if (m->flags & MSG_F_ABSENT)
			cover(w, BR_READ_ABSENT);
		break;
	case MSG_OBJ_WRITE:
		if (!m->version)
			cover(w, BR_ASK_LOG);
		break;
	case MSG_OBJ_LIST:
		cover(w, BR_LISTED);
		break;
	case MSG_OBJ_CHECK:
		cover_check(w, m);
		break;
	default:
		break;
	}
}

void cover_answer(struct world *w, uint32_t node, const struct msg *m)
{
	static const enum sim_branch of_result[STAT_RESULTS] = {
		[RES_STALE] = BR_ASK_STALE,   [RES_NOT_PRIMARY] = BR_ASK_NOT_PRIMARY,
		[RES_EXISTS] = BR_ASK_EXISTS, [RES_NOSPACE] = BR_ASK_NOSPACE,
		[RES_IO] = BR_ASK_IO,         [RES_UNFOUND] = BR_ASK_UNFOUND,
		[RES_NOT_FORMATTED] = BR_ASK_FORMATTED, [RES_LOST] = BR_ASK_LOST,
	};

	if (m->type < MSG_OBJ_READ || m->type > MSG_OBJ_CHECK)
		return;
	count_answer(w, m);
	if (m->result < STAT_RESULTS && of_result[m->result])
		cover(w, of_result[m->result]);
	if (m->result == RES_AGAIN)
		cover(w, node_may_serve(w->nodes[node]->core, sim_node_now_ms(w, w->nodes[node]))
		                 ? BR_ASK_AGAIN
		                 : BR_ASK_LEASE);
	if (m->result == RES_OK)
		cover_served(w, m);
}

void cover_request_done(struct world *w, uint32_t node, const struct sim_object *o,
                        const struct msg *m)
{
	const struct map_pool *p;
	uint32_t live;

	if (!sim_node_is_running(w, node) ||
	    !live_slots(w, node, o->pool, o->oid, &live, &p) || live == p->k + p->m)
		return;
	if (m->type == MSG_OBJ_READ && m->result == RES_OK)
		cover(w, BR_READ_DEGRADED);
	if (m->type == MSG_OBJ_WRITE && m->result == RES_OK && m->version)
		cover(w, BR_WRITE_DEGRADED);
	if (m->type == MSG_OBJ_WRITE && m->result == RES_AGAIN && live < p->k + 1)
		cover(w, BR_ASK_MIN_LIVE);
}

/* ---- Maps ---- */

static void cover_node(struct world *w, const struct map_node *a, const struct map_node *b)
{
	bool was = a && (a->flags & NODE_UP), is = b->flags & NODE_UP;

	if (!a)
		cover(w, BR_MAP_JOIN);
	else if (is && a->incarnation != b->incarnation)
		cover(w, BR_MAP_RESTARTED);
	else if (is && !was)
		cover(w, BR_MAP_REJOIN);
	if (was && !is)
		cover(w, b->flags & NODE_LEFT ? BR_MAP_LEFT : BR_MAP_DOWN);
	if (a && (b->flags & NODE_OUT) && !(a->flags & NODE_OUT))
		cover(w, BR_MAP_OUT);
}

static void cover_disk(struct world *w, const struct map_disk *a, const struct map_disk *b)
{
	if (!a) {
		cover(w, BR_MAP_DISK_NEW);
		return;
	}
	if ((b->flags & DISK_FAILED) != (a->flags & DISK_FAILED))
		cover(w, b->flags & DISK_FAILED ? BR_MAP_DISK_FAILED : BR_MAP_DISK_BACK);
	if (a->node != b->node)
		cover(w, BR_MAP_DISK_MOVED);
	if (a->weight != b->weight)
		cover(w, BR_MAP_WEIGHT);
}

void cover_map(struct world *w, const struct map *before, const struct map *now)
{
	if (!before)
		return;
	for (uint32_t i = 0; i < now->node_count; i++)
		cover_node(w, map_find_node(before, now->nodes[i].id), &now->nodes[i]);
	for (uint32_t i = 0; i < now->disk_count; i++)
		cover_disk(w, map_find_disk(before, now->disks[i].id), &now->disks[i]);
	if (now->node_count < before->node_count)
		cover(w, BR_MAP_FORGOTTEN);
	if (now->pool_count != before->pool_count)
		cover(w, BR_MAP_POOL);
	if (before->pool_count && now->pools[0].m > before->pools[0].m)
		cover(w, BR_MAP_WIDER);
	if (now->flags != before->flags)
		cover(w, BR_MAP_FLAGS);
	if (now->grace_ms != before->grace_ms)
		cover(w, BR_MAP_GRACE);
}

/* ---- Status ---- */

static void cover_trouble(struct world *w, uint32_t kind)
{
	if (kind == SF__TROUBLE__KIND__DOWN)
		cover(w, BR_WAITS);
	else if (kind == SF__TROUBLE__KIND__UNFOUND)
		cover(w, BR_UNFOUND);
	else if (kind == SF__TROUBLE__KIND__LOST)
		cover(w, BR_LOST);
}

void cover_status(struct world *w, const struct msg *m)
{
	Sf__NodeStatus *s = sf__node_status__unpack(NULL, m->blob_len, m->blob);

	if (!s) {
		world_fail(w, "a status does not decode");
		return;
	}
	w->stats.branch[BR_PG_DOWN] += s->pgs && s->pgs->down;
	w->stats.branch[BR_PG_PEERING] += s->pgs && s->pgs->peering;
	w->stats.branch[BR_PG_HALTED] += s->pgs && s->pgs->halted;
	w->stats.branch[BR_PG_DEGRADED] += s->pgs && s->pgs->degraded;
	w->stats.branch[BR_PG_RECOVERING] += s->pgs && s->pgs->recovering;
	for (size_t i = 0; i < s->n_troubles; i++)
		cover_trouble(w, s->troubles[i]->kind);
	w->stats.branch[BR_SCRUB] += s->scrub && s->scrub->objects;
	w->stats.branch[BR_SCRUB_DAMAGED] += s->scrub && s->scrub->found_damaged;
	w->stats.branch[BR_SCRUB_REPAIRED] += s->scrub && s->scrub->repaired;
	w->stats.branch[BR_BLOCKED] += s->objects_blocked > 0;
	sf__node_status__free_unpacked(s, NULL);
}

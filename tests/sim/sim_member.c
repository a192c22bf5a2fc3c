/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_member.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "tests/sim/cover.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

enum { EPOCHS_MAX = 4096, OBJECT_SHIFT = 20 };

struct session {
	bool open; /* in the live set */
	struct node_info info;
	uint64_t heard_us;
};

/* One node's driver. */
struct driver {
	uint32_t next_epoch; /* to be delivered */
	uint64_t live_seen;  /* version of the live set delivered */
	bool news;           /* a delivery is under way */
	bool pinging;        /* the chain of pings runs */
};

struct epoch {
	struct map *map;
	struct placement *placement;
	uint8_t *bytes;
	size_t len;
	uint64_t won_us;
};

struct sim_member {
	uint32_t epoch_count;
	struct epoch epochs[EPOCHS_MAX];
	uint32_t pg_count;
	uint64_t live_version;
	struct session sessions[SIM_MAX_NODES];
	struct driver drivers[SIM_MAX_NODES];
	const struct sim_driver *driver; /* instead of all this but the register */
	void *engine;
};

/* Something that happens to one process of a node. */
struct member_turn {
	uint32_t node, life;
	uint64_t at_us;       /* a ping: when it was sent */
	uint32_t epoch_count; /* its answer: what the register held */
	struct map *map;      /* a proposal */
	uint64_t expected_cluster;
	uint32_t expected_epoch;
	int result;
	uint64_t incarnation; /* of a process that died */
	uint64_t cluster;     /* adopt */
	bool wipe;
};

static void turn_free(void *arg)
{
	struct member_turn *t = arg;

	map_unref(t->map);
	free(t);
}

static struct member_turn *turn_create(struct world *w, uint32_t node)
{
	struct member_turn *t = xcalloc(1, sizeof(*t));

	t->node = node;
	t->life = sim_node_life(w, node);
	return t;
}

struct sim_member *sim_member_create(struct world *w)
{
	return xcalloc(1, sizeof(struct sim_member));
}

/* ---- Other drivers ---- */

static const struct sim_driver *const sim_drivers[] = {&sim_zk, &sim_cs};

const struct sim_driver *sim_driver_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(sim_drivers); i++)
		if (!strcmp(sim_drivers[i]->name, name))
			return sim_drivers[i];
	return NULL;
}

void sim_member_use(struct world *w, const struct sim_driver *driver)
{
	w->member->driver = driver;
	if (driver)
		w->member->engine = driver->create(w);
}

void *sim_member_engine(const struct world *w)
{
	return w->member->engine;
}

void sim_member_start_faults(struct world *w)
{
	if (w->member->driver && w->member->driver->start_faults)
		w->member->driver->start_faults(w);
}

void sim_member_heal(struct world *w)
{
	if (w->member->driver && w->member->driver->heal)
		w->member->driver->heal(w);
}

bool sim_member_may_lose(const struct world *w)
{
	return !w->member->driver || !w->member->driver->may_lose || w->member->driver->may_lose(w);
}

bool sim_member_is_settled(const struct world *w)
{
	return !w->member->driver || !w->member->driver->is_settled || w->member->driver->is_settled(w);
}

void sim_member_destroy(struct sim_member *m)
{
	if (m->engine)
		m->driver->destroy(m->engine);
	for (uint32_t i = 0; i < m->epoch_count; i++) {
		map_unref(m->epochs[i].map);
		placement_destroy(m->epochs[i].placement);
		free(m->epochs[i].bytes);
	}
	free(m);
}

/* ---- The register ---- */

const struct map *sim_member_epoch(const struct world *w, uint32_t epoch)
{
	return epoch >= 1 && epoch <= w->member->epoch_count ? w->member->epochs[epoch - 1].map
	                                                     : NULL;
}

uint64_t sim_member_won_us(const struct world *w, uint32_t epoch)
{
	return sim_member_epoch(w, epoch) ? w->member->epochs[epoch - 1].won_us : 0;
}

const struct map *sim_member_map(const struct world *w)
{
	return sim_member_epoch(w, w->member->epoch_count);
}

const struct placement *sim_member_placement(const struct world *w, uint32_t epoch)
{
	assert(sim_member_epoch(w, epoch));
	return w->member->epochs[epoch - 1].placement;
}

bool sim_member_is_register_map(const struct world *w, const struct map *map)
{
	const struct epoch *e;
	uint8_t *bytes;
	size_t len;
	bool same;

	if (!sim_member_epoch(w, map->epoch))
		return false;
	e = &w->member->epochs[map->epoch - 1];
	map_encode(map, &bytes, &len);
	same = len == e->len && !memcmp(bytes, e->bytes, len);
	free(bytes);
	return same;
}

void sim_member_set_pg_count(struct world *w, uint32_t pg_count)
{
	w->member->pg_count = pg_count;
}

/* Pools that the map before did not have get few PGs, and objects of the least size. */
static struct map *map_made_small(const struct map *map, const struct map *before,
                                    uint32_t pg_count)
{
	struct map *few = map_clone(map);

	for (uint32_t i = 0; i < few->pool_count; i++)
		if (!before || !map_find_pool(before, few->pools[i].id)) {
			few->pools[i].pg_count = pg_count;
			few->pools[i].object_shift = OBJECT_SHIFT;
		}
	return few;
}

struct map *sim_member_shape(const struct world *w, const struct map *map)
{
	uint32_t pg_count = w->member->pg_count;

	return pg_count ? map_made_small(map, sim_member_map(w), pg_count) : map_clone(map);
}

static void register_trace(struct world *w, const struct map *map)
{
	if (!w->trace)
		return;
	world_print(w, "epoch %u", map->epoch);
	for (uint32_t i = 0; i < map->node_count; i++)
		world_print(w, "  node n%u %016llx inc %016llx%s%s%s",
		            sim_node_by_id(w, map->nodes[i].id),
		            (unsigned long long)map->nodes[i].id,
		            (unsigned long long)map->nodes[i].incarnation,
		            map->nodes[i].flags & NODE_UP ? " up" : " down",
		            map->nodes[i].flags & NODE_OUT ? " out" : "",
		            map->nodes[i].flags & NODE_LEFT ? " left" : "");
}

static void register_append(struct world *w, const struct map *map)
{
	struct sim_member *m = w->member;
	struct epoch *e = &m->epochs[m->epoch_count];
	const struct map *before = sim_member_map(w);

	if (m->epoch_count == EPOCHS_MAX) {
		world_fail(w, "more than %u epochs: the map never settles", EPOCHS_MAX);
		return;
	}
	e->map = sim_member_shape(w, map);
	e->won_us = w->now_us;
	m->epoch_count++;
	e->placement = placement_create(e->map);
	map_encode(e->map, &e->bytes, &e->len);
	w->stats.epochs++;
	cover_map(w, before, e->map);
	register_trace(w, e->map);
}

void sim_member_install(struct world *w, const struct map *map)
{
	register_append(w, map);
}

static bool register_expects(struct world *w, const struct member_turn *t)
{
	const struct map *now = sim_member_map(w);

	if (!now)
		return t->expected_epoch == 0 && t->expected_cluster == 0;
	return now->epoch == t->expected_epoch && now->cluster == t->expected_cluster;
}

/* ---- News for a node's driver ---- */

static uint64_t notify_delay(struct world *w)
{
	return draw_skewed(w, 100, w->profile.notify_max_us);
}

static bool service_reaches(const struct world *w, uint32_t node)
{
	return sim_net_reaches(w, SIM_SERVICE, node) && sim_net_reaches(w, node, SIM_SERVICE);
}

static void news_announce(struct world *w, uint32_t node);

static void live_deliver(struct world *w, uint32_t node)
{
	struct node_info live[SIM_MAX_NODES];
	struct event ev = {.type = EV_LIVE, .live = live};

	for (uint32_t i = 0; i < w->node_count; i++)
		if (w->member->sessions[i].open)
			live[ev.live_count++] = w->member->sessions[i].info;
	w->member->drivers[node].live_seen = w->member->live_version;
	sim_node_event(w, node, &ev);
}

/* One epoch, or the live set when there is no newer epoch. Returns false when there is nothing
 * new. */
static bool news_deliver(struct world *w, uint32_t node, uint32_t epoch_count)
{
	struct driver *d = &w->member->drivers[node];

	if (d->next_epoch <= epoch_count) {
		struct event ev = {.type = EV_MAP, .map = w->member->epochs[d->next_epoch - 1].map};

		world_note(w, node, d->next_epoch, 77);
		d->next_epoch++;
		sim_node_event(w, node, &ev);
		return true;
	}
	if (d->live_seen != w->member->live_version) {
		live_deliver(w, node);
		return true;
	}
	return false;
}

static void news_arrive(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	if (sim_node_defer(w, t->node, news_arrive, t, turn_free))
		return;
	if (sim_node_is_life(w, t->node, t->life)) {
		w->member->drivers[t->node].news = false;
		if (service_reaches(w, t->node) &&
		    news_deliver(w, t->node, w->member->epoch_count) &&
		    sim_node_is_life(w, t->node, t->life))
			news_announce(w, t->node);
	}
	turn_free(t);
}

static void news_announce(struct world *w, uint32_t node)
{
	struct driver *d = &w->member->drivers[node];

	if (d->news || !sim_node_is_running(w, node))
		return;
	d->news = true;
	world_after(w, notify_delay(w), news_arrive, turn_create(w, node), turn_free);
}

static void news_announce_all(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		news_announce(w, i);
}

/* ---- Sessions and leases ---- */

static void live_changed(struct world *w)
{
	w->member->live_version++;
	news_announce_all(w);
}

static void session_open(struct world *w, uint32_t node)
{
	struct session *s = &w->member->sessions[node];

	s->heard_us = w->now_us;
	if (s->open && s->info.incarnation == w->nodes[node]->info.incarnation &&
	    s->info.cluster == w->nodes[node]->info.cluster)
		return;
	s->open = true;
	s->info = w->nodes[node]->info;
	world_trace(w, "live set: n%u is in", node);
	live_changed(w);
}

static void session_close(struct world *w, uint32_t node)
{
	if (!w->member->sessions[node].open)
		return;
	w->member->sessions[node].open = false;
	world_trace(w, "live set: n%u is out", node);
	live_changed(w);
}

static void sessions_expire(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++) {
		struct session *s = &w->member->sessions[i];
		if (s->open && w->now_us > s->heard_us + w->profile.session_ms * SIM_MS)
			session_close(w, i);
	}
}

static void lease_deliver(struct world *w, const struct member_turn *t)
{
	struct sim_node *n = w->nodes[t->node];
	struct event ev = {.type = EV_LEASE,
	                   .lease_until_ms =
	                           sim_node_clock_ms(n, t->at_us) + w->profile.lease_ms};

	while (w->member->drivers[t->node].next_epoch <= t->epoch_count)
		if (!news_deliver(w, t->node, t->epoch_count) ||
		    !sim_node_is_life(w, t->node, t->life))
			return;
	if (w->member->drivers[t->node].live_seen == 0) {
		live_deliver(w, t->node);
		if (!sim_node_is_life(w, t->node, t->life))
			return;
	}
	sim_node_event(w, t->node, &ev);
}

static void ping_answered(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	if (sim_node_defer(w, t->node, ping_answered, t, turn_free))
		return;
	if (sim_node_is_life(w, t->node, t->life) && service_reaches(w, t->node))
		lease_deliver(w, t);
	turn_free(t);
}

static void ping_arrived(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	if (!sim_node_is_life(w, t->node, t->life) || !service_reaches(w, t->node)) {
		turn_free(t);
		return;
	}
	session_open(w, t->node);
	news_announce(w, t->node); /* it may have been out of reach */
	t->epoch_count = w->member->epoch_count;
	world_after(w, notify_delay(w), ping_answered, t, turn_free);
}

static void ping_send(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	sessions_expire(w);
	if (sim_node_defer(w, t->node, ping_send, t, turn_free))
		return;
	if (!sim_node_is_life(w, t->node, t->life)) {
		turn_free(t);
		return;
	}
	struct member_turn *ping = turn_create(w, t->node);

	ping->at_us = w->now_us;
	world_after(w, notify_delay(w), ping_arrived, ping, turn_free);
	world_after(
		w, w->profile.ping_ms * SIM_MS / 2 + draw_below(w, w->profile.ping_ms * SIM_MS / 2),
		ping_send, t, turn_free);
}

void sim_member_join(struct world *w, uint32_t node)
{
	if (w->member->driver) {
		w->member->driver->join(w, node);
		return;
	}
	w->member->drivers[node] = (struct driver){.next_epoch = 1};
	world_after(w, notify_delay(w), ping_send, turn_create(w, node), turn_free);
}

void sim_member_leave(struct world *w, uint32_t node)
{
	if (w->member->driver)
		w->member->driver->leave(w, node);
	else
		session_close(w, node);
}

static void death_noticed(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	/* Unless it has started again and said so. */
	if (w->member->sessions[t->node].info.incarnation == t->incarnation)
		session_close(w, t->node);
	turn_free(t);
}

void sim_member_died(struct world *w, uint32_t node)
{
	struct member_turn *t;
	bool quick;

	if (w->member->driver) {
		w->member->driver->died(w, node);
		return;
	}
	t = turn_create(w, node);
	quick = draw_below(w, 3);
	t->incarnation = w->nodes[node]->info.incarnation;
	world_after(w, draw_below(w, quick ? 200 * SIM_MS : w->profile.session_ms * SIM_MS),
	            death_noticed, t, turn_free);
}

/* ---- Proposals ---- */

static void proposal_over(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	if (sim_node_defer(w, t->node, proposal_over, t, turn_free))
		return;
	if (sim_node_is_life(w, t->node, t->life)) {
		struct event ev = {.type = EV_PROPOSED, .result = t->result};

		if (!service_reaches(w, t->node)) {
			world_after(w, 200 * SIM_MS, proposal_over, t, turn_free);
			return;
		}
		sim_node_event(w, t->node, &ev);
	}
	turn_free(t);
}

static void proposal_arrives(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	t->result = -SF_EAGAIN;
	if (service_reaches(w, t->node) && register_expects(w, t)) {
		if (t->map->epoch != t->expected_epoch + 1 && t->expected_epoch)
			world_fail(w, "node %u proposes epoch %u after %u", t->node, t->map->epoch,
			           t->expected_epoch);
		register_append(w, t->map);
		t->result = 0;
		news_announce_all(w);
	} else {
		cover(w, BR_PROPOSAL_LOST);
	}
	world_after(w, notify_delay(w), proposal_over, t, turn_free);
}

void sim_member_propose(struct world *w, uint32_t node, uint64_t expected_cluster,
                        uint32_t expected_epoch, struct map *map)
{
	struct member_turn *t;

	if (w->member->driver) {
		w->member->driver->propose(w, node, expected_cluster, expected_epoch, map);
		return;
	}
	t = turn_create(w, node);
	t->map = map;
	t->expected_cluster = expected_cluster;
	t->expected_epoch = expected_epoch;
	world_after(w, notify_delay(w), proposal_arrives, t, turn_free);
}

/* ---- Adopting a cluster ---- */

static void adopted(struct world *w, void *arg)
{
	struct member_turn *t = arg;

	if (sim_node_defer(w, t->node, adopted, t, turn_free))
		return;
	if (sim_node_is_life(w, t->node, t->life)) {
		struct sim_node *n = w->nodes[t->node];
		struct event ev = {.type = EV_ADOPTED};

		for (uint32_t i = 0; t->wipe && i < n->info.disk_count; i++)
			sim_disk_wipe(&n->disks[i]);
		n->info.cluster = t->cluster;
		if (w->member->driver)
			w->member->driver->update(w, t->node);
		sim_node_event(w, t->node, &ev);
	}
	turn_free(t);
}

void sim_member_adopt(struct world *w, uint32_t node, uint64_t cluster, bool wipe)
{
	struct member_turn *t = turn_create(w, node);

	t->cluster = cluster;
	t->wipe = wipe;
	world_after(w, draw_below(w, 50 * SIM_MS), adopted, t, turn_free);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenario_draw.h"

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"

/* Redundancies, the small ones more often: most runs are small and short. */
static const uint8_t kinds[][2] = {{1, 1}, {1, 2}, {1, 2}, {2, 1}, {2, 1}, {2, 2},
                                   {2, 2}, {3, 2}, {4, 2}, {1, 3}, {8, 3}};

static void draw_kind(struct world *w, uint32_t limit, uint32_t *ret_k, uint32_t *ret_m)
{
	const uint8_t *kind;

	do
		kind = kinds[draw_below(w, ARRAY_LEN(kinds))];
	while ((uint32_t)kind[0] + kind[1] > limit);
	*ret_k = kind[0];
	*ret_m = kind[1];
}

/* How many nodes there may be. */
static uint32_t draw_limit(struct scenario *s)
{
	if (s->options->nodes)
		return s->options->nodes;
	s->big = draw_below(s->w, 25) == 0;
	if (s->big)
		return SIM_MAX_NODES;
	return draw_below(s->w, 3) ? 5 : 9;
}

static void draw_nodes(struct scenario *s, uint32_t limit)
{
	struct world *w = s->w;
	uint32_t zones, most;

	w->node_count = s->options->nodes;
	if (!w->node_count)
		w->node_count = draw_skewed(w, s->format.same_node_ok ? 1 : MAX(s->slots, 3u),
		                            s->format.same_node_ok ? 3 : MIN(s->slots + 5, limit));
	zones = draw_below(w, 2) ? w->node_count : draw_between(w, 1, w->node_count);
	most = s->big ? SIM_MAX_DISKS : 3;
	for (uint32_t i = 0; i < w->node_count; i++) {
		uint32_t disks = draw_below(w, 2) ? 1 : draw_between(w, 1, most);

		if (s->format.same_node_ok)
			disks = MIN((uint32_t)SIM_MAX_DISKS, s->slots / w->node_count + 2);
		sim_node_create(w, i, disks, i % zones);
	}
	if (!s->format.same_node_ok && w->node_count > s->slots && draw_below(w, 3) == 0)
		s->late_nodes = draw_between(w, 1, w->node_count - s->slots);
	sim_member_set_pg_count(w, 1u << draw_below(w, s->big ? 4 : 3));
}

static void draw_cluster(struct scenario *s)
{
	struct world *w = s->w;
	uint32_t limit = draw_limit(s), k, m;

	/* One cluster in twelve has fewer nodes than slots. */
	s->format.same_node_ok = s->options->nodes ? limit < 3 : draw_below(w, 12) == 0;
	draw_kind(w, s->format.same_node_ok ? 4 : limit, &k, &m);
	s->format.k = k;
	s->format.m = m;
	s->format.object_shift = 20;
	s->format.grace_ms = draw_between(w, 1, 12) * 1000;
	s->slots = MAX(k + m, 3u);
	s->faults.m = m;
	if (draw_below(w, 4) == 0 || s->options->volumes) {
		draw_kind(w, s->format.same_node_ok ? 4 : limit, &s->pool_k, &s->pool_m);
		s->slots = MAX(s->slots, s->pool_k + s->pool_m);
		s->faults.m = MIN(s->faults.m, s->pool_m);
		/* Not drawn from the seed's row: what other seeds do stays as it was. */
		s->pool_late = s->pool_m > MAX(m, 2u) && !s->options->volumes &&
		               hash64(s->options->seed) % 2;
	}
	draw_nodes(s, limit);
	s->faults.min_nodes = s->slots;
	s->faults.same_node_ok = s->format.same_node_ok;
}

static void draw_profile(struct scenario *s)
{
	struct world *w = s->w;
	struct sim_profile *f = &w->profile;

	*f = (struct sim_profile){
		.delay_min_us = 50,
		.delay_max_us = draw_between(w, 200, 5000),
		.slow_max_us = draw_between(w, 1, draw_below(w, 2) ? 2000 : 9000) * 1000,
		.fifo = draw_below(w, 2),
		.codec = draw_below(w, 4) == 0,
		.disk_min_us = 20,
		.disk_max_us = draw_between(w, 50, 2000),
		.sync_us = draw_between(w, 50, 10000),
		.reads_overtake = draw_below(w, 2),
		.list_page = draw_below(w, 4) ? 0 : draw_between(w, 1, 4),
		.ping_ms = 300,
		.lease_ms = 1000,
		.session_ms = draw_between(w, 1600, 3000),
		.notify_max_us = draw_between(w, 500, 100000),
		.compute_max_us = draw_below(w, 2) ? 100 : 3000,
		.drift_ppm = draw_below(w, 3) ? 0 : draw_between(w, 1, 20000),
	};
	for (uint32_t i = 0; i < w->node_count; i++)
		w->nodes[i]->drift_ppm = (int32_t)draw_below(w, 2 * f->drift_ppm + 1) -
		                         (int32_t)f->drift_ppm;
	/* In a third of the runs. Not drawn from the run's own source: the rest stays the same. */
	if (hash64(w->seed) % 3 == 0)
		f->scrub_ms = 1000 + hash64(w->seed ^ 7) % 20000;
	w->stats.fault[FAULT_DRIFT] = f->drift_ppm > 0;
}

/* Whatever may be lost honestly, again and again. */
static void reckless_weights(struct world *w, struct fault_plan *p, uint8_t weight[FAULT_KINDS])
{
	static const uint8_t losses[] = {FAULT_NODE_LOST, FAULT_DISK_LOST, FAULT_EMPTY_DISK,
	                                 FAULT_ROT, FAULT_EIO_WRITE};

	p->losses_left = draw_between(w, 2, 20);
	for (uint32_t i = 0; i < ARRAY_LEN(losses); i++)
		weight[losses[i]] = draw_below(w, 8);
}

/* Which kinds, how often. A run whose disks lie has little else: nobody else may be away then. */
static void draw_faults(struct scenario *s)
{
	static const uint8_t drawn[] = {
		FAULT_CRASH,       FAULT_POWER_CUT, FAULT_PAUSE,      FAULT_SIDES,
		FAULT_ONE_WAY,     FAULT_PAIRS,     FAULT_ALONE,      FAULT_WALL,
		FAULT_SLOW_DISK,   FAULT_FULL_DISK, FAULT_EIO_READ,   FAULT_EIO_WRITE,
		FAULT_DISK_LOST,   FAULT_NODE_LOST, FAULT_EMPTY_DISK, FAULT_SWAPPED_DISK,
		FAULT_ROT,         FAULT_LOST_WRITE, FAULT_MISDIRECTED, FAULT_LEAVE,
		FAULT_WEIGHT,      FAULT_DRAIN,     FAULT_GRACE,      FAULT_RECOVERY_OFF,
		FAULT_CLIENT_GONE,
	};
	static const uint8_t lies[] = {FAULT_OLD_DISK,  FAULT_CLONED_DISK, FAULT_CRASH,
	                               FAULT_WEIGHT,    FAULT_ROT,         FAULT_SLOW_DISK,
	                               FAULT_DISK_LOST, FAULT_CLIENT_GONE};
	struct world *w = s->w;
	struct fault_plan *p = &s->faults;
	uint8_t weight[FAULT_KINDS] = {0};
	uint32_t every_ms = draw_below(w, 10) ? draw_between(w, 300, 5000) : 0;
	bool lying = draw_below(w, 16) == 0;
	const uint8_t *kind = lying ? lies : drawn;
	uint32_t count = lying ? ARRAY_LEN(lies) : ARRAY_LEN(drawn);

	for (uint32_t i = 0; i < count; i++)
		weight[kind[i]] = draw_below(w, 3) == 0 || (lying && i < 2)
		                          ? draw_between(w, 1, lying && i < 2 ? 20 : 8)
		                          : 0;
	if (s->options->operators) /* drawn by nobody: other runs stay what they are */
		weight[FAULT_NODE_DRAIN] = weight[FAULT_MAINTENANCE] = 6;
	weight[FAULT_CRASH] += lying ? 0 : draw_below(w, 4); /* the mother of them all */
	p->lies = lying;
	p->losses_left = lying ? 3 : draw_below(w, 4);
	p->reckless = !lying && draw_below(w, 20) == 0;
	if (p->reckless)
		reckless_weights(w, p, weight);
	faults_add_network(w, p, FAULT_RESET, draw_below(w, 3) ? 0 : draw_below(w, 3000));
	faults_add_network(w, p, FAULT_SILENT,
	                   lying || draw_below(w, 6) ? 0 : draw_below(w, 300));
	faults_add_network(w, p, FAULT_DUPLICATE, draw_below(w, 2) ? 0 : draw_below(w, 20000));
	faults_add_network(w, p, FAULT_LATE, lying || draw_below(w, 2) ? 0 : draw_below(w, 20000));
	faults_draw(w, p, every_ms, SAFETY_LIMIT_S * SIM_SECOND, weight);
	p->dropped = s->options->dropped;
	faults_set_network(w, p);
}

void scenario_draw(struct scenario *s)
{
	struct world *w = s->w;

	draw_cluster(s);
	draw_profile(s);
	draw_faults(s);
	w->client_count = draw_between(w, 2, 5);
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_create(w, i);
	s->objects = draw_between(w, 3, s->big ? 12 : 8);
	s->ops = s->options->quick ? draw_skewed(w, 30, 80)
	                           : draw_skewed(w, 30, draw_below(w, 4) ? 150 : 400);
	if (s->options->salt)
		prng_init(&w->prng, hash64(s->options->seed) ^ hash64(~s->options->salt));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenario.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/check.h"
#include "tests/sim/scenario_draw.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

enum { POLL_MS = 500, RECKLESS_S = 15, STRAYS_S = 20 };

/* ---- Format ---- */

static void pool_ask(struct scenario *s)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;

	ask.verb = SF__ADMIN_REQUEST__VERB__POOL;
	ask.k = s->pool_k;
	ask.m = s->pool_m;
	fault_ask(s->w, &ask);
}

static bool run_format(struct scenario *s)
{
	struct world *w = s->w;
	uint64_t limit = w->now_us + FORMAT_LIMIT_S * SIM_SECOND;
	bool same = s->pool_k == s->format.k && s->pool_m == s->format.m;
	uint32_t pools = s->pool_k && !same && !s->pool_late ? 3 : 2;

	for (uint32_t i = 0; i + s->late_nodes < w->node_count; i++)
		sim_node_start(w, i);
	sim_client_format(w, 0, &s->format);
	while (!w->failed && !sim_member_map(w) && w->now_us < limit)
		world_run_until(w, w->now_us + 50 * SIM_MS);
	while (!w->failed && sim_member_map(w) && sim_member_map(w)->pool_count < pools &&
	       w->now_us < limit) {
		pool_ask(s);
		world_run_until(w, w->now_us + SIM_SECOND);
	}
	if (!sim_member_map(w) || sim_member_map(w)->pool_count < pools)
		world_fail(w, "the cluster was not formatted within %u s", FORMAT_LIMIT_S);
	return !w->failed;
}

/* ---- Safety ---- */

static void late_start(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	if (n->state != NODE_OFF)
		return;
	w->stats.fault[FAULT_LATE_JOIN]++;
	sim_node_start(w, n->index);
}

/* Until it is there: not every request arrives. */
static void late_pool(struct world *w, void *arg)
{
	struct scenario *s = arg;

	if (sim_member_map(w)->pool_count > 2)
		return;
	pool_ask(s);
	world_after(w, 3 * SIM_SECOND, late_pool, s, NULL);
}

static bool clients_idle(const struct world *w)
{
	for (uint32_t i = 0; i < w->client_count; i++)
		if (!sim_client_idle(w, i))
			return false;
	return true;
}

void scenario_poll(struct world *w, uint64_t ms)
{
	world_run_until(w, w->now_us + ms * SIM_MS);
	if (!w->failed)
		sim_nodes_ask_status(w);
}

void scenario_break(struct scenario *s)
{
	struct world *w = s->w;

	for (uint32_t i = w->node_count - s->late_nodes; i < w->node_count; i++)
		world_after(w, draw_below(w, 10 * SIM_SECOND), late_start, w->nodes[i], NULL);
	if (s->pool_late)
		world_after(w, hash64(s->options->seed + 1) % (10 * SIM_SECOND), late_pool, s, NULL);
	faults_start(w, &s->faults);
	if (!s->faults.lies)
		sim_member_start_faults(w);
}

static bool run_safety(struct scenario *s)
{
	struct world *w = s->w;
	struct workload *load;
	uint64_t limit = w->now_us + SAFETY_LIMIT_S * SIM_SECOND;

	workload_create(w, sim_member_map(w), s->objects);
	w->workload->swaps = s->options->swaps;
	load = w->workload;
	load->ops_left = s->ops;
	load->pause_max_us =
		draw_between(w, 1, 12) * SIM_SECOND * 4 * w->client_count / load->ops_left;
	load->big_ppm = draw_below(w, 5) ? 0 : 10000;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	scenario_break(s);
	while (!w->failed && w->now_us < limit && (load->ops_left || !clients_idle(w)))
		scenario_poll(w, POLL_MS);
	return !w->failed;
}

/* ---- Liveness ---- */

static bool work_over(const struct workload *load)
{
	return load->final || load->scrub ? load->final_next == load->object_count
	                                  : load->ops_left == 0;
}

bool scenario_until_clean(struct scenario *s, uint32_t limit_s, const char *phase)
{
	struct world *w = s->w;
	uint64_t start = w->now_us;
	char why[CHECK_WHY_LEN] = "";
	uint32_t calm = 0;

	while (!w->failed && w->now_us < start + limit_s * SIM_SECOND) {
		scenario_poll(w, POLL_MS);
		faults_stay_healed(w);
		/* Twice in a row: nothing is about to begin. */
		calm = work_over(w->workload) && clients_idle(w) && sim_nodes_at_rest(w) &&
		                       sim_member_is_settled(w) &&
		                       !check_clean(w, why)
		               ? calm + 1
		               : 0;
		if (calm == 2)
			return true;
	}
	if (!clients_idle(w))
		world_fail(w, "%s: clients wait still after %u s", phase, limit_s);
	else if (!sim_nodes_at_rest(w))
		world_fail(w, "%s: not every node is at rest after %u s; %s", phase, limit_s, why);
	else
		world_fail(w, "%s: not clean after %u s: %s", phase, limit_s, why);
	return false;
}

void scenario_heal(struct scenario *s)
{
	faults_heal(s->w, &s->faults);
	sim_member_heal(s->w);
}

static bool run_heal(struct scenario *s)
{
	struct world *w = s->w;
	uint64_t start = w->now_us;

	scenario_heal(s);
	if (!scenario_until_clean(s, HEAL_LIMIT_S, "after healing"))
		return false;
	w->stats.heal_ms = w->stats.heal_max_ms = (w->now_us - start) / SIM_MS;
	return true;
}

/* Every client asks about its share of all objects. */
static bool run_all_objects(struct scenario *s, bool *phase, const char *name)
{
	struct world *w = s->w;

	w->workload->final_next = 0;
	*phase = true;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	return scenario_until_clean(s, FINAL_LIMIT_S, name);
}

static bool run_scrub(struct scenario *s)
{
	struct world *w = s->w;
	char why[CHECK_WHY_LEN];

	if (!run_all_objects(s, &w->workload->scrub, "scrub"))
		return false;
	w->workload->scrub = false;
	/* A copy that is nobody's any more is not scrubbed; it goes when its PG's primary hears of it. */
	for (uint32_t i = 0; i < STRAYS_S * 1000 / POLL_MS && !w->failed && check_sound(w, why); i++)
		scenario_poll(w, POLL_MS);
	if (check_sound(w, why))
		world_fail(w, "after a scrub: %s", why);
	return !w->failed;
}

static bool run_final(struct scenario *s)
{
	s->final_moment = ++s->w->moment;
	return run_all_objects(s, &s->w->workload->final, "final reads");
}

/* More was lost than any redundancy makes good: nothing is promised but that no answer is wrong. */
static void run_reckless(struct scenario *s)
{
	struct world *w = s->w;
	uint64_t limit = w->now_us + RECKLESS_S * SIM_SECOND;

	w->stats.fault[FAULT_BEYOND] = s->faults.beyond > 0;
	scenario_heal(s);
	w->workload->ops_left += w->workload->object_count;
	while (!w->failed && w->now_us < limit)
		scenario_poll(w, POLL_MS);
}

/* ---- Checks ---- */

static void check_histories(struct scenario *s)
{
	struct world *w = s->w;
	const struct workload *load = w->workload;
	char why[CHECK_WHY_LEN];

	if (!load)
		return;
	if (s->final_moment && check_durable(&load->history, s->final_moment, why))
		world_fail(w, "%s", why);
	for (uint32_t i = 0; i < load->object_count; i++) {
		int result = check_linear(&load->history, i, load->objects[i].cells.count, why);

		w->stats.undecided += result > 0;
		if (result < 0)
			world_fail(w, "%s (oid %llx)", why,
			           (unsigned long long)load->objects[i].oid);
	}
	if (check_primary(&load->history, why))
		world_fail(w, "%s", why);
}

static void check_end(struct scenario *s)
{
	char why[CHECK_WHY_LEN];

	check_histories(s);
	if (check_bounds(s->w, why))
		world_fail(s->w, "%s", why);
}

static void tear_down(struct scenario *s)
{
	struct world *w = s->w;
	struct scenario_result *r = s->result;
	size_t leaked;

	w->stats.simulated_s = w->now_us / SIM_SECOND;
	stats_close(&w->stats);
	r->failed = w->failed;
	r->trace_hash = w->trace_hash;
	r->stats = w->stats;
	r->fault_count = s->faults.count;
	memcpy(r->faults, s->faults.v, sizeof(r->faults));
	if (w->failed)
		scenario_tell(s);
	/* Jobs that the queue still points to belong to the nodes: these go last but for the
	 * pool. */
	world_clear(w);
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_destroy(w, i);
	for (uint32_t i = 0; i < w->node_count; i++)
		sim_node_destroy(w, i);
	workload_destroy(w);
	sim_member_destroy(w->member);
	sim_net_destroy(w->net);
	leaked = buf_pool_used_bytes(w->pool) - s->pool_before;
	if (leaked) {
		size_t len = strlen(r->why);

		r->failed = true;
		snprintf(r->why + len, sizeof(r->why) - len, "%zu bytes of buffers leaked", leaked);
		w->pool_borrowed = true; /* or its end would assert */
	}
	world_destroy(w);
}

void scenario_run(const struct scenario_options *options, struct scenario_result *ret)
{
	struct scenario s = {.options = options, .result = ret};
	struct world *w = s.w = world_create(options->seed, options->trace, options->pool);

	memset(ret, 0, sizeof(*ret));
	s.pool_before = buf_pool_used_bytes(w->pool);
	w->net = sim_net_create(w);
	w->member = sim_member_create(w);
	scenario_draw(&s);
	sim_member_use(w, options->driver);
	if (options->volumes) {
		if (run_format(&s))
			options->volumes(&s);
	} else if (run_format(&s) && run_safety(&s)) {
		if (s.faults.reckless)
			run_reckless(&s);
		else if (run_heal(&s) && run_scrub(&s))
			run_final(&s);
	}
	check_end(&s);
	tear_down(&s);
}

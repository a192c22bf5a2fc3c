/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/math.h"
#include "tests/sim/check.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

enum {
	FORMAT_LIMIT_S = 60,
	SAFETY_LIMIT_S = 40,
	HEAL_LIMIT_S = 240,
	FINAL_LIMIT_S = 60,
	POLL_MS = 500,
	DISK_QUEUE_MAX = 4096,
	NET_MAX = 50000,
};

struct scenario {
	const struct scenario_options *options;
	struct world *w;
	struct sim_format format;
	uint32_t slots;      /* of the wider pool */
	uint32_t late_nodes; /* start after the format */
	uint32_t objects;
	struct fault_plan faults;
	uint64_t final_moment;
	struct scenario_result *result;
};

void stats_add(struct sim_stats *a, const struct sim_stats *b)
{
	a->events += b->events;
	a->messages += b->messages;
	a->disk_jobs += b->disk_jobs;
	a->epochs += b->epochs;
	a->ops_ok += b->ops_ok;
	a->ops_open += b->ops_open;
	a->retries += b->retries;
	a->undecided += b->undecided;
	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		a->faults[i] += b->faults[i];
}

/* ---- Draws ---- */

static void draw_format(struct scenario *s)
{
	static const uint8_t kinds[][2] = {{1, 1}, {1, 2}, {1, 2}, {2, 1},
	                                   {2, 1}, {2, 2}, {3, 2}, {4, 2}};
	const uint8_t *kind;
	uint32_t limit = s->options->nodes ? s->options->nodes : 9;

	do
		kind = kinds[draw_below(s->w, ARRAY_LEN(kinds))];
	while ((uint32_t)kind[0] + kind[1] > limit);
	s->format = (struct sim_format){
		.k = kind[0],
		.m = kind[1],
		.object_shift = 20,
		.grace_ms = draw_between(s->w, 2, 12) * 1000,
	};
}

static void draw_cluster(struct scenario *s)
{
	struct world *w = s->w;
	uint32_t n = s->format.k + s->format.m;
	uint32_t nodes = s->options->nodes;
	uint32_t zones;

	if (!nodes)
		nodes = draw_skewed(w, MAX(n, 3u), MIN(n + 4, 9u));
	zones = draw_below(w, 2) ? nodes : draw_between(w, 1, nodes);
	w->node_count = nodes;
	for (uint32_t i = 0; i < nodes; i++)
		sim_node_create(w, i, draw_below(w, 2) ? 1 : draw_between(w, 1, 3), i % zones);
	s->slots = MAX(n, MIN(3u, nodes));
	if (nodes > s->slots && draw_below(w, 3) == 0)
		s->late_nodes = draw_between(w, 1, nodes - s->slots);
	sim_member_set_pg_count(w, 1u << draw_below(w, 4));
}

static void draw_profile(struct scenario *s)
{
	struct world *w = s->w;
	struct sim_profile *f = &w->profile;

	*f = (struct sim_profile){
		.delay_min_us = 50,
		.delay_max_us = draw_between(w, 200, 5000),
		.slow_ppm = draw_below(w, 2) ? 0 : draw_below(w, 20000),
		.slow_max_us = draw_between(w, 1, draw_below(w, 2) ? 2000 : 9000) * 1000,
		.reset_ppm = draw_below(w, 3) ? 0 : draw_below(w, 3000),
		.silent_ppm = draw_below(w, 6) ? 0 : draw_below(w, 300),
		.dup_ppm = draw_below(w, 2) ? 0 : draw_below(w, 20000),
		.fifo = draw_below(w, 2),
		.codec = draw_below(w, 2),
		.disk_min_us = 20,
		.disk_max_us = draw_between(w, 50, 2000),
		.sync_us = draw_between(w, 50, 10000),
		.reads_overtake = draw_below(w, 2),
		.ping_ms = 300,
		.lease_ms = 1000,
		.session_ms = draw_between(w, 1600, 3000),
		.notify_max_us = draw_between(w, 500, 100000),
		.compute_max_us = draw_below(w, 2) ? 100 : 3000,
	};
}

static void draw_faults(struct scenario *s)
{
	struct world *w = s->w;
	struct fault_plan *p = &s->faults;
	static const uint8_t drawn[] = {FAULT_CRASH,       FAULT_POWER_CUT, FAULT_PAUSE,
	                                FAULT_PARTITION,   FAULT_NODE_LOST, FAULT_DISK_FAIL,
	                                FAULT_CLIENT_GONE, FAULT_ROT};

	/* One run in ten has no faults but those of the network. */
	p->every_ms = draw_below(w, 10) ? draw_between(w, 300, 6000) : 0;
	for (uint32_t i = 0; i < ARRAY_LEN(drawn); i++)
		p->weight[drawn[i]] = draw_below(w, 2) ? draw_between(w, 1, 8) : 0;
	p->lost_max = draw_below(w, 4);
	p->min_nodes = s->slots;
}

/* ---- Phases ---- */

static bool run_format(struct scenario *s)
{
	struct world *w = s->w;
	uint64_t limit = w->now_us + FORMAT_LIMIT_S * SIM_SECOND;

	for (uint32_t i = 0; i + s->late_nodes < w->node_count; i++)
		sim_node_start(w, i);
	sim_client_format(w, 0, &s->format);
	while (!w->failed && !sim_member_map(w) && w->now_us < limit)
		world_run_until(w, w->now_us + 50 * SIM_MS);
	if (!sim_member_map(w))
		world_fail(w, "the cluster was not formatted within %u s", FORMAT_LIMIT_S);
	return !w->failed;
}

static void late_start(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	if (n->state != NODE_OFF)
		return;
	w->stats.faults[FAULT_LATE_JOIN]++;
	sim_node_start(w, n->index);
}

static bool clients_idle(const struct world *w)
{
	for (uint32_t i = 0; i < w->client_count; i++)
		if (!sim_client_idle(w, i))
			return false;
	return true;
}

static bool run_safety(struct scenario *s)
{
	struct world *w = s->w;
	struct workload *load;
	uint64_t limit = w->now_us + SAFETY_LIMIT_S * SIM_SECOND;

	workload_create(w, sim_member_epoch(w, 1), s->objects);
	load = w->workload;
	load->ops_left = draw_skewed(w, 50, s->options->quick ? 100 : 400);
	load->pause_max_us =
		draw_between(w, 1, 12) * SIM_SECOND * 4 * w->client_count / load->ops_left;
	load->big_ppm = draw_below(w, 5) ? 0 : 10000;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	for (uint32_t i = w->node_count - s->late_nodes; i < w->node_count; i++)
		world_after(w, draw_below(w, 10 * SIM_SECOND), late_start, w->nodes[i], NULL);
	faults_start(w, &s->faults);
	while (!w->failed && w->now_us < limit && (load->ops_left || !clients_idle(w)))
		world_run_until(w, w->now_us + 100 * SIM_MS);
	return !w->failed;
}

static bool run_until_clean(struct scenario *s, uint32_t limit_s, const char *phase)
{
	struct world *w = s->w;
	uint64_t start = w->now_us;
	char why[CHECK_WHY_LEN] = "";
	uint32_t calm = 0;

	while (!w->failed && w->now_us < start + limit_s * SIM_SECOND) {
		bool over = w->workload->final
		                    ? w->workload->final_next == w->workload->object_count
		                    : w->workload->ops_left == 0;

		world_run_until(w, w->now_us + POLL_MS * SIM_MS);
		/* Twice in a row: nothing is about to begin. */
		calm = over && clients_idle(w) && sim_nodes_at_rest(w) && !check_clean(w, why)
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

static bool run_final(struct scenario *s)
{
	struct world *w = s->w;

	s->final_moment = ++w->moment;
	w->workload->final = true;
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_work(w, i);
	return run_until_clean(s, FINAL_LIMIT_S, "final reads");
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
}

static void check_bounds(struct scenario *s)
{
	struct world *w = s->w;

	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count; d++)
			if (disk_queue_peak(w->nodes[i]->queues[d]) > DISK_QUEUE_MAX)
				world_fail(w, "node %u had %u jobs queued for one disk", i,
				           disk_queue_peak(w->nodes[i]->queues[d]));
	if (sim_net_in_flight(w) > NET_MAX)
		world_fail(w, "%u messages are under way", sim_net_in_flight(w));
}

static void say(struct scenario_result *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct scenario_result *r, const char *fmt, ...)
{
	size_t len = strlen(r->why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why + len, sizeof(r->why) - len, fmt, ap);
	va_end(ap);
}

/* What every disk holds of an object. */
static void dump_object(struct scenario *s, const struct sim_object *o)
{
	struct world *w = s->w;
	uint32_t pg = place_pg_of(map_find_pool(sim_member_map(w), o->pool), o->oid);

	say(s->result, "\n  oid %llx pg %u.%u:", (unsigned long long)o->oid, o->pool, pg);
	for (uint32_t i = 0; i < w->node_count; i++) {
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count; d++) {
			const struct disk_pg *held =
				sim_disk_pg(&w->nodes[i]->disks[d], o->pool, pg);

			for (uint32_t j = 0; held && j < held->shard_count; j++)
				if (held->shards[j].oid == o->oid)
					say(s->result, " n%u.%u shard %u at %llx pending %llx%s%s;",
					    i, d, held->shards[j].number,
					    (unsigned long long)held->shards[j].committed.version,
					    (unsigned long long)held->shards[j].pending.version,
					    held->shards[j].committed.tombstone ? " tombstone" : "",
					    held->shards[j].committed.damaged ? " damaged" : "");
		}
	}
}

static void dump_state(struct scenario *s)
{
	struct world *w = s->w;
	struct scenario_result *r = s->result;
	const struct map *map = sim_member_map(w);

	say(r, "%s\n  at %.3f s, epoch %u, %u nodes, %u:%u", w->failure, w->now_us / 1e6,
	    map ? map->epoch : 0, w->node_count, s->format.k, s->format.m);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_node *n = w->nodes[i];
		const struct map *seen = n->core ? node_map(n->core) : NULL;

		say(r, "\n  n%u %s epoch %u%s", i,
		    n->state == NODE_GONE  ? "gone"
		    : n->state == NODE_OFF ? "off"
		                           : "running",
		    seen ? seen->epoch : 0,
		    n->core && !node_is_quiet(n->core) ? ", not at rest" : "");
	}
	for (uint32_t i = 0; i < w->client_count; i++) {
		char text[OP_TEXT_LEN + 100];

		if (sim_client_idle(w, i))
			continue;
		sim_client_text(w, i, text, sizeof(text));
		say(r, "\n  %s", text);
		dump_object(s, sim_client_object(w, i));
	}
}

static void tear_down(struct scenario *s)
{
	struct world *w = s->w;
	struct scenario_result *r = s->result;

	r->failed = w->failed;
	r->trace_hash = w->trace_hash;
	r->stats = w->stats;
	if (w->failed)
		dump_state(s);
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
	if (buf_pool_used_bytes(w->pool) != 0) {
		r->failed = true;
		say(r, "%zu bytes of buffers leaked", buf_pool_used_bytes(w->pool));
		return; /* the pool would assert */
	}
	world_destroy(w);
}

void scenario_run(const struct scenario_options *options, struct scenario_result *ret)
{
	struct scenario s = {.options = options, .result = ret};
	struct world *w = s.w = world_create(options->seed, options->trace);

	memset(ret, 0, sizeof(*ret));
	w->net = sim_net_create(w);
	w->member = sim_member_create(w);
	draw_format(&s);
	draw_cluster(&s);
	draw_profile(&s);
	draw_faults(&s);
	w->client_count = draw_between(w, 2, 5);
	for (uint32_t i = 0; i < w->client_count; i++)
		sim_client_create(w, i);
	s.objects = draw_between(w, 3, 8);
	if (run_format(&s) && run_safety(&s)) {
		faults_heal(w, &s.faults);
		if (run_until_clean(&s, HEAL_LIMIT_S, "after healing"))
			run_final(&s);
	}
	check_histories(&s);
	check_bounds(&s);
	tear_down(&s);
}

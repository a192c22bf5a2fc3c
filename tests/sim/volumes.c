/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/volumes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/lib/meta_object.h"
#include "lib/base/mem.h"
#include "tests/sim/scenario_draw.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/vol_run.h"
#include "tests/sim/workload.h"

enum { OPS_MAX = 60, QUIET_OPS = 10, WORK_LIMIT_S = 60, END_LIMIT_S = 900, LEASE_MS = 10000, CLIENT_TIMEOUT_MS = 3600 * 1000 };

static struct vol_run *run_of(const struct world *w)
{
	return w->guest->arg;
}

/* ---- Processes ---- */

static bool process_settles(struct vol_process *p)
{
	for (uint32_t i = 0; i < VOL_NAMES; i++) {
		struct vol_name *n = &p->run->names[i];

		if (!n->unsure || n->busy || n->readers)
			continue;
		n->busy = true;
		p->settles = n;
		if (!vol_settle(p, n))
			lib_sleep_us(SIM_SECOND);
		p->settles = NULL;
		n->busy = false;
		return true;
	}
	return false;
}

static void op_ends(struct vol_process *p, int err)
{
	struct vol_op *op = &p->op;
	struct vol_run *r = p->run;
	char text[160];

	vol_op_text(op, text, sizeof(text));
	world_trace(r->w, "process %u: %s: %d %s", p->client, text, err, err ? sf_error() : "");
	p->working = false;
	vol_op_release(op);
	if (err && !vol_may_fail(err))
		world_fail(r->w, "volumes: %s failed: %d %s", text, err, sf_error());
	r->done[op->kind] += !err;
	r->failed[op->kind] += err != 0;
	if (err) {
		op->name->unsure = op->name->left = true;
		op->name->last = *op;
	} else if (op->kind != VOL_READ) {
		op->name->now = op->after;
	}
}

static void process_works(struct vol_process *p)
{
	char text[160];

	if (!p->run->ops_left || !vol_op_draw(p->run, &p->op)) {
		lib_sleep_us(300 * SIM_MS);
		return;
	}
	p->run->ops_left--;
	p->working = true;
	vol_op_text(&p->op, text, sizeof(text));
	world_trace(p->run->w, "process %u begins: %s", p->client, text);
	op_ends(p, vol_op_do(p, &p->op));
}

static void process_main(void *arg)
{
	struct vol_process *p = arg;
	struct sf_options o = {.timeout_ms = CLIENT_TIMEOUT_MS, .window = 4, .lease_ms = LEASE_MS};
	int err = lib_connect(p->host, &o, &p->cluster);

	if (err)
		world_fail(p->run->w, "volumes: process %u cannot connect: %d %s", p->client, err, sf_error());
	while (!err && !p->run->stopping) {
		if (draw_below(p->run->w, 2) || !process_settles(p))
			process_works(p);
		lib_sleep_us(draw_below(p->run->w, 300 * SIM_MS));
	}
	p->over = true;
}

static void process_start(struct world *w, void *arg)
{
	struct vol_process *p = arg;

	p->over = false;
	p->host = host_start(w, p->client, process_main, p);
}

/* Its connections are broken already, or will be. */
static void process_vanish(struct vol_process *p)
{
	struct vol_run *r = p->run;

	if (!p->host || !host_is_alive(p->host) || p->over)
		return;
	world_trace(r->w, "process %u vanishes%s", p->client, p->working ? " at work" : "");
	host_kill(p->host);
	r->vanished++;
	if (p->working) {
		p->op.name->unsure = p->op.name->left = true;
		p->op.name->last = p->op;
		vol_op_release(&p->op);
	} else if (p->settles) {
		p->settles->busy = false;
		p->settles->left = true;
	}
	p->working = false;
	p->settles = NULL;
	world_after(r->w, draw_below(r->w, 2 * SIM_SECOND), process_start, p, NULL);
}

/* Now and then, at any point of what somebody does. */
static void vanish_somebody(struct world *w, void *arg)
{
	struct vol_run *r = arg;
	struct vol_process *p = &r->processes[draw_below(w, w->client_count)];

	if (r->stopping)
		return;
	world_after(w, draw_between(w, 1, 8) * SIM_SECOND, vanish_somebody, r, NULL);
	if (!p->working && draw_below(w, 4))
		return;
	for (uint32_t i = 0; i < w->node_count; i++)
		sim_net_reset(w, SIM_CLIENT_0 + p->client, i);
	process_vanish(p);
}

static void guest_take(struct world *w, uint32_t client, uint32_t node, uint64_t conn, struct msg *msg)
{
	struct host *h = run_of(w)->processes[client].host;

	if (h)
		lib_net_take(h, node, conn, msg);
	else
		msg_destroy(msg);
}

static void guest_lost(struct world *w, uint32_t client, uint32_t node, uint64_t conn)
{
	struct host *h = run_of(w)->processes[client].host;

	if (h)
		lib_net_lost(h, node, conn);
}

static void guest_replace(struct world *w, uint32_t client)
{
	process_vanish(&run_of(w)->processes[client]);
}

/* ---- When all is well again ---- */

static void op_quietly(struct vol_process *p)
{
	if (!vol_op_draw(p->run, &p->op))
		return;
	op_ends(p, vol_op_do(p, &p->op));
	if (p->op.name->unsure)
		world_fail(p->run->w, "volumes: an operation failed though nothing is wrong: %s", sf_error());
}

static void name_delete(struct vol_process *p, struct vol_name *n)
{
	int err = 0;

	while (!err && n->now.snap_count) {
		uint32_t i = (uint32_t)draw_below(p->run->w, n->now.snap_count);

		err = sf_snapshot_delete(p->cluster, n->name, n->now.snap[i].tag);
		vol_forget(&n->now, i);
	}
	/* And with it what was left lying. */
	if (!err && (n->now.work.id || n->left))
		err = sf_volume_delete(p->cluster, n->name);
	if (err == -ENOENT && !n->now.work.id)
		err = 0;
	n->now.work = (struct vol_image){0};
	if (err)
		world_fail(p->run->w, "volumes: deleting %s failed: %d %s", n->name, err, sf_error());
}

static void closer_main(void *arg)
{
	struct vol_process *p = arg;
	struct vol_run *r = p->run;
	struct sf_options o = {.timeout_ms = CLIENT_TIMEOUT_MS, .window = 4, .lease_ms = LEASE_MS};

	if (lib_connect(p->host, &o, &p->cluster)) {
		world_fail(r->w, "volumes: cannot connect though nothing is wrong: %s", sf_error());
		return;
	}
	while (process_settles(p) && !r->w->failed)
		;
	for (uint32_t i = 0; i < VOL_NAMES && !r->w->failed; i++)
		vol_check_contents(p, &r->names[i]);
	vol_check_list(p);
	for (uint32_t i = 0; i < QUIET_OPS && !r->w->failed; i++) {
		op_quietly(p);
		vol_check_list(p);
	}
	for (uint32_t i = 0; i < VOL_NAMES && !r->w->failed; i++)
		name_delete(p, &r->names[i]);
	if (!r->w->failed)
		vol_check_list(p);
	p->over = true;
}

/* Locks of processes that vanished stay until somebody wants them. */
static bool may_be_left(const struct vol_run *r, uint32_t pool, uint64_t oid)
{
	return r->vanished && pool == POOL_META && oid >> 60 == OID_TYPE_LOCK;
}

static void disk_check_empty(struct vol_run *r, const struct sim_disk *d)
{
	for (uint32_t i = 0; i < d->pg_count; i++)
		for (uint32_t j = 0; j < d->pgs[i].shard_count; j++)
			if (!may_be_left(r, d->pgs[i].pool, d->pgs[i].shards[j].oid))
				world_fail(r->w, "volumes: all is deleted, and object %llx of pool %u is left",
				           (unsigned long long)d->pgs[i].shards[j].oid, d->pgs[i].pool);
}

static void check_empty(struct vol_run *r)
{
	const struct map *map = sim_member_map(r->w);

	for (uint32_t i = 0; i < r->w->node_count; i++) {
		const struct sim_node *n = r->w->nodes[i];

		for (uint32_t d = 0; n->state != NODE_GONE && d < n->info.disk_count; d++) {
			const struct map_disk *known = map_find_disk(map, n->disks[d].id);

			if (known && map_disk_up(map, known) && !n->disks[d].failed)
				disk_check_empty(r, &n->disks[d]);
		}
	}
}

/* ---- Phases ---- */

static bool processes_over(const struct vol_run *r)
{
	for (uint32_t i = 0; i < r->w->client_count; i++)
		if (!r->processes[i].over)
			return false;
	return true;
}

static void run_prepare(struct vol_run *r)
{
	const struct map *map = sim_member_map(r->w);

	for (uint32_t i = 0; i < map->pool_count && r->kind_count < 3; i++) {
		if (map->pools[i].id == POOL_META)
			continue;
		r->kinds[r->kind_count][0] = map->pools[i].k;
		r->kinds[r->kind_count++][1] = map->pools[i].m;
	}
	for (uint32_t i = 0; i < VOL_NAMES; i++)
		snprintf(r->names[i].name, sizeof(r->names[i].name), "vol%u", i);
	for (uint32_t i = 0; i < r->w->client_count; i++) {
		r->processes[i].run = r;
		r->processes[i].client = i;
		r->processes[i].bytes = xmalloc((size_t)VOL_BLOCKS * VOL_BLOCK);
		process_start(r->w, &r->processes[i]);
	}
}

static bool run_until_over(struct vol_run *r, const char *phase)
{
	struct world *w = r->w;
	uint64_t limit = w->now_us + END_LIMIT_S * SIM_SECOND;

	while (!w->failed && !processes_over(r) && w->now_us < limit)
		scenario_poll(w, 500);
	for (uint32_t i = 0; i < w->client_count && !w->failed; i++) {
		char text[160] = "nothing";

		if (r->processes[i].over)
			continue;
		if (r->processes[i].working)
			vol_op_text(&r->processes[i].op, text, sizeof(text));
		world_fail(w, "after healing: process %u is still at %s after %u s (%s)", i, text, END_LIMIT_S, phase);
	}
	return !w->failed;
}

static void run_phases(struct scenario *s, struct vol_run *r)
{
	struct world *w = s->w;
	uint64_t limit = w->now_us + WORK_LIMIT_S * SIM_SECOND;

	run_prepare(r);
	world_after(w, draw_below(w, 10 * SIM_SECOND), vanish_somebody, r, NULL);
	scenario_break(s);
	while (!w->failed && w->now_us < limit && r->ops_left)
		scenario_poll(w, 500);
	scenario_heal(s);
	r->stopping = true;
	if (!run_until_over(r, "the last operations") || !scenario_until_clean(s, HEAL_LIMIT_S, "after healing"))
		return;
	r->processes[0].over = false;
	r->processes[0].host = host_start(w, 0, closer_main, &r->processes[0]);
	if (run_until_over(r, "deleting all") && scenario_until_clean(s, HEAL_LIMIT_S, "after deleting all"))
		check_empty(r);
}

void volumes_run(struct scenario *s)
{
	struct world *w = s->w;
	struct vol_run *r = xcalloc(1, sizeof(*r));
	struct sim_guest guest = {guest_take, guest_lost, guest_replace, r};

	if (s->faults.reckless) { /* nothing is promised that a model could say */
		free(r);
		return;
	}
	r->w = w;
	r->ops_left = (uint32_t)draw_between(w, 10, s->options->quick ? 25 : OPS_MAX);
	/* Of the bound on time that a lock rests on (lock.h): an old message arrives within a quarter of a lease. */
	w->profile.slow_max_us = w->profile.slow_max_us > 2 * SIM_SECOND ? 2 * SIM_SECOND : w->profile.slow_max_us;
	workload_create(w, sim_member_map(w), s->objects);
	w->guest = &guest;
	lib_open(w);
	run_phases(s, r);
	world_clear(w);
	lib_close();
	w->guest = NULL;
	for (uint32_t i = 0; i < w->client_count; i++)
		free(r->processes[i].bytes);
	world_trace(w, "volumes: %u processes vanished, %u times an unsure name was settled", r->vanished, r->settled);
	free(r);
}

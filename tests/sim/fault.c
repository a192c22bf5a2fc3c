/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/fault.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

/* ---- What several faults need ---- */

void fault_say(struct world *w, struct fault *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	world_trace(w, "fault: %s", f->text);
}

uint32_t fault_draw_running(struct world *w)
{
	uint32_t node = draw_below(w, w->node_count);

	for (uint32_t i = 0; i < w->node_count; i++, node = (node + 1) % w->node_count)
		if (sim_node_is_running(w, node))
			return node;
	return UINT32_MAX;
}

uint64_t fault_draw_away(struct world *w)
{
	/* Back before anybody noticed, soon, or after it was declared out. */
	return draw_skewed(w, 20 * SIM_MS, 20 * SIM_SECOND);
}

static void node_restart(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	if (n->state == NODE_OFF)
		sim_node_start(w, n->index);
}

void fault_restart_after(struct world *w, uint32_t node, uint64_t delay_us)
{
	world_after(w, delay_us, node_restart, w->nodes[node], NULL);
}

void fault_ask(struct world *w, void *request)
{
	const Sf__AdminRequest *ask = request;
	uint32_t node = fault_draw_running(w);
	struct msg *m;

	if (node == UINT32_MAX)
		return;
	m = msg_create(MSG_ADMIN);
	m->blob_len = sf__admin_request__get_packed_size(ask);
	m->blob = xmalloc(m->blob_len + 1);
	sf__admin_request__pack(ask, m->blob);
	sim_node_operator_msg(w, node, m);
}

/* ---- The list ---- */

static enum sim_fault kind_draw(struct world *w, const uint8_t weight[FAULT_KINDS])
{
	uint32_t sum = 0, at;

	for (uint32_t i = 0; i < FAULT_KINDS; i++)
		sum += weight[i];
	at = draw_below(w, MAX(sum, 1u));
	for (uint32_t i = 0; i < FAULT_KINDS; i++) {
		if (at < weight[i])
			return i;
		at -= weight[i];
	}
	return FAULT_KINDS;
}

void faults_draw(struct world *w, struct fault_plan *plan, uint32_t every_ms, uint64_t span_us,
                 const uint8_t weight[FAULT_KINDS])
{
	uint64_t at = 0;

	while (every_ms && plan->count < FAULTS_MAX) {
		struct fault f = {.kind = kind_draw(w, weight), .seed = draw_id(w)};

		at += 1 + draw_below(w, 2 * every_ms) * SIM_MS;
		if (f.kind == FAULT_KINDS || at > span_us)
			return;
		f.at_us = at;
		plan->v[plan->count++] = f;
	}
}

void faults_add_network(struct world *w, struct fault_plan *plan, enum sim_fault kind, uint32_t ppm)
{
	struct fault *f = &plan->v[plan->count];

	if (!ppm || plan->count == FAULTS_MAX)
		return;
	plan->count++;
	*f = (struct fault){.kind = kind, .ppm = ppm, .happened = true};
	snprintf(f->text, sizeof(f->text), "%s: %u of a million", sim_fault_name[kind], ppm);
}

void faults_set_network(struct world *w, const struct fault_plan *plan)
{
	struct sim_profile *p = &w->profile;

	p->reset_ppm = p->silent_ppm = p->dup_ppm = p->slow_ppm = 0;
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct fault *f = &plan->v[i];
		uint32_t *rate = f->kind == FAULT_RESET       ? &p->reset_ppm
		                 : f->kind == FAULT_SILENT    ? &p->silent_ppm
		                 : f->kind == FAULT_DUPLICATE ? &p->dup_ppm
		                 : f->kind == FAULT_LATE      ? &p->slow_ppm
		                                              : NULL;

		if (rate && !(plan->dropped & 1ull << i))
			*rate = f->ppm;
	}
}

/* ---- Carrying it out ---- */

static bool fault_carry_out(struct world *w, struct fault_plan *plan, struct fault *f)
{
	switch (f->kind) {
	case FAULT_SIDES:
	case FAULT_ONE_WAY:
	case FAULT_PAIRS:
	case FAULT_ALONE:
		return budget_away(w, plan) && fault_net(w, f);
	case FAULT_CRASH:
	case FAULT_POWER_CUT:
	case FAULT_PAUSE:
	case FAULT_LEAVE:
	case FAULT_SWAPPED_DISK:
		return budget_away(w, plan) && fault_node(w, plan, f);
	case FAULT_NODE_LOST:
	case FAULT_WALL:
	case FAULT_WEIGHT:
	case FAULT_GRACE:
	case FAULT_RECOVERY_OFF:
	case FAULT_NODE_DRAIN:
	case FAULT_MAINTENANCE:
		return fault_node(w, plan, f);
	case FAULT_ROT:
	case FAULT_LOST_WRITE:
	case FAULT_MISDIRECTED:
		return fault_damage(w, plan, f);
	case FAULT_CLIENT_GONE:
		fault_say(w, f, "a client goes away");
		sim_client_replace(w, draw_below(w, w->client_count));
		return true;
	default:
		return fault_disk(w, plan, f);
	}
}

struct fault_turn {
	struct fault_plan *plan;
	uint32_t index;
};

static void fault_turn(struct world *w, void *arg)
{
	struct fault_turn *t = arg;
	struct fault *f = &t->plan->v[t->index];
	struct prng of_run = w->prng;

	if (!t->plan->over) {
		/* Draws of its own: the run around it does not depend on what it needs. */
		prng_init(&w->prng, f->seed);
		f->happened = fault_carry_out(w, t->plan, f);
		w->prng = of_run;
		w->stats.fault[f->kind] += f->happened;
	}
	free(t);
}

void faults_start(struct world *w, struct fault_plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++) {
		struct fault_turn *t;

		if (!plan->v[i].at_us || (plan->dropped & 1ull << i))
			continue;
		t = xmalloc(sizeof(*t));
		*t = (struct fault_turn){plan, i};
		world_after(w, plan->v[i].at_us, fault_turn, t, free);
	}
}

static void disks_heal(struct world *w, struct sim_node *n)
{
	for (uint32_t i = 0; i < n->info.disk_count; i++) {
		n->disks[i].limit_bytes = 0;
		n->disks[i].slow_until_us = 0;
		n->disks[i].eio_reads = n->disks[i].eio_writes = false;
	}
}

/* Copies of disks go back to where they came from: empty ones stand in for them. */
static void clones_part(struct world *w, struct sim_node *n)
{
	const struct map *map = sim_member_map(w);

	for (uint32_t i = 0; n->state != NODE_GONE && i < n->info.disk_count; i++) {
		const struct map_disk *d = map_find_disk(map, n->disks[i].id);
		uint32_t owner = d ? sim_node_by_id(w, d->node) : UINT32_MAX;

		if (owner == UINT32_MAX || owner == n->index || w->nodes[owner]->state == NODE_GONE ||
		    !sim_node_has_disk(w->nodes[owner], d->id))
			continue;
		if (n->state == NODE_RUNNING)
			sim_node_crash(w, n->index);
		sim_node_replace_disk(w, n->index, i);
	}
}

static void recovery_ask_on(struct world *w)
{
	Sf__AdminRequest on = SF__ADMIN_REQUEST__INIT;

	on.verb = SF__ADMIN_REQUEST__VERB__RECOVERY;
	on.enable = true;
	fault_ask(w, &on);
}

/* Nodes that were drained and down have left, and come back as new ones. */
static void operators_end(struct world *w)
{
	const struct map *map = sim_member_map(w);

	for (uint32_t i = 0; i < map->node_count; i++) {
		Sf__AdminRequest off = SF__ADMIN_REQUEST__INIT;
		uint32_t flags = map->nodes[i].flags;

		if (!(flags & (NODE_DRAIN | NODE_MAINTENANCE)))
			continue;
		off.verb = flags & NODE_DRAIN ? SF__ADMIN_REQUEST__VERB__DRAIN
		                              : SF__ADMIN_REQUEST__VERB__MAINTENANCE;
		off.node = map->nodes[i].id;
		fault_ask(w, &off);
	}
}

void faults_stay_healed(struct world *w)
{
	operators_end(w);
	if (sim_member_map(w)->flags & MAP_RECOVERY_DISABLED)
		recovery_ask_on(w);
}

void faults_heal(struct world *w, struct fault_plan *plan)
{
	world_trace(w, "healed");
	plan->over = true;
	w->profile.reset_ppm = w->profile.silent_ppm = w->profile.slow_ppm = 0;
	sim_net_heal_all(w);
	for (uint32_t i = 0; i < w->node_count; i++) {
		disks_heal(w, w->nodes[i]);
		clones_part(w, w->nodes[i]);
		if (w->nodes[i]->state == NODE_OFF)
			sim_node_start(w, i);
	}
	recovery_ask_on(w);
}

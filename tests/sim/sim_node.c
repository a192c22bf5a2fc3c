/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/cover.h"
#include "tests/sim/sim_client.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"

enum { TICK_MS = 100 };

struct sim_node *sim_node_create(struct world *w, uint32_t index, uint32_t disk_count,
                                 uint32_t zone)
{
	struct sim_node *n = xcalloc(1, sizeof(*n));

	assert(index < SIM_MAX_NODES && disk_count <= SIM_MAX_DISKS);
	n->index = index;
	n->info.id = draw_id(w);
	n->info.zone = zone;
	n->info.port = 7000 + index;
	n->info.disk_count = disk_count;
	snprintf(n->info.addr, sizeof(n->info.addr), "10.0.0.%u", index + 1);
	n->clock_ms = draw_below(w, 1000000);
	for (uint32_t i = 0; i < disk_count; i++) {
		n->info.disks[i].id = draw_id(w);
		n->info.disks[i].weight = draw_chance(w, 250000) ? draw_between(w, 1, 4) : 2;
		sim_disk_init(&n->disks[i], n->info.disks[i].id);
		n->queues[i] = disk_queue_create(index, i);
	}
	w->nodes[index] = n;
	return n;
}

void sim_node_destroy(struct world *w, uint32_t index)
{
	struct sim_node *n = w->nodes[index];

	if (!n)
		return;
	node_destroy(n->core);
	for (uint32_t i = 0; i < n->info.disk_count; i++) {
		sim_disk_fini(&n->disks[i]);
		disk_queue_destroy(n->queues[i]);
	}
	free(n->log);
	free(n);
	w->nodes[index] = NULL;
}

bool sim_node_is_running(const struct world *w, uint32_t index)
{
	return w->nodes[index]->state == NODE_RUNNING;
}

bool sim_node_is_paused(const struct world *w, uint32_t index)
{
	return sim_node_is_running(w, index) && w->nodes[index]->paused_until_us > w->now_us;
}

uint32_t sim_node_life(const struct world *w, uint32_t index)
{
	return w->nodes[index]->life;
}

bool sim_node_is_life(const struct world *w, uint32_t index, uint32_t life)
{
	return sim_node_is_running(w, index) && w->nodes[index]->life == life;
}

uint64_t sim_node_now_ms(const struct world *w, const struct sim_node *n)
{
	return sim_node_clock_ms(n, w->now_us);
}

uint64_t sim_node_clock_ms(const struct sim_node *n, uint64_t at_us)
{
	int64_t drift_us = (int64_t)at_us * n->drift_ppm / 1000000;

	return n->clock_ms + (at_us + drift_us) / SIM_MS;
}

uint32_t sim_node_by_id(const struct world *w, uint64_t id)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		if (w->nodes[i]->info.id == id)
			return i;
	return UINT32_MAX;
}

static bool node_at_rest(const struct world *w, uint32_t index)
{
	const struct sim_node *n = w->nodes[index];
	const struct map *map = n->core ? node_map(n->core) : NULL;
	const struct map_node *self = map ? map_find_node(map, n->info.id) : NULL;

	return self && (self->flags & NODE_UP) && self->incarnation == n->info.incarnation &&
	       !sim_node_is_paused(w, index) && map->epoch == sim_member_map(w)->epoch &&
	       node_is_quiet(n->core);
}

bool sim_nodes_at_rest(const struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		if (w->nodes[i]->state != NODE_GONE && !node_at_rest(w, i))
			return false;
	return true;
}

bool sim_node_defer(struct world *w, uint32_t index, world_run *run, void *arg,
                    void (*drop)(void *arg))
{
	if (!sim_node_is_paused(w, index))
		return false;
	world_after(w, w->nodes[index]->paused_until_us - w->now_us, run, arg, drop);
	return true;
}

/* ---- Effects ---- */

/* Nobody waits for it: the answer to a question of ours. (Tests look at the last result.) */
static void operator_hears(struct world *w, struct msg *msg)
{
	w->operator_result = msg->result;
	if (msg->type == MSG_STATUS)
		cover_status(w, msg);
	msg_destroy(msg);
}

static void reply_carry_out(struct world *w, struct sim_node *n, uint64_t conn, struct msg *msg)
{
	uint32_t client = sim_net_client_of(w, n->index, conn);

	cover_answer(w, n->index, msg);
	if (!node_may_answer(n->core, msg, sim_node_now_ms(w, n))) {
		cover(w, BR_ASK_WITHHELD);
		msg_destroy(msg);
		return;
	}
	if (client == UINT32_MAX)
		msg_destroy(msg);
	else
		sim_net_send(w, n->index, SIM_CLIENT_0 + client, conn, msg);
}

static void disk_carry_out(struct world *w, struct sim_node *n, struct disk_job *job)
{
	for (uint32_t i = 0; i < n->info.disk_count; i++) {
		if (n->disks[i].id == job->disk) {
			disk_queue_add(w, n->queues[i], job);
			return;
		}
	}
	world_fail(w, "node %u: a job for disk %016llx, which it does not have", n->index,
	           (unsigned long long)job->disk);
}

struct compute_turn {
	uint32_t node, life;
	struct compute_job *job;
};

static void compute_done(struct world *w, void *arg)
{
	struct compute_turn *t = arg;

	if (sim_node_defer(w, t->node, compute_done, t, free))
		return;
	if (sim_node_is_life(w, t->node, t->life)) {
		struct event ev = {.type = EV_COMPUTE_DONE, .compute_job = t->job};

		t->job->run(t->job);
		sim_node_event(w, t->node, &ev);
	}
	free(t);
}

static void compute_carry_out(struct world *w, struct sim_node *n, struct compute_job *job)
{
	struct compute_turn *t = xmalloc(sizeof(*t));

	*t = (struct compute_turn){n->index, n->life, job};
	world_after(w, draw_below(w, w->profile.compute_max_us + 1), compute_done, t, free);
}

static void send_carry_out(struct world *w, struct sim_node *n, uint64_t to, struct msg *msg)
{
	uint32_t peer = sim_node_by_id(w, to);

	if (peer == UINT32_MAX || peer == n->index) {
		world_fail(w, "node %u sends to node %016llx", n->index, (unsigned long long)to);
		msg_destroy(msg);
		return;
	}
	sim_net_send(w, n->index, peer, 0, msg);
}

static void node_stop(struct world *w, struct sim_node *n);

static void start_again(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	if (n->state == NODE_OFF)
		sim_node_start(w, n->index);
}

static void exit_carry_out(struct world *w, struct sim_node *n, const char *text)
{
	world_trace(w, "n%u exits: %s", n->index, text);
	sim_member_leave(w, n->index);
	node_stop(w, n);
	/* Its operator starts it again sooner or later. */
	world_after(w, draw_skewed(w, 100 * SIM_MS, 10 * SIM_SECOND), start_again, n, NULL);
}

static void effect_carry_out(struct world *w, struct sim_node *n, struct effect *fx)
{
	switch (fx->type) {
	case EFF_SEND:
		send_carry_out(w, n, fx->to, fx->msg);
		break;
	case EFF_REPLY:
		if (fx->to == SIM_OPERATOR_CONN)
			operator_hears(w, fx->msg);
		else
			reply_carry_out(w, n, fx->to, fx->msg);
		break;
	case EFF_DISK:
		disk_carry_out(w, n, fx->disk_job);
		break;
	case EFF_COMPUTE:
		compute_carry_out(w, n, fx->compute_job);
		break;
	case EFF_PROPOSE:
		sim_member_propose(w, n->index, fx->expected_cluster, fx->expected_epoch, fx->map);
		break;
	case EFF_ADOPT:
		sim_member_adopt(w, n->index, fx->cluster, fx->wipe);
		break;
	case EFF_PLUG:
	case EFF_UNPLUG:
	case EFF_LOG_LEVEL:
		break; /* nobody asks for them here */
	case EFF_EXIT:
		break; /* last of all */
	}
}

static void effects_carry_out(struct world *w, struct sim_node *n, struct effects *fx)
{
	const char *exit_text = NULL;

	n->wide = MAX(n->wide, fx->count);
	for (uint32_t i = 0; i < fx->count; i++) {
		effect_carry_out(w, n, &fx->v[i]);
		if (fx->v[i].type == EFF_EXIT)
			exit_text = fx->v[i].text ? fx->v[i].text : "";
	}
	if (exit_text)
		exit_carry_out(w, n, exit_text);
}

/* ---- Events ---- */

/* One epoch number means one map, everywhere. */
static void epoch_check(struct world *w, struct sim_node *n)
{
	const struct map *map = node_map(n->core);

	if (!map || map->epoch == n->seen_epoch)
		return;
	if (map->epoch < n->seen_epoch)
		world_fail(w, "node %u went from epoch %u back to %u", n->index, n->seen_epoch,
		           map->epoch);
	else if (!sim_member_is_register_map(w, map))
		world_fail(w, "node %u has a map of epoch %u that is not the register's", n->index,
		           map->epoch);
	n->seen_epoch = map->epoch;
}

void sim_node_event(struct world *w, uint32_t index, struct event *ev)
{
	struct sim_node *n = w->nodes[index];
	struct effects fx;

	assert(n->state == NODE_RUNNING);
	ev->now_ms = sim_node_now_ms(w, n);
	ev->wall_s = SIM_WALL_START + w->now_us / SIM_SECOND + n->wall_offset_s;
	effects_init(&fx);
	node_step(n->core, ev, &fx);
	epoch_check(w, n);
	effects_carry_out(w, n, &fx);
	effects_fini(&fx);
}

void sim_node_peer_msg(struct world *w, uint32_t index, uint32_t from, struct msg *msg)
{
	struct event ev = {.type = EV_PEER_MSG, .from = w->nodes[from]->info.id, .msg = msg};

	if (w->trace && msg->type != MSG_PING)
		world_print(
			w,
			"n%u <- n%u %s%s id %llx e%u pg %u.%u oid %llx shard %u v %llx base %llx: %s",
			index, from, msg_type_name(msg->type), msg->reply ? " reply" : "",
			(unsigned long long)msg->id, msg->epoch, msg->pool, msg->pg,
			(unsigned long long)msg->oid, msg->shard, (unsigned long long)msg->version,
			(unsigned long long)msg->base, wire_result_text(msg->result));
	cover_peer_msg(w, index, msg);
	sim_node_event(w, index, &ev);
}

void sim_node_peer_lost(struct world *w, uint32_t index, uint32_t from)
{
	struct event ev = {.type = EV_PEER_LOST, .from = w->nodes[from]->info.id};

	world_trace(w, "n%u lost connection with n%u", index, from);
	sim_node_event(w, index, &ev);
}

void sim_node_client_msg(struct world *w, uint32_t index, uint64_t conn, struct msg *msg)
{
	struct event ev = {.type = EV_CLIENT_MSG, .from = conn, .msg = msg};

	if (sim_net_client_of(w, index, conn) == UINT32_MAX) {
		msg_destroy(msg); /* read from the socket after it broke: this one was not */
		return;
	}
	sim_node_event(w, index, &ev);
}

void sim_node_client_lost(struct world *w, uint32_t index, uint64_t conn)
{
	struct event ev = {.type = EV_CLIENT_LOST, .from = conn};

	sim_node_event(w, index, &ev);
}

static void node_tick(struct world *w, void *arg)
{
	struct sim_node *n = arg;

	/* Late after a pause, and then at once: like everything else of this node. */
	if (sim_node_defer(w, n->index, node_tick, n, NULL))
		return;
	if (n->state == NODE_RUNNING) {
		struct event ev = {.type = EV_TICK};

		sim_node_event(w, n->index, &ev);
	}
	world_after(w, TICK_MS * SIM_MS / 2 + draw_below(w, TICK_MS * SIM_MS / 2), node_tick, n,
	            NULL);
}

/* ---- Start and stop ---- */

static void log_to_trace(void *arg, enum log_level level, const char *line)
{
	struct sim_node *n = arg;

	printf("            n%u: %s\n", n->index, line);
}

void sim_node_start(struct world *w, uint32_t index)
{
	struct sim_node *n = w->nodes[index];
	struct node_config config = {.version = "sim",
	                             .pool = w->pool,
	                             .scrub_interval_ms = w->profile.scrub_ms};

	assert(n->state == NODE_OFF);
	n->info.incarnation = draw_id(w);
	n->state = NODE_RUNNING;
	n->paused_until_us = 0;
	n->seen_epoch = 0;
	if (n->life++ == 0)
		world_after(w, draw_below(w, TICK_MS * SIM_MS), node_tick, n, NULL);
	if (w->trace && !n->log) {
		n->log = xcalloc(1, sizeof(*n->log));
		*n->log = (struct log){LOG_LV_DEBUG, log_to_trace, n};
	}
	for (uint32_t i = 0; i < n->info.disk_count; i++)
		sim_disk_restart(&n->disks[i]);
	config.info = n->info;
	config.log = n->log;
	world_trace(w, "n%u starts, id %016llx", index, (unsigned long long)n->info.id);
	n->core = node_create(&config);
	sim_member_join(w, index);
}

static void node_stop(struct world *w, struct sim_node *n)
{
	n->state = NODE_OFF;
	n->paused_until_us = 0;
	for (uint32_t i = 0; i < n->info.disk_count; i++)
		disk_queue_crash(w, n->queues[i]);
	node_destroy(n->core);
	n->core = NULL;
	sim_net_end_died(w, n->index);
}

void sim_node_crash(struct world *w, uint32_t index)
{
	struct sim_node *n = w->nodes[index];

	assert(n->state == NODE_RUNNING);
	world_trace(w, "n%u crashes", index);
	node_stop(w, n);
	sim_member_died(w, index);
}

void sim_node_lose(struct world *w, uint32_t index)
{
	struct sim_node *n = w->nodes[index];

	if (n->state == NODE_RUNNING)
		sim_node_crash(w, index);
	world_trace(w, "n%u is lost for good", index);
	n->state = NODE_GONE;
	for (uint32_t i = 0; i < n->info.disk_count; i++)
		sim_disk_wipe(&n->disks[i]);
}

void sim_node_pause(struct world *w, uint32_t index, uint64_t duration_us)
{
	world_trace(w, "n%u is stopped for %llu ms", index,
	            (unsigned long long)(duration_us / SIM_MS));
	w->nodes[index]->paused_until_us =
		MAX(w->nodes[index]->paused_until_us, w->now_us + duration_us);
}

void sim_node_fail_disk(struct world *w, uint32_t index, uint32_t disk)
{
	struct sim_node *n = w->nodes[index];

	world_trace(w, "n%u: disk %u fails", index, disk);
	n->disks[disk].failed = true;
	if (n->state == NODE_RUNNING) {
		struct event ev = {.type = EV_DISK_LOST, .from = n->disks[disk].id};

		sim_node_event(w, index, &ev);
	}
}

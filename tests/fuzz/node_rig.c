/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/node_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "sheep/core/disk_job.h"
#include "tests/fuzz/frames.h"

enum { SETTLE_ROUNDS = 400, TICK_MS = 100 };

static void rig_log(void *arg, enum log_level level, const char *line)
{
	if (getenv("FUZZ_LOG"))
		fprintf(stderr, "%s\n", line);
}

static struct node_info info_make(uint32_t i)
{
	struct node_info info = {
		.id = i + 1,
		.incarnation = 1000 + i,
		.port = (uint16_t)(7000 + i),
		.zone = i,
		.disk_count = RIG_DISKS,
	};

	snprintf(info.addr, sizeof(info.addr), "10.0.0.%u", i + 1);
	for (uint32_t d = 0; d < RIG_DISKS; d++) {
		info.disks[d].id = (i + 1) * 10 + d;
		info.disks[d].weight = 1;
	}
	return info;
}

static void map_begin(struct node_rig *r, bool coded)
{
	struct map_pool pools[2] = {
		{.id = POOL_META, .k = 1, .m = 2},
		{.id = POOL_DATA, .k = coded ? 2 : 1, .m = 1},
	};

	r->map = map_create();
	r->map->epoch = 1;
	r->map->cluster = RIG_CLUSTER;
	r->map->grace_ms = 60000;
	r->map->min_live_extra = 1;
	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct map_node n = {
			.id = r->info[i].id,
			.incarnation = r->info[i].incarnation,
			.port = r->info[i].port,
			.zone = i,
			.flags = NODE_UP,
		};
		snprintf(n.addr, sizeof(n.addr), "%s", r->info[i].addr);
		map_put_node(r->map, &n);
		for (uint32_t d = 0; d < RIG_DISKS; d++) {
			struct map_disk disk = {
				.id = r->info[i].disks[d].id, .node = n.id, .weight = 1};
			map_put_disk(r->map, &disk);
		}
	}
	for (uint32_t i = 0; i < ARRAY_LEN(pools); i++) {
		pools[i].pg_count = RIG_PGS;
		pools[i].object_shift = 20;
		pools[i].created_epoch = 1;
		map_put_pool(r->map, &pools[i]);
	}
	assert(map_valid(r->map));
}

static void give_map(struct node_rig *r)
{
	struct event ev = {.type = EV_MAP, .map = r->map};

	node_rig_event(r, &ev);
}

void node_rig_init(struct node_rig *r, bool coded)
{
	struct node_config config = {.version = "fuzz", .log = &r->log};
	struct event live = {.type = EV_LIVE, .live = r->info, .live_count = RIG_NODES};
	struct event lease = {.type = EV_LEASE, .lease_until_ms = UINT64_MAX};

	memset(r, 0, sizeof(*r));
	r->log = (struct log){.level = LOG_LV_DEBUG, .write = rig_log};
	r->pool = config.pool = buf_pool_create(1 << 20);
	r->now_ms = 1000000;
	list_init(&r->jobs);
	list_init(&r->computations);
	for (uint32_t i = 0; i < RIG_NODES; i++) {
		r->info[i] = info_make(i);
		for (uint32_t d = 0; d < RIG_DISKS; d++)
			sim_disk_init(&r->disk[i][d], r->info[i].disks[d].id);
	}
	config.info = r->info[0];
	r->node = node_create(&config);
	map_begin(r, coded);
	give_map(r);
	node_rig_event(r, &live);
	node_rig_event(r, &lease);
}

void node_rig_fini(struct node_rig *r)
{
	node_destroy(r->node); /* and the jobs that are out */
	for (uint32_t i = 0; i < r->asked_count; i++)
		msg_destroy(r->asked[i].msg);
	map_unref(r->proposed);
	map_unref(r->map);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		for (uint32_t d = 0; d < RIG_DISKS; d++)
			sim_disk_fini(&r->disk[i][d]);
	buf_pool_destroy(r->pool);
}

/* ---- Effects ---- */

static void must_fit_wire(const struct msg *m)
{
	size_t len;

	free(frame_make(m, &len)); /* which asserts the limits */
}

static void take_sent(struct node_rig *r, uint64_t node, struct msg *m)
{
	must_fit_wire(m);
	if (m->reply || m->type == MSG_PING) {
		msg_destroy(m);
		return;
	}
	if (r->asked_count == RIG_QUEUE)
		msg_destroy(node_rig_take_asked(r, 0).msg);
	r->asked[r->asked_count++] = (struct rig_asked){node, m};
}

static void take_effect(struct node_rig *r, struct effect *fx)
{
	struct event adopted = {.type = EV_ADOPTED};

	switch (fx->type) {
	case EFF_SEND:
		assert(fx->to != r->info[0].id);
		take_sent(r, fx->to, fx->msg);
		break;
	case EFF_REPLY:
		must_fit_wire(fx->msg);
		msg_destroy(fx->msg);
		break;
	case EFF_DISK:
		list_push(&r->jobs, &fx->disk_job->link);
		break;
	case EFF_COMPUTE:
		list_push(&r->computations, &fx->compute_job->link);
		break;
	case EFF_PROPOSE:
		map_unref(r->proposed);
		r->proposed = fx->map;
		break;
	case EFF_ADOPT:
		node_rig_event(r, &adopted);
		break;
	case EFF_PLUG:
	case EFF_UNPLUG:
	case EFF_LOG_LEVEL:
		break; /* nobody asks for them here */
	case EFF_EXIT:
		r->gone = true;
		break;
	}
}

void node_rig_event(struct node_rig *r, struct event *ev)
{
	struct effects fx;

	if (r->gone) {
		msg_destroy(ev->msg);
		return;
	}
	ev->now_ms = r->now_ms;
	ev->wall_s = 1700000000 + r->now_ms / 1000;
	effects_init(&fx);
	node_step(r->node, ev, &fx);
	for (uint32_t i = 0; i < fx.count; i++)
		take_effect(r, &fx.v[i]);
	effects_fini(&fx);
}

void node_rig_tick(struct node_rig *r, uint32_t ms)
{
	struct event ev = {.type = EV_TICK};

	r->now_ms += ms;
	node_rig_event(r, &ev);
}

void node_rig_change_map(struct node_rig *r, const struct map_event *ev)
{
	struct map *next = map_apply(r->map, ev);

	if (!next)
		return;
	map_unref(r->map);
	r->map = next;
	give_map(r);
}

void node_rig_proposed(struct node_rig *r, bool wins)
{
	struct event ev = {.type = EV_PROPOSED, .result = wins ? 0 : -SF_EAGAIN};
	struct map *map = r->proposed;

	if (!map)
		return;
	r->proposed = NULL;
	/* As the register does: only what follows on the map there is. */
	if (map->cluster != r->map->cluster || map->epoch != r->map->epoch + 1)
		ev.result = -SF_EAGAIN;
	if (ev.result == 0) {
		map_unref(r->map);
		r->map = map;
		give_map(r);
	} else {
		map_unref(map);
	}
	node_rig_event(r, &ev);
}

/* ---- Disks ---- */

static struct sim_disk *disk_by_id(struct node_rig *r, uint64_t id)
{
	for (uint32_t i = 0; i < RIG_NODES; i++)
		for (uint32_t d = 0; d < RIG_DISKS; d++)
			if (r->disk[i][d].id == id)
				return &r->disk[i][d];
	return NULL;
}

/* What a real store checks for itself. */
static bool request_sane(const struct msg *req)
{
	return req->shard < SHARD_NONE || req->type >= MSG_PG_COMMIT;
}

static void job_carry_out(struct node_rig *r, struct disk_job *job)
{
	struct sim_disk *d = disk_by_id(r, job->disk);

	if (!d || !request_sane(job->req)) {
		job->reply->result = RES_INVALID;
		return;
	}
	sim_disk_execute(d, job);
	sim_disk_sync(d);
}

void node_rig_run_jobs(struct node_rig *r, uint32_t max)
{
	struct list *l;

	for (uint32_t i = 0; i < max && !r->gone; i++) {
		if ((l = list_pop(&r->jobs))) {
			struct disk_job *job = list_item(l, struct disk_job, link);
			struct event ev = {.type = EV_DISK_DONE, .disk_job = job};

			list_init(&job->link);
			job_carry_out(r, job);
			node_rig_event(r, &ev);
		} else if ((l = list_pop(&r->computations))) {
			struct compute_job *job = list_item(l, struct compute_job, link);
			struct event ev = {.type = EV_COMPUTE_DONE, .compute_job = job};

			list_init(&job->link);
			job->run(job);
			node_rig_event(r, &ev);
		} else {
			break;
		}
	}
}

/* ---- The others ---- */

struct rig_asked node_rig_take_asked(struct node_rig *r, uint32_t at)
{
	struct rig_asked a = {0};

	if (r->asked_count == 0)
		return a;
	at %= r->asked_count;
	a = r->asked[at];
	memmove(&r->asked[at], &r->asked[at + 1], (--r->asked_count - at) * sizeof(a));
	return a;
}

struct msg *node_rig_answer_of(struct node_rig *r, struct rig_asked asked)
{
	struct disk_job job = {.req = asked.msg, .reply = msg_create_reply(asked.msg, RES_OK)};
	bool one_way = asked.msg->type == MSG_PG_DROP || asked.msg->type == MSG_PG_STRAY;

	list_init(&job.link);
	job.disk = asked.msg->disk;
	if (asked.msg->type == MSG_SHARD_READ && asked.msg->length) {
		struct slice s = {buf_get(r->pool, (uint32_t)asked.msg->length), 0,
		                  (uint32_t)asked.msg->length};
		payload_add(&job.reply->payload, &s);
	}
	job_carry_out(r, &job);
	if (job.reply->result != RES_OK)
		payload_fini(&job.reply->payload);
	job.reply->epoch = r->map->epoch;
	msg_destroy(asked.msg);
	if (!one_way)
		return job.reply;
	msg_destroy(job.reply);
	return NULL;
}

void node_rig_settle(struct node_rig *r)
{
	for (uint32_t i = 0; i < SETTLE_ROUNDS && !r->gone; i++) {
		struct rig_asked a = node_rig_take_asked(r, 0);
		struct event ev = {.type = EV_PEER_MSG, .from = a.node};

		node_rig_run_jobs(r, 64);
		node_rig_proposed(r, true);
		if (!a.msg && list_empty(&r->jobs) && list_empty(&r->computations))
			break;
		ev.msg = a.msg ? node_rig_answer_of(r, a) : NULL;
		if (ev.msg)
			node_rig_event(r, &ev);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The node's one entry: which event goes where. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "sheep/core/core.h"

/* A message of an epoch whose map we do not have yet. */
struct held_msg {
	struct list link;
	uint64_t from;
	struct msg *msg;
};

enum { USAGE_POLL_MS = 1000 };

struct node *node_create(const struct node_config *config)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->config = *config;
	node->log = config->log;
	node->cluster = config->info.cluster;
	/* An answer to a call of our former incarnation must not be taken for one of ours. */
	node->next_call = config->info.incarnation << 20;
	htab_init(&node->calls);
	list_init(&node->loose_calls);
	list_init(&node->disk_out);
	list_init(&node->compute_out);
	list_init(&node->future);
	list_init(&node->object_lru);
	list_init(&node->blocked);
	list_init(&node->admin);
	list_init(&node->contradictions);
	node->scrub = scrub_create();
	list_init(&node->to_list);
	list_init(&node->accepting);
	for (uint32_t i = 0; i <= MAX_PARITY; i++)
		list_init(&node->recover[i]);
	node->disks = xcalloc(NODE_MAX_DISKS, sizeof(*node->disks));
	for (uint32_t i = 0; i < config->info.disk_count; i++) {
		node->disks[i].id = config->info.disks[i].id;
		node->disks[i].path = xstrdup(config->disk_paths ? config->disk_paths[i] : "");
	}
	node->bad_disks = xcalloc(config->bad_disk_count + 1, sizeof(*node->bad_disks));
	for (uint32_t i = 0; i < config->bad_disk_count; i++)
		node->bad_disks[node->bad_disk_count++] = config->bad_disks[i];
	return node;
}

static void future_destroy(struct node *node)
{
	struct list *l;

	while ((l = list_pop(&node->future))) {
		struct held_msg *h = list_item(l, struct held_msg, link);
		msg_destroy(h->msg);
		free(h);
	}
}

void node_destroy(struct node *node)
{
	struct effects dropped;
	struct list *l;

	if (!node)
		return;
	effects_init(&dropped);
	node->fx = &dropped;
	epochs_drop(node);
	for (uint32_t i = 0; i < dropped.count; i++) /* answers to aborted clients */
		msg_destroy(dropped.v[i].msg);
	effects_fini(&dropped);
	while ((l = list_pop(&node->loose_calls))) {
		struct call *call = list_item(l, struct call, in_pg);
		msg_destroy(call->req);
		free(call);
	}
	while (!list_empty(&node->disk_out))
		disk_job_free(list_item(node->disk_out.next, struct disk_job, out));
	while (!list_empty(&node->compute_out))
		code_free(list_item(node->compute_out.next, struct code_job, job.out));
	htab_fini(&node->calls);
	admin_destroy(node);
	scrub_destroy(node->scrub);
	future_destroy(node);
	free(node->rec);
	free(node->live);
	free(node->peers);
	for (uint32_t i = 0; i < node->config.info.disk_count; i++)
		free(node->disks[i].path);
	free(node->disks);
	free(node->bad_disks);
	free(node);
}

const struct map *node_map(const struct node *node)
{
	return node->map;
}

bool node_may_serve(const struct node *node, uint64_t now_ms)
{
	const struct map_node *self =
		node->map ? map_find_node(node->map, node->config.info.id) : NULL;

	return self && (self->flags & NODE_UP) &&
	       self->incarnation == node->config.info.incarnation && now_ms < node->lease_until &&
	       !node->exiting;
}

static bool is_object_request(enum msg_type type)
{
	return type >= MSG_OBJ_READ && type <= MSG_OBJ_CHECK;
}

/* As of a moment: another primary may know better by now. */
static bool tells_what_stands(uint32_t result)
{
	return result == RES_OK || result == RES_NOENT || result == RES_EXISTS ||
	       result == RES_CHANGED || result == RES_LOST;
}

bool node_may_answer(const struct node *node, const struct msg *answer, uint64_t now_ms)
{
	return !is_object_request(answer->type) || !tells_what_stands(answer->result) ||
	       node_may_serve(node, now_ms);
}

bool node_is_quiet(const struct node *node)
{
	if (node->client_ops || node->recovering || node->adopting || node->calls.count ||
	    node->future_count)
		return false;
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++) {
			const struct pg *pg = node->pools[i].pgs[j].pg;
			if (pg && (!pg->clean || pg->tombstones || pg->commit_sent != pg->commit))
				return false;
		}
	return true;
}

/* ---- Messages ---- */

static bool is_holder_request(enum msg_type type)
{
	return (type >= MSG_SHARD_PREPARE && type <= MSG_SHARD_STAT) ||
	       (type >= MSG_PG_COMMIT && type <= MSG_PG_DROP);
}

static void hold_for_map(struct node *node, uint64_t from, struct msg *msg)
{
	if (node->future_count >= FUTURE_MAX) {
		node_send(node, from, msg_create_reply(msg, RES_AGAIN));
		msg_destroy(msg);
		return;
	}
	struct held_msg *h = xcalloc(1, sizeof(*h));
	h->from = from;
	h->msg = msg;
	list_push(&node->future, &h->link);
	node->future_count++;
}

static void peer_msg(struct node *node, uint64_t from, struct msg *msg)
{
	if (msg->reply) {
		if (msg->type != MSG_PING)
			call_reply_arrived(node, from, msg);
		msg_destroy(msg);
	} else if (msg->type == MSG_PING) {
		leave_pinged(node, from, msg);
		node_send(node, from, msg_create_reply(msg, RES_OK));
		msg_destroy(msg);
	} else if (is_holder_request(msg->type)) {
		if (!node->map || msg->epoch > node->map->epoch)
			hold_for_map(node, from, msg);
		else
			replica_handle(node, from, false, msg);
	} else {
		if (msg->type == MSG_PG_STRAY)
			stray_reported(node, msg);
		msg_destroy(msg);
	}
}

static void future_release(struct node *node)
{
	struct list ready;
	struct list *l;

	list_init(&ready);
	list_splice(&ready, &node->future);
	node->future_count = 0;
	while ((l = list_pop(&ready))) {
		struct held_msg *h = list_item(l, struct held_msg, link);
		peer_msg(node, h->from, h->msg);
		free(h);
	}
}

static void get_map_handle(struct node *node, uint64_t conn, struct msg *msg)
{
	struct msg *reply = msg_create_reply(msg, RES_OK);
	const struct map *map = node->map;

	if (msg->offset) {
		const struct epoch_rec *rec =
			msg->offset <= UINT32_MAX ? node_epoch(node, msg->offset) : NULL;
		map = rec ? rec->map : NULL;
	}
	if (map) {
		size_t len;
		map_encode(map, &reply->blob, &len);
		reply->blob_len = len;
	} else {
		reply->result = node->map ? RES_NOENT : RES_NOT_FORMATTED;
	}
	node_reply(node, conn, reply);
	msg_destroy(msg);
}

static void client_msg(struct node *node, uint64_t conn, struct msg *msg)
{
	switch (msg->type) {
	case MSG_PING:
		node_reply_result(node, conn, msg, RES_OK);
		msg_destroy(msg);
		break;
	case MSG_GET_MAP:
		get_map_handle(node, conn, msg);
		break;
	case MSG_OBJ_READ:
	case MSG_OBJ_WRITE:
	case MSG_OBJ_ZERO:
	case MSG_OBJ_DELETE:
	case MSG_OBJ_STAT:
	case MSG_OBJ_LIST:
	case MSG_OBJ_CHECK:
		client_object_request(node, conn, msg);
		break;
	case MSG_STATUS:
		status_handle(node, conn, msg);
		break;
	case MSG_ADMIN:
		admin_handle(node, conn, msg);
		break;
	case MSG_TROUBLES:
		troubles_handle(node, conn, msg);
		break;
	case MSG_NODES:
		nodes_handle(node, conn, msg);
		break;
	case MSG_SHARD_STAT: /* harmless: lets a client see where an object's shards are */
		replica_handle(node, conn, true, msg);
		break;
	default:
		node_reply_result(node, conn, msg, RES_INVALID);
		msg_destroy(msg);
	}
}

/* ---- Ticks ---- */

static void usage_done(struct node *node, struct disk_job *job)
{
	struct disk_state *d = node_disk(node, job->disk);

	if (d) { /* not unplugged meanwhile */
		d->usage = job->usage;
		d->polling = false;
	}
	disk_job_free(job);
}

static void usage_poll(struct node *node)
{
	if (node->polled_ms && node->now < node->polled_ms + USAGE_POLL_MS)
		return;
	node->polled_ms = node->now;
	for (uint32_t i = 0; i < node->config.info.disk_count; i++) {
		struct disk_state *d = &node->disks[i];
		if (d->polling || d->failed)
			continue;
		d->polling = true;
		disk_job_start(node, d->id, msg_create((enum msg_type)DISK_USAGE), usage_done,
		               NULL);
	}
}

static void pgs_tick(struct node *node)
{
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++)
			if (node->pools[i].pgs[j].pg)
				pg_tick(node, node->pools[i].pgs[j].pg);
}

/* After a pause of our own (a stopped process, a starved machine) the others' silence means
 * nothing. */
static void forgive_pause(struct node *node)
{
	if (node->last_tick_ms && node->now > node->last_tick_ms + SUSPECT_MS / 2)
		for (uint32_t i = 0; i < node->peer_count; i++)
			node->peers[i].heard_ms = node->now;
	node->last_tick_ms = node->now;
}

static void tick(struct node *node)
{
	forgive_pause(node);
	usage_poll(node);
	leave_tick(node);
	membership_tick(node);
	if (!node->map || node->exiting)
		return;
	call_tick(node);
	pgs_tick(node);
	recovery_tick(node);
	object_trim(node);
	stray_tick(node);
}

static void disk_lost(struct node *node, uint64_t disk)
{
	struct disk_state *d = node_disk(node, disk);

	if (d && !d->failed) {
		d->failed = true;
		log_error(node->log, "disk %016llx has failed and is out",
		          (unsigned long long)disk);
	}
}

static void event_dispatch(struct node *node, const struct event *ev)
{
	switch (ev->type) {
	case EV_TICK:
		tick(node);
		break;
	case EV_MAP:
		node_take_map(node, ev->map);
		future_release(node);
		break;
	case EV_LIVE:
		membership_take_live(node, ev->live, ev->live_count);
		break;
	case EV_LEASE:
		node->lease_until = ev->lease_until_ms;
		break;
	case EV_PROPOSED:
		node->proposing = false;
		admin_proposed(node, ev->result);
		break;
	case EV_PEER_MSG:
		membership_heard(node, ev->from);
		peer_msg(node, ev->from, ev->msg);
		break;
	case EV_PEER_LOST:
		call_peer_lost(node, ev->from);
		break;
	case EV_CLIENT_MSG:
		client_msg(node, ev->from, ev->msg);
		break;
	case EV_CLIENT_LOST:
		admin_client_lost(node, ev->from);
		ops_drop_client(node, ev->from);
		break;
	case EV_DISK_DONE:
		if (ev->disk_job->reply->result == RES_IO)
			disk_lost(node, ev->disk_job->disk);
		ev->disk_job->done(node, ev->disk_job);
		break;
	case EV_DISK_LOST:
		disk_lost(node, ev->from);
		break;
	case EV_COMPUTE_DONE:
		ev->compute_job->done(node, ev->compute_job);
		break;
	case EV_STOP:
		node->leaving = true;
		break;
	case EV_PLUGGED:
		admin_plugged(node, ev);
		break;
	case EV_ADOPTED:
		node_take_adopted(node, ev->result);
		break;
	}
}

void node_step(struct node *node, const struct event *event, struct effects *effects)
{
	node->now = event->now_ms;
	if (event->wall_s)
		node->wall = event->wall_s;
	if (!node->started_ms)
		node->started_ms = node->now;
	node->fx = effects;
	event_dispatch(node, event);
	recovery_pump(node);
	scrub_pump(node);
	node->fx = NULL;
}

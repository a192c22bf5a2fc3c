/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Calls: requests to the holder of a shard, which may be one of our own disks or another node's.
 *
 * Every request that is called here can be repeated without harm (disk_job.h), so a lost
 * connection or a missing answer just sends it again, until the answer comes or a new interval
 * cancels the call.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "sheep/core/core.h"

static void call_free(struct node *node, struct call *call)
{
	list_remove(&call->in_pg);
	htab_remove(&node->calls, &call->by_id);
	msg_destroy(call->req);
	free(call);
}

void disk_job_free(struct disk_job *job)
{
	list_remove(&job->out);
	msg_destroy(job->req);
	msg_destroy(job->reply);
	free(job);
}

struct disk_job *disk_job_start(struct node *node, uint64_t disk, struct msg *req,
                                void (*done)(struct node *, struct disk_job *), void *ctx)
{
	struct disk_job *job = xcalloc(1, sizeof(*job));

	list_init(&job->link);
	list_push(&node->disk_out, &job->out);
	job->disk = disk;
	job->req = req;
	job->reply = msg_create_reply(req, RES_OK);
	if (req->type == MSG_SHARD_READ && req->length) {
		struct slice s = {buf_get(node->config.pool, req->length), 0, req->length};
		payload_add(&job->reply->payload, &s);
	}
	job->done = done;
	job->ctx = ctx;
	effect_add(node, EFF_DISK)->disk_job = job;
	return job;
}

static void call_finish(struct node *node, struct call *call, struct msg *reply)
{
	if (call->done)
		call->done(node, call, reply);
	call_free(node, call);
}

static void call_job_done(struct node *node, struct disk_job *job)
{
	call_finish(node, job->ctx, job->reply);
	disk_job_free(job);
}

static void call_transmit(struct node *node, struct call *call)
{
	node_send(node, call->peer, msg_clone(call->req));
	call->retry_at = node->now + CALL_RETRY_MS;
}

struct call *call_start(struct node *node, struct pg *pg, uint64_t peer, uint64_t disk,
                        struct msg *req, call_done done, void *ctx)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->id = req->id = ++node->next_call;
	call->peer = peer;
	call->disk = req->disk = disk;
	call->done = done;
	call->ctx = ctx;
	list_init(&call->in_pg);
	list_push(pg ? &pg->calls : &node->loose_calls, &call->in_pg);
	htab_insert(&node->calls, &call->by_id, hash64(call->id));
	if (node_is_self(node, peer)) {
		disk_job_start(node, disk, req, call_job_done, call);
	} else {
		call->req = req;
		call_transmit(node, call);
	}
	return call;
}

static struct call *call_find(struct node *node, uint64_t id)
{
	for (struct hnode *h = htab_first(&node->calls, hash64(id)); h; h = htab_next(h)) {
		struct call *call = container_of(h, struct call, by_id);
		if (call->id == id)
			return call;
	}
	return NULL;
}

void call_reply_arrived(struct node *node, uint64_t peer, struct msg *reply)
{
	struct call *call = call_find(node, reply->id);

	/* A late answer to a request that was repeated or cancelled is no news. */
	if (!call || !call->req || call->peer != peer || call->req->type != reply->type)
		return;
	if (reply->result == RES_AGAIN || reply->result == RES_STALE) {
		/* The peer lacks our map, or we lack its newer one, which will end this
		 * interval. */
		call->retry_at =
			node->now + (reply->result == RES_AGAIN ? AGAIN_MS : 10 * AGAIN_MS);
		return;
	}
	call_finish(node, call, reply);
}

void call_peer_lost(struct node *node, uint64_t peer)
{
	uint32_t cursor = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&node->calls, &cursor, h));) {
		struct call *call = container_of(h, struct call, by_id);
		if (call->req && call->peer == peer && call->retry_at > node->now + 2 * AGAIN_MS)
			call->retry_at = node->now + 2 * AGAIN_MS;
	}
}

void call_tick(struct node *node)
{
	uint32_t cursor = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&node->calls, &cursor, h));) {
		struct call *call = container_of(h, struct call, by_id);
		if (!call->req || call->retry_at > node->now)
			continue;
		log_debug(node->log, "%s again to node %016llx", msg_type_name(call->req->type),
		          (unsigned long long)call->peer);
		call_transmit(node, call);
	}
}

void calls_cancel(struct node *node, struct list *calls)
{
	struct list *l;

	while ((l = list_pop(calls))) {
		struct call *call = list_item(l, struct call, in_pg);
		call->done = NULL;
		/* A disk job still refers to its call: that one is freed when the job is back. */
		if (call->req)
			call_free(node, call);
		else
			list_push(&node->loose_calls, &call->in_pg);
	}
}

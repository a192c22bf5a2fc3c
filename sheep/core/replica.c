/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The holder's side: a primary asks, one of our disks answers.
 *
 * The promise of peering lives here: once our map has a newer interval of a PG, requests of an
 * older one are refused. Since PG_QUERY of epoch e is only answered with a map of at least e,
 * whoever was queried can no longer be used by an older primary.
 */
#include "lib/base/math.h"
#include "sheep/core/core.h"

struct asker {
	uint64_t from;
	bool is_client;
};

static void replica_answer(struct node *node, const struct asker *to, struct msg *reply)
{
	reply->epoch = node->map ? node->map->epoch : 0;
	if (to->is_client)
		node_reply(node, to->from, reply);
	else
		node_send(node, to->from, reply);
}

static void replica_job_done(struct node *node, struct disk_job *job)
{
	struct asker to = {job->asker, job->asker_is_client};
	struct msg *reply = job->reply;
	enum msg_type type = job->req->type;

	if (reply->result != RES_OK)
		payload_fini(&reply->payload);
	if (!to.is_client) {
		node->stat.peer.active--;
		node->stat.peer.bytes_read += payload_len(&reply->payload);
	}
	job->reply = NULL;
	if (type == MSG_PG_DROP)
		msg_destroy(reply); /* one-way, or nobody waits */
	else
		replica_answer(node, &to, reply);
	disk_job_free(job);
}

static void replica_refuse(struct node *node, const struct asker *to, struct msg *msg,
                           uint32_t result)
{
	if (msg->type != MSG_PG_DROP)
		replica_answer(node, to, msg_create_reply(msg, result));
	msg_destroy(msg);
}

/* The map names this start of ours. Until then a primary that asks takes us for our former self. */
static bool is_admitted(const struct node *node)
{
	const struct map_node *self = map_find_node(node->map, node->config.info.id);

	return self && self->incarnation == node->config.info.incarnation;
}

/*
 * A copy that was delayed on its way could bring back what has been taken back or forgotten since. Once
 * the interval's primary has declared the PG clean, what it pushed or removed before is done; after an
 * activation, so are older ones; and no version is prepared again once it was rolled back.
 */
static bool is_late_copy(const struct pg_slot *slot, const struct msg *msg)
{
	switch (msg->type) {
	case MSG_SHARD_PUSH:
	case MSG_SHARD_REMOVE:
		return msg->id < slot->purged_by;
	case MSG_PG_ACTIVATE:
		return (msg->flags & MSG_F_LOG) && msg->id < slot->activated_by;
	case MSG_SHARD_PREPARE:
		for (uint32_t i = 0; i < ROLLED_BACK_MAX; i++)
			if (slot->rolled_back[i] == msg->version)
				return true;
		return false;
	default:
		return false;
	}
}

/* What later copies are known by. */
static void note_request(struct pg_slot *slot, const struct msg *msg)
{
	if (msg->type == MSG_PG_QUERY)
		slot->promised = msg->epoch;
	else if (msg->type == MSG_SHARD_ROLLBACK)
		slot->rolled_back[slot->rolled_back_next++ % ROLLED_BACK_MAX] = msg->version;
	if (msg->type != MSG_PG_ACTIVATE)
		return;
	slot->activated_by = MAX(slot->activated_by, msg->id);
	if (msg->flags & MSG_F_PURGE)
		slot->purged_by = MAX(slot->purged_by, msg->id);
}

void replica_handle(struct node *node, uint64_t from, bool is_client, struct msg *msg)
{
	struct asker to = {from, is_client};
	struct pg_slot *slot = node_pg_slot(node, msg->pool, msg->pg);
	const struct disk_state *disk = node_disk(node, msg->disk);

	if (!slot || !disk)
		return replica_refuse(node, &to, msg,
		                      node->map && msg->epoch > node->map->epoch ? RES_AGAIN
		                                                                 : RES_DENIED);
	if (disk->failed)
		return replica_refuse(node, &to, msg, RES_IO);
	if (node->adopting || (!is_client && !is_admitted(node)))
		return replica_refuse(node, &to, msg, RES_AGAIN);
	if (!is_client && (msg->epoch < slot->interval_start || msg->epoch < slot->promised))
		return replica_refuse(node, &to, msg, RES_STALE);
	/* Not STALE: should somebody still wait for it, he would repeat it with this id for ever. */
	if (is_late_copy(slot, msg) && !is_client)
		return replica_refuse(node, &to, msg, RES_BASE);
	if (!is_client)
		note_request(slot, msg);
	if (msg->type == MSG_SHARD_READ && (msg->length == 0 || msg->length > BUF_MAX))
		return replica_refuse(node, &to, msg, RES_INVALID);

	if (!is_client) {
		req_stat_count(&node->stat.peer, msg);
		node->stat.peer.active++;
	}
	struct disk_job *job = disk_job_start(node, msg->disk, msg, replica_job_done, NULL);
	job->asker = from;
	job->asker_is_client = is_client;
}

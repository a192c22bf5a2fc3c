/* SPDX-License-Identifier: Apache-2.0 */

/* Client requests for objects: checks, dispatch, and the read path. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

static void read_reply(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	uint32_t part_size = ec_part_size(pg->k, 1u << pg->conf->object_shift);
	uint64_t off = op->req->offset, end = off + op->req->length;
	struct msg *reply = msg_create_reply(op->req, RES_OK);

	while (off < end) {
		uint32_t part = off / part_size, lo = off % part_size;
		uint32_t hi = MIN((uint64_t)part_size, lo + (end - off));
		struct slice s = plan_take(op->plan, part, lo, hi);
		payload_add(&reply->payload, &s);
		off += hi - lo;
	}
	reply->version = plan_version(op->plan);
	node->stat.read += op->req->length;
	op_finish_reply(node, op, reply);
}

static void read_absent(struct node *node, struct op *op)
{
	struct msg *reply = msg_create_reply(op->req, RES_OK);

	reply->flags = MSG_F_ZEROS | MSG_F_ABSENT;
	reply->length = op->req->length;
	op_finish_reply(node, op, reply);
}

static void read_confirmed(struct node *node, struct op *op)
{
	object_is_absent(op->object);
	read_absent(node, op);
}

static void read_done(struct node *node, struct op *op)
{
	if (plan_is_absent(op->pg, op->plan) && !missing_find(op->pg, op->req->oid)) {
		bool told = op->object->known && !op->object->exists;
		if (told || plan_version(op->plan)) /* a tombstone */
			read_absent(node, op);
		else
			absent_confirm(node, op, read_confirmed);
	} else if (plan_mark_bad(node, op)) {
		op_restart(node, op);
	} else {
		read_reply(node, op);
	}
}

/* The object is deleted, though some slot does not know yet: no shard needs to be asked. */
static bool read_tombstone(struct node *node, struct op *op, const struct missing *m)
{
	if (!m || !m->tombstone)
		return false;
	read_absent(node, op);
	return true;
}

void read_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct missing *m = missing_find(pg, op->req->oid);
	uint32_t part_size = ec_part_size(pg->k, 1u << pg->conf->object_shift);
	uint64_t off = op->req->offset, end = off + op->req->length;

	if (read_tombstone(node, op, m))
		return;
	op->plan = plan_create(read_done);
	while (off < end) {
		uint32_t part = off / part_size, lo = off % part_size;
		uint32_t hi = MIN((uint64_t)part_size, lo + (end - off));
		plan_add_shard(pg, m, op->plan, part, lo, hi);
		off += hi - lo;
	}
	if (!plan_seal(pg, m, op->plan)) {
		/* Fewer than k live slots: only a new interval can help. */
		op_finish(node, op, m ? RES_UNFOUND : RES_AGAIN);
		return;
	}
	plan_run(node, op);
}

void stat_run(struct node *node, struct op *op)
{
	struct missing *m = missing_find(op->pg, op->req->oid);
	struct object *o = op->object;
	bool exists = m ? !m->tombstone : o->exists;
	struct msg *reply = msg_create_reply(op->req, exists ? RES_OK : RES_NOENT);

	reply->version = m ? m->version : o->version;
	op_finish_reply(node, op, reply);
}

/* ---- Dispatch ---- */

static uint32_t request_check(const struct msg *msg, const struct map_pool *conf)
{
	uint64_t size = 1ull << conf->object_shift;

	switch (msg->type) {
	case MSG_OBJ_READ:
	case MSG_OBJ_ZERO:
		return msg->length && range_fits(msg->offset, msg->length, size) ? RES_OK
		                                                                 : RES_INVALID;
	case MSG_OBJ_WRITE: {
		uint32_t len = payload_len(&msg->payload);
		return len && msg->payload.count == 1 && range_fits(msg->offset, len, size)
		               ? RES_OK
		               : RES_INVALID;
	}
	default:
		return RES_OK;
	}
}

static op_run request_run(const struct msg *msg, bool *ret_exclusive)
{
	*ret_exclusive = true;
	switch (msg->type) {
	case MSG_OBJ_READ:
		*ret_exclusive = false;
		return read_run;
	case MSG_OBJ_WRITE:
	case MSG_OBJ_ZERO:
	case MSG_OBJ_DELETE:
		return write_run;
	case MSG_OBJ_STAT:
		return stat_run;
	case MSG_OBJ_CHECK:
		return check_run;
	default:
		return NULL;
	}
}

void client_object_request(struct node *node, uint64_t conn, struct msg *msg)
{
	const struct map_pool *conf = node->map ? map_find_pool(node->map, msg->pool) : NULL;
	uint32_t result = RES_OK;
	struct pg *pg = NULL;
	bool exclusive;

	if (!node->map)
		result = RES_NOT_FORMATTED;
	else if (!conf)
		result = msg->epoch > node->map->epoch ? RES_AGAIN : RES_INVALID;
	else if (!node_may_serve(node, node->now) || node->adopting)
		result = RES_AGAIN;
	else
		result = request_check(msg, conf);
	if (result == RES_OK) {
		uint32_t number = msg->type == MSG_OBJ_LIST ? msg->pg : place_pg_of(conf, msg->oid);
		pg = node_find_pg(node, msg->pool, number);
		if (!pg)
			result = msg->epoch < node->map->epoch ? RES_STALE : RES_NOT_PRIMARY;
		else if (msg->epoch < pg->epoch)
			result = RES_STALE;
		else if (node->config.max_client_bytes &&
		         node->client_bytes > node->config.max_client_bytes)
			result = RES_AGAIN;
	}
	if (result != RES_OK) {
		node_reply_result(node, conn, msg, result);
		msg_destroy(msg);
		return;
	}
	node->stat.ops++;
	req_stat_count(&node->stat.client, msg);
	op_run run = msg->type == MSG_OBJ_LIST ? list_run : request_run(msg, &exclusive);
	struct op *op = op_create(node, pg, conn, msg, run, msg->type != MSG_OBJ_LIST && exclusive);
	if (pg->state != PG_ACTIVE)
		list_push(&pg->waiting, &op->link);
	else if (run == list_run)
		list_run(node, op);
	else
		op_start(node, op);
}

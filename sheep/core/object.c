/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Objects at their primary, and the operations that wait for them.
 *
 * An operation runs when (1) nothing must be rebuilt first, (2) it has the object's lock - readers
 * and recovery share it, a writer excludes - and (3), for writers, the object's version is known.
 * Waiters are served in order. A write that cannot be completed keeps its lock until the interval
 * ends: nobody may see the object before peering has decided about that version.
 */
#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct object *object_get(struct node *node, struct pg *pg, uint64_t oid)
{
	for (struct hnode *h = htab_first(&pg->objects, hash64(oid)); h; h = htab_next(h)) {
		struct object *o = container_of(h, struct object, by_oid);
		if (o->oid == oid)
			return o;
	}
	struct object *o = xcalloc(1, sizeof(*o));
	o->pg = pg;
	o->oid = oid;
	list_init(&o->waiting);
	list_init(&o->lru);
	htab_insert(&pg->objects, &o->by_oid, hash64(oid));
	node->object_count++;
	return o;
}

void object_free(struct node *node, struct object *o)
{
	list_remove(&o->lru);
	htab_remove(&o->pg->objects, &o->by_oid);
	node->object_count--;
	free(o);
}

void object_trim(struct node *node)
{
	while (node->object_count > OBJECT_CACHE_MAX && !list_empty(&node->object_lru))
		object_free(node, list_item(node->object_lru.next, struct object, lru));
}

/* ---- Operations ---- */

struct op *op_create(struct node *node, struct pg *pg, uint64_t conn, struct msg *req, op_run run,
                     bool exclusive)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->pg = pg;
	op->conn = conn;
	op->req = req;
	op->run = run;
	op->exclusive = exclusive;
	list_init(&op->link);
	list_init(&op->by_version);
	list_push(&pg->ops, &op->in_pg);
	if (conn) {
		op->inflight_bytes = payload_len(&req->payload);
		node->client_bytes += op->inflight_bytes;
		node->client_ops++;
	}
	return op;
}

static void op_drop_work(struct op *op)
{
	plan_free(op->plan);
	op->plan = NULL;
	write_free(op->write);
	op->write = NULL;
	if (op->code) {
		op->code->op = NULL; /* frees itself when it comes back */
		op->code = NULL;
	}
	list_free(op->list);
	op->list = NULL;
	list_remove(&op->by_version);
}

static void op_free(struct node *node, struct op *op)
{
	op_drop_work(op);
	list_remove(&op->link);
	list_remove(&op->in_pg);
	scrub_op_gone(node, op);
	if (op->conn) {
		node->client_bytes -= op->inflight_bytes;
		node->client_ops--;
	}
	msg_destroy(op->req);
	free(op);
}

static bool object_lock(struct op *op, struct object *o)
{
	if (o->writer || (op->exclusive && o->readers))
		return false;
	if (op->exclusive)
		o->writer = true;
	else
		o->readers++;
	op->object = o;
	list_remove(&o->lru);
	return true;
}

static void op_go(struct node *node, struct op *op);

static void object_unlock(struct node *node, struct op *op)
{
	struct object *o = op->object;
	struct list ready;
	struct list *l;

	if (!o)
		return;
	op->object = NULL;
	if (op->exclusive)
		o->writer = false;
	else
		o->readers--;
	list_init(&ready);
	while (!list_empty(&o->waiting)) {
		struct op *next = list_item(o->waiting.next, struct op, link);
		if (!object_lock(next, o))
			break;
		list_remove(&next->link);
		list_push(&ready, &next->link);
	}
	if (!o->writer && !o->readers)
		list_push(&node->object_lru, &o->lru);
	while ((l = list_pop(&ready)))
		op_go(node, list_item(l, struct op, link));
}

/* A final answer to a change is remembered, also when nothing changed: a copy of the request
 * that was delayed on its way must not take effect after the client has moved on. (One delayed
 * into the next interval carries an older epoch and is refused.) */
static void op_remember(struct op *op, const struct msg *reply)
{
	struct log_entry e = {op->version, op->req->oid, op->req->req};

	if (reply->result != RES_OK)
		e.version = 0;
	if (op->run == write_run && reply->result != RES_AGAIN)
		pg_add_request(op->pg, &e, reply->result);
}

void op_finish_reply(struct node *node, struct op *op, struct msg *reply)
{
	if (op->conn)
		op_remember(op, reply);
	if (op->conn)
		node_reply(node, op->conn, reply);
	else
		msg_destroy(reply);
	op_drop_work(op);
	object_unlock(node, op);
	op_free(node, op);
}

void op_finish(struct node *node, struct op *op, uint32_t result)
{
	op_finish_reply(node, op, op->conn ? msg_create_reply(op->req, result) : NULL);
}

void op_abort(struct node *node, struct op *op)
{
	/* What it did is for peering to find out; the client repeats it with the same request
	 * id. */
	if (op->conn)
		node_reply_result(node, op->conn, op->req, RES_AGAIN);
	op_free(node, op);
}

static void pg_drop_client(struct node *node, struct pg *pg, uint64_t conn)
{
	list_each_safe (l, &pg->ops) {
		struct op *op = list_item(l, struct op, in_pg);
		/* Without a lock it is in some queue; a listing has its call out and goes on. */
		if (op->conn == conn && !op->object && op->run != list_run)
			op_free(node, op);
	}
}

void ops_drop_client(struct node *node, uint64_t conn)
{
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++)
			if (node->pools[i].pgs[j].pg)
				pg_drop_client(node, node->pools[i].pgs[j].pg, conn);
}

/* The object's shards must be whole before this operation. True when it was parked or finished. */
static bool op_waits_for_repair(struct node *node, struct op *op)
{
	struct missing *m = op->missing ? NULL : missing_find(op->pg, op->req->oid);

	if (!m || (!op->exclusive && !m->unstable && !m->unfound))
		return false;
	bool answered;
	if (lost_handle(node, op, m, &answered))
		return answered;
	object_unlock(node, op);
	m = missing_find(op->pg, op->req->oid);
	if (!m) { /* whoever had the lock next has made an end of it */
		op_start(node, op);
		return true;
	}
	if (m->full && op->exclusive && !missing_is_from(m, op->req->req)) {
		op_finish(node, op, RES_NOSPACE);
		return true;
	}
	if (m->unfound && op->req->type == MSG_OBJ_CHECK) {
		op_finish(node, op, RES_UNFOUND);
		return true;
	}
	list_push(&m->waiting, &op->link);
	recovery_start(node, m);
	return true;
}

void object_is_absent(struct object *o)
{
	o->known = true;
	o->exists = false;
	o->version = 0;
}

static void object_stat_absent(struct node *node, struct op *op)
{
	object_is_absent(op->object);
	op_go(node, op);
}

static void object_stat_done(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;
	struct object *o = op->object;

	if (reply->result == RES_OK && reply->entry_count == 1) {
		const struct shard_entry *e = &reply->entries[0];
		uint32_t dead = e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE;
		o->version = e->pending ? e->pending : e->version;
		o->exists = !(e->flags & dead);
	} else if (reply->result == RES_NOENT) {
		absent_confirm(node, op, object_stat_absent);
		return;
	} else {
		op_finish(node, op, RES_IO);
		return;
	}
	o->known = true;
	op_go(node, op);
}

/* The lock is held. */
static void op_go(struct node *node, struct op *op)
{
	if (op_waits_for_repair(node, op))
		return;
	if (op->exclusive && !op->object->known && op->run != check_run) {
		struct pg *pg = op->pg;
		struct msg *m = pg_msg(node, pg, MSG_SHARD_STAT);
		m->oid = op->req->oid;
		m->shard = pg->own;
		call_start(node, pg, pg->slot_node[pg->own], pg->slot_disk[pg->own], m,
		           object_stat_done, op);
		return;
	}
	op->run(node, op);
}

void op_start(struct node *node, struct op *op)
{
	if (op_waits_for_repair(node, op))
		return;
	struct object *o = object_get(node, op->pg, op->missing ? op->missing->oid : op->req->oid);
	if (!list_empty(&o->waiting) || !object_lock(op, o)) {
		list_push(&o->waiting, &op->link);
		return;
	}
	op_go(node, op);
}

void op_restart(struct node *node, struct op *op)
{
	op_drop_work(op);
	object_unlock(node, op);
	if (++op->tries > MAX_TRIES)
		op_finish(node, op, RES_IO);
	else
		op_start(node, op);
}

struct call *op_call(struct node *node, struct op *op, uint64_t peer, uint64_t disk,
                     struct msg *req, call_done done, uint32_t index)
{
	struct call *call = call_start(node, op->pg, peer, disk, req, done, op);

	call->index = index;
	return call;
}

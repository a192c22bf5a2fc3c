/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The write path at the primary. The happy way:
 *
 *   write_run        lock held, version known, repeated requests answered from the PG's log
 *   (partial, EC)    old bytes of the ranges are read: plan_run -> write_old_read
 *   write_encode     parity of the new bytes, or of (new xor old) for a partial write: the code
 *                    is linear
 *   write_prepare    every live slot gets its part under a new version, or just the version
 *   write_answer     all durable: the client is answered, the commit point moves
 *
 * What can fail: a slot refuses (no space, damaged old bytes, another base version): all others
 * are rolled back, then the client hears "no space", or the slot's shard is rebuilt and the
 * write starts over. A slot that never answers ends in a new interval, and peering decides.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct write {
	bool replace, remove, zero;
	uint32_t part_size;
	/* Which bytes of each data part change. */
	struct {
		uint32_t lo, hi;
	} part[MAX_SHARDS];
	/* Parity ranges: one, or two that do not touch (a write across a part's end). */
	uint32_t range_count, current;
	struct {
		uint32_t lo, hi;
	} range[2];
	struct msg *prepare[MAX_SHARDS];
};

void write_free(struct write *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < MAX_SHARDS; i++)
		msg_destroy(w->prepare[i]);
	free(w);
}

static uint64_t write_length(const struct op *op)
{
	return op->req->type == MSG_OBJ_WRITE ? payload_len(&op->req->payload) : op->req->length;
}

static bool part_touched(const struct write *w, uint32_t i)
{
	return w->part[i].hi > w->part[i].lo;
}

static void write_cut(struct op *op, struct write *w)
{
	uint64_t off = op->req->offset, end = off + write_length(op);
	uint32_t first = off / w->part_size, last = (end - 1) / w->part_size;
	uint32_t lo = UINT32_MAX, hi = 0;

	for (uint32_t i = first; i <= last; i++) {
		w->part[i].lo = i == first ? off % w->part_size : 0;
		w->part[i].hi = i == last ? (end - 1) % w->part_size + 1 : w->part_size;
		lo = MIN(lo, w->part[i].lo);
		hi = MAX(hi, w->part[i].hi);
	}
	w->range_count = 1;
	w->range[0].lo = lo;
	w->range[0].hi = hi;
	if (last == first + 1 && w->part[first].lo >= w->part[last].hi) {
		w->range_count = 2;
		w->range[0].lo = w->part[first].lo;
		w->range[0].hi = w->part_size;
		w->range[1].lo = 0;
		w->range[1].hi = w->part[last].hi;
	}
}

static void msg_add_range(struct msg *m, uint32_t range_op, uint32_t lo, uint32_t hi,
                          struct slice *s)
{
	assert(m->range_count < MAX_RANGES);
	m->ranges[m->range_count++] = (struct shard_range){range_op, lo, hi - lo};
	if (s)
		payload_add(&m->payload, s);
}

/* The new bytes of a part, as a window on the client's payload. */
static struct slice part_payload(struct op *op, const struct write *w, uint32_t i)
{
	uint64_t start = (uint64_t)i * w->part_size + w->part[i].lo - op->req->offset;

	return slice_cut(&op->req->payload.v[0], start, w->part[i].hi - w->part[i].lo);
}

/* ---- Outcome ---- */

static void write_over(struct node *node, struct op *op)
{
	list_remove(&op->by_version);
	pg_advance_commit(node, op->pg);
}

static void write_succeeded(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct object *o = op->object;
	bool exists = !op->write->remove;
	struct msg *reply = msg_create_reply(op->req, RES_OK);

	lost_replaced(node, pg, op->req->oid);
	pg->object_count += (int)exists - (int)o->exists;
	pg->changes++;
	pg->tombstones = pg->tombstones || !exists;
	o->version = op->version;
	o->exists = exists;
	write_over(node, op);
	node->stat.written += op->inflight_bytes;
	reply->version = op->version;
	op_finish_reply(node, op, reply);
}

static void write_failed(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;

	pg->tombstones = pg->tombstones || !op->object->exists; /* kept beside what was pending */
	write_over(node, op);
	if (op->fail_result == RES_NOSPACE) {
		op_finish(node, op, RES_NOSPACE);
		return;
	}
	if (op->fail_result == RES_IO || !op->base) {
		/* A dying disk ends the interval; the client tries again. */
		op_finish(node, op, RES_AGAIN);
		return;
	}
	for (uint32_t i = 0; i < pg->n; i++)
		if (op->failed & slot_bit(i))
			missing_mark_slot(node, pg, op->req->oid, op->base, i);
	op_restart(node, op);
}

static void rollback_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;

	if (--op->awaited == 0)
		write_failed(node, op);
}

/* At every slot, those that refused too: a late copy of the request might find them willing. */
static void write_rollback(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;

	op->awaited = __builtin_popcountll(pg->live);
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_SHARD_ROLLBACK);
		m->oid = op->req->oid;
		m->shard = i;
		m->version = op->version;
		op_call(node, op, pg->slot_node[i], pg->slot_disk[i], m, rollback_answer, i);
	}
}

static void write_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;

	if (reply->result == RES_OK) {
		op->prepared |= slot_bit(call->index);
	} else {
		op->failed |= slot_bit(call->index);
		if (op->fail_result != RES_NOSPACE)
			op->fail_result = reply->result;
	}
	if (--op->awaited)
		return;
	if (op->failed)
		write_rollback(node, op);
	else
		write_succeeded(node, op);
}

/* ---- Prepare ---- */

static void write_prepare(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct write *w = op->write;

	op->version = pg_next_version(pg);
	op->prepared = op->failed = 0;
	op->fail_result = RES_OK;
	list_push(&pg->inflight, &op->by_version);
	op->awaited = __builtin_popcountll(pg->live);
	pg->commit_sent = pg->commit;
	for (uint32_t i = 0; i < pg->n; i++) {
		struct msg *m = w->prepare[i];
		w->prepare[i] = NULL;
		if (!(pg->live & slot_bit(i))) {
			msg_destroy(m);
			continue;
		}
		m->version = op->version;
		m->base = op->base;
		m->commit = pg->commit;
		m->req = op->req->req;
		m->oid = op->req->oid;
		m->shard = i;
		m->shard_flags = w->remove ? SHARD_DELETE : w->replace ? SHARD_REPLACE : 0;
		op_call(node, op, pg->slot_node[i], pg->slot_disk[i], m, write_answer, i);
	}
}

/* ---- Parity ---- */

static void write_encode(struct node *node, struct op *op);

static void write_encoded(struct node *node, struct op *op)
{
	struct write *w = op->write;
	struct code_job *c = op->code;
	uint32_t kind = w->replace ? RANGE_DATA : RANGE_XOR;

	op->code = NULL;
	for (uint32_t j = 0; j < c->out_count; j++) {
		struct slice s = {c->out[j], 0, c->len};
		c->out[j] = NULL;
		msg_add_range(w->prepare[c->out_id[j]], kind, w->range[w->current].lo,
		              w->range[w->current].hi, &s);
	}
	code_free(c);
	w->current++;
	write_encode(node, op);
}

/* new xor old of one part over a parity range, zeros around it. */
static struct slice part_diff(struct node *node, struct op *op, uint32_t i, uint32_t lo,
                              uint32_t hi)
{
	struct write *w = op->write;
	uint32_t len = w->part[i].hi - w->part[i].lo;
	struct slice fresh = {0};

	if (!w->zero)
		fresh = part_payload(op, w, i);
	if (w->replace && w->part[i].lo == lo)
		return fresh; /* the old bytes are zeros */

	struct buf *b = buf_get(node->config.pool, hi - lo);
	uint8_t *dst = b->data + (w->part[i].lo - lo);
	memset(b->data, 0, b->len);
	if (!w->zero)
		memcpy(dst, slice_data(&fresh), len);
	if (!w->replace) {
		struct slice old = plan_take(op->plan, i, w->part[i].lo, w->part[i].hi);
		ec_xor(dst, slice_data(&old), len);
		slice_drop(&old);
	}
	slice_drop(&fresh);
	return (struct slice){b, 0, hi - lo};
}

static void write_encode(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct write *w = op->write;

	if (w->current == w->range_count || pg->n == pg->k) {
		write_prepare(node, op);
		return;
	}
	uint32_t lo = w->range[w->current].lo, hi = w->range[w->current].hi;
	struct code_job *c = code_create(node, op, hi - lo);
	c->in_count = pg->k;
	for (uint32_t i = 0; i < pg->k; i++) {
		c->in_id[i] = i;
		if (part_touched(w, i) && w->part[i].lo < hi && w->part[i].hi > lo)
			c->in[i] = part_diff(node, op, i, lo, hi);
	}
	c->out_count = pg->n - pg->k;
	for (uint32_t j = 0; j < c->out_count; j++)
		c->out_id[j] = pg->k + j;
	c->done = write_encoded;
	code_start(node, c);
}

static void write_fill_data(struct op *op)
{
	struct pg *pg = op->pg;
	struct write *w = op->write;
	uint32_t copies = pg->k == 1 ? pg->n : 1;

	for (uint32_t i = 0; i < pg->k; i++) {
		if (!part_touched(w, i))
			continue;
		for (uint32_t c = 0; c < copies; c++) {
			struct slice s = {0};
			if (!w->zero)
				s = part_payload(op, w, i);
			msg_add_range(w->prepare[i + c], w->zero ? RANGE_ZERO : RANGE_DATA,
			              w->part[i].lo, w->part[i].hi, w->zero ? NULL : &s);
		}
	}
	if (pg->k == 1)
		w->current = w->range_count; /* copies need no parity */
}

static void write_old_read(struct node *node, struct op *op)
{
	if (plan_mark_bad(node, op)) {
		op_restart(node, op);
		return;
	}
	op->base = op->object->version;
	write_encode(node, op);
}

static bool write_needs_old(const struct op *op)
{
	return !op->write->replace && op->pg->k > 1 && op->pg->n > op->pg->k;
}

static void write_build(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct write *w = op->write = xcalloc(1, sizeof(*w));
	uint64_t size = 1ull << pg->conf->object_shift;
	bool whole =
		op->req->type != MSG_OBJ_DELETE && op->req->offset == 0 && write_length(op) == size;

	w->part_size = ec_part_size(pg->k, size);
	w->zero = op->req->type == MSG_OBJ_ZERO;
	w->remove = op->req->type == MSG_OBJ_DELETE || (w->zero && whole);
	w->replace = !op->object->exists || whole;
	for (uint32_t i = 0; i < pg->n; i++)
		w->prepare[i] = pg_msg(node, pg, MSG_SHARD_PREPARE);
	if (!w->remove) {
		write_cut(op, w);
		write_fill_data(op);
	}
}

/* The condition of a compare-and-swap. The answer to a refusal says what stands there. */
static bool write_is_refused(struct node *node, struct op *op)
{
	uint64_t stands = op->object->exists ? op->object->version : 0;

	if ((op->req->flags & MSG_F_EXCL) && op->object->exists) {
		op_finish(node, op, RES_EXISTS);
		return true;
	}
	if (!(op->req->flags & MSG_F_IF) || op->req->base == stands)
		return false;
	struct msg *reply = msg_create_reply(op->req, RES_CHANGED);
	reply->version = stands;
	op_finish_reply(node, op, reply);
	return true;
}

void write_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	const struct done_req *before = pg_find_request(pg, op->req->req);

	op->base = op->object->version;
	if (before) {
		op_finish(node, op, before->result);
		return;
	}
	if (write_is_refused(node, op))
		return;
	if (op->req->type != MSG_OBJ_WRITE && !op->object->exists) {
		op_finish(node, op, RES_OK);
		return;
	}
	if ((uint32_t)__builtin_popcountll(pg->live) < pg_min_live(node, pg)) {
		op_finish(node, op, RES_AGAIN);
		return;
	}
	write_build(node, op);
	if (op->write->remove) {
		write_prepare(node, op);
		return;
	}
	if (!write_needs_old(op)) {
		write_encode(node, op);
		return;
	}
	op->plan = plan_create(write_old_read);
	for (uint32_t i = 0; i < pg->k; i++)
		if (part_touched(op->write, i))
			plan_add_shard(pg, NULL, op->plan, i, op->write->part[i].lo,
			               op->write->part[i].hi);
	if (plan_seal(pg, NULL, op->plan))
		plan_run(node, op);
	else
		op_finish(node, op, RES_AGAIN);
}

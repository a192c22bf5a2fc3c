/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rebuilding shards. Driven by each PG's primary, most endangered objects first, a bounded
 * number at once, fewer while clients are served. One recovery reads k shards (or the lost
 * shard itself where an earlier holder still has it), decodes all that is lost together and
 * pushes each to its slot. The object stays readable; writers wait for it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

enum { BLOCKED_MS = 3000, ACCEPT_MAX = 64 };

/* A target is full: who waits to write hears it now, who waits to read goes on if it can. */
static void answer_waiting(struct node *node, struct missing *m)
{
	struct list waiting, *l;

	list_init(&waiting);
	list_splice(&waiting, &m->waiting);
	while ((l = list_pop(&waiting))) {
		struct op *op = list_item(l, struct op, link);
		if (op->exclusive && !missing_is_from(m, op->req->req))
			op_finish(node, op, RES_NOSPACE);
		else if (m->unstable)
			list_push(&m->waiting, &op->link);
		else
			op_start(node, op);
	}
}

/* Too few shards are left: if that is for good, who waits hears it now, or makes an end of m. */
static void waiting_look_again(struct node *node, struct missing *m)
{
	struct list waiting, *l;

	list_init(&waiting);
	list_splice(&waiting, &m->waiting);
	while ((l = list_pop(&waiting)))
		op_start(node, list_item(l, struct op, link));
}

static void recovery_end(struct node *node, struct op *op)
{
	struct missing *m = op->missing;
	struct pg *pg = op->pg;

	m->full = m->full && m->need;
	node->recovering--;
	pg->running--;
	op_finish(node, op, RES_OK);
	m->running = false; /* not before: who had waited for the lock could have made an end of m */
	if (m->need) {
		missing_requeue(node, m); /* full or failing: later */
		if (m->blocked_until > node->now && !list_empty(&m->queue)) {
			list_remove(&m->queue);
			list_push(&node->blocked, &m->queue);
		}
		if (m->unfound)
			waiting_look_again(node, m);
		else if (m->full)
			answer_waiting(node, m);
		return;
	}
	node->stat.recovered_objects++;
	missing_free(node, m);
	pg_check_clean(node, pg);
}

static void push_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;
	struct missing *m = op->missing;
	uint64_t bit = slot_bit(call->index);

	if (reply->result == RES_OK) {
		m->need &= ~bit;
		m->accept &= ~bit;
		m->have |= bit;
		m->source[call->index] = call->index;
	} else if (m->accept & bit) {
		m->accept &= ~bit; /* it has lost it meanwhile */
		m->have &= ~bit;
	} else {
		m->blocked_until = node->now + BLOCKED_MS;
		m->full = m->full || reply->result == RES_NOSPACE;
	}
	if (--op->awaited == 0)
		recovery_end(node, op);
}

/* Bytes up to the last one that is not zero: what lies behind is a hole on the other shards too. */
static uint32_t used_length(const struct slice *s)
{
	const uint8_t *p = slice_data(s);
	uint32_t len = s->len;

	while (len >= 4096 && p[len - 1] == 0 && !memcmp(p + len - 4096, p + len - 4095, 4095))
		len -= 4096;
	while (len && !p[len - 1])
		len--;
	return len;
}

/* The rebuilt shard, without the zeros at its end. */
static void push_add_bytes(struct node *node, struct op *op, struct msg *push)
{
	struct slice s = plan_take(op->plan, push->shard, 0, op->missing->size);
	uint32_t len = used_length(&s);
	struct slice cut = slice_cut(&s, 0, len);

	slice_drop(&s);
	node->stat.recovered_bytes += len;
	if (!len) {
		slice_drop(&cut);
		return;
	}
	push->ranges[push->range_count++] = (struct shard_range){RANGE_DATA, 0, len};
	payload_add(&push->payload, &cut);
}

static void recovery_push(struct node *node, struct op *op)
{
	struct missing *m = op->missing;
	struct pg *pg = op->pg;

	/* A slot that turned out to need its shard meanwhile has its turn later. */
	uint64_t to = m->need & (op->rebuild | m->accept);

	m->full = false;
	op->awaited = __builtin_popcountll(to);
	if (!to) {
		recovery_end(node, op);
		return;
	}
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(to & slot_bit(i)))
			continue;
		struct msg *push = pg_msg(node, pg, MSG_SHARD_PUSH);
		push->oid = m->oid;
		push->shard = i;
		push->version = m->version;
		push->shard_flags = (m->tombstone ? SHARD_DELETE : SHARD_REPLACE) |
		                    (m->unstable ? SHARD_UNSTABLE : 0);
		push->req = m->req;
		push->base = m->base;
		push->info.activated = pg->epoch;
		if (m->accept & slot_bit(i))
			push->shard_flags |= SHARD_ACCEPT;
		else if (op->plan)
			push_add_bytes(node, op, push);
		op_call(node, op, pg->slot_node[i], pg->slot_disk[i], push, push_answer, i);
	}
}

static void recovery_read(struct node *node, struct op *op)
{
	struct missing *m = op->missing;

	if (plan_mark_bad(node, op)) {
		if (op->tries < MAX_TRIES) {
			op_restart(node, op);
			return;
		}
		m->blocked_until = node->now + BLOCKED_MS;
		recovery_end(node, op);
		return;
	}
	recovery_push(node, op);
}

static void recovery_run(struct node *node, struct op *op)
{
	struct missing *m = op->missing;
	struct pg *pg = op->pg;

	if (!m->need || m->unfound) {
		recovery_end(node, op);
		return;
	}
	op->rebuild = m->need & ~m->accept;
	if (m->tombstone || !m->size || m->need == m->accept) {
		recovery_push(node, op);
		return;
	}
	op->plan = plan_create(recovery_read);
	for (uint32_t i = 0; i < pg->n; i++)
		if (op->rebuild & slot_bit(i))
			plan_add_shard(pg, m, op->plan, i, 0, m->size);
	if (plan_seal(pg, m, op->plan))
		plan_run(node, op);
	else
		recovery_end(node, op);
}

void recovery_start(struct node *node, struct missing *m)
{
	if (m->running || m->unfound || m->held || !m->need)
		return;
	if (!node->recovering && !node->stat.recovery_started && m->need != m->accept) {
		node->stat.recovery_started = node->now;
		node->stat.recovered_objects = node->stat.recovered_bytes = 0;
		node->stat.rate_at = node->now;
		node->stat.rate_bytes = node->stat.rate = 0;
	}
	m->running = true;
	list_remove(&m->queue);
	node->recovering++;
	m->pg->running++;
	struct op *op = op_create(node, m->pg, 0, NULL, recovery_run, false);
	op->missing = m;
	op_start(node, op);
}

/* Not before: a slot may still have a version that is being taken back, and answer with that. */
void recovery_release(struct node *node, struct pg *pg)
{
	uint32_t cursor = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));)
		missing_requeue(node, container_of(h, struct missing, by_oid));
}

static struct missing *recovery_next(struct node *node)
{
	for (uint32_t r = 0; r <= MAX_PARITY; r++)
		if (!list_empty(&node->recover[r]))
			return list_item(node->recover[r].next, struct missing, queue);
	return NULL;
}

static void recovery_rate(struct node *node)
{
	uint64_t elapsed = node->now - node->stat.rate_at;

	if (!node->stat.recovery_started || elapsed < 1000)
		return;
	node->stat.rate = (node->stat.recovered_bytes - node->stat.rate_bytes) * 1000 / elapsed;
	node->stat.rate_bytes = node->stat.recovered_bytes;
	node->stat.rate_at = node->now;
	if (!node->recovering && !recovery_next(node) && list_empty(&node->blocked))
		node->stat.recovery_started = node->stat.rate = 0;
}

/* The operator's limit: so many begun in an interval. */
static bool throttle_allows(struct node *node, uint32_t max)
{
	if (!node->config.recovery_interval_ms)
		return true;
	if (node->now >= node->throttle_at + node->config.recovery_interval_ms) {
		node->throttle_at = node->now;
		node->throttled = 0;
	}
	if (node->throttled >= max)
		return false;
	node->throttled++;
	return true;
}

void recovery_pump(struct node *node)
{
	uint32_t max = node->config.recovery_max ? node->config.recovery_max : RECOVERY_DEFAULT;
	uint32_t limit = node->client_ops ? MIN(max, (uint32_t)RECOVERY_BUSY) : max;
	struct missing *m;

	if (!node->map)
		return;
	while (node->recovering < ACCEPT_MAX && !list_empty(&node->accepting))
		recovery_start(node, list_item(node->accepting.next, struct missing, queue));
	if (node->map->flags & MAP_RECOVERY_DISABLED)
		return;
	while (node->recovering < limit && (m = recovery_next(node)) && throttle_allows(node, max))
		recovery_start(node, m);
}

void recovery_tick(struct node *node)
{
	list_each_safe (l, &node->blocked) {
		struct missing *m = list_item(l, struct missing, queue);
		if (m->blocked_until <= node->now)
			missing_requeue(node, m);
	}
	recovery_rate(node);
}

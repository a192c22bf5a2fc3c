/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/cover.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

enum { NO_OP = UINT32_MAX, RETRY_MS = 30, TIMEOUT_MS = 1500 };

struct sim_client {
	uint32_t index;
	struct req_id req; /* of the operation at hand */
	uint64_t next_id;  /* of messages */
	uint64_t first_id; /* of the operation's first message */
	uint64_t last_id;  /* and of its last one so far */
	uint64_t asked_id; /* of the message whose answer is awaited; 0: none */
	uint32_t asked_node;
	uint32_t op; /* in the history */
	bool working, formatting, formatted;
	bool map_wanted;
	struct map *map;
	struct sim_format format;
	uint64_t turn; /* a timer set for an older turn is void */
	uint32_t tries;
	uint32_t last_result;
	uint64_t seen[SIM_MAX_OBJECTS]; /* the version of each that it heard of last */
};

struct client_timer {
	uint32_t client;
	uint64_t turn;
};

static void client_go_on(struct world *w, struct sim_client *c);

struct sim_client *sim_client_create(struct world *w, uint32_t index)
{
	struct sim_client *c = xcalloc(1, sizeof(*c));

	c->index = index;
	c->req.client = draw_id(w);
	c->op = NO_OP;
	w->clients[index] = c;
	return c;
}

void sim_client_destroy(struct world *w, uint32_t index)
{
	struct sim_client *c = w->clients[index];

	if (!c)
		return;
	map_unref(c->map);
	free(c);
	w->clients[index] = NULL;
}

static void timer_ran_out(struct world *w, void *arg)
{
	struct client_timer *t = arg;
	struct sim_client *c = w->clients[t->client];

	if (c->turn == t->turn) {
		if (c->asked_id) { /* no answer came */
			c->tries++;
			c->map_wanted = !c->map_wanted;
		}
		c->asked_id = 0;
		client_go_on(w, c);
	}
	free(t);
}

static void client_wake_after(struct world *w, struct sim_client *c, uint64_t delay_us)
{
	struct client_timer *t = xmalloc(sizeof(*t));

	*t = (struct client_timer){c->index, ++c->turn};
	world_after(w, delay_us, timer_ran_out, t, free);
}

static void client_retry(struct world *w, struct sim_client *c)
{
	c->asked_id = 0;
	c->tries++;
	w->stats.retries++;
	client_wake_after(w, c, draw_between(w, 1, RETRY_MS) * SIM_MS * MIN(c->tries, 4u));
}

static void client_send(struct world *w, struct sim_client *c, uint32_t node, struct msg *m)
{
	m->id = c->asked_id = ++c->next_id;
	c->asked_node = node;
	client_wake_after(w, c, draw_between(w, TIMEOUT_MS / 2, TIMEOUT_MS) * SIM_MS);
	sim_net_send(w, SIM_CLIENT_0 + c->index, node, sim_net_connect(w, c->index, node), m);
}

static uint32_t node_draw(struct world *w)
{
	uint32_t node = draw_below(w, w->node_count);

	for (uint32_t i = 0; i < w->node_count; i++, node = (node + 1) % w->node_count)
		if (sim_node_is_running(w, node))
			break;
	return node;
}

/* ---- Requests ---- */

static void map_ask(struct world *w, struct sim_client *c)
{
	client_send(w, c, node_draw(w), msg_create(MSG_GET_MAP));
}

static void format_ask(struct world *w, struct sim_client *c)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;
	struct msg *m = msg_create(MSG_ADMIN);

	ask.verb = SF__ADMIN_REQUEST__VERB__FORMAT;
	ask.k = c->format.k;
	ask.m = c->format.m;
	ask.object_shift = c->format.object_shift;
	ask.grace_ms = c->format.grace_ms;
	ask.same_node_ok = c->format.same_node_ok;
	m->blob_len = sf__admin_request__get_packed_size(&ask);
	m->blob = xmalloc(m->blob_len + 1);
	sf__admin_request__pack(&ask, m->blob);
	client_send(w, c, node_draw(w), m);
}

static enum msg_type op_msg_type(const struct op_record *op)
{
	static const enum msg_type type[] = {
		[OP_READ] = MSG_OBJ_READ, [OP_WRITE] = MSG_OBJ_WRITE,   [OP_CREATE] = MSG_OBJ_WRITE,
		[OP_ZERO] = MSG_OBJ_ZERO, [OP_DELETE] = MSG_OBJ_DELETE, [OP_STAT] = MSG_OBJ_STAT,
		[OP_CHECK] = MSG_OBJ_CHECK, [OP_LIST] = MSG_OBJ_LIST,   [OP_SWAP] = MSG_OBJ_WRITE,
	};

	return type[op->type];
}

static struct msg *op_msg(struct world *w, struct sim_client *c, const struct op_record *op)
{
	const struct sim_object *o = workload_object(w, op);
	struct msg *m = msg_create(op_msg_type(op));
	uint32_t bytes = cells_bytes(&o->cells, op->first, op->count);

	m->epoch = c->map->epoch;
	m->pool = o->pool;
	m->oid = o->oid;
	if (op->type == OP_LIST) {
		m->pg = o->pg;
		m->oid = 0;
		m->flags = MSG_F_FIRST;
		m->length = 100;
		return m;
	}
	if (op->type == OP_CHECK) {
		if (w->workload->scrub || draw_below(w, 2))
			m->flags = MSG_F_REPAIR;
		return m;
	}
	if (op->type != OP_READ && op->type != OP_STAT)
		m->req = c->req;
	if (op->type != OP_DELETE && op->type != OP_STAT)
		m->offset = o->cells.start[op->first];
	if (op->type == OP_READ || op->type == OP_ZERO)
		m->length = bytes;
	if (op->type == OP_CREATE)
		m->flags = MSG_F_EXCL;
	if (op->type == OP_SWAP) {
		m->flags = MSG_F_IF;
		m->base = op->expect;
	}
	if (op->stamp) {
		struct buf *b = buf_get(w->pool, bytes);
		struct slice s = {b, 0, bytes};

		cells_fill(&o->cells, op->first, op->count, op->stamp, b->data);
		payload_add(&m->payload, &s);
	}
	return m;
}

/* The lowest slot whose disk is up. */
static uint32_t op_primary(const struct world *w, const struct map *map, const struct sim_object *o)
{
	const struct map_pool *pool = map_find_pool(map, o->pool);
	const uint64_t *disks = placement_slots(sim_member_placement(w, map->epoch), o->pool,
	                                        place_pg_of(pool, o->oid));

	for (uint32_t i = 0; i < pool->k + pool->m; i++) {
		const struct map_disk *d =
			disks[i] == NO_DISK ? NULL : map_find_disk(map, disks[i]);
		if (d && map_disk_up(map, d))
			return sim_node_by_id(w, d->node);
	}
	return UINT32_MAX;
}

static void op_ask(struct world *w, struct sim_client *c)
{
	const struct op_record *op = &w->workload->history.v[c->op];
	uint32_t node = op_primary(w, c->map, workload_object(w, op));

	if (node == UINT32_MAX) {
		c->map_wanted = true;
		client_retry(w, c);
		return;
	}
	client_send(w, c, node, op_msg(w, c, op));
	c->last_id = c->asked_id;
}

static void op_begin(struct world *w, struct sim_client *c)
{
	c->op = workload_begin(w, c->index);
	if (c->op != NO_OP)
		w->workload->history.v[c->op].expect = c->seen[w->workload->history.v[c->op].object];
	c->tries = 0;
	c->req.seq++;
	c->first_id = c->next_id + 1;
	if (c->op != NO_OP && w->trace) {
		char text[OP_TEXT_LEN];

		op_record_text(&w->workload->history.v[c->op], text);
		world_print(w, "client %u begins %s (oid %llx)", c->index, text,
		            (unsigned long long)workload_object(w, &w->workload->history.v[c->op])
		                    ->oid);
	}
}

static void client_go_on(struct world *w, struct sim_client *c)
{
	if (c->asked_id)
		return;
	if (c->formatting && !sim_member_map(w)) {
		format_ask(w, c);
		return;
	}
	c->formatting = false;
	if (!c->working)
		return;
	if (c->op == NO_OP)
		op_begin(w, c);
	if (c->op == NO_OP)
		return;
	if (!c->map || c->map_wanted)
		map_ask(w, c);
	else
		op_ask(w, c);
}

/* ---- Answers ---- */

static void map_take(struct world *w, struct sim_client *c, const struct msg *m)
{
	struct map *map;

	if (m->result == RES_OK) {
		if (map_decode(m->blob, m->blob_len, &map)) {
			world_fail(w, "client %u: the map does not decode", c->index);
			return;
		}
		if (!sim_member_is_register_map(w, map))
			world_fail(w, "client %u got a map of epoch %u that is not the register's",
			           c->index, map->epoch);
		if (!c->map || map->epoch > c->map->epoch) {
			map_unref(c->map);
			c->map = map;
		} else {
			map_unref(map);
		}
		c->map_wanted = false;
	}
	if (c->map_wanted || !c->map)
		client_retry(w, c);
	else
		client_wake_after(w, c, 0);
}

static void read_take(struct world *w, struct op_record *op, const struct msg *m)
{
	const struct cells *cells = &workload_object(w, op)->cells;
	uint32_t bytes = cells_bytes(cells, op->first, op->count);
	uint8_t *data;

	op->absent = m->flags & MSG_F_ABSENT;
	op->found = m->version;
	if (m->flags & MSG_F_ZEROS)
		return; /* all seen[] are 0 */
	if (payload_len(&m->payload) != bytes) {
		world_fail(w, "a read of %u bytes gave %u", bytes, payload_len(&m->payload));
		return;
	}
	data = xmalloc(bytes);
	payload_copy_out(&m->payload, 0, data, bytes);
	cells_parse(cells, op->first, op->count, data, op->seen);
	free(data);
}

static void op_end(struct world *w, struct sim_client *c, uint32_t node, const struct msg *m)
{
	struct op_record *op = &w->workload->history.v[c->op];

	if (op->type == OP_READ)
		read_take(w, op, m);
	/* "No space" to a repeated request does not tell what an earlier try left behind: it may yet
	 * take effect. */
	bool unsure = m->result == RES_NOSPACE && c->tries;
	op->failed = m->result == RES_NOSPACE && !unsure;
	op->refused = m->result == RES_EXISTS || m->result == RES_CHANGED;
	op->node = node;
	if (m->result == RES_OK && (op->type == OP_WRITE || op->type == OP_CREATE ||
	                            op->type == OP_ZERO || op->type == OP_DELETE ||
	                            op->type == OP_SWAP))
		op->version = m->version;
	if (m->type == MSG_OBJ_READ || m->type == MSG_OBJ_WRITE)
		c->seen[op->object] = m->version;
	op->absent |= m->result == RES_NOENT;
	w->moment++;
	op->ended = unsure ? OP_OPEN : w->moment;
	w->stats.ops_ok++;
	world_note(w, c->index, op->ended, op->absent);
	if (w->trace) {
		char text[OP_TEXT_LEN];

		op_record_text(op, text);
		world_print(w, "client %u done %s (version %llx)", c->index, text,
		            (unsigned long long)m->version);
	}
	c->op = NO_OP;
	c->asked_id = 0;
	client_wake_after(w, c, workload_pause_us(w));
}

static bool op_answer_final(struct world *w, const struct op_record *op, const struct msg *m)
{
	switch (m->result) {
	case RES_OK:
		return true;
	case RES_EXISTS:
		return op->type == OP_CREATE;
	case RES_CHANGED:
		return op->type == OP_SWAP;
	case RES_NOENT:
		return op->type == OP_STAT;
	case RES_NOSPACE:
		return op->type != OP_READ && op->type != OP_STAT && op->type != OP_CHECK;
	case RES_INVALID:
	case RES_DENIED:
	case RES_BASE:
	case RES_CORRUPT:
		world_fail(w, "%s of a client was answered \"%s\"", msg_type_name(m->type),
		           wire_result_text(m->result));
		return false;
	default:
		return false;
	}
}

/* That nothing was changed holds only for the try that was told so: a later one may find the object
 * otherwise, in an interval that does not know of the answer. */
static bool op_answer_holds(const struct sim_client *c, const struct op_record *op,
                            const struct msg *m)
{
	bool looks = op->type == OP_READ || op->type == OP_STAT || op->type == OP_CHECK ||
	             op->type == OP_LIST;

	return looks || m->version || m->id == c->last_id;
}

static void op_take(struct world *w, struct sim_client *c, uint32_t node, const struct msg *m)
{
	const struct op_record *op = &w->workload->history.v[c->op];

	if (m->type != op_msg_type(op))
		return;
	cover_request_done(w, node, workload_object(w, op), m);
	if (op_answer_final(w, op, m) && op_answer_holds(c, op, m)) {
		op_end(w, c, node, m);
		return;
	}
	if (m->id != c->asked_id)
		return; /* an earlier try failed too */
	c->last_result = m->result;
	world_trace(w, "client %u tries again: %s", c->index, wire_result_text(m->result));
	c->map_wanted |=
		m->result == RES_STALE || m->result == RES_NOT_PRIMARY || c->tries % 8 == 7;
	client_retry(w, c);
}

void sim_client_take(struct world *w, uint32_t index, uint32_t node, uint64_t conn, struct msg *msg)
{
	struct sim_client *c = w->clients[index];

	if (w->guest) {
		w->guest->take(w, index, node, conn, msg);
		return;
	}
	if (sim_net_client_of(w, node, conn) != index) {
		msg_destroy(msg); /* it broke before this was read */
		return;
	}
	if (msg->type == MSG_GET_MAP && msg->id == c->asked_id) {
		c->asked_id = 0;
		map_take(w, c, msg);
	} else if (msg->type == MSG_ADMIN && msg->id == c->asked_id) {
		world_trace(w, "format: %s %.*s", wire_result_text(msg->result), (int)msg->blob_len,
		            (const char *)msg->blob);
		client_retry(w, c);
	} else if (c->op != NO_OP && msg->id >= c->first_id) {
		op_take(w, c, node, msg);
	}
	msg_destroy(msg);
}

void sim_client_lost(struct world *w, uint32_t index, uint32_t node, uint64_t conn)
{
	struct sim_client *c = w->clients[index];

	if (w->guest)
		w->guest->lost(w, index, node, conn);
	else if (c->asked_id && c->asked_node == node)
		client_retry(w, c);
}

/* ---- What the scenario asks of it ---- */

void sim_client_format(struct world *w, uint32_t index, const struct sim_format *format)
{
	struct sim_client *c = w->clients[index];

	c->format = *format;
	c->formatting = true;
	client_wake_after(w, c, 500 * SIM_MS);
}

void sim_client_work(struct world *w, uint32_t index)
{
	struct sim_client *c = w->clients[index];

	c->working = true;
	if (!c->asked_id && c->op == NO_OP)
		client_wake_after(w, c, draw_below(w, 5 * SIM_MS));
}

bool sim_client_idle(const struct world *w, uint32_t index)
{
	return w->clients[index]->op == NO_OP;
}

const struct sim_object *sim_client_object(const struct world *w, uint32_t index)
{
	uint32_t op = w->clients[index]->op;

	return op == NO_OP ? NULL : workload_object(w, &w->workload->history.v[op]);
}

void sim_client_replace(struct world *w, uint32_t index)
{
	struct sim_client *c = w->clients[index];

	for (uint32_t i = 0; i < w->node_count; i++)
		sim_net_reset(w, SIM_CLIENT_0 + index, i);
	if (w->guest) {
		w->guest->replace(w, index);
		return;
	}
	if (c->op != NO_OP)
		w->stats.ops_open++;
	world_trace(w, "client %u goes away", index);
	c->op = NO_OP;
	c->asked_id = 0;
	c->req = (struct req_id){.client = draw_id(w)};
	client_wake_after(w, c, draw_below(w, 100 * SIM_MS));
}

void sim_client_text(const struct world *w, uint32_t index, char *text, size_t len)
{
	const struct sim_client *c = w->clients[index];
	char what[OP_TEXT_LEN];

	if (c->op == NO_OP) {
		snprintf(text, len, "client %u is idle", index);
		return;
	}
	op_record_text(&w->workload->history.v[c->op], what);
	snprintf(text, len, "client %u, try %u, epoch %u, last answer \"%s\": %s", index, c->tries,
	         c->map ? c->map->epoch : 0, wire_result_text(c->last_result), what);
}

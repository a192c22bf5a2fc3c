/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/request.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/cluster.h"
#include "client/lib/conn.h"
#include "client/lib/mapcache.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/place.h"
#include "lib/wire/codec.h"

enum {
	DELAY_MIN_MS = 5,
	DELAY_MAX_MS = 100,
	PATIENCE_MS = 300,      /* unanswered for so long: look whether the primary moved */
	PRIMARY_TRY_MS = 10000, /* a connection silent for so long is given up */
	RESEND_MS = 4000,       /* an answer may be lost while others arrive; doubles each time */
	RESEND_SHIFT_MAX = 4,
	ANY_TRY_MS = 5000,
	FAILED_DISK_MS = 10000, /* until the map has a disk out that has just failed; then another serves */
	LOST_MS = 5000,         /* the same, when it was the last that had what a cut-off change made */
	ANY_ROUNDS = 2, /* how often every daemon is tried */
};

void request_init(struct request *req, enum request_route route, enum msg_type type)
{
	memset(req, 0, sizeof(*req));
	req->route = route;
	req->type = type;
	req->fence = fence_of_thread();
}

void request_fini(struct request *req)
{
	assert(req->state == REQ_IDLE);
	msg_destroy(req->reply);
	req->reply = NULL;
	free(req->crcs);
	req->crcs = NULL;
}

static bool request_changes(const struct request *req)
{
	return req->type == MSG_OBJ_WRITE || req->type == MSG_OBJ_ZERO ||
	       req->type == MSG_OBJ_DELETE;
}

bool request_is_fenced(const struct request *req)
{
	return req->fence && request_changes(req) && !fence_is_open(req->fence);
}

/* ---- Admission ---- */

static bool request_fits(const struct request *req)
{
	const struct sf_cluster *c = req->cluster;

	/* One of any size may always go, and so may metadata, on which others wait. */
	return req->bytes == 0 || req->pool == POOL_META || c->bytes_under_way == 0 ||
	       c->bytes_under_way + req->bytes <= CLUSTER_MAX_BYTES;
}

static void request_admit(struct request *req)
{
	req->state = REQ_IDLE;
	req->cluster->bytes_under_way += req->bytes;
	request_dispatch(req);
}

static void request_admit_next(struct sf_cluster *c)
{
	while (!list_empty(&c->admission)) {
		struct request *req = list_item(c->admission.next, struct request, link);

		if (!request_fits(req))
			return;
		list_remove(&req->link);
		request_admit(req);
	}
}

static void request_start(struct task *task)
{
	struct request *req = container_of(task, struct request, task);
	struct sf_cluster *c = req->cluster;

	c->active++;
	req->deadline_ms = cluster_now_ms() + (req->timeout_ms ? req->timeout_ms : c->timeout_ms);
	req->bytes = req->tx_len + (req->rx ? req->length : 0);
	if (request_changes(req))
		req->seq = ++c->next_seq;
	if (request_fits(req) && (list_empty(&c->admission) || req->pool == POOL_META)) {
		request_admit(req);
		return;
	}
	req->state = REQ_ADMISSION;
	list_push(&c->admission, &req->link);
}

void request_submit(struct sf_cluster *cluster, struct request *req)
{
	assert(req->state == REQ_IDLE);
	req->cluster = cluster;
	req->task.run = request_start;
	cluster_post(cluster, &req->task);
}

/* ---- Leaving the connection ---- */

/* Forgets this try; the request is in no list of a connection any more. */
static void request_detach(struct request *req)
{
	if (req->id)
		htab_remove(&req->cluster->inflight, &req->by_id);
	req->id = 0;
	req->conn = NULL;
	req->state = REQ_IDLE;
	free(req->head);
	req->head = NULL;
	req->sent = 0;
}

static void request_unlink(struct request *req)
{
	switch (req->state) {
	case REQ_IDLE:
		return;
	case REQ_QUEUED:
	case REQ_SENT:
		conn_abandon(req->conn, req);
		request_detach(req);
		return;
	case REQ_ADMISSION:
	case REQ_DELAYED:
		list_remove(&req->link);
		req->state = REQ_IDLE;
		return;
	}
}

void request_finish(struct request *req, int result, const char *fmt, ...)
{
	struct sf_cluster *c = req->cluster;
	bool admitted = req->state != REQ_ADMISSION;
	va_list ap;

	request_unlink(req);
	req->result = result;
	va_start(ap, fmt);
	vsnprintf(req->why, sizeof(req->why), fmt, ap);
	va_end(ap);
	assert(c->active > 0);
	c->active--;
	if (admitted) {
		assert(c->bytes_under_way >= req->bytes);
		c->bytes_under_way -= req->bytes;
	}
	/* The request may be gone after this. */
	req->done(req);
	if (admitted)
		request_admit_next(c);
}

/* Between DELAY_MIN_MS and DELAY_MAX_MS, doubling, with jitter so that clients do not come back in
 * step. */
static void request_delay(struct request *req)
{
	struct sf_cluster *c = req->cluster;
	uint32_t base =
		MIN((uint32_t)DELAY_MIN_MS << MIN(req->retries, 5u), (uint32_t)DELAY_MAX_MS);

	assert(req->state == REQ_IDLE);
	req->retries++;
	__atomic_fetch_add(&c->retries, 1, __ATOMIC_RELAXED);
	req->not_before_ms = cluster_now_ms() + base / 2 + prng_below(&c->prng, base / 2 + 1);
	req->state = REQ_DELAYED;
	list_push(&c->delayed, &req->link);
}

/* ---- Dispatch ---- */

static void request_note(struct request *req, const char *text)
{
	snprintf(req->why, sizeof(req->why), "%s", text);
}

static bool request_find_primary(struct request *req, struct endpoint *ret)
{
	const struct sf_cluster *c = req->cluster;
	const struct map_pool *pool = c->map ? map_find_pool(c->map, req->pool) : NULL;
	const struct map_node *node;

	if (!c->map || !pool) {
		request_note(req,
		             c->map ? "the map has no such pool" : "no map of the cluster yet");
		return false;
	}
	if (!req->by_pg)
		req->pg = place_pg_of(pool, req->oid);
	node = cluster_primary(c, req->pool, req->pg);
	if (!node) {
		request_note(req, "no daemon that holds a part of it is up");
		return false;
	}
	memcpy(ret->addr, node->addr, sizeof(ret->addr));
	ret->port = node->port;
	return true;
}

static void request_timed_out(struct request *req)
{
	char last[ERROR_TEXT_LEN];

	snprintf(last, sizeof(last), "%s", req->why[0] ? req->why : "no answer");
	request_finish(req, -ETIMEDOUT, "the cluster did not serve it in time (%.200s)", last);
}

void request_hold(struct request *req)
{
	request_unlink(req);
	if (fence_is_lost(req->fence)) {
		request_finish(req, -ENOLCK, "the volume's lock was lost%s%s",
		               *req->fence->why ? ": " : "", req->fence->why);
		return;
	}
	request_note(req, "the volume's lock could not be renewed");
	request_delay(req);
}

void request_dispatch(struct request *req)
{
	struct sf_cluster *c = req->cluster;
	uint64_t now = cluster_now_ms();
	struct endpoint to = {.port = req->port};
	struct conn *conn;

	if (now >= req->deadline_ms) {
		request_timed_out(req);
		return;
	}
	if (request_is_fenced(req)) {
		request_hold(req);
		return;
	}
	switch (req->route) {
	case ROUTE_PRIMARY:
		if (!request_find_primary(req, &to)) {
			cluster_refresh_map(c);
			request_delay(req);
			return;
		}
		break;
	case ROUTE_NODE:
		snprintf(to.addr, sizeof(to.addr), "%s", req->addr);
		break;
	case ROUTE_ANY:
		to = c->endpoints[(c->endpoint_home + req->any_next) % c->endpoint_count];
		break;
	}
	conn = conn_get(c, to.addr, to.port);
	if (!conn) {
		request_lost(req, strerror(errno));
		return;
	}
	req->id = ++c->next_id;
	htab_insert(&c->inflight, &req->by_id, hash64(req->id));
	req->dispatched_ms = req->patience_ms = now;
	conn_enqueue(conn, req);
}

/* ---- Frames ---- */

static void request_wrap_payload(struct request *req, struct msg *m)
{
	struct slice slice;

	if (!req->crcs) {
		req->crcs = xmalloc(block_count(req->tx_len) * sizeof(req->crcs[0]));
		req->foreign = (struct buf){
			/* Only read: the encoder computes checksums, the connection sends. */
			.data = (uint8_t *)(uintptr_t)req->tx,
			.len = req->tx_len,
			.capacity = req->tx_len,
			.crc = req->crcs,
			.refs = 1, /* ours, so that nobody frees it */
		};
		buf_seal(&req->foreign);
	}
	slice = slice_make(&req->foreign, 0, req->tx_len);
	payload_add(&m->payload, &slice);
}

void request_encode(struct request *req)
{
	const struct sf_cluster *c = req->cluster;
	struct msg m;

	if (req->head)
		return;
	msg_init(&m, req->type);
	m.id = req->id;
	m.epoch = c->map ? c->map->epoch : 0;
	m.flags = req->flags;
	m.pool = req->pool;
	m.pg = req->pg;
	m.oid = req->oid;
	m.shard = req->shard;
	m.disk = req->disk;
	m.offset = req->offset;
	m.length = req->length;
	m.base = req->base;
	if (req->seq)
		m.req = (struct req_id){.client = c->client, .seq = req->seq};
	m.blob = (uint8_t *)(uintptr_t)req->blob; /* only read */
	m.blob_len = req->blob_len;
	if (req->tx_len)
		request_wrap_payload(req, &m);
	frame_encode(&m, &req->head, &req->head_len);
	payload_fini(&m.payload);
}

uint64_t request_frame_len(const struct request *req)
{
	return (uint64_t)req->head_len + req->tx_len;
}

/* ---- Answers ---- */

static void request_keep_reply(struct request *req, struct msg *reply)
{
	req->wire_result = reply->result;
	req->reply_flags = reply->flags;
	req->reply_length = reply->length;
	req->reply_version = reply->version;
	if (!req->keep_reply)
		return;
	req->reply = msg_create(reply->type);
	/* Everything in front of the payload, arrays included, changes hands. */
	memcpy(req->reply, reply, offsetof(struct msg, payload));
	reply->entries = NULL;
	reply->log = NULL;
	reply->blob = NULL;
}

/* What a disk that fails just now makes of it; unless it stays so. */
static bool request_outlasts(struct request *req, uint32_t limit_ms)
{
	uint64_t now = cluster_now_ms();

	if (!req->failing_ms)
		req->failing_ms = now;
	return req->route == ROUTE_PRIMARY && now < req->failing_ms + limit_ms;
}

/* Whether the same request may be answered otherwise a little later. */
static bool request_retries_result(struct request *req, uint32_t result)
{
	switch (result) {
	case RES_STALE:
	case RES_NOT_PRIMARY:
	case RES_AGAIN:
	case RES_BASE:
		return req->route != ROUTE_NODE;
	case RES_IO:
		return request_outlasts(req, FAILED_DISK_MS);
	case RES_LOST:
		return (!req->cluster->map || req->cluster->map->epoch != req->cluster->lost_epoch) &&
		       request_outlasts(req, LOST_MS);
	case RES_NOT_FORMATTED:
		/* A daemon that starts has no map for a moment. */
		return req->route == ROUTE_PRIMARY;
	default:
		return false;
	}
}

void request_answered(struct request *req, struct msg *reply, uint64_t node)
{
	struct sf_cluster *c = req->cluster;
	uint32_t result = reply->result, epoch = reply->epoch;

	list_remove(&req->link);
	req->answered_node = node;
	if (req->route == ROUTE_ANY && !request_retries_result(req, result))
		mapcache_set_home(c, req->conn->addr, req->conn->port);
	request_detach(req);
	if (request_retries_result(req, result)) {
		req->any_next++; /* another daemon may be able to */
		request_note(req, wire_result_text(result));
		if ((result == RES_STALE && c->map && epoch > c->map->epoch) ||
		    result == RES_NOT_PRIMARY || req->retries % 4 == 3)
			cluster_refresh_map(c);
		request_delay(req);
		return;
	}
	if (result == RES_LOST && c->map)
		c->lost_epoch = c->map->epoch;
	request_keep_reply(req, reply);
	if (result == RES_OK)
		request_finish(req, 0, "%s", "");
	else
		request_finish(req, error_of_result(result), "%s", wire_result_text(result));
}

void request_lost(struct request *req, const char *why)
{
	struct sf_cluster *c = req->cluster;

	request_detach(req);
	request_note(req, why);
	switch (req->route) {
	case ROUTE_NODE:
		request_finish(req, -ENOTCONN, "%s", why);
		return;
	case ROUTE_ANY:
		req->any_next++;
		req->any_lost++;
		if (req->any_lost >= ANY_ROUNDS * c->endpoint_count) {
			request_finish(req, -ENOTCONN, "no daemon can be reached (%s)", why);
			return;
		}
		break;
	case ROUTE_PRIMARY:
		cluster_refresh_map(c);
		break;
	}
	request_delay(req);
}

bool request_check_time(struct request *req, uint64_t now_ms)
{
	uint64_t waited = now_ms - req->dispatched_ms;
	struct conn *conn = req->conn;
	struct endpoint to;

	if (now_ms >= req->deadline_ms) {
		request_timed_out(req);
		return true;
	}
	if (req->state != REQ_QUEUED && req->state != REQ_SENT)
		return false;
	if (req->route == ROUTE_ANY && waited >= (req->try_ms ? req->try_ms : ANY_TRY_MS)) {
		request_unlink(req);
		request_lost(req, "no answer");
		return true;
	}
	if (req->route != ROUTE_PRIMARY || now_ms - req->patience_ms < PATIENCE_MS)
		return false;
	req->patience_ms = now_ms;
	/* One look serves all who wait. */
	if (cluster_now_ms() - req->cluster->map_asked_ms >= PATIENCE_MS / 2)
		cluster_refresh_map(req->cluster);
	if (waited >= PRIMARY_TRY_MS && now_ms - conn->heard_ms >= PRIMARY_TRY_MS) {
		conn_fail(conn, "the daemon does not answer");
		return true;
	}
	/* Harmless for the daemon to see twice: changes carry their id, the rest changes nothing. */
	if (req->state == REQ_SENT &&
	    waited >= (uint64_t)RESEND_MS << MIN(req->resends, (uint32_t)RESEND_SHIFT_MAX)) {
		req->resends++;
		request_unlink(req);
		request_dispatch(req);
		return true;
	}
	if (request_find_primary(req, &to) &&
	    (to.port != conn->port || strcmp(to.addr, conn->addr) != 0)) {
		request_unlink(req);
		request_dispatch(req);
		return true;
	}
	return false;
}

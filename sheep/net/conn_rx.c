/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>


#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "sheep/net/net_state.h"

/*
 * Small frames are read many at a time into the reactor's one scratch area and decoded where they lie; what is
 * left of a frame begun goes into the connection's stash. Once the head of a frame with a payload is complete, the
 * payload is read straight into a buffer of the pool. An idle connection so keeps no memory.
 */

void conn_rx_fini(struct conn *c)
{
	buf_unref(c->payload);
	c->payload = NULL;
	free(c->stash);
	c->stash = NULL;
	c->stash_len = c->stash_need = 0;
}

static bool conn_reads(const struct conn *c)
{
	return c->state != CONN_DEAD && c->state != CONN_REFUSED;
}

static uint32_t head_max(const struct conn *c)
{
	switch (c->role) {
	case CONN_STRANGER:
		return HEAD_MAX_NEW;
	case CONN_CLIENT:
		return HEAD_MAX_CLIENT;
	default:
		return UINT32_MAX;
	}
}

/* What a client may ask; everything else is between nodes. */
static bool client_type_ok(const struct msg *m)
{
	/* SHARD_STAT lets a client see where an object's shards are. */
	return !m->reply && ((m->type > MSG_HELLO && m->type < MSG_SHARD_PREPARE) || m->type == MSG_SHARD_STAT);
}

/* Hands a decoded message on. */
static void conn_deliver(struct conn *c, struct msg *m, uint32_t payload_bytes)
{
	struct net *net = c->net;
	const struct net_callbacks *cb = &net->callbacks;

	if (c->state != CONN_OPEN) {
		hello_take(c, m);
		return;
	}
	if (m->type == MSG_HELLO || c->role == CONN_PEER_OUT) {
		conn_close(c, "a message that has no place here");
		msg_destroy(m);
		return;
	}
	if (c->role == CONN_PEER_IN) {
		cb->peer_msg(cb->arg, c->peer->node, m);
		return;
	}
	if (!client_type_ok(m)) {
		conn_close(c, "a request that clients may not make");
		msg_destroy(m);
		return;
	}
	client_request_add(c, m, payload_bytes);
	cb->client_msg(cb->arg, c->id, m);
}

/* The whole frame is there. Takes over payload. */
static void frame_complete(struct conn *c, const uint8_t *head, uint32_t head_len,
                           struct buf *payload)
{
	struct msg *m = msg_create(MSG_HELLO);
	uint32_t payload_bytes = payload ? payload->len : 0;
	int err = frame_decode(head, head_len, payload, m);

	if (err) {
		buf_unref(payload);
		msg_destroy(m);
		conn_close(c, err == -SF_ECORRUPT ? "a frame fails its checksum" : "a malformed frame");
		return;
	}
	c->bulk = payload_bytes >= BULK_PAYLOAD;
	c->frame_ms = 0;
	conn_deliver(c, m, payload_bytes);
}

/* Keeps the beginning of a frame for the next read; need: how long its head is, as far as that is known. */
static void stash_keep(struct conn *c, const uint8_t *data, uint32_t len, uint32_t need)
{
	free(c->stash);
	c->stash = NULL;
	c->stash_len = len;
	c->stash_need = len > 0 ? need : 0;
	if (len == 0)
		return;
	c->stash = xmalloc(MAX(need, len));
	memcpy(c->stash, data, len);
	if (!c->frame_ms)
		c->frame_ms = clock_boottime_ms();
}

/* A head is complete and its payload begins. Returns the bytes of data taken. */
static uint32_t payload_begin(struct conn *c, const uint8_t *data, uint32_t len, uint32_t head_len,
                              uint32_t payload_bytes)
{
	uint32_t got = MIN(len - head_len, payload_bytes);
	struct buf *payload = buf_get(c->net->pool, payload_bytes);

	if (c->role == CONN_CLIENT)
		client_payload_begun(c, payload_bytes);
	memcpy(payload->data, data + head_len, got);
	if (got == payload_bytes) {
		frame_complete(c, data, head_len, payload);
		return head_len + got;
	}
	stash_keep(c, data, head_len, head_len);
	c->payload = payload;
	c->payload_got = got;
	return head_len + got;
}

/* Whether the limits let another frame of this connection begin; if not, it waits until they do. */
static bool conn_may_begin(struct conn *c)
{
	if (c->role != CONN_CLIENT || client_may_read(c))
		return true;
	ev_io_stop(c->net->loop, &c->readable);
	if (list_empty(&c->waiting))
		list_push(&c->net->waiting, &c->waiting);
	return false;
}

/* Delivers every frame in data and keeps what is left of the last. data is not the stash. */
static void conn_parse(struct conn *c, const uint8_t *data, uint32_t len)
{
	struct frame_sizes sizes;
	uint32_t need = 0, head_len;

	while (conn_reads(c) && !c->payload && len > 0) {
		if (!conn_may_begin(c))
			break;
		need = FRAME_FIXED_LEN;
		if (len < FRAME_FIXED_LEN)
			break;
		if (frame_peek(data, &sizes) < 0) {
			conn_close(c, "not a frame");
			return;
		}
		if (sizes.header_len > head_max(c) || (c->state != CONN_OPEN && sizes.payload_len)) {
			conn_close(c, "a frame larger than is allowed here");
			return;
		}
		need = head_len = FRAME_FIXED_LEN + sizes.header_len + 4 * sizes.crc_count;
		if (len < head_len)
			break;
		if (sizes.payload_len > 0) {
			head_len = payload_begin(c, data, len, head_len, sizes.payload_len);
		} else {
			frame_complete(c, data, head_len, NULL);
		}
		data += head_len;
		len -= head_len;
		need = 0;
	}
	if (!conn_reads(c) || c->payload)
		return;
	stash_keep(c, data, len, need);
	if (!list_empty(&c->waiting))
		c->frame_ms = 0; /* the delay is ours */
}

/* Parses what was kept. */
static void stash_parse(struct conn *c)
{
	uint8_t *data = c->stash;
	uint32_t len = c->stash_len;

	c->stash = NULL;
	c->stash_len = c->stash_need = 0;
	conn_parse(c, data, len);
	free(data);
}

/* One read, of which *ret_asked says how much it could have been. */
static ssize_t payload_read(struct conn *c, uint32_t *ret_asked)
{
	uint32_t left = c->payload->len - c->payload_got, got, head_len = c->stash_len;
	struct buf *payload = c->payload;
	uint8_t *head = c->stash, *ahead = c->net->scratch;
	struct iovec iov[2] = {
		{.iov_base = payload->data + c->payload_got, .iov_len = left},
		{.iov_base = ahead, .iov_len = BULK_AHEAD},
	};
	ssize_t n = conn_input(c, iov, 2);

	*ret_asked = left + BULK_AHEAD;
	if (n <= 0)
		return n;
	got = MIN((uint32_t)n, left);
	c->payload_got += got;
	if (got < left)
		return n;
	c->payload = NULL;
	c->stash = NULL;
	c->stash_len = c->stash_need = 0;
	frame_complete(c, head, head_len, payload);
	free(head);
	conn_parse(c, ahead, (uint32_t)n - got);
	return n;
}

/* A head longer than the scratch area is read into the stash, which has room for it. */
static ssize_t long_head_read(struct conn *c, uint32_t *ret_asked)
{
	ssize_t n;

	*ret_asked = c->stash_need - c->stash_len;
	n = conn_input(c, &(struct iovec){c->stash + c->stash_len, *ret_asked}, 1);
	if (n <= 0)
		return n;
	c->stash_len += (uint32_t)n;
	if (c->stash_len == c->stash_need)
		stash_parse(c);
	return n;
}

static ssize_t heads_read(struct conn *c, uint32_t *ret_asked)
{
	uint32_t had = c->stash_len;
	uint8_t *scratch = c->net->scratch;
	ssize_t n;

	if (c->stash_need > SCRATCH_LEN)
		return long_head_read(c, ret_asked);
	assert(had < SCRATCH_LEN);
	*ret_asked = SCRATCH_LEN - had;
	if (c->bulk)
		*ret_asked = MIN(*ret_asked, MAX((uint32_t)BULK_AHEAD, c->stash_need));
	n = conn_input(c, &(struct iovec){scratch + had, *ret_asked}, 1);
	if (n <= 0)
		return n;
	if (had > 0)
		memcpy(scratch, c->stash, had);
	conn_parse(c, scratch, had + (uint32_t)n);
	return n;
}

void conn_resume(struct conn *c)
{
	list_remove(&c->waiting);
	if (!conn_reads(c))
		return;
	stash_parse(c);
	if (conn_reads(c) && list_empty(&c->waiting))
		conn_start_reading(c);
}

static void conn_read_some(struct conn *c)
{
	uint64_t budget = READ_BUDGET;
	uint32_t asked;
	ssize_t n;

	while (conn_reads(c) && budget > 0 && (c->payload || conn_may_begin(c))) {
		n = c->payload ? payload_read(c, &asked) : heads_read(c, &asked);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			if (n < 0)
				conn_broken(c, errno);
			else
				conn_close(c, NULL);
			return;
		}
		/* A short read emptied the socket; the loop tells when there is more. */
		if ((uint32_t)n < asked)
			return;
		budget -= MIN((uint64_t)n, budget);
	}
}

void conn_read(struct conn *c)
{
	conn_read_some(c);
	if (c->state == CONN_DEAD || !c->tls)
		return;
	if (ev_is_active(&c->readable) && tls_has_more(c->tls))
		ev_feed_event(c->net->loop, &c->readable, EV_READ);
	/* What waited for the handshake, or is part of it. */
	if (tls_wants_write(c->tls) || (!c->tls_open && tls_is_open(c->tls))) {
		c->tls_open = tls_is_open(c->tls);
		conn_flush(c);
	}
}

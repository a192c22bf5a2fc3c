/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/conn_rx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/lib/cluster.h"
#include "client/lib/conn.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_foreign.h"

enum {
	IN_MIN = 64 << 10,
	RECV_CHUNK = 256 << 10,
	RECV_TURN = 2 << 20,
};

#define MALFORMED "the daemon sent something malformed"
/* Nothing was understood of it yet. */
#define UNGREETED "the daemon does not answer as one without a key would: give the cluster's key with --key FILE"

/* ---- Whole messages ---- */

static struct request *request_of_reply(struct conn *conn, const struct msg *m)
{
	struct htab *t = &conn->cluster->inflight;

	if (!m->reply)
		return NULL;
	for (struct hnode *n = htab_first(t, hash64(m->id)); n; n = htab_next(n)) {
		struct request *req = container_of(n, struct request, by_id);

		if (req->id == m->id && req->conn == conn && req->type == m->type)
			return req;
	}
	return NULL;
}

static const char *conn_take_hello(struct conn *conn, const struct msg *m)
{
	if (m->type != MSG_HELLO)
		return MALFORMED;
	if (m->result != RES_OK)
		return "the daemon refuses this client: it belongs to another cluster, or speaks another version";
	if (m->version_min > PROTOCOL_VERSION_MAX || m->version_max < PROTOCOL_VERSION_MIN)
		return "the daemon and this client have no protocol version in common";
	conn->node = m->node;
	conn->state = CONN_READY;
	if (!list_empty(&conn->tx) && list_empty(&conn->dirty))
		list_push(&conn->cluster->dirty, &conn->dirty);
	return NULL;
}

/* An OBJ_READ without payload must say why: zeros, or an error. */
static bool reply_fits(const struct request *req, const struct msg *m, uint32_t payload_len)
{
	if (req->type != MSG_OBJ_READ || m->result != RES_OK)
		return true;
	return (m->flags & MSG_F_ZEROS) || payload_len == req->length;
}

static const char *conn_deliver(struct conn *conn, struct msg *m, uint32_t payload_len)
{
	struct request *req;

	if (conn->state == CONN_HELLO)
		return conn_take_hello(conn, m);
	req = request_of_reply(conn, m);
	if (!req)
		return NULL; /* an answer to a try that was given up */
	if (req->state != REQ_SENT || !reply_fits(req, m, payload_len))
		return MALFORMED;
	if (req->rx && m->result == RES_OK && (m->flags & MSG_F_ZEROS))
		memset(req->rx, 0, req->length);
	request_answered(req, m, conn->node);
	return NULL;
}

/* ---- Payloads ---- */

/* Verifies the blocks that have become complete. */
static bool payload_check(struct conn *conn)
{
	const uint8_t *data = conn->into->rx;

	while (conn->payload_checked < conn->payload_got) {
		uint32_t off = conn->payload_checked;
		uint32_t len = MIN(conn->payload_len - off, (uint32_t)CRC_BLOCK);

		if (conn->payload_got - off < len)
			return true;
		if (!frame_block_valid(conn->crcs, off / CRC_BLOCK, data + off, len))
			return false;
		conn->payload_checked += len;
	}
	return true;
}

/* Accounts for n more bytes of payload, which are in place. */
static const char *payload_advance(struct conn *conn, uint32_t n)
{
	const char *why;

	conn->payload_got += n;
	if (conn->into && !payload_check(conn))
		return "data were damaged on their way";
	if (conn->payload_got < conn->payload_len)
		return NULL;
	conn->in_payload = false;
	conn->into = NULL;
	why = conn_deliver(conn, &conn->head, conn->payload_len);
	msg_fini(&conn->head);
	return why;
}

/* Straight into the reader's memory; what follows the payload goes to the buffer, in the same call.
 */
static const char *payload_receive(struct conn *conn, ssize_t *ret_asked, ssize_t *ret_n)
{
	uint32_t left = conn->payload_len - conn->payload_got, n;
	struct iovec iov[2];
	int count = 1;
	ssize_t got;

	if (conn->into) {
		iov[0].iov_base = (uint8_t *)conn->into->rx + conn->payload_got;
		iov[0].iov_len = MIN(left, (uint32_t)RECV_CHUNK);
		if (left <= RECV_CHUNK)
			iov[count++] =
				(struct iovec){.iov_base = conn->in, .iov_len = conn->in_cap};
	} else {
		iov[0] = (struct iovec){.iov_base = conn->in, .iov_len = MIN(left, conn->in_cap)};
	}
	got = conn_input(conn, iov, count);
	*ret_asked = (ssize_t)iov[0].iov_len;
	*ret_n = got;
	if (got <= 0)
		return NULL;
	n = MIN((uint32_t)got, (uint32_t)iov[0].iov_len);
	conn->in_pos = 0;
	conn->in_len = (uint32_t)got - n;
	return payload_advance(conn, n);
}

static void payload_begin(struct conn *conn, const struct msg *m, const struct frame_sizes *sizes,
                          const uint8_t *crcs)
{
	struct request *req = conn->state == CONN_READY ? request_of_reply(conn, m) : NULL;

	conn->head = *m;
	conn->in_payload = true;
	conn->payload_len = sizes->payload_len;
	conn->payload_got = conn->payload_checked = 0;
	/* Into a reader's memory only what was asked for; anything else is dropped, conn_deliver
	 * complains. */
	conn->into = req && req->state == REQ_SENT && req->rx && sizes->payload_len == req->length
	                     ? req
	                     : NULL;
	free(conn->crcs);
	conn->crcs = xmemdup(crcs, 4 * (size_t)sizes->crc_count);
}

/* Takes what the buffer already holds of the payload. */
static const char *payload_take_buffered(struct conn *conn)
{
	uint32_t n = MIN(conn->in_len - conn->in_pos, conn->payload_len - conn->payload_got);

	if (conn->into)
		memcpy((uint8_t *)conn->into->rx + conn->payload_got, conn->in + conn->in_pos, n);
	conn->in_pos += n;
	return payload_advance(conn, n);
}

/* ---- Heads ---- */

/* Room for `need` bytes from in_pos on. */
static void in_make_room(struct conn *conn, uint32_t need)
{
	uint32_t have = conn->in_len - conn->in_pos;

	if (conn->in_pos > 0) {
		memmove(conn->in, conn->in + conn->in_pos, have);
		conn->in_pos = 0;
		conn->in_len = have;
	}
	if (need > conn->in_cap) {
		conn->in = xrealloc(conn->in, need);
		conn->in_cap = need;
	}
}

/* Consumes one head, if it is there in full; *ret_more says so. */
static const char *head_take(struct conn *conn, bool *ret_more)
{
	const uint8_t *at = conn->in + conn->in_pos, *crcs;
	uint32_t have = conn->in_len - conn->in_pos, need;
	struct frame_sizes sizes;
	const char *why;
	struct msg m;

	*ret_more = false;
	if (have < FRAME_FIXED_LEN) {
		in_make_room(conn, IN_MIN);
		return NULL;
	}
	if (frame_peek(at, &sizes) < 0)
		return conn->state == CONN_HELLO ? UNGREETED : MALFORMED;
	need = FRAME_FIXED_LEN + sizes.header_len + 4 * sizes.crc_count;
	if (have < need) {
		in_make_room(conn, MAX(need, (uint32_t)IN_MIN));
		return NULL;
	}
	if (frame_decode_head(at, need, &m, &crcs) < 0)
		return MALFORMED;
	*ret_more = true;
	if (sizes.payload_len > 0)
		payload_begin(conn, &m, &sizes, crcs);
	conn->in_pos += need;
	if (sizes.payload_len > 0)
		return NULL;
	why = conn_deliver(conn, &m, 0);
	msg_fini(&m);
	return why;
}

static const char *in_consume(struct conn *conn)
{
	bool more = true;
	const char *why = NULL;

	while (!why && more) {
		if (!conn->in_payload)
			why = head_take(conn, &more);
		else if (conn->in_pos < conn->in_len)
			why = payload_take_buffered(conn);
		else
			more = false;
	}
	return why;
}

static const char *in_receive(struct conn *conn, ssize_t *ret_asked, ssize_t *ret_n)
{
	*ret_asked = conn->in_cap - conn->in_len;
	*ret_n = conn_input(conn, &(struct iovec){conn->in + conn->in_len, (size_t)*ret_asked}, 1);
	if (*ret_n > 0)
		conn->in_len += (uint32_t)*ret_n;
	return NULL;
}

const char *conn_receive(struct conn *conn)
{
	ssize_t n, asked, turn = 0;
	const char *why;

	if (!conn->in)
		in_make_room(conn, IN_MIN);
	conn->heard_ms = cluster_now_ms();
	while (turn < RECV_TURN) {
		why = conn->in_payload ? payload_receive(conn, &asked, &n)
		                       : in_receive(conn, &asked, &n);
		if (!why && n > 0)
			why = in_consume(conn);
		if (why)
			return why;
		if (n == 0)
			return conn->state == CONN_HELLO ? UNGREETED : "the daemon closed the connection";
		if (n < 0 && errno == EAGAIN)
			return NULL;
		if (n < 0 && errno != EINTR)
			return conn_why(conn);
		if (n > 0)
			turn += n;
		/* The socket is empty now: asking again would only cost a call. */
		if (n > 0 && n < asked)
			return NULL;
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_CONN_H
#define SF_CLIENT_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "client/lib/request.h"
#include "lib/base/list.h"
#include "lib/place/map.h"
#include "lib/wire/msg.h"

struct sf_cluster;

/*
 * One TCP connection to one daemon: connect, HELLO, then frames both ways. It owns nothing of the
 * requests it carries; when it breaks it hands all of them back (request_lost) and is freed.
 *
 * Payloads go out from the caller's memory and come in to it: a reply's head is decoded first,
 * which tells the request, and with it the place where the payload belongs. Blocks are verified as
 * they arrive.
 */
enum conn_state { CONN_CONNECTING, CONN_HELLO, CONN_READY };

struct conn {
	struct list link;  /* in cluster->conns */
	struct list dirty; /* in cluster->dirty while there may be something to send */
	struct sf_cluster *cluster;
	char addr[ADDR_LEN];
	uint16_t port;
	int fd;
	struct tls_stream *tls; /* NULL: plain */
	uint8_t *hello; /* not sent yet: it waits for the handshake */
	uint32_t hello_len;
	enum conn_state state;
	ev_io readable, writable;
	uint64_t opened_ms, heard_ms;
	uint64_t node; /* from its HELLO */
	struct list tx;
	struct list sent;

	/* Received and not consumed: in[in_pos, in_len). */
	uint8_t *in;
	uint32_t in_cap, in_pos, in_len;
	/* The payload being received. */
	bool in_payload;
	struct msg head;      /* its frame's message */
	struct request *into; /* NULL: nobody wants it (any more) */
	uint8_t *crcs;
	uint32_t payload_len, payload_got, payload_checked;
};

/* The connection to this address, opened when there is none. NULL: errno says why. */
struct conn *conn_get(struct sf_cluster *cluster, const char *addr, uint16_t port);
void conn_enqueue(struct conn *conn, struct request *req);
/* Takes a request back. The connection is closed when half a frame of it has been sent. */
void conn_abandon(struct conn *conn, struct request *req);
/* Sends what can be sent. May close (and free) the connection. */
void conn_flush(struct conn *conn);
/* As readv. */
ssize_t conn_input(struct conn *conn, const struct iovec *iov, int count);
/* What errno says of a failed conn_input. */
const char *conn_why(const struct conn *conn);
/* Closes and frees; its requests are lost. */
void conn_fail(struct conn *conn, const char *why);
/* Time-outs of connect and HELLO. True: it was closed and freed. */
bool conn_check_time(struct conn *conn, uint64_t now_ms);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_NET_NET_STATE_H
#define SF_NET_NET_STATE_H

#include <ev.h>

#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/tls/tls.h"
#include "sheep/net/net.h"
#include "sheep/net/outq.h"

/*
 * What the files of this room share. All of it belongs to the reactor's thread.
 *
 * Connections end in two steps: conn_close takes the socket away at once, wherever that is found to be necessary; the
 * deferred round (net_defer) then reports it and frees the connection. So no callback comes from inside a
 * function of net.h, and nobody holds a connection that was freed under him.
 */
enum {
	SCRATCH_LEN = 64 << 10,    /* one read: many small frames */
	BULK_AHEAD = 4 << 10,      /* read behind a large payload: the next head and no more, for it is copied */
	BULK_PAYLOAD = 32 << 10,
	READ_BUDGET = 1 << 20,     /* bytes read from one connection in a row */
	SEND_LEN = 1 << 20,        /* one sendmsg; measured: 64 to 256 KiB cost a third more on busy cores */
	SEND_BUDGET = 2 << 20,     /* bytes sent to one connection in a row */
	SEND_VECTORS = 128,
	HEAD_MAX_NEW = 4 << 10,    /* of a HELLO */
	HEAD_MAX_CLIENT = 1 << 20, /* a client's requests are small but for their payload */
	REQUEST_BYTES = 1024,      /* what a request under way costs beside its payload */
};

struct net {
	struct net_callbacks callbacks;
	struct net_limits limits;
	struct ev_loop *loop;
	const struct log *log;
	struct buf_pool *pool;
	struct tls *tls; /* NULL: no key */
	uint64_t handshake_told_ms; /* when one that failed was last logged */
	uint32_t handshakes_untold; /* failed since */
	uint64_t node, cluster;
	uint32_t epoch;
	uint32_t version_max; /* of the protocol */

	int listen_fd, io_fd; /* io_fd -1: none */
	uint16_t port;
	ev_io accept, io_accept;
	ev_timer sweep;      /* time-outs */
	uint64_t swept_ms;
	ev_prepare deferred; /* never started: fed when a deferred round is due */

	struct list conns;  /* all, by conn.all */
	struct list dirty;  /* output queued since the last flush, by conn.dirty */
	struct list waiting; /* not read from because of a limit, by conn.waiting */
	struct list dead;   /* closed, not yet reported, by conn.all */
	struct list lost;   /* peers whose loss is not yet reported, by peer.lost */
	struct htab by_id;  /* clients by connection id */
	struct htab peers;
	uint64_t last_id;
	uint32_t conn_count, client_count;
	uint64_t client_bytes;        /* under way, all clients */
	uint64_t client_output_bytes; /* queued, all clients */

	uint8_t *scratch;
};

/* Has the deferred round run soon, from the loop. */
void net_defer(struct net *net);

enum conn_role {
	CONN_STRANGER, /* accepted, no HELLO yet */
	CONN_CLIENT,
	CONN_PEER_IN,
	CONN_PEER_OUT,
};

/*
 *   CONNECTING -> HELLO -> OPEN -> DEAD       outgoing
 *                 HELLO -> OPEN -> DEAD       accepted
 *                 HELLO -> REFUSED -> DEAD    accepted, HELLO answered with why not
 */
enum conn_state { CONN_CONNECTING, CONN_HELLO, CONN_OPEN, CONN_REFUSED, CONN_DEAD };

struct peer;
struct conn {
	struct net *net;
	struct list all, dirty, waiting;
	struct hnode by_id;
	uint64_t id;
	enum conn_role role;
	enum conn_state state;
	int fd;
	uint32_t version; /* of the protocol, agreed on */
	struct peer *peer; /* PEER_IN, PEER_OUT */
	uint64_t since_ms;
	ev_io readable, writable;
	struct tls_stream *tls; /* NULL: plain */
	bool tls_open; /* its handshake was seen to be through */

	/* In: bytes of a frame whose head is not complete, or the head of a frame whose payload is being received. */
	uint8_t *stash;
	uint32_t stash_len, stash_need; /* need: length of the head, or more than is known of it */
	struct buf *payload;
	uint32_t payload_got;
	uint64_t frame_ms; /* when the frame at hand began; 0: between frames */
	bool bulk;         /* the last frame was a large one, the next probably is too */

	struct outq out;
	uint64_t progress_ms; /* when output last moved, or began to wait */

	/* A client's requests under way. */
	struct htab requests;
	uint64_t request_bytes;
};

struct conn *conn_create(struct net *net, int fd, enum conn_role role, enum conn_state state);
/* why: NULL for an ordinary end; otherwise it is logged. The connection is freed by the deferred round. */
void conn_close(struct conn *c, const char *why);
void conn_destroy(struct conn *c);
/* Takes over msg; net_flush sends it. */
void conn_push(struct conn *c, struct msg *msg);
void conn_flush(struct conn *c);
void conn_start_reading(struct conn *c);
/* As readv. */
ssize_t conn_input(struct conn *c, const struct iovec *iov, int count);
/* Input or output failed with this errno. */
void conn_broken(struct conn *c, int err);
/* Text like "client 127.0.0.1:4711", for log lines. */
enum { CONN_NAME_LEN = 96 };
const char *conn_name(const struct conn *c, char name[CONN_NAME_LEN]);

/* conn_rx.c: reads what is there and delivers it. */
void conn_read(struct conn *c);
/* The limits let it be read from again. */
void conn_resume(struct conn *c);
void conn_rx_fini(struct conn *c);

/* hello.c */
struct msg *hello_make(const struct net *net);
/* The first message of a connection. Takes over msg. */
void hello_take(struct conn *c, struct msg *msg);

/* client.c: what a client may have under way. */
bool client_may_read(const struct conn *c);
void client_payload_begun(struct conn *c, uint32_t len);
/* A request was received complete; its payload was counted when it began. */
void client_request_add(struct conn *c, const struct msg *msg, uint32_t payload_len);
void client_request_remove(struct conn *c, uint64_t id);
void client_fini(struct conn *c);

/* peer.c: where other nodes are, and what waits to be sent to them. */
struct peer {
	struct hnode by_node;
	struct list lost;
	struct net *net;
	uint64_t node;
	char addr[64];
	uint16_t port; /* 0: not known */
	struct conn *out, *in;
	struct outq waiting; /* until the connection is open */
	uint32_t backoff_ms; /* 0: the next attempt may be made at once */
	ev_timer retry;
};
struct peer *peer_get(struct net *net, uint64_t node); /* made when there is none */
void peer_connected(struct peer *p, struct conn *c); /* HELLO done */
void peer_accepted(struct peer *p, struct conn *c);
void peer_conn_closed(struct peer *p, struct conn *c);
void peers_fini(struct net *net);

#endif

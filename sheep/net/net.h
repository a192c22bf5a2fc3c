/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_NET_NET_H
#define SF_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/wire/msg.h"

struct ev_loop;
struct keys;

/*
 * Listener, connections, back-pressure. One TCP connection per direction between two nodes:
 * what a node sends (requests and replies alike) goes over the connection it opened itself;
 * clients get replies on their own connection.
 *
 * Bounds (struct net_limits): connections; bytes queued towards a client that does not read (it
 * is no longer read from, then closed after stall_ms); requests and bytes of a client under
 * way; bytes of all clients under way (all clients are no longer read from until it falls);
 * time for HELLO and for a frame begun to be completed. A malformed frame closes its connection
 * with a log line.
 */
struct net;

struct net_limits {
	uint32_t max_connections;        /* 0: default, 10000 */
	uint64_t client_output_bytes;    /* 0: 32 MiB a client */
	uint64_t client_inflight_bytes;  /* 0: 64 MiB a client: requests received and not answered */
	uint32_t client_inflight_count;  /* 0: 1024 a client */
	uint64_t total_inflight_bytes;   /* 0: 96 MiB over all clients */
	uint32_t hello_ms, frame_ms, stall_ms; /* 0: 10 s, 30 s, 30 s */
};

struct net_callbacks {
	void *arg;
	/* A request from a client, or any message from a peer; msg is handed over. */
	void (*client_msg)(void *arg, uint64_t conn, struct msg *msg);
	void (*client_lost)(void *arg, uint64_t conn);
	void (*peer_msg)(void *arg, uint64_t node, struct msg *msg);
	void (*peer_lost)(void *arg, uint64_t node); /* either direction broke, or could not be opened */
	/* Asked when a peer or client says HELLO: the cluster it names, 0 if it has none. false:
	 * refuse. */
	bool (*accept_hello)(void *arg, const struct msg *hello, char why[256]);
};

struct net_options {
	const char *bind_addr; /* NULL: 127.0.0.1; "::": IPv4 too */
	uint16_t port;         /* 0: any (tests) */
	const char *io_addr;   /* a second one to listen on; NULL: none */
	uint16_t io_port;
	uint64_t node;         /* this node's id, for HELLO */
	const struct keys *keys; /* TLS with these on every connection; NULL: none. Copied */
	struct net_limits limits;
	struct buf_pool *pool; /* borrowed */
	const struct log *log;
	struct ev_loop *loop;
};

/* Listens. One line in text on failure (address in use, …). */
int net_create(const struct net_options *options, const struct net_callbacks *callbacks, struct net **ret, char text[512]);
void net_destroy(struct net *net); /* NULL is fine */
uint16_t net_port(const struct net *net);
/* For connections made from now on. */
void net_set_keys(struct net *net, const struct keys *keys);
/* The cluster and epoch that HELLO tells; call when they change. */
void net_set_cluster(struct net *net, uint64_t cluster, uint32_t epoch);
/* Where a peer lives; call for each node of a new map. Connections to another address of it are
 * closed. */
void net_set_peer(struct net *net, uint64_t node, const char *addr, uint16_t port);
/* Takes over msg. Opens the connection on first use (with a short back-off after failures). */
void net_send_peer(struct net *net, uint64_t node, struct msg *msg);
/* Takes over msg. Dropped when the connection is gone. */
void net_reply_client(struct net *net, uint64_t conn, struct msg *msg);
/* Sends what is queued: called once after a batch of effects, so that small messages share a
 * system call. */
void net_flush(struct net *net);
uint32_t net_connection_count(const struct net *net);
/* What is queued towards clients and not sent yet: a daemon that stops waits a moment for its
 * last answers. */
uint64_t net_output_bytes(const struct net *net);

#endif

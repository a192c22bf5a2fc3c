/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_REQUEST_H
#define SF_CLIENT_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/error.h"
#include "client/lib/fence.h"
#include "client/lib/task.h"
#include "lib/base/buf.h"
#include "lib/base/htab.h"
#include "lib/wire/msg.h"

struct sf_cluster;
struct conn;

/*
 * One request to one daemon, retried until it has an answer that no retry can change.
 *
 *   submit -> [admission: bytes under way are bounded] -> dispatch: queued for the daemon in charge
 *   answered RES_OK or a final refusal    -> done
 *   answered STALE, NOT_PRIMARY, AGAIN    -> delayed, then dispatched again (with a newer map)
 *   connection lost                       -> the same
 *   unanswered for a while                -> the map is asked for; moved when the primary moved
 *   timeout_ms after submission           -> done with -ETIMEDOUT
 *
 * A change keeps its request id (client, seq) through all retries, so that it is applied once.
 * All fields belong to the I/O thread between request_submit and done.
 */
enum request_route {
	ROUTE_PRIMARY, /* of the PG of (pool, oid), or of pg where by_pg is set */
	ROUTE_NODE,    /* the daemon at addr, port: one try */
	ROUTE_ANY,     /* any daemon: the next one when one does not answer */
};

enum request_state {
	REQ_IDLE,
	REQ_ADMISSION, /* in cluster->admission */
	REQ_DELAYED,   /* in cluster->delayed */
	REQ_QUEUED,    /* in conn->tx */
	REQ_SENT,      /* in conn->sent */
};

struct request {
	/* Set by the caller (request_init gives zeros). */
	enum request_route route;
	enum msg_type type;
	const char *addr; /* ROUTE_NODE; must stay valid */
	uint16_t port;
	bool by_pg, keep_reply;
	uint32_t flags, pool, pg, shard;
	uint64_t oid, disk, offset, length;
	uint64_t base; /* with MSG_F_IF */
	/* A change is not sent once it has passed; request_init: the thread's (fence.h). */
	const struct fence *fence;
	const void *tx; /* payload of tx_len bytes, sent from where it is */
	uint32_t tx_len;
	void *rx;            /* OBJ_READ: where length bytes go */
	const uint8_t *blob; /* borrowed */
	uint32_t blob_len;
	uint32_t timeout_ms; /* 0: the cluster handle's */
	uint32_t try_ms;     /* ROUTE_ANY: how long one daemon may take; 0: default */
	void (*done)(struct request *req);
	void *arg;

	/* The outcome, for done. */
	int result;
	uint32_t wire_result; /* of the last answer */
	uint32_t reply_flags;
	uint64_t reply_length, reply_version;
	uint64_t answered_node; /* who answered */
	struct msg *reply;      /* with keep_reply; freed by request_fini */
	char why[ERROR_TEXT_LEN];

	/* The router's own. */
	struct sf_cluster *cluster;
	struct task task;
	struct list link;
	struct hnode by_id;
	enum request_state state;
	struct conn *conn;
	uint64_t id;    /* of this try */
	uint64_t seq;   /* of all tries; 0: changes nothing */
	uint64_t bytes; /* held of the bound on bytes under way */
	uint64_t failing_ms, deadline_ms, dispatched_ms, patience_ms, not_before_ms;
	uint32_t retries, resends;
	uint32_t any_next; /* which daemon, counted from the one that answered last */
	uint32_t any_lost;
	uint8_t *head; /* encoded frame in front of the payload */
	uint32_t head_len;
	uint64_t sent;      /* bytes of head and payload handed to the socket */
	struct buf foreign; /* wraps tx for the encoder */
	uint32_t *crcs;
};

void request_init(struct request *req, enum request_route route, enum msg_type type);
/* Frees what the outcome holds, not the request. */
void request_fini(struct request *req);
/* From any thread. */
void request_submit(struct sf_cluster *cluster, struct request *req);

/* ---- For the connection ---- */

/* Encodes the frame unless done already. */
void request_encode(struct request *req);
/* Bytes of the whole frame. */
uint64_t request_frame_len(const struct request *req);
/* The answer to this try; takes what it wants out of reply. */
void request_answered(struct request *req, struct msg *reply, uint64_t node);
/* Whether its fence has passed: it must not be sent. */
bool request_is_fenced(const struct request *req);
/* Takes it back, unsent: it waits for the fence, or fails. It may be gone. */
void request_hold(struct request *req);
/* The connection broke; the request is unlinked from it already. */
void request_lost(struct request *req, const char *why);

/* ---- For the cluster handle ---- */

void request_dispatch(struct request *req);
void request_finish(struct request *req, int result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Deadline, patience. True: requests were finished or moved, the lists they are in have changed. */
bool request_check_time(struct request *req, uint64_t now_ms);

#endif

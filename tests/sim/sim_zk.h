/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_ZK_H
#define SF_SIM_ZK_H

#include "sheep/member/zk_logic.h"
#include "tests/sim/world.h"

/*
 * A simulated ZooKeeper ensemble (sim_zk_ensemble.c) and, per node, a simulated client library that drives the real logic of
 * sheep/member/zk_logic.c (sim_zk.c).
 *
 * What it keeps of ZooKeeper:
 *   - writes are ordered by one leader and need a majority; reads are answered by the server a client is connected to, from
 *     what that server has applied, which lags;
 *   - one connection carries requests, answers and watch events in order; a watch fires once, before any answer that shows
 *     what fired it; the requests of a connection are carried out one after the other;
 *   - a session is known to the leader: its last word is the newest that a follower passed on (what a follower that dies had
 *     not passed on is lost); a new leader gives every session its whole time again; a request of a connection that the
 *     session has left is refused, one that was under way may still be committed;
 *   - a server that is cut off, a leader too, goes on answering reads and pings until it notices, and commits nothing;
 *   - a client that has seen more than a server has applied is not taken by it.
 *
 * Beside what the whole run is checked for, here:
 *   - whoever is told a lease knows every map that was committed before the moment from which it counts;
 *   - no session expires while its node holds a lease.
 */
enum { ZK_SERVERS_MAX = 5 };

enum zk_txn_type { TXN_NOTHING, TXN_CREATED, TXN_DELETED };
struct zk_txn {
	enum zk_txn_type type;
	uint32_t znode;
};

struct znode {
	char path[ZK_PATH_LEN];
	uint8_t *data;
	size_t len;
	uint64_t session;          /* of an ephemeral */
	uint64_t created, deleted; /* by which transaction; deleted 0: it lives */
};

struct zk_session {
	bool open;
	uint64_t touched_us;
	uint64_t pending_us[ZK_SERVERS_MAX]; /* heard by a follower, not yet passed on; 0: nothing */
	uint64_t conn; /* the connection it is attached to */
};

struct zk_server {
	bool up, cut;
	uint64_t applied;
	uint32_t reign; /* counts deaths and cuts: what was planned before does not happen */
};

struct zk_pending { /* a request that has arrived */
	struct zk_pending *next;
	struct zk_request request;
};

/* The server's end of a connection. */
struct zk_conn {
	uint64_t id;
	uint32_t node, life, server;
	uint64_t session;
	bool broken; /* a message was lost: nothing passes any more */
	bool closed; /* by the server */
	bool busy;   /* a write is under way */
	struct zk_pending *first, **last;
	char watch_exists[ZK_PATH_LEN]; /* empty: none */
	bool watch_children;
	char children_path[ZK_PATH_LEN];
	uint64_t up_us, down_us; /* arrival of the last message each way */
};

struct zk_client;
struct zk_ensemble {
	uint32_t server_count, leader;
	bool quorum, faults;
	bool electing;
	struct zk_server servers[ZK_SERVERS_MAX];
	struct znode *znodes;
	uint32_t znode_count, znode_capacity;
	struct zk_txn *txns; /* [zxid] */
	uint64_t zxid, txn_capacity;
	struct zk_session *sessions; /* [id - 1] */
	uint64_t session_count;
	struct zk_conn **conns; /* [id - 1] */
	uint64_t conn_count;
	uint32_t part_bytes;
	struct zk_client *clients[SIM_MAX_NODES];
	struct zk_client *dead; /* freed at the end */
};

struct zk_ensemble *zk_ensemble_create(struct world *w);
void zk_ensemble_destroy(struct zk_ensemble *e);
void zk_ensemble_start_faults(struct world *w);
void zk_ensemble_heal(struct world *w);
uint64_t zk_delay(struct world *w);

/* Between sim_zk_ensemble.c and sim_zk_faults.c. */
bool zk_server_counts(const struct zk_server *s); /* alive, and the others hear it */
void zk_server_drop_conns(struct world *w, uint32_t server);
void zk_server_apply(struct world *w, uint32_t server, uint64_t zxid);
void zk_session_end(struct world *w, uint64_t id);
world_run zk_ensemble_tick; /* followers pass on who was heard; the leader ends sessions */

/* From a client: all arrive after a delay, in order. */
struct zk_conn *zk_connect(struct world *w, uint32_t node, uint32_t life, uint32_t server);
void zk_send_hello(struct world *w, struct zk_conn *c, uint64_t session, uint64_t seen);
void zk_send_ping(struct world *w, struct zk_conn *c);
void zk_send_request(struct world *w, struct zk_conn *c, const struct zk_request *r);
void zk_send_close(struct world *w, struct zk_conn *c);

/* To a client (sim_zk.c). */
/* Its session has expired at the servers: does it hold a lease? */
void zk_client_check_expired(struct world *w, uint32_t node, uint64_t session);
enum zk_word { WORD_ACCEPTED, WORD_EXPIRED, WORD_PONG, WORD_ANSWER, WORD_WATCH, WORD_RESET };
struct zk_message {
	enum zk_word word;
	uint32_t node, life;
	uint64_t conn, session, zxid;
	struct zk_answer answer;
	char path[ZK_PATH_LEN]; /* WATCH */
	uint8_t *data;
	char **names;
};
void zk_message_free(void *message);
void zk_client_hears(struct world *w, void *message); /* takes it over */

#endif

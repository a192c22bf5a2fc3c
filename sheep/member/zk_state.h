/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_ZK_STATE_H
#define SF_MEMBER_ZK_STATE_H

#include "sheep/member/zk_logic.h"

/* The inside of the ZooKeeper driver's logic; for zk_logic.c, zk_register.c and zk_live.c only. */

/* What an answer belongs to: in its tag, with the connection it was asked on and a number. */
enum zk_kind {
	KIND_SETUP,    /* number: which znode; see zk_logic.c */
	KIND_MAP,      /* the register: the next map, or whether there is one */
	KIND_PART,     /* number: which part of it */
	KIND_PROPOSE,  /* map.SEQ of the proposal */
	KIND_PROPOSE_PART,
	KIND_CHILDREN, /* of live/ */
	KIND_MEMBER,   /* number: struct zk_member.number */
	KIND_ANNOUNCE,
	KIND_RENEW,
	KIND_FORGET,   /* nobody cares */
};

enum fetch_state {
	FETCH_NONE,   /* not on this connection yet */
	FETCH_GET,    /* map.SEQ+1 was asked for */
	FETCH_PARTS,  /* its parts are */
	FETCH_EXISTS, /* it is missing: a watch was asked for */
	FETCH_ARMED,  /* the watch is there: whoever makes map.SEQ+1, we hear of it */
};

struct zk_register {
	enum fetch_state state;
	bool fired;           /* a watch, before the answer that says it is there */
	bool complete;        /* once: the history before the last format is known and left out */
	uint32_t seq;         /* of the last map read */
	uint64_t cluster;     /* of that map */
	uint32_t epoch;
	uint64_t nonce;       /* of the map whose parts are being read */
	uint32_t parts, parts_got;
	uint32_t want, len;   /* bytes: of all, so far */
	uint32_t crc, stored_crc;
	uint8_t *body;
	struct map **held;    /* read, not yet told; all since the last format until complete */
	uint32_t held_count, held_capacity;
};

enum propose_state {
	PROPOSE_NONE,
	PROPOSE_WAITING, /* for a connection on which the register has been read */
	PROPOSE_PARTS,
	PROPOSE_CREATE,  /* sent; its answer only makes us read */
	PROPOSE_READ,    /* map.SEQ exists and will tell who won */
	PROPOSE_OVER,    /* result is to be told */
};

struct zk_proposal {
	enum propose_state state;
	uint32_t seq;
	uint64_t nonce;
	uint8_t *znode; /* what map.SEQ is to hold */
	size_t znode_len;
	uint8_t *body; /* in parts, when it is too big */
	size_t body_len;
	uint32_t parts, parts_done;
	bool sent;    /* map.SEQ: it may win */
	bool refused; /* another proposal while this one was under way: to be told */
	int result;
};

struct zk_member {
	uint32_t number;
	uint64_t id, incarnation;
	uint32_t n;
	bool asked; /* for its info, on this connection */
	bool known; /* info was read */
	bool ended; /* it is another process of this node, dead: it was deleted */
	bool seen;  /* in the newest list of names */
	struct node_info info;
};

enum announce_state { ANNOUNCE_NONE, ANNOUNCE_SENT, ANNOUNCE_DONE };

struct zk_live {
	bool asked;   /* the list of names, and no answer yet */
	bool armed;   /* a watch on it is there */
	bool changed; /* since it was told */
	bool told;    /* in this session */
	struct zk_member *members; /* sorted by (id, incarnation, n) */
	uint32_t count, capacity, next_number;
	enum announce_state announce;
	bool renew_name; /* the announcement changed: another znode */
	uint32_t n;      /* of the announcement; 0: none yet */
	uint32_t old_n;  /* to be deleted when n is there; 0: none */
	uint64_t taken_since_ms; /* another process of this node's id is there; 0: none */
};

struct zk_logic {
	struct zk_config config;
	const struct log *log;
	bool active;    /* neither left nor failed */
	bool connected, prepared;
	bool ever_leased, leased; /* leased: in this session */
	uint32_t generation; /* of the connection */
	uint32_t setup;
	uint32_t timeout_ms, lease_ms;
	uint64_t now_ms;
	uint32_t unanswered; /* requests of this connection */
	uint64_t heard_ms;   /* when the last answer came, or the first of these was asked */
	uint64_t next_nonce;
	struct zk_register reg;
	struct zk_proposal proposal;
	struct zk_live live;
	/* the lease */
	bool renewing;
	uint64_t renew_sent_ms;
	bool proof; /* a renewal was answered and not yet told */
	uint64_t proof_ms;
	uint64_t tell_ms; /* when to say again that we wait */
};

/* Asks, on this connection. path_fmt is below the root. */
void zk_ask(struct zk_logic *l, enum zk_kind kind, uint32_t number, enum zk_op op, const void *data, size_t len,
            const char *path_fmt, ...) __attribute__((format(printf, 7, 8)));
void zk_fail(struct zk_logic *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* True when the answer was an error that is no part of the conversation, and has been dealt with. */
bool zk_unusual(struct zk_logic *l, const struct zk_answer *a, const char *what);
/* Tells the lease, if all that it depends on is there. */
void zk_lease_try(struct zk_logic *l);

/* zk_register.c */
void zk_register_fini(struct zk_logic *l);
void zk_register_lost(struct zk_logic *l); /* the connection */
void zk_register_fetch(struct zk_logic *l);
void zk_register_answer(struct zk_logic *l, enum zk_kind kind, uint32_t number, const struct zk_answer *a);
void zk_register_run(struct zk_logic *l); /* proposals */
void zk_register_watch(struct zk_logic *l);

/* zk_live.c */
void zk_live_fini(struct zk_logic *l);
void zk_live_lost(struct zk_logic *l, bool session);
void zk_live_ask(struct zk_logic *l);
void zk_live_answer(struct zk_logic *l, enum zk_kind kind, uint32_t number, const struct zk_answer *a);
void zk_live_run(struct zk_logic *l);
void zk_live_watch(struct zk_logic *l);
/* Path of the own announcement, below the root. */
void zk_live_own_path(const struct zk_logic *l, uint32_t n, char path[ZK_PATH_LEN]);
/* The node_info as its znode holds it; malloc'ed. */
void zk_live_encode(const struct node_info *info, uint8_t **ret, size_t *ret_len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_CS_STATE_H
#define SF_MEMBER_CS_STATE_H

#include "sheep/member/cs_logic.h"
#include "sheep/member/cs_msg.h"

/* The inside of cs_logic: what cs_logic.c (views), cs_decide.c (the register) and cs_live.c share. */
enum cs_phase { CS_ALONE, CS_GATHER, CS_PROMISED, CS_ACTIVE };

struct cs_peer {
	struct cs_id id;
	bool told;      /* its STATE */
	bool ready;     /* has promised the ballot at hand, */
	bool late;      /* after the view was active */
	bool acked;     /* the proposal at hand */
	bool foreign;   /* of another register */
	struct cs_msg state; /* data not valid */
	bool has_info;
	struct node_info info;
	uint64_t beat;  /* its last one heard */
	uint64_t heard; /* our last one that it has heard */
};

/* Was live, and may still have a lease. */
struct cs_linger {
	struct cs_id id;
	struct node_info info;
	uint64_t until_ms; /* 0: no view was active since */
};

enum { CS_BEATS_KEPT = 32 };

struct cs_logic {
	struct cs_config config;
	enum cs_phase phase;
	uint64_t now;
	uint64_t view;
	uint32_t nodes;      /* that there are in all, when this view began; */
	uint32_t nodes_next; /* now */
	bool quorate, failed;
	uint32_t peer_count;
	struct cs_peer *peers; /* by node, then pid */
	struct cs_msg frozen;  /* our STATE of this view */
	uint64_t ballot, said_ms, wanted_ms;
	uint64_t active_ballot; /* of the last view that was active here */
	uint64_t hold_until;    /* no lease before: somebody we never heard of may have one */

	struct cs_vote vote;
	uint32_t committed; /* ours */
	uint32_t decided;   /* as far as is known in this view */
	uint64_t reg, cluster;
	uint32_t epoch;     /* of our last map */
	bool recovering;    /* what was accepted before is to win first: */
	uint64_t recover_nonce;
	struct cs_pending {
		bool on;
		uint64_t nonce;
		uint32_t seq;
		uint8_t *data;
		uint32_t len;
	} pending;
	struct cs_own {
		bool on;
		uint64_t expected_cluster;
		uint32_t expected_epoch;
		uint64_t nonce;
		uint64_t ballot; /* in which it was sent; 0: not yet */
		uint8_t *data;
		uint32_t len;
	} own;

	uint64_t beat, beat_at[CS_BEATS_KEPT], beat_ms;
	struct cs_linger *lingers;
	uint32_t linger_count;
	bool live_due;
};

void cs_fail(struct cs_logic *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cs_send(struct cs_logic *l, struct cs_msg *m);
struct cs_peer *cs_peer_find(struct cs_logic *l, struct cs_id id);
/* More than half of all nodes, each counted once, have what `has` looks for. */
bool cs_majority(const struct cs_logic *l, bool (*has)(const struct cs_logic *, const struct cs_peer *));
bool cs_caught_up(const struct cs_logic *l);
void cs_ready_say(struct cs_logic *l);
/* Tells proposals apart; equal ones are one. */
uint64_t cs_nonce(const uint8_t *data, uint32_t len);

/* cs_decide.c */
void cs_decide_gathered(struct cs_logic *l); /* another STATE is there */
void cs_decide_ready(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m);
void cs_decide_proposed(struct cs_logic *l, const struct cs_msg *m);
void cs_decide_acked(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m);
void cs_decide_wanted(struct cs_logic *l, const struct cs_peer *p, const struct cs_msg *m);
void cs_decide_map(struct cs_logic *l, const struct cs_msg *m);
/* Somebody knows that so many have won. */
void cs_decide_told(struct cs_logic *l, uint32_t decided);
void cs_decide_run(struct cs_logic *l);
void cs_decide_over(struct cs_logic *l); /* the view is */
void cs_deliver(struct cs_logic *l, struct map *map);

/* cs_live.c */
void cs_live_left(struct cs_logic *l, const struct cs_peer *p, bool dead);
void cs_live_active(struct cs_logic *l);
void cs_live_beat(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m);
void cs_live_info(struct cs_logic *l, struct cs_peer *p, const uint8_t *data, size_t len);
void cs_live_run(struct cs_logic *l);
void cs_live_deliver(struct cs_logic *l);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_CS_LOGIC_H
#define SF_MEMBER_CS_LOGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/place/map.h"
#include "sheep/member/member.h"

/*
 * What the Corosync driver does, without library, socket, file and clock: a closed process group gives views (who is in the group)
 * and messages, both in one order that is the same for all who are in a view. Every daemon keeps the register itself.
 *
 * Neither view nor order says that anything was decided: a part of the group that is cut off has views and an order too. So
 * a map has won when more than half of all nodes have it durably, by Paxos, one instance a map, with the view as the one
 * proposer:
 *   1. at a new view everybody tells what it knows (STATE): the highest ballot it promised, the proposal that it has accepted and
 *      not seen win, how many maps it has;
 *   2. as soon as more than half of all nodes have told, all compute the same ballot, one above any promised. Each makes its promise
 *      durable and says so (READY);
 *   3. when more than half have promised, the view is active. A proposal that somebody had accepted, the one of the highest
 *      ballot, may have won unseen: it is proposed again before any other. Who lacks maps asks for them (WANT, MAP);
 *   4. the first proposal that arrives for the next number is accepted: durable here, ACK. All others have lost. ACKs of more than
 *      half: it has won, at the same place in the order for all.
 * Two ballots never are the same: the one that is computed is above what more than half had promised, durably.
 *
 * Lease: everybody tells the time by numbered BEATs which name the last BEAT heard of each other. A BEAT that more
 * than half (we among them) have heard in this view proves that, when it was sent, no other view could have decided anything; the
 * lease counts from that moment. What views before may have decided unseen is decided again first (3). The quorum service's
 * word stops leases and new proposals, no more: each machine hears it at a moment of its own.
 * Live set: those in the view. One that has gone stays in it until no lease that it may have had can run any more; one that left in
 * order goes at once. Who was not in the last active view does not know whom to wait for, and takes no lease for as long.
 *
 * A daemon that has promised nothing (a new node, or one whose directory was emptied) does not count in step 2, and promises nothing, unless all
 * have told and nobody has maps: it may have forgotten what it had promised. It takes part again when it has got all maps that
 * were decided; some of them are not enough. So nodes that never had maps must not be more than half of all: an operator who
 * adds nodes adds fewer at a time than have the maps.
 */
enum { CS_MEMBERS_MAX = 1024, CS_BEAT_MS = 200, CS_LEASE_MS = MEMBER_LEASE_MAX_MS };

/* A process in the group. */
struct cs_id {
	uint32_t node, pid;
};

/* What must survive a power cut, besides the maps that won. */
struct cs_vote {
	uint64_t promised;
	uint64_t ballot; /* of what was accepted; 0: nothing */
	uint32_t seq;    /* the number that it would get */
	uint8_t *data;   /* the map's bytes; malloc'ed */
	uint32_t len;
};

struct cs_ops {
	void *arg;
	/* To all in the group, ourselves too. */
	void (*send)(void *arg, const uint8_t *bytes, size_t len);
	/* Durable when it returns. -errno: the driver fails. */
	int (*vote_save)(void *arg, const struct cs_vote *vote);
	/* Likewise: the map that won as number `seq`. */
	int (*map_save)(void *arg, uint32_t seq, const struct map *map);
	/* A map that has won; the caller's reference. */
	int (*map_load)(void *arg, uint32_t seq, struct map **ret);
};

struct cs_config {
	struct cs_id id;
	struct node_info self;
	const struct log *log;
	struct member_callbacks callbacks;
	struct cs_ops ops;
	struct cs_vote vote;   /* from the disk; data is taken over */
	uint32_t committed;    /* maps on the disk, and told to the daemon at once */
	uint64_t reg;          /* cluster of the first of them, */
	uint64_t cluster;      /* and of the last */
	uint32_t epoch;
};

struct cs_logic;
struct cs_logic *cs_logic_create(const struct cs_config *config);
void cs_logic_destroy(struct cs_logic *l); /* NULL is fine */

struct cs_view {
	uint64_t ring;  /* tells this one from those before of the same members */
	uint32_t nodes; /* that there are in all, up or not */
	bool quorate;   /* as the service sees it */
	uint32_t count;
	const struct cs_id *members;
	uint32_t dead_count; /* processes that left in order, or are known to have ended: */
	const struct cs_id *dead; /* they serve nothing any more */
};
void cs_logic_view(struct cs_logic *l, uint64_t now_ms, const struct cs_view *view);
/* Between views, by each machine in its own time: what the service counts now. */
void cs_logic_votes(struct cs_logic *l, uint32_t nodes, bool quorate);
/* No connection to the service: in no view. */
void cs_logic_alone(struct cs_logic *l);
void cs_logic_message(struct cs_logic *l, uint64_t now_ms, struct cs_id from, const uint8_t *bytes, size_t len);
/* Every 50 ms or so. */
void cs_logic_run(struct cs_logic *l, uint64_t now_ms);
/* The next connection gives us another pid. */
void cs_logic_set_id(struct cs_logic *l, struct cs_id id);

void cs_logic_propose(struct cs_logic *l, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map);
void cs_logic_update(struct cs_logic *l, const struct node_info *self);
bool cs_logic_is_active(const struct cs_logic *l);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_ZK_LOGIC_H
#define SF_MEMBER_ZK_LOGIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/place/map.h"
#include "sheep/member/member.h"

/*
 * What the ZooKeeper driver does, without library, socket and clock: time and the service's answers are arguments, what it
 * wants of the service goes through a table. sheep/member/zookeeper.c drives it with libzookeeper, tests/sim/sim_zk.c with a
 * simulated ensemble.
 *
 *   ROOT                        the format of what follows
 *   ROOT/live/ID.INCARNATION.N  ephemeral: what a daemon announces (struct node_info). N counts its announcements
 *   ROOT/maps/map.SEQ           the register: one znode per map, numbered in the order in which they won, never changed
 *   ROOT/parts/part.NONCE.I     the bytes of a map that is too big for one znode, written before its map.SEQ
 *
 * The happy path:
 *   1. connected: the znodes above the others are made where they are missing;
 *   2. map.1, map.2, ... are read up to the first that is missing, on which a watch is left;
 *   3. the live set is read, with a watch; this daemon's own announcement is made;
 *   4. three times per lease the announcement is written again. Its answer proves that a quorum of the
 *      ensemble had this session alive after the moment of sending, and as answers and watches come in the order of what
 *      happened, that no map is missing when no watch has fired: a lease of a third of the session's timeout, at most
 *      MEMBER_LEASE_MAX_MS, is told, from the moment of sending;
 *   5. a proposal creates map.SEQ+1. Create fails when another has it: that is the whole compare-and-swap.
 *
 * What may go wrong:
 *   connection lost   all that was asked on it is forgotten; 1 to 4 begin again on the next one (another server, maybe a
 *                     lagging one: it shows what it has, and nobody gets a lease from it before it has caught up with
 *                     step 4's write).
 *   proposal unknown  the same create is sent again. Who won is told only by what map.SEQ+1 holds, read back: the nonce in
 *                     it is the proposer's. So a proposal is never both won and lost.
 *   session expired   another session, another announcement; the leases have ended: a third of the timeout after the last
 *                     proof was sent. The leader counts from the last word that it heard of: a follower that dies may not
 *                     have passed on the proof, but it has the word before, which a client whose connection still stands
 *                     sent less than two thirds of the timeout earlier.
 *   a stale leader    may answer reads, syncs and pings for a while, but can commit no write, hence proves nothing.
 */

enum zk_op { ZK_CREATE, ZK_CREATE_EPHEMERAL, ZK_SET, ZK_DELETE, ZK_GET, ZK_EXISTS_WATCH, ZK_CHILDREN_WATCH };
enum zk_result {
	ZK_OK,
	ZK_NO_NODE,
	ZK_NODE_EXISTS,
	ZK_LOST,   /* with the connection or the session: maybe done, maybe not */
	ZK_DENIED, /* by an ACL */
	ZK_BROKEN, /* anything else */
};

struct zk_request {
	enum zk_op op;
	uint64_t tag; /* comes back with the answer */
	const char *path;
	const uint8_t *data;
	size_t len;
};

struct zk_answer {
	uint64_t tag;
	enum zk_result result;
	const char *text;    /* of ZK_BROKEN */
	const uint8_t *data; /* ZK_GET */
	size_t len;
	const char *const *names; /* ZK_CHILDREN_WATCH */
	uint32_t name_count;
};

/* Nothing here is called from inside zk_logic_propose, _update or _leave but wake. */
struct zk_ops {
	void *arg;
	/* Answers come in the order of the requests, with the watches' events between them where they belong; never from
	 * inside this call. */
	void (*request)(void *arg, const struct zk_request *request);
	/* zk_logic_run is to be called soon. */
	void (*wake)(void *arg);
};

enum { ZK_PATH_LEN = 256, ZK_NAME_LEN = 64, ZK_ROOT_LEN = 128 };
enum { ZK_PART_BYTES = 900 << 10 }; /* a znode holds 1 MiB with its path */

struct zk_config {
	char root[ZK_ROOT_LEN]; /* "/sheepfold" */
	uint32_t part_bytes;
	struct node_info self;
	const struct log *log;
	struct member_callbacks callbacks;
	struct zk_ops ops;
};

struct zk_logic;

struct zk_logic *zk_logic_create(const struct zk_config *config);
void zk_logic_destroy(struct zk_logic *l); /* NULL is fine */

/* The service. now_ms: CLOCK_BOOTTIME. */
void zk_logic_connected(struct zk_logic *l, uint64_t now_ms, bool new_session, uint32_t timeout_ms);
void zk_logic_disconnected(struct zk_logic *l, uint64_t now_ms);
void zk_logic_expired(struct zk_logic *l, uint64_t now_ms); /* who drives it opens another session */
void zk_logic_denied(struct zk_logic *l);
void zk_logic_answer(struct zk_logic *l, uint64_t now_ms, const struct zk_answer *answer);
void zk_logic_watch(struct zk_logic *l, uint64_t now_ms, const char *path);
/* After wake, and every 50 ms or so. */
void zk_logic_run(struct zk_logic *l, uint64_t now_ms);

/* The daemon; as in struct member_driver. */
void zk_logic_propose(struct zk_logic *l, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map);
void zk_logic_update(struct zk_logic *l, const struct node_info *self);
void zk_logic_leave(struct zk_logic *l);

bool zk_logic_is_connected(const struct zk_logic *l);
/* An answer is due for so long that the connection should be given up: who pings may still not serve. */
bool zk_logic_is_stuck(const struct zk_logic *l, uint64_t now_ms);

#endif

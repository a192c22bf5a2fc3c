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
 * Membership through ZooKeeper, without ZooKeeper: what to ask of a session and what its answers
 * mean. sheep/member/zookeeper.c connects it with the client library, tests/sim with a simulated
 * service. Time comes with each call.
 *
 *   BASE                              /sheepfold/CLUSTER
 *   BASE/head                         which maps there are (text, see zk_logic.c)
 *   BASE/maps/0000000001              the maps, numbered in the order in which they won
 *   BASE/parts/...                    pieces of maps too big for one znode
 *   BASE/live/<id>.<incarnation>.<n>  ephemeral: a daemon's announcement (struct node_info)
 *
 * Register: a proposal creates the next map and changes head in one transaction that demands the
 * version of head it was made from: exactly one wins. When a connection breaks before the answer,
 * the outcome is read back: the map under that number is ours or it is not.
 *
 * A round, every quarter of the lease and whenever a watch fires:
 *
 *   sync, get head     all that was committed before the sync arrived is seen: no lagging server
 *   get maps/...       those that are new, delivered in order
 *   children of live   when they may have changed; get those that are not known yet
 *   deliver            maps, the outcome of a proposal, the live set, and last the lease
 *
 * The lease counts from when the round began. It is shorter than two thirds of the session's
 * timeout, which the service counts from when it heard the same requests, or later: a daemon that
 * is cut off, or was stopped, has no lease any more when its announcement can vanish, and gets none
 * before it has seen what it missed.
 *
 * An expired session is replaced: the daemon announces itself again, and others take it for one
 * that went and came back.
 */
enum { ZK_PATH_LEN = 512, ZK_PART_BYTES = 512 << 10 };

enum zk_op {
	ZK_CREATE,   /* path, data, ephemeral */
	ZK_REMOVE,   /* path, whatever its version */
	ZK_GET,      /* path, watch */
	ZK_CHILDREN, /* path, watch */
	ZK_SYNC,     /* path */
	ZK_COMMIT,   /* both or none: creates path with data; sets head to head_text if it is of head_version */
};
struct zk_request {
	enum zk_op op;
	uint32_t tag;
	const char *path;
	const uint8_t *data;
	size_t len;
	bool ephemeral, watch;
	const char *head, *head_text;
	int32_t head_version;
};

enum zk_result {
	ZK_OK,
	ZK_NONE,     /* no such znode */
	ZK_EXISTS,   /* CREATE: there is one */
	ZK_CONFLICT, /* COMMIT: head is of another version, or the map is there already */
	ZK_LOST,     /* connection or session gone: carried out or not, nobody knows */
	ZK_DENIED,   /* authentication */
	ZK_BROKEN,   /* anything else; text */
};
struct zk_answer {
	uint32_t tag;
	enum zk_result result;
	const char *text; /* BROKEN */
	const uint8_t *data; /* GET */
	size_t len;
	int32_t version;
	const char *const *names; /* CHILDREN */
	uint32_t name_count;
};

/* The service's side. Requests of one session are carried out in order; each is answered exactly
 * once by zk_logic_answer, never from inside the call. */
struct zk_service {
	void *arg;
	void (*request)(void *arg, const struct zk_request *request);
	/* Ends the session, if there is one (its ephemerals go at once where that can be said), and
	 * starts another. */
	void (*reopen)(void *arg);
	void (*close)(void *arg);
};

struct zk_config {
	const char *base; /* copied */
	uint32_t timeout_ms; /* of the session, as asked for; zk_logic_connected tells what was granted */
	uint32_t part_bytes; /* 0: ZK_PART_BYTES */
	const struct log *log;
};

struct zk_logic;

struct zk_logic *zk_logic_create(const struct zk_config *config, const struct node_info *self,
                                 const struct zk_service *service,
                                 const struct member_callbacks *callbacks);
void zk_logic_destroy(struct zk_logic *l); /* NULL is fine */

void zk_logic_join(struct zk_logic *l, uint64_t now_ms);
void zk_logic_leave(struct zk_logic *l);
/* The outcome is told by callbacks.proposed in a later call. */
void zk_logic_propose(struct zk_logic *l, uint64_t expected_cluster, uint32_t expected_epoch,
                      const struct map *map);
void zk_logic_update(struct zk_logic *l, const struct node_info *self);

/* What happens to the session. timeout_ms: what the service grants. */
void zk_logic_connected(struct zk_logic *l, uint32_t timeout_ms, uint64_t now_ms);
void zk_logic_disconnected(struct zk_logic *l);
void zk_logic_expired(struct zk_logic *l, uint64_t now_ms);
void zk_logic_denied(struct zk_logic *l);
void zk_logic_answer(struct zk_logic *l, const struct zk_answer *answer, uint64_t now_ms);
/* A watch has fired, on whatever it was. */
void zk_logic_changed(struct zk_logic *l, uint64_t now_ms);
/* At least every 50 ms. */
void zk_logic_tick(struct zk_logic *l, uint64_t now_ms);

#endif

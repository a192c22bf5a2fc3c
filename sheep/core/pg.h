/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_PG_H
#define SF_CORE_PG_H

/* A placement group at its primary; part of core.h. */

#include "lib/base/htab.h"
#include "lib/ec/ec.h"
#include "lib/place/place.h"
#include "sheep/core/disk_job.h"

enum pg_state { PG_QUERY, PG_LIST, PG_ROLLBACK, PG_ACTIVATING, PG_ACTIVE, PG_DOWN };

enum { PG_MAX_MEMBERS = 64 };

/* A disk that was asked at peering: a slot of this interval or of an earlier one. */
struct member {
	uint64_t disk, node;
	int32_t slot; /* in this interval, or -1: a stray */
	bool asked, answered, wrong_shards;
	bool begun, listed;        /* some of what it has, all */
	struct shard_entry cursor; /* the last one listed */
	struct pg_info info;
	struct msg *log; /* the reply to PG_QUERY, for its log */
	struct shard_entry *entries;
	uint32_t entry_count, entry_capacity;
};

/* A version at one holder that does not stand. */
enum undo_kind {
	UNDO_ROLLBACK,   /* pending, and never acknowledged: to be taken back */
	UNDO_REMOVE,     /* likewise what is committed there, or a left-over of a deleted object */
	UNDO_SUPERSEDED, /* pending below a version that was acknowledged: to be taken back */
	UNDO_LATER,      /* pending below one that may itself be taken back: left as it is */
};
struct undo {
	uint32_t member, shard;
	uint64_t oid, version;
	enum undo_kind kind;
	bool left_over; /* of a deleted object: it did happen */
};

/* Who has a shard at the version that counts: (member index, shard). At most one bit per shard. */
struct missing {
	struct hnode by_oid; /* pg->missing */
	struct list queue;   /* node->recover[r], or on its own while being rebuilt or blocked */
	struct pg *pg;
	uint64_t oid, version, size;
	uint64_t have; /* shards that exist somewhere */
	uint64_t need; /* slots of this interval (with a disk that is up) that lack their shard */
	uint64_t accept; /* of need: those that have it, and must record that it stands */
	uint8_t source[MAX_SHARDS]; /* member index where a shard of `have` is */
	uint64_t base; /* of an unstable version: what it was built on */
	bool tombstone, unfound, running;
	bool unstable; /* not known acknowledged: on every live slot before anybody reads it */
	bool held;     /* nor can it be decided or made stable with the slots there are now */
	struct req_id req; /* of an unstable version: known as done once that is stable */
	uint64_t blocked_until; /* a push failed: not again before */
	bool full;              /* because the target has no room */
	struct list waiting;    /* struct op.link: operations that need it rebuilt first */
};

struct pg {
	uint32_t pool, number;
	const struct map_pool *conf; /* in node->map */
	struct ec_code *code;        /* node's, shared by PGs of the pool */
	uint32_t n, k;
	uint32_t epoch; /* first of this interval */
	enum pg_state state;
	uint64_t slot_disk[MAX_SHARDS]; /* NO_DISK when there is none */
	uint64_t slot_node[MAX_SHARDS];
	uint64_t live; /* slots whose disk is up */
	uint32_t own;  /* our slot */
	bool absent_known, heard_all; /* trouble.c */
	bool clean, clean_sent, tombstones;
	bool listing;      /* one of node->listing */
	struct list turn;  /* node->to_list */
	uint32_t clean_round;  /* the clean record under way */
	uint64_t clean_commit; /* its commit point */
	uint64_t clean_retry_at;
	/* Commit point that every slot has recorded, surviving a power cut. */
	uint64_t commit_durable;
	uint64_t not_before;    /* an old primary may hold a lease until then */
	uint64_t retry_at;      /* PG_DOWN: look again */

	struct member *members;
	uint32_t member_count;
	uint32_t clean_epoch; /* newest epoch known to be clean; pool's creation if never */
	uint32_t awaited;     /* answers outstanding in this state */
	uint64_t max_version;
	struct undo *undo;
	uint32_t undo_count, undo_next;
	uint64_t *names; /* of the objects that may differ, when those are asked for */
	uint32_t name_count, named, asked; /* named so far; the last of them are being asked for */
	uint64_t listed_from;   /* objects before this one are decided */
	struct log_entry *done; /* changes in the members' logs that count, so far */
	uint32_t done_count, done_capacity;

	uint64_t counter; /* of the last version given out in this interval */
	uint64_t floor;   /* `requests` has every change that is newer */
	uint32_t changes; /* since the last clean record */
	uint64_t commit, commit_sent, commit_at;
	uint32_t unstable_count;
	uint64_t commit_cap;  /* undecided versions lie above it */
	struct list inflight; /* struct op.by_version: writes prepared, ascending versions */

	struct htab objects; /* struct object */
	struct htab missing; /* struct missing */
	uint32_t running;    /* recoveries under way */
	int64_t object_count;
	struct htab requests; /* struct done_req: recent request ids */
	struct list requests_order;
	uint32_t requests_count;
	struct list calls;
	struct list waiting; /* struct op.link: until active */
	struct list ops;     /* struct op.in_pg: all of this interval */
};

struct done_req {
	struct hnode by_req;
	struct list order;
	struct log_entry e; /* version 0: it changed nothing, known to this interval only */
	uint32_t result;    /* what the client was told */
};

/* What the primary knows of an object, and who may touch it now. Readers (and recovery) share, a
 * writer excludes. */
struct object {
	struct hnode by_oid;
	struct list lru; /* node->object_lru while idle */
	struct pg *pg;
	uint64_t oid;
	bool known; /* version and exists are */
	bool exists;
	uint64_t version;
	uint32_t readers;
	bool writer;
	struct list waiting; /* struct op.link */
};

#endif

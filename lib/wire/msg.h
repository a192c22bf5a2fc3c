/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_WIRE_MSG_H
#define SF_WIRE_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

/*
 * One message between daemons, or between a client and a daemon, as plain C values.
 * lib/wire/codec.h turns it into bytes and back; nobody else knows the bytes.
 *
 * The conversation. A connection opens with HELLO both ways (protocol versions, cluster, who
 * speaks). After that every request carries an id chosen by the sender; the reply repeats type
 * and id and sets `reply`. Replies may come in any order. Requests marked (one-way) have no
 * reply. Every request that touches a placement group carries the sender's epoch. A receiver
 * with a newer map answers RES_STALE and its epoch; one with an older map fetches the missing
 * maps first.
 *
 * Fields not listed for a type are zero and cost nothing on the wire.
 */
#define MSG_TYPES(X)                                                                               \
	/* any connection */                                                                       \
	X(MSG_HELLO, 1)          /* version_min, version_max, cluster, node (0: client), epoch */  \
	X(MSG_PING, 2)           /* epoch [MSG_F_CLEAN]; reply: epoch */                           \
	X(MSG_GET_MAP, 3)        /* offset = epoch wanted, 0 = current; reply: blob = map */       \
	/* client to primary; object requests: epoch pool oid */                                   \
	X(MSG_OBJ_READ, 10)      /* offset length; reply: payload, or none and MSG_F_ZEROS */      \
	X(MSG_OBJ_WRITE, 11)     /* offset payload req [MSG_F_EXCL: RES_EXISTS if there]           \
	                            [MSG_F_IF base: RES_CHANGED unless at version base, 0 = absent; \
	                            ZERO and DELETE too; the reply has the version] */             \
	X(MSG_OBJ_ZERO, 12)      /* offset length req: the range reads as zeros afterwards */      \
	X(MSG_OBJ_DELETE, 13)    /* req; deleting what is absent succeeds */                       \
	X(MSG_OBJ_STAT, 14)      /* reply: length = end of data, version; RES_NOENT */             \
	X(MSG_OBJ_LIST, 15)      /* pool pg oid(cursor, exclusive unless MSG_F_FIRST) length(max); \
	                            reply: entries (oid version size), MSG_F_MORE */               \
	X(MSG_OBJ_CHECK, 16)     /* MSG_F_REPAIR; reply: check counts; verifies every shard */     \
	/* client to any node */                                                                   \
	X(MSG_STATUS, 20)        /* reply: blob = node status */                                   \
	X(MSG_ADMIN, 21)         /* blob = admin request; reply: result, blob = text */            \
	X(MSG_NODES, 22)         /* reply: blob = map made of the live set (works unformatted) */  \
	X(MSG_TROUBLES, 23)      /* pool pg oid (cursor) MSG_F_FIRST; reply: blob = troubles of the PGs \
	                            this node leads, and MSG_F_MORE with pool pg oid to go on from */ \
	/* primary to the holder of a shard: epoch pool pg oid shard disk */                       \
	X(MSG_SHARD_PREPARE, 30) /* version base commit shard_flags ranges req payload */          \
	X(MSG_SHARD_READ, 31)    /* offset length; reply: version, payload (holes as zeros) */     \
	X(MSG_SHARD_PUSH, 32)    /* version base info shard_flags ranges req payload */            \
	X(MSG_SHARD_ROLLBACK, 33) /* version: forget this pending version */                       \
	X(MSG_SHARD_REMOVE, 34)  /* version: drop the shard if it is at most this version */       \
	X(MSG_SHARD_STAT, 35)    /* reply: entries[0], or RES_NOENT */                             \
	/* primary to a member disk of a placement group: epoch pool pg disk */                    \
	X(MSG_PG_COMMIT, 40)     /* commit = every version up to this is acknowledged */ \
	X(MSG_PG_QUERY, 41)      /* reply: info log. The holder promises to refuse older epochs */ \
	X(MSG_PG_LIST, 42)       /* oid shard (cursor) length(max) MSG_F_FIRST, or log (oids); reply: entries MSG_F_MORE */ \
	X(MSG_PG_ACTIVATE, 43)   /* info log [MSG_F_LOG] [MSG_F_PURGE shard]: durable before the reply */ \
	X(MSG_PG_DROP, 44)       /* (one-way) a stray holder drops what it has of this PG (shard: the one to keep) */ \
	X(MSG_PG_STRAY, 45)      /* (one-way) to the primary: this disk holds data of a PG it is no slot of */

enum msg_type {
#define X(name, number) name = number,
	MSG_TYPES(X)
#undef X
};
const char *msg_type_name(enum msg_type type); /* "?" when unknown */

/* Result codes on the wire: a contract between releases, never renumbered. */
#define RES_TABLE(X)                                                                               \
	X(RES_OK, 0, "done")                                                                       \
	X(RES_STALE, 1, "older epoch; fetch the map and try again")                                \
	X(RES_NOT_PRIMARY, 2, "not the primary of this placement group")                           \
	X(RES_AGAIN, 3, "not now; try again")                                                      \
	X(RES_NOENT, 4, "no such object")                                                          \
	X(RES_EXISTS, 5, "exists already")                                                         \
	X(RES_NOSPACE, 6, "no space")                                                              \
	X(RES_IO, 7, "input/output error")                                                         \
	X(RES_BASE, 8, "the shard is not at the version this change starts from")                  \
	X(RES_UNFOUND, 9, "too few shards of the object can be reached")                           \
	X(RES_INVALID, 10, "malformed request")                                                    \
	X(RES_NOT_FORMATTED, 11, "the cluster is not formatted yet")                               \
	X(RES_DENIED, 12, "refused")                                                               \
	X(RES_CORRUPT, 13, "the stored shard is damaged")                                          \
	X(RES_LOST, 14, "the object is lost: too few of its parts are left")                       \
	X(RES_CHANGED, 15, "the object has changed")

enum wire_result {
#define X(name, code, text) name = code,
	RES_TABLE(X)
#undef X
};
const char *wire_result_text(uint32_t result);

enum msg_flags {
	MSG_F_EXCL = 1 << 0,   /* OBJ_WRITE: fail if the object exists */
	MSG_F_ZEROS = 1 << 1,  /* OBJ_READ reply: length bytes of zeros, no payload */
	MSG_F_FIRST = 1 << 2,  /* listing from the start, cursor ignored */
	MSG_F_MORE = 1 << 3,   /* listing goes on after the last entry */
	MSG_F_REPAIR = 1 << 4,
	MSG_F_PURGE = 1 << 6,  /* PG_ACTIVATE: every slot has every delete up to info.commit, durably: forget them */
	MSG_F_ABSENT = 1 << 5, /* OBJ_READ reply: the object does not exist (with ZEROS) */
	MSG_F_LOG = 1 << 7,    /* PG_ACTIVATE: the log is what counts, other entries are void */
	MSG_F_IF = 1 << 8,     /* OBJ_WRITE, ZERO, DELETE: only if the object is at version `base` */
	MSG_F_CLEAN = 1 << 9,  /* PING: every PG that the sender leads in this epoch is clean */
};

/* What a prepared or pushed change does to a shard. */
enum shard_flags {
	SHARD_REPLACE = 1 << 0, /* content before this change is gone; ranges give all that is left */
	SHARD_DELETE = 1 << 1,  /* the object is deleted: leaves a tombstone with this version */
	SHARD_CREATE_OK = 1 << 2, /* the shard may be absent (base 0): it is created */
	SHARD_UNSTABLE = 1 << 3,  /* PUSH: not known acknowledged: pending, not committed */
	SHARD_ACCEPT = 1 << 4,    /* PUSH, UNSTABLE: the shard has it: it stands in this interval too */
};

enum range_op {
	RANGE_DATA = 0, /* the next `length` payload bytes replace the range */
	RANGE_XOR = 1,  /* the next `length` payload bytes are XORed onto the range (parity delta) */
	RANGE_ZERO = 2, /* the range becomes a hole; no payload */
};
struct shard_range {
	uint32_t op;     /* enum range_op */
	uint32_t offset; /* bytes from the shard's start */
	uint32_t length;
};
enum { MAX_RANGES = 4 };

/* Identifies a client's request across retries. client == 0: none. */
struct req_id {
	uint64_t client;
	uint64_t seq;
};

/* Object versions order all changes of a placement group: 24 bits of epoch, 40 bits of counter.
 * 0 = none. */
static inline uint64_t version_make(uint32_t epoch, uint64_t counter)
{
	return ((uint64_t)epoch << 40) | counter;
}
static inline uint32_t version_epoch(uint64_t version)
{
	return (uint32_t)(version >> 40);
}

/* One shard in a listing. */
enum entry_flags {
	ENTRY_TOMBSTONE = 1 << 0,         /* the committed version is a delete */
	ENTRY_PENDING_TOMBSTONE = 1 << 1, /* the pending version is a delete */
	ENTRY_DAMAGED = 1 << 2,           /* the holder knows that it cannot read it */
};
struct shard_entry {
	uint64_t oid;
	uint32_t shard;
	uint32_t flags;
	uint64_t version; /* committed; 0 = none */
	uint64_t pending; /* prepared, not known committed; 0 = none */
	uint32_t stood, pending_stood; /* the last interval that accepted either here, by its epoch */
	uint64_t size;    /* end of the last data byte of the newest version, in the shard */
};

/* What a member persists about a placement group. */
struct pg_info {
	uint32_t activated; /* last epoch in which it was told that the PG is active; 0 = never */
	uint32_t clean;     /* last epoch for which every slot was known to hold everything */
	uint64_t commit;    /* newest commit point seen */
	uint32_t complete;     /* the newest `clean` that it was itself part of */
	uint64_t clean_commit; /* by then every slot held everything up to this version */
	uint64_t floor;        /* the log has every change that is newer than this */
	uint64_t objects;      /* in answers to PG_QUERY: shards there that are no tombstones */
	bool suspect;          /* some shard was found damaged since `complete` */
	uint64_t scrubbed;     /* when all of it was last read and compared, seconds since 1970 */
};

/* Recent changes, oldest first: finds retried requests again. */
struct log_entry {
	uint64_t version;
	uint64_t oid;
	struct req_id req;
};

struct check_counts {
	uint32_t shards, missing, damaged, stale, repaired;
	uint32_t leftover;  /* shards of a deleted object */
	uint32_t undecided; /* 1: the shards contradict each other, nobody can say which is wrong */
};

enum {
	MSG_MAX_ENTRIES = 4096, /* per message: shard entries or log entries */
	MSG_MAX_BLOB = 8 << 20,
	MSG_MAX_PAYLOAD = 16 << 20,
};

struct msg {
	enum msg_type type;
	bool reply;
	uint64_t id;
	uint32_t epoch;
	uint32_t result; /* enum wire_result, in replies */
	uint32_t flags;  /* enum msg_flags */

	uint32_t pool, pg;
	uint64_t oid;
	uint32_t shard;
	uint64_t disk;
	uint64_t version, base, commit;
	uint64_t offset, length;
	uint32_t shard_flags;
	uint32_t range_count;
	struct shard_range ranges[MAX_RANGES];
	struct req_id req;

	/* HELLO */
	uint32_t version_min, version_max;
	uint64_t cluster, node;

	struct pg_info info;
	struct check_counts check;

	/* Owned by the message (malloc), freed by msg_fini. */
	uint32_t entry_count;
	struct shard_entry *entries;
	uint32_t log_count;
	struct log_entry *log;
	uint32_t blob_len;
	uint8_t *blob;

	struct payload payload;
};

/* Zeroes everything but the payload's unused slices. */
void msg_init(struct msg *m, enum msg_type type);
/* A message on the heap, for queues. */
struct msg *msg_create(enum msg_type type);
/* A reply to req: type, id and reply set. */
struct msg *msg_create_reply(const struct msg *req, uint32_t result);
void msg_fini(struct msg *m);
void msg_destroy(struct msg *m); /* NULL is fine */
/* A copy that shares the payload's buffers. */
struct msg *msg_clone(const struct msg *m);
/* Bytes the message keeps in memory, for bounds on queues. */
uint64_t msg_memory_bytes(const struct msg *m);

#endif

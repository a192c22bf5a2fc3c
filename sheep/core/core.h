/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_CORE_H
#define SF_CORE_CORE_H

/*
 * The inside of the core: what its files share. Nobody outside sheep/core includes this.
 *
 * One PG's life, seen from its primary:
 *
 *   new interval -> PG_QUERY -> PG_LIST -> PG_ROLLBACK -> PG_ACTIVATE
 *                -> PG_ACTIVE (recovering, then clean)
 *
 * An interval is a run of epochs in which the PG's slots, their being up and their nodes'
 * incarnations stay the same. A new interval ends everything that was under way: calls are
 * cancelled, client operations are answered RES_AGAIN (the client repeats them with the same
 * request id), and peering finds out what took effect. No state of the old interval is carried
 * over.
 */

#include "lib/base/htab.h"
#include "lib/ec/ec.h"
#include "lib/place/place.h"
#include "sheep/core/disk_job.h"
#include "sheep/core/pg.h"

enum {
	PING_MS = 500,
	SUSPECT_MS = 2500,      /* silence after which a peer is reported */
	CALL_RETRY_MS = 5000,   /* requests to peers are idempotent; repeated when no answer came */
	AGAIN_MS = 20,          /* pause after RES_AGAIN from a peer */
	COMMIT_IDLE_MS = 200,   /* how long a commit point waits for a message to ride on */
	LEASE_MARGIN_MS = 1300, /* longest lease (1 s) and a margin */
	RANK_DELAY_MS = 300,    /* the lowest live node proposes first, the next a little later */
	START_HOLD_MS = 2000,   /* nobody is declared down right after our own start */
	REJOIN_MS = 1000,
	OBJECT_CACHE_MAX = 65536,
	FUTURE_MAX = 4096,  /* messages of a newer epoch kept until its map is here */
	WAITING_MAX = 4096, /* client operations waiting for one PG to become active */
	LIST_PAGE = 1024,
	ROLLED_BACK_MAX = 8,
	CLEAN_RETRY_MS = 3000,
	ANEW_MS = 10000, /* pause before peering is asked for again; ever longer, if that repeats */
	RECOVERY_DEFAULT = 8,
	RECOVERY_BUSY = 2, /* while clients are served */
	MAX_TRIES = 5,     /* repairs before an operation gives up with RES_IO */
};

/* ---- Calls: a request to the holder of a shard, here or elsewhere (call.c) ---- */

struct call;
/* reply is borrowed; its payload may be moved out. */
typedef void (*call_done)(struct node *node, struct call *call, struct msg *reply);

struct call {
	struct hnode by_id;
	struct list in_pg; /* pg->calls; on its own when free of a PG */
	uint64_t id, peer, disk;
	struct msg *req;   /* kept to be repeated; NULL while a disk job has it */
	uint64_t retry_at; /* 0: no answer awaited from the network */
	call_done done;    /* NULL: cancelled or nobody waits */
	void *ctx;
	uint32_t index; /* the caller's */
};

/* ---- Client operations and recoveries ---- */

struct op;
typedef void (*op_run)(struct node *node, struct op *op);

/* One client request, recovery or check of one object. Its calls belong to the PG and are
 * cancelled with it. */
struct op {
	struct list link; /* pg->waiting, object->waiting or missing->waiting */
	struct list in_pg;
	struct list by_version; /* pg->inflight */
	struct pg *pg;
	struct object *object; /* locked while set */
	bool exclusive;
	op_run run; /* called with the lock held; may be called again after a repair */
	uint32_t tries;
	uint64_t conn;   /* 0: recovery */
	struct msg *req; /* the client's request */
	uint32_t inflight_bytes;
	struct missing *missing; /* recovery: what is rebuilt, */
	uint64_t rebuild;        /* and the slots whose shard is read or computed */

	uint64_t version, base;
	uint32_t awaited;
	uint32_t fail_result;
	op_run confirmed; /* absent.c */
	uint64_t failed, prepared; /* slots */
	struct io_plan *plan;
	struct write *write; /* write.c's own */
	struct code_job *code;
	struct check_counts check;
	uint32_t suspect; /* check: the slot whose shard is left out now */
	uint64_t suspects; /* check: slots that the others do without and agree */
	struct list_work *list; /* list.c's own */
};

/* What an operation reads: per shard a range and where it comes from; then the bytes (read.c). */
struct io_plan {
	struct shard_io {
		uint64_t disk, node; /* source */
		uint32_t lo, hi;     /* hi == lo: not read */
		struct slice data;   /* result; buf NULL after an absent answer */
		uint64_t version;
		uint32_t result;
	} shard[MAX_SHARDS];
	uint64_t decode;  /* shards to compute from the others over [dlo, dhi) */
	uint64_t sources; /* exactly k shards that serve to decode, when decode != 0 */
	uint32_t dlo, dhi;
	struct slice decoded[MAX_SHARDS];
	void (*done)(struct node *node, struct op *op);
};

/* ---- The node ---- */

struct epoch_rec {
	struct map *map;
	struct placement *placement;
};

struct peer {
	uint64_t id;
	uint64_t heard_ms, up_since_ms;
	uint64_t absent_since_ms; /* up in the map but not in the live set; 0: is */
	uint64_t down_since_ms;   /* down in the map; 0: is up */
	uint32_t clean_epoch;     /* all PGs that it leads in this epoch are clean; 0: are not */
	bool live;
};

/* Per PG of every pool, whether we are its primary or not. */
struct pg_slot {
	uint32_t interval_start;
	uint32_t promised; /* a primary peered in this epoch: older ones are refused */
	/* Ids of the primary's last activation, and last record that the PG is clean; versions that it
	 * rolled back: what comes later with an older id, or such a version, is a late copy. */
	uint64_t activated_by, purged_by;
	uint64_t rolled_back[ROLLED_BACK_MAX];
	uint32_t rolled_back_next;
	struct scrub_times {
		/* When the last scrub that came to its end began: done_s for people and for other
		 * primaries; the schedule is by a clock that does not jump. 0: none is known. */
		uint64_t done_s, done_ms;
		uint64_t seen_ms, age_ms; /* looked first at seen_ms; done was so long ago then */
		uint64_t begun_ms, begun_s;
		uint64_t cursor;           /* a scrub broken off goes on behind this object */
	} scrub;
	struct pg *pg;     /* NULL unless we are the primary */
};
struct pool_state {
	uint32_t pool, pg_count;
	struct pg_slot *pgs;
	struct ec_code *code;
};

struct disk_state {
	uint64_t id;
	bool failed, reported;
	bool polling;
	struct disk_usage usage;
	uint64_t repaired;
	char *path;  /* "" when not known */
	bool in_map; /* was seen in a map: absent from a later one, it has left */
	bool back;   /* plugged in, or not to leave after all: the map is to take it (again) */
};

/* Requests met, for `node stat`. */
struct req_stat {
	uint64_t active, total, write, read, remove, bytes_written, bytes_read;
};

struct admin_wait;
struct scrub;

struct node {
	struct node_config config;
	const struct log *log;
	struct effects *fx; /* of the step at hand */
	uint64_t now, wall, started_ms, last_tick_ms;

	/* The epoch log: rec[i] is epoch first_epoch + i. */
	struct epoch_rec *rec;
	uint32_t rec_count, rec_capacity, first_epoch;
	struct map *map;
	struct placement *placement;
	uint64_t cluster; /* our disks carry it; 0: fresh */
	bool adopting, exiting, leaving;
	uint64_t lease_until;
	uint32_t pool_count;
	struct pool_state *pools;

	struct node_info *live;
	uint32_t live_count;
	bool live_known;
	struct peer *peers;
	uint32_t peer_count;
	uint64_t pinged_ms;
	uint64_t rejoin_at, rejoin_delay_ms;
	bool proposing;
	uint64_t proposed_ms;
	uint32_t anew_epoch; /* what peering found in it has to be decided anew: by a later one */
	uint64_t anew_at, anew_pause_ms;
	struct list admin; /* struct admin_wait */

	uint64_t next_call;
	struct htab calls;
	struct list loose_calls; /* calls of no PG */
	struct list disk_out;    /* struct disk_job.out */
	struct list compute_out; /* struct compute_job.out */
	struct list future;      /* struct held_msg */
	uint32_t future_count;

	struct list object_lru;
	uint32_t object_count;
	struct list to_list; /* struct pg.turn */
	uint32_t listing;    /* PGs whose members list all they have */
	struct list recover[MAX_PARITY + 1]; /* struct missing.queue by remaining redundancy */
	struct list accepting; /* struct missing.queue: no bytes to rebuild, only to be accepted */
	struct list blocked; /* struct missing.queue: a target is full; tried again later */
	uint32_t recovering; /* objects being rebuilt now */
	struct list contradictions; /* struct contradiction (trouble.c) */
	uint32_t contradiction_count;
	uint64_t client_bytes;
	uint32_t client_ops;

	struct disk_state *disks;
	uint64_t polled_ms;
	uint32_t stray_epoch, stray_pool, stray_pg, stray_disk; /* cursor of the search for strays */
	uint64_t stray_at;  /* when to go on; 0: all looked through */
	uint64_t map_at;    /* when the map at hand came */
	uint32_t replaced_next; /* of config.replaced: the first that may still be in the map */
	struct bad_disk *bad_disks; /* ours */
	uint32_t bad_disk_count;
	struct scrub *scrub;

	struct {
		uint64_t ops, written, read;
		uint64_t recovered_objects, recovered_bytes, recovery_started;
		uint64_t rate_at, rate_bytes, rate; /* of the last full second */
		struct req_stat peer, client;
	} stat;
	uint64_t throttle_at; /* beginning of the recovery interval */
	uint32_t throttled;   /* rebuilds begun in it */
};

/* effects.c */
struct effect *effect_add(struct node *node, enum effect_type type);
void node_send(struct node *node, uint64_t peer, struct msg *msg);
void node_reply(struct node *node, uint64_t conn, struct msg *msg);
void node_reply_result(struct node *node, uint64_t conn, const struct msg *req, uint32_t result);
bool node_is_self(const struct node *node, uint64_t id);
struct disk_state *node_disk(struct node *node, uint64_t disk);

/* call.c */
/* Sends req (taken over) to the disk's node, or runs it on our own disk. pg may be NULL. */
struct call *call_start(struct node *node, struct pg *pg, uint64_t peer, uint64_t disk,
                        struct msg *req, call_done done, void *ctx);
void call_reply_arrived(struct node *node, uint64_t peer, struct msg *reply);
void call_peer_lost(struct node *node, uint64_t peer);
void call_tick(struct node *node);
/* Nobody hears of these any more. */
void calls_cancel(struct node *node, struct list *calls);
/* A request for one of our own disks on somebody's behalf; done gets the job with its reply. */
struct disk_job *disk_job_start(struct node *node, uint64_t disk, struct msg *req,
                                void (*done)(struct node *, struct disk_job *), void *ctx);
void disk_job_free(struct disk_job *job);

/* status.c: counted as `node stat` shows them */
void req_stat_count(struct req_stat *s, const struct msg *req);

/* replica.c */
void replica_handle(struct node *node, uint64_t from, bool is_client, struct msg *msg);

/* epochs.c: maps, intervals */
void node_take_map(struct node *node, struct map *map);
void node_take_adopted(struct node *node, int result);
const struct epoch_rec *node_epoch(const struct node *node, uint32_t epoch);
/* Asks the driver to end us. Once. */
void node_exit(struct node *node, int status, const char *why);
void epochs_drop(struct node *node);
struct pg_slot *node_pg_slot(struct node *node, uint32_t pool, uint32_t pg);
struct pg *node_find_pg(struct node *node, uint32_t pool,
                        uint32_t pg); /* we are its primary; else NULL */
/* Slots of a PG in an epoch and which of them are up. Returns how many slots; 0: unknown epoch or
 * pool. */
uint32_t epoch_slots(const struct epoch_rec *rec, uint32_t pool, uint32_t pg,
                     const uint64_t **ret_disks, uint64_t *ret_live);
/* A run of earlier epochs in which the PG's slots and their being up were the same. */
struct interval {
	uint32_t epoch; /* the first of them, or where the walk began */
	uint32_t n;     /* slots: as many as the PG has now, or fewer */
	const uint64_t *disks;
	uint64_t live;
	bool writable; /* enough live slots for writes to be acknowledged */
};
typedef bool (*interval_visit)(struct node *node, struct pg *pg, const struct interval *iv,
                               void *ctx);
/* Those from epoch `from` on, oldest first, until visit returns false; then false too. */
bool intervals_each(struct node *node, struct pg *pg, uint32_t from, interval_visit visit,
                    void *ctx);
/* Peers anew; the PG is gone afterwards and another stands in its place. */
void pg_restart(struct node *node, struct pg *pg);
uint32_t pg_min_live(const struct node *node, const struct pg *pg);

/* pg.c */
struct pg *pg_begin(struct node *node, const struct map_pool *conf, struct ec_code *code,
                    uint32_t number, uint32_t epoch);
void pg_end(struct node *node, struct pg *pg);
void pg_add_request(struct pg *pg, const struct log_entry *e, uint32_t result);
/* NULL: not seen. */
const struct done_req *pg_find_request(const struct pg *pg, struct req_id req);
void pg_remove_request(struct pg *pg, uint64_t version, uint64_t oid);
uint64_t pg_next_version(struct pg *pg);
void pg_advance_commit(struct node *node, struct pg *pg);
void pg_tick(struct node *node, struct pg *pg);
/* After a missing shard was rebuilt, or peering ended: looks whether the PG is clean now and
 * says so. */
void pg_check_clean(struct node *node, struct pg *pg);
struct msg *pg_msg(const struct node *node, const struct pg *pg, enum msg_type type);

/* missing.c */
struct missing *missing_find(struct pg *pg, uint64_t oid);
struct missing *missing_add(struct node *node, struct pg *pg, uint64_t oid, uint64_t version);
/* `have` or `need` changed: into the right queue. */
void missing_requeue(struct node *node, struct missing *m);
/* This very request wrote the version that is not stable yet: it cannot be told that it failed. */
bool missing_is_from(const struct missing *m, struct req_id req);
/* It stood, and turned out to be damaged: peering is to decide again. */
bool missing_is_in_doubt(const struct missing *m);
/* Enough slots have it: no longer held back, nor the commit point because of it. */
void missing_stable(struct node *node, struct missing *m);
void missing_free(struct node *node, struct missing *m);
/* A slot's shard turned out to be bad while serving: version is the object's. */
void missing_mark_slot(struct node *node, struct pg *pg, uint64_t oid, uint64_t version,
                       uint32_t slot);
uint32_t missing_redundancy(const struct missing *m); /* 0..m, only when found */

/* peering.c, resolve.c */
void peering_start(struct node *node, struct pg *pg);
void peering_tick(struct node *node, struct pg *pg);
/* A disk that held something of the PG since it was clean is up and was not asked: it came later. */
bool peering_lacks_holders(struct node *node, struct pg *pg);
void members_free(struct pg *pg);
struct member *member_find(struct pg *pg, uint64_t disk); /* NULL: none */
void peering_wait(struct node *node, struct pg *pg); /* tries again later */
void peering_resolved(struct node *node, struct pg *pg);
/* Decides about the objects up to `to` that members have listed. */
void resolve_objects(struct node *node, struct pg *pg, uint64_t to);
/* The version was decided against, and not only for being a left-over of a deleted object. */
bool undo_never_was(const struct pg *pg, uint64_t version, uint64_t oid);
/* It is pending at that member below the version that stands. */
bool undo_pending_below(const struct pg *pg, uint32_t member, uint64_t version, uint64_t oid);

/* listing.c: ends in peering_resolved */
void listing_start(struct node *node, struct pg *pg);
void listing_drop(struct node *node, struct pg *pg);

/* pg_log.c */
/* Notes what counts of the changes of objects [from, to], which have just been decided. */
void pg_log_take(struct pg *pg, uint64_t from, uint64_t to);
/* All are decided: what was noted are the PG's known requests. */
void pg_log_settle(struct pg *pg);

/* object.c */
struct object *object_get(struct node *node, struct pg *pg, uint64_t oid);
/* Nobody has anything of it. */
void object_is_absent(struct object *o);
void object_trim(struct node *node);
void object_free(struct node *node, struct object *o);
/* Runs op->run when the lock is there and no repair must come first. */
void op_start(struct node *node, struct op *op);
struct op *op_create(struct node *node, struct pg *pg, uint64_t conn, struct msg *req, op_run run,
                     bool exclusive);
/* Answers the client (conn != 0) and lets go of everything. */
void op_finish(struct node *node, struct op *op, uint32_t result);
/* Likewise with a reply of its own (taken over). */
void op_finish_reply(struct node *node, struct op *op, struct msg *reply);
/* Gives the lock back and starts over, behind a repair of the object if it needs one. */
void op_restart(struct node *node, struct op *op);
/* The interval is over: the client is told to repeat, nothing else is touched. */
void op_abort(struct node *node, struct op *op);
/* The client is gone: what of it only waits is forgotten. */
void ops_drop_client(struct node *node, uint64_t conn);
struct call *op_call(struct node *node, struct op *op, uint64_t peer, uint64_t disk,
                     struct msg *req, call_done done, uint32_t index);

/* absent.c */
/* A slot has nothing of op's object: confirmed, with the lock held, when all say so. Else the object is
 * checked and op starts over. */
void absent_confirm(struct node *node, struct op *op, op_run confirmed);

/* plan.c */
/* Reads what op->plan names, decodes what it lists, then plan->done. */
struct io_plan *plan_create(void (*done)(struct node *, struct op *));
void plan_free(struct io_plan *plan);
void plan_run(struct node *node, struct op *op);
/* Adds [lo, hi) of a shard to what is read, through the others when that one is not to be had. */
void plan_add_shard(struct pg *pg, struct missing *m, struct io_plan *plan, uint32_t shard,
                    uint32_t lo, uint32_t hi);
/* After the last plan_add_shard: chooses what to decode from. False: too few shards to be had. */
bool plan_seal(struct pg *pg, struct missing *m, struct io_plan *plan);
/* The bytes of a part's [lo, hi) after plan_run; a slice of its own. */
struct slice plan_take(const struct io_plan *plan, uint32_t part, uint32_t lo, uint32_t hi);
/* Every shard asked says that the object is not there; slots were asked, nobody from former times. */
bool plan_is_absent(const struct pg *pg, const struct io_plan *plan);
/* The version of the shards read (all the same unless plan_mark_bad says otherwise). */
uint64_t plan_version(const struct io_plan *plan);
/* Some source answered badly: marks it. Returns false when nothing was wrong. */
bool plan_mark_bad(struct node *node, struct op *op);

/* read.c */
void client_object_request(struct node *node, uint64_t conn, struct msg *msg);
void read_run(struct node *node, struct op *op);

/* code.c: encoding and decoding as compute jobs */
struct code_job {
	struct compute_job job;
	struct op *op;
	struct ec_code *code;
	uint32_t len;
	uint32_t in_count, out_count;
	uint32_t in_id[MAX_SHARDS], out_id[MAX_SHARDS];
	struct slice in[MAX_SHARDS]; /* buf NULL: zeros; may be shorter than len (zeros behind) */
	struct buf *out[MAX_SHARDS];
	void (*done)(struct node *node, struct op *op);
};
/* out_id[] from in_id[] (k of them): encoding when these are all data parts, else decoding. */
struct code_job *code_create(struct node *node, struct op *op, uint32_t len);
void code_start(struct node *node, struct code_job *c);
void code_free(struct code_job *c);

/* write.c, list.c, check.c, recovery.c */
void write_run(struct node *node, struct op *op);
void write_free(struct write *w);
void list_free(struct list_work *w);
void list_run(struct node *node, struct op *op);
void stat_run(struct node *node, struct op *op);
void check_run(struct node *node, struct op *op);
void recovery_tick(struct node *node);
/* The PG is active: what it misses may be rebuilt. */
void recovery_release(struct node *node, struct pg *pg);
void recovery_pump(struct node *node); /* starts as many as the budget allows */
/* Rebuilds this object now, whatever the budget (an operation waits for it). */
void recovery_start(struct node *node, struct missing *m);

/* membership.c, admin.c, status.c, stray.c */
void membership_tick(struct node *node);
void membership_take_live(struct node *node, const struct node_info *live, uint32_t count);
void membership_heard(struct node *node, uint64_t peer);
/* Proposes a new epoch, so that PGs which miss something peer again; seldom, if that does not help. */
void membership_peer_anew(struct node *node);
void membership_map_changed(struct node *node);
/* Until when a node that was dropped, but may be alive, could still hold a lease. */
uint64_t membership_lease_barrier(const struct node *node);
struct peer *membership_peer(struct node *node, uint64_t id);
bool node_in_live_set(const struct node *node, uint64_t id);
void propose_map(struct node *node, struct map *next);
void admin_handle(struct node *node, uint64_t conn, struct msg *msg);
void admin_proposed(struct node *node, int result);
void admin_client_lost(struct node *node, uint64_t conn);
void admin_destroy(struct node *node);
bool admin_next_event(
	struct node *node); /* proposes what an operator asked for; true when it did */
void nodes_handle(struct node *node, uint64_t conn, struct msg *msg);
/* admin_local.c: what concerns the node asked alone */
void admin_local(struct node *node, struct admin_wait *w);
void admin_plugged(struct node *node, const struct event *ev);
/* leave.c: what leaves, and what is plugged in */
void leave_pinged(struct node *node, uint64_t peer, const struct msg *ping);
uint32_t leave_ping_flags(struct node *node);
void leave_tick(struct node *node);
/* Each proposes one change; false: there is none to be made. */
bool leave_propose_disks(struct node *node);
bool leave_propose_forget(struct node *node);
void node_add_disk(struct node *node, uint64_t id, uint32_t weight, const char *path);
void node_remove_disk(struct node *node, uint32_t index);
bool propose_event(struct node *node, struct map_event *event);
uint64_t membership_rank_delay(const struct node *node);
void status_handle(struct node *node, uint64_t conn, struct msg *msg);
void stray_tick(struct node *node);
void stray_reported(struct node *node, const struct msg *msg);

/* scrub.c */
struct scrub_stat {
	uint64_t objects, missing, damaged, stale, leftover, wrong, repaired;
};
struct scrub *scrub_create(void);
void scrub_destroy(struct scrub *s);
void scrub_pump(struct node *node); /* goes on, when it is time to */
void scrub_checked(struct node *node, struct op *op, uint64_t marked);
void scrub_op_gone(struct node *node, const struct op *op);
void scrub_pg_gone(struct node *node, const struct pg *pg);
bool scrub_is_due(const struct node *node, const struct pg_slot *slot);
bool scrub_is_running(const struct node *node);
const struct scrub_stat *scrub_stat(const struct node *node);

/* trouble.c: what an operator has to hear of by name */
struct contradiction { /* an object whose shards contradict each other */
	struct list link; /* node->contradictions */
	uint32_t pool, pg;
	uint64_t oid, version;
};
void trouble_note(struct node *node, const struct pg *pg, uint64_t oid, uint64_t version);
void trouble_settled(struct node *node, const struct pg *pg, uint64_t oid);
void troubles_forget_pg(struct node *node, uint32_t pool, uint32_t pg);
void troubles_forget(struct node *node);
void troubles_handle(struct node *node, uint64_t conn, struct msg *msg);
bool disk_is_lost(const struct map *map, uint64_t disk); /* given up by an operator */
/* No disk is left that could have more of what the PG lacks: what is unfound is lost. */
bool pg_heard_all(struct node *node, struct pg *pg);
/* The object is lost: the operation is answered, or is one that makes an end of it and may go on. False:
 * there is hope. */
bool lost_handle(struct node *node, struct op *op, struct missing *m, bool *ret_answered);
/* Such an operation has succeeded. */
void lost_replaced(struct node *node, struct pg *pg, uint64_t oid);

#define slot_bit(i) (1ull << (i))

#endif

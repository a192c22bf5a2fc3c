/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_NODE_H
#define SF_CORE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/place/map.h"
#include "lib/wire/msg.h"

/*
 * A node is a value. node_step takes one event and appends effects; whoever drives it
 * (sheep/loop in the daemon, tests/sim in the simulator) carries the effects out and brings
 * their results back as events. The core has no socket, file, thread, clock, global or random
 * source; time comes with the event.
 *
 * What the driver promises:
 * - EV_MAP delivers every epoch in order, without gaps: at start all maps that the register still
 *   holds, oldest first, then EV_LIVE, then EV_LEASE.
 * - Messages from one peer may be delayed, lost, repeated or reordered; EV_PEER_LOST says that some
 *   may be lost.
 * - Each EFF_DISK and EFF_COMPUTE comes back exactly once (EV_DISK_DONE, EV_COMPUTE_DONE) unless the
 *   node is destroyed first; jobs of one disk are carried out in the order they were given (reads
 *   may overtake).
 * - EV_TICK comes at least every 100 ms.
 */
struct node;
struct effects;

/* A request carried out by one store: `req` is one of MSG_SHARD_*, MSG_PG_* or DISK_USAGE;
 * sheep/core/disk_job.h says what each does. The store fills `reply` (made by the core, type
 * and id set; for SHARD_READ its payload holds one buffer of req->length bytes to fill). The
 * core owns the job before and after; the store in between. */
struct disk_usage {
	uint64_t size_bytes, used_bytes, live_bytes, avail_bytes;
	uint64_t shards, checksum_errors;
};
struct disk_job {
	struct list link; /* for the driver's queues */
	uint64_t disk;
	struct msg *req;
	struct msg *reply;
	struct disk_usage usage; /* result of DISK_USAGE */
	/* The core's own. */
	struct list out; /* node->disk_out */
	void (*done)(struct node *node, struct disk_job *job);
	void *ctx;
	uint64_t asker;
	bool asker_is_client;
};

/* A pure computation on memory that the job holds. Run anywhere, once. */
struct compute_job {
	struct list link;    /* for the driver's queues */
	uint64_t cost_bytes; /* for the choice between here and a pool thread */
	void (*run)(struct compute_job *job);
	/* The core's own. */
	struct list out; /* node->compute_out */
	void (*done)(struct node *node, struct compute_job *job);
};

enum event_type {
	EV_TICK,
	EV_MAP, /* map (borrowed; the core takes a reference) */
	EV_LIVE, /* live, live_count: the live set (borrowed), this node included while it is in it */
	EV_LEASE,    /* lease_until_ms: this node may serve until then (same clock as now_ms) */
	EV_PROPOSED, /* the last EFF_PROPOSE is over: result 0, or -SF_EAGAIN when another map won */
	EV_PEER_MSG,    /* from, msg (the core takes it over) */
	EV_PEER_LOST,   /* from: the connection to this node broke */
	EV_CLIENT_MSG,  /* from = connection id, msg (the core takes it over) */
	EV_CLIENT_LOST, /* from = connection id */
	EV_DISK_DONE,   /* disk_job */
	EV_DISK_LOST,   /* from = disk id: the disk failed for good (EIO, vanished, fsync failed) */
	EV_COMPUTE_DONE, /* compute_job */
	EV_STOP, /* asked to leave in order: EFF_EXIT follows when the map says that we are down */
	EV_ADOPTED, /* all disks carry the cluster of the last EFF_ADOPT; result 0 or an error */
	EV_PLUGGED, /* EFF_PLUG is over: text = its path; result 0: from, weight, cluster of the disk that the
	             * driver has now; else why */
};

struct event {
	enum event_type type;
	uint64_t now_ms; /* monotonic, boot time included */
	uint64_t wall_s; /* seconds since 1970, for records only */
	uint64_t from;
	uint64_t lease_until_ms;
	int result;
	struct msg *msg;
	struct map *map;
	const struct node_info *live;
	uint32_t live_count;
	struct disk_job *disk_job;
	struct compute_job *compute_job;
	const char *text, *why;
	uint32_t weight;
	uint64_t cluster;
};

enum effect_type {
	EFF_SEND, /* to = node id, msg (the driver takes it over); silently lost when there is no
	             connection, then EV_PEER_LOST */
	EFF_REPLY,   /* to = connection id, msg (taken over); dropped when the connection is gone */
	EFF_DISK,    /* disk_job */
	EFF_COMPUTE, /* compute_job */
	EFF_PROPOSE, /* map (one reference handed over); expected_epoch, expected_cluster: what the
	                register must hold (0, 0: nothing) */
	EFF_ADOPT,   /* cluster: stamp the stores with it; wipe: they held another cluster's data
	                (reformat), drop that first */
	EFF_EXIT,  /* leave the live set and exit with `status`; text says why */
	EFF_PLUG,  /* text: open the disk in this directory, stamped with `cluster`; EV_PLUGGED follows */
	EFF_UNPLUG, /* to = disk: close it; its jobs still come back, later ones with RES_IO */
	EFF_LOG_LEVEL, /* status: enum log_level */
};

struct effect {
	enum effect_type type;
	uint64_t to;
	struct msg *msg;
	struct map *map;
	uint32_t expected_epoch;
	uint64_t expected_cluster;
	uint64_t cluster;
	bool wipe;
	struct disk_job *disk_job;
	struct compute_job *compute_job;
	const char *text;
	int status;
};

struct effects {
	struct effect *v;
	uint32_t count, capacity;
};
void effects_init(struct effects *e);
/* Frees the array only: the driver has taken what effects carried. */
void effects_fini(struct effects *e);

struct node_config {
	struct node_info
		info; /* this node: id, incarnation, address, disks (store ids and weights), cluster (0: fresh) */
	const char *version;           /* for status */
	const struct log *log;         /* borrowed, may be NULL */
	struct buf_pool *pool;         /* borrowed */
	const char *const *disk_paths; /* [info.disk_count], for status; may be NULL */
	uint32_t recovery_max;         /* objects being rebuilt at once per node; 0: default */
	uint32_t recovery_interval_ms; /* at most recovery_max begun in it; 0: no such limit */
	/* Disks that other ones stand in for now: nobody needs to wait for them. */
	const uint64_t *replaced;
	uint32_t replaced_count;
	/* What could not be opened, for status. */
	const struct bad_disk {
		uint64_t id; /* 0: not known */
		const char *path, *why;
	} *bad_disks;
	uint32_t bad_disk_count;
	uint64_t scrub_interval_ms; /* instead of the map's; 0: as the map says */
	/* Payload of client requests under way at once; 0: default. Beyond: RES_AGAIN. */
	uint64_t max_client_bytes;
};

struct node *node_create(const struct node_config *config);
/* Frees everything, also what was under way and the jobs that are still out: the driver must
 * have stopped working on these, and forgets them. */
void node_destroy(struct node *node); /* NULL is fine */

/* The one entry. Appends to effects, which the caller carries out in order. */
void node_step(struct node *node, const struct event *event, struct effects *effects);

/* Read-only views for the driver and for tests. */
const struct map *node_map(const struct node *node); /* newest map, or NULL */
/* Whether clients may be served: node is up in its map and its lease runs. */
bool node_may_serve(const struct node *node, uint64_t now_ms);
/* Whether this answer to a client may leave now: the lease may have ended since it was made. */
bool node_may_answer(const struct node *node, const struct msg *answer, uint64_t now_ms);
/* For simulation checks: true when the node is primary of no PG that is not clean, and nothing
 * is under way. */
bool node_is_quiet(const struct node *node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_MAP_H
#define SF_PLACE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The cluster map: the one value all nodes agree on. Its version is the epoch. A map is immutable
 * once made; it is reference-counted within a thread. map_apply turns (map, event) into the next.
 *
 * Arrays are sorted by id, so that equal maps have equal bytes.
 */
enum { ADDR_LEN = 64, MAP_MAX_NODES = 4096, MAP_MAX_DISKS = 65536, MAP_MAX_POOLS = 256 };
enum { MAP_MAX_OVERRIDES = 65536, MAP_MAX_WEIGHT = 1 << 24, POOL_MAX_PGS = 65536 };
enum { MAP_MAX_SLOTS = 16 << 20 }; /* of all PGs: what everybody places anew in each epoch */
enum { MAX_SHARDS = 48, MAX_DATA = 32, MAX_PARITY = 16 };

enum node_flags {
	NODE_UP = 1 << 0,
	NODE_OUT = 1 << 1,     /* its disks take part in no placement */
	NODE_GATEWAY = 1 << 2, /* stores nothing */
	NODE_LEFT = 1 << 3,    /* went down in order */
	/* Its disks hold no slot, but serve as sources while it is up: it is being emptied. Down, it
	 * leaves the map as soon as nobody needs it. */
	NODE_DRAIN = 1 << 4,
	NODE_MAINTENANCE = 1 << 5, /* down does not become out */
};
struct map_node {
	uint64_t id;          /* random, kept in the node's META directory */
	uint64_t incarnation; /* new at each start of the daemon */
	char addr[ADDR_LEN];  /* numeric, no port */
	uint16_t port;
	uint32_t zone;
	uint32_t flags;
	uint64_t down_since_s; /* seconds since 1970; informs only, timers are local */
};

enum disk_flags {
	DISK_FAILED = 1 << 0, /* out at once, whatever the node does */
	/* Given up by an operator (with FAILED, for good): nobody waits for what it holds, and it
	 * is never heard again; emptied it is another disk. */
	DISK_LOST = 1 << 1,
	/* Being unplugged: holds no slot, serves as a source unless it has failed, and leaves the map
	 * as soon as nobody needs it. */
	DISK_LEAVING = 1 << 2,
};
struct map_disk {
	uint64_t id; /* random, in the disk's superblock */
	uint64_t node;
	uint32_t weight; /* capacity in GiB, at least 1 */
	uint32_t flags;
};

struct map_pool {
	uint32_t id;
	uint32_t k, m;       /* k = 1: m + 1 copies */
	uint32_t pg_count;
	uint32_t object_shift;
	uint32_t created_epoch;
	bool same_node_ok; /* slots may share a node when there are too few */
};

/* Exceptions from computed placement; a later balancer fills them. */
struct map_override {
	uint32_t pool, pg, slot;
	uint64_t disk;
};

enum map_settings_flags {
	MAP_RECOVERY_DISABLED = 1 << 0,
	MAP_SHUTDOWN = 1 << 1, /* nodes stop in order; cleared when one starts again */
};
enum { SCRUB_DEFAULT_S = 14 * 24 * 3600 };
#define SCRUB_NEVER UINT32_MAX
enum { POOL_META = 1, POOL_DATA = 2 }; /* made by format; more come with vdi create -c */

struct map {
	uint32_t refs;
	uint32_t epoch; /* 1 = just formatted */
	uint64_t cluster; /* random, never 0 */
	uint64_t created_s, changed_s; /* seconds since 1970: of the format, of this epoch */
	uint32_t flags;
	uint32_t grace_ms;  /* down becomes out after this */
	uint32_t min_live_extra; /* writes need k + this many live slots; 1 unless told otherwise */
	uint32_t scrub_interval_s; /* each PG is scrubbed so often; 0: default; SCRUB_NEVER */
	uint64_t scrub_since_s; /* what was scrubbed before this is due (wall clock); 0: not asked */
	uint32_t node_count, disk_count, pool_count, override_count;
	struct map_node *nodes;
	struct map_disk *disks;
	struct map_pool *pools;
	struct map_override *overrides;
};

struct map *map_ref(struct map *map);
void map_unref(struct map *map); /* NULL is fine */
const struct map_node *map_find_node(const struct map *map, uint64_t id); /* NULL: none */
const struct map_disk *map_find_disk(const struct map *map, uint64_t id);
const struct map_pool *map_find_pool(const struct map *map, uint32_t id);
/* Whether I/O can be sent to the disk: its node is up and it has not failed. */
bool map_disk_up(const struct map *map, const struct map_disk *disk);
/* Whether the disk takes part in placement. */
bool map_disk_usable(const struct map *map, const struct map_disk *disk);
/* Whether MAP_EV_FORGET would change anything. */
bool map_has_leavers(const struct map *map);
/* Whether the disks that take part in placement can fill the slots of every pool; otherwise text
 * says what is missing. */
enum { FORMAT_TEXT_LEN = 256 };
bool map_fills_slots(const struct map *map, char text[FORMAT_TEXT_LEN]);

/* Bytes (sheepfold.proto message Map). malloc'ed. */
void map_encode(const struct map *map, uint8_t **ret_bytes, size_t *ret_len);
/* -SF_EFORMAT when it is not a map or breaks a limit, an order or a reference between its parts. */
int map_decode(const uint8_t *bytes, size_t len, struct map **ret);

/* What a daemon tells the others when it joins the live set (sheepfold.proto message NodeInfo). */
enum { NODE_MAX_DISKS = 128 };
struct node_info {
	uint64_t id, incarnation, cluster; /* cluster 0: not formatted yet */
	char addr[ADDR_LEN];
	uint16_t port;
	uint32_t zone;
	bool gateway;
	uint32_t disk_count;
	struct { uint64_t id; uint32_t weight; } disks[NODE_MAX_DISKS];
};
void node_info_encode(const struct node_info *info, uint8_t **ret_bytes, size_t *ret_len);
int node_info_decode(const uint8_t *bytes, size_t len, struct node_info *ret);

/* Events that change a map. now_s: seconds since 1970, recorded only. */
enum map_event_type {
	/* info: node started, or is back in the same incarnation; up, in, its disks listed. A
	 * disk it no longer announces has failed. Only a new incarnation clears DISK_FAILED, takes
	 * a disk that another node held, and may follow MAP_EV_LEAVE. A known disk keeps its
	 * weight. */
	MAP_EV_JOIN,
	MAP_EV_DOWN,      /* node */
	MAP_EV_LEAVE,     /* node: down in order */
	MAP_EV_OUT,       /* node: grace is over */
	MAP_EV_DISK_FAILED, /* disk */
	/* k, m, object_shift, same_node_ok: unless one like it exists. The pool of metadata gets
	 * copies so that it can spare as many. */
	MAP_EV_POOL,
	MAP_EV_FLAGS,     /* set_flags, clear_flags */
	MAP_EV_GRACE,     /* grace_ms */
	MAP_EV_WEIGHT,    /* disk, weight */
	MAP_EV_LOST,      /* disks: given up; none of them may be up */
	MAP_EV_MIN_LIVE,  /* min_live_extra */
	MAP_EV_SCRUB,     /* scrub_interval_s (0: unchanged), scrub_now */
	MAP_EV_DRAIN,     /* node, on */
	MAP_EV_MAINTENANCE, /* node, on */
	MAP_EV_WEIGHTS,   /* disks, weights: all at once */
	MAP_EV_DISK_LEAVE, /* disk, failed: out at once, not even a source */
	MAP_EV_DISK_BACK, /* disk, node: plugged in again, here; ends DISK_FAILED and DISK_LEAVING */
	/* Disks that are leaving, and drained nodes that are down, go. The proposer knows that every
	 * PG is clean without them; were that wrong, a disk that is not in the map counts as one that
	 * is down. What was given up stays, so that it is known when it comes back. */
	MAP_EV_FORGET,
	MAP_EV_ANEW,      /* nothing but the epoch: PGs that miss something look again */
};
struct map_event {
	enum map_event_type type;
	uint64_t now_s;
	const struct node_info *info;
	uint64_t node, disk;
	uint32_t k, m, object_shift, weight;
	bool same_node_ok;
	uint32_t set_flags, clear_flags, grace_ms;
	const uint64_t *disks;
	uint32_t disk_count, min_live_extra, scrub_interval_s;
	bool scrub_now;
	bool on, failed;
	const uint32_t *weights; /* [disk_count] */
};
/* The next map with epoch + 1, or NULL when the event changes nothing. Pure. */
struct map *map_apply(const struct map *map, const struct map_event *event);

/* The map of epoch 1 from the nodes alive at format. */
struct format_options {
	uint64_t cluster, now_s;
	uint32_t k, m, object_shift, grace_ms;
	bool same_node_ok;
};
/* text: empty, or a warning or error of one line that says what is missing. 0 or -EINVAL. */
int map_format(const struct format_options *opt, const struct node_info *nodes, uint32_t count,
               struct map **ret, char text[FORMAT_TEXT_LEN]);

#endif

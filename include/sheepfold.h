/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHEEPFOLD_H
#define SHEEPFOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * libsheepfold: volumes in a Sheepfold cluster.
 *
 * A struct sf_cluster is one connection to a cluster: it keeps the map, talks straight to the
 * primaries, retries across node failures and epoch changes, and owns one I/O thread. All
 * functions may be called from any thread. Synchronous calls wait; asynchronous ones return at
 * once and call back from the I/O thread (a callback must not block and must not make
 * synchronous calls; it may start asynchronous ones).
 *
 * Results: 0 or a count, or a negative errno: -ENOENT no such volume, -EEXIST exists already,
 * -ENOSPC cluster is full, -EINVAL bad argument, -EIO the data cannot be read (damaged beyond
 * its redundancy), -ENOTCONN no daemon can be reached, -ENODEV not formatted, -ETIMEDOUT the
 * cluster did not serve within options.timeout_ms, -ECANCELED closed. sf_error() gives the
 * sentence behind the last failure of this cluster in this thread.
 */

#pragma GCC visibility push(default) /* all else in the library is hidden */

struct sf_cluster;
struct sf_volume;

struct sf_options {
	const char *address; /* NULL: localhost */
	uint16_t port;       /* 0: 7000 */
	uint32_t timeout_ms; /* how long an operation is retried before it fails; 0: 60000 */
	uint32_t window;     /* object requests under way at once per operation; 0: default */
	uint32_t lease_ms;   /* of the write locks taken by it; 0: 10000 */
	/* The cluster's key (`dog key generate`). NULL: what $SHEEPFOLD_KEY_FILE names; "", or no such
	 * variable: none. */
	const char *key_file;
	/* NULL, or what ends preallocating and copying volumes once it is true: with -EINTR, and as if
	 * it had not been begun. Must stay valid. */
	const volatile bool *stop;
};

/* Connects to any daemon and fetches the map. A cluster that is not formatted yet can be
 * connected to. */
int sf_connect(const struct sf_options *options, struct sf_cluster **ret);
/* Waits for what is under way. NULL is fine. */
void sf_disconnect(struct sf_cluster *cluster);
/* How often requests were put off and sent again so far: a measure of the trouble the cluster had.
 * */
uint64_t sf_retries(const struct sf_cluster *cluster);
/* One sentence about the last failure in this thread; "" if none. Valid until the next call in
 * this thread. */
const char *sf_error(void);
const char *sf_version(void);
/* A new key as a line for a key file. */
int sf_key_generate(char hex[65]);

/* ---- Volumes
 * ---------------------------------------------------------------------------------- */

enum { SF_NAME_MAX = 255 };

struct sf_redundancy {
	uint32_t data;   /* k; 1 with parity = copies - 1 for replication */
	uint32_t parity; /* m */
};
/* "3", "4:2". -EINVAL and sf_error() for anything else. */
int sf_redundancy_parse(const char *text, struct sf_redundancy *ret);
/* "3" or "4:2" */
void sf_redundancy_format(struct sf_redundancy r, char text[16]);

struct sf_volume_info {
	char name[SF_NAME_MAX + 1];
	char tag[SF_NAME_MAX + 1];
	uint32_t id;          /* 24 bit */
	uint32_t snapshot_id; /* 0: working volume */
	uint32_t parent_id;   /* 0: none */
	uint64_t size_bytes;
	uint64_t used_bytes; /* allocated objects x object size */
	uint64_t shared_bytes;
	uint64_t created_s; /* seconds since 1970 */
	struct sf_redundancy redundancy;
	uint32_t object_shift;
	uint32_t pool;
	bool clone; /* made from another volume's snapshot */
};

struct sf_volume_options {
	uint64_t size_bytes;
	struct sf_redundancy redundancy; /* zeros: the cluster's default */
	uint32_t object_shift;           /* 0: the pool's */
	bool preallocate;
};

/* -EEXIST; -EBUSY: somebody else is making or deleting one of this name. */
int sf_volume_create(struct sf_cluster *cluster, const char *name,
                     const struct sf_volume_options *options);
/* Also gives the data objects' space back. */
int sf_volume_delete(struct sf_cluster *cluster, const char *name);
/* Growing only needs the new size; shrinking discards what lies behind it. */
int sf_volume_resize(struct sf_cluster *cluster, const char *name, uint64_t size_bytes);

/*
 * Snapshots. tag: 1 to 255 bytes without control characters, of its volume alone, and not a decimal number; where one is meant
 * that exists, its number will do too. Taking one costs the copying of the map, not of data. A
 * volume that is being written to elsewhere lets its snapshot be taken: its writer waits meanwhile.
 */
int sf_snapshot_create(struct sf_cluster *cluster, const char *name, const char *tag);
/* What other volumes need of it stays until they are gone. */
int sf_snapshot_delete(struct sf_cluster *cluster, const char *name, const char *tag);
/* The volume is what it was then, in one step; what it was until now is lost. */
int sf_snapshot_rollback(struct sf_cluster *cluster, const char *name, const char *tag);
int sf_snapshot_stat(struct sf_cluster *cluster, const char *name, const char *tag,
                     struct sf_volume_info *ret);
enum {
	SF_CLONE_COPY = 1 << 0,        /* shares nothing with the snapshot */
	SF_CLONE_PREALLOCATE = 1 << 1, /* and has all its objects */
};
/* A new volume with the content of a snapshot. */
int sf_volume_clone(struct sf_cluster *cluster, const char *name, const char *tag,
                    const char *clone, uint32_t flags);

/* All volumes and snapshots, sorted by name; *ret is malloc'ed (free). */
int sf_volume_list(struct sf_cluster *cluster, struct sf_volume_info **ret, size_t *ret_count);
int sf_volume_stat(struct sf_cluster *cluster, const char *name, struct sf_volume_info *ret);

int sf_volume_open(struct sf_cluster *cluster, const char *name, struct sf_volume **ret);
/* For reading. tag: of a snapshot, or its number in decimal digits. */
int sf_snapshot_open(struct sf_cluster *cluster, const char *name, const char *tag,
                     struct sf_volume **ret);
/*
 * As its only writer: takes the volume's write lock, and keeps it until it is closed. purpose: what
 * others are told, "sheepfs /mnt". -EBUSY: another has it; sf_error() says who, where, since when.
 * Waits up to a lease for the lock of a writer that seems to be dead. When the lock cannot be
 * renewed in time, changes wait; when it was lost meanwhile, they fail with -ENOLCK.
 */
int sf_volume_open_write(struct sf_cluster *cluster, const char *name, const char *purpose,
                         struct sf_volume **ret);
/* Flushes, then frees. NULL is fine. */
int sf_volume_close(struct sf_volume *volume);
void sf_volume_get_info(struct sf_volume *volume, struct sf_volume_info *ret);

/* Any byte offset and length inside the volume. A write that returned is durable on every live
 * slot. -EROFS: it is a snapshot. -ESTALE: a volume that is read without its lock was deleted or
 * replaced; what it was must not be taken for zeros. */
int sf_read(struct sf_volume *volume, void *data, size_t len, uint64_t offset);
int sf_write(struct sf_volume *volume, const void *data, size_t len, uint64_t offset);
/* Reads as zeros afterwards; whole objects give their space back. */
int sf_discard(struct sf_volume *volume, uint64_t len, uint64_t offset);
/* Waits until all writes that were started before are durable. */
int sf_flush(struct sf_volume *volume);

/* result: 0 or a negative errno. Memory handed in must stay valid until then. */
typedef void (*sf_callback)(void *arg, int result);
void sf_read_async(struct sf_volume *volume, void *data, size_t len, uint64_t offset,
                   sf_callback done, void *arg);
void sf_write_async(struct sf_volume *volume, const void *data, size_t len, uint64_t offset,
                    sf_callback done, void *arg);
void sf_discard_async(struct sf_volume *volume, uint64_t len, uint64_t offset, sf_callback done,
                      void *arg);
void sf_flush_async(struct sf_volume *volume, sf_callback done, void *arg);

/* Write locks. */
struct sf_lock {
	char volume[SF_NAME_MAX + 1];
	char host[128];
	char purpose[64];
	uint32_t process;
	uint64_t since_s;  /* seconds since 1970 */
	uint32_t lease_ms; /* it is void when its holder has not renewed it for so long */
	bool released;     /* taken back by sf_lock_break; its holder has not seen it yet */
};
/* By volume; *ret is malloc'ed (free). */
int sf_lock_list(struct sf_cluster *cluster, struct sf_lock **ret, size_t *ret_count);
/* Takes a volume's lock away from its holder and waits until that has stopped writing, at most a
 * lease. -ENOENT: it is not locked. */
int sf_lock_break(struct sf_cluster *cluster, const char *volume);

/* Called from the I/O thread, or from the caller's. total 0: not known. */
typedef void (*sf_progress)(void *arg, uint64_t done, uint64_t total);

/*
 * Moves a volume to another redundancy, while others read and write it. Its data are copied in
 * passes, each of what was written during the one before; for the last a writer waits. Snapshots
 * keep the redundancy that they have, and the volume shares nothing with them afterwards. Cut off,
 * the volume is as before; done again, it begins again. *stop may be set to end it early, -EINTR;
 * NULL is fine. progress counts objects.
 */
int sf_volume_alter_copy(struct sf_cluster *cluster, const char *name,
                         struct sf_redundancy redundancy, const volatile bool *stop,
                         sf_progress progress, void *progress_arg);

/*
 * Backups (doc/backup-format.md): the objects of a snapshot, or those in which it differs from
 * another of the same volume, as a stream of bytes. write and read: 0 or the bytes read (0: the
 * end), or a negative errno, which ends it.
 */
typedef int (*sf_stream_write)(void *arg, const void *data, size_t len);
typedef ssize_t (*sf_stream_read)(void *arg, void *data, size_t len);
/* base: the tag of another snapshot, or NULL: all of it. progress counts objects. */
int sf_backup(struct sf_cluster *cluster, const char *name, const char *tag, const char *base,
              sf_stream_write write, void *write_arg, sf_progress progress, void *progress_arg);
/*
 * Restores one. A full one makes a volume: -EEXIST when there is one of this name. A differential
 * one needs its base, a snapshot of the volume (tag; NULL: of the tag it has in the backup), and
 * replaces the working volume. What is restored is kept as a snapshot, too: under its tag in the
 * backup, or for a full one `tag`. Nothing is to be seen of it before the whole stream was
 * verified; -EILSEQ: it is damaged, or ends too early.
 */
int sf_restore(struct sf_cluster *cluster, const char *name, const char *tag, sf_stream_read read,
               void *read_arg, sf_progress progress, void *progress_arg);

/* Attributes: bytes that go with a volume's name until the volume is deleted (snapshots and clones
 * have none of their own). All of a volume's together take 512 KiB at most: -ENOSPC. */
enum { SF_ATTR_KEY_MAX = 255, SF_ATTR_VALUE_MAX = 64 << 10 };
struct sf_attr {
	char key[SF_ATTR_KEY_MAX + 1];
	uint32_t value_len;
};
/* exclusive: -EEXIST when there is one. -ENOENT: no such volume. */
int sf_attr_set(struct sf_cluster *cluster, const char *volume, const char *key, const void *value,
                size_t len, bool exclusive);
int sf_attr_delete(struct sf_cluster *cluster, const char *volume, const char *key);
/* *ret is malloc'ed, with a NUL behind it that does not count. -ENOENT: no such volume, or
 * attribute. */
int sf_attr_get(struct sf_cluster *cluster, const char *volume, const char *key, void **ret,
                size_t *ret_len);
/* By key; *ret is malloc'ed (free). */
int sf_attr_list(struct sf_cluster *cluster, const char *volume, struct sf_attr **ret,
                 size_t *ret_count);

/* Verifies every object: all shards readable, of one version, parity in keeping with the data.
 * repair: rebuilds what is damaged, missing or stale. progress may be NULL. */
struct sf_check_result {
	uint64_t objects, shards;
	uint64_t missing, damaged, stale; /* shards found so */
	uint64_t repaired;
	uint64_t lost_objects; /* could not be read or repaired */
	uint64_t leftover;     /* shards of deleted objects */
	uint64_t undecided_objects; /* their parts contradict each other: sf_troubles_get has them */
	uint64_t absent_objects; /* were written once and read as zeros: discarded, or given up */
};
int sf_volume_check(struct sf_cluster *cluster, const char *name, bool repair,
                    struct sf_check_result *ret, sf_progress progress, void *arg);
/* tag NULL: the working volume. */
int sf_snapshot_check(struct sf_cluster *cluster, const char *name, const char *tag, bool repair,
                      struct sf_check_result *ret, sf_progress progress, void *arg);

/* Data objects of volumes that are no more: none, unless something went wrong. *ret is malloc'ed. */
struct sf_orphan {
	uint32_t pool;
	uint64_t oid;
};
int sf_orphans_get(struct sf_cluster *cluster, struct sf_orphan **ret, size_t *ret_count);
/* Brings to an end what was cut off in making or deleting volumes, but for names that somebody works
 * on. */
int sf_leftovers_clear(struct sf_cluster *cluster, size_t *ret_cleared);

/* Where one object of a volume lives. */
struct sf_shard_location {
	uint32_t shard;
	uint64_t node, disk; /* 0: the slot has no disk now */
	char address[64];
	uint16_t port;
	bool up, present;
	uint64_t version;
};
struct sf_object_location {
	uint64_t oid;
	uint32_t pool, pg, shard_count;
	uint32_t primary; /* index into shards, or ~0u */
	bool exists;
	struct sf_shard_location shards[48];
};
/* index: number of the data object; ~0ull: the inode. */
int sf_volume_locate(struct sf_cluster *cluster, const char *name, uint64_t index,
                     struct sf_object_location *ret);
int sf_snapshot_locate(struct sf_cluster *cluster, const char *name, const char *tag,
                       uint64_t index, struct sf_object_location *ret);
/* Where it was in each epoch that changed that, oldest first: placement and who was up; `present`
 * and `version` of the shards are not known. */
typedef void (*sf_track)(void *arg, uint32_t epoch, uint64_t time_s,
                         const struct sf_object_location *location);
int sf_object_track(struct sf_cluster *cluster, const char *name, const char *tag, uint64_t index,
                    sf_track track, void *arg);

/* The allocated data objects of a volume, by index; *ret is malloc'ed. tag NULL: the working
 * volume. */
struct sf_map_entry {
	uint64_t index;
	uint32_t owner; /* id of the volume that the object belongs to */
};
int sf_volume_map(struct sf_cluster *cluster, const char *name, const char *tag,
                  struct sf_map_entry **ret, size_t *ret_count);
/* All that the inode says: lines "key: value", malloc'ed. For people who look for an error. */
int sf_inode_dump(struct sf_cluster *cluster, const char *name, const char *tag, char **ret);

/* ---- Cluster
 * ---------------------------------------------------------------------------------- */

enum { SF_ADDR_LEN = 64 };

struct sf_node {
	uint64_t id;
	char address[SF_ADDR_LEN];
	uint16_t port;
	uint32_t zone;
	uint32_t weight; /* V-Nodes: 128 for the average node */
	bool up, out, gateway;
	bool draining;    /* its data are to leave, and then it may */
	bool maintenance; /* down, its data are not rebuilt elsewhere */
	uint32_t disk_count;
};
struct sf_disk {
	uint64_t id, node;
	uint32_t weight;
	bool up, failed, lost, known; /* lost: given up by an operator; known: the figures below come from its node */
	char path[256];
	uint64_t size_bytes, used_bytes, avail_bytes, live_bytes, checksum_errors;
	uint64_t shards;
	bool leaving; /* being unplugged */
};
struct sf_pool {
	uint32_t id;
	struct sf_redundancy redundancy;
	uint32_t pg_count, object_shift;
};
#define SF_SCRUB_NEVER UINT32_MAX
struct sf_map {
	bool formatted;
	uint32_t epoch;
	uint64_t cluster_id, created_s, changed_s;
	bool recovery_enabled, shutting_down;
	uint32_t grace_ms;
	uint32_t min_live_extra;   /* writes need k + this many parts alive */
	uint32_t scrub_interval_s; /* SF_SCRUB_NEVER: not by itself */
	uint32_t node_count, pool_count; /* nodes sorted by address and port */
	struct sf_node *nodes;
	struct sf_pool *pools;
};
/* epoch 0: the newest. Not formatted: nodes are those alive. Freed by sf_map_free. -ENOENT: no
 * such epoch. */
int sf_map_get(struct sf_cluster *cluster, uint32_t epoch, struct sf_map **ret);
void sf_map_free(struct sf_map *map);
/* Id of the daemon that answered sf_connect; 0: it has none yet. */
uint64_t sf_home_node(struct sf_cluster *cluster);

struct sf_format_options {
	struct sf_redundancy redundancy; /* zeros: 3 copies */
	uint32_t object_shift;           /* 0: 22 */
	uint32_t grace_ms;               /* 0: default */
	bool same_node_ok;               /* slots of one PG may share a node */
	bool force;                      /* wipe a cluster that is formatted already */
};
/* *ret_warning (may be NULL): "" or one line, malloc'ed. */
int sf_format(struct sf_cluster *cluster, const struct sf_format_options *options,
              char **ret_warning);
int sf_shutdown(struct sf_cluster *cluster);
int sf_set_recovery(struct sf_cluster *cluster, bool enabled);
int sf_set_grace(struct sf_cluster *cluster, uint32_t grace_ms);
/* Writes go on while k + extra parts of an object are alive. 1 unless told otherwise; 0: with
 * none to spare, so that one more disk that dies then loses what was just written. */
int sf_set_min_live(struct sf_cluster *cluster, uint32_t extra);
/* How often every object is verified: seconds, or SF_SCRUB_NEVER. */
int sf_scrub_set_interval(struct sf_cluster *cluster, uint32_t interval_s);
/* Verifies all now. Returns at once; sf_status tells how far it is. */
int sf_scrub_start(struct sf_cluster *cluster);
int sf_node_kill(struct sf_cluster *cluster, uint64_t node);
/* The node's data leave for others while it goes on serving; down after that, it leaves the cluster.
 * -EINVAL when the others cannot take all parts of an object. */
int sf_node_drain(struct sf_cluster *cluster, uint64_t node, bool on);
/* While it is on, the node may be down without its data being rebuilt elsewhere. */
int sf_node_maintenance(struct sf_cluster *cluster, uint64_t node, bool on);
/* How much of the data each disk gets, in GiB of its capacity unless told otherwise; all at once. */
int sf_set_weights(struct sf_cluster *cluster, const uint64_t *disks, const uint32_t *weights,
                   uint32_t count);
/* A directory of the node, on a disk of its own, becomes a disk; one that is leaving stays. */
int sf_disk_plug(struct sf_cluster *cluster, uint64_t node, const char *path);
/* A disk of the node, by path or (path NULL) by id: its data leave and then it does. now: at once,
 * and what it holds is not read any more. */
int sf_disk_unplug(struct sf_cluster *cluster, uint64_t node, const char *path, uint64_t disk,
                   bool now);
/* What the node logs: 0 error, 1 warning, 2 info, 3 debug; -1: only asks. Gives the level, or an
 * error. */
int sf_node_log_level(struct sf_cluster *cluster, uint64_t node, int level);
/* The node rebuilds at most max objects at once, and begins at most max in interval_ms (0: no such
 * limit). set NULL: only asks. */
struct sf_throttle {
	uint32_t max, interval_ms;
};
int sf_node_throttle(struct sf_cluster *cluster, uint64_t node, const struct sf_throttle *set,
                     struct sf_throttle *ret);

/* Everything an operator asks: gathered from all living nodes at once. */
enum sf_health {
	SF_HEALTH_OK,         /* every object has all its shards */
	SF_HEALTH_RECOVERING, /* redundancy is being rebuilt */
	SF_HEALTH_DEGRADED, /* redundancy is missing and nothing rebuilds it (grace period, disabled, no room) */
	SF_HEALTH_HALTED, /* some I/O has stopped */
	SF_HEALTH_LOST,   /* some objects cannot be found */
	SF_HEALTH_UNFORMATTED,
};
const char *sf_health_word(enum sf_health health);
enum { SF_MAX_REDUNDANCY = 17 };
/* What needs an operator, by name. */
enum sf_trouble_kind {
	SF_TROUBLE_DOWN,      /* a placement group serves nothing until one of these disks is back */
	SF_TROUBLE_LOST,      /* an object: too few of its parts are left anywhere; reading it fails */
	SF_TROUBLE_UNFOUND,   /* an object: waits for parts that only these disks may have */
	SF_TROUBLE_UNDECIDED, /* an object: its parts contradict each other, all with good checksums */
};
struct sf_trouble {
	enum sf_trouble_kind kind;
	uint32_t pool, pg;
	uint64_t oid, version;       /* of an object; 0 for a placement group */
	uint32_t have, need, shards; /* parts there, parts needed to read, parts in all */
	uint32_t since_epoch; /* DOWN: only those disks may have changes made since; 0: not known */
	uint32_t disk_count;
	uint64_t *disks;
	uint32_t volume_id;
	char volume[SF_NAME_MAX + 1]; /* "": not known now */
	bool is_inode;                /* the volume's description or map, not its data */
	uint64_t offset, length;      /* bytes of the volume (of its inode) */
};
struct sf_troubles {
	uint32_t epoch;
	uint32_t silent; /* nodes that gave no answer: theirs are not in the list */
	size_t count;
	struct sf_trouble *v; /* by kind, then by object */
};
int sf_troubles_get(struct sf_cluster *cluster, struct sf_troubles **ret);
void sf_troubles_free(struct sf_troubles *troubles); /* NULL is fine */
/*
 * Gives up disks that are not up, for good: nothing waits for what they hold any more, and they
 * are never used again (emptied, a disk is a new one). Placement groups that waited for them
 * serve again from what is left: changes that only these disks had are undone; objects of which
 * too few parts are left are lost. epoch: of the list that was looked at; -EPERM when the
 * cluster has changed since.
 */
int sf_give_up(struct sf_cluster *cluster, uint32_t epoch, const uint64_t *disks, uint32_t count);

/* Counts since the daemons started. */
struct sf_scrub {
	uint32_t interval_s; /* SF_SCRUB_NEVER */
	uint32_t running;    /* nodes at it now */
	uint32_t behind;     /* nodes that do not have the newest map yet, or did not answer */
	uint32_t pgs_due, pgs_never;
	uint64_t oldest_s, newest_s; /* when the PGs were scrubbed; 0: none yet */
	uint64_t objects, missing, damaged, stale, leftover, wrong, repaired;
	uint64_t undecided; /* now */
};

struct sf_node_progress {
	uint64_t node;
	bool recovering;
	uint64_t done, total; /* objects of this recovery */
	bool known;           /* it answered; else the rest is 0 */
	struct sf_requests {
		uint64_t active; /* now; the rest since the daemon started */
		uint64_t total, write, read, remove, flush, bytes_written, bytes_read;
	} client, peer;
};
struct sf_bad_disk { /* given to a daemon, and could not be opened */
	uint64_t node, disk; /* disk 0: not known which */
	char path[256], why[256];
};
struct sf_status {
	enum sf_health health;
	uint32_t epoch;
	uint32_t nodes_total, nodes_up, nodes_out,
		nodes_silent; /* silent: up, but gave no answer */
	uint32_t disks_total, disks_up, disks_failed, disks_out;
	uint32_t disks_lost; /* given up by an operator; not among those failed or out */
	uint32_t pgs_total, pgs_clean, pgs_degraded, pgs_recovering, pgs_peering, pgs_halted,
		pgs_down;
	/* Objects by how many more failures they survive; [0]: none. */
	uint64_t objects_by_redundancy[SF_MAX_REDUNDANCY];
	uint64_t objects_unfound;
	uint64_t objects_lost; /* of those: for good */
	uint32_t min_redundancy;                 /* the smallest r with an object in it */
	uint64_t objects_missing, bytes_missing; /* still to rebuild */
	uint64_t objects_blocked; /* of those missing: the disk that should take the shard is full */
	uint64_t recovered_objects, recovered_bytes, recovery_rate_bytes_s;
	uint64_t recovery_eta_s; /* ~0: unknown */
	uint64_t recovery_running_ms;
	uint64_t size_bytes, used_bytes, avail_bytes;
	uint32_t disk_count;
	struct sf_disk *disks;
	uint32_t node_count;
	struct sf_node_progress *nodes;
	struct sf_scrub scrub;
	uint32_t nodes_draining, nodes_maintenance, disks_leaving; /* leaving: not among those failed */
	uint32_t nodes_waiting; /* down, and out when the grace period is over */
	uint32_t bad_disk_count;
	struct sf_bad_disk *bad_disks;
	uint32_t min_live_extra;
	struct sf_troubles troubles; /* the first few; sf_troubles_get has all */
	char advice[512]; /* what to do next; "" when all is well */
};
int sf_status_get(struct sf_cluster *cluster, struct sf_status **ret);
void sf_status_free(struct sf_status *status);

#pragma GCC visibility pop

#endif

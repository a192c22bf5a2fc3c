/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_STATS_H
#define SF_SIM_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* What happened in a run, or in many: faults by kind, branches of the protocol. */
#define SECOND_FENCE " (second fence)" /* nothing gets there while the first rule holds (README.md) */
#define SIM_FAULTS(X)                                                                              \
	X(FAULT_CRASH, "node crashes")                                                             \
	X(FAULT_POWER_CUT, "power cut of all nodes")                                               \
	X(FAULT_UNSYNCED_LOST, "a crash loses what was not synced")                                \
	X(FAULT_UNSYNCED_TORN, "a crash keeps a part of what was not synced")                      \
	X(FAULT_PAUSE, "node pauses")                                                              \
	X(FAULT_PAUSE_LONG, "node pauses for longer than a lease")                                 \
	X(FAULT_SIDES, "partition in two")                                                         \
	X(FAULT_ONE_WAY, "partition one way")                                                      \
	X(FAULT_PAIRS, "some pairs cut, one or both ways")                                         \
	X(FAULT_ALONE, "one node cut off")                                                         \
	X(FAULT_RESET, "connection resets")                                                        \
	X(FAULT_SILENT, "message lost silently")                                                   \
	X(FAULT_DUPLICATE, "message duplicated")                                                   \
	X(FAULT_LATE, "message late by far")                                                       \
	X(FAULT_REORDER, "message overtakes another")                                              \
	X(FAULT_DRIFT, "clock drifts")                                                             \
	X(FAULT_WALL, "wall clock jumps")                                                          \
	X(FAULT_SLOW_DISK, "disk is slow")                                                         \
	X(FAULT_FULL_DISK, "disk is full")                                                         \
	X(FAULT_EIO_READ, "EIO on a read")                                                         \
	X(FAULT_EIO_WRITE, "EIO on a write")                                                       \
	X(FAULT_DISK_LOST, "disk lost for good")                                                   \
	X(FAULT_NODE_LOST, "node lost for good")                                                   \
	X(FAULT_EMPTY_DISK, "restart with an empty disk")                                          \
	X(FAULT_SWAPPED_DISK, "restart with disks swapped between nodes")                          \
	X(FAULT_OLD_DISK, "restart with an old disk")                                              \
	X(FAULT_CLONED_DISK, "restart with a cloned disk in another node")                         \
	X(FAULT_ROT, "bit rot")                                                                    \
	X(FAULT_LOST_WRITE, "write lost by the disk")                                              \
	X(FAULT_MISDIRECTED, "write misdirected by the disk")                                      \
	X(FAULT_BEYOND, "damage beyond the redundancy")                                            \
	X(FAULT_LATE_JOIN, "node joins late")                                                      \
	X(FAULT_LEAVE, "node leaves in order")                                                     \
	X(FAULT_WEIGHT, "weight changes")                                                          \
	X(FAULT_DRAIN, "disk drained")                                                             \
	X(FAULT_GRACE, "grace period changes")                                                     \
	X(FAULT_RECOVERY_OFF, "recovery switched off for a while")                                 \
	X(FAULT_CLIENT_GONE, "client goes away")                                                   \
	X(FAULT_NODE_DRAIN, "node drained, or taken back")                                         \
	X(FAULT_MAINTENANCE, "maintenance mode on or off")

enum sim_fault {
#define X(name, text) name,
	SIM_FAULTS(X)
#undef X
	FAULT_KINDS,
};
extern const char *const sim_fault_name[FAULT_KINDS];

#define SIM_BRANCHES(X)                                                                            \
	X(BR_PREPARE, "prepare made durable")                                                      \
	X(BR_PREPARE_REPEATED, "prepare of a version that is there")                               \
	X(BR_PREPARE_ON_PENDING, "prepare commits the pending base")                               \
	X(BR_PREPARE_RIDES, "a commit point rides on a prepare")                                   \
	X(BR_PREPARE_BASE, "prepare refused: another base")                                        \
	X(BR_PREPARE_NOSPACE, "prepare refused: no space")                                         \
	X(BR_PREPARE_CORRUPT, "prepare refused: old bytes damaged")                                \
	X(BR_PREPARE_IO, "prepare failed: EIO")                                                    \
	X(BR_PREPARE_XOR, "prepare of a parity delta")                                             \
	X(BR_PREPARE_ZERO, "prepare of zeros")                                                     \
	X(BR_PREPARE_REPLACE, "prepare of a whole shard")                                          \
	X(BR_PREPARE_DELETE, "prepare of a delete")                                                \
	X(BR_COMMIT, "commit point sent on its own")                                               \
	X(BR_FORWARD, "version of an older interval rolled forward")                               \
	X(BR_FORWARD_PUSH, "version that may be taken back pushed")                                \
	X(BR_BACK, "version of an older interval rolled back")                                     \
	X(BR_BACK_DELETE, "delete of an older interval rolled back")                               \
	X(BR_BACK_WRITE, "failed write rolled back by its primary")                                \
	X(BR_BACK_NOTHING, "roll back of what is not there")                                       \
	X(BR_REMOVE, "left-over removed")                                                          \
	X(BR_ACTIVATE, "PG activated")                                                             \
	X(BR_ACTIVATE_LOG, "activation brings log entries")                                        \
	X(BR_ACTIVATE_VOID, "activation makes log entries void")                                   \
	X(BR_SHORT, "peering without a listing: all alike")                                        \
	X(BR_LIST_SOME, "peering lists the objects that may differ")                               \
	X(BR_LIST_ALL, "peering lists all objects")                                                \
	X(BR_PURGE, "tombstones purged")                                                           \
	X(BR_PUSH, "shard rebuilt")                                                                \
	X(BR_PUSH_REPEATED, "push of what is there")                                               \
	X(BR_PUSH_DELETE, "tombstone pushed")                                                      \
	X(BR_PUSH_HEALS, "push heals a damaged shard")                                             \
	X(BR_PUSH_OVER_OLD, "push over an older version")                                          \
	X(BR_PUSH_OVERTAKEN, "push refused: overtaken by a newer write" SECOND_FENCE)              \
	X(BR_PUSH_NOSPACE, "push refused: no space")                                               \
	X(BR_PUSH_IO, "push failed: EIO")                                                          \
	X(BR_READ_STRAY, "shard read from a former holder")                                        \
	X(BR_READ_CORRUPT, "shard read finds damage")                                              \
	X(BR_READ_IO, "shard read failed: EIO")                                                    \
	X(BR_LIST_MORE, "listing in several pages")                                                \
	X(BR_DROP_STRAY, "stray PG dropped")                                                       \
	X(BR_DROP_WRONG, "shards of another slot dropped")                                         \
	X(BR_HELD, "request of a newer epoch held for its map")                                    \
	X(BR_STALE, "holder refuses an older epoch")                                               \
	X(BR_HOLDER_AGAIN, "holder says: not now")                                                 \
	X(BR_HOLDER_DENIED, "holder does not have the disk")                                       \
	X(BR_STRAY_REPORT, "stray reported to its primary")                                        \
	X(BR_ASK_FORMATTED, "client refused: not formatted")                                       \
	X(BR_ASK_STALE, "client refused: older epoch")                                             \
	X(BR_ASK_NOT_PRIMARY, "client refused: not the primary")                                   \
	X(BR_ASK_LEASE, "client refused: no lease")                                                \
	X(BR_ASK_AGAIN, "client told to try again")                                                \
	X(BR_ASK_MIN_LIVE, "write refused: too few live slots")                                    \
	X(BR_ASK_NOSPACE, "client told: no space")                                                 \
	X(BR_ASK_UNFOUND, "client told: too few shards within reach")                              \
	X(BR_ASK_LOST, "client told: too few shards are left")                                     \
	X(BR_ASK_IO, "client told: EIO")                                                           \
	X(BR_ASK_LOG, "retried write answered from the log")                                       \
	X(BR_ASK_EXISTS, "exclusive create refused")                                               \
	X(BR_ASK_WITHHELD, "answer withheld: the lease is over")                                   \
	X(BR_READ_DEGRADED, "read served by fewer than all slots")                                 \
	X(BR_WRITE_DEGRADED, "write made with fewer than all slots")                               \
	X(BR_READ_ABSENT, "read of an absent object")                                              \
	X(BR_LISTED, "objects listed for a client")                                                \
	X(BR_CHECK_GOOD, "check finds an object whole")                                            \
	X(BR_CHECK_DAMAGED, "check finds a damaged shard")                                         \
	X(BR_CHECK_REPAIRED, "check repairs")                                                      \
	X(BR_SCRUB, "scrub seen at work")                                                          \
	X(BR_SCRUB_DAMAGED, "scrub seen to find damage")                                           \
	X(BR_SCRUB_REPAIRED, "scrub seen to repair")                                               \
	X(BR_MAP_JOIN, "node joins the map")                                                       \
	X(BR_MAP_RESTARTED, "node is back in a new incarnation")                                   \
	X(BR_MAP_REJOIN, "node dropped alive is back")                                             \
	X(BR_MAP_FORGOTTEN, "drained node has left the map")                                       \
	X(BR_MAP_DOWN, "node declared down")                                                       \
	X(BR_MAP_OUT, "node declared out")                                                         \
	X(BR_MAP_LEFT, "node left in order")                                                       \
	X(BR_MAP_DISK_FAILED, "disk declared failed")                                              \
	X(BR_MAP_DISK_BACK, "failed disk is back")                                                 \
	X(BR_MAP_DISK_NEW, "disk is new")                                                          \
	X(BR_MAP_DISK_MOVED, "disk is in another node")                                            \
	X(BR_MAP_WEIGHT, "weight changed")                                                         \
	X(BR_MAP_POOL, "pool made")                                                                \
	X(BR_MAP_WIDER, "metadata wider")                                                          \
	X(BR_MAP_FLAGS, "flags changed")                                                           \
	X(BR_MAP_GRACE, "grace changed")                                                           \
	X(BR_PROPOSAL_LOST, "proposal lost against another")                                       \
	X(BR_PG_DOWN, "PG seen down")                                                              \
	X(BR_PG_PEERING, "PG seen peering")                                                        \
	X(BR_PG_HALTED, "PG seen halted")                                                          \
	X(BR_PG_DEGRADED, "PG seen degraded")                                                      \
	X(BR_PG_RECOVERING, "PG seen recovering")                                                  \
	X(BR_UNFOUND, "object reported unfound")                                                   \
	X(BR_LOST, "object reported lost")                                                         \
	X(BR_WAITS, "PG reported to wait for disks")                                               \
	X(BR_BLOCKED, "recovery seen blocked by a full disk")

enum sim_branch {
#define X(name, text) name,
	SIM_BRANCHES(X)
#undef X
	BRANCHES,
};
extern const char *const sim_branch_name[BRANCHES];

enum { STAT_TYPES = 48, STAT_RESULTS = 16 };

/* Nothing but counters, so that sums are easy. */
struct sim_stats {
	uint64_t seeds;
	uint64_t events, messages, disk_jobs, epochs;
	uint64_t ops_ok, ops_open, retries;
	uint64_t undecided; /* objects whose history was too tangled to check */
	uint64_t simulated_s, heal_ms, heal_max_ms;
	uint64_t fault[FAULT_KINDS], fault_seeds[FAULT_KINDS];
	uint64_t branch[BRANCHES], branch_seeds[BRANCHES];
	uint64_t answers[STAT_TYPES][STAT_RESULTS]; /* of nodes, by message type and result */
};

/* The end of one run: counts it as a seed for whatever occurred. */
void stats_close(struct sim_stats *s);
/* Adds b to a. */
void stats_add(struct sim_stats *a, const struct sim_stats *b);
/* The tables, on standard output. Returns how many branches never occurred. */
uint32_t stats_print(const struct sim_stats *s);

#endif

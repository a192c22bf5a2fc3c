/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_LOCK_H
#define SF_CLIENT_LOCK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/lib/fence.h"
#include "client/lib/lock_record.h"
#include "client/lib/request.h"

/*
 * A volume's write lock: one writer at a time. It stands for the volume's name and is an object of
 * the metadata pool (lock_record.h) that exists while somebody has it.
 *
 *   writer                                  contender
 *   creates the object, if absent           reads it, version v
 *   rewrites it every third of a lease,     sees it change within a lease: refused, -EBUSY
 *     if it is at the version it wrote last sees it unchanged for a whole lease, by its own clock:
 *   sends no change after 3/4 of a lease      rewrites it, if it is still at v: now it is the holder
 *     since it sent the last rewrite that   knows the holder's process to be gone (same machine):
 *     was acknowledged (the fence)            does so at once
 *   deletes it, if it is at its version
 *
 * All of it is compare-and-swap at the object's primary, so exactly one wins. A holder that could
 * not renew in time only holds its changes back: when a later renewal succeeds, nobody was in
 * between, and it goes on. Otherwise the lock is lost, and every change fails with -ENOLCK.
 *
 * What is left to time: a change that was sent before the fence passed must arrive, or be refused
 * for its old epoch, within the last quarter of the lease. Servers drop what waits in their queues
 * when the connection that it came by breaks, and the holder breaks those when the fence passes.
 */
enum { LOCK_LEASE_MS = 10000, LOCK_LEASE_MIN_MS = 60 };

enum lock_state {
	LOCK_IDLE,
	LOCK_RENEWING, /* the swap is under way */
	LOCK_LOOKING,  /* reads: something else than a renewal may have happened to it */
};

struct lock {
	struct sf_cluster *cluster;
	uint64_t oid;
	struct fence fence;

	/* The I/O thread's. */
	enum lock_state state;
	struct lock_record record; /* as last written or read */
	uint64_t version;          /* that it has in the cluster, as far as known */
	uint64_t sent_ms;          /* when the renewal under way was sent */
	uint64_t renewed_ms;       /* when the last acknowledged one was */
	bool cut;                  /* connections were broken since the fence passed */
	bool seized;               /* from one who left something unsettled; known when it is taken */
	bool unsettled;            /* a change failed: what it has left is the next one's to settle */
	ev_timer timer;
	struct request req;
	uint8_t bytes[LOCK_RECORD_LEN];
	/* A guest (lock_visit.h). `asked` stops the work and ends in lock_visit_grant; `over`: the
	 * volume may be another now. NULL: guests are never let in. */
	bool asking, granting, visited, expelling;
	uint64_t granted_ms;
	void (*asked)(void *arg);
	void (*over)(void *arg);
	void *arg;

	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool stopping, idle; /* under the mutex: lock_release waits for idle */
};

/* Waits for it up to a lease where a dead writer seems to have it. -EBUSY and a sentence about the
 * holder. Not for the I/O thread. */
int lock_take(struct sf_cluster *cluster, const char *name, const char *purpose,
              struct lock **ret);
/* Nothing may be under way under it. NULL is fine. */
void lock_release(struct lock *lock);
/* As a change that must be the only one sees it: whether it may go on now. */
int lock_check(struct lock *lock);

/* ---- Inside ---- */

/* How long the lease of this handle's locks is. */
uint32_t lock_lease_ms(const struct sf_cluster *cluster);
/* Starts to renew it. */
void lock_start(struct lock *lock);
/* The sentence about who has it; returns -EBUSY. */
int lock_refuse(const struct lock_record *r);
/* The connections with changes on the way are broken, so that these do not arrive late. */
void lock_cut(struct lock *lock);

#endif

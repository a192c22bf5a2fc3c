/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_LOCK_VISIT_H
#define SF_CLIENT_LOCK_VISIT_H

#include "client/lib/lock.h"

/*
 * Visits: what must change a volume's inode below a writer that goes on living (a snapshot of a
 * mounted volume, the beginning and the end of a conversion).
 *
 *   guest                                       holder
 *   puts itself down: VISIT_ASKED               sees it within a tenth of a lease; holds new work
 *                                                 back, lets what is under way end, then writes
 *                                                 VISIT_GRANTED
 *   sees that, does its work, writes            sees that, reads the inode again, goes on
 *     VISIT_NONE
 *
 * The holder goes on without the guest one lease after it wrote VISIT_GRANTED. The guest's fence
 * passes 3/4 of a lease after it last asked and was not granted it yet, which is before.
 */

/* A scope in which nobody else writes to the volume: as its holder, or as a guest of the holder
 * where `visit` allows that. Changes that this thread waits for are fenced by it meanwhile. */
struct guest;
struct lock_scope {
	struct lock *lock;   /* as holder */
	struct guest *guest; /* or as guest */
	const struct fence *outer; /* what the thread works under besides */
};
int lock_scope_begin(struct sf_cluster *cluster, const char *name, const char *purpose, bool visit,
                     struct lock_scope *ret);
/* Keeps sf_error() as it is. Nothing to do for an empty scope. */
void lock_scope_end(struct lock_scope *scope);

/* For the holder: everything it had under way is done. On the I/O thread. */
void lock_visit_grant(struct lock *lock);

/* ---- For lock.c ---- */

/* Whoever asked is no guest any more; nor when the lock is lost, or what is held back would wait for
 * ever. Nothing to do when nobody asked. */
void lock_visit_end(struct lock *lock);
/* The record was changed by another. */
void lock_visit_look(struct lock *lock);
/* The record was written as it is in lock->record. */
void lock_visit_written(struct lock *lock);
void lock_visit_tick(struct lock *lock, uint64_t now_ms);
void lock_renew(struct lock *lock);
/* How often the holder looks. */
void lock_pace(struct lock *lock, bool fast);

#endif

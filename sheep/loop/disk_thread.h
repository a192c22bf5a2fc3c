/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DISK_THREAD_H
#define SF_LOOP_DISK_THREAD_H

#include "sheep/core/node.h"
#include "sheep/loop/completions.h"

struct store;

/*
 * A thread per disk, so that a slow or dying one stalls nobody else. It takes all that is
 * waiting as one batch (group commit); with nothing waiting it gives the store time for its
 * background work.
 *
 * Owner of every field below the line: the thread, between start and stop. What crosses: the
 * queue, under its lock.
 */
struct disk_thread;

/* Takes over the store: disk_thread_stop closes it. NULL when there can be no more threads; the
 * store is the caller's then. */
struct disk_thread *disk_thread_start(struct store *store, struct completions *completions);
uint64_t disk_thread_disk(const struct disk_thread *t);
/* Jobs are gathered and handed over by disk_thread_kick, so that one wake-up serves a whole step
 * of the node. */
void disk_thread_add(struct disk_thread *t, struct disk_job *job);
void disk_thread_kick(struct disk_thread *t);
/* Stamps the store (store_adopt) after what is queued; answers with NOTICE_ADOPTED. */
void disk_thread_adopt(struct disk_thread *t, uint64_t cluster);
/* Carries out what is queued and closes the store, which the thread tells with NOTICE_CLOSED;
 * disk_thread_stop then does not wait. */
void disk_thread_leave(struct disk_thread *t);
/* Carries out what is queued, closes the store, joins. Finished jobs are still posted. NULL is
 * fine. */
void disk_thread_stop(struct disk_thread *t);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_COMPLETIONS_H
#define SF_LOOP_COMPLETIONS_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"

/*
 * The one way back from other threads to the reactor: lists of finished jobs under one lock,
 * and one wake-up for as many as gather before the reactor looks.
 */
struct completions {
	pthread_mutex_t lock;
	struct ev_loop *loop;
	ev_async wake;
	bool awake;          /* a wake-up is under way */
	struct list disk;    /* struct disk_job.link */
	struct list compute; /* struct compute_job.link */
	struct list notices; /* struct notice.link */
};

/* Something a disk thread has to say besides finished jobs. */
enum notice_type { NOTICE_ADOPTED, NOTICE_FAILED, NOTICE_PLUGGED, NOTICE_CLOSED };
struct notice {
	struct list link;
	enum notice_type type;
	uint64_t disk;
	int result;
	void *arg; /* PLUGGED: disks.c's own */
};

void completions_init(struct completions *c, struct ev_loop *loop,
                      void (*arrived)(struct ev_loop *, ev_async *, int), void *arg);
void completions_fini(struct completions *c);
/* Any thread: moves all of `jobs` to the list given (one of c's) and wakes the reactor if it is
 * not awake. */
void completions_post(struct completions *c, struct list *to, struct list *jobs);
/* The reactor: takes everything; the lists handed in are initialised here. */
void completions_take(struct completions *c, struct list *disk, struct list *compute,
                      struct list *notices);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_WORKER_H
#define SF_FUSE_WORKER_H

#include <sys/queue.h>

/*
 * A few threads for what must wait for the cluster: looking volumes up, opening and closing them,
 * making texts. Reading and writing never comes here, so that it goes on while these wait.
 */
struct job {
	STAILQ_ENTRY(job) link;
	void (*run)(struct job *job); /* frees it */
};
struct workers;

/* NULL: no thread could be started. */
struct workers *workers_create(unsigned threads);
/* From any thread. */
void workers_post(struct workers *workers, struct job *job);
/* Runs what is left, and waits. NULL is fine. */
void workers_destroy(struct workers *workers);

#endif

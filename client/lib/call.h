/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_CALL_H
#define SF_CLIENT_CALL_H

#include <pthread.h>
#include <stdint.h>

#include "client/lib/request.h"
#include "lib/base/list.h"

/* Requests for code that waits for them: not for the I/O thread. */

/* Submits, waits; returns req->result and carries its sentence into this thread's sf_error(). */
int call_request(struct sf_cluster *cluster, struct request *req);

/* Many at once: batch_take gives a free slot (waits while all are busy), batch_submit sends it off,
 * batch_wait waits for all. `done` runs on the I/O thread, one at a time, in any order; the slot is
 * free after it. When one failure is the end of the whole, `done` calls batch_fail: what is
 * submitted from then on goes nowhere. */
struct batch_slot {
	struct request req; /* to be filled; req.done is the batch's own */
	struct list link;
	struct batch *batch;
	uint64_t tag;    /* the caller's */
	uint8_t *memory; /* memory_bytes, kept from use to use */
};
struct batch {
	struct sf_cluster *cluster;
	void (*done)(struct batch_slot *slot, void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct list free;
	uint32_t busy, count;
	struct batch_slot *slots;
	int err;
	char why[ERROR_TEXT_LEN];
};
void batch_init(struct batch *b, struct sf_cluster *cluster, uint32_t window, uint32_t memory_bytes,
                void (*done)(struct batch_slot *, void *), void *arg);
struct batch_slot *batch_take(struct batch *b, enum request_route route, enum msg_type type);
void batch_submit(struct batch_slot *slot);
/* From `done`. The first one counts. */
void batch_fail(struct batch_slot *slot);
bool batch_failed(struct batch *b);
/* Waits for all that was submitted; then the caller may look at what `done` wrote. */
void batch_wait(struct batch *b);
/* Waits too. 0, or the request's error that failed it, with its sentence in this thread's sf_error(). */
int batch_fini(struct batch *b);

#endif

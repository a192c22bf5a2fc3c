/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_NET_OUTQ_H
#define SF_NET_OUTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/wire/msg.h"

/*
 * Messages on their way out, encoded once when they enter: a ring of frames of which the first may be
 * sent in part. Costs nothing while it is empty.
 */
struct out_frame {
	struct msg *msg; /* holds the payload; NULL when there is none */
	uint8_t *head;
	uint32_t head_len;
	uint32_t len; /* head and payload */
};

struct outq {
	struct out_frame *ring;
	uint32_t first, count, capacity; /* capacity: 0 or a power of two */
	uint32_t sent;   /* bytes of the first frame */
	uint64_t bytes;  /* all that is not sent yet */
};

void outq_init(struct outq *q);
/* Drops what is left. */
void outq_fini(struct outq *q);
/* Takes over msg. */
void outq_push(struct outq *q, struct msg *msg);
/* Appends all of src, of which nothing may have been sent yet, to dst; leaves src empty. */
void outq_splice(struct outq *dst, struct outq *src);
/* Describes what comes next in at most max entries and about limit bytes. Returns the number of entries. */
int outq_peek(const struct outq *q, struct iovec *iov, int max, uint32_t limit);
/* n bytes have been sent. */
void outq_advance(struct outq *q, uint64_t n);

#endif

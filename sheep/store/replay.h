/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_REPLAY_H
#define SF_STORE_REPLAY_H

#include "sheep/store/state.h"

/* One batch as found on the disk. */
struct found_batch {
	struct segment *seg;
	uint64_t off;
	struct batch_header h;
	uint8_t *desc; /* aligned, cap bytes */
	uint32_t cap;
};
void found_batch_fini(struct found_batch *f);

/* Reads the batch at that place. 1: a valid one; 0: none; negative: the disk failed. */
int replay_batch_read(struct store *st, struct segment *seg, uint64_t off, struct found_batch *f);
/* Calls `each` for every record, in order, until it returns non-zero. */
int replay_batch_each(struct store *st, const struct found_batch *f,
                      int (*each)(struct store *st, const struct record *r, void *ctx), void *ctx);

#endif

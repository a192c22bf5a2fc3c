/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_PROGRESS_H
#define SF_DOG_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A bar on standard error, drawn only when that is a terminal, and not too often. Any one thread.
 */
struct progress {
	bool on;
	uint64_t total; /* 0: not known */
	bool bytes;     /* else: objects */
	uint64_t begin_ms, drawn_ms;
	uint64_t done;
};

void progress_begin(struct progress *p, uint64_t total, bool bytes);
void progress_update(struct progress *p, uint64_t done);
/* Leaves the last line standing. */
void progress_end(struct progress *p);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_GATHER_H
#define SF_FUSE_GATHER_H

#include "fuse/io.h"

/*
 * Writes. The kernel sends at most 1 MiB at a time, and the next one only after the answer; the
 * cluster is fastest with whole objects. So a buffered write is answered as soon as it is here, and
 * adjacent ones go to the cluster together. It is durable when fsync or close has returned, which
 * also tell what failed; so does the next write. Until then the kernel's pages have it, as with any
 * file system; but sizes, times and errors about space need no cache of the kernel's to be right.
 *
 * O_DIRECT, O_SYNC, O_DSYNC and the option -n: answered when it is durable. Such ones are joined as
 * far as the kernel has sent them already; and while the cluster is busy with others of the same
 * volume, those that follow each other wait for some more, but not long.
 *
 * All but gather_release is the loop's.
 */
void gather_write(struct volume *v, fuse_req_t req, const char *data, size_t size, uint64_t offset,
                  int open_flags);
/* Whether a write of these bytes goes into one piece. */
bool gather_is_one(const struct volume *v, uint64_t offset, size_t size);
/* Nothing more is added to it. */
void gather_close(struct mount *m, struct op *op);
/* The kernel has no more requests for now: those that somebody waits for go out, and those that
 * were not touched for a while. Milliseconds until it wants to be called again; -1: need not. */
int gather_pause(struct mount *m);
void gather_close_all(struct mount *m);
/* So many bytes that were answered have ended. Any thread. */
void gather_release(struct mount *m, uint64_t bytes);

#endif

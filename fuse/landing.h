/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_LANDING_H
#define SF_FUSE_LANDING_H

#include "fuse/io.h"

/*
 * Where the kernel's requests arrive. A write that goes on where the last one ended, which is what
 * nearly all large ones do, shall lie behind that one's bytes without being copied there; but what
 * comes next is known only when it has been read. So the next request is read to where its bytes
 * belong if it is such a write: its head is then over the last bytes that are there already, which
 * are put back at once. A write that begins a new piece stays where it was read, too.
 *
 * All of it is the loop's.
 */
void landing_init(struct mount *m);
void landing_fini(struct mount *m);
/* Takes one request of the kernel, and does it. False: there was none. */
bool landing_take(struct mount *m);
/* Where the bytes of the write under way are, which libfuse believes to be at `data`. */
const char *landing_data(const struct mount *m, const char *data);
/* If `data` are at the beginning of a piece for gathered bytes: that piece, now the caller's; or
 * NULL. */
uint8_t *landing_adopt(struct mount *m, const char *data);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_LEAVE_H
#define SF_FUSE_LEAVE_H

#include "fuse/mount.h"

/*
 * SIGTERM, SIGINT, SIGHUP. The mount is taken off its place; what was accepted is written. Where
 * files are still open it goes all the same: their users get errors, as when a disk is pulled.
 * Begins that and returns; the loop ends by it.
 */
void leave_start(struct mount *m);

#endif

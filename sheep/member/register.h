/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_REGISTER_H
#define SF_MEMBER_REGISTER_H

#include <stddef.h>
#include <stdint.h>

#include "lib/place/map.h"

/*
 * The map register of the local driver: a directory shared by the daemons of one machine.
 *
 *   lock                          flock'ed while somebody writes
 *   current                       which map counts: cluster and epoch; replaced by rename
 *   cluster-%016x/map.%08x        every epoch's map, never changed once `current` names it
 *
 * Each file: magic, CRC32C of what follows, then its content. A map is durable before `current` names it.
 */
struct register_pos {
	uint64_t cluster; /* 0: nothing proposed yet */
	uint32_t epoch;
};

/* Opens `file` in dir for locking, and makes dir (with parents) if need be. An fd or a negative errno. */
int register_open(const char *dir);
/* -SF_ECORRUPT when the file is damaged; zeros in *ret when there is none. */
int register_current(const char *dir, struct register_pos *ret);
/* The map of one epoch; -ENOENT, -SF_ECORRUPT. */
int register_map(const char *dir, struct register_pos pos, struct map **ret);
/* Compare and swap under the lock: 0, -SF_EAGAIN when `expected` is not what counts, or an error. */
int register_propose(const char *dir, int lock_fd, struct register_pos expected, const struct map *map);

/* Checksummed files, also for the members' announcements. Durable and atomic. */
int checked_file_write(const char *dir, const char *name, const void *data, size_t len);
/* malloc'ed content. */
int checked_file_read(const char *dir, const char *name, uint8_t **ret, size_t *ret_len);

#endif

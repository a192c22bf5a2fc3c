/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLUME_H
#define SF_CLIENT_VOLUME_H

#include <stdint.h>

#include "client/lib/inode.h"
#include "client/lib/volmap.h"
#include "include/sheepfold.h"

/* An open volume. cluster and info do not change; the rest is the I/O thread's (client/lib/io.c).
 */
struct sf_volume {
	struct sf_cluster *cluster;
	struct sf_volume_info info;
	struct volmap map;
	struct list ordered; /* writes, discards and flushes under way, oldest first */
	uint32_t reads;      /* under way */
	struct lock *lock;   /* NULL: opened without */
	struct list copies;  /* struct copy: objects of others that are being copied */
};

/* Whatever it is the inode of, valid or not. */
int volume_open_inode(struct sf_cluster *cluster, const struct inode *inode,
                      struct sf_volume **ret);
/* Waits for everything under way on the volume. Not from the I/O thread. */
int volume_drain(struct sf_volume *volume);

/* The piece of [offset, offset + len) that lies in one object: its index, the offset in it and its
 * length. */
struct piece {
	uint64_t index;
	uint32_t offset, length;
};
struct piece piece_first(uint64_t offset, uint64_t len, uint32_t object_shift);

#endif

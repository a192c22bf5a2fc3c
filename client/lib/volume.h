/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLUME_H
#define SF_CLIENT_VOLUME_H

#include <stdint.h>

#include "client/lib/inode.h"
#include "client/lib/volmap.h"
#include "include/sheepfold.h"

/*
 * An open volume. It is the I/O thread's (client/lib/io.c), but for cluster, which does not change,
 * and info, which changes under info_lock.
 *
 * A volume that is written to can be visited (client/lib/lock_visit.h). Then new operations wait in
 * `held`; when none is under way the guest may begin; afterwards the inode is read again, by a
 * thread because that waits, the map is forgotten, and the held ones begin.
 */
struct sf_volume {
	struct sf_cluster *cluster;
	struct sf_volume_info info;
	pthread_mutex_t info_lock;
	struct volmap map;
	struct list ordered; /* writes, discards and flushes under way, oldest first */
	uint32_t reads;      /* under way */
	struct lock *lock;   /* NULL: opened without */
	/* Of all its changes: of its lock, or of what the opening thread works under. */
	const struct fence *fence;
	bool pausing;        /* no operation begins */
	struct list held;    /* operations that wait for the end of a visit, oldest first */
	struct task resume;
	struct inode fresh; /* read after a visit */
	int fresh_err;
	bool has_reader;
	pthread_t reader; /* of the inode */
	struct list copies;  /* struct copy: objects of others that are being copied */
};

/* Whatever it is the inode of, valid or not. */
int volume_open_inode(struct sf_cluster *cluster, const struct inode *inode,
                      struct sf_volume **ret);
/* As the lock's guest asks, and when it is gone; arg: the volume. */
void volume_pause(void *arg);
void volume_visit_over(void *arg);
/* For volume_visit.c: nothing is under way / begins what was held back. */
bool volume_is_quiet(const struct sf_volume *volume);
void volume_release_held(struct sf_volume *volume);
/* For io.c: an operation has ended while the volume pauses. */
void volume_quieted(struct sf_volume *volume);
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

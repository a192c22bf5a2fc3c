/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_FAMILY_H
#define SF_CLIENT_FAMILY_H

#include <stddef.h>

#include "client/lib/inode.h"

struct sf_cluster;
struct lock;

/*
 * Volumes and snapshots that may share objects: all whose inodes have one family number. An object
 * is needed while the map of any living one shows it. Whoever adds a map to a family, or takes
 * objects away, has the family's lock; a volume's writer needs it not: it only ever stops showing
 * others' objects.
 */
int family_lock(struct sf_cluster *cluster, uint64_t family, const char *purpose,
                struct lock **ret);

/* Deletes one of a family: it is dead from its header's first change on; then every object of the
 * dead that no living one shows is deleted. Of the dead that still own some, the header stays. */
int family_delete(struct sf_cluster *cluster, struct inode *inode);
/* Does the second half again, for what was left lying. With the lock. */
int family_sweep(struct sf_cluster *cluster, uint64_t family);

/* Every inode of the cluster, whatever its state, but for damaged ones; malloc'ed. */
int inodes_read_all(struct sf_cluster *cluster, struct inode **ret, size_t *ret_count);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_MAP_COPY_H
#define SF_CLIENT_MAP_COPY_H

#include "client/lib/inode.h"

struct sf_cluster;

/* Copies all of a map that is not empty, up to the end of the smaller one. Waits. */
int map_copy(struct sf_cluster *cluster, const struct inode *from, const struct inode *to);
/* Copies every object that is another's; with `all` also writes those that are absent. Waits. -EINTR:
 * the cluster handle is to stop. */
int inode_own_all(struct sf_cluster *cluster, const struct inode *inode, bool all);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_MAP_COPY_H
#define SF_CLIENT_MAP_COPY_H

#include "client/lib/inode.h"

struct sf_cluster;
struct sf_volume;

/* Copies all of a map that is not empty, up to the end of the smaller one. Waits. */
int map_copy(struct sf_cluster *cluster, const struct inode *from, const struct inode *to);
/* Copies every object that is another's; with `all` also writes those that are absent. */
int volume_own_all(struct sf_volume *volume, bool all);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLUME_DELETE_H
#define SF_CLIENT_VOLUME_DELETE_H

#include "client/lib/inode.h"

struct sf_cluster;

/*
 * Deleting a volume: the header says INODE_DELETING first, so that an interruption is seen; then
 * the data objects go, then the map, then the header. It stays as INODE_DELETED while the next
 * volume id is taken, because that volume may be there only since this one was in its way.
 */
int volume_delete_finish(struct sf_cluster *cluster, struct inode *inode);

/* ---- For family.c ---- */

/* Deletes objects, many at once; absent ones are fine. */
int objects_delete(struct sf_cluster *cluster, uint32_t pool, const uint64_t *oids, size_t count);
/* The data are gone: the map and the header go, too, or what must stay of it. ghost: others need
 * some of its objects. */
int inode_retire(struct sf_cluster *cluster, struct inode *inode, bool ghost);
/* The attributes, if this was the last volume of the name. */
int volume_forget_name(struct sf_cluster *cluster, const char *name);

#endif

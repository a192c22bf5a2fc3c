/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_SNAPSHOT_H
#define SF_CLIENT_SNAPSHOT_H

#include "client/lib/inode.h"

struct sf_cluster;
struct lock;

/* The steps of snapshot, rollback and restore; with the name's lock. */

/* A pending inode of that name with the map of `from`. */
int inode_derive(struct sf_cluster *cluster, const struct inode *from, const char *name,
                 uint32_t predecessor, struct inode *ret);
/* Whether a snapshot may be named so. */
int snapshot_tag_check(const char *tag);
/* origin: inode.h; 0. */
int snapshot_create(struct sf_cluster *cluster, const char *name, const char *tag, uint64_t origin);
/* The working volume that is to be replaced; id 0: there is none. */
int volume_find_replaced(struct sf_cluster *cluster, const char *name, struct inode *ret);
/* `next`, whose predecessor is `old`, takes its place; then old is deleted. */
int volume_replace(struct sf_cluster *cluster, struct inode *old, struct inode *next);

/* Whoever works on what a conversion of that volume makes. alter_copy.c */
int convert_lock(struct sf_cluster *cluster, const char *name, const char *purpose, struct lock **ret);

#endif

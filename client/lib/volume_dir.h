/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLUME_DIR_H
#define SF_CLIENT_VOLUME_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "client/lib/inode.h"

/*
 * Inodes as the cluster keeps them: read, write, find by name, list the objects behind them.
 * These wait: not for the I/O thread.
 */

/* 0; -ENOENT: no such inode; -EILSEQ: there is one, but its header is damaged or of another
 * version. */
int inode_read(struct sf_cluster *cluster, uint32_t id, struct inode *ret);
/* Overwrites the header. */
int inode_write(struct sf_cluster *cluster, const struct inode *inode);
/* -EEXIST when there is an inode with this id. */
int inode_create(struct sf_cluster *cluster, const struct inode *inode);
/* Gives the inode an id by its name and creates it. -EEXIST: there is a volume of this name, unless
 * it is to stand beside that. */
int inode_place(struct sf_cluster *cluster, struct inode *inode, bool beside);
/* Of a new volume, placed as INODE_PENDING: it is one from now on; after an error of what was to be
 * done before it is deleted again, and the error returned. */
int inode_publish(struct sf_cluster *cluster, struct inode *inode, int err);
/* Fills redundancy, object shift and pool of info; makes the pool unless there is one like it. */
int pool_choose(struct sf_cluster *cluster, const struct sf_volume_options *options,
                struct sf_volume_info *info);
/* Deletes one object of the metadata pool; absent is fine. */
int inode_remove(struct sf_cluster *cluster, uint32_t id, uint32_t part);
/* Object size of the metadata pool. -ENODEV: not formatted. */
int inode_part_shift(struct sf_cluster *cluster, uint32_t *ret);

/* Follows the probe chain. Also finds a volume whose deletion was interrupted (INODE_DELETING), if
 * there is no other. -ENOENT. */
int volume_find(struct sf_cluster *cluster, const char *name, struct inode *ret);
/* The same, and -ENOENT when it is being deleted. */
int volume_find_alive(struct sf_cluster *cluster, const char *name, struct inode *ret);
/* A snapshot, by tag or number. tag NULL: the working volume. Alive ones only. */
int volume_find_tag(struct sf_cluster *cluster, const char *name, const char *tag,
                    struct inode *ret);
/* The same for a snapshot, and if there is none alive, one whose deletion was cut off. */
int volume_find_tag_left(struct sf_cluster *cluster, const char *name, const char *tag,
                         struct inode *ret);
/* All inodes of this name, whatever their state, in the order of the chain; malloc'ed. */
int volume_find_all(struct sf_cluster *cluster, const char *name, struct inode **ret,
                    size_t *ret_count);
/* Finishes what was cut off in making or deleting a volume of this name; with the name's lock. The number
 * for its next snapshot. -EEXIST: there is one of that tag. */
int volume_name_prepare(struct sf_cluster *cluster, const char *name, const char *new_tag,
                        uint32_t *ret_number);
/* Reads it again: what was done to others may have changed it. False in *ret: it is gone. */
int inode_refresh(struct sf_cluster *cluster, struct inode *inode, bool *ret);
/* What has no place in the list of volumes. An inode that is pending is looked at more closely. */
bool inode_is_alive(struct sf_cluster *cluster, const struct inode *inode);
/* Whether its predecessor names it. *ret untouched on failure. */
int inode_is_valid(struct sf_cluster *cluster, const struct inode *inode, bool *ret);

/* Ids of all objects of a pool within [first, last], unsorted; malloc'ed. ret_sizes may be NULL:
 * end of data of each. */
int objects_list(struct sf_cluster *cluster, uint32_t pool, uint64_t first, uint64_t last,
                 uint64_t **ret, uint32_t **ret_sizes, size_t *ret_count);

void oids_sort(uint64_t *oids, size_t count);
/* In a sorted row; NULL: not there. */
const uint64_t *oids_find(const uint64_t *oids, size_t count, uint64_t oid);

/* Where there is something of the inode, unsorted: of a huge volume's map few parts are there.
 * malloc'ed. */
struct map_extent {
	uint64_t begin, end;
};
int map_extents_read(struct sf_cluster *cluster, const struct inode *inode,
                     struct map_extent **ret, size_t *ret_count);
/* Calls `entry` on the I/O thread, one at a time, for every non-zero entry of the volume's map with
 * index >= from. */
int volume_map_scan(struct sf_cluster *cluster, const struct inode *inode, uint64_t from,
                    void (*entry)(void *arg, uint64_t index, uint32_t owner), void *arg);
/* The entries within one piece of the inode's linear space. */
void map_bytes_scan(const struct inode *inode, uint64_t pos, const uint8_t *bytes, uint64_t len,
                    uint64_t from, void (*entry)(void *arg, uint64_t index, uint32_t owner),
                    void *arg);

#endif

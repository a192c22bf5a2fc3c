/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/admin.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock_visit.h"
#include "client/lib/map_copy.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"

enum { CREATE_TRIES = 10, PROBES_MAX = 1 << 16 };

static const struct map_pool *pool_like(const struct map *map, uint32_t k, uint32_t m,
                                        uint32_t shift)
{
	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct map_pool *p = &map->pools[i];

		if (p->id != POOL_META && p->k == k && p->m == m && p->object_shift == shift)
			return p;
	}
	return NULL;
}

int pool_choose(struct sf_cluster *cluster, const struct sf_volume_options *o,
                struct sf_volume_info *info)
{
	struct map *map = cluster_map_copy(cluster);
	const struct map_pool *pool = map ? map_find_pool(map, POOL_DATA) : NULL;
	int err = 0;

	if (!pool) {
		map_unref(map);
		return error_set(-ENODEV, "the cluster is not formatted yet");
	}
	info->redundancy =
		o->redundancy.data ? o->redundancy : (struct sf_redundancy){pool->k, pool->m};
	info->object_shift = o->object_shift ? o->object_shift : pool->object_shift;
	pool = pool_like(map, info->redundancy.data, info->redundancy.parity, info->object_shift);
	if (pool)
		info->pool = pool->id;
	else
		err = admin_pool(cluster, info->redundancy, info->object_shift, &info->pool);
	map_unref(map);
	return err;
}

/* An inode between the name's own id and the one found may have been deleted while we went past it:
 * then the chain has a hole, and nobody would find the new volume. */
static int chain_check(struct sf_cluster *cluster, uint32_t first, uint32_t id)
{
	struct inode inode;

	for (; first != id; first = volume_id_next(first)) {
		int err = inode_read(cluster, first, &inode);

		if (err == -ENOENT)
			return -EAGAIN;
		if (err < 0 && err != -EILSEQ)
			return err;
	}
	return 0;
}

/* What stands where the inode was to be created: ours from a try before, one of the same name, or
 * another's. */
static int occupant_check(struct sf_cluster *cluster, const struct inode *ours, bool beside,
                          bool *ret_ours)
{
	struct inode other;
	int err = inode_read(cluster, ours->info.id, &other);

	*ret_ours = false;
	if (err == -ENOENT || err == -EILSEQ)
		return 0;
	if (err < 0)
		return err;
	if (other.creator == ours->creator)
		*ret_ours = true;
	else if (!beside && !(other.flags & (INODE_DELETED | INODE_DELETING)) &&
	         other.info.snapshot_id == 0 && strcmp(other.info.name, ours->info.name) == 0)
		return error_set((other.flags & INODE_PENDING) ? -EINPROGRESS : -EEXIST,
		                 "a volume of this name exists already");
	return 0;
}

static int inode_try_place(struct sf_cluster *cluster, struct inode *inode, bool beside)
{
	uint32_t first = volume_id_of_name(inode->info.name);
	bool ours = false;
	int err;

	inode->info.id = first;
	for (int i = 0; i < PROBES_MAX; i++, inode->info.id = volume_id_next(inode->info.id)) {
		err = inode_create(cluster, inode);
		if (err == -EEXIST)
			err = occupant_check(cluster, inode, beside, &ours);
		else if (err == 0)
			ours = true;
		if (err < 0)
			return err;
		if (!ours)
			continue;
		err = chain_check(cluster, first, inode->info.id);
		if (err < 0)
			(void)inode_remove(cluster, inode->info.id, 0);
		return err;
	}
	return error_set(-ENOSPC, "no volume id is free");
}

int inode_place(struct sf_cluster *cluster, struct inode *inode, bool beside)
{
	int err = -EAGAIN;

	inode->creator = cluster_random(cluster) | 1;
	if (!inode->family)
		inode->family = inode->creator;
	for (int i = 0; i < CREATE_TRIES && err == -EAGAIN; i++)
		err = inode_try_place(cluster, inode, beside);
	if (err == -EAGAIN)
		return error_set(-EIO,
		                 "other volumes were created and deleted all the time; try again");
	return err;
}

int inode_publish(struct sf_cluster *cluster, struct inode *inode, int err)
{
	char why[ERROR_TEXT_LEN];

	if (!err) {
		inode->flags &= ~(uint32_t)INODE_PENDING;
		return inode_write(cluster, inode);
	}
	snprintf(why, sizeof(why), "%s", sf_error());
	(void)volume_delete_finish(cluster, inode);
	return error_set(err, "%s", why);
}

static int options_check(const char *name, const struct sf_volume_options *o)
{
	const char *fault = volume_name_fault(name);
	uint32_t shift = o->object_shift ? o->object_shift : OBJECT_SHIFT_MIN;

	if (*fault)
		return error_set(-EINVAL, "%s", fault);
	if (o->size_bytes == 0)
		return error_set(-EINVAL, "a volume's size may not be 0");
	if (shift < OBJECT_SHIFT_MIN || shift > OBJECT_SHIFT_MAX)
		return error_set(-EINVAL, "the block size shift must be within %d and %d",
		                 OBJECT_SHIFT_MIN, OBJECT_SHIFT_MAX);
	return 0;
}

/* -EINPROGRESS: that must be finished first, with the name's lock. */
static int volume_create(struct sf_cluster *cluster, const char *name,
                         const struct sf_volume_options *options, bool locked)
{
	struct inode inode = {0}, old;
	int err = volume_find(cluster, name, &old);

	if (err == 0 && !(old.flags & INODE_DELETING))
		return error_set(-EEXIST, "a volume of this name exists already");
	/* Whoever deletes it, if somebody does, would delete the new one's inode, too. */
	if (err == 0 && !locked)
		return error_set(-EINPROGRESS, "the volume is being deleted");
	if (err == 0)
		err = volume_delete_finish(cluster, &old);
	if (err < 0 && err != -ENOENT)
		return err;
	err = pool_choose(cluster, options, &inode.info);
	if (err < 0)
		return err;
	if (options->size_bytes > (uint64_t)1
	                                  << (VOLUME_MAX_OBJECTS_SHIFT + inode.info.object_shift))
		return error_set(-EINVAL, "a volume has at most 2^32 objects of 2^%u bytes",
		                 inode.info.object_shift);
	snprintf(inode.info.name, sizeof(inode.info.name), "%s", name);
	inode.info.size_bytes = options->size_bytes;
	inode.info.created_s = inode.changed_s = (uint64_t)time(NULL);
	if (options->preallocate)
		inode.flags = INODE_PENDING;
	err = inode_place(cluster, &inode, false);
	if (err < 0 || !options->preallocate)
		return err;
	return inode_publish(cluster, &inode, inode_own_all(cluster, &inode, true));
}

int sf_volume_create(struct sf_cluster *cluster, const char *name,
                     const struct sf_volume_options *options)
{
	struct lock_scope scope;
	uint32_t number;
	int err = options_check(name, options);

	/* Its zeros are not to come over what another has written meanwhile. */
	if (!err)
		err = options->preallocate ? -EINPROGRESS
		                           : volume_create(cluster, name, options, false);
	if (err != -EINPROGRESS)
		return err;
	/* Or somebody is making or deleting one, or was cut off. */
	err = lock_scope_begin(cluster, name, "create", false, &scope);
	if (!err)
		err = volume_name_prepare(cluster, name, NULL, &number);
	if (!err)
		err = volume_create(cluster, name, options, true);
	lock_scope_end(&scope);
	if (err == -EINPROGRESS)
		err = error_set(-EBUSY, "the volume that had this name is still being converted");
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "client/lib/cluster.h"
#include "client/lib/family.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

/*
 * An object is an orphan when its owner's inode is gone. An inode is there before its first object
 * and goes after its last one. So: the objects are listed before the inodes are read, which tells
 * nothing false of a volume made meanwhile; and what seems to be an orphan is looked for once more
 * afterwards, which tells nothing false of one deleted meanwhile.
 */

/* A bit for each volume id that may own objects. */
static int owners_get(struct sf_cluster *cluster, uint8_t *owners)
{
	struct inode *v;
	size_t count;
	int err = inodes_read_all(cluster, &v, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		if ((v[i].flags & (INODE_DELETED | INODE_GHOST)) != INODE_DELETED)
			owners[v[i].info.id / 8] |= (uint8_t)(1 << v[i].info.id % 8);
	free(v);
	return 0;
}

/* One that cannot be read has not gone. */
static int owner_is_gone(struct sf_cluster *cluster, uint32_t id, bool *ret)
{
	struct inode inode;
	int err = inode_read(cluster, id, &inode);

	*ret = err == -ENOENT ||
	       (!err && (inode.flags & (INODE_DELETED | INODE_GHOST)) == INODE_DELETED);
	return err == -ENOENT || err == -EILSEQ ? 0 : err;
}

static int pool_orphans(struct sf_cluster *cluster, uint32_t pool, uint8_t *owners,
                        struct sf_orphan **ret, size_t *ret_count)
{
	uint64_t *oids, *again;
	size_t count, there;
	int err = objects_list(cluster, pool, oid_data(0, 0), oid_data(VOLUME_ID_MASK, UINT32_MAX),
	                       &oids, NULL, &count);

	if (err < 0)
		return err;
	err = owners_get(cluster, owners);
	for (size_t i = 0; i < count && !err; i++) {
		uint32_t owner = oid_volume(oids[i]);
		bool gone;

		if (owners[owner / 8] & 1 << owner % 8)
			continue;
		err = owner_is_gone(cluster, owner, &gone);
		if (!err && !gone)
			owners[owner / 8] |= (uint8_t)(1 << owner % 8);
		if (err || !gone)
			continue;
		err = objects_list(cluster, pool, oids[i], oids[i], &again, NULL, &there);
		if (err)
			break;
		free(again);
		if (!there)
			continue;
		*ret = xrealloc(*ret, (*ret_count + 1) * sizeof(**ret));
		(*ret)[(*ret_count)++] = (struct sf_orphan){.pool = pool, .oid = oids[i]};
	}
	free(oids);
	return err;
}

int sf_orphans_get(struct sf_cluster *cluster, struct sf_orphan **ret, size_t *ret_count)
{
	struct sf_orphan *v = NULL;
	uint8_t *owners;
	struct sf_map *map;
	size_t count = 0;
	int err = sf_map_get(cluster, 0, &map);

	if (err < 0)
		return err;
	owners = xcalloc(1, (VOLUME_ID_MASK + 1) / 8);
	for (uint32_t i = 0; i < map->pool_count && !err; i++)
		if (map->pools[i].id != POOL_META)
			err = pool_orphans(cluster, map->pools[i].id, owners, &v, &count);
	free(owners);
	sf_map_free(map);
	if (err) {
		free(v);
		return err;
	}
	*ret = v;
	*ret_count = count;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/volume_lock.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "client/lib/call.h"
#include "client/lib/error.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

/* Objects of the volume's own, sorted; the map shows some of them. */
struct objects {
	uint64_t *oids;
	bool *shown;
	size_t count;
	uint32_t volume;
};

/* An entry of another's counts, too: the object there is not read. */
static void entry_shows(void *arg, uint64_t index, uint32_t owner)
{
	struct objects *o = arg;
	const uint64_t *found = oids_find(o->oids, o->count, oid_data(o->volume, (uint32_t)index));

	(void)owner;
	if (found)
		o->shown[found - o->oids] = true;
}

static int entry_write(struct sf_cluster *cluster, uint32_t volume, uint32_t index)
{
	uint32_t owner = htole32(volume), shift;
	uint64_t pos = inode_map_pos(index);
	struct request req;
	int err = inode_part_shift(cluster, &shift);

	if (err < 0)
		return err;
	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_WRITE);
	req.pool = POOL_META;
	req.oid = oid_inode(volume, (uint32_t)(pos >> shift));
	req.offset = pos & ((1ull << shift) - 1);
	req.tx = &owner;
	req.tx_len = sizeof(owner);
	err = call_request(cluster, &req);
	request_fini(&req);
	return err;
}

static int objects_adopt(struct sf_cluster *cluster, const struct inode *inode)
{
	uint64_t end = volume_objects(inode->info.size_bytes, inode->info.object_shift);
	struct objects o = {.volume = inode->info.id};
	int err = objects_list(cluster, inode->info.pool, oid_data(o.volume, 0),
	                       oid_data(o.volume, UINT32_MAX), &o.oids, NULL, &o.count);

	if (err < 0)
		return err;
	oids_sort(o.oids, o.count);
	o.shown = xcalloc(o.count + 1, sizeof(o.shown[0]));
	err = volume_map_scan(cluster, inode, 0, entry_shows, &o);
	for (size_t i = 0; i < o.count && !err; i++)
		if (!o.shown[i] && oid_index(o.oids[i]) < end)
			err = entry_write(cluster, o.volume, oid_index(o.oids[i]));
	free(o.shown);
	free(o.oids);
	return err;
}

int volume_lock_settle(struct sf_cluster *cluster, const char *name)
{
	struct inode inode;
	int err = volume_find_alive(cluster, name, &inode);

	return err == -ENOENT ? 0 : err ? err : objects_adopt(cluster, &inode);
}

int volume_lock(struct sf_cluster *cluster, const char *name, const char *purpose, struct lock **ret)
{
	const struct fence *outer = fence_of_thread();
	int err = lock_take(cluster, name, purpose, ret);

	if (err < 0 || !(*ret)->seized)
		return err;
	fence_set_thread(&(*ret)->fence);
	err = volume_lock_settle(cluster, name);
	fence_set_thread(outer);
	(*ret)->unsettled = err < 0;
	if (err == -ENOSPC) /* or nothing could be deleted */
		return 0;
	if (err < 0)
		lock_release(*ret);
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/volume_dir.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

/* The first read of an inode takes the header and this much of the map: all of it for volumes up to
 * 60 GiB. */
enum { FIRST_READ = 64 << 10, READ_WINDOW = 32 };

struct found {
	struct inode inode;
	uint64_t used, shared; /* objects */
	bool valid;
};

static void entry_count(void *arg, uint64_t index, uint32_t owner)
{
	struct found *f = arg;

	if (owner == f->inode.info.id)
		f->used++;
	else
		f->shared++;
}

static void inode_answered(struct batch_slot *slot, void *arg)
{
	struct found *f = (struct found *)arg + slot->tag;
	uint64_t len = slot->req.length;

	if (slot->req.result < 0) {
		batch_fail(slot);
		return;
	}
	/* Gone since it was listed, or damaged: one bad inode does not hide the others. */
	if ((slot->req.reply_flags & MSG_F_ABSENT) || inode_decode(slot->memory, &f->inode) < 0)
		return;
	f->valid = !(f->inode.flags & (INODE_DELETING | INODE_DELETED));
	if (f->valid)
		map_bytes_scan(&f->inode, 0, slot->memory, len, 0, entry_count, f);
}

static int inodes_read(struct sf_cluster *cluster, const uint64_t *oids, const uint32_t *sizes,
                       size_t count, struct found *v)
{
	struct batch batch;

	batch_init(&batch, cluster, READ_WINDOW, FIRST_READ, inode_answered, v);
	for (size_t i = 0; i < count && !batch_failed(&batch); i++) {
		struct batch_slot *slot;

		if (oid_index(oids[i]) != 0)
			continue;
		slot = batch_take(&batch, ROUTE_PRIMARY, MSG_OBJ_READ);
		slot->tag = i;
		slot->req.pool = POOL_META;
		slot->req.oid = oids[i];
		slot->req.length = MIN(MAX(round_up(sizes[i], 4096), (uint64_t)INODE_HEADER_LEN),
		                       (uint64_t)FIRST_READ);
		slot->req.rx = slot->memory;
		batch_submit(slot);
	}
	return batch_fini(&batch);
}

/* Counts what the first read did not cover. */
static int found_complete(struct sf_cluster *cluster, struct found *f)
{
	uint64_t covered = (FIRST_READ - INODE_HEADER_LEN) / 4;
	struct sf_volume_info *i = &f->inode.info;
	int err = 0;

	if (volume_objects(i->size_bytes, i->object_shift) > covered)
		err = volume_map_scan(cluster, &f->inode, covered, entry_count, f);
	i->used_bytes = f->used << i->object_shift;
	i->shared_bytes = f->shared << i->object_shift;
	return err;
}

static int info_compare(const void *a, const void *b)
{
	const struct sf_volume_info *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	/* A volume's snapshots come before it, oldest first. */
	if (order != 0)
		return order;
	if ((x->snapshot_id == 0) != (y->snapshot_id == 0))
		return x->snapshot_id == 0 ? 1 : -1;
	return (x->snapshot_id > y->snapshot_id) - (x->snapshot_id < y->snapshot_id);
}

int sf_volume_list(struct sf_cluster *cluster, struct sf_volume_info **ret, size_t *ret_count)
{
	uint64_t *oids;
	uint32_t *sizes;
	struct found *found;
	struct sf_volume_info *infos;
	size_t count, out = 0;
	int err = objects_list(cluster, POOL_META, oid_inode(0, 0),
	                       oid_inode(VOLUME_ID_MASK, UINT32_MAX), &oids, &sizes, &count);

	if (err < 0)
		return err;
	found = xcalloc(count, sizeof(*found));
	infos = xcalloc(count, sizeof(*infos));
	err = inodes_read(cluster, oids, sizes, count, found);
	for (size_t i = 0; i < count && !err; i++) {
		if (!found[i].valid || !inode_is_alive(cluster, &found[i].inode))
			continue;
		err = found_complete(cluster, &found[i]);
		infos[out++] = found[i].inode.info;
	}
	free(oids);
	free(sizes);
	free(found);
	if (err) {
		free(infos);
		return err;
	}
	qsort(infos, out, sizeof(*infos), info_compare);
	*ret = infos;
	*ret_count = out;
	return 0;
}

int sf_snapshot_stat(struct sf_cluster *cluster, const char *name, const char *tag,
                     struct sf_volume_info *ret)
{
	struct found f = {0};
	int err = volume_find_tag(cluster, name, tag, &f.inode);

	if (err == 0)
		err = volume_map_scan(cluster, &f.inode, 0, entry_count, &f);
	if (err < 0)
		return err;
	f.inode.info.used_bytes = f.used << f.inode.info.object_shift;
	f.inode.info.shared_bytes = f.shared << f.inode.info.object_shift;
	*ret = f.inode.info;
	return 0;
}

int sf_volume_stat(struct sf_cluster *cluster, const char *name, struct sf_volume_info *ret)
{
	return sf_snapshot_stat(cluster, name, NULL, ret);
}

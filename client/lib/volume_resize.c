/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "client/lib/error.h"
#include "client/lib/lock_visit.h"
#include "client/lib/volume.h"
#include "client/lib/volume_dir.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/* Up to so many objects are discarded without a look at which there are. */
enum { FEW = 1024 };

/* Whole objects behind the new end: those that the map shows, and those that are there all the
 * same, of a write that was cut off. */
struct behind {
	uint64_t *v; /* indices */
	size_t count, capacity;
};

static void behind_add(struct behind *b, uint64_t index)
{
	if (b->count == b->capacity) {
		b->capacity = b->capacity ? 2 * b->capacity : 1024;
		b->v = xrealloc(b->v, b->capacity * sizeof(b->v[0]));
	}
	b->v[b->count++] = index;
}

static void entry_add(void *arg, uint64_t index, uint32_t owner)
{
	(void)owner;
	behind_add(arg, index);
}

static int index_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int behind_find(struct sf_cluster *cluster, const struct inode *inode, uint64_t first,
                       struct behind *b)
{
	uint32_t id = inode->info.id;
	uint64_t *oids = NULL;
	size_t count = 0;
	int err = volume_map_scan(cluster, inode, first, entry_add, b);

	if (!err)
		err = objects_list(cluster, inode->info.pool, oid_data(id, (uint32_t)first),
		                   oid_data(id, UINT32_MAX), &oids, NULL, &count);
	for (size_t i = 0; i < count && !err; i++)
		behind_add(b, oid_index(oids[i]));
	free(oids);
	if (b->count)
		qsort(b->v, b->count, sizeof(b->v[0]), index_compare);
	return err;
}

static int objects_discard(struct sf_volume *volume, uint64_t first, uint64_t last)
{
	uint32_t shift = volume->info.object_shift;
	uint64_t begin = first << shift, size = volume->info.size_bytes;

	if (begin >= size)
		return 0;
	return sf_discard(volume, MIN(size - begin, (last - first + 1) << shift), begin);
}

static int behind_discard(struct sf_volume *volume, const struct behind *b)
{
	int err = 0;

	for (size_t i = 0, next; i < b->count && !err; i = next) {
		for (next = i + 1; next < b->count && b->v[next] <= b->v[next - 1] + 1;)
			next++;
		err = objects_discard(volume, b->v[i], b->v[next - 1]);
	}
	return err;
}

static int discard_from(struct sf_cluster *cluster, const struct inode *inode,
                        struct sf_volume *volume, uint64_t from)
{
	uint32_t shift = inode->info.object_shift;
	uint64_t first = volume_objects(from, shift), size = inode->info.size_bytes;
	uint64_t objects = volume_objects(size, shift);
	struct behind b = {0};
	int err = sf_discard(volume, MIN(first << shift, size) - from, from);

	if (err || first >= objects)
		return err;
	if (objects - first <= FEW)
		return objects_discard(volume, first, objects - 1);
	err = behind_find(cluster, inode, first, &b);
	if (!err)
		err = behind_discard(volume, &b);
	free(b.v);
	return err;
}

static int volume_cut(struct sf_cluster *cluster, const struct inode *inode, uint64_t from)
{
	struct sf_volume *volume;
	int err = volume_open_inode(cluster, inode, &volume), closed;

	if (err < 0)
		return err;
	err = discard_from(cluster, inode, volume, from);
	closed = sf_volume_close(volume);
	return err ? err : closed;
}

/* The map's objects behind its new end hold zeros by now. */
static int map_cut(struct sf_cluster *cluster, const struct inode *inode, uint64_t size_before)
{
	uint32_t object_shift = inode->info.object_shift, shift = 0;
	uint64_t end = inode_map_pos(volume_objects(inode->info.size_bytes, object_shift));
	uint64_t before = inode_map_pos(volume_objects(size_before, object_shift));
	int err = inode_part_shift(cluster, &shift);

	for (uint64_t part = (end - 1) >> shift; !err && ++part <= (before - 1) >> shift;)
		err = inode_remove(cluster, inode->info.id, (uint32_t)part);
	return err;
}

static int volume_resize(struct sf_cluster *cluster, const char *name, uint64_t size_bytes)
{
	struct inode inode;
	uint64_t before;
	int err = volume_find_alive(cluster, name, &inode);

	if (err < 0)
		return err;
	if (size_bytes == 0)
		return error_set(-EINVAL, "a volume's size may not be 0");
	if (size_bytes > (uint64_t)1 << (VOLUME_MAX_OBJECTS_SHIFT + inode.info.object_shift))
		return error_set(-EINVAL, "a volume has at most 2^32 objects of 2^%u bytes",
		                 inode.info.object_shift);
	before = inode.info.size_bytes;
	/* Before the size changes: growing again later must not bring old bytes back. */
	if (size_bytes < before)
		err = volume_cut(cluster, &inode, size_bytes);
	if (err < 0)
		return err;
	inode.info.size_bytes = size_bytes;
	inode.changed_s = (uint64_t)time(NULL);
	/* It is valid, or was not found; what it owes that to may have gone meanwhile. */
	inode.flags &= ~(uint32_t)INODE_PENDING;
	err = inode_write(cluster, &inode);
	return err || size_bytes >= before ? err : map_cut(cluster, &inode, before);
}

int sf_volume_resize(struct sf_cluster *cluster, const char *name, uint64_t size_bytes)
{
	struct lock_scope scope;
	int err = lock_scope_begin(cluster, name, "resize", false, &scope);

	if (err == 0)
		err = volume_resize(cluster, name, size_bytes);
	lock_scope_end(&scope);
	return err;
}

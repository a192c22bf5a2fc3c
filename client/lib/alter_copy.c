/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/family.h"
#include "client/lib/lock.h"
#include "client/lib/lock_visit.h"
#include "client/lib/map_diff.h"
#include "client/lib/snapshot.h"
#include "client/lib/volume.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/*
 * Conversion of a volume to another redundancy while it is used.
 *
 *   a snapshot is taken (tag CONVERT_TAG), below the writer if there is one
 *   a new inode of the other pool is filled from it; the volume's own goes on being written
 *   again: a snapshot, what it differs by from the one before is copied, the one before goes
 *   at last, with the writer paused: what was written since the last one is copied, and the new
 *     inode takes the volume's place, in one step (snapshot.h)
 *
 * So nobody writes to two places, and the data copied are always those of a snapshot, or of a volume
 * that nobody writes to. The new inode is of a name of its own until then, under a lock of its own,
 * so that nobody takes it for garbage.
 */
#define CONVERT_TAG "(being converted)"
enum { PASSES_MAX = 20, LAST_PASS_OBJECTS = 32 };

struct convert {
	struct sf_cluster *cluster;
	const char *name;
	struct lock *lock; /* of the conversion */
	const volatile bool *stop;
	sf_progress progress;
	void *arg;
	struct inode from; /* snapshot that was copied last; id 0: none yet */
	struct inode next;
	struct sf_volume *volume; /* of next */
	struct map_entries copied; /* what `from` shows */
	uint64_t done, total;
	uint8_t *bytes;
};

static int convert_stopped(const struct convert *c)
{
	return c->stop && *c->stop ? error_set(-EINTR, "interrupted") : 0;
}

static int object_convert(struct convert *c, struct sf_volume *source, const struct map_entry *e)
{
	const struct sf_volume_info *info = &c->next.info;
	uint64_t begin = e->index << info->object_shift, len;
	int err;

	if (begin >= info->size_bytes)
		return 0;
	len = MIN(info->size_bytes - begin, 1ull << info->object_shift);
	if (!e->owner)
		return sf_discard(c->volume, len, begin);
	err = sf_read(source, c->bytes, len, begin);
	return err ? err : sf_write(c->volume, c->bytes, len, begin);
}

static int objects_convert(struct convert *c, const struct inode *source,
                           const struct map_entries *diff)
{
	struct sf_volume *volume;
	int err = volume_open_inode(c->cluster, source, &volume);

	if (err < 0)
		return err;
	c->total += diff->count;
	for (size_t i = 0; i < diff->count && !err; i++) {
		err = convert_stopped(c);
		if (!err)
			err = object_convert(c, volume, &diff->v[i]);
		if (c->progress)
			c->progress(c->arg, ++c->done, c->total);
	}
	if (!err)
		err = sf_flush(c->volume);
	sf_volume_close(volume);
	return err;
}

/* Copies what `source` shows otherwise than what was copied. */
static int pass_copy(struct convert *c, const struct inode *source, size_t max, size_t *ret_count)
{
	struct map_entries entries = {0}, diff = {0};
	int err = map_entries_read(c->cluster, source, &entries);

	if (err < 0) {
		free(entries.v);
		return err;
	}
	map_diff(&entries, &c->copied, &diff);
	*ret_count = diff.count;
	if (diff.count > max)
		err = -EAGAIN;
	else
		err = objects_convert(c, source, &diff);
	free(diff.v);
	if (err < 0) {
		free(entries.v);
		return err;
	}
	free(c->copied.v);
	c->copied = entries;
	return 0;
}

static int tag_drop(struct convert *c, const struct inode *snapshot)
{
	struct inode inode;
	int err = inode_read(c->cluster, snapshot->info.id, &inode);

	return err ? err : volume_delete_finish(c->cluster, &inode);
}

/* A snapshot, what is new in it, and away with the one before. */
static int convert_pass(struct convert *c, uint32_t number, size_t *ret_count)
{
	struct inode snapshot;
	char tag[64];
	int err;

	snprintf(tag, sizeof(tag), "%s %u", CONVERT_TAG, number);
	err = lock_check(c->lock);
	if (!err)
		err = sf_snapshot_create(c->cluster, c->name, tag);
	if (!err)
		err = volume_find_tag(c->cluster, c->name, tag, &snapshot);
	if (!err)
		err = pass_copy(c, &snapshot, SIZE_MAX, ret_count);
	if (!err && c->from.info.id)
		err = tag_drop(c, &c->from);
	if (!err)
		c->from = snapshot;
	return err;
}

/* One write makes it the volume. With the lock of the name: the header is not changed behind that, when a
 * snapshot may have been taken. */
static int convert_end(struct convert *c, struct inode *old)
{
	int err;

	c->next.predecessor = old->info.id;
	c->next.flags |= INODE_PENDING;
	err = inode_write(c->cluster, &c->next);
	if (err)
		return err;
	old->flags |= INODE_DELETING;
	old->successor = c->next.info.id;
	err = inode_write(c->cluster, old);
	if (!err) {
		c->next.flags &= ~(uint32_t)(INODE_PENDING | INODE_CONVERT);
		err = inode_write(c->cluster, &c->next);
	}
	/* It may be the volume by now: no second try. */
	return err == -ENOLCK ? error_set(-EIO, "the volume's lock was lost at the last step") : err;
}

/* Of the same size, or it was resized meanwhile; then it begins again. */
static int convert_last(struct convert *c)
{
	struct lock_scope scope;
	struct inode old;
	size_t count;
	int err = lock_scope_begin(c->cluster, c->name, "alter-copy", true, &scope);

	if (!err)
		err = volume_find_alive(c->cluster, c->name, &old);
	if (!err && old.info.size_bytes != c->next.info.size_bytes)
		err = error_set(-EBUSY, "it was resized meanwhile; try again");
	if (!err)
		err = pass_copy(c, &old, LAST_PASS_OBJECTS, &count);
	/* Or `next` may be what another conversion has made since. That one needs the scope's lock, too:
	 * from here on it is enough to have that. */
	if (!err)
		err = lock_check(c->lock);
	if (!err)
		err = convert_end(c, &old);
	lock_scope_end(&scope);
	/* A writer goes on already. */
	return err ? err : volume_delete_finish(c->cluster, &old);
}

static int convert_begin(struct convert *c, struct sf_redundancy redundancy)
{
	struct sf_volume_options o = {.redundancy = redundancy};
	struct inode old;
	int err = volume_find_alive(c->cluster, c->name, &old);

	if (err < 0)
		return err;
	o.object_shift = old.info.object_shift;
	c->next.flags = INODE_PENDING | INODE_CONVERT;
	c->next.info = old.info;
	c->next.info.parent_id = 0;
	err = pool_choose(c->cluster, &o, &c->next.info);
	if (!err && c->next.info.pool == old.info.pool)
		return error_set(-EALREADY, "it has this redundancy already");
	c->next.changed_s = (uint64_t)time(NULL);
	if (!err)
		err = inode_place(c->cluster, &c->next, true);
	if (!err)
		err = volume_open_inode(c->cluster, &c->next, &c->volume);
	return err;
}

static int convert_passes(struct convert *c)
{
	size_t count = SIZE_MAX;
	int err = 0;

	for (uint32_t i = 1; !err && i <= PASSES_MAX && count > LAST_PASS_OBJECTS; i++)
		err = convert_pass(c, i, &count);
	for (uint32_t i = PASSES_MAX + 1; !err; i++) {
		err = convert_last(c);
		if (err != -EAGAIN && err != -ENOLCK)
			return err;
		if (i == 2 * PASSES_MAX)
			return error_set(-EBUSY, "it is written to faster than it can be copied");
		err = convert_pass(c, i, &count);
	}
	return err;
}

/* What an earlier conversion left, or this one: its snapshots and its inode. With its lock. */
static int convert_clear(struct convert *c)
{
	struct inode *v;
	size_t count;
	bool valid, there;
	int err = volume_find_all(c->cluster, c->name, &v, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		err = inode_refresh(c->cluster, &v[i], &there);
		if (!err && there)
			err = inode_is_valid(c->cluster, &v[i], &valid);
		if (err || !there)
			continue;
		if ((v[i].flags & INODE_CONVERT) && !valid)
			err = volume_delete_finish(c->cluster, &v[i]);
		else if (v[i].info.snapshot_id &&
		         strncmp(v[i].info.tag, CONVERT_TAG, strlen(CONVERT_TAG)) == 0)
			err = volume_delete_finish(c->cluster, &v[i]);
	}
	free(v);
	return err;
}

static int convert_run(struct convert *c, struct sf_redundancy redundancy)
{
	char why[ERROR_TEXT_LEN];
	int err = convert_clear(c), cleared;

	if (!err)
		err = convert_begin(c, redundancy);
	if (!err) {
		c->bytes = xmalloc((size_t)1 << c->next.info.object_shift);
		err = convert_passes(c);
		free(c->bytes);
	}
	snprintf(why, sizeof(why), "%s", sf_error());
	sf_volume_close(c->volume);
	free(c->copied.v);
	cleared = convert_clear(c);
	if (err == -EALREADY)
		return cleared;
	return err ? error_set(err, "%s", why) : cleared;
}

int convert_lock(struct sf_cluster *cluster, const char *name, const char *purpose, struct lock **ret)
{
	char lock_name[SF_NAME_MAX + 1];

	/* No volume has a name with such characters. */
	snprintf(lock_name, sizeof(lock_name), "\001convert %016llx",
	         (unsigned long long)hash_bytes(name, strlen(name)));
	return lock_take(cluster, lock_name, purpose, ret);
}

int sf_volume_alter_copy(struct sf_cluster *cluster, const char *name,
                         struct sf_redundancy redundancy, const volatile bool *stop,
                         sf_progress progress, void *progress_arg)
{
	struct convert c = {.cluster = cluster, .name = name, .stop = stop, .progress = progress,
	                    .arg = progress_arg};
	int err = convert_lock(cluster, name, "alter-copy", &c.lock);

	if (err < 0)
		return err;
	/* Who was stopped for a while must not write to, or clear away, what the next one makes. */
	fence_set_thread(&c.lock->fence);
	err = convert_run(&c, redundancy);
	fence_set_thread(NULL);
	lock_release(c.lock);
	return err;
}

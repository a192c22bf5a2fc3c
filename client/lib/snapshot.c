/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/family.h"
#include "client/lib/lock_visit.h"
#include "client/lib/map_copy.h"
#include "client/lib/snapshot.h"
#include "client/lib/volume.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"

/*
 * Each of these writes a new inode as a whole, which nobody sees (INODE_PENDING), then makes it
 * valid with one write of one header. Cut off before that, nothing has happened, and what lies
 * there is cleared away by the next; cut off behind it, all has.
 */

int snapshot_tag_check(const char *tag)
{
	size_t len = strnlen(tag, SF_NAME_MAX + 1);

	if (len == 0 || len > SF_NAME_MAX)
		return error_set(-EINVAL, "a snapshot's tag has 1 to %d bytes", SF_NAME_MAX);
	if (strspn(tag, "0123456789") == len)
		return error_set(-EINVAL, "a tag may not be a number: snapshots have numbers, too");
	if (has_control_characters(tag))
		return error_set(-EINVAL, "a tag may not contain control characters, such as a line feed");
	return 0;
}

/* Whoever converts a volume, or begins to, clears away what an earlier try left; unless the volume is gone
 * and nobody is at it. */
static int conversion_clear(struct sf_cluster *cluster, struct inode *inode)
{
	struct inode volume;
	struct lock *lock;
	bool there;
	int err = volume_find_alive(cluster, inode->info.name, &volume);

	if (err != -ENOENT)
		return err;
	err = convert_lock(cluster, inode->info.name, "delete", &lock);
	if (err < 0)
		return err == -EBUSY ? 0 : err;
	err = inode_refresh(cluster, inode, &there);
	if (!err && there)
		err = volume_delete_finish(cluster, inode);
	lock_release(lock);
	return err;
}

/* What was cut off, but for the deletion of snapshots: that needs no lock of the name and may be going on
 * (volume_delete.c). With the name's lock. */
static int pending_clear(struct sf_cluster *cluster, struct inode *v, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		bool valid, there;

		err = inode_refresh(cluster, &v[i], &there);
		if (err || !there)
			continue;
		err = inode_is_valid(cluster, &v[i], &valid);
		if (!err && !valid && (v[i].flags & INODE_CONVERT)) {
			err = conversion_clear(cluster, &v[i]);
		} else if (!err && valid && (v[i].flags & INODE_PENDING)) {
			v[i].flags &= ~(uint32_t)INODE_PENDING; /* it was to be said, too */
			err = inode_write(cluster, &v[i]);
		} else if (!err && (!valid || ((v[i].flags & INODE_DELETING) &&
		                               !v[i].info.snapshot_id))) {
			err = volume_delete_finish(cluster, &v[i]);
		}
	}
	return err;
}

int volume_name_prepare(struct sf_cluster *cluster, const char *name, const char *new_tag,
                        uint32_t *ret_number)
{
	struct inode *v;
	size_t count;
	int err = volume_find_all(cluster, name, &v, &count);

	if (err < 0)
		return err;
	*ret_number = 1;
	for (size_t i = 0; i < count && !err; i++) {
		if (v[i].info.snapshot_id >= *ret_number)
			*ret_number = v[i].info.snapshot_id + 1;
		if (new_tag && v[i].info.snapshot_id && !(v[i].flags & INODE_DELETING) &&
		    strcmp(v[i].info.tag, new_tag) == 0)
			err = error_set(-EEXIST, "it has a snapshot of this tag");
	}
	if (!err)
		err = pending_clear(cluster, v, count);
	free(v);
	return err;
}

static int not_converting(const struct inode *inode)
{
	if (inode->from_pool)
		return error_set(-EBUSY, "it is being converted; 'dog vdi alter-copy' finishes that");
	return 0;
}

int inode_derive(struct sf_cluster *cluster, const struct inode *from, const char *name,
                 uint32_t predecessor, struct inode *ret)
{
	struct inode in = {.flags = INODE_PENDING, .family = from->family};
	int err;

	in.info = from->info;
	in.info.snapshot_id = 0;
	memset(in.info.tag, 0, sizeof(in.info.tag));
	memset(in.info.name, 0, sizeof(in.info.name));
	snprintf(in.info.name, sizeof(in.info.name), "%s", name);
	in.info.parent_id = from->info.id;
	in.predecessor = predecessor;
	in.info.created_s = in.changed_s = (uint64_t)time(NULL);
	err = inode_place(cluster, &in, strcmp(name, from->info.name) == 0);
	if (!err)
		err = map_copy(cluster, from, &in);
	*ret = in;
	return err;
}

/* The header that counts is written; this only saves others the look at it. */
static void pending_end(struct sf_cluster *cluster, struct inode *inode)
{
	inode->flags &= ~(uint32_t)INODE_PENDING;
	(void)inode_write(cluster, inode);
}

int snapshot_create(struct sf_cluster *cluster, const char *name, const char *tag, uint64_t origin)
{
	struct inode old, next;
	uint32_t number;
	int err = volume_name_prepare(cluster, name, tag, &number);

	if (!err)
		err = volume_find_alive(cluster, name, &old);
	if (!err)
		err = not_converting(&old);
	if (!err && !old.family) {
		old.family = cluster_random(cluster) | 1;
		err = inode_write(cluster, &old);
	}
	if (!err)
		err = inode_derive(cluster, &old, name, old.info.id, &next);
	if (err < 0)
		return err;
	old.flags |= INODE_SHARED;
	old.successor = next.info.id;
	old.info.snapshot_id = number;
	old.origin = origin;
	old.changed_s = (uint64_t)time(NULL);
	snprintf(old.info.tag, sizeof(old.info.tag), "%s", tag);
	err = inode_write(cluster, &old);
	if (!err)
		pending_end(cluster, &next);
	return err;
}

int sf_snapshot_create(struct sf_cluster *cluster, const char *name, const char *tag)
{
	struct lock_scope scope = {0};
	int err = snapshot_tag_check(tag);

	if (!err)
		err = lock_scope_begin(cluster, name, "snapshot", true, &scope);
	if (!err)
		err = snapshot_create(cluster, name, tag, 0);
	lock_scope_end(&scope);
	return err;
}

int volume_replace(struct sf_cluster *cluster, struct inode *old, struct inode *next)
{
	int err;

	old->flags |= INODE_DELETING;
	old->successor = next->info.id;
	err = inode_write(cluster, old);
	if (err < 0)
		return err;
	pending_end(cluster, next);
	return volume_delete_finish(cluster, old);
}

int volume_find_replaced(struct sf_cluster *cluster, const char *name, struct inode *ret)
{
	int err = volume_find_alive(cluster, name, ret);

	if (err == 0)
		return not_converting(ret);
	ret->info.id = 0;
	return err == -ENOENT ? 0 : err; /* it was deleted, the snapshot was not */
}

static int snapshot_rollback(struct sf_cluster *cluster, const char *name, const char *tag)
{
	struct inode from, old, next;
	uint32_t number;
	int err = volume_name_prepare(cluster, name, NULL, &number);

	if (!err)
		err = volume_find_tag(cluster, name, tag, &from);
	if (!err)
		err = volume_find_replaced(cluster, name, &old);
	if (!err)
		err = inode_derive(cluster, &from, name, old.info.id, &next);
	if (err < 0)
		return err;
	if (old.info.id)
		return volume_replace(cluster, &old, &next);
	next.flags &= ~(uint32_t)INODE_PENDING;
	return inode_write(cluster, &next);
}

int sf_snapshot_rollback(struct sf_cluster *cluster, const char *name, const char *tag)
{
	struct lock_scope scope;
	int err = lock_scope_begin(cluster, name, "rollback", false, &scope);

	if (!err)
		err = snapshot_rollback(cluster, name, tag);
	lock_scope_end(&scope);
	return err;
}

/* ---- Clones ---- */

static int clone_fill(struct sf_cluster *cluster, struct inode *inode, uint32_t flags)
{
	int err = inode_own_all(cluster, inode, flags & SF_CLONE_PREALLOCATE);

	if (err < 0)
		return err;
	inode->info.parent_id = 0;
	inode->family = inode->creator;
	return 0;
}

/* The snapshot's objects stay while the clone's map is being made. */
static int clone_derive(struct sf_cluster *cluster, const char *name, const char *tag,
                        const char *clone, struct inode *ret)
{
	struct inode from;
	struct lock *lock;
	int err = volume_find_tag(cluster, name, tag, &from);

	if (!err)
		err = not_converting(&from);
	if (!err)
		err = family_lock(cluster, from.family, "clone", &lock);
	if (err < 0)
		return err;
	err = volume_find_tag(cluster, name, tag, &from);
	if (!err)
		err = inode_derive(cluster, &from, clone, 0, ret);
	if (!err)
		err = lock_check(lock); /* nobody has swept in between */
	lock_release(lock);
	return err;
}

static int volume_clone(struct sf_cluster *cluster, const char *name, const char *tag,
                        const char *clone, uint32_t flags)
{
	struct inode inode;
	uint32_t number;
	int err = volume_name_prepare(cluster, clone, NULL, &number);

	if (!err && volume_find_alive(cluster, clone, &inode) == 0)
		err = error_set(-EEXIST, "a volume of this name exists already");
	if (!err)
		err = clone_derive(cluster, name, tag, clone, &inode);
	if (err < 0)
		return err;
	inode.flags |= INODE_CLONE;
	if (flags)
		err = clone_fill(cluster, &inode, flags);
	return inode_publish(cluster, &inode, err);
}

int sf_volume_clone(struct sf_cluster *cluster, const char *name, const char *tag,
                    const char *clone, uint32_t flags)
{
	struct lock_scope scope = {0};
	const char *fault = volume_name_fault(clone);
	int err = *fault ? error_set(-EINVAL, "%s", fault) : 0;

	/* What a working volume's writer does next would show in the clone. */
	if (!err && !tag)
		err = error_set(-EINVAL, "only a snapshot can be cloned");

	if (!err)
		err = lock_scope_begin(cluster, clone, "clone", false, &scope);
	if (!err)
		err = volume_clone(cluster, name, tag, clone, flags);
	lock_scope_end(&scope);
	return err;
}

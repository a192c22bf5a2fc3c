/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/family.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { READ_WINDOW = 64, LOCK_TRIES = 30 };

/* ---- All inodes ---- */

struct inodes {
	struct inode *v;
	size_t count;
};

static void inode_answered(struct batch_slot *slot, void *arg)
{
	struct inodes *all = arg;

	if (slot->req.result < 0)
		batch_fail(slot);
	else if (!(slot->req.reply_flags & MSG_F_ABSENT) &&
	         inode_decode(slot->memory, &all->v[all->count]) == 0)
		all->count++;
}

int inodes_read_all(struct sf_cluster *cluster, struct inode **ret, size_t *ret_count)
{
	struct inodes all = {0};
	struct batch batch;
	uint64_t *oids;
	size_t count;
	int err = objects_list(cluster, POOL_META, oid_inode(0, 0),
	                       oid_inode(VOLUME_ID_MASK, UINT32_MAX), &oids, NULL, &count);

	if (err < 0)
		return err;
	all.v = xcalloc(count + 1, sizeof(all.v[0]));
	batch_init(&batch, cluster, READ_WINDOW, INODE_HEADER_LEN, inode_answered, &all);
	for (size_t i = 0; i < count && !batch_failed(&batch); i++) {
		struct batch_slot *slot;

		if (oid_index(oids[i]) != 0)
			continue;
		slot = batch_take(&batch, ROUTE_PRIMARY, MSG_OBJ_READ);
		slot->req.pool = POOL_META;
		slot->req.oid = oids[i];
		slot->req.length = INODE_HEADER_LEN;
		slot->req.rx = slot->memory;
		batch_submit(slot);
	}
	err = batch_fini(&batch);
	free(oids);
	if (err < 0) {
		free(all.v);
		return err;
	}
	*ret = all.v;
	*ret_count = all.count;
	return 0;
}

static int family_read(struct sf_cluster *cluster, uint64_t family, struct inode **ret,
                       size_t *ret_count)
{
	struct inode *v;
	size_t count, kept = 0;
	int err = inodes_read_all(cluster, &v, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		if (v[i].family == family && (v[i].flags & (INODE_DELETED | INODE_GHOST)) !=
		                                     INODE_DELETED)
			v[kept++] = v[i];
	*ret = v;
	*ret_count = kept;
	return 0;
}

/* ---- The lock ---- */

int family_lock(struct sf_cluster *cluster, uint64_t family, const char *purpose,
                struct lock **ret)
{
	char name[32];
	int err;

	/* No volume's name: those of scripts and people have no control characters. */
	snprintf(name, sizeof(name), "\001family %016llx", (unsigned long long)family);
	for (int i = 0; (err = lock_take(cluster, name, purpose, ret)) == -EBUSY; i++) {
		struct timespec second = {.tv_sec = 1};

		if (i == LOCK_TRIES)
			break;
		nanosleep(&second, NULL);
	}
	return err;
}

/* ---- The sweep ---- */

static bool is_dead(const struct inode *inode)
{
	return inode->flags & (INODE_DELETING | INODE_GHOST);
}

/* Objects of the dead that the living show. */
struct needed {
	const uint32_t *dead;
	size_t dead_count;
	uint64_t *oids;
	size_t count, capacity;
};

static void needed_add(void *arg, uint64_t index, uint32_t owner)
{
	struct needed *n = arg;
	size_t i = 0;

	while (i < n->dead_count && n->dead[i] != owner)
		i++;
	if (i == n->dead_count)
		return;
	if (n->count == n->capacity) {
		n->capacity = n->capacity ? 2 * n->capacity : 1024;
		n->oids = xrealloc(n->oids, n->capacity * sizeof(n->oids[0]));
	}
	n->oids[n->count++] = oid_data(owner, (uint32_t)index);
}

static int needed_find(struct sf_cluster *cluster, const struct inode *v, size_t count,
                       struct needed *n)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		if (!is_dead(&v[i]))
			err = volume_map_scan(cluster, &v[i], 0, needed_add, n);
	oids_sort(n->oids, n->count);
	return err;
}

/* One of the dead: what nobody needs goes. */
static int inode_sweep(struct sf_cluster *cluster, struct inode *inode, const struct needed *n)
{
	uint64_t *oids = NULL;
	size_t count = 0, drop = 0;
	int err = objects_list(cluster, inode->info.pool, oid_data(inode->info.id, 0),
	                       oid_data(inode->info.id, UINT32_MAX), &oids, NULL, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		if (!oids_find(n->oids, n->count, oids[i]))
			oids[drop++] = oids[i];
	err = objects_delete(cluster, inode->info.pool, oids, drop);
	free(oids);
	if (!err && (inode->flags & INODE_DELETING) && inode->info.snapshot_id == 0)
		err = volume_forget_name(cluster, inode->info.name);
	if (err || (drop < count && (inode->flags & INODE_GHOST)))
		return err; /* a ghost it was and is */
	return inode_retire(cluster, inode, drop < count);
}

int family_sweep(struct sf_cluster *cluster, uint64_t family)
{
	struct needed n = {0};
	struct inode *v;
	uint32_t *dead;
	size_t count;
	int err = family_read(cluster, family, &v, &count);

	if (err < 0)
		return err;
	dead = xcalloc(count + 1, sizeof(dead[0]));
	for (size_t i = 0; i < count; i++)
		if (is_dead(&v[i]))
			dead[n.dead_count++] = v[i].info.id;
	n.dead = dead;
	if (n.dead_count)
		err = needed_find(cluster, v, count, &n);
	/* Ghosts first: of a sweep that is cut off, one that says INODE_DELETING is left, and with it
	 * the reason to sweep again. */
	for (size_t i = 0; i < count && !err; i++)
		if (v[i].flags & INODE_GHOST)
			err = inode_sweep(cluster, &v[i], &n);
	for (size_t i = 0; i < count && !err; i++)
		if (v[i].flags & INODE_DELETING)
			err = inode_sweep(cluster, &v[i], &n);
	free(n.oids);
	free(dead);
	free(v);
	return err;
}

int family_delete(struct sf_cluster *cluster, struct inode *inode)
{
	const struct fence *outer = fence_of_thread();
	struct lock *lock;
	int err = family_lock(cluster, inode->family, "delete", &lock);

	if (err < 0)
		return err;
	if (!(inode->flags & INODE_DELETING)) {
		inode->flags |= INODE_DELETING;
		err = inode_write(cluster, inode);
	}
	/* Once another sweeps, the ids of the dead may be given out again. */
	fence_set_thread(&lock->fence);
	if (!err)
		err = family_sweep(cluster, inode->family);
	fence_set_thread(outer);
	lock_release(lock);
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "client/lib/family.h"
#include "client/lib/lock_visit.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"

/* Seen without a lock: somebody may be at work on it, or it may be valid all the same. */
static bool seems_left(struct sf_cluster *cluster, const struct inode *inode)
{
	struct inode volume;

	if (!(inode->flags & (INODE_DELETING | INODE_PENDING)) || (inode->flags & INODE_DELETED))
		return false;
	/* A conversion may be going on for as long as there is the volume. */
	return !(inode->flags & INODE_CONVERT) ||
	       volume_find_alive(cluster, inode->info.name, &volume) == -ENOENT;
}

static int left_clear(struct sf_cluster *cluster, struct inode *inode, size_t *cleared)
{
	/* A snapshot's deletion needs no lock of the name: no writer has to wait for it. */
	bool snapshot = (inode->flags & INODE_DELETING) && inode->info.snapshot_id;
	struct lock_scope scope = {0};
	uint32_t number;
	bool there;
	int err = 0;

	if (!snapshot)
		err = lock_scope_begin(cluster, inode->info.name, "check", true, &scope);
	if (!err)
		err = inode_refresh(cluster, inode, &there);
	if (!err && there && seems_left(cluster, inode)) {
		err = snapshot ? volume_delete_finish(cluster, inode)
		               : volume_name_prepare(cluster, inode->info.name, NULL, &number);
		*cleared += !err;
	}
	lock_scope_end(&scope);
	return err == -EBUSY ? 0 : err;
}

int sf_leftovers_clear(struct sf_cluster *cluster, size_t *ret_cleared)
{
	struct inode *v;
	size_t count;
	int err = inodes_read_all(cluster, &v, &count);

	if (err < 0)
		return err;
	*ret_cleared = 0;
	for (size_t i = 0; i < count && !err; i++)
		if (seems_left(cluster, &v[i]))
			err = left_clear(cluster, &v[i], ret_cleared);
	free(v);
	return err;
}

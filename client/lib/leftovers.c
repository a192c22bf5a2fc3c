/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "client/lib/family.h"
#include "client/lib/lock_visit.h"
#include "client/lib/volume_dir.h"

/* Seen without a lock: somebody may be at work on it, or it may be valid all the same. */
static bool seems_left(const struct inode *inode)
{
	return (inode->flags & (INODE_DELETING | INODE_PENDING)) && !(inode->flags & INODE_DELETED);
}

static int name_clear(struct sf_cluster *cluster, struct inode *inode, size_t *cleared)
{
	struct lock_scope scope = {0};
	uint32_t number;
	bool there;
	int err = lock_scope_begin(cluster, inode->info.name, "check", true, &scope);

	if (!err)
		err = inode_refresh(cluster, inode, &there);
	if (!err && there && seems_left(inode)) {
		err = volume_name_prepare(cluster, inode->info.name, NULL, &number);
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
		if (seems_left(&v[i]))
			err = name_clear(cluster, &v[i], ret_cleared);
	free(v);
	return err;
}

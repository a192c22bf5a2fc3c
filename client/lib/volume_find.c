/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/error.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"

/* Finding inodes by name: along the probe chain of the name's hash. */
enum { PROBES_MAX = 1 << 16 };

int inode_is_valid(struct sf_cluster *cluster, const struct inode *inode, bool *ret)
{
	struct inode before;
	int err;

	if (!(inode->flags & INODE_PENDING)) {
		*ret = true;
		return 0;
	}
	if (inode->predecessor == 0) {
		*ret = false;
		return 0;
	}
	err = inode_read(cluster, inode->predecessor, &before);
	if (err < 0 && err != -ENOENT && err != -EILSEQ)
		return err;
	*ret = err == 0 && before.successor == inode->info.id &&
	       strcmp(before.info.name, inode->info.name) == 0;
	return 0;
}

int inode_refresh(struct sf_cluster *cluster, struct inode *inode, bool *ret)
{
	struct inode now;
	int err = inode_read(cluster, inode->info.id, &now);

	*ret = err == 0 && now.creator == inode->creator && !(now.flags & INODE_DELETED);
	if (*ret)
		*inode = now;
	return err == -ENOENT || err == -EILSEQ ? 0 : err;
}

bool inode_is_alive(struct sf_cluster *cluster, const struct inode *inode)
{
	bool valid = false;

	if (inode->flags & (INODE_DELETING | INODE_DELETED))
		return false;
	return inode_is_valid(cluster, inode, &valid) == 0 && valid;
}

int volume_find_all(struct sf_cluster *cluster, const char *name, struct inode **ret,
                    size_t *ret_count)
{
	uint32_t id = volume_id_of_name(name);
	struct inode *v = NULL, inode;
	size_t count = 0;

	for (int i = 0; i < PROBES_MAX; i++, id = volume_id_next(id)) {
		int err = inode_read(cluster, id, &inode);

		if (err == -ENOENT)
			break;
		if (err < 0 && err != -EILSEQ) { /* damaged: somebody's; whose is not known */
			free(v);
			return err;
		}
		if (err < 0 || (inode.flags & INODE_DELETED) || strcmp(inode.info.name, name) != 0)
			continue;
		v = xrealloc(v, (count + 1) * sizeof(v[0]));
		v[count++] = inode;
	}
	*ret = v;
	*ret_count = count;
	return 0;
}

int volume_find(struct sf_cluster *cluster, const char *name, struct inode *ret)
{
	uint32_t id = volume_id_of_name(name);
	bool deleting = false, valid;
	struct inode inode;

	for (int i = 0; i < PROBES_MAX; i++, id = volume_id_next(id)) {
		int err = inode_read(cluster, id, &inode);

		if (err == -EILSEQ)
			continue; /* somebody's; whose is not known */
		if (err == -ENOENT)
			break;
		if (err < 0)
			return err;
		if ((inode.flags & INODE_DELETED) || inode.info.snapshot_id != 0 ||
		    strcmp(inode.info.name, name) != 0)
			continue;
		err = inode_is_valid(cluster, &inode, &valid);
		if (err < 0)
			return err;
		if (!valid)
			continue;
		*ret = inode;
		deleting = inode.flags & INODE_DELETING;
		if (!deleting)
			return 0;
	}
	return deleting ? 0 : error_set(-ENOENT, "there is no volume of this name");
}

int volume_find_alive(struct sf_cluster *cluster, const char *name, struct inode *ret)
{
	int err = volume_find(cluster, name, ret);

	if (err == 0 && (ret->flags & INODE_DELETING))
		return error_set(-ENOENT, "the volume is being deleted");
	return err;
}

static bool tag_matches(const struct inode *inode, const char *tag)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", inode->info.snapshot_id);
	return inode->info.snapshot_id != 0 &&
	       (strcmp(inode->info.tag, tag) == 0 || strcmp(number, tag) == 0);
}

static int find_tag(struct sf_cluster *cluster, const char *name, const char *tag, bool or_left,
                    struct inode *ret)
{
	struct inode *v;
	size_t count;
	bool found = false, alive = false;
	int err = volume_find_all(cluster, name, &v, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count && !alive; i++) {
		if (!tag_matches(&v[i], tag))
			continue;
		alive = inode_is_alive(cluster, &v[i]);
		if (!alive && !(or_left && (v[i].flags & INODE_DELETING)))
			continue;
		found = true;
		*ret = v[i];
	}
	if (count == 0)
		err = error_set(-ENOENT, "there is no volume of this name");
	else if (!found)
		err = error_set(-ENOENT, "it has no snapshot '%.100s'", tag);
	free(v);
	return err;
}

int volume_find_tag(struct sf_cluster *cluster, const char *name, const char *tag,
                    struct inode *ret)
{
	return tag ? find_tag(cluster, name, tag, false, ret) : volume_find_alive(cluster, name, ret);
}

int volume_find_tag_left(struct sf_cluster *cluster, const char *name, const char *tag,
                         struct inode *ret)
{
	return find_tag(cluster, name, tag, true, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/tree.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/gather.h"
#include "fuse/landing.h"

struct entry {
	fuse_ino_t ino, parent;
	const char *name;
	mode_t mode;
};
static const struct entry tree[] = {
	{NODE_ROOT, NODE_ROOT, "", S_IFDIR | 0555},
	{NODE_CLUSTER, NODE_ROOT, "cluster", S_IFDIR | 0555},
	{NODE_CLUSTER_INFO, NODE_CLUSTER, "info", S_IFREG | 0444},
	{NODE_NODE, NODE_ROOT, "node", S_IFDIR | 0555},
	{NODE_NODE_LIST, NODE_NODE, "list", S_IFREG | 0444},
	{NODE_NODE_INFO, NODE_NODE, "info", S_IFREG | 0444},
	{NODE_VDI, NODE_ROOT, "vdi", S_IFDIR | 0555},
	{NODE_VDI_LIST, NODE_VDI, "list", S_IFREG | 0444},
	{NODE_VDI_MOUNT, NODE_VDI, "mount", S_IFREG | 0644},
	{NODE_VDI_UNMOUNT, NODE_VDI, "unmount", S_IFREG | 0200},
	{NODE_VOLUME, NODE_ROOT, "volume", S_IFDIR | 0555},
};
static_assert(sizeof(tree) / sizeof(tree[0]) == NODE_COUNT - 1, "one entry for each");

const double tree_timeout_s = 1.0;
static const double forever_s = 86400.0;

struct volume *tree_volume(fuse_ino_t ino)
{
	return ino < NODE_COUNT ? NULL : (struct volume *)(uintptr_t)ino;
}

fuse_ino_t tree_ino(const struct volume *v)
{
	return (uintptr_t)v;
}

static struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

static const struct entry *entry_of(fuse_ino_t ino)
{
	assert(ino >= NODE_ROOT && ino < NODE_COUNT);
	return &tree[ino - NODE_ROOT];
}

static void entry_attributes(const struct mount *m, const struct entry *e, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = e->ino,
		.st_mode = e->mode,
		.st_nlink = S_ISDIR(e->mode) ? 2 : 1,
		.st_uid = m->uid,
		.st_gid = m->gid,
		.st_atim.tv_sec = m->mounted_s,
		.st_mtim.tv_sec = m->mounted_s,
		.st_ctim.tv_sec = m->mounted_s,
	};
}

/* ---- Names ---- */

static void tree_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.generation = 1, .attr_timeout = forever_s, .entry_timeout = forever_s};
	struct mount *m = mount_of(req);

	if (parent == NODE_VOLUME) {
		ask_lookup(req, m, name);
		return;
	}
	for (size_t i = 1; i < sizeof(tree) / sizeof(tree[0]); i++) {
		if (tree[i].parent != parent || strcmp(tree[i].name, name) != 0)
			continue;
		e.ino = tree[i].ino;
		entry_attributes(m, &tree[i], &e.attr);
		fuse_reply_entry(req, &e);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

static void tree_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	if (tree_volume(ino))
		volume_forget(tree_volume(ino), lookups);
	fuse_reply_none(req);
}

static void tree_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (tree_volume(forgets[i].ino))
			volume_forget(tree_volume(forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

static void tree_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	if (tree_volume(ino)) {
		ask_getattr(req, tree_volume(ino));
		return;
	}
	entry_attributes(mount_of(req), entry_of(ino), &st);
	fuse_reply_attr(req, &st, forever_s);
}

/*
 * A volume's size is fixed here: `dog vdi resize` changes it. To take a size all the same, or to
 * empty it, would let whoever relies on that find old bytes. Owner and mode are the mount's.
 */
static void tree_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                         struct fuse_file_info *fi)
{
	struct volume *v = tree_volume(ino);
	struct mount *m = mount_of(req);
	bool sized = to_set & FUSE_SET_ATTR_SIZE, right;

	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
		fuse_reply_err(req, EPERM);
		return;
	}
	if (v && sized) {
		pthread_mutex_lock(&m->lock);
		right = (uint64_t)attr->st_size == v->info.size_bytes;
		pthread_mutex_unlock(&m->lock);
		if (!right) {
			mount_log(m,
			          "volume %s: its size is not changed by truncating the file; "
			          "dog vdi resize does it",
			          v->name);
			fuse_reply_err(req, EPERM);
			return;
		}
	}
	tree_getattr(req, ino, fi);
}

/* ---- Folders ---- */

static void tree_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *file;

	if (ino == NODE_VOLUME) {
		ask_list(req, mount_of(req), fi);
		return;
	}
	file = file_create(mount_of(req));
	fi->fh = (uintptr_t)file;
	if (fuse_reply_open(req, fi) < 0)
		file_destroy(mount_of(req), file);
}

/* Entry `index` of a folder; false: there are no more. */
static bool folder_entry(const struct file *open, const struct entry *dir, size_t index,
                         const char **ret_name, struct stat *ret)
{
	size_t at = 2;

	*ret = (struct stat){.st_ino = dir->ino, .st_mode = S_IFDIR};
	if (index < 2) {
		*ret_name = index == 0 ? "." : "..";
		if (index == 1)
			ret->st_ino = dir->parent;
		return true;
	}
	if (open->names) {
		*ret_name = open->names[index - 2];
		*ret = (struct stat){.st_ino = NODE_COUNT, .st_mode = S_IFREG};
		return *ret_name;
	}
	for (size_t i = 1; i < sizeof(tree) / sizeof(tree[0]); i++) {
		if (tree[i].parent != dir->ino || at++ != index)
			continue;
		*ret_name = tree[i].name;
		*ret = (struct stat){.st_ino = tree[i].ino, .st_mode = tree[i].mode};
		return true;
	}
	return false;
}

static void tree_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
	const struct file *open = file_of(fi);
	const char *name;
	struct stat st;
	size_t used = 0, added;
	char *data;

	if (size > REQUEST_MAX)
		size = REQUEST_MAX;
	data = memory_zeroed(size);
	for (size_t i = (size_t)offset; folder_entry(open, entry_of(ino), i, &name, &st); i++) {
		added = fuse_add_direntry(req, data + used, size - used, name, &st, (off_t)i + 1);
		if (added > size - used)
			break;
		used += added;
	}
	fuse_reply_buf(req, data, used);
	free(data);
}

static void tree_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	file_destroy(mount_of(req), file_of(fi));
	fuse_reply_err(req, 0);
}

/* ---- Files ---- */

static void tree_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (tree_volume(ino))
		ask_open(req, tree_volume(ino), fi);
	else
		ask_open_text(req, mount_of(req), ino, fi);
}

static void tree_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	const struct file *file = file_of(fi);
	size_t at = (size_t)offset;

	if (tree_volume(ino)) {
		io_read(tree_volume(ino), req, size, (uint64_t)offset);
		return;
	}
	if (!file->text || at >= file->text_len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, file->text + at,
		               size < file->text_len - at ? size : file->text_len - at);
}

static void tree_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
	data = landing_data(mount_of(req), data);
	if (tree_volume(ino))
		gather_write(tree_volume(ino), req, data, size, (uint64_t)offset, fi->flags);
	else
		ask_expose(req, mount_of(req), ino, data, size);
}

static void tree_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (tree_volume(ino) && file_of(fi)->writes)
		io_flush(tree_volume(ino), req, file_of(fi));
	else
		fuse_reply_err(req, 0);
}

static void tree_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	if (tree_volume(ino))
		io_flush(tree_volume(ino), req, file_of(fi));
	else
		fuse_reply_err(req, 0);
}

static void tree_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	if (file->volume)
		io_leave(file->volume, file->writes);
	file_destroy(mount_of(req), file);
	fuse_reply_err(req, 0);
}

static void tree_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                           struct fuse_file_info *fi)
{
	struct volume *v = tree_volume(ino);
	struct mount *m = mount_of(req);
	uint64_t begin = (uint64_t)offset, bytes = (uint64_t)length, size;
	bool punch = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);

	/* Nothing reserves space: plain allocation would promise what is not so. */
	if (!v || (!punch && (mode & ~FALLOC_FL_KEEP_SIZE) != FALLOC_FL_ZERO_RANGE)) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	pthread_mutex_lock(&m->lock);
	size = v->info.size_bytes;
	clock_gettime(CLOCK_REALTIME, &v->written);
	pthread_mutex_unlock(&m->lock);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && (begin > size || bytes > size - begin)) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	if (begin >= size) {
		fuse_reply_err(req, 0);
		return;
	}
	io_zero(v, req, bytes < size - begin ? bytes : size - begin, begin);
}

static void tree_statfs(fuse_req_t req, fuse_ino_t ino)
{
	ask_space(req, mount_of(req));
}

/* ---- What there is nothing of: volumes are made and deleted with dog ---- */

static void tree_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi)
{
	fuse_reply_err(req, EPERM);
}

static void tree_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_reply_err(req, EPERM);
}

static void tree_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	fuse_reply_err(req, EPERM);
}

static void tree_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

static void tree_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
                        const char *new_name, unsigned flags)
{
	fuse_reply_err(req, EPERM);
}

/* ---- All of it ---- */

static void tree_init(void *userdata, struct fuse_conn_info *conn)
{
	/* Requests are kept in memory of our own, and several are under way at once. */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
	                          FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE |
	                          FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC);
	conn->want |= conn->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
	                               FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_EXPLICIT_INVAL_DATA);
	conn->max_write = REQUEST_MAX;
	conn->max_background = 128;
	conn->congestion_threshold = 112;
	((struct mount *)userdata)->greeted = true;
}

const struct fuse_lowlevel_ops tree_ops = {
	.init = tree_init,
	.lookup = tree_lookup,
	.forget = tree_forget,
	.forget_multi = tree_forget_multi,
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.opendir = tree_opendir,
	.readdir = tree_readdir,
	.releasedir = tree_releasedir,
	.open = tree_open,
	.read = tree_read,
	.write = tree_write,
	.flush = tree_flush,
	.fsync = tree_fsync,
	.release = tree_release,
	.fallocate = tree_fallocate,
	.statfs = tree_statfs,
	.create = tree_create,
	.mkdir = tree_mkdir,
	.mknod = tree_mknod,
	.unlink = tree_unlink,
	.rmdir = tree_unlink,
	.rename = tree_rename,
};

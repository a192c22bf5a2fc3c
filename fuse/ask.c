/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/io.h"
#include "fuse/text.h"
#include "fuse/tree.h"

/* Requests that wait for the cluster, one job each. */
struct ask {
	struct job job;
	fuse_req_t req;
	struct mount *mount;
	struct volume *volume; /* a reference, or NULL */
	fuse_ino_t ino;
	struct fuse_file_info file;
	char *text;
};

static struct ask *ask_create(fuse_req_t req, struct mount *m, void (*run)(struct job *))
{
	struct ask *a = memory_zeroed(sizeof(*a));

	a->job.run = run;
	a->req = req;
	a->mount = m;
	return a;
}

static void ask_volume(struct ask *a, struct volume *v)
{
	pthread_mutex_lock(&v->mount->lock);
	volume_ref(v);
	pthread_mutex_unlock(&v->mount->lock);
	a->volume = v;
}

static void ask_end(struct ask *a)
{
	if (a->volume)
		volume_unref(a->volume);
	free(a->text);
	free(a);
}

/* What is not there (any more), or not to be reached. */
static int ask_errno(int err)
{
	return err == -ENOENT ? ENOENT : io_errno(err);
}

/* ---- Volumes ---- */

static void lookup_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct mount *m = a->mount;
	struct fuse_entry_param e = {
		.generation = 1, .attr_timeout = tree_timeout_s, .entry_timeout = tree_timeout_s};
	struct sf_volume_info info;
	int err = volume_stat(a->volume, &info);

	if (err < 0) {
		fuse_reply_err(a->req, ask_errno(err));
		ask_end(a);
		return;
	}
	volume_attributes(a->volume, &info, &e.attr);
	e.ino = tree_ino(a->volume);
	pthread_mutex_lock(&m->lock);
	a->volume->lookups++;
	pthread_mutex_unlock(&m->lock);
	/* The kernel forgets it by itself, unless it never hears of it. */
	if (fuse_reply_entry(a->req, &e) < 0)
		volume_forget(a->volume, 1);
	ask_end(a);
}

void ask_lookup(fuse_req_t req, struct mount *m, const char *name)
{
	struct ask *a;
	struct volume *v;
	bool shown;

	pthread_mutex_lock(&m->lock);
	shown = exposed_has(m, name);
	pthread_mutex_unlock(&m->lock);
	v = shown ? volume_get(m, name) : NULL;
	if (!v) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	a = ask_create(req, m, lookup_run);
	a->volume = v;
	workers_post(m->workers, &a->job);
}

static void getattr_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct sf_volume_info info;
	struct stat st;
	int err = volume_stat(a->volume, &info);

	if (err < 0) {
		fuse_reply_err(a->req, ask_errno(err));
	} else {
		volume_attributes(a->volume, &info, &st);
		fuse_reply_attr(a->req, &st, tree_timeout_s);
	}
	ask_end(a);
}

void ask_getattr(fuse_req_t req, struct volume *v)
{
	struct ask *a = ask_create(req, v->mount, getattr_run);

	ask_volume(a, v);
	workers_post(v->mount->workers, &a->job);
}

static void open_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct mount *m = a->mount;
	struct volume *v = a->volume;
	bool writes = (a->file.flags & O_ACCMODE) != O_RDONLY;
	struct file *file;
	int err = volume_open(v, writes);

	if (err < 0) {
		fuse_reply_err(a->req, ask_errno(err));
		ask_end(a);
		return;
	}
	file = file_create(m);
	file->volume = v; /* our reference becomes the file's */
	file->writes = writes;
	pthread_mutex_lock(&m->lock);
	volume_ref(v);
	file->errors_seen = v->write_errors;
	/* While it is locked from here nobody else changes it. */
	a->file.keep_cache = v->writable && v->readers + v->writers > 1;
	pthread_mutex_unlock(&m->lock);
	a->file.direct_io = m->options->no_cache;
	a->file.fh = (uintptr_t)file;
	if (fuse_reply_open(a->req, &a->file) < 0) {
		/* Interrupted: there will be no release. */
		file_destroy(m, file);
		volume_leave(v, writes);
		volume_settle(v);
		volume_unref(v);
	}
	ask_end(a);
}

void ask_open(fuse_req_t req, struct volume *v, const struct fuse_file_info *fi)
{
	struct ask *a = ask_create(req, v->mount, open_run);

	ask_volume(a, v);
	a->file = *fi;
	workers_post(v->mount->workers, &a->job);
}

/* ---- Texts ---- */

static int text_make(struct mount *m, fuse_ino_t ino, char **ret)
{
	switch (ino) {
	case NODE_CLUSTER_INFO:
		return text_cluster_info(m->cluster, ret);
	case NODE_NODE_LIST:
		return text_node_list(m->cluster, ret);
	case NODE_NODE_INFO:
		return text_node_info(m->cluster, ret);
	case NODE_VDI_LIST:
		return text_vdi_list(m->cluster, ret);
	case NODE_VDI_MOUNT:
		*ret = exposed_text(m);
		return 0;
	default:
		*ret = memory_text("");
		return 0;
	}
}

static void open_failed(struct ask *a, struct file *file)
{
	mount_log(a->mount, "%s", sf_error());
	fuse_reply_err(a->req, EIO);
	file_destroy(a->mount, file);
	ask_end(a);
}

static void open_text_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct file *file = file_create(a->mount);
	int err = 0;

	if ((a->file.flags & O_ACCMODE) != O_WRONLY)
		err = text_make(a->mount, a->ino, &file->text);
	if (err < 0) {
		open_failed(a, file);
		return;
	}
	file->text_len = file->text ? strlen(file->text) : 0;
	a->file.direct_io = 1; /* its size is not known beforehand */
	a->file.fh = (uintptr_t)file;
	if (fuse_reply_open(a->req, &a->file) < 0) {
		file_destroy(a->mount, file);
	}
	ask_end(a);
}

void ask_open_text(fuse_req_t req, struct mount *m, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	struct ask *a = ask_create(req, m, open_text_run);

	a->ino = ino;
	a->file = *fi;
	workers_post(m->workers, &a->job);
}

/* ---- vdi/mount, vdi/unmount ---- */

static int expose_one(struct mount *m, const char *name)
{
	struct sf_volume_info info;
	struct volume *v = strchr(name, '/') ? NULL : volume_get(m, name);
	int err;

	if (!v)
		return -ENOENT;
	err = volume_stat(v, &info);
	volume_unref(v);
	if (err == 0)
		err = exposed_add(m, name);
	return err == -EEXIST ? 0 : err;
}

static void expose_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct mount *m = a->mount;
	size_t len = strlen(a->text);
	char *rest = a->text, *name;
	int err = 0;

	while (!err && (name = strsep(&rest, "\n"))) {
		if (!*name)
			continue;
		if (a->ino == NODE_VDI_MOUNT) {
			err = expose_one(m, name);
			continue;
		}
		err = exposed_remove(m, name);
		if (!err)
			(void)fuse_lowlevel_notify_inval_entry(m->session, NODE_VOLUME, name,
			                                       strlen(name));
	}
	if (err < 0)
		fuse_reply_err(a->req, ask_errno(err));
	else
		fuse_reply_write(a->req, len);
	ask_end(a);
}

void ask_expose(fuse_req_t req, struct mount *m, fuse_ino_t ino, const char *text, size_t len)
{
	struct ask *a = ask_create(req, m, expose_run);

	a->ino = ino;
	a->text = memory_zeroed(len + 1);
	memcpy(a->text, text, len);
	workers_post(m->workers, &a->job);
}

/* ---- volume/ ---- */

static void list_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct file *file = file_create(a->mount);
	int err = exposed_list(a->mount, &file->names);

	if (err < 0) {
		open_failed(a, file);
		return;
	}
	a->file.fh = (uintptr_t)file;
	if (fuse_reply_open(a->req, &a->file) < 0)
		file_destroy(a->mount, file);
	ask_end(a);
}

void ask_list(fuse_req_t req, struct mount *m, const struct fuse_file_info *fi)
{
	struct ask *a = ask_create(req, m, list_run);

	a->file = *fi;
	workers_post(m->workers, &a->job);
}

/* ---- df ---- */

enum { SPACE_AGE_MS = 1000, SPACE_BLOCK = 4096 };

/* Of what is left for data, after the redundancy that a volume has unless told otherwise. */
static void space_fill(struct sf_map *map, const struct sf_status *status, struct statvfs *ret)
{
	uint64_t data = 1, all = 1;

	/* The first is the cluster's own, the second is what volumes get. */
	if (map->pool_count > 1) {
		data = map->pools[1].redundancy.data;
		all = data + map->pools[1].redundancy.parity;
	}
	*ret = (struct statvfs){
		.f_bsize = SPACE_BLOCK, .f_frsize = SPACE_BLOCK, .f_namemax = SF_NAME_MAX};
	ret->f_blocks = status->size_bytes / all * data / SPACE_BLOCK;
	ret->f_bavail = ret->f_bfree = status->avail_bytes / all * data / SPACE_BLOCK;
}

static void space_run(struct job *job)
{
	struct ask *a = (struct ask *)job;
	struct mount *m = a->mount;
	struct sf_status *status = NULL;
	struct sf_map *map = NULL;
	struct statvfs space;
	int err = sf_map_get(m->cluster, 0, &map);

	if (!err)
		err = sf_status_get(m->cluster, &status);
	if (err < 0) {
		fuse_reply_err(a->req, EIO);
	} else {
		space_fill(map, status, &space);
		pthread_mutex_lock(&m->lock);
		m->space = space;
		m->space_ms = mount_now_ms();
		pthread_mutex_unlock(&m->lock);
		fuse_reply_statfs(a->req, &space);
	}
	sf_status_free(status);
	sf_map_free(map);
	ask_end(a);
}

void ask_space(fuse_req_t req, struct mount *m)
{
	struct statvfs space;
	bool fresh;

	pthread_mutex_lock(&m->lock);
	fresh = m->space_ms && mount_now_ms() - m->space_ms < SPACE_AGE_MS;
	space = m->space;
	pthread_mutex_unlock(&m->lock);
	if (fresh)
		fuse_reply_statfs(req, &space);
	else
		workers_post(m->workers, &ask_create(req, m, space_run)->job);
}

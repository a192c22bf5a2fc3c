/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/volume.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned bucket_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash % VOLUME_BUCKETS;
}

/* ---- Life ---- */

/* A '@' may be part of a volume's name: the last one counts. */
static bool name_split(const char *name, char base[SF_NAME_MAX + 1], char tag[SF_NAME_MAX + 1])
{
	const char *at = strrchr(name, '@');
	size_t len = at ? (size_t)(at - name) : strlen(name);

	if (len == 0 || len > SF_NAME_MAX || (at && strlen(at + 1) > SF_NAME_MAX))
		return false;
	memcpy(base, name, len);
	base[len] = '\0';
	strcpy(tag, at ? at + 1 : "");
	return true;
}

static struct volume *volume_create(struct mount *m, const char *name)
{
	struct volume *v = memory_zeroed(sizeof(*v));

	if (!name_split(name, v->base, v->tag)) {
		free(v);
		return NULL;
	}
	v->mount = m;
	strcpy(v->name, name);
	v->ino = ++m->last_ino;
	TAILQ_INIT(&v->ops);
	pthread_mutex_init(&v->door, NULL);
	LIST_INSERT_HEAD(&m->volumes[bucket_of(name)], v, link);
	return v;
}

struct volume *volume_get(struct mount *m, const char *name)
{
	struct volume *v;

	if (strlen(name) > SF_NAME_MAX)
		return NULL;
	pthread_mutex_lock(&m->lock);
	LIST_FOREACH(v, &m->volumes[bucket_of(name)], link)
	if (strcmp(v->name, name) == 0)
		break;
	if (!v)
		v = volume_create(m, name);
	if (v)
		v->refs++;
	pthread_mutex_unlock(&m->lock);
	return v;
}

void volume_ref(struct volume *v)
{
	v->refs++;
}

static void volume_free_if_unused(struct volume *v)
{
	if (v->refs > 0 || v->lookups > 0)
		return;
	assert(!v->handle && TAILQ_EMPTY(&v->ops));
	LIST_REMOVE(v, link);
	pthread_mutex_destroy(&v->door);
	free(v);
}

void volume_unref_locked(struct volume *v)
{
	assert(v->refs > 0);
	v->refs--;
	volume_free_if_unused(v);
}

void volume_unref(struct volume *v)
{
	struct mount *m = v->mount;

	pthread_mutex_lock(&m->lock);
	volume_unref_locked(v);
	pthread_mutex_unlock(&m->lock);
}

void volume_forget(struct volume *v, uint64_t lookups)
{
	struct mount *m = v->mount;

	pthread_mutex_lock(&m->lock);
	assert(lookups <= v->lookups);
	v->lookups -= lookups;
	volume_free_if_unused(v);
	pthread_mutex_unlock(&m->lock);
}

struct file *file_create(struct mount *m)
{
	struct file *file = memory_zeroed(sizeof(*file));

	pthread_mutex_lock(&m->lock);
	LIST_INSERT_HEAD(&m->files, file, link);
	pthread_mutex_unlock(&m->lock);
	return file;
}

void file_destroy(struct mount *m, struct file *file)
{
	pthread_mutex_lock(&m->lock);
	LIST_REMOVE(file, link);
	pthread_mutex_unlock(&m->lock);
	for (char **name = file->names; name && *name; name++)
		free(*name);
	free(file->names);
	free(file->text);
	free(file);
}

/* ---- What the cluster says ---- */

int volume_stat(struct volume *v, struct sf_volume_info *ret)
{
	struct mount *m = v->mount;
	bool known;
	int err;

	/* Nobody else can change or delete what is locked from here. */
	pthread_mutex_lock(&m->lock);
	known = v->handle && v->writable;
	if (known)
		*ret = v->info;
	pthread_mutex_unlock(&m->lock);
	if (known)
		return 0;
	err = *v->tag ? sf_snapshot_stat(m->cluster, v->base, v->tag, ret)
	              : sf_volume_stat(m->cluster, v->base, ret);
	/* A '@' that is part of the volume's own name. */
	if (err == -ENOENT && *v->tag)
		err = sf_volume_stat(m->cluster, v->name, ret);
	if (err < 0)
		return err;
	pthread_mutex_lock(&m->lock);
	if (!v->handle)
		v->info = *ret;
	ret->size_bytes = v->info.size_bytes; /* what an open one was opened with */
	pthread_mutex_unlock(&m->lock);
	return 0;
}

void volume_attributes(struct volume *v, const struct sf_volume_info *info, struct stat *ret)
{
	struct mount *m = v->mount;
	bool snapshot = info->snapshot_id != 0;

	*ret = (struct stat){
		.st_ino = v->ino,
		.st_mode = S_IFREG | (snapshot ? 0400 : 0600),
		.st_nlink = 1,
		.st_uid = m->uid,
		.st_gid = m->gid,
		.st_size = (off_t)info->size_bytes,
		.st_blksize = REQUEST_MAX,
		.st_blocks = (blkcnt_t)(info->used_bytes / 512),
		.st_ctim.tv_sec = (time_t)info->created_s,
		.st_mtim.tv_sec = (time_t)info->created_s,
		.st_atim.tv_sec = (time_t)info->created_s,
	};
	pthread_mutex_lock(&m->lock);
	if (v->written.tv_sec)
		ret->st_mtim = ret->st_ctim = v->written;
	pthread_mutex_unlock(&m->lock);
}

/* ---- Opening and closing ---- */

static int handle_open(struct volume *v, bool writes, struct sf_volume **ret)
{
	struct mount *m = v->mount;
	char purpose[64];
	int err;

	snprintf(purpose, sizeof(purpose), "sheepfs %s", m->options->mountpoint);
	if (*v->tag && !writes) {
		err = sf_snapshot_open(m->cluster, v->base, v->tag, ret);
		if (err != -ENOENT)
			return err;
	}
	/* Without a tag base and name are the same. */
	if (writes)
		err = sf_volume_open_write(m->cluster, v->name, purpose, ret);
	else
		err = sf_volume_open(m->cluster, v->name, ret);
	if (err == -ENOENT && writes && *v->tag)
		return -EROFS;
	return err;
}

/* Takes `handle` instead of what there is, and closes that. The door is held. */
static void handle_replace(struct volume *v, struct sf_volume *handle, bool writable)
{
	struct mount *m = v->mount;
	struct sf_volume_info info;
	struct sf_volume *old;

	if (handle)
		sf_volume_get_info(handle, &info);
	pthread_mutex_lock(&m->lock);
	old = v->handle;
	v->handle = handle;
	v->writable = writable;
	if (handle) {
		/* Opening counts nothing: the last listing did. */
		info.used_bytes = v->info.used_bytes;
		info.shared_bytes = v->info.shared_bytes;
		v->info = info;
	}
	pthread_mutex_unlock(&m->lock);
	/* Waits for what was started with it; the rest goes to the new one. */
	if (old && sf_volume_close(old) < 0)
		mount_log(m, "volume %s: %s", v->name, sf_error());
}

int volume_open(struct volume *v, bool writes)
{
	struct mount *m = v->mount;
	struct sf_volume *handle;
	bool fine;
	int err = 0;

	pthread_mutex_lock(&v->door);
	pthread_mutex_lock(&m->lock);
	fine = v->handle && (v->writable || !writes);
	if (fine && writes)
		v->writers++;
	else if (fine)
		v->readers++;
	pthread_mutex_unlock(&m->lock);
	if (!fine) {
		err = handle_open(v, writes, &handle);
		if (!err) {
			handle_replace(v, handle, writes);
			pthread_mutex_lock(&m->lock);
			if (writes)
				v->writers++;
			else
				v->readers++;
			pthread_mutex_unlock(&m->lock);
		} else {
			mount_log(m, "volume %s: cannot open it%s: %s", v->name,
			          writes ? " for writing" : "",
			          err == -EROFS ? "a snapshot cannot be written to" : sf_error());
		}
	}
	pthread_mutex_unlock(&v->door);
	return err;
}

void volume_leave(struct volume *v, bool writes)
{
	struct mount *m = v->mount;

	pthread_mutex_lock(&m->lock);
	if (writes)
		v->writers--;
	else
		v->readers--;
	pthread_mutex_unlock(&m->lock);
}

void volume_settle(struct volume *v)
{
	struct mount *m = v->mount;
	struct sf_volume *handle = NULL;
	bool wanted, lock_wanted, open, locked;

	pthread_mutex_lock(&v->door);
	pthread_mutex_lock(&m->lock);
	wanted = v->readers + v->writers > 0;
	lock_wanted = v->writers > 0;
	open = v->handle != NULL;
	locked = v->writable;
	pthread_mutex_unlock(&m->lock);
	if (open && !wanted) {
		handle_replace(v, NULL, false);
	} else if (open && locked && !lock_wanted) {
		/* Without one, those who still read get EIO. */
		if (handle_open(v, false, &handle) < 0) {
			mount_log(m, "volume %s: %s", v->name, sf_error());
			handle = NULL;
		}
		handle_replace(v, handle, false);
	}
	pthread_mutex_unlock(&v->door);
}

/* ---- Writes that failed after they were answered ---- */

void volume_note_error(struct volume *v, int error)
{
	v->write_error = error;
	v->write_errors++;
	v->write_error_told = false;
}

int volume_take_error(struct volume *v, struct file *file)
{
	if (file->errors_seen == v->write_errors)
		return 0;
	file->errors_seen = v->write_errors;
	v->write_error_told = true;
	return v->write_error;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_VOLUME_H
#define SF_FUSE_VOLUME_H

#include "fuse/mount.h"

/*
 * A volume, or a snapshot of one, that the kernel knows or somebody has open. It stands for its
 * name: NAME, or NAME@TAG.
 *
 * All who have it open share one handle. It is opened by the first, with the volume's write lock as
 * soon as one of them writes, and settled (closed, or opened again for reading alone) after the last
 * has left and everything under way has ended.
 */
struct volume {
	LIST_ENTRY(volume) link;
	struct mount *mount;
	char name[2 * SF_NAME_MAX + 2];
	char base[SF_NAME_MAX + 1], tag[SF_NAME_MAX + 1]; /* tag: "" for a working volume */
	uint64_t ino;

	/* Under mount->lock. */
	uint64_t lookups; /* the kernel's */
	uint32_t refs;    /* of jobs, files and operations */
	uint32_t readers, writers;
	struct sf_volume_info info; /* as last seen */
	struct sf_volume *handle;   /* NULL: not open */
	bool writable;
	TAILQ_HEAD(, op) ops; /* under way, by arrival (fuse/io.h) */
	uint32_t waiting;     /* of them */
	uint32_t writing;     /* of them: writes that the cluster is doing */
	bool holding;         /* the loop wants to hear when one of these ends */
	struct timespec written;
	/* A write that failed after it was answered: each file hears of it once, at fsync or close. */
	int write_error;
	uint32_t write_errors;
	bool write_error_told;

	uint64_t write_end; /* where the last write ended; the loop's */

	pthread_mutex_t door; /* held while the handle is changed; taken before mount->lock */
};

/* An open file, or folder. The kernel does not always close them before it goes. */
struct file {
	LIST_ENTRY(file) link; /* in mount->files */
	struct volume *volume; /* NULL: a text, or a folder */
	bool writes;
	uint32_t errors_seen;
	char *text;
	size_t text_len;
	char **names; /* of volumes, in a folder */
};

struct file *file_create(struct mount *m);
void file_destroy(struct mount *m, struct file *file);

/* With a reference; made when there is none. NULL: no name that a volume can have. Nothing is
 * asked of the cluster. */
struct volume *volume_get(struct mount *m, const char *name);
/* The lock is held by the caller, for these. */
void volume_ref(struct volume *v);
void volume_unref_locked(struct volume *v);
void volume_unref(struct volume *v);
void volume_forget(struct volume *v, uint64_t lookups);

/* What the cluster says about it now. 0 or -errno. Waits. */
int volume_stat(struct volume *v, struct sf_volume_info *ret);
void volume_attributes(struct volume *v, const struct sf_volume_info *info, struct stat *ret);
/* Opens it for a file, and ends that. Waits. */
int volume_open(struct volume *v, bool writes);
void volume_leave(struct volume *v, bool writes);
/* Brings the handle to what the open files need. Waits. */
void volume_settle(struct volume *v);

/* A write failed that had been answered already. The lock is held. */
void volume_note_error(struct volume *v, int error);
/* What this file has not heard of yet; 0 or -errno. The lock is held. */
int volume_take_error(struct volume *v, struct file *file);

/* ---- Names that are to be shown ---- */

bool exposed_has(const struct mount *m, const char *name); /* the lock is held */
int exposed_add(struct mount *m, const char *name);        /* -EEXIST */
int exposed_remove(struct mount *m, const char *name);     /* -ENOENT, -EBUSY */
/* One a line, malloc'ed. */
char *exposed_text(struct mount *m);
/* Those that exist now, as names, with a NULL behind; *ret is malloc'ed, so is each. Waits. */
int exposed_list(struct mount *m, char ***ret);

#endif

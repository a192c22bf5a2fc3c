/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_FS_H
#define SF_STORE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Every file system call of the store's log and superblock goes through this table, so that a
 * test can count the calls, fail any of them, or cut the power between two. LMDB makes its own
 * calls; its transactions are a derived index. All return 0 or a result, or a negative errno.
 * `arg` is the table's own state.
 */
struct fs_ops {
	void *arg;
	int (*open)(void *arg, const char *path, int flags, unsigned mode); /* fd */
	int (*close)(void *arg, int fd);
	ssize_t (*pread)(void *arg, int fd, void *dst, size_t len, off_t off);
	ssize_t (*pwritev)(void *arg, int fd, const struct iovec *iov, int count, off_t off);
	int (*fdatasync)(void *arg, int fd);
	int (*fsync)(void *arg, int fd); /* also directories */
	int (*ftruncate)(void *arg, int fd, off_t len);
	int (*fallocate)(void *arg, int fd, off_t off, off_t len);
	int (*rename)(void *arg, const char *from, const char *to);
	int (*unlink)(void *arg, const char *path);
	int (*mkdir)(void *arg, const char *path, unsigned mode);
	/* Names in a directory through `each`, until it returns non-zero. */
	int (*list)(void *arg, const char *path, int (*each)(void *ctx, const char *name),
	            void *ctx);
	int (*space)(void *arg, const char *path, uint64_t *ret_size, uint64_t *ret_avail);
};

const struct fs_ops *fs_posix(void);
/* Makes the names in a directory durable. -EIO when that failed, whatever the reason: it is not to
 * be tried again. */
int fs_sync_dir(const struct fs_ops *fs, const char *path);

#endif

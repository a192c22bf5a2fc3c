/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sheep/store/fs.h"

static int px_open(void *arg, const char *path, int flags, unsigned mode)
{
	int fd = open(path, flags | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

static int px_close(void *arg, int fd)
{
	return close(fd) ? -errno : 0;
}

static ssize_t px_pread(void *arg, int fd, void *dst, size_t len, off_t off)
{
	ssize_t n;
	do
		n = pread(fd, dst, len, off);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t px_pwritev(void *arg, int fd, const struct iovec *iov, int count, off_t off)
{
	ssize_t n;
	do
		n = pwritev(fd, iov, count, off);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int px_fdatasync(void *arg, int fd)
{
	return fdatasync(fd) ? -errno : 0;
}

static int px_fsync(void *arg, int fd)
{
	return fsync(fd) ? -errno : 0;
}

static int px_ftruncate(void *arg, int fd, off_t len)
{
	return ftruncate(fd, len) ? -errno : 0;
}

static int px_fallocate(void *arg, int fd, off_t off, off_t len)
{
	int ret;
	do
		ret = fallocate(fd, 0, off, len);
	while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static int px_rename(void *arg, const char *from, const char *to)
{
	return rename(from, to) ? -errno : 0;
}

static int px_unlink(void *arg, const char *path)
{
	return unlink(path) ? -errno : 0;
}

static int px_mkdir(void *arg, const char *path, unsigned mode)
{
	return mkdir(path, mode) ? -errno : 0;
}

static int px_list(void *arg, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	DIR *dir = opendir(path);
	int ret = 0;

	if (!dir)
		return -errno;
	errno = 0;
	for (struct dirent *d; !ret && (d = readdir(dir)); errno = 0)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			ret = each(ctx, d->d_name);
	if (!ret && errno)
		ret = -errno;
	closedir(dir);
	return ret;
}

static int px_space(void *arg, const char *path, uint64_t *ret_size, uint64_t *ret_avail)
{
	struct statvfs s;

	if (statvfs(path, &s))
		return -errno;
	*ret_size = (uint64_t)s.f_blocks * s.f_frsize;
	*ret_avail = (uint64_t)s.f_bavail * s.f_frsize;
	return 0;
}

const struct fs_ops *fs_posix(void)
{
	static const struct fs_ops ops = {
		.open = px_open,
		.close = px_close,
		.pread = px_pread,
		.pwritev = px_pwritev,
		.fdatasync = px_fdatasync,
		.fsync = px_fsync,
		.ftruncate = px_ftruncate,
		.fallocate = px_fallocate,
		.rename = px_rename,
		.unlink = px_unlink,
		.mkdir = px_mkdir,
		.list = px_list,
		.space = px_space,
	};
	return &ops;
}

int fs_sync_dir(const struct fs_ops *fs, const char *path)
{
	int fd = fs->open(fs->arg, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -EIO;
	int err = fs->fsync(fs->arg, fd);
	fs->close(fs->arg, fd);
	return err ? -EIO : 0;
}

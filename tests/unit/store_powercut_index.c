/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/store_powercut.h"

/*
 * The program's own pread, pwrite, writev, fdatasync and unlink, which LMDB's library then uses as
 * well: those on data.mdb are counted, failed and cut like those of the log. LMDB writes pages with
 * pwrite or writev, makes them durable with fdatasync, and last writes a meta page through a
 * descriptor with O_DSYNC.
 */
static struct powercut *watching;

#pragma GCC visibility push(default) /* LMDB's library has to see them */

void powercut_watch_index(struct powercut *pc)
{
	watching = pc;
}

static bool is_index(const char *path, ssize_t len)
{
	static const char name[] = "/data.mdb";
	ssize_t n = sizeof(name) - 1;

	return len > n && !memcmp(path + len - n, name, (size_t)n);
}

static bool is_index_fd(int fd)
{
	char link[64], path[400];

	if (!watching)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return is_index(path, readlink(link, path, sizeof(path)));
}

static long call_failed(int err)
{
	errno = err == POWERCUT_SHORT ? EIO : -err;
	return -1;
}

ssize_t pread(int fd, void *dst, size_t len, off_t off)
{
	int err;

	if (is_index_fd(fd) && !powercut_index_call(watching, "index pread", &err))
		return err == POWERCUT_SHORT ? syscall(SYS_pread64, fd, dst, len / 2, off)
		                             : call_failed(err);
	return syscall(SYS_pread64, fd, dst, len, off);
}

static ssize_t index_write(int fd, const struct iovec *iov, int count, off_t off)
{
	struct powercut *pc = watching;
	bool durable = fcntl(fd, F_GETFL) & O_DSYNC;
	bool was_off = pc->off;
	size_t len = 0, part;
	int err = 0;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	part = len;
	bool fine = powercut_index_call(pc, durable ? "index meta" : "index pages", &err);
	if (!fine) /* whole blocks of it may have come through */
		part = was_off ? 0 : prng_below(&pc->p, len / 4096 + 1) * 4096;
	watching = NULL;
	if (part && (!durable || !fine))
		powercut_index_writes(pc, fd, off, len);
	for (size_t done = 0; part > done; off += (off_t)iov->iov_len, iov++) {
		size_t n = part - done < iov->iov_len ? part - done : iov->iov_len;
		if (syscall(SYS_pwrite64, fd, iov->iov_base, n, off) != (ssize_t)n)
			err = -EIO;
		done += n;
	}
	watching = pc;
	return fine ? (ssize_t)len : err == POWERCUT_SHORT ? (ssize_t)part : call_failed(err);
}

ssize_t pwrite(int fd, const void *src, size_t len, off_t off)
{
	struct iovec iov = {.iov_base = (void *)src, .iov_len = len};

	return is_index_fd(fd) ? index_write(fd, &iov, 1, off)
	                       : syscall(SYS_pwrite64, fd, src, len, off);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (!is_index_fd(fd))
		return syscall(SYS_writev, fd, iov, count);
	off_t off = lseek(fd, 0, SEEK_CUR);
	ssize_t n = index_write(fd, iov, count, off);
	if (n > 0)
		lseek(fd, off + n, SEEK_SET);
	return n;
}

int fdatasync(int fd)
{
	int err;

	if (!is_index_fd(fd))
		return (int)syscall(SYS_fdatasync, fd);
	if (!powercut_index_call(watching, "index fdatasync", &err))
		return (int)call_failed(err);
	powercut_index_synced(watching, fd);
	return 0;
}

int unlink(const char *path)
{
	struct powercut *pc = watching;
	int err;

	if (pc && is_index(path, (ssize_t)strlen(path))) {
		if (access(path, F_OK))
			return (int)call_failed(-ENOENT);
		if (!powercut_index_call(pc, "index unlink", &err))
			return (int)call_failed(err);
		powercut_index_unlinks(pc, path);
	}
	return (int)syscall(SYS_unlink, path);
}

#pragma GCC visibility pop

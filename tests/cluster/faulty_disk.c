/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cluster/faulty_disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 65536 };
enum kind { READING, WRITING, SYNCING };

static struct disk_control *control;
static char prefixes[FAULTY_DISKS_MAX][PATH_MAX];
static uint8_t disk_of_fd[FDS_MAX]; /* 1 + disk; 0: none of ours */

/* The next one in line: the sanitizer's, or libc's. */
#define NEXT(name) \
	static __typeof__(name) *next; \
	if (!next) \
	next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void faulty_disk_init(void)
{
	const char *path = getenv("SF_FAULTY_CONTROL"), *disks = getenv("SF_FAULTY_DISKS");
	int fd = path && disks ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, FAULTY_DISKS_MAX * sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return;
	for (uint32_t i = 0; i < FAULTY_DISKS_MAX && *disks; i++) {
		size_t len = strcspn(disks, ":");

		if (len < PATH_MAX)
			memcpy(prefixes[i], disks, len);
		disks += len + (disks[len] == ':');
	}
	control = at;
}

static int disk_of_path(const char *path)
{
	for (uint32_t i = 0; control && path && i < FAULTY_DISKS_MAX; i++) {
		size_t len = strlen(prefixes[i]);

		if (len && strncmp(path, prefixes[i], len) == 0 && (path[len] == '/' || !path[len]))
			return (int)i;
	}
	return -1;
}

static int disk_of(int fd)
{
	return control && fd >= 0 && fd < FDS_MAX
	               ? __atomic_load_n(&disk_of_fd[fd], __ATOMIC_RELAXED) - 1
	               : -1;
}

static bool chance(uint32_t rate)
{
	static __thread uint64_t state;

	if (!state)
		state = (uintptr_t)&state ^ ((uint64_t)getpid() << 32) ^ 0x9e3779b97f4a7c15ull;
	state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
	state ^= state >> 7;
	state ^= state << 17;
	return rate && (state >> 20) % 1000000 < rate;
}

static uint32_t peek(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Waits, and says whether the call on this disk shall fail; errno is set then. */
static bool fails(int disk, enum kind kind)
{
	struct disk_control *c;
	uint32_t delay_us, rate, error, *count;

	if (disk < 0)
		return false;
	c = &control[disk];
	__atomic_fetch_add(&c->calls, 1, __ATOMIC_RELAXED);
	delay_us = peek(&c->delay_us);
	if (delay_us) {
		struct timespec t = {delay_us / 1000000, (long)(delay_us % 1000000) * 1000};

		nanosleep(&t, NULL);
	}
	rate = peek(kind == READING ? &c->read_rate : kind == WRITING ? &c->write_rate : &c->sync_rate);
	error = peek(kind == READING ? &c->read_errno : kind == WRITING ? &c->write_errno : &c->sync_errno);
	if (!error || !chance(rate))
		return false;
	count = kind == READING ? &c->reads : kind == WRITING ? &c->writes : &c->syncs;
	__atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
	errno = (int)error;
	return true;
}

static bool torn(int fd)
{
	return peek(&control[disk_of(fd)].torn) != 0;
}

/* ---- Which descriptors are ours ---- */

static int opened(int fd, int disk)
{
	if (fd >= 0 && fd < FDS_MAX)
		__atomic_store_n(&disk_of_fd[fd], (uint8_t)(disk + 1), __ATOMIC_RELAXED);
	return fd;
}

#define OPEN_BODY(name, call) \
	int disk = disk_of_path(path); \
	mode_t mode = 0; \
	NEXT(name); \
	if (flags & (O_CREAT | __O_TMPFILE)) { \
		va_list ap; \
		va_start(ap, flags); \
		mode = va_arg(ap, mode_t); \
		va_end(ap); \
	} \
	if (disk >= 0 && fails(disk, flags & O_CREAT ? WRITING : READING)) \
		return -1; \
	return opened(call, disk)

int open(const char *path, int flags, ...)
{
	OPEN_BODY(open, next(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
	OPEN_BODY(open64, next(path, flags, mode));
}

/* A path relative to a folder is none of ours: the stores use whole ones. */
int openat(int dir, const char *path, int flags, ...)
{
	OPEN_BODY(openat, next(dir, path, flags, mode));
}

int openat64(int dir, const char *path, int flags, ...)
{
	OPEN_BODY(openat64, next(dir, path, flags, mode));
}

int close(int fd)
{
	NEXT(close);
	if (fd >= 0 && fd < FDS_MAX)
		__atomic_store_n(&disk_of_fd[fd], 0, __ATOMIC_RELAXED);
	return next(fd);
}

/* ---- Reading ---- */

#define READ_BODY(name, call) \
	NEXT(name); \
	return fails(disk_of(fd), READING) ? -1 : next call

ssize_t pread(int fd, void *data, size_t len, off_t off)
{
	READ_BODY(pread, (fd, data, len, off));
}

ssize_t pread64(int fd, void *data, size_t len, off64_t off)
{
	READ_BODY(pread64, (fd, data, len, off));
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t off)
{
	READ_BODY(preadv, (fd, iov, count, off));
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t off)
{
	READ_BODY(preadv64, (fd, iov, count, off));
}

ssize_t read(int fd, void *data, size_t len)
{
	READ_BODY(read, (fd, data, len));
}

/* ---- Writing ---- */

#define WRITE_BODY(name, whole, half) \
	NEXT(name); \
	if (!fails(disk_of(fd), WRITING)) \
		return next whole; \
	if (torn(fd)) { \
		int error = errno; \
		ssize_t n = next half; \
		(void)n; \
		errno = error; \
	} \
	return -1

ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
	WRITE_BODY(pwrite, (fd, data, len, off), (fd, data, len / 2, off));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t off)
{
	WRITE_BODY(pwrite64, (fd, data, len, off), (fd, data, len / 2, off));
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
	WRITE_BODY(pwritev, (fd, iov, count, off), (fd, iov, (count + 1) / 2, off));
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
	WRITE_BODY(pwritev64, (fd, iov, count, off), (fd, iov, (count + 1) / 2, off));
}

ssize_t write(int fd, const void *data, size_t len)
{
	WRITE_BODY(write, (fd, data, len), (fd, data, len / 2));
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	WRITE_BODY(writev, (fd, iov, count), (fd, iov, (count + 1) / 2));
}

/* ---- The rest ---- */

#define INT_BODY(name, kind, call) \
	NEXT(name); \
	return fails(disk_of(fd), kind) ? -1 : next call

int fdatasync(int fd)
{
	INT_BODY(fdatasync, SYNCING, (fd));
}

int fsync(int fd)
{
	INT_BODY(fsync, SYNCING, (fd));
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
	INT_BODY(fallocate, WRITING, (fd, mode, off, len));
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
	INT_BODY(fallocate64, WRITING, (fd, mode, off, len));
}

int ftruncate(int fd, off_t len)
{
	INT_BODY(ftruncate, WRITING, (fd, len));
}

int ftruncate64(int fd, off64_t len)
{
	INT_BODY(ftruncate64, WRITING, (fd, len));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_powercut.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum undo_kind { UNDO_WRITE, UNDO_SIZE, UNDO_CREATE, UNDO_RENAME, UNDO_UNLINK, UNDO_MKDIR };
enum { SECTOR = 4096 };

struct undo {
	struct undo *next;
	enum undo_kind kind;
	int fd; /* own descriptor on the file, for data */
	ino_t ino; /* of the file; for changes to a directory, of that directory */
	off_t off;
	size_t len;
	uint8_t *old; /* UNDO_WRITE: what was there (zeros past the end) */
	off_t size;   /* before */
	char path[400], from[400];
	char parked[400]; /* "": nothing was replaced */
};

static bool count_call(struct powercut *pc, const char *name, int *err)
{
	if (pc->off) {
		*err = -EIO;
		return false;
	}
	pc->calls++;
	if (pc->seen)
		pc->seen(pc->seen_arg, name);
	if (pc->cut_at && pc->calls >= pc->cut_at) {
		pc->off = true;
		pc->hit = true;
		*err = -EIO;
		return false;
	}
	if (pc->fail_at && (!pc->fail_on || !strcmp(pc->fail_on, name)) && --pc->fail_at == 0) {
		pc->hit = true;
		*err = pc->fail_err;
		return false;
	}
	return true;
}

static struct undo *undo_push(struct powercut *pc, enum undo_kind kind)
{
	struct undo *u = xcalloc(1, sizeof(*u));

	u->kind = kind;
	u->fd = -1;
	u->next = pc->undo;
	pc->undo = u;
	return u;
}

static void undo_free(struct undo *u)
{
	if (u->fd >= 0)
		close(u->fd);
	if (u->parked[0])
		unlink(u->parked);
	free(u->old);
	free(u);
}

/* Forgets the records that `covered` holds for: they are on the platter now. */
static void undo_forget(struct powercut *pc, bool (*covered)(const struct undo *u, ino_t ino),
                        ino_t ino)
{
	for (struct undo **u = &pc->undo; *u;) {
		struct undo *d = *u;
		if (!covered(d, ino)) {
			u = &d->next;
			continue;
		}
		*u = d->next;
		undo_free(d);
	}
}

static bool is_data_of(const struct undo *u, ino_t ino)
{
	return (u->kind == UNDO_WRITE || u->kind == UNDO_SIZE) && u->ino == ino;
}

static bool is_directory_change(const struct undo *u, ino_t ino)
{
	return u->kind != UNDO_WRITE && u->kind != UNDO_SIZE && (!ino || u->ino == ino);
}

static ino_t directory_of(const char *path)
{
	char dir[400];
	struct stat sb;

	snprintf(dir, sizeof(dir), "%s", path);
	char *slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	return stat(dir, &sb) ? 0 : sb.st_ino;
}

static int reopen(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

static void remember_size(struct powercut *pc, int fd)
{
	struct undo *u = undo_push(pc, UNDO_SIZE);
	struct stat sb;

	fstat(fd, &sb);
	u->fd = reopen(fd);
	u->ino = sb.st_ino;
	u->size = sb.st_size;
}

static void remember_data(struct powercut *pc, int fd, off_t off, size_t len)
{
	struct undo *u = undo_push(pc, UNDO_WRITE);
	struct stat sb;

	fstat(fd, &sb);
	u->fd = reopen(fd);
	u->ino = sb.st_ino;
	u->off = off;
	u->len = len;
	u->size = sb.st_size;
	u->old = xcalloc(1, len + 1);
	if (pread(u->fd, u->old, len, off) < 0)
		abort();
}

static void park(struct powercut *pc, struct undo *u, const char *path)
{
	snprintf(u->parked, sizeof(u->parked), "%s/%u", pc->park, pc->parked++);
	if (link(path, u->parked))
		u->parked[0] = 0;
}

static int pc_open(void *arg, const char *path, int flags, unsigned mode)
{
	struct powercut *pc = arg;
	int err;

	if (!count_call(pc, "open", &err))
		return err;
	bool fresh = (flags & O_CREAT) && access(path, F_OK);
	int fd = fs_posix()->open(NULL, path, flags & ~O_TRUNC, mode);
	if (fd < 0)
		return fd;
	if (fresh) {
		struct undo *u = undo_push(pc, UNDO_CREATE);
		snprintf(u->path, sizeof(u->path), "%s", path);
		u->ino = directory_of(path);
	} else if (flags & O_TRUNC) {
		struct stat sb;
		fstat(fd, &sb);
		remember_data(pc, fd, 0, (size_t)sb.st_size);
		if (ftruncate(fd, 0))
			abort();
	}
	return fd;
}

static int pc_close(void *arg, int fd)
{
	return fs_posix()->close(NULL, fd);
}

static ssize_t pc_pread(void *arg, int fd, void *dst, size_t len, off_t off)
{
	int err;

	if (count_call(arg, "pread", &err))
		return fs_posix()->pread(NULL, fd, dst, len, off);
	return err == POWERCUT_SHORT ? fs_posix()->pread(NULL, fd, dst, len > 4096 ? 4096 : 0, off)
	                             : err;
}

/* Writes in part: so much was under way when the power or the disk went. */
static ssize_t write_part(struct powercut *pc, int fd, const struct iovec *iov, int count,
                          off_t off)
{
	int n = (int)prng_below(&pc->p, (uint64_t)count + 1);
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (!n)
		return 0;
	remember_data(pc, fd, off, len);
	return fs_posix()->pwritev(NULL, fd, iov, n, off);
}

static ssize_t pc_pwritev(void *arg, int fd, const struct iovec *iov, int count, off_t off)
{
	struct powercut *pc = arg;
	bool was_off = pc->off;
	size_t len = 0;
	int err;

	if (!count_call(pc, "pwritev", &err)) {
		ssize_t n = was_off ? 0 : write_part(pc, fd, iov, count, off);
		return err == POWERCUT_SHORT ? n : err;
	}
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	remember_data(pc, fd, off, len);
	return fs_posix()->pwritev(NULL, fd, iov, count, off);
}

static int pc_fdatasync(void *arg, int fd)
{
	struct stat sb;
	int err;

	if (!count_call(arg, "fdatasync", &err))
		return err;
	fstat(fd, &sb);
	undo_forget(arg, is_data_of, sb.st_ino);
	return 0;
}

static int pc_fsync(void *arg, int fd)
{
	struct stat sb;
	int err;

	if (!count_call(arg, "fsync", &err))
		return err;
	fstat(fd, &sb);
	undo_forget(arg, S_ISDIR(sb.st_mode) ? is_directory_change : is_data_of, sb.st_ino);
	return 0;
}

static int pc_ftruncate(void *arg, int fd, off_t len)
{
	struct stat sb;
	int err;

	if (!count_call(arg, "ftruncate", &err))
		return err;
	fstat(fd, &sb);
	if (len < sb.st_size)
		remember_data(arg, fd, len, (size_t)(sb.st_size - len));
	else
		remember_size(arg, fd);
	return fs_posix()->ftruncate(NULL, fd, len);
}

static int pc_fallocate(void *arg, int fd, off_t off, off_t len)
{
	struct stat sb;
	int err;

	if (!count_call(arg, "fallocate", &err))
		return err;
	fstat(fd, &sb);
	if (off + len <= sb.st_size)
		return 0;
	remember_size(arg, fd);
	return fs_posix()->ftruncate(NULL, fd, off + len);
}

static int pc_rename(void *arg, const char *from, const char *to)
{
	struct powercut *pc = arg;
	int err;

	if (!count_call(pc, "rename", &err))
		return err;
	struct undo *u = undo_push(pc, UNDO_RENAME);
	snprintf(u->from, sizeof(u->from), "%s", from);
	snprintf(u->path, sizeof(u->path), "%s", to);
	u->ino = directory_of(to);
	park(pc, u, to);
	return fs_posix()->rename(NULL, from, to);
}

static int pc_unlink(void *arg, const char *path)
{
	struct powercut *pc = arg;
	int err;

	if (!count_call(pc, "unlink", &err))
		return err;
	struct undo *u = undo_push(pc, UNDO_UNLINK);
	snprintf(u->path, sizeof(u->path), "%s", path);
	u->ino = directory_of(path);
	park(pc, u, path);
	return fs_posix()->unlink(NULL, path);
}

static int pc_mkdir(void *arg, const char *path, unsigned mode)
{
	int err;

	if (!count_call(arg, "mkdir", &err))
		return err;
	err = fs_posix()->mkdir(NULL, path, mode);
	if (err)
		return err;
	struct undo *u = undo_push(arg, UNDO_MKDIR);
	snprintf(u->path, sizeof(u->path), "%s", path);
	u->ino = directory_of(path);
	return 0;
}

static int pc_list(void *arg, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	int err;
	return count_call(arg, "list", &err) ? fs_posix()->list(NULL, path, each, ctx) : err;
}

static int pc_space(void *arg, const char *path, uint64_t *ret_size, uint64_t *ret_avail)
{
	int err;
	return count_call(arg, "space", &err) ? fs_posix()->space(NULL, path, ret_size, ret_avail)
	                                      : err;
}

bool powercut_index_call(struct powercut *pc, const char *name, int *err)
{
	return count_call(pc, name, err);
}

void powercut_index_writes(struct powercut *pc, int fd, off_t off, size_t len)
{
	char path[400], link[64];
	struct stat sb;

	remember_data(pc, fd, off, len);
	if (fstat(fd, &sb) || sb.st_size)
		return;
	/* The first write to it: nobody has made its name durable yet. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		abort();
	path[n] = 0;
	struct undo *u = undo_push(pc, UNDO_CREATE);
	memcpy(u->path, path, (size_t)n + 1);
	u->ino = directory_of(path);
}

void powercut_index_synced(struct powercut *pc, int fd)
{
	struct stat sb;

	fstat(fd, &sb);
	undo_forget(pc, is_data_of, sb.st_ino);
}

void powercut_index_unlinks(struct powercut *pc, const char *path)
{
	struct undo *u = undo_push(pc, UNDO_UNLINK);

	snprintf(u->path, sizeof(u->path), "%s", path);
	u->ino = directory_of(path);
	park(pc, u, path);
}

void powercut_init(struct powercut *pc, const char *park_dir, uint64_t seed)
{
	memset(pc, 0, sizeof(*pc));
	snprintf(pc->park, sizeof(pc->park), "%s", park_dir);
	prng_init(&pc->p, seed);
	pc->ops = (struct fs_ops){
		.arg = pc,
		.open = pc_open,
		.close = pc_close,
		.pread = pc_pread,
		.pwritev = pc_pwritev,
		.fdatasync = pc_fdatasync,
		.fsync = pc_fsync,
		.ftruncate = pc_ftruncate,
		.fallocate = pc_fallocate,
		.rename = pc_rename,
		.unlink = pc_unlink,
		.mkdir = pc_mkdir,
		.list = pc_list,
		.space = pc_space,
	};
}

static void undo_all_forget(struct powercut *pc)
{
	while (pc->undo) {
		struct undo *u = pc->undo;
		pc->undo = u->next;
		undo_free(u);
	}
}

void powercut_fini(struct powercut *pc)
{
	undo_all_forget(pc);
}

/* In quarters: what of the changes is lost. The changes come newest first. */
static uint64_t lost_quarters(struct powercut *pc, bool *newer)
{
	switch (pc->policy) {
	case POWERCUT_LOSE_ALL:
		return 4;
	case POWERCUT_KEEP_ALL:
		return 0;
	case POWERCUT_PREFIX:
		if (!*newer)
			return 0;
		*newer = prng_below(&pc->p, 3) != 0;
		return *newer ? 4 : 2;
	default:
		return prng_below(&pc->p, 5);
	}
}

/* Some of the write's blocks never made it, or all of them, or none. */
static void undo_write(struct powercut *pc, const struct undo *u, uint64_t lost)
{
	for (size_t at = 0; at < u->len; at += SECTOR) {
		size_t n = u->len - at < SECTOR ? u->len - at : SECTOR;
		if (prng_below(&pc->p, 4) < lost &&
		    pwrite(u->fd, u->old + at, n, u->off + (off_t)at) < 0)
			abort();
	}
	if (lost == 4 && ftruncate(u->fd, u->size))
		abort();
}

static void undo_directory(struct powercut *pc, struct undo *u)
{
	char away[400];

	if (u->kind == UNDO_CREATE)
		unlink(u->path);
	if (u->kind == UNDO_MKDIR) {
		/* With all that was in it. */
		snprintf(away, sizeof(away), "%s/%u", pc->park, pc->parked++);
		rename(u->path, away);
	}
	if (u->kind == UNDO_RENAME)
		rename(u->path, u->from);
	if ((u->kind == UNDO_RENAME || u->kind == UNDO_UNLINK) && u->parked[0])
		rename(u->parked, u->path);
}

static uint64_t lost_changes(struct powercut *pc)
{
	uint64_t changes = 0;

	for (struct undo *u = pc->undo; u; u = u->next)
		changes += is_directory_change(u, 0);
	if (pc->policy == POWERCUT_LOSE_ALL)
		return changes;
	return pc->policy == POWERCUT_KEEP_ALL ? 0 : prng_below(&pc->p, changes + 1);
}

void powercut_restore(struct powercut *pc)
{
	/* Directories change in order: some of the last changes are lost. */
	uint64_t lost = lost_changes(pc);
	bool newer = true;

	for (struct undo *u = pc->undo; u; u = u->next) {
		if (u->kind == UNDO_WRITE)
			undo_write(pc, u, lost_quarters(pc, &newer));
		else if (u->kind == UNDO_SIZE && prng_below(&pc->p, 4) < lost_quarters(pc, &newer) &&
		         ftruncate(u->fd, u->size))
			abort();
		else if (is_directory_change(u, 0) && lost && lost--)
			undo_directory(pc, u);
	}
	undo_all_forget(pc);
	pc->off = false;
	pc->cut_at = 0;
	pc->calls = 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/mem_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

/* Descriptors are indexes; the directory has the one behind the last. */
enum { DIR_FD = MEM_FILES };

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

struct mem_file *mem_file_find(struct mem_fs *fs, const char *name)
{
	for (int i = 0; i < MEM_FILES; i++)
		if (fs->file[i].name[0] && !strcmp(fs->file[i].name, name))
			return &fs->file[i];
	return NULL;
}

static void file_drop(struct mem_file *f)
{
	free(f->data);
	memset(f, 0, sizeof(*f));
}

struct mem_file *mem_file_create(struct mem_fs *fs, const char *name)
{
	struct mem_file *f = mem_file_find(fs, name);

	for (int i = 0; !f && i < MEM_FILES; i++)
		if (!fs->file[i].name[0])
			f = &fs->file[i];
	if (!f)
		return NULL;
	f->len = 0;
	snprintf(f->name, sizeof(f->name), "%s", name);
	return f;
}

static bool file_resize(struct mem_file *f, uint64_t len)
{
	if (len > MEM_FILE_MAX)
		return false;
	if (len > f->cap) {
		f->cap = round_up(MAX(len, f->cap + f->cap / 2), 4096);
		f->data = xrealloc(f->data, f->cap);
	}
	if (len > f->len)
		memset(f->data + f->len, 0, len - f->len);
	f->len = len;
	return true;
}

bool mem_file_write(struct mem_file *f, uint64_t off, const void *data, uint64_t len)
{
	if (!range_fits(off, len, MEM_FILE_MAX) ||
	    (off + len > f->len && !file_resize(f, off + len)))
		return false;
	if (len)
		memcpy(f->data + off, data, len);
	return true;
}

static int mem_open(void *arg, const char *path, int flags, unsigned mode)
{
	struct mem_fs *fs = arg;
	struct mem_file *f = mem_file_find(fs, base_name(path));

	if (flags & O_DIRECTORY)
		return DIR_FD;
	if (!f && !(flags & O_CREAT))
		return -ENOENT;
	if ((flags & O_CREAT) && fs->readonly)
		return -ENOSPC;
	if (!f || (flags & O_TRUNC))
		f = mem_file_create(fs, base_name(path));
	return f ? (int)(f - fs->file) : -ENOSPC;
}

static int mem_close(void *arg, int fd)
{
	return 0;
}

static ssize_t mem_pread(void *arg, int fd, void *dst, size_t len, off_t off)
{
	const struct mem_file *f = &((struct mem_fs *)arg)->file[fd];

	if (off < 0)
		return -EINVAL;
	if ((uint64_t)off >= f->len)
		return 0;
	len = MIN(len, f->len - (uint64_t)off);
	if (len)
		memcpy(dst, f->data + off, len);
	return (ssize_t)len;
}

static ssize_t mem_pwritev(void *arg, int fd, const struct iovec *iov, int count, off_t off)
{
	struct mem_fs *fs = arg;
	ssize_t done = 0;

	if (off < 0)
		return -EINVAL;
	for (int i = 0; i < count; i++) {
		if (fs->readonly || !mem_file_write(&fs->file[fd], (uint64_t)off + (uint64_t)done,
		                                    iov[i].iov_base, iov[i].iov_len))
			return -ENOSPC;
		done += (ssize_t)iov[i].iov_len;
	}
	return done;
}

static int mem_sync(void *arg, int fd)
{
	return 0;
}

static int mem_ftruncate(void *arg, int fd, off_t len)
{
	return file_resize(&((struct mem_fs *)arg)->file[fd], (uint64_t)len) ? 0 : -ENOSPC;
}

/* Allocating costs nothing here, and asks for more than a test writes. */
static int mem_fallocate(void *arg, int fd, off_t off, off_t len)
{
	return off < 0 || len < 0 ? -EINVAL : 0;
}

static int mem_rename(void *arg, const char *from, const char *to)
{
	struct mem_fs *fs = arg;
	struct mem_file *f = mem_file_find(fs, base_name(from));
	struct mem_file *old = mem_file_find(fs, base_name(to));

	if (!f)
		return -ENOENT;
	if (old && old != f)
		file_drop(old);
	snprintf(f->name, sizeof(f->name), "%s", base_name(to));
	return 0;
}

static int mem_unlink(void *arg, const char *path)
{
	struct mem_file *f = mem_file_find(arg, base_name(path));

	if (!f)
		return -ENOENT;
	file_drop(f);
	return 0;
}

static int mem_mkdir(void *arg, const char *path, unsigned mode)
{
	return -EEXIST;
}

static int mem_list(void *arg, const char *path, int (*each)(void *ctx, const char *name),
                    void *ctx)
{
	struct mem_fs *fs = arg;

	for (int i = 0; i < MEM_FILES; i++)
		if (fs->file[i].name[0] && each(ctx, fs->file[i].name))
			break;
	return 0;
}

static int mem_space(void *arg, const char *path, uint64_t *ret_size, uint64_t *ret_avail)
{
	*ret_size = *ret_avail = ((struct mem_fs *)arg)->size_bytes;
	return 0;
}

void mem_fs_init(struct mem_fs *fs, uint64_t size_bytes)
{
	memset(fs, 0, sizeof(*fs));
	fs->size_bytes = size_bytes;
	fs->ops = (struct fs_ops){
		.arg = fs,
		.open = mem_open,
		.close = mem_close,
		.pread = mem_pread,
		.pwritev = mem_pwritev,
		.fdatasync = mem_sync,
		.fsync = mem_sync,
		.ftruncate = mem_ftruncate,
		.fallocate = mem_fallocate,
		.rename = mem_rename,
		.unlink = mem_unlink,
		.mkdir = mem_mkdir,
		.list = mem_list,
		.space = mem_space,
	};
}

void mem_fs_fini(struct mem_fs *fs)
{
	for (int i = 0; i < MEM_FILES; i++)
		file_drop(&fs->file[i]);
}

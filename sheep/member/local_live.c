/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/local_live.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { NODE_FILE_VERSION = 1, NODE_FILE_MAX = 64 << 10, NAME_LEN = 64, MAX_FILES = MAP_MAX_NODES };

/* In front of the announcement; little-endian. */
struct node_file_head {
	uint8_t magic[4];
	uint32_t version;
	uint32_t len;
	uint32_t crc; /* of the announcement */
};
static_assert(sizeof(struct node_file_head) == 16, "no padding");
static const uint8_t node_magic[4] = {'S', 'F', 'n', 'd'};

static void node_name(char name[NAME_LEN], const char *prefix, uint64_t id, uint64_t incarnation)
{
	snprintf(name, NAME_LEN, "%s.%016llx.%016llx", prefix, (unsigned long long)id,
	         (unsigned long long)incarnation);
}

static bool node_name_parse(const char *name, uint64_t *ret_id, uint64_t *ret_incarnation)
{
	unsigned long long id, incarnation;
	int end = 0;

	if (sscanf(name, "node.%16llx.%16llx%n", &id, &incarnation, &end) != 2 || name[end] != '\0')
		return false;
	*ret_id = id;
	*ret_incarnation = incarnation;
	return true;
}

int local_live_open(struct local_live *l, const char *dir, const struct node_info *self)
{
	int fd;

	*l = (struct local_live){
		.dir_fd = -1,
		.own_fd = -1,
		.id = self->id,
		.incarnation = self->incarnation,
	};
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	l->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir_fd < 0)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->listing = fdopendir(fd);
	if (!l->listing) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static void file_forget(struct local_live *l, uint32_t i)
{
	close(l->files[i].fd);
	l->count--;
	memmove(&l->files[i], &l->files[i + 1], (l->count - i) * sizeof(l->files[0]));
}

void local_live_close(struct local_live *l)
{
	local_live_leave(l);
	while (l->count > 0)
		file_forget(l, l->count - 1);
	free(l->files);
	l->files = NULL;
	if (l->listing)
		closedir(l->listing);
	l->listing = NULL;
	if (l->dir_fd >= 0)
		close(l->dir_fd);
	l->dir_fd = -1;
}

bool local_live_has_self(const struct local_live *l)
{
	for (uint32_t i = 0; i < l->count && l->own_fd >= 0; i++) {
		if (l->files[i].id == l->id && l->files[i].ino == l->own_ino)
			return true;
	}
	return false;
}

bool local_live_id_taken(const struct local_live *l)
{
	for (uint32_t i = 0; i < l->count; i++) {
		if (l->files[i].id == l->id && l->files[i].incarnation != l->incarnation)
			return true;
	}
	return false;
}

/* ---- Announcing -------------------------------------------------------------------------------- */

static int announcement_write(int fd, const struct node_info *self)
{
	struct node_file_head h = {.version = htole32(NODE_FILE_VERSION)};
	uint8_t *body, *file;
	size_t len;
	ssize_t n;

	node_info_encode(self, &body, &len);
	memcpy(h.magic, node_magic, sizeof(node_magic));
	h.len = htole32((uint32_t)len);
	h.crc = htole32(crc32c(0, body, len));
	file = xmalloc(sizeof(h) + len);
	memcpy(file, &h, sizeof(h));
	memcpy(file + sizeof(h), body, len);
	n = write(fd, file, sizeof(h) + len);
	free(file);
	free(body);
	if (n < 0)
		return -errno;
	return (size_t)n == sizeof(h) + len ? 0 : -ENOSPC;
}

int local_live_announce(struct local_live *l, const struct node_info *self)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[NAME_LEN], tmp[NAME_LEN];
	struct stat st;
	int fd, err;

	node_name(name, "node", l->id, l->incarnation);
	node_name(tmp, "tmp", l->id, 0);
	(void)unlinkat(l->dir_fd, tmp, 0);
	fd = openat(l->dir_fd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = announcement_write(fd, self);
	if (!err && fcntl(fd, F_OFD_SETLK, &lock) < 0)
		err = -errno;
	if (!err && fstat(fd, &st) < 0)
		err = -errno;
	if (!err && renameat(l->dir_fd, tmp, l->dir_fd, name) < 0)
		err = -errno;
	if (err) {
		(void)unlinkat(l->dir_fd, tmp, 0);
		close(fd);
		return err;
	}
	if (l->own_fd >= 0)
		close(l->own_fd);
	l->own_fd = fd;
	l->own_ino = st.st_ino;
	return 0;
}

void local_live_leave(struct local_live *l)
{
	char name[NAME_LEN];

	if (l->own_fd < 0)
		return;
	node_name(name, "node", l->id, l->incarnation);
	(void)unlinkat(l->dir_fd, name, 0); /* closing alone makes it stale */
	close(l->own_fd);
	l->own_fd = -1;
}

/* ---- Looking ----------------------------------------------------------------------------------- */

/* Whether the process that announced this still lives. */
static bool file_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	/* In doubt it lives: the data path finds out who cannot be reached. */
	return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static int file_load(int fd, struct node_info *ret)
{
	uint8_t data[NODE_FILE_MAX];
	struct node_file_head h;
	ssize_t n = pread(fd, data, sizeof(data), 0);

	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(h))
		return -SF_ECORRUPT;
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, node_magic, sizeof(node_magic)) != 0 ||
	    le32toh(h.version) != NODE_FILE_VERSION)
		return -SF_EFORMAT;
	if (le32toh(h.len) != (size_t)n - sizeof(h) ||
	    le32toh(h.crc) != crc32c(0, data + sizeof(h), (size_t)n - sizeof(h)))
		return -SF_ECORRUPT;
	return node_info_decode(data + sizeof(h), (size_t)n - sizeof(h), ret);
}

static void remove_stale(const struct local_live *l, const char *name, ino_t ino)
{
	struct stat st;

	if (fstatat(l->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == ino)
		(void)unlinkat(l->dir_fd, name, 0);
}

static struct live_file *file_find(struct local_live *l, uint64_t id, uint64_t incarnation)
{
	for (uint32_t i = 0; i < l->count; i++) {
		if (l->files[i].id == id && l->files[i].incarnation == incarnation)
			return &l->files[i];
	}
	return NULL;
}

static void file_insert(struct local_live *l, const struct live_file *f)
{
	uint32_t i = l->count;

	if (l->count == l->capacity) {
		l->capacity = MAX(2 * l->capacity, 16u);
		l->files = xrealloc(l->files, l->capacity * sizeof(l->files[0]));
	}
	while (i > 0 && l->files[i - 1].id > f->id)
		i--;
	memmove(&l->files[i + 1], &l->files[i], (l->count - i) * sizeof(l->files[0]));
	l->files[i] = *f;
	l->count++;
}

/* A file not looked at before. Returns whether it is a daemon that lives. */
static bool file_take(struct local_live *l, const char *name, struct live_file *f)
{
	struct stat st;

	f->fd = openat(l->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0)
		return false;
	if (fstat(f->fd, &st) == 0) {
		f->ino = st.st_ino;
		f->seen = true;
		if (!file_locked(f->fd))
			remove_stale(l, name, f->ino);
		else if (file_load(f->fd, &f->info) == 0 && f->info.id == f->id &&
		         f->info.incarnation == f->incarnation && l->count < MAX_FILES) {
			file_insert(l, f);
			return true;
		}
	}
	close(f->fd);
	return false;
}

/* One name of the directory. Returns whether the live set has changed. */
static bool name_look(struct local_live *l, const char *name)
{
	struct live_file fresh = {0}, *f;
	bool replaced = false;
	struct stat st;

	if (!node_name_parse(name, &fresh.id, &fresh.incarnation))
		return false;
	f = file_find(l, fresh.id, fresh.incarnation);
	if (f && fstatat(l->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == f->ino) {
		if (file_locked(f->fd)) {
			f->seen = true;
			return false;
		}
		remove_stale(l, name, f->ino);
		return false; /* not seen in this round: it goes at its end */
	}
	if (f) {
		file_forget(l, (uint32_t)(f - l->files));
		replaced = true;
	}
	return file_take(l, name, &fresh) || replaced;
}

int local_live_poll(struct local_live *l)
{
	const struct dirent *d;
	bool changed = false;

	for (uint32_t i = 0; i < l->count; i++)
		l->files[i].seen = false;
	rewinddir(l->listing);
	errno = 0;
	while ((d = readdir(l->listing)) != NULL) {
		changed |= name_look(l, d->d_name);
		errno = 0;
	}
	if (errno)
		return -errno;
	for (uint32_t i = l->count; i-- > 0;) {
		if (l->files[i].seen)
			continue;
		file_forget(l, i);
		changed = true;
	}
	return changed;
}

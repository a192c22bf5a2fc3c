/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/record.h"

/* Blocks are allocated in steps ahead of the writes: few enough calls, and no disk space sits idle.
 */
enum { ALLOC_STEP = 32 << 20 };

void segments_init(struct segments *s, const struct fs_ops *fs, const struct log *log,
                   const char *dir, uint64_t segment_bytes, uint64_t limit)
{
	memset(s, 0, sizeof(*s));
	s->fs = fs;
	s->log = log;
	s->dir = dir;
	s->bytes = segment_bytes;
	s->limit = limit;
	s->next_number = 1;
	htab_init(&s->table);
	list_init(&s->all);
	list_init(&s->lru);
}

static void segment_close(struct segments *s, struct segment *seg)
{
	if (seg->fd < 0)
		return;
	s->fs->close(s->fs->arg, seg->fd);
	seg->fd = -1;
	list_remove(&seg->lru);
	s->open_count--;
}

static void segment_forget(struct segments *s, struct segment *seg)
{
	segment_close(s, seg);
	htab_remove(&s->table, &seg->hash);
	list_remove(&seg->link);
	s->planned -= seg->planned;
	s->live -= seg->live;
	if (s->cached == seg)
		s->cached = NULL;
	if (s->current == seg)
		s->current = NULL;
	free(seg);
}

void segments_fini(struct segments *s)
{
	while (!list_empty(&s->all))
		segment_forget(s, list_item(s->all.next, struct segment, link));
	htab_fini(&s->table);
}

static void segment_path(const struct segments *s, uint32_t number, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/seg-%08x.log", s->dir, number);
}

static void spare_path(const struct segments *s, uint32_t i, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/spare-%u.log", s->dir, i);
}

int segments_sync_dir(struct segments *s)
{
	return fs_sync_dir(s->fs, s->dir);
}

static struct segment *segment_add(struct segments *s, uint32_t number, uint64_t planned)
{
	struct segment *seg = xcalloc(1, sizeof(*seg));
	struct list *at = &s->all;

	seg->number = number;
	seg->fd = -1;
	seg->planned = planned;
	list_init(&seg->lru);
	htab_insert(&s->table, &seg->hash, hash64(number));
	while (at->prev != &s->all && list_item(at->prev, struct segment, link)->number > number)
		at = at->prev;
	list_push(at, &seg->link);
	s->planned += planned;
	s->next_number = MAX(s->next_number, number + 1);
	return seg;
}

struct segment *segment_find(struct segments *s, uint32_t number)
{
	if (s->cached && s->cached->number == number)
		return s->cached;
	for (struct hnode *n = htab_first(&s->table, hash64(number)); n; n = htab_next(n)) {
		struct segment *seg = container_of(n, struct segment, hash);
		if (seg->number == number) {
			s->cached = seg;
			return seg;
		}
	}
	return NULL;
}

struct segment *segment_next(struct segments *s, const struct segment *seg)
{
	struct list *next = seg ? seg->link.next : s->all.next;
	return next == &s->all ? NULL : list_item(next, struct segment, link);
}

static int scan_one(void *ctx, const char *name)
{
	struct segments *s = ctx;
	char path[PATH_MAX];
	uint32_t number;
	int len = 0;

	if (sscanf(name, "seg-%8x.log%n", &number, &len) == 1 && len == 16 && !name[len] &&
	    number) {
		segment_add(s, number, s->bytes);
	} else if (!strncmp(name, "spare-", 6)) {
		snprintf(path, sizeof(path), "%s/%s", s->dir, name);
		s->fs->unlink(s->fs->arg, path);
	}
	return 0;
}

int segments_scan(struct segments *s)
{
	int err = s->fs->list(s->fs->arg, s->dir, scan_one, s);
	segments_look_at_fs(s);
	return err;
}

static int segment_file_open(struct segments *s, struct segment *seg, const char *path, int flags)
{
	seg->direct = true;
	int fd = s->fs->open(s->fs->arg, path, O_RDWR | O_CLOEXEC | O_DIRECT | flags, 0644);
	if (fd == -EINVAL) {
		seg->direct = false;
		fd = s->fs->open(s->fs->arg, path, O_RDWR | O_CLOEXEC | flags, 0644);
	}
	if (fd < 0)
		return fd;
	seg->fd = fd;
	s->open_count++;
	return 0;
}

static int segment_open(struct segments *s, struct segment *seg)
{
	char path[PATH_MAX];

	if (seg->fd >= 0) {
		if (!list_empty(&seg->lru)) {
			list_remove(&seg->lru);
			list_push(&s->lru, &seg->lru);
		}
		return 0;
	}
	if (s->open_count >= OPEN_MAX && !list_empty(&s->lru))
		segment_close(s, list_item(s->lru.next, struct segment, lru));
	segment_path(s, seg->number, path);
	int err = segment_file_open(s, seg, path, 0);
	if (!err && seg != s->current)
		list_push(&s->lru, &seg->lru);
	return err;
}

int segment_read(struct segments *s, struct segment *seg, uint64_t off, void *dst, uint32_t len)
{
	int err = segment_open(s, seg);
	if (err)
		return err;
	for (uint32_t done = 0; done < len;) {
		ssize_t n = s->fs->pread(s->fs->arg, seg->fd, (uint8_t *)dst + done, len - done,
		                         (off_t)(off + done));
		if (n < 0)
			return (int)n;
		if (!n)
			return -ENODATA;
		done += (uint32_t)n;
	}
	return 0;
}

int segment_reserve(struct segments *s, uint64_t end)
{
	struct segment *seg = s->current;

	if (end <= seg->alloc)
		return 0;
	uint64_t to = MIN(round_up(end, ALLOC_STEP), MAX(end, seg->planned));
	int err = segment_open(s, seg);
	if (err)
		return err;
	err = s->fs->fallocate(s->fs->arg, seg->fd, (off_t)seg->alloc, (off_t)(to - seg->alloc));
	if (err && end < to && err != -EOPNOTSUPP) {
		to = end;
		err = s->fs->fallocate(s->fs->arg, seg->fd, (off_t)seg->alloc,
		                       (off_t)(to - seg->alloc));
	}
	if (err && err != -EOPNOTSUPP)
		return err;
	s->fs_avail -= MIN(s->fs_avail, to - seg->alloc);
	seg->alloc = to;
	return 0;
}

static void segment_plan(struct segments *s, struct segment *seg, uint64_t planned)
{
	s->planned += planned;
	s->planned -= seg->planned;
	seg->planned = planned;
}

/* The segment that was written to so far: gives back what it did not use. */
static int segment_finish(struct segments *s)
{
	struct segment *old = s->current;

	if (!old)
		return 0;
	if (old->alloc > old->end + (1 << 20) &&
	    !s->fs->ftruncate(s->fs->arg, old->fd, (off_t)old->end))
		old->alloc = old->end;
	old->alloc = MAX(old->alloc, old->end);
	old->dirty = true;
	segment_plan(s, old, old->alloc);
	if (old->fd >= 0)
		list_push(&s->lru, &old->lru);
	s->current = NULL;
	return 0;
}

int segment_roll(struct segments *s, uint64_t min_bytes)
{
	char path[PATH_MAX], from[PATH_MAX];
	uint32_t number = s->next_number;
	uint64_t alloc = 0;
	int err = 0, flags = O_CREAT | O_TRUNC;

	if (number == UINT32_MAX - 1)
		return -ENOSPC;
	segment_path(s, number, path);
	for (uint32_t i = 0; i < SPARE_MAX && min_bytes <= s->bytes; i++) {
		if (!s->spare[i])
			continue;
		spare_path(s, i, from);
		err = s->fs->rename(s->fs->arg, from, path);
		s->spare[i] = false;
		if (err)
			return err;
		alloc = s->spare_alloc[i];
		flags = 0;
		break;
	}
	segment_finish(s);
	struct segment *seg = segment_add(s, number, MAX(s->bytes, min_bytes));
	seg->alloc = alloc;
	err = segment_file_open(s, seg, path, flags);
	if (!err)
		err = segments_sync_dir(s);
	if (err) {
		segment_forget(s, seg);
		return err;
	}
	s->current = seg;
	return 0;
}

int segment_write(struct segments *s, const struct iovec *iov, int count, uint64_t off)
{
	struct segment *seg = s->current;
	struct iovec part; /* the rest of an iovec that was written in part */
	int i = 0;
	size_t skip = 0;

	int err = segment_open(s, seg);
	if (err)
		return err;
	seg->written = true;
	while (i < count) {
		ssize_t n;
		if (skip) {
			part.iov_base = (uint8_t *)iov[i].iov_base + skip;
			part.iov_len = iov[i].iov_len - skip;
			n = s->fs->pwritev(s->fs->arg, seg->fd, &part, 1, (off_t)off);
		} else {
			n = s->fs->pwritev(s->fs->arg, seg->fd, iov + i, MIN(count - i, IOV_MAX),
			                   (off_t)off);
		}
		if (n < 0)
			return (int)n;
		if (!n)
			return -ENOSPC;
		off += (uint64_t)n;
		for (skip += (size_t)n; i < count && skip >= iov[i].iov_len; i++)
			skip -= iov[i].iov_len;
	}
	return 0;
}

int segment_sync(struct segments *s)
{
	if (!s->current || !s->current->written)
		return 0;
	s->current->written = false;
	/* Whatever the reason, what was written may be gone: no error of it is one to go on from. */
	return s->fs->fdatasync(s->fs->arg, s->current->fd) ? -EIO : 0;
}

int segment_free(struct segments *s, struct segment *seg)
{
	char path[PATH_MAX], to[PATH_MAX];
	uint32_t i = 0;
	int err;

	assert(seg != s->current);
	segment_close(s, seg);
	segment_path(s, seg->number, path);
	while (i < SPARE_MAX && s->spare[i])
		i++;
	if (i < SPARE_MAX && seg->alloc && seg->alloc <= s->bytes) {
		spare_path(s, i, to);
		err = s->fs->rename(s->fs->arg, path, to);
		s->spare[i] = !err;
		s->spare_alloc[i] = seg->alloc;
	} else {
		err = s->fs->unlink(s->fs->arg, path);
	}
	if (!err)
		err = segments_sync_dir(s);
	segment_forget(s, seg);
	segments_look_at_fs(s);
	return err;
}

int segment_discard(struct segments *s, struct segment *seg)
{
	char path[PATH_MAX];

	assert(seg != s->current);
	segment_path(s, seg->number, path);
	int err = s->fs->unlink(s->fs->arg, path);
	segment_forget(s, seg);
	return err;
}

void segment_set_current(struct segments *s, struct segment *seg)
{
	for (struct segment *o = segment_next(s, NULL); o; o = segment_next(s, o)) {
		o->alloc = MAX(o->alloc, o->end);
		segment_plan(s, o, o == seg ? MAX(s->bytes, o->alloc) : o->alloc);
	}
	list_remove(&seg->lru);
	/* How much of it exists is not known, and asking for blocks twice does no harm. */
	seg->alloc = seg->end;
	s->current = seg;
}

bool segment_prepare_spare(struct segments *s)
{
	char path[PATH_MAX];
	struct segment tmp = {.fd = -1};

	struct segment *seg = s->current;
	if (!seg)
		return false;
	if (seg->alloc < seg->planned && seg->alloc - MIN(seg->alloc, seg->end) < ALLOC_STEP / 4)
		return segment_reserve(s, MIN(seg->alloc + 1, seg->planned)) == 0;
	if (s->spare[0] || s->spare[1] || seg->planned - MIN(seg->planned, seg->end) > s->bytes / 4)
		return false;
	if (!segments_fit(s, SPACE_DATA, s->bytes))
		return false;
	spare_path(s, 0, path);
	if (segment_file_open(s, &tmp, path, O_CREAT | O_TRUNC))
		return false;
	uint64_t len = MIN(s->bytes, (uint64_t)ALLOC_STEP);
	s->spare[0] = true;
	s->spare_alloc[0] = s->fs->fallocate(s->fs->arg, tmp.fd, 0, (off_t)len) ? 0 : len;
	s->fs->close(s->fs->arg, tmp.fd);
	s->open_count--;
	segments_look_at_fs(s);
	return true;
}

void segments_look_at_fs(struct segments *s)
{
	uint64_t size, avail;

	if (!s->fs->space(s->fs->arg, s->dir, &size, &avail))
		s->fs_avail = avail;
}

static uint64_t segments_reserve_bytes(const struct segments *s)
{
	return MAX(3 * s->bytes, s->limit / 32);
}

uint64_t segments_used(const struct segments *s)
{
	return s->planned + s->index_bytes;
}

/* Bytes that new segments may take. Spare files count as free: they become those. */
static uint64_t segments_free_bytes(const struct segments *s)
{
	uint64_t used = segments_used(s);
	uint64_t avail = s->fs_avail, promised = 0;

	for (uint32_t i = 0; i < SPARE_MAX; i++)
		avail += s->spare[i] ? s->spare_alloc[i] : 0;
	if (s->current && s->current->planned > s->current->alloc)
		promised = s->current->planned - s->current->alloc;
	avail -= MIN(avail, promised);
	return MIN(s->limit - MIN(s->limit, used), avail);
}

static uint64_t space_kept(const struct segments *s, enum space_use use)
{
	switch (use) {
	case SPACE_DATA:
		return segments_reserve_bytes(s);
	case SPACE_SMALL:
		return 2 * s->bytes;
	case SPACE_META:
		return s->bytes;
	default:
		return 0;
	}
}

static uint64_t current_room(const struct segments *s)
{
	return s->current ? s->current->planned - MIN(s->current->planned, s->current->end) : 0;
}

uint64_t segments_avail(const struct segments *s, enum space_use use)
{
	uint64_t free = segments_free_bytes(s), kept = space_kept(s, use);

	/* When the reserve is broken into, the current segment is part of it. */
	if (free < kept)
		return 0;
	return (free - kept) / s->bytes * s->bytes + current_room(s);
}

bool segments_fit(const struct segments *s, enum space_use use, uint64_t bytes)
{
	uint64_t free = segments_free_bytes(s), kept = space_kept(s, use);
	const struct segment *cur = s->current;

	/* Blocks that are there already serve to delete, even when others have filled the file
	 * system. */
	if (use >= SPACE_META && cur && cur->alloc >= cur->end && bytes <= cur->alloc - cur->end)
		return true;
	if (free < kept)
		return false;
	return bytes <= current_room(s) || MAX(bytes, s->bytes) <= free - kept;
}

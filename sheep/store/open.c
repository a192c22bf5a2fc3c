/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/state.h"

enum { SEGMENT_MIN = 4 << 20, SEGMENT_DEFAULT = 256 << 20, SEGMENTS_MIN = 8 };

static int say(char *text, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int say(char *text, int err, const char *fmt, ...)
{
	va_list ap;

	if (!text)
		return err;
	va_start(ap, fmt);
	vsnprintf(text, STORE_TEXT_LEN, fmt, ap);
	va_end(ap);
	return err;
}

static int lock_take(struct store *st, char *text)
{
	char path[PATH_MAX];
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	snprintf(path, sizeof(path), "%s/lock", st->path);
	st->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (st->lock_fd < 0)
		return say(text, -errno, "%s: cannot use this directory: %s", st->path,
		           strerror(errno));
	if (!fcntl(st->lock_fd, F_OFD_SETLK, &fl))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return say(text, -SF_EINUSE, "%s is in use by another sheep; stop that one first",
		           st->path);
	return say(text, -errno, "%s: cannot lock it: %s", st->path, strerror(errno));
}

struct strangers {
	char name[64];
	bool segments;
};

/* What a fresh directory may hold: what mkfs and a sheep's own start leave there. */
static int stranger(void *ctx, const char *name)
{
	static const char *const fine[] = {
		"lost+found", "sheep.log", "sheep.pid", "node", "lock", "superblock.new",
	};
	struct strangers *s = ctx;

	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		if (!strcmp(name, fine[i]))
			return 0;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->segments = !strncmp(name, "seg-", 4);
	return s->segments;
}

static uint64_t segment_size(const struct store_options *o, uint64_t limit)
{
	uint64_t bytes = MIN((uint64_t)SEGMENT_DEFAULT, limit / 32);

	bytes = MAX(bytes, (uint64_t)SEGMENT_MIN);
	return round_up(o->segment_bytes ? o->segment_bytes : bytes, LOG_BLOCK);
}

static int superblock_create(struct store *st, uint64_t limit, char *text)
{
	struct strangers s = {0};

	int err = st->fs->list(st->fs->arg, st->path, stranger, &s);
	if (err < 0)
		return say(text, err, "%s: cannot list it: %s", st->path, sf_strerror(err));
	if (s.segments)
		return say(text, -SF_ECORRUPT,
		           "%s holds log segments but no superblock; it will not be overwritten",
		           st->path);
	if (s.name[0])
		return say(text, -SF_EFOREIGN,
		           "%s is not empty (%s) and not a disk of a sheep; "
		           "give it an empty directory",
		           st->path, s.name);
	st->sb = (struct superblock){
		.disk = st->opt.new_disk_id,
		.salt = st->opt.new_salt,
		.cluster = st->opt.cluster,
		.node = st->opt.node,
		.segment_bytes = segment_size(&st->opt, limit),
	};
	if (limit < SEGMENTS_MIN * st->sb.segment_bytes)
		return say(text, -ENOSPC, "%s: %llu MiB are too few; a disk needs %llu MiB",
		           st->path, (unsigned long long)(limit >> 20),
		           (unsigned long long)(SEGMENTS_MIN * st->sb.segment_bytes >> 20));
	st->fresh = true;
	/* Perhaps the directory itself was made just now, by us or by a start that was cut short. */
	char parent[PATH_MAX];
	snprintf(parent, sizeof(parent), "%s/..", st->path);
	err = fs_sync_dir(st->fs, parent);
	if (!err)
		err = superblock_write(st->fs, st->path, &st->sb);
	if (err)
		return say(text, err, "%s: cannot write its superblock: %s", st->path,
		           sf_strerror(err));
	return 0;
}

static int superblock_load(struct store *st, uint64_t limit, char *text)
{
	const struct store_options *o = &st->opt;
	bool single;

	int err = superblock_read(st->fs, st->path, &st->sb, &single);
	if (err == -ENOENT)
		return superblock_create(st, limit, text);
	if (err == -SF_ECORRUPT)
		return say(text, err, "%s: both copies of its superblock are damaged", st->path);
	if (err)
		return say(text, err, "%s: cannot read its superblock: %s", st->path,
		           sf_strerror(err));
	if (o->node && st->sb.node != o->node)
		return say(text, -SF_EFOREIGN,
		           "%s is a disk of node %016llx, not of this one (%016llx)", st->path,
		           (unsigned long long)st->sb.node, (unsigned long long)o->node);
	if (o->cluster && st->sb.cluster && st->sb.cluster != o->cluster)
		return say(text, -SF_EFOREIGN, "%s belongs to cluster %016llx, not to %016llx",
		           st->path, (unsigned long long)st->sb.cluster,
		           (unsigned long long)o->cluster);
	if (single) {
		log_warn(st->log, "%s: one copy of the superblock was damaged; writing it again",
		         st->path);
		err = superblock_write(st->fs, st->path, &st->sb);
	}
	return err ? say(text, err, "%s: cannot write its superblock: %s", st->path,
	                 sf_strerror(err))
	           : 0;
}

static int limit_find(struct store *st, uint64_t *limit, char *text)
{
	uint64_t size, avail;

	int err = st->fs->space(st->fs->arg, st->path, &size, &avail);
	if (err)
		return say(text, err, "%s: cannot use this directory: %s", st->path,
		           sf_strerror(err));
	*limit = st->opt.size_bytes ? MIN(st->opt.size_bytes, size) : size;
	return 0;
}

static int index_load(struct store *st)
{
	int err = st->fs->mkdir(st->fs->arg, st->index_path, 0755);
	if (err && err != -EEXIST)
		return err;
	err = store_open_index(st, false);
	if (!err)
		err = store_replay(st, false);
	if (err == -ENOENT && !segment_next(&st->segs, NULL)) {
		err = store_replay(st, true);
		return err ? err : store_checkpoint(st);
	}
	/* A missing index, a damaged one and one of another version are all the same: it is made
	 * from the log. */
	if (err == -ENOENT || err == -SF_ECORRUPT || err == -EINVAL)
		err = store_rebuild_index(st);
	return err;
}

/* Everything that is data goes. */
static int data_wipe(struct store *st)
{
	struct segment *seg;
	int err = 0;

	store_compact_stop(st);
	st->segs.current = NULL;
	while (!err && (seg = segment_next(&st->segs, NULL)))
		err = segment_discard(&st->segs, seg);
	if (!err)
		err = segments_sync_dir(&st->segs);
	if (!err)
		err = store_open_index(st, true);
	if (!err)
		err = store_replay(st, true);
	return err ? err : store_checkpoint(st);
}

static int wipe_finish(struct store *st, uint64_t cluster)
{
	int err = data_wipe(st);
	if (err)
		return err;
	st->sb.wiping = false;
	st->sb.cluster = cluster;
	return superblock_write(st->fs, st->path, &st->sb);
}

int store_adopt(struct store *st, uint64_t cluster)
{
	if (st->failed)
		return -EIO;
	if (st->sb.cluster == cluster)
		return 0;
	int err;
	if (st->sb.cluster) {
		/* Says first that the data is void, so that a crash half-way does not leave a part
		 * of it. */
		st->sb.wiping = true;
		st->sb.cluster = cluster;
		err = superblock_write(st->fs, st->path, &st->sb);
		if (!err)
			err = wipe_finish(st, cluster);
	} else {
		st->sb.cluster = cluster;
		err = superblock_write(st->fs, st->path, &st->sb);
	}
	if (err)
		st->failed = true;
	return err;
}

static int store_start(struct store *st, char *text)
{
	uint64_t limit = 0;

	int err = st->fs->mkdir(st->fs->arg, st->path, 0755);
	if (err && err != -EEXIST)
		return say(text, err, "%s: cannot make this directory: %s", st->path,
		           sf_strerror(err));
	err = lock_take(st, text);
	if (!err)
		err = limit_find(st, &limit, text);
	if (!err)
		err = superblock_load(st, limit, text);
	if (err)
		return err;
	segments_init(&st->segs, st->fs, st->log, st->path, st->sb.segment_bytes, limit);
	err = segments_scan(&st->segs);
	if (!err && st->sb.wiping) {
		err = st->fs->mkdir(st->fs->arg, st->index_path, 0755);
		err = err == -EEXIST ? 0 : err;
		err = err ? err : wipe_finish(st, st->sb.cluster);
	} else if (!err) {
		err = index_load(st);
	}
	return err ? say(text, err, "%s: cannot read its log: %s", st->path, sf_strerror(err)) : 0;
}

static void store_free(struct store *st)
{
	store_compact_stop(st);
	index_close(st->index);
	st->mt.index = NULL;
	memtable_fini(&st->mt);
	batch_fini(&st->batch);
	if (st->segs.fs)
		segments_fini(&st->segs);
	if (st->lock_fd >= 0)
		close(st->lock_fd);
	extvec_fini(&st->scratch);
	extvec_fini(&st->ranges);
	extvec_fini(&st->ranges2);
	free(st->record_scratch.crcs);
	free(st->read_buf);
	free(st->index_path);
	free(st->path);
	free(st);
}

int store_open(const struct store_options *options, struct store **ret, char text[STORE_TEXT_LEN])
{
	struct store *st = xcalloc(1, sizeof(*st));
	char path[PATH_MAX];

	st->opt = *options;
	st->path = xstrdup(options->path);
	st->opt.path = st->path;
	snprintf(path, sizeof(path), "%s/index", st->path);
	st->index_path = xstrdup(path);
	st->fs = options->fs;
	st->log = options->log;
	st->lock_fd = -1;
	memtable_init(&st->mt);
	if (posix_memalign((void **)&st->read_buf, LOG_BLOCK, READ_BUF))
		abort();
	int err = store_start(st, text);
	if (err) {
		store_free(st);
		return err;
	}
	*ret = st;
	return 0;
}

void store_abandon(struct store *st)
{
	if (st)
		store_free(st);
}

void store_close(struct store *st)
{
	if (!st)
		return;
	if (!st->failed && !st->index_bad) {
		batch_flush(st);
		store_compact_stop(st);
		store_checkpoint(st);
	}
	store_free(st);
}

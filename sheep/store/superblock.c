/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/superblock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "sheep/store/bytes.h"

enum { SB_LEN = 512, SB_CODEC = 2, SB_WIPING = 1 }; /* codec 1 had no salt */
#define SB_MAGIC 0x4b53494450454853u /* "SHEPDISK" */

static const char *const sb_names[2] = {"superblock", "superblock.1"};

static void superblock_encode(const struct superblock *sb, uint8_t dst[SB_LEN])
{
	memset(dst, 0, SB_LEN);
	struct bytes_out o = bytes_out(dst, SB_LEN - 4);
	put_u64(&o, SB_MAGIC);
	put_u32(&o, SB_CODEC);
	put_u32(&o, sb->wiping ? SB_WIPING : 0);
	put_u64(&o, sb->generation);
	put_u64(&o, sb->disk);
	put_u64(&o, sb->cluster);
	put_u64(&o, sb->node);
	put_u64(&o, sb->segment_bytes);
	put_u64(&o, sb->salt);
	assert(!o.full);
	o = bytes_out(dst + SB_LEN - 4, 4);
	put_u32(&o, crc32c(0, dst, SB_LEN - 4));
}

static int superblock_decode(struct superblock *sb, const uint8_t src[SB_LEN])
{
	struct bytes_in in = bytes_in(src + SB_LEN - 4, 4);

	if (get_u32(&in) != crc32c(0, src, SB_LEN - 4))
		return -SF_ECORRUPT;
	in = bytes_in(src, SB_LEN);
	if (get_u64(&in) != SB_MAGIC)
		return -SF_EFORMAT;
	uint32_t codec = get_u32(&in);
	if (codec < 1 || codec > SB_CODEC)
		return -SF_EFORMAT;
	sb->wiping = get_u32(&in) & SB_WIPING;
	sb->generation = get_u64(&in);
	sb->disk = get_u64(&in);
	sb->cluster = get_u64(&in);
	sb->node = get_u64(&in);
	sb->segment_bytes = get_u64(&in);
	sb->salt = codec >= 2 ? get_u64(&in) : 0;
	return 0;
}

static int superblock_read_one(const struct fs_ops *fs, const char *dir, const char *name,
                               struct superblock *sb)
{
	char path[PATH_MAX];
	uint8_t raw[SB_LEN];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = fs->open(fs->arg, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ssize_t n = fs->pread(fs->arg, fd, raw, sizeof(raw), 0);
	fs->close(fs->arg, fd);
	if (n < 0)
		return (int)n;
	return n == SB_LEN ? superblock_decode(sb, raw) : -SF_ECORRUPT;
}

int superblock_read(const struct fs_ops *fs, const char *dir, struct superblock *ret,
                    bool *ret_single)
{
	struct superblock sb[2];
	int err[2];

	for (int i = 0; i < 2; i++) {
		memset(&sb[i], 0, sizeof(sb[i]));
		err[i] = superblock_read_one(fs, dir, sb_names[i], &sb[i]);
	}
	if (err[0] && err[1])
		return err[0] == -ENOENT ? err[1] : err[0];
	int best = err[0] || (!err[1] && sb[1].generation > sb[0].generation);
	*ret = sb[best];
	*ret_single = err[0] || err[1] || sb[0].generation != sb[1].generation;
	return 0;
}

static int superblock_write_one(const struct fs_ops *fs, const char *dir, const char *name,
                                const uint8_t raw[SB_LEN])
{
	char tmp[PATH_MAX], path[PATH_MAX];

	if (snprintf(tmp, sizeof(tmp), "%s/superblock.new", dir) >= (int)sizeof(tmp) ||
	    snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = fs->open(fs->arg, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fd;
	struct iovec iov = {.iov_base = (void *)raw, .iov_len = SB_LEN};
	ssize_t n = fs->pwritev(fs->arg, fd, &iov, 1, 0);
	int err = n == SB_LEN ? fs->fsync(fs->arg, fd) : n < 0 ? (int)n : -ENOSPC;
	fs->close(fs->arg, fd);
	if (!err)
		err = fs->rename(fs->arg, tmp, path);
	return err ? err : fs_sync_dir(fs, dir);
}

int superblock_write(const struct fs_ops *fs, const char *dir, struct superblock *sb)
{
	uint8_t raw[SB_LEN];

	sb->generation++;
	superblock_encode(sb, raw);
	int err = superblock_write_one(fs, dir, sb_names[0], raw);
	return err ? err : superblock_write_one(fs, dir, sb_names[1], raw);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/local_register.h"

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
#include "lib/base/dir.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/wire/msg.h"

enum { MAP_FILE_VERSION = 1, NAME_LEN = 32 };

/* In front of the map's bytes; little-endian. The checksum covers what stands before it, and the map. */
struct map_file_head {
	uint8_t magic[4];
	uint32_t version;
	uint32_t seq;
	uint32_t len;
	uint32_t crc;
};
static_assert(sizeof(struct map_file_head) == 20, "no padding");
static const uint8_t map_magic[4] = {'S', 'F', 'm', 'p'};

static void map_name(char name[NAME_LEN], uint32_t seq)
{
	snprintf(name, NAME_LEN, "map.%08x", seq);
}

static uint32_t file_crc(const struct map_file_head *h, const uint8_t *body, size_t len)
{
	return crc32c(crc32c(0, h, offsetof(struct map_file_head, crc)), body, len);
}

int local_register_open(struct local_register *r, const char *dir, uint64_t node)
{
	struct stat st;
	int err;

	*r = (struct local_register){.node = node, .dir_fd = -1};
	snprintf(r->dir, sizeof(r->dir), "%s", dir);
	err = dir_make(dir, 0700);
	if (err)
		return err;
	r->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0 || fstat(r->dir_fd, &st) < 0)
		return -errno;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	return 0;
}

void local_register_close(struct local_register *r)
{
	if (r->dir_fd >= 0)
		close(r->dir_fd);
	r->dir_fd = -1;
}

/* The whole file, at most `max` bytes of it. */
static int file_read(int fd, uint8_t **ret, size_t *ret_len, size_t max)
{
	struct stat st;
	uint8_t *data;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return -SF_EFORMAT;
	data = xmalloc((size_t)st.st_size + 1);
	n = pread(fd, data, (size_t)st.st_size, 0);
	if (n != st.st_size) {
		int err = n < 0 ? -errno : -SF_ECORRUPT;

		free(data);
		return err;
	}
	*ret = data;
	*ret_len = (size_t)n;
	return 0;
}

static int map_parse(const uint8_t *data, size_t len, uint32_t seq, struct map **ret)
{
	struct map_file_head h;
	const uint8_t *body = data + sizeof(h);

	if (len < sizeof(h))
		return -SF_ECORRUPT;
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, map_magic, sizeof(map_magic)) != 0 ||
	    le32toh(h.version) != MAP_FILE_VERSION)
		return -SF_EFORMAT;
	if (le32toh(h.seq) != seq || le32toh(h.len) != len - sizeof(h) ||
	    le32toh(h.crc) != file_crc(&h, body, len - sizeof(h)))
		return -SF_ECORRUPT;
	return map_decode(body, len - sizeof(h), ret);
}

/* Whether this still is the register: it may have been emptied, moved away, or replaced. */
static int check_in_place(const struct local_register *r)
{
	char name[NAME_LEN];
	struct stat st;

	map_name(name, r->seq);
	if (r->seq > 0 && fstatat(r->dir_fd, name, &st, 0) < 0)
		return -errno;
	if (stat(r->dir, &st) < 0)
		return -errno;
	return st.st_dev == r->dev && st.st_ino == r->ino ? 0 : -ESTALE;
}

int local_register_load(const struct local_register *r, uint32_t seq, struct map **ret)
{
	char name[NAME_LEN];
	uint8_t *data = NULL;
	size_t len = 0;
	int fd, err;

	map_name(name, seq);
	fd = openat(r->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = file_read(fd, &data, &len, sizeof(struct map_file_head) + MSG_MAX_BLOB);
	close(fd);
	if (err)
		return err;
	err = map_parse(data, len, seq, ret);
	free(data);
	return err;
}

int local_register_next(struct local_register *r, struct map **ret)
{
	struct map *map;
	int err = local_register_load(r, r->seq + 1, &map);

	if (err == -ENOENT)
		return check_in_place(r);
	if (err)
		return err;
	if (map->epoch != 1 && (map->cluster != r->cluster || map->epoch != r->epoch + 1)) {
		map_unref(map);
		return -SF_ECORRUPT;
	}
	/* Whoever acts on a map must find it again after a power cut, even if the proposer did not get so far. */
	if (fsync(r->dir_fd) < 0) {
		map_unref(map);
		return -errno;
	}
	r->seq++;
	r->cluster = map->cluster;
	r->epoch = map->epoch;
	*ret = map;
	return 1;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Writes the map aside, durably, and into a new file: what a killed process left under this
 * name may have become a map. */
static int map_write(const struct local_register *r, const char *name, const struct map *map)
{
	struct map_file_head h = {
		.version = htole32(MAP_FILE_VERSION),
		.seq = htole32(r->seq + 1),
	};
	uint8_t *body;
	size_t len;
	int fd, err;

	map_encode(map, &body, &len);
	if (len > MSG_MAX_BLOB) {
		free(body);
		return -EFBIG;
	}
	(void)unlinkat(r->dir_fd, name, 0);
	fd = openat(r->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		free(body);
		return err;
	}
	memcpy(h.magic, map_magic, sizeof(map_magic));
	h.len = htole32((uint32_t)len);
	h.crc = htole32(file_crc(&h, body, len));
	err = write_all(fd, (const uint8_t *)&h, sizeof(h));
	if (!err)
		err = write_all(fd, body, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	free(body);
	close(fd);
	return err;
}

int local_register_propose(struct local_register *r, uint64_t expected_cluster,
                           uint32_t expected_epoch, const struct map *map)
{
	char name[NAME_LEN], tmp[NAME_LEN];
	int err;

	if (r->cluster != expected_cluster || r->epoch != expected_epoch)
		return -SF_EAGAIN;
	assert(map->epoch == 1 || (map->cluster == r->cluster && map->epoch == r->epoch + 1));
	map_name(name, r->seq + 1);
	snprintf(tmp, sizeof(tmp), "tmp.%016llx", (unsigned long long)r->node);
	err = map_write(r, tmp, map);
	if (!err && linkat(r->dir_fd, tmp, r->dir_fd, name, 0) < 0)
		err = errno == EEXIST ? -SF_EAGAIN : -errno;
	(void)unlinkat(r->dir_fd, tmp, 0);
	if (!err && fsync(r->dir_fd) < 0)
		err = -errno;
	return err;
}

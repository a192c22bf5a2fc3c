/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/register.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { MAGIC = 0x52664653, HEAD_LEN = 8, FILE_MAX = 64 << 20, PATH_LEN = 4096 };

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static int dir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int write_all(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int checked_file_write(const char *dir, const char *name, const void *data, size_t len)
{
	char path[PATH_LEN], temp[PATH_LEN];
	uint8_t *all = xmalloc(len + HEAD_LEN);

	put32(all, MAGIC);
	put32(all + 4, crc32c(0, data, len));
	memcpy(all + HEAD_LEN, data, len);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(temp, sizeof(temp), "%s/%s.%d.tmp", dir, name, (int)getpid());
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = fd < 0 ? -errno : write_all(fd, all, len + HEAD_LEN);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && rename(temp, path) < 0)
		rc = -errno;
	if (rc < 0)
		unlink(temp);
	free(all);
	return rc < 0 ? rc : dir_sync(dir);
}

static int read_all(int fd, uint8_t **ret, size_t *ret_len)
{
	struct stat st;
	size_t got = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < HEAD_LEN || st.st_size > FILE_MAX)
		return -SF_ECORRUPT;
	uint8_t *p = xmalloc(st.st_size);
	while (got < (size_t)st.st_size) {
		ssize_t n = pread(fd, p + got, st.st_size - got, got);
		if (n <= 0) {
			free(p);
			return n < 0 ? -errno : -SF_ECORRUPT;
		}
		got += n;
	}
	*ret = p;
	*ret_len = got;
	return 0;
}

int checked_file_read(const char *dir, const char *name, uint8_t **ret, size_t *ret_len)
{
	char path[PATH_LEN];
	uint8_t *p = NULL;
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int rc = read_all(fd, &p, &len);
	close(fd);
	if (rc < 0)
		return rc;
	if (get32(p) != MAGIC || get32(p + 4) != crc32c(0, p + HEAD_LEN, len - HEAD_LEN)) {
		free(p);
		return -SF_ECORRUPT;
	}
	memmove(p, p + HEAD_LEN, len - HEAD_LEN);
	*ret = p;
	*ret_len = len - HEAD_LEN;
	return 0;
}

static int make_dirs(const char *dir)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s", dir);
	for (char *p = path + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char c = *p;
		*p = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			return 0;
	}
}

int register_open(const char *dir)
{
	char path[PATH_LEN];
	int rc = make_dirs(dir);

	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

int register_current(const char *dir, struct register_pos *ret)
{
	uint8_t *p;
	size_t len;
	uint64_t cluster;
	int rc = checked_file_read(dir, "current", &p, &len);

	if (rc == -ENOENT) {
		*ret = (struct register_pos){0, 0};
		return 0;
	}
	if (rc < 0)
		return rc;
	if (len != 12) {
		free(p);
		return -SF_ECORRUPT;
	}
	memcpy(&cluster, p, 8);
	ret->cluster = le64toh(cluster);
	ret->epoch = get32(p + 8);
	free(p);
	return 0;
}

static void cluster_dir(const char *dir, uint64_t cluster, char path[PATH_LEN])
{
	snprintf(path, PATH_LEN, "%s/cluster-%016llx", dir, (unsigned long long)cluster);
}

int register_map(const char *dir, struct register_pos pos, struct map **ret)
{
	char sub[PATH_LEN], name[32];
	uint8_t *p;
	size_t len;

	cluster_dir(dir, pos.cluster, sub);
	snprintf(name, sizeof(name), "map.%08x", pos.epoch);
	int rc = checked_file_read(sub, name, &p, &len);
	if (rc < 0)
		return rc;
	rc = map_decode(p, len, ret);
	free(p);
	if (rc == 0 && ((*ret)->epoch != pos.epoch || (*ret)->cluster != pos.cluster)) {
		map_unref(*ret);
		rc = -SF_ECORRUPT;
	}
	return rc;
}

static int register_write(const char *dir, const struct map *map)
{
	char sub[PATH_LEN], name[32];
	uint8_t pos[12], *bytes;
	uint64_t cluster = htole64(map->cluster);
	size_t len;

	cluster_dir(dir, map->cluster, sub);
	if (mkdir(sub, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(name, sizeof(name), "map.%08x", map->epoch);
	map_encode(map, &bytes, &len);
	int rc = checked_file_write(sub, name, bytes, len);
	free(bytes);
	if (rc < 0)
		return rc;
	memcpy(pos, &cluster, 8);
	put32(pos + 8, map->epoch);
	return checked_file_write(dir, "current", pos, sizeof(pos));
}

/* The cluster that was formatted over. What is left of it after a crash here is only clutter. */
static void remove_cluster(const char *dir, uint64_t cluster)
{
	char sub[PATH_LEN];

	cluster_dir(dir, cluster, sub);
	DIR *d = opendir(sub);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(sub);
}

int register_propose(const char *dir, int lock_fd, struct register_pos expected, const struct map *map)
{
	struct register_pos now;
	int rc;

	while (flock(lock_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return -errno;
	rc = register_current(dir, &now);
	if (rc == 0 && (now.cluster != expected.cluster || now.epoch != expected.epoch))
		rc = -SF_EAGAIN;
	if (rc == 0)
		rc = register_write(dir, map);
	if (rc == 0 && expected.cluster && expected.cluster != map->cluster)
		remove_cluster(dir, expected.cluster);
	flock(lock_fd, LOCK_UN);
	return rc;
}

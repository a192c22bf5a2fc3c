/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The register of the local driver, whose files may hold anything: what is not the next map is
 * refused, and on what was read a proposal can still win.
 *
 * An input: for each file a byte of flags, then its bytes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/place/map_edit.h"
#include "sheep/member/local_register.h"
#include "tests/fuzz/fuzz.h"

enum { FILES_MAX = 4, HEAD_LEN = 20, CRC_AT = 16 };
enum file_flags {
	FILE_RAW = 1 << 0,  /* the bytes are the whole file */
	FILE_MAP = 1 << 1,  /* a proper map, of the cluster and epoch that the bytes give */
	FILE_SEQ = 1 << 2,  /* a wrong number */
	FILE_LEN = 1 << 3,  /* a wrong length */
	FILE_CRC = 1 << 4,  /* a wrong checksum */
	FILE_SKIP = 1 << 5, /* no file of this number */
};

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void file_write(const char *dir, uint32_t seq, const uint8_t *data, size_t len)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/map.%08x", dir, seq);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static void proper_map(struct fuzz_in *in, uint8_t **ret, size_t *ret_len)
{
	struct map *map = map_create();

	map->cluster = 1 + fuzz_u8(in) % 3;
	map->epoch = 1 + fuzz_u8(in) % 4;
	map_encode(map, ret, ret_len);
	map_unref(map);
}

static void file_make(const char *dir, uint32_t seq, struct fuzz_in *in)
{
	uint8_t flags = fuzz_u8(in), *file, *body = NULL;
	const uint8_t *raw;
	size_t len;

	if (flags & FILE_SKIP)
		return;
	if (flags & FILE_MAP) {
		proper_map(in, &body, &len);
	} else {
		len = fuzz_bytes(in, 4096, &raw);
		body = xmemdup(raw, len);
	}
	file = xcalloc(1, HEAD_LEN + len);
	if (len)
		memcpy(file + HEAD_LEN, body, len);
	free(body);
	memcpy(file, "SFmp", 4);
	put32(file + 4, 1);
	put32(file + 8, seq + (flags & FILE_SEQ ? fuzz_u8(in) : 0));
	put32(file + 12, (uint32_t)len + (flags & FILE_LEN ? fuzz_u8(in) : 0));
	put32(file + CRC_AT,
	      crc32c(crc32c(0, file, CRC_AT), file + HEAD_LEN, len) ^ (flags & FILE_CRC ? 1 : 0));
	if (flags & FILE_RAW)
		file_write(dir, seq, file + HEAD_LEN, len);
	else
		file_write(dir, seq, file, HEAD_LEN + len);
	free(file);
}

static void dir_empty(const char *dir)
{
	DIR *d = opendir(dir);

	assert(d);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

/* A proposal on what was read wins unless something stands in its place. */
static void propose(struct local_register *r, bool blocked)
{
	struct map *map = map_create(), *got;
	int err;

	map->cluster = r->cluster ? r->cluster : 9;
	map->epoch = r->epoch + 1;
	if (map->epoch == 0)
		map->epoch = 1;
	err = local_register_propose(r, r->cluster, r->epoch, map);
	assert(blocked ? err < 0 : err == 0);
	if (err == 0) {
		assert(local_register_next(r, &got) == 1);
		assert(got->epoch == map->epoch && got->cluster == map->cluster);
		map_unref(got);
	}
	map_unref(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = {data, data + size};
	struct local_register r;
	char dir[100];
	struct map *map;
	int got;

	snprintf(dir, sizeof(dir), "/dev/shm/fuzz-register.%d", (int)getpid());
	assert(mkdir(dir, 0700) == 0 || errno == EEXIST);
	dir_empty(dir);
	for (uint32_t seq = 1; seq <= FILES_MAX && in.p < in.end; seq++)
		file_make(dir, seq, &in);
	assert(local_register_open(&r, dir, 5) == 0);
	while ((got = local_register_next(&r, &map)) == 1) {
		assert(map_valid(map) && map->epoch == r.epoch && map->cluster == r.cluster);
		map_unref(map);
	}
	propose(&r, got < 0);
	local_register_close(&r);
	dir_empty(dir);
	rmdir(dir);
	return 0;
}

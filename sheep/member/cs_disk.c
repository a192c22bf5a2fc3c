/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/cs_disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/member/cs_msg.h"

struct vote_head {
	char magic[8];
	uint64_t promised, ballot;
	uint32_t seq, len;
	uint32_t crc; /* of what is before and behind it */
	uint32_t reserved;
};
static const char vote_magic[8] = "SFvote1";

static uint32_t vote_crc(const struct vote_head *h, const uint8_t *data, uint32_t len)
{
	return crc32c(crc32c(0, h, offsetof(struct vote_head, crc)), data, len);
}

static int vote_parse(const uint8_t *bytes, size_t len, struct cs_vote *ret)
{
	struct vote_head h;

	if (len < sizeof(h))
		return -SF_ECORRUPT;
	memcpy(&h, bytes, sizeof(h));
	if (memcmp(h.magic, vote_magic, sizeof(h.magic)) != 0)
		return -SF_EFORMAT;
	if (le32toh(h.len) != len - sizeof(h) ||
	    le32toh(h.crc) != vote_crc(&h, bytes + sizeof(h), (uint32_t)(len - sizeof(h))))
		return -SF_ECORRUPT;
	ret->promised = le64toh(h.promised);
	ret->ballot = le64toh(h.ballot);
	ret->seq = le32toh(h.seq);
	ret->len = le32toh(h.len);
	ret->data = xmemdup(bytes + sizeof(h), ret->len);
	return 0;
}

static int vote_load(const char *path, struct cs_vote *ret)
{
	size_t max = sizeof(struct vote_head) + CS_DATA_MAX + 1, len = 0;
	uint8_t *bytes = xmalloc(max);
	FILE *f = fopen(path, "re");
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	if (!f && errno != ENOENT)
		err = -errno;
	if (f) {
		len = fread(bytes, 1, max, f);
		err = ferror(f) ? -EIO : vote_parse(bytes, len, ret);
		fclose(f);
	}
	free(bytes);
	return err;
}

int cs_disk_open(struct cs_disk *d, const char *dir, uint64_t node, struct cs_vote *ret_vote)
{
	int err;

	if (snprintf(d->vote, sizeof(d->vote), "%s/vote", dir) >= (int)sizeof(d->vote))
		return -ENAMETOOLONG;
	err = local_register_open(&d->reg, dir, node);
	if (err)
		return err;
	err = vote_load(d->vote, ret_vote);
	if (err)
		local_register_close(&d->reg);
	return err;
}

void cs_disk_close(struct cs_disk *d)
{
	local_register_close(&d->reg);
}

static int bytes_write(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int cs_disk_vote_save(struct cs_disk *d, const struct cs_vote *vote)
{
	struct vote_head h = {
		.promised = htole64(vote->promised),
		.ballot = htole64(vote->ballot),
		.seq = htole32(vote->seq),
		.len = htole32(vote->len),
	};
	char temp[PATH_MAX + 8];
	int fd, err;

	memcpy(h.magic, vote_magic, sizeof(h.magic));
	h.crc = htole32(vote_crc(&h, vote->data, vote->len));
	snprintf(temp, sizeof(temp), "%s.tmp", d->vote);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = bytes_write(fd, &h, sizeof(h));
	if (!err)
		err = bytes_write(fd, vote->data, vote->len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (!err && rename(temp, d->vote) < 0)
		err = -errno;
	if (!err && fsync(d->reg.dir_fd) < 0)
		err = -errno;
	return err;
}

int cs_disk_map_save(struct cs_disk *d, const struct map *map)
{
	struct map *again;
	int err = local_register_propose(&d->reg, d->reg.cluster, d->reg.epoch, map);

	if (err)
		return err;
	err = local_register_next(&d->reg, &again);
	if (err == 1)
		map_unref(again);
	return err == 1 ? 0 : err ? err : -SF_ECORRUPT;
}

int cs_disk_map_load(const struct cs_disk *d, uint32_t seq, struct map **ret)
{
	return local_register_load(&d->reg, seq, ret);
}

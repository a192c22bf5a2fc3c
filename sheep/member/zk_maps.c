/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/zk_maps.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"

enum { ZK_MAP_VERSION = 1, ZK_MAP_MAX = 64 << 20, ZK_MAX_PARTS = 4096 };

void zk_head_format(const struct zk_head *head, char text[ZK_HEAD_LEN])
{
	snprintf(text, ZK_HEAD_LEN,
	         "sheepfold 1 first=%" PRIu32 " last=%" PRIu32 " cluster=%016" PRIx64 " epoch=%" PRIu32 "\n",
	         head->first, head->last, head->cluster, head->epoch);
}

int zk_head_parse(const uint8_t *data, size_t len, struct zk_head *ret)
{
	char text[ZK_HEAD_LEN];
	struct zk_head h;
	int end = 0;

	if (len >= sizeof(text))
		return -SF_EFORMAT;
	memcpy(text, data, len);
	text[len] = '\0';
	if (sscanf(text,
	           "sheepfold 1 first=%" SCNu32 " last=%" SCNu32 " cluster=%" SCNx64 " epoch=%" SCNu32 "%n",
	           &h.first, &h.last, &h.cluster, &h.epoch, &end) != 4 ||
	    (size_t)end + 1 < len)
		return -SF_EFORMAT;
	if (h.first > h.last || (h.last && (!h.first || !h.cluster || !h.epoch)))
		return -SF_EFORMAT;
	*ret = h;
	return 0;
}

struct map_znode {
	uint8_t magic[4];
	uint32_t version;
	uint64_t nonce;
	uint32_t parts, len, crc;
	uint32_t reserved[2];
	uint32_t header_crc; /* of all before it */
};
static_assert(sizeof(struct map_znode) == ZK_MAP_HEADER, "no padding");
static const uint8_t map_magic[4] = {'S', 'F', 'z', 'm'};

void zk_map_header_encode(const struct zk_map_header *h, uint8_t data[ZK_MAP_HEADER])
{
	struct map_znode z = {
		.version = htole32(ZK_MAP_VERSION),
		.nonce = htole64(h->nonce),
		.parts = htole32(h->parts),
		.len = htole32(h->len),
		.crc = htole32(h->crc),
	};

	memcpy(z.magic, map_magic, sizeof(map_magic));
	z.header_crc = htole32(crc32c(0, &z, offsetof(struct map_znode, header_crc)));
	memcpy(data, &z, sizeof(z));
}

int zk_map_header_decode(const uint8_t *data, size_t len, struct zk_map_header *ret)
{
	struct map_znode z;

	if (len < sizeof(z))
		return -SF_EFORMAT;
	memcpy(&z, data, sizeof(z));
	if (memcmp(z.magic, map_magic, sizeof(map_magic)) || le32toh(z.version) != ZK_MAP_VERSION ||
	    le32toh(z.header_crc) != crc32c(0, &z, offsetof(struct map_znode, header_crc)))
		return -SF_EFORMAT;
	if (le32toh(z.len) > ZK_MAP_MAX || le32toh(z.parts) > ZK_MAX_PARTS ||
	    le32toh(z.parts) > le32toh(z.len))
		return -SF_EFORMAT;
	if (!z.parts && len - sizeof(z) != le32toh(z.len))
		return -SF_EFORMAT;
	*ret = (struct zk_map_header){
		.parts = le32toh(z.parts),
		.len = le32toh(z.len),
		.crc = le32toh(z.crc),
		.nonce = le64toh(z.nonce),
	};
	return 0;
}

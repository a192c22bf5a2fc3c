/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/backup_format.h"

#include <assert.h>
#include <string.h>

#include "client/lib/le.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"

#define HEAD_MAGIC "SFbackup"
#define RECORD_MAGIC "SFrc"
enum { HEAD_CRC_FROM = 12, RECORD_CRC_FROM = 8, OFF_VOLUME = 128, OFF_TAG = 384, OFF_BASE = 640 };

static_assert(OFF_VOLUME + SF_NAME_MAX + 1 == OFF_TAG && OFF_TAG + SF_NAME_MAX + 1 == OFF_BASE &&
                      OFF_BASE + SF_NAME_MAX + 1 <= BACKUP_HEAD_LEN,
              "names do not overlap");

void backup_head_encode(const struct backup_head *h, uint8_t bytes[BACKUP_HEAD_LEN], uint32_t *crc)
{
	memset(bytes, 0, BACKUP_HEAD_LEN);
	memcpy(bytes, HEAD_MAGIC, 8);
	put32(bytes + 12, BACKUP_VERSION);
	put32(bytes + 16, h->flags);
	put32(bytes + 20, h->object_shift);
	put64(bytes + 24, h->size_bytes);
	put32(bytes + 32, h->redundancy.data);
	put32(bytes + 36, h->redundancy.parity);
	put64(bytes + 40, h->taken_s);
	put64(bytes + 48, h->base_taken_s);
	put64(bytes + 56, h->identity);
	put64(bytes + 64, h->base_identity);
	memcpy(bytes + OFF_VOLUME, h->volume, strnlen(h->volume, SF_NAME_MAX));
	memcpy(bytes + OFF_TAG, h->tag, strnlen(h->tag, SF_NAME_MAX));
	memcpy(bytes + OFF_BASE, h->base, strnlen(h->base, SF_NAME_MAX));
	*crc = crc32c(0, bytes + HEAD_CRC_FROM, BACKUP_HEAD_LEN - HEAD_CRC_FROM);
	put32(bytes + 8, *crc);
}

int backup_head_decode(const uint8_t bytes[BACKUP_HEAD_LEN], struct backup_head *ret, uint32_t *crc)
{
	struct backup_head h = {0};
	uint32_t sum;

	if (memcmp(bytes, HEAD_MAGIC, 8) != 0)
		return -SF_EFORMAT;
	sum = crc32c(0, bytes + HEAD_CRC_FROM, BACKUP_HEAD_LEN - HEAD_CRC_FROM);
	if (sum != get32(bytes + 8))
		return -SF_ECORRUPT;
	if (get32(bytes + 12) != BACKUP_VERSION || (get32(bytes + 16) & ~BACKUP_DIFFERENTIAL))
		return -SF_EFORMAT;
	if (bytes[OFF_VOLUME + SF_NAME_MAX] || bytes[OFF_TAG + SF_NAME_MAX] ||
	    bytes[OFF_BASE + SF_NAME_MAX])
		return -SF_EFORMAT;
	h.flags = get32(bytes + 16);
	h.object_shift = get32(bytes + 20);
	h.size_bytes = get64(bytes + 24);
	h.redundancy.data = get32(bytes + 32);
	h.redundancy.parity = get32(bytes + 36);
	h.taken_s = get64(bytes + 40);
	h.base_taken_s = get64(bytes + 48);
	h.identity = get64(bytes + 56);
	h.base_identity = get64(bytes + 64);
	memcpy(h.volume, bytes + OFF_VOLUME, sizeof(h.volume));
	memcpy(h.tag, bytes + OFF_TAG, sizeof(h.tag));
	memcpy(h.base, bytes + OFF_BASE, sizeof(h.base));
	*ret = h;
	*crc = sum;
	return 0;
}

void backup_record_encode(const struct backup_record *r, uint8_t bytes[BACKUP_RECORD_LEN],
                          uint32_t *crc)
{
	memcpy(bytes, RECORD_MAGIC, 4);
	put32(bytes + 8, r->kind);
	put32(bytes + 12, r->payload_crc);
	put64(bytes + 16, r->number);
	put64(bytes + 24, r->index);
	put64(bytes + 32, r->offset);
	put64(bytes + 40, r->length);
	*crc = crc32c(*crc, bytes + RECORD_CRC_FROM, BACKUP_RECORD_LEN - RECORD_CRC_FROM);
	put32(bytes + 4, *crc);
}

int backup_record_decode(const uint8_t bytes[BACKUP_RECORD_LEN], struct backup_record *ret,
                         uint32_t *crc)
{
	uint32_t sum = crc32c(*crc, bytes + RECORD_CRC_FROM, BACKUP_RECORD_LEN - RECORD_CRC_FROM);
	uint32_t kind = get32(bytes + 8);

	if (memcmp(bytes, RECORD_MAGIC, 4) != 0 || sum != get32(bytes + 4))
		return -SF_ECORRUPT;
	if (kind < BACKUP_DATA || kind > BACKUP_END)
		return -SF_EFORMAT;
	*ret = (struct backup_record){
		.kind = (enum backup_kind)kind,
		.payload_crc = get32(bytes + 12),
		.number = get64(bytes + 16),
		.index = get64(bytes + 24),
		.offset = get64(bytes + 32),
		.length = get64(bytes + 40),
	};
	*crc = sum;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/codec.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/wire/header.h"

enum {
	FRAME_VERSION = 1,
	MAX_BLOCKS = MSG_MAX_PAYLOAD / CRC_BLOCK,

	OFF_MAGIC = 0,
	OFF_VERSION = 4,
	OFF_FLAGS = 5,
	OFF_RESERVED = 6,
	OFF_HEADER_LEN = 8,
	OFF_PAYLOAD_LEN = 12,
	OFF_CRC = 16,
	OFF_RESERVED_2 = 20,
};

static const uint8_t frame_magic[4] = {'S', 'F', 'l', 'd'};

static_assert(OFF_RESERVED_2 + 4 == FRAME_FIXED_LEN, "the fixed part has no gaps");
static_assert((int)MSG_MAX_PAYLOAD <= (int)BUF_MAX, "a payload fits one buffer");
static_assert(MSG_MAX_BLOB + MSG_MAX_ENTRIES * (64 + 48) + 4096 <= FRAME_MAX_HEADER,
              "a message within its limits fits a header");

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* Everything in front of the payload but the checksum itself and the last reserved field. */
static uint32_t head_crc(const uint8_t *head, size_t head_len)
{
	uint32_t crc = crc32c(0, head, OFF_CRC);

	return crc32c(crc, head + FRAME_FIXED_LEN, head_len - FRAME_FIXED_LEN);
}

void frame_encode(const struct msg *m, uint8_t **ret_head, uint32_t *ret_len)
{
	uint32_t crcs[MAX_BLOCKS], payload, blocks, header_len, len;
	uint8_t *head;

	payload = payload_len(&m->payload);
	assert(header_valid(m, payload));
	blocks = block_count(payload);
	head = header_pack(m, FRAME_FIXED_LEN, 4 * blocks, &header_len);
	assert(header_len <= FRAME_MAX_HEADER);
	len = FRAME_FIXED_LEN + header_len + 4 * blocks;

	memset(head, 0, FRAME_FIXED_LEN);
	memcpy(head + OFF_MAGIC, frame_magic, sizeof(frame_magic));
	head[OFF_VERSION] = FRAME_VERSION;
	put32(head + OFF_HEADER_LEN, header_len);
	put32(head + OFF_PAYLOAD_LEN, payload);
	payload_crcs(&m->payload, crcs);
	for (uint32_t i = 0; i < blocks; i++)
		put32(head + FRAME_FIXED_LEN + header_len + 4 * i, crcs[i]);
	put32(head + OFF_CRC, head_crc(head, len));
	*ret_head = head;
	*ret_len = len;
}

int frame_peek(const uint8_t fixed[FRAME_FIXED_LEN], struct frame_sizes *ret)
{
	uint32_t header_len = get32(fixed + OFF_HEADER_LEN);
	uint32_t payload_len = get32(fixed + OFF_PAYLOAD_LEN);

	if (memcmp(fixed + OFF_MAGIC, frame_magic, sizeof(frame_magic)) != 0 ||
	    fixed[OFF_VERSION] != FRAME_VERSION || fixed[OFF_FLAGS] != 0)
		return -SF_EFORMAT;
	if (fixed[OFF_RESERVED] != 0 || fixed[OFF_RESERVED + 1] != 0 ||
	    get32(fixed + OFF_RESERVED_2))
		return -SF_EFORMAT;
	if (header_len > FRAME_MAX_HEADER || payload_len > MSG_MAX_PAYLOAD)
		return -SF_EFORMAT;
	*ret = (struct frame_sizes){
		.header_len = header_len,
		.crc_count = block_count(payload_len),
		.payload_len = payload_len,
	};
	return 0;
}

int head_check(const uint8_t *head, size_t head_len, struct frame_sizes *ret)
{
	int err;

	if (head_len < FRAME_FIXED_LEN)
		return -SF_EFORMAT;
	err = frame_peek(head, ret);
	if (err)
		return err;
	if (head_len != FRAME_FIXED_LEN + ret->header_len + 4 * ret->crc_count)
		return -SF_EFORMAT;
	return head_crc(head, head_len) == get32(head + OFF_CRC) ? 0 : -SF_ECORRUPT;
}

/* Checks each block against the table in the frame, and gives the checksums in host order. */
static int payload_verify(const struct buf *payload, const uint8_t *table, uint32_t *crcs)
{
	for (uint32_t i = 0, off = 0; off < payload->len; i++, off += CRC_BLOCK) {
		uint32_t n = MIN(payload->len - off, (uint32_t)CRC_BLOCK);

		crcs[i] = crc32c(0, payload->data + off, n);
		if (crcs[i] != get32(table + 4 * i))
			return -SF_ECORRUPT;
	}
	return 0;
}

int frame_decode(const uint8_t *head, size_t head_len, struct buf *payload, struct msg *ret)
{
	const uint8_t *header = head + FRAME_FIXED_LEN;
	uint32_t crcs[MAX_BLOCKS];
	struct frame_sizes sizes;
	int err;

	err = head_check(head, head_len, &sizes);
	if (err)
		return err;
	if (sizes.payload_len != (payload ? payload->len : 0))
		return -SF_EFORMAT;
	if (payload) {
		err = payload_verify(payload, header + sizes.header_len, crcs);
		if (err)
			return err;
	}
	err = header_unpack(header, sizes.header_len, sizes.payload_len, ret);
	if (err)
		return err;
	if (payload) {
		memcpy(payload->crc, crcs, sizes.crc_count * sizeof(crcs[0]));
		payload->crc_valid = true;
		ret->payload.v[0] = (struct slice){.buf = payload, .len = payload->len};
		ret->payload.count = 1;
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/codec_foreign.h"

#include "lib/base/crc32c.h"
#include "lib/wire/codec.h"
#include "lib/wire/header.h"

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int frame_decode_head(const uint8_t *head, size_t head_len, struct msg *ret,
                      const uint8_t **ret_crcs)
{
	struct frame_sizes sizes;
	int err;

	err = head_check(head, head_len, &sizes);
	if (err < 0)
		return err;
	err = header_unpack(head + FRAME_FIXED_LEN, sizes.header_len, sizes.payload_len, ret);
	if (err < 0)
		return err;
	*ret_crcs = head + FRAME_FIXED_LEN + sizes.header_len;
	return 0;
}

bool frame_block_valid(const uint8_t *crcs, uint32_t block, const void *data, uint32_t len)
{
	return get32(crcs + 4 * (size_t)block) == crc32c(0, data, len);
}

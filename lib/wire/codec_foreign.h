/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_WIRE_CODEC_FOREIGN_H
#define SF_WIRE_CODEC_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/msg.h"

/*
 * For a receiver that places a frame's payload in memory that is not a buffer (the memory a caller
 * of the client library handed in): decodes what is in front of the payload, and verifies payload
 * blocks one by one, while they are still in the cache.
 */

/* Like frame_decode for head (fixed part, header, block checksums) alone; ret's payload stays
 * empty. *ret_crcs points into head at one checksum per CRC_BLOCK, to be used with
 * frame_block_valid. */
int frame_decode_head(const uint8_t *head, size_t head_len, struct msg *ret,
                      const uint8_t **ret_crcs);

/* Whether block number `block` of the payload, of len bytes, is what was sent. */
bool frame_block_valid(const uint8_t *crcs, uint32_t block, const void *data, uint32_t len);

#endif

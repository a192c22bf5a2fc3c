/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_WIRE_CODEC_H
#define SF_WIRE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/wire/msg.h"

/*
 * Frame on a stream, little-endian:
 *
 *   off len
 *     0   4  magic "SFld"
 *     4   1  frame version (1)
 *     5   1  flags (0; unknown flags are refused)
 *     6   2  reserved, 0
 *     8   4  header length  (protobuf, sheepfold.proto message Header)
 *    12   4  payload length
 *    16   4  CRC32C of bytes 0..15, the header, and the payload's block checksums
 *    20   4  reserved, 0
 *    24      header, then one CRC32C per 64 KiB of payload, then the payload
 *
 * So that a receiver knows all lengths from 24 bytes, can place the payload straight into an
 * aligned buffer, and verifies it block by block; the checksums it verified stay with the
 * buffer (buf.h).
 */
enum {
	FRAME_FIXED_LEN = 24,
	FRAME_MAX_HEADER = 9 << 20,
	PROTOCOL_VERSION_MIN = 1,
	PROTOCOL_VERSION_MAX = 1,
};

struct frame_sizes {
	uint32_t header_len;
	uint32_t crc_count; /* blocks of payload */
	uint32_t payload_len;
};

/* Encodes everything in front of the payload (fixed part, header, block checksums) into a malloc'ed
 * area. The payload itself is sent from m->payload's slices; a slice that is a hole is sent as
 * zeros.
 * Never fails for a message that keeps msg.h's limits (asserted). */
void frame_encode(const struct msg *m, uint8_t **ret_head, uint32_t *ret_len);

/* Checks the fixed part. -SF_EFORMAT when it is not ours or a length passes its limit; ret
 * untouched then. */
int frame_peek(const uint8_t fixed[FRAME_FIXED_LEN], struct frame_sizes *ret);

/* Decodes a frame of which everything in front of the payload is in head (FRAME_FIXED_LEN +
 * header + 4 * crc_count bytes) and the payload in `payload` (NULL when payload_len is 0; len
 * set). Verifies all checksums and seals the buffer. On success takes over the payload's
 * reference. -SF_ECORRUPT, -SF_EFORMAT: nothing taken, nothing written. */
int frame_decode(const uint8_t *head, size_t head_len, struct buf *payload, struct msg *ret);

#endif

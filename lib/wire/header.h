/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_WIRE_HEADER_H
#define SF_WIRE_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/codec.h"
#include "lib/wire/msg.h"

/*
 * Private to lib/wire: a message's fields as the protobuf Header, and what stands around it in
 * front of the payload.
 */

/* Checks the fixed part, and the length and the checksum of everything in front of the payload.
 * -SF_EFORMAT, -SF_ECORRUPT: *ret undefined. */
int head_check(const uint8_t *head, size_t head_len, struct frame_sizes *ret);

/* True when m keeps the limits of msg.h, with a payload of payload_len bytes. */
bool header_valid(const struct msg *m, uint32_t payload_len);

/* Packs m's fields behind `room_before` bytes and in front of `room_after` bytes of a malloc'ed
 * area.
 * m keeps the limits (asserted by the caller). */
uint8_t *header_pack(const struct msg *m, uint32_t room_before, uint32_t room_after,
                     uint32_t *ret_header_len);

/* Fills *ret (overwritten; payload empty). -SF_EFORMAT when it is not a header or breaks a
 * limit; *ret untouched then. Memory is bounded by len plus a few MiB whatever the bytes say. */
int header_unpack(const uint8_t *data, uint32_t len, uint32_t payload_len, struct msg *ret);

#endif

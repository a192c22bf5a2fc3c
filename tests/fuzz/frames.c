/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/frames.h"

#include <stdlib.h>

#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"

/* wire_random.h expects these of the test framework. */
#define assert_true(x) assert(x)
#define assert_int_equal(a, b) assert((a) == (b))
#define assert_memory_equal(a, b, len) assert(!memcmp(a, b, len))
#include "tests/unit/wire_random.h"

enum { AT_HEADER_LEN = 8, AT_PAYLOAD_LEN = 12, AT_CRC = 16 };

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static const uint8_t frame_begin[8] = {'S', 'F', 'l', 'd', 1, 0, 0, 0};

void frame_fix(uint8_t *frame, size_t size)
{
	uint32_t payload, blocks, header, crc;
	size_t head;

	if (size < FRAME_FIXED_LEN)
		return;
	payload = le32(frame + AT_PAYLOAD_LEN);
	blocks = payload <= size ? block_count(payload) : 0;
	if (payload > size || FRAME_FIXED_LEN + (uint64_t)payload + 4 * blocks > size)
		payload = blocks = 0;
	header = (uint32_t)(size - FRAME_FIXED_LEN - payload - 4 * blocks);
	head = size - payload;
	memcpy(frame, frame_begin, sizeof(frame_begin));
	put32(frame + AT_HEADER_LEN, header);
	put32(frame + AT_PAYLOAD_LEN, payload);
	put32(frame + AT_CRC + 4, 0);
	for (uint32_t i = 0; i < blocks; i++) {
		uint32_t off = i * CRC_BLOCK, len = MIN(payload - off, (uint32_t)CRC_BLOCK);
		put32(frame + FRAME_FIXED_LEN + header + 4 * i, crc32c(0, frame + head + off, len));
	}
	crc = crc32c(0, frame, AT_CRC);
	put32(frame + AT_CRC, crc32c(crc, frame + FRAME_FIXED_LEN, head - FRAME_FIXED_LEN));
}

size_t frame_size(const uint8_t *data, size_t size)
{
	struct frame_sizes s;
	uint64_t len;

	if (size < FRAME_FIXED_LEN || frame_peek(data, &s) < 0)
		return size;
	len = (uint64_t)FRAME_FIXED_LEN + s.header_len + 4 * s.crc_count + s.payload_len;
	return (size_t)MIN(len, (uint64_t)size);
}

uint8_t *frame_make(const struct msg *m, size_t *ret_size)
{
	uint32_t head_len, payload = payload_len(&m->payload);
	uint8_t *head;

	frame_encode(m, &head, &head_len);
	head = xrealloc(head, (size_t)head_len + payload + 1);
	payload_copy_out(&m->payload, 0, head + head_len, payload);
	*ret_size = (size_t)head_len + payload;
	return head;
}

/* A random message in its place; 0 when it does not fit. */
static size_t frame_random(uint8_t *data, size_t max_size, struct prng *p)
{
	struct msg m;
	size_t len;
	uint8_t *frame;

	msg_randomise(&m, p, all_types[prng_below(p, ARRAY_LEN(all_types))]);
	frame = frame_make(&m, &len);
	if (len <= max_size)
		memcpy(data, frame, len);
	free(frame);
	msg_fini(&m);
	return len <= max_size ? len : 0;
}

/* Only the protobuf header changes, and may grow; payload and its checksums move along. */
static size_t header_mutate(uint8_t *data, size_t size, size_t max_size)
{
	struct frame_sizes s;
	size_t tail, room, len;
	uint8_t *copy;

	if (size < FRAME_FIXED_LEN || frame_size(data, size) != size || frame_peek(data, &s) < 0 ||
	    FRAME_FIXED_LEN + (size_t)s.header_len > size)
		return LLVMFuzzerMutate(data, size, max_size);
	tail = size - FRAME_FIXED_LEN - s.header_len;
	room = max_size - FRAME_FIXED_LEN - tail;
	copy = xmemdup(data + FRAME_FIXED_LEN + s.header_len, tail);
	len = LLVMFuzzerMutate(data + FRAME_FIXED_LEN, s.header_len, room);
	if (tail)
		memcpy(data + FRAME_FIXED_LEN + len, copy, tail);
	free(copy);
	return FRAME_FIXED_LEN + len + tail;
}

size_t frame_mutate(uint8_t *data, size_t size, size_t max_size, struct prng *p)
{
	size_t len = 0;

	if (max_size < 2 * FRAME_FIXED_LEN)
		return LLVMFuzzerMutate(data, size, max_size);
	if (prng_below(p, 12) == 0)
		len = frame_random(data, max_size, p);
	if (!len)
		len = prng_below(p, 4) ? header_mutate(data, size, max_size)
		                       : LLVMFuzzerMutate(data, size, max_size);
	if (prng_below(p, 16))
		frame_fix(data, len);
	return len;
}

size_t frames_mutate(uint8_t *data, size_t size, size_t max_size, struct prng *p)
{
	size_t at = 0, len = 0, tail, changed;
	uint8_t *rest;

	/* Any frame; each further one takes its place with falling probability. */
	for (size_t off = 0, n = 1; off < size; n++) {
		size_t one = frame_size(data + off, size - off);
		if (prng_below(p, n) == 0) {
			at = off;
			len = one;
		}
		off += one;
	}
	tail = size - at - len;
	rest = xmemdup(data + at + len, tail);
	switch (prng_below(p, 8)) {
	case 0: /* gone */
		changed = 0;
		break;
	case 1: /* twice */
		changed = at + 2 * len + tail <= max_size ? 2 * len : len;
		if (changed > len)
			memcpy(data + at + len, data + at, len);
		break;
	case 2: /* another in front */
		changed = frame_random(data + at, max_size - at - tail, p);
		break;
	default:
		changed = frame_mutate(data + at, len, max_size - at - tail, p);
	}
	if (tail)
		memcpy(data + at + changed, rest, tail);
	free(rest);
	return at + changed + tail;
}

void msgs_same(const struct msg *a, const struct msg *b)
{
	msg_assert_same(a, b);
}

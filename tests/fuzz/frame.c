/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One frame of any bytes: it is refused, or it is a message within the limits that becomes the same
 * message again after another trip through bytes.
 */
#include <stdlib.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_foreign.h"
#include "tests/fuzz/frames.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct prng p;

	prng_init(&p, seed);
	return frame_mutate(data, size, max_size, &p);
}

static struct buf *payload_of(const uint8_t *data, size_t len)
{
	struct buf *b;

	if (len == 0)
		return NULL;
	b = buf_get(NULL, (uint32_t)len);
	memcpy(b->data, data, len);
	return b;
}

static void limits_kept(const struct msg *m)
{
	assert(m->entry_count <= MSG_MAX_ENTRIES && m->log_count <= MSG_MAX_ENTRIES);
	assert(m->blob_len <= MSG_MAX_BLOB && m->range_count <= MAX_RANGES);
	assert(m->length <= UINT64_MAX - m->offset);
	for (uint32_t i = 0; i < m->range_count; i++)
		assert(range_fits(m->ranges[i].offset, m->ranges[i].length, UINT32_MAX));
	assert(msg_memory_bytes(m) >= sizeof(*m) + payload_len(&m->payload));
}

/* Through bytes, and as a copy. */
static void comes_back(const struct msg *m)
{
	struct msg *copy = msg_clone(m), *again = msg_create(MSG_HELLO);
	struct frame_sizes s;
	size_t size, head;
	uint8_t *frame = frame_make(m, &size);
	struct buf *payload;

	msgs_same(m, copy);
	assert(frame_peek(frame, &s) == 0);
	head = size - s.payload_len;
	assert(s.payload_len == payload_len(&m->payload));
	payload = payload_of(frame + head, s.payload_len);
	assert(frame_decode(frame, head, payload, again) == 0);
	msgs_same(m, again);
	free(frame);
	msg_destroy(copy);
	msg_destroy(again);
}

/* The two ways to decode agree about what is in front of the payload. */
static void head_agrees(const uint8_t *head, size_t head_len, const struct msg *m)
{
	struct msg only;
	const uint8_t *crcs;
	const struct slice *s = &m->payload.v[0];

	assert(frame_decode_head(head, head_len, &only, &crcs) == 0);
	assert(only.payload.count == 0 && only.type == m->type && only.id == m->id);
	if (m->payload.count)
		for (uint32_t i = 0; i < block_count(s->len); i++)
			assert(frame_block_valid(crcs, i, s->buf->data + (size_t)i * CRC_BLOCK,
			                         MIN((uint32_t)CRC_BLOCK, s->len - i * CRC_BLOCK)));
	msg_fini(&only);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_sizes s;
	struct msg *m = msg_create(MSG_HELLO);
	struct buf *payload;
	size_t head_len = size;
	uint8_t *head;
	int err;

	if (size >= FRAME_FIXED_LEN && frame_peek(data, &s) == 0) {
		assert(s.header_len <= FRAME_MAX_HEADER && s.payload_len <= MSG_MAX_PAYLOAD);
		head_len = MIN(size, FRAME_FIXED_LEN + (size_t)s.header_len + 4 * s.crc_count);
	}
	/* On its own, so that reading past its end is noticed. */
	head = xmemdup(data, head_len);
	payload = payload_of(data + head_len, size - head_len);
	err = head ? frame_decode(head, head_len, payload, m) : -SF_EFORMAT;
	if (err) {
		assert(err == -SF_EFORMAT || err == -SF_ECORRUPT);
		buf_unref(payload);
	} else {
		limits_kept(m);
		head_agrees(head, head_len, m);
		comes_back(m);
	}
	free(head);
	msg_destroy(m);
	return 0;
}

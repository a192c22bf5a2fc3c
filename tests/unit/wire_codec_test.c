/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/wire/codec_foreign.h"
#include "tests/unit/wire_random.h"

/* A message's bytes, in an area of exactly their size so that ASan sees each overrun. */
struct frame {
	uint8_t *head;
	uint32_t len;
	struct buf *payload;
};

static struct frame frame_make(const struct msg *m)
{
	struct frame f;

	frame_encode(m, &f.head, &f.len);
	f.payload = payload_flatten(&m->payload);
	return f;
}

static void frame_drop(struct frame *f)
{
	free(f->head);
	buf_unref(f->payload);
}

static void frame_refused(const uint8_t *head, size_t len, struct buf *payload, int want)
{
	struct msg got, before;
	int err;

	memset(&got, 0xa5, sizeof(got));
	memset(&before, 0xa5, sizeof(before));
	err = frame_decode(head, len, payload, &got);
	if (want)
		assert_int_equal(err, want);
	else
		assert_true(err == -SF_ECORRUPT || err == -SF_EFORMAT);
	assert_memory_equal(&got, &before, sizeof(got));
	if (payload) {
		assert_int_equal(payload->refs, 1);
		assert_false(payload->crc_valid);
	}
}

static void there_and_back(const struct msg *m)
{
	struct frame f = frame_make(m);
	struct frame_sizes sizes;
	struct msg got;

	assert_int_equal(frame_peek(f.head, &sizes), 0);
	assert_int_equal(FRAME_FIXED_LEN + sizes.header_len + 4 * sizes.crc_count, f.len);
	assert_int_equal(sizes.payload_len, payload_len(&m->payload));
	assert_int_equal(frame_decode(f.head, f.len, f.payload, &got), 0);
	msg_assert_same(m, &got);
	if (f.payload) {
		assert_int_equal(got.payload.count, 1);
		assert_ptr_equal(got.payload.v[0].buf, f.payload);
		assert_int_equal(f.payload->refs, 1);
		assert_true(f.payload->crc_valid);
		assert_ptr_equal(slice_crcs(&got.payload.v[0]), f.payload->crc);
		for (uint32_t i = 0; i < sizes.crc_count; i++) {
			uint32_t off = i * CRC_BLOCK;
			uint32_t n = MIN(sizes.payload_len - off, (uint32_t)CRC_BLOCK);

			assert_int_equal(f.payload->crc[i], crc32c(0, f.payload->data + off, n));
		}
	}
	f.payload = NULL; /* the message's now */
	frame_drop(&f);
	msg_fini(&got);
}

/* Every field at its largest, so that none is lost, swapped or cut. */
static void msg_fill_up(struct msg *m)
{
	msg_init(m, MSG_SHARD_PREPARE);
	*m = (struct msg){
		.type = MSG_SHARD_PREPARE,
		.id = UINT64_MAX,
		.epoch = UINT32_MAX - 1,
		.result = UINT32_MAX - 2,
		.flags = UINT32_MAX - 3,
		.pool = UINT32_MAX - 4,
		.pg = UINT32_MAX - 5,
		.oid = UINT64_MAX - 6,
		.shard = UINT32_MAX - 7,
		.disk = UINT64_MAX - 8,
		.version = UINT64_MAX - 9,
		.base = UINT64_MAX - 10,
		.commit = UINT64_MAX - 11,
		.offset = UINT64_MAX - 12,
		.length = 12,
		.shard_flags = UINT32_MAX - 13,
		.range_count = MAX_RANGES,
		.ranges = {{RANGE_DATA, 1, 70000},
	                   {RANGE_XOR, UINT32_MAX - 5, 5},
	                   {RANGE_ZERO, 0, UINT32_MAX},
	                   {RANGE_DATA, 7, 0}},
		.req = {UINT64_MAX - 14, UINT64_MAX - 15},
		.version_min = UINT32_MAX - 16,
		.version_max = UINT32_MAX - 17,
		.cluster = UINT64_MAX - 18,
		.node = UINT64_MAX - 19,
		.info = {UINT32_MAX - 20, UINT32_MAX - 21, UINT64_MAX - 22, UINT32_MAX - 28,
	                 UINT64_MAX - 29, UINT64_MAX - 30, UINT64_MAX - 31, true, UINT64_MAX - 32},
		.check = {UINT32_MAX - 23, UINT32_MAX - 24, UINT32_MAX - 25, UINT32_MAX - 26,
	                  UINT32_MAX - 27},
		.entry_count = MSG_MAX_ENTRIES,
		.log_count = MSG_MAX_ENTRIES,
		.blob_len = MSG_MAX_BLOB,
	};
	m->entries = xmalloc(m->entry_count * sizeof(m->entries[0]));
	memset(m->entries, 0xff, m->entry_count * sizeof(m->entries[0]));
	m->log = xmalloc(m->log_count * sizeof(m->log[0]));
	memset(m->log, 0xff, m->log_count * sizeof(m->log[0]));
	m->blob = xcalloc(1, m->blob_len);
}

static void a_message_with_every_field_comes_back(void **state)
{
	struct prng p;
	struct msg m;

	msg_fill_up(&m);
	prng_init(&p, 1);
	random_payload(&p, &m, 70005);
	there_and_back(&m);
	m.reply = true;
	there_and_back(&m);
	msg_fini(&m);
}

static void an_empty_message_is_a_few_bytes(void **state)
{
	struct msg m;
	struct frame f;

	msg_init(&m, MSG_PING);
	there_and_back(&m);
	f = frame_make(&m);
	assert_int_equal(f.len, FRAME_FIXED_LEN + 2);
	frame_drop(&f);
}

static void random_messages_of_every_type_come_back(void **state)
{
	struct prng p;
	struct msg m;

	prng_init(&p, 77);
	for (int round = 0; round < 40; round++) {
		for (size_t i = 0; i < ARRAY_LEN(all_types); i++) {
			msg_randomise(&m, &p, all_types[i]);
			there_and_back(&m);
			msg_fini(&m);
		}
	}
}

/* A contract between releases: these bytes must never change. */
static void the_bytes_of_a_frame_are_pinned(void **state)
{
	static const uint8_t
		want[] =
			{
				'S',  'F',  'l',  'd',  1,    0,    0,    0,    7,    0, 0,
				0,    3,    0,    0,    0,    0x5d, 0xc4, 0x27, 0x02, 0, 0,
				0,    0,    0x08, 31,   0x10, 1,    0x18, 0xac, 0x02, /* type 31, reply, id 300 */
				0xb7, 0x3f, 0x4b, 0x36, /* CRC32C of "abc", little-endian */
			};
	struct buf *buf = buf_get(NULL, 3);
	struct slice s = slice_make(buf, 0, 3);
	struct msg m;
	struct frame f;

	memcpy(buf->data, "abc", 3);
	msg_init(&m, MSG_SHARD_READ);
	m.reply = true;
	m.id = 300;
	payload_add(&m.payload, &s);
	f = frame_make(&m);
	assert_int_equal(f.len, sizeof(want));
	assert_memory_equal(f.head, want, sizeof(want));
	frame_drop(&f);
	msg_fini(&m);
	buf_unref(buf);
}

static struct frame small_frame(void)
{
	struct prng p;
	struct msg m;
	struct frame f;

	prng_init(&p, 5);
	msg_init(&m, MSG_SHARD_PUSH);
	m.id = 1000;
	m.epoch = 12;
	m.oid = 0x1234;
	m.version = version_make(12, 4);
	m.range_count = 1;
	m.ranges[0] = (struct shard_range){RANGE_DATA, 4096, 100};
	m.blob_len = 10;
	m.blob = xcalloc(1, 10);
	random_payload(&p, &m, 100);
	f = frame_make(&m);
	msg_fini(&m);
	return f;
}

static void any_changed_byte_is_refused(void **state)
{
	struct frame f = small_frame();

	for (uint32_t i = 0; i < f.len; i++) {
		for (int x = 1; x < 256; x++) {
			f.head[i] ^= (uint8_t)x;
			frame_refused(f.head, f.len, f.payload, 0);
			f.head[i] ^= (uint8_t)x;
		}
	}
	for (uint32_t i = 0; i < f.payload->len; i++) {
		for (int x = 1; x < 256; x++) {
			f.payload->data[i] ^= (uint8_t)x;
			frame_refused(f.head, f.len, f.payload, -SF_ECORRUPT);
			f.payload->data[i] ^= (uint8_t)x;
		}
	}
	frame_drop(&f);
}

static void a_frame_cut_at_any_length_is_refused(void **state)
{
	struct frame f = small_frame();
	uint32_t len = f.payload->len;

	for (uint32_t n = 0; n < f.len; n++) {
		uint8_t *cut = xmalloc(n);

		memcpy(cut, f.head, n);
		frame_refused(cut, n, f.payload, -SF_EFORMAT);
		free(cut);
	}
	for (f.payload->len = 1; f.payload->len < len; f.payload->len++)
		frame_refused(f.head, f.len, f.payload, -SF_EFORMAT);
	f.payload->len = len + 1;
	frame_refused(f.head, f.len, f.payload, -SF_EFORMAT);
	frame_refused(f.head, f.len, NULL, -SF_EFORMAT);
	frame_drop(&f);
}

static void holes_travel_as_zeros(void **state)
{
	struct slice data, hole;
	struct buf *buf = buf_get(NULL, 2 * CRC_BLOCK);
	struct msg m;

	memset(buf->data, 0x5a, buf->len);
	msg_init(&m, MSG_OBJ_READ);
	m.reply = true;
	for (uint32_t i = 0; i < 4; i++) {
		data = slice_make(buf, 0, i % 2 ? CRC_BLOCK : 100);
		hole = slice_make(NULL, 0, i % 2 ? 2 * CRC_BLOCK : 5000);
		payload_add(&m.payload, &hole);
		payload_add(&m.payload, &data);
	}
	there_and_back(&m);
	msg_fini(&m);

	msg_init(&m, MSG_OBJ_READ);
	hole = slice_make(NULL, 0, MSG_MAX_PAYLOAD);
	payload_add(&m.payload, &hole);
	there_and_back(&m);
	msg_fini(&m);
	buf_unref(buf);
}

/* A wrong checksum planted in the buffer must go out as it is, and be found out at the other end. */
static void a_checksum_goes_with_the_data_from_its_first_owner(void **state)
{
	struct buf *buf = buf_get(NULL, CRC_BLOCK);
	struct slice s = slice_make(buf, 0, CRC_BLOCK);
	struct msg m;
	struct frame f;

	memset(buf->data, 1, buf->len);
	buf_seal(buf);
	buf->data[100] ^= 1; /* a flaw in the sender's memory after the seal */
	msg_init(&m, MSG_OBJ_READ);
	payload_add(&m.payload, &s);
	f = frame_make(&m);
	frame_refused(f.head, f.len, f.payload, -SF_ECORRUPT);
	frame_drop(&f);
	msg_fini(&m);
	buf_unref(buf);
}

static void a_head_alone_decodes_and_vouches_for_each_block(void **state)
{
	uint32_t len = 2 * CRC_BLOCK + 5;
	const uint8_t *crcs;
	struct msg m, got;
	struct frame f;
	struct prng p;

	prng_init(&p, 11);
	msg_init(&m, MSG_OBJ_READ);
	m.id = 8;
	random_payload(&p, &m, len);
	f = frame_make(&m);
	assert_int_equal(frame_decode_head(f.head, f.len, &got, &crcs), 0);
	assert_int_equal(got.id, 8);
	assert_int_equal(got.payload.count, 0);
	for (uint32_t i = 0; i < block_count(len); i++) {
		uint8_t *data = f.payload->data + i * CRC_BLOCK;
		uint32_t n = MIN(len - i * CRC_BLOCK, (uint32_t)CRC_BLOCK);

		assert_true(frame_block_valid(crcs, i, data, n));
		data[n - 1] ^= 1;
		assert_false(frame_block_valid(crcs, i, data, n));
	}
	assert_int_equal(frame_decode_head(f.head, f.len - 1, &got, &crcs), -SF_EFORMAT);
	for (uint32_t i = 0; i < f.len; i++) {
		f.head[i] ^= 0x10;
		assert_int_not_equal(frame_decode_head(f.head, f.len, &got, &crcs), 0);
		f.head[i] ^= 0x10;
	}
	frame_drop(&f);
	msg_fini(&m);
}

static void a_peek_refuses_what_is_not_ours_or_too_long(void **state)
{
	static const struct {
		uint32_t off, len;
		uint64_t value;
		int want;
	} cases[] = {
		{0, 1, 'T', -SF_EFORMAT},
		{3, 1, 0, -SF_EFORMAT},
		{4, 1, 0, -SF_EFORMAT},
		{4, 1, 2, -SF_EFORMAT},
		{5, 1, 1, -SF_EFORMAT},
		{6, 2, 1, -SF_EFORMAT},
		{6, 2, 0x100, -SF_EFORMAT},
		{8, 4, FRAME_MAX_HEADER, 0},
		{8, 4, FRAME_MAX_HEADER + 1, -SF_EFORMAT},
		{8, 4, UINT32_MAX, -SF_EFORMAT},
		{8, 4, 0x80000000, -SF_EFORMAT},
		{12, 4, MSG_MAX_PAYLOAD, 0},
		{12, 4, MSG_MAX_PAYLOAD + 1, -SF_EFORMAT},
		{12, 4, UINT32_MAX, -SF_EFORMAT},
		{20, 4, 1, -SF_EFORMAT},
		{20, 4, 0x1000000, -SF_EFORMAT},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t fixed[FRAME_FIXED_LEN] = {'S', 'F', 'l', 'd', 1};
		struct frame_sizes sizes = {1, 2, 3};

		for (uint32_t b = 0; b < cases[i].len; b++)
			fixed[cases[i].off + b] = (uint8_t)(cases[i].value >> 8 * b);
		assert_int_equal(frame_peek(fixed, &sizes), cases[i].want);
		if (cases[i].want) {
			assert_int_equal(sizes.header_len, 1);
			assert_int_equal(sizes.crc_count, 2);
			assert_int_equal(sizes.payload_len, 3);
		} else {
			assert_int_equal(sizes.crc_count, block_count(sizes.payload_len));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_with_every_field_comes_back),
		cmocka_unit_test(an_empty_message_is_a_few_bytes),
		cmocka_unit_test(random_messages_of_every_type_come_back),
		cmocka_unit_test(the_bytes_of_a_frame_are_pinned),
		cmocka_unit_test(any_changed_byte_is_refused),
		cmocka_unit_test(a_frame_cut_at_any_length_is_refused),
		cmocka_unit_test(holes_travel_as_zeros),
		cmocka_unit_test(a_checksum_goes_with_the_data_from_its_first_owner),
		cmocka_unit_test(a_head_alone_decodes_and_vouches_for_each_block),
		cmocka_unit_test(a_peek_refuses_what_is_not_ours_or_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

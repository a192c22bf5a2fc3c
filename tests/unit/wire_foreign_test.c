/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/wire/codec.h"
#include "lib/wire/codec_foreign.h"

enum { LEN = 3 * CRC_BLOCK + 100 };

struct sample {
	uint8_t *head, *data;
	uint32_t head_len;
};

static int setup(void **state)
{
	struct sample *s = xcalloc(1, sizeof(*s));
	struct buf *buf = buf_get(NULL, LEN);
	struct slice slice = slice_make(buf, 0, LEN);
	struct prng prng;
	struct msg m;

	prng_init(&prng, 3);
	prng_fill(&prng, buf->data, LEN);
	s->data = xmemdup(buf->data, LEN);
	msg_init(&m, MSG_OBJ_READ);
	m.reply = true;
	m.id = 42;
	m.version = version_make(7, 9);
	payload_add(&m.payload, &slice);
	frame_encode(&m, &s->head, &s->head_len);
	msg_fini(&m);
	buf_unref(buf);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct sample *s = *state;

	free(s->head);
	free(s->data);
	free(s);
	return 0;
}

static void a_head_is_decoded_without_its_payload(void **state)
{
	struct sample *s = *state;
	const uint8_t *crcs;
	struct msg m;

	assert_int_equal(frame_decode_head(s->head, s->head_len, &m, &crcs), 0);
	assert_int_equal(m.type, MSG_OBJ_READ);
	assert_true(m.reply);
	assert_int_equal(m.id, 42);
	assert_int_equal(m.version, version_make(7, 9));
	assert_int_equal(m.payload.count, 0);
	for (uint32_t b = 0; b < 4; b++)
		assert_true(frame_block_valid(crcs, b, s->data + (size_t)b * CRC_BLOCK,
		                              b < 3 ? CRC_BLOCK : 100));
	msg_fini(&m);
}

static void a_damaged_block_is_noticed_and_only_that(void **state)
{
	struct sample *s = *state;
	const uint8_t *crcs;
	struct msg m;

	assert_int_equal(frame_decode_head(s->head, s->head_len, &m, &crcs), 0);
	s->data[CRC_BLOCK + 5] ^= 4;
	assert_true(frame_block_valid(crcs, 0, s->data, CRC_BLOCK));
	assert_false(frame_block_valid(crcs, 1, s->data + CRC_BLOCK, CRC_BLOCK));
	assert_false(frame_block_valid(crcs, 3, s->data + 3 * CRC_BLOCK, 99));
	msg_fini(&m);
}

static void every_flipped_bit_of_a_head_is_refused(void **state)
{
	struct sample *s = *state;
	const uint8_t *crcs;
	struct msg m;

	for (uint32_t bit = 0; bit < 8 * s->head_len; bit++) {
		uint8_t *exact;
		int err;

		s->head[bit / 8] ^= (uint8_t)(1 << bit % 8);
		exact = xmemdup(s->head,
		                s->head_len); /* so that the sanitizer sees a read behind it */
		err = frame_decode_head(exact, s->head_len, &m, &crcs);
		free(exact);
		assert_true(err == -SF_ECORRUPT || err == -SF_EFORMAT);
		s->head[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void every_other_length_is_refused(void **state)
{
	struct sample *s = *state;
	const uint8_t *crcs;
	struct msg m;

	for (uint32_t len = 0; len < s->head_len; len++) {
		uint8_t *exact = xmemdup(s->head, len);

		assert_int_equal(frame_decode_head(exact, len, &m, &crcs), -SF_EFORMAT);
		free(exact);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_head_is_decoded_without_its_payload),
		CASE(a_damaged_block_is_noticed_and_only_that),
		CASE(every_flipped_bit_of_a_head_is_refused),
		CASE(every_other_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/unit/wire_random.h"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* What a hostile or newer peer sends: frames whose checksums are right and whose headers are not. */

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

/* Decodes a frame around these header bytes and a payload of len bytes of 0. */
static int header_decode(const uint8_t *header, uint32_t header_len, uint32_t payload_len,
                         struct msg *got)
{
	uint32_t blocks = block_count(payload_len);
	uint32_t len = FRAME_FIXED_LEN + header_len + 4 * blocks;
	uint8_t *head = xcalloc(1, len);
	struct buf *payload = NULL;
	int err;

	memcpy(head, "SFld\1", 5);
	put32(head + 8, header_len);
	put32(head + 12, payload_len);
	if (header_len > 0)
		memcpy(head + FRAME_FIXED_LEN, header, header_len);
	for (uint32_t i = 0; i < blocks; i++)
		put32(head + FRAME_FIXED_LEN + header_len + 4 * i,
		      crc32c_zeros(MIN(payload_len - i * CRC_BLOCK, (uint32_t)CRC_BLOCK)));
	put32(head + 16,
	      crc32c(crc32c(0, head, 16), head + FRAME_FIXED_LEN, len - FRAME_FIXED_LEN));
	if (payload_len > 0) {
		payload = buf_get(NULL, payload_len);
		memset(payload->data, 0, payload_len);
	}
	err = frame_decode(head, len, payload, got);
	if (err)
		buf_unref(payload);
	free(head);
	return err;
}

static int pb_decode(const Sf__Header *h, uint32_t payload_len, struct msg *got)
{
	size_t len = sf__header__get_packed_size(h);
	uint8_t *packed = xmalloc(len);
	int err;

	sf__header__pack(h, packed);
	err = header_decode(packed, (uint32_t)len, payload_len, got);
	free(packed);
	return err;
}

static void pb_check(const Sf__Header *h, uint32_t payload_len, int want)
{
	struct msg got;
	int err = pb_decode(h, payload_len, &got);

	assert_int_equal(err, want);
	if (!err)
		msg_fini(&got);
}

static void ranges_beyond_the_limits_are_refused(void **state)
{
	static const struct {
		uint32_t op, offset, length;
		int want;
	} cases[] = {
		{RANGE_ZERO, 0, 0, 0},
		{RANGE_ZERO, 1, UINT32_MAX - 1, 0},
		{RANGE_ZERO, 1, UINT32_MAX, -SF_EFORMAT},
		{RANGE_ZERO, UINT32_MAX, 1, -SF_EFORMAT},
		{RANGE_XOR, UINT32_MAX, UINT32_MAX, -SF_EFORMAT},
		{RANGE_ZERO + 1, 0, 0, -SF_EFORMAT},
		{UINT32_MAX, 0, 0, -SF_EFORMAT},
	};
	Sf__Range range = SF__RANGE__INIT, *ptrs[MAX_RANGES + 1];
	Sf__Header h = SF__HEADER__INIT;

	for (size_t i = 0; i < ARRAY_LEN(ptrs); i++)
		ptrs[i] = &range;
	h.ranges = ptrs;
	h.type = MSG_SHARD_READ;
	for (h.n_ranges = 1; h.n_ranges <= MAX_RANGES; h.n_ranges++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			range.op = cases[i].op;
			range.offset = cases[i].offset;
			range.length = cases[i].length;
			pb_check(&h, 0, cases[i].want);
		}
	}
	range = (Sf__Range)SF__RANGE__INIT;
	pb_check(&h, 0, -SF_EFORMAT); /* one too many */
}

static void a_payload_must_be_what_the_ranges_say(void **state)
{
	static const uint32_t types[] = {MSG_SHARD_PREPARE, MSG_SHARD_PUSH};
	Sf__Range data = SF__RANGE__INIT, xor = SF__RANGE__INIT, zero = SF__RANGE__INIT;
	Sf__Range *ptrs[] = {&data, &zero, &xor};
	Sf__Header h = SF__HEADER__INIT;

	data.length = 70000;
	zero.op = RANGE_ZERO;
	zero.length = 1 << 20;
	xor.op = RANGE_XOR;
	xor.length = 30;
	h.n_ranges = ARRAY_LEN(ptrs);
	h.ranges = ptrs;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		h.type = types[i];
		pb_check(&h, 70030, 0);
		pb_check(&h, 70029, -SF_EFORMAT);
		pb_check(&h, 70031, -SF_EFORMAT);
		pb_check(&h, 0, -SF_EFORMAT);
		h.reply = true;
		pb_check(&h, 0, 0);
		h.reply = false;
	}
	/* A sum that fits 32 bits only after it wrapped. */
	data.length = UINT32_MAX;
	xor.length = 101;
	pb_check(&h, 100, -SF_EFORMAT);
	h.n_ranges = 0;
	pb_check(&h, 0, 0);
	pb_check(&h, 1, -SF_EFORMAT);
}

static void too_long_lists_and_blobs_are_refused(void **state)
{
	Sf__Entry entry = SF__ENTRY__INIT,
		  **entries = xmalloc((MSG_MAX_ENTRIES + 1) * sizeof(*entries));
	Sf__LogEntry log = SF__LOG_ENTRY__INIT,
		     **logs = xmalloc((MSG_MAX_ENTRIES + 1) * sizeof(*logs));
	Sf__Header h = SF__HEADER__INIT;

	for (int i = 0; i <= MSG_MAX_ENTRIES; i++) {
		entries[i] = &entry;
		logs[i] = &log;
	}
	h.entries = entries;
	h.log = logs;
	h.n_entries = h.n_log = MSG_MAX_ENTRIES;
	h.blob.len = MSG_MAX_BLOB;
	h.blob.data = xcalloc(1, MSG_MAX_BLOB + 1);
	pb_check(&h, 0, 0);
	h.n_entries++;
	pb_check(&h, 0, -SF_EFORMAT);
	h.n_entries = 0;
	h.n_log++;
	pb_check(&h, 0, -SF_EFORMAT);
	h.n_log = 0;
	h.blob.len++;
	pb_check(&h, 0, -SF_EFORMAT);
	free(h.blob.data);
	free(entries);
	free(logs);
}

static void an_object_range_that_wraps_is_refused(void **state)
{
	Sf__Header h = SF__HEADER__INIT;

	h.type = MSG_OBJ_READ;
	h.offset = UINT64_MAX;
	pb_check(&h, 0, 0);
	h.length = 1;
	pb_check(&h, 0, -SF_EFORMAT);
	h.offset = 1;
	h.length = UINT64_MAX;
	pb_check(&h, 0, -SF_EFORMAT);
}

static void an_unknown_type_is_decoded_as_it_is(void **state)
{
	Sf__Header h = SF__HEADER__INIT;
	struct msg got;

	h.type = 4000000000u;
	h.result = 4000000001u;
	h.id = 9;
	assert_int_equal(pb_decode(&h, 12345, &got), 0);
	assert_true((uint32_t)got.type == 4000000000u);
	assert_string_equal(msg_type_name(got.type), "?");
	assert_true(got.result == 4000000001u);
	assert_int_equal(got.id, 9);
	assert_int_equal(payload_len(&got.payload), 12345);
	msg_fini(&got);
	assert_int_equal(header_decode(NULL, 0, 0, &got), 0);
	assert_int_equal(got.type, 0);
	msg_fini(&got);
}

/* What a newer release may add: fields of each wire type, in the header and in what it contains. */
static void unknown_fields_are_tolerated(void **state)
{
	static const uint8_t header[] = {
		0xc0, 0x3e, 0x05,                                        /* 1000: varint */
		0x08, 31,                                                /* type */
		0xc9, 0x3e, 1,    2,    3,    4,    5,    6,    7,    8, /* 1001: 64 bits */
		0xd2, 0x3e, 3,    'a',  'b',  'c',                       /* 1002: bytes */
		0xdd, 0x3e, 1,    2,    3,    4,                         /* 1003: 32 bits */
		0xd2, 0x01, 9,    0x28, 0x07, 0xc0, 0x3e, 0x05, 0xd2, 0x3e,
		1,    'x', /* 26: an entry */
		0x18, 77,  /* id */
	};
	struct msg got;

	assert_int_equal(header_decode(header, sizeof(header), 0, &got), 0);
	assert_int_equal(got.type, MSG_SHARD_READ);
	assert_int_equal(got.id, 77);
	assert_int_equal(got.entry_count, 1);
	assert_int_equal(got.entries[0].pending, 7);
	msg_fini(&got);
}

static size_t peak_bytes(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (size_t)ru.ru_maxrss * 1024;
}

/* Three bytes of an empty list item are a hundred in memory, two of an unknown field forty. */
static void a_header_cannot_take_much_more_memory_than_its_length(void **state)
{
	static const struct {
		uint8_t bytes[6];
		uint32_t len;
	} units[] = {
		{{0xd2, 0x01, 0x00}, 3},             /* entries */
		{{0xda, 0x01, 0x00}, 3},             /* log */
		{{0x92, 0x01, 0x00}, 3},             /* ranges */
		{{0x9a, 0x01, 0x00}, 3},             /* req, again and again: merged */
		{{0xe2, 0x01, 0x01, 'x'}, 4},        /* blob */
		{{0xf0, 0x01, 0x00}, 3},             /* unknown 30: varint */
		{{0xf2, 0x01, 0x00}, 3},             /* unknown 30: bytes */
		{{0xd2, 0x01, 0x02, 0x78, 0x01}, 5}, /* entries with something unknown */
		{{0x08, 0x01}, 2},                   /* type */
	};
	uint8_t *header = xmalloc(FRAME_MAX_HEADER);
	size_t before;

	memset(header, 0, FRAME_MAX_HEADER);
	before = peak_bytes();
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		/* Each size stops the library at another of its allocations. */
		for (uint32_t n = 1000; n * units[i].len <= FRAME_MAX_HEADER; n = n * 17 / 10) {
			struct msg got;
			int err;

			for (uint32_t k = 0; k < n; k++)
				memcpy(header + k * units[i].len, units[i].bytes, units[i].len);
			err = header_decode(header, n * units[i].len, 0, &got);
			assert_true(err == 0 || err == -SF_EFORMAT);
			if (!err)
				msg_fini(&got);
		}
	}
	free(header);
	/* The header twice, the budget, and what malloc adds. ASan keeps what was freed. */
	if (!UNDER_ASAN)
		assert_true(peak_bytes() - before < 48u << 20);
}

/* Whatever was accepted must be a message that we can send, and that means the same again. */
static void garbage_accepted(struct msg *got)
{
	struct buf *payload = payload_flatten(&got->payload);
	struct msg again;
	uint8_t *head;
	uint32_t len;

	frame_encode(got, &head, &len);
	assert_int_equal(frame_decode(head, len, payload, &again), 0);
	msg_assert_same(got, &again);
	free(head);
	msg_fini(&again);
}

enum { CORPUS = 256, CORPUS_HEADER_MAX = 4096 };

/* Real headers. */
struct corpus {
	uint8_t header[CORPUS][CORPUS_HEADER_MAX];
	uint32_t len[CORPUS];
};

static struct corpus *corpus_create(struct prng *p)
{
	struct corpus *c = xmalloc(sizeof(*c));

	for (uint32_t i = 0; i < CORPUS; i++) {
		struct msg m;
		uint8_t *head;

		msg_randomise(&m, p, all_types[i % ARRAY_LEN(all_types)]);
		m.blob_len = MIN(m.blob_len, 40u);
		m.entry_count = MIN(m.entry_count, 3u);
		m.log_count = MIN(m.log_count, 3u);
		payload_fini(&m.payload);
		m.reply = true; /* so that the ranges need no payload */
		frame_encode(&m, &head, &c->len[i]);
		c->len[i] -= FRAME_FIXED_LEN;
		assert_true(c->len[i] <= CORPUS_HEADER_MAX);
		memcpy(c->header[i], head + FRAME_FIXED_LEN, c->len[i]);
		free(head);
		msg_fini(&m);
	}
	return c;
}

/* Noise, or a real header damaged in a few places, which gets further. */
static uint32_t garbage_header(struct prng *p, const struct corpus *c, uint8_t *header)
{
	uint32_t pick = (uint32_t)prng_below(p, CORPUS), flips = (uint32_t)prng_below(p, 6);
	uint32_t len = c->len[pick];

	if (prng_below(p, 4) == 0) {
		len = (uint32_t)prng_below(p, 100);
		prng_fill(p, header, len);
		return len;
	}
	memcpy(header, c->header[pick], len);
	for (uint32_t i = 0; i < flips; i++)
		header[prng_below(p, len)] = (uint8_t)prng_next(p);
	return prng_below(p, 4) ? len : (uint32_t)prng_below(p, len + 1);
}

static void garbage_is_refused_or_means_something(void **state)
{
	enum { ROUNDS = 200000 };
	uint8_t *header = xmalloc(CORPUS_HEADER_MAX);
	uint32_t accepted = 0, refused = 0;
	struct corpus *corpus;
	struct prng p;

	prng_init(&p, 99);
	corpus = corpus_create(&p);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t len = garbage_header(&p, corpus, header);
		uint32_t payload_len = prng_below(&p, 16) ? 0 : (uint32_t)prng_below(&p, 300);
		struct msg got;
		int err = header_decode(header, len, payload_len, &got);

		if (err) {
			assert_int_equal(err, -SF_EFORMAT);
			refused++;
			continue;
		}
		accepted++;
		garbage_accepted(&got);
		msg_fini(&got);
	}
	/* Both must be common, or this shows nothing. */
	assert_true(accepted > ROUNDS / 10);
	assert_true(refused > ROUNDS / 10);
	free(corpus);
	free(header);
}

/* Noise where a frame should be, as a stream's reader meets it. */
static void noise_never_becomes_a_frame(void **state)
{
	uint8_t fixed[FRAME_FIXED_LEN + 64];
	struct frame_sizes sizes;
	struct msg got;
	struct prng p;

	prng_init(&p, 123);
	for (int i = 0; i < 200000; i++) {
		uint32_t len = (uint32_t)prng_below(&p, sizeof(fixed) + 1);

		prng_fill(&p, fixed, sizeof(fixed));
		if (prng_below(&p, 2)) {
			memcpy(fixed, "SFld\1\0\0\0", 8);
			memset(fixed + 20, 0, 4);
			put32(fixed + 8, (uint32_t)prng_below(&p, 65));
			put32(fixed + 12, 0);
		}
		if (frame_peek(fixed, &sizes) == 0) {
			assert_true(sizes.header_len <= FRAME_MAX_HEADER);
			assert_true(sizes.payload_len <= MSG_MAX_PAYLOAD);
		}
		assert_int_not_equal(frame_decode(fixed, len, NULL, &got), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_cannot_take_much_more_memory_than_its_length),
		cmocka_unit_test(ranges_beyond_the_limits_are_refused),
		cmocka_unit_test(a_payload_must_be_what_the_ranges_say),
		cmocka_unit_test(too_long_lists_and_blobs_are_refused),
		cmocka_unit_test(an_object_range_that_wraps_is_refused),
		cmocka_unit_test(an_unknown_type_is_decoded_as_it_is),
		cmocka_unit_test(unknown_fields_are_tolerated),
		cmocka_unit_test(garbage_is_refused_or_means_something),
		cmocka_unit_test(noise_never_becomes_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#endif

enum { MIB = 1 << 20 };

static struct buf *buf_random(struct buf_pool *pool, uint32_t len, uint64_t seed)
{
	struct buf *buf = buf_get(pool, len);
	struct prng p;

	prng_init(&p, seed);
	prng_fill(&p, buf->data, len);
	return buf;
}

static void a_buffer_has_room_alignment_and_one_reference(void **state)
{
	static const uint32_t lens[] = {1,           4096,    4097,        8192,    8193,
	                                12288,       12289,   65536,       65537,   100000,
	                                131072,      MIB,     MIB + 1,     2 * MIB, 3 * MIB,
	                                3 * MIB + 1, 4 * MIB, BUF_MAX - 1, BUF_MAX};
	struct buf_pool *pool = buf_pool_create(0);

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		struct buf *buf = buf_get(pool, lens[i]);

		assert_int_equal(buf->len, lens[i]);
		assert_int_equal(buf->refs, 1);
		assert_false(buf->crc_valid);
		assert_true(buf->capacity >= lens[i] && buf->capacity <= BUF_MAX);
		assert_true(lens[i] <= 8192 ||
		            (uint64_t)buf->capacity * 2 <= (uint64_t)lens[i] * 3);
		assert_int_equal(buf->capacity % BUF_ALIGN, 0);
		assert_int_equal((uintptr_t)buf->data % BUF_ALIGN, 0);
		assert_int_equal(buf_pool_used_bytes(pool), buf->capacity);
		memset(buf->data, 0xa5, buf->capacity);
		memset(buf->crc, 0, block_count(buf->capacity) * sizeof(buf->crc[0]));
		buf_unref(buf);
		assert_int_equal(buf_pool_used_bytes(pool), 0);
	}
	buf_pool_destroy(pool);
	buf_pool_destroy(NULL);
	buf_unref(NULL);
}

static void a_capacity_is_a_fixed_point_of_its_class(void **state)
{
	struct buf_pool *pool = buf_pool_create(0);

	for (uint32_t len = 1; len <= BUF_MAX;) {
		struct buf *buf = buf_get(pool, len), *again = buf_get(pool, buf->capacity);

		assert_int_equal(again->capacity, buf->capacity);
		len = buf->capacity + 1;
		buf_unref(buf);
		buf_unref(again);
	}
	buf_pool_destroy(pool);
}

static void the_last_unref_returns_a_buffer_and_it_is_used_again(void **state)
{
	struct buf_pool *pool = buf_pool_create(8 * MIB);
	struct buf *buf = buf_random(pool, MIB, 1), *other;

	buf_seal(buf);
	assert_true(buf->crc_valid);
	assert_ptr_equal(buf_ref(buf), buf);
	assert_int_equal(buf->refs, 2);
	buf_unref(buf);
	assert_int_equal(buf->refs, 1);
	other = buf_get(pool, MIB);
	assert_ptr_not_equal(other, buf);
	buf_unref(other);
	buf_unref(buf);
	assert_int_equal(buf_pool_used_bytes(pool), 0);

	/* The one used last comes first, with no trace of its earlier life. */
	other = buf_get(pool, MIB - 5000);
	assert_ptr_equal(other, buf);
	assert_false(other->crc_valid);
	assert_int_equal(other->len, MIB - 5000);
	assert_int_equal(other->refs, 1);
	buf_unref(other);
	buf_pool_destroy(pool);
}

#ifndef UNDER_ASAN /* whose allocator and shadow count as memory too */
static void memory_bytes(size_t *ret_mapped, size_t *ret_resident)
{
	unsigned long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &total, &resident), 2);
	fclose(f);
	*ret_mapped = total * 4096;
	*ret_resident = resident * 4096;
}

static size_t rss_bytes(void)
{
	size_t mapped, resident;

	memory_bytes(&mapped, &resident);
	return resident;
}

static void address_space_is_given_back_too(void **state)
{
	struct buf_pool *pool = buf_pool_create(0);
	size_t before, after, resident;

	memory_bytes(&before, &resident);
	for (int i = 0; i < 100; i++)
		buf_unref(buf_get(pool, i % 2 ? 4 * MIB : 3 * MIB));
	memory_bytes(&after, &resident);
	assert_true(after <= before + 4 * MIB);
	buf_pool_destroy(pool);
}

static void memory_beyond_keep_bytes_leaves_the_process(void **state)
{
	struct buf_pool *pool = buf_pool_create(8 * MIB);
	struct buf *bufs[64];
	size_t before = rss_bytes(), peak;

	for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
		bufs[i] = buf_get(pool, MIB);
		memset(bufs[i]->data, 1, MIB);
	}
	peak = rss_bytes();
	assert_true(peak >= before + 63 * MIB);
	assert_int_equal(buf_pool_used_bytes(pool), 64 * MIB);
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
		buf_unref(bufs[i]);
	assert_true(rss_bytes() <= before + 10 * MIB);
	assert_true(rss_bytes() >= before + 7 * MIB);
	buf_pool_destroy(pool);
	assert_true(rss_bytes() <= before + 2 * MIB);
}
#endif

static void idle_memory_follows_the_sizes_in_use(void **state)
{
	struct buf_pool *pool = buf_pool_create(4 * MIB);
	struct buf *small[64], *big;

	/* Idle small buffers fill the allowance; a big one that comes back pushes them out. */
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		small[i] = buf_get(pool, 65536);
	for (size_t i = 0; i < ARRAY_LEN(small); i++)
		buf_unref(small[i]);
	big = buf_get(pool, 4 * MIB);
	memset(big->data, 0x77, 100); /* fresh pages would be zero */
	buf_unref(big);
	big = buf_get(pool, 4 * MIB);
	assert_int_equal(big->data[99], 0x77);
	buf_unref(big);

	/* One that is larger than the whole allowance disturbs nothing. */
	buf_unref(buf_get(pool, 8 * MIB));
	big = buf_get(pool, 4 * MIB);
	assert_int_equal(big->data[99], 0x77);
	buf_unref(big);
	buf_pool_destroy(pool);
}

static void a_buffer_without_pool_works(void **state)
{
	struct buf *buf = buf_random(NULL, 100000, 1);

	buf_seal(buf);
	assert_int_equal(buf->crc[0], crc32c(0, buf->data, CRC_BLOCK));
	assert_int_equal(buf->crc[1], crc32c(0, buf->data + CRC_BLOCK, 100000 - CRC_BLOCK));
	buf_unref(buf);
}

static void a_seal_is_not_computed_twice(void **state)
{
	struct buf *buf = buf_random(NULL, CRC_BLOCK, 1);

	buf_seal(buf);
	buf->crc[0] ^= 1;
	buf_seal(buf);
	assert_int_not_equal(buf->crc[0], crc32c(0, buf->data, CRC_BLOCK));
	buf_unref(buf);
}

static void slices_hold_and_drop_references(void **state)
{
	struct buf_pool *pool = buf_pool_create(0);
	struct buf *buf = buf_random(pool, 10000, 1);
	struct slice a = slice_make(buf, 100, 5000), b = slice_cut(&a, 50, 4000);

	assert_int_equal(buf->refs, 3);
	buf_unref(buf);
	assert_int_equal(b.off, 150);
	assert_int_equal(b.len, 4000);
	assert_ptr_equal(slice_data(&b), buf->data + 150);
	slice_drop(&a);
	assert_null(a.buf);
	assert_int_equal(a.len, 0);
	slice_drop(&a);
	assert_int_equal(buf_pool_used_bytes(pool), buf->capacity);
	slice_drop(&b);
	assert_int_equal(buf_pool_used_bytes(pool), 0);

	a = slice_make(NULL, 7, 5000);
	b = slice_cut(&a, 1000, 4000);
	assert_null(b.buf);
	assert_int_equal(b.len, 4000);
	slice_drop(&a);
	slice_drop(&b);
	buf_pool_destroy(pool);
}

static void slice_crcs_are_given_only_where_blocks_line_up(void **state)
{
	uint32_t len = 3 * CRC_BLOCK + 100;
	struct buf *buf = buf_random(NULL, len, 1);
	static const struct {
		uint32_t off, len;
		int block; /* -1: none */
	} cases[] = {
		{0, 3 * CRC_BLOCK + 100, 0},
		{0, CRC_BLOCK, 0},
		{CRC_BLOCK, CRC_BLOCK, 1},
		{CRC_BLOCK, 2 * CRC_BLOCK + 100, 1},
		{3 * CRC_BLOCK, 100, 3},
		{3 * CRC_BLOCK, 99, -1},
		{0, 100, -1},
		{1, CRC_BLOCK - 1, -1},
		{1, CRC_BLOCK, -1},
		{CRC_BLOCK, CRC_BLOCK + 1, -1},
	};
	struct slice s = slice_make(buf, 0, CRC_BLOCK);

	assert_null(slice_crcs(&s));
	slice_drop(&s);
	buf_seal(buf);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s = slice_make(buf, cases[i].off, cases[i].len);
		assert_ptr_equal(slice_crcs(&s),
		                 cases[i].block < 0 ? NULL : buf->crc + cases[i].block);
		slice_drop(&s);
	}
	s = slice_make(NULL, 0, CRC_BLOCK);
	assert_null(slice_crcs(&s));
	buf_unref(buf);
}

/* A payload of random slices and holes, sealed or not, and the bytes it stands for. */
static uint8_t *payload_random(struct prng *p, struct buf_pool *pool, struct payload *payload)
{
	uint32_t count = 1 + (uint32_t)prng_below(p, 8), at = 0;
	uint8_t *flat = xcalloc(8, 4 * CRC_BLOCK);

	payload_init(payload);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t unit = prng_below(p, 3) ? CRC_BLOCK : 1 + (uint32_t)prng_below(p, 5000);
		uint32_t off = unit * (uint32_t)prng_below(p, 2);
		uint32_t len = unit * (uint32_t)prng_below(p, 3);
		struct slice s = slice_make(NULL, 0, len);

		if (prng_below(p, 4)) {
			uint32_t tail = prng_below(p, 2) ? unit : 0;
			struct buf *buf = buf_random(pool, off + len + tail + 1, prng_next(p));

			buf->len -= tail == 0; /* so that some slices end with their buffer */
			if (buf->len == 0)
				buf->len = 1;
			if (prng_below(p, 2))
				buf_seal(buf);
			s = slice_make(buf, off, len);
			memcpy(flat + at, buf->data + off, len);
			buf_unref(buf);
		}
		payload_add(payload, &s);
		assert_null(s.buf);
		at += len;
	}
	assert_int_equal(payload_len(payload), at);
	return flat;
}

static void crcs_check(const struct payload *payload, const uint8_t *flat)
{
	uint32_t crcs[64], len = payload_len(payload);

	assert_true(block_count(len) < ARRAY_LEN(crcs));
	crcs[block_count(len)] = 0x5a5a5a5a;
	payload_crcs(payload, crcs);
	for (uint32_t i = 0; i < block_count(len); i++) {
		uint32_t n = MIN(len - i * CRC_BLOCK, (uint32_t)CRC_BLOCK);

		assert_int_equal(crcs[i], crc32c(0, flat + i * CRC_BLOCK, n));
	}
	assert_int_equal(crcs[block_count(len)], 0x5a5a5a5a);
}

static void any_payload_cuts_copies_and_checksums_like_its_bytes(void **state)
{
	struct buf_pool *pool = buf_pool_create(4 * MIB);
	uint8_t *out = xmalloc(32 * CRC_BLOCK);
	struct prng p;

	prng_init(&p, 2024);
	for (int round = 0; round < 400; round++) {
		struct payload payload, cut, moved;
		uint8_t *flat = payload_random(&p, pool, &payload);
		uint32_t len = payload_len(&payload);
		uint32_t off = (uint32_t)prng_below(&p, len + 1);
		uint32_t n = (uint32_t)prng_below(&p, len - off + 1);

		crcs_check(&payload, flat);
		payload_copy_out(&payload, 0, out, len);
		assert_memory_equal(out, flat, len);
		memset(out, 0xee, n + 1);
		payload_copy_out(&payload, off, out, n);
		assert_memory_equal(out, flat + off, n);
		assert_int_equal(out[n], 0xee);

		payload_cut(&cut, &payload, off, n);
		assert_int_equal(payload_len(&cut), n);
		payload_move(&moved, &cut);
		assert_int_equal(cut.count, 0);
		payload_fini(&payload); /* the cut has references of its own */
		payload_copy_out(&moved, 0, out, n);
		assert_memory_equal(out, flat + off, n);
		crcs_check(&moved, flat + off);
		payload_fini(&moved);
		assert_int_equal(buf_pool_used_bytes(pool), 0);
		free(flat);
	}
	free(out);
	buf_pool_destroy(pool);
}

/* Seen from a planted wrong value: where it shows up, it was not computed anew. */
static void checksums_that_buffers_carry_are_reused(void **state)
{
	struct buf *buf = buf_random(NULL, 2 * CRC_BLOCK + 10, 1);
	struct slice s = slice_make(buf, 0, buf->len), hole = slice_make(NULL, 0, CRC_BLOCK);
	struct payload payload, shifted;
	uint32_t crcs[4];

	buf_seal(buf);
	for (uint32_t i = 0; i < 3; i++)
		buf->crc[i] = 1000 + i;
	payload_init(&payload);
	payload_add(&payload, &hole);
	payload_add(&payload, &s);
	payload_crcs(&payload, crcs);
	assert_int_equal(crcs[0], crc32c_zeros(CRC_BLOCK));
	assert_int_equal(crcs[1], 1000);
	assert_int_equal(crcs[2], 1001);
	assert_int_equal(crcs[3], 1002);

	/* One byte off, and they must not be. */
	payload_cut(&shifted, &payload, CRC_BLOCK + 1, 2 * CRC_BLOCK);
	payload_crcs(&shifted, crcs);
	assert_int_equal(crcs[0], crc32c(0, buf->data + 1, CRC_BLOCK));
	assert_int_equal(crcs[1], crc32c(0, buf->data + 1 + CRC_BLOCK, CRC_BLOCK));
	payload_fini(&shifted);
	payload_fini(&payload);
	buf_unref(buf);
}

static void an_empty_slice_is_ignored_and_its_reference_dropped(void **state)
{
	struct buf *buf = buf_get(NULL, 10);
	struct slice s = slice_make(buf, 5, 0);
	struct payload payload;

	payload_init(&payload);
	payload_add(&payload, &s);
	assert_int_equal(payload.count, 0);
	assert_int_equal(payload_len(&payload), 0);
	assert_int_equal(buf->refs, 1);
	payload_crcs(&payload, NULL);
	payload_copy_out(&payload, 0, NULL, 0);
	payload_fini(&payload);
	buf_unref(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef UNDER_ASAN /* first: later tests leave memory in malloc's hands */
		cmocka_unit_test(memory_beyond_keep_bytes_leaves_the_process),
		cmocka_unit_test(address_space_is_given_back_too),
#endif
		cmocka_unit_test(a_buffer_has_room_alignment_and_one_reference),
		cmocka_unit_test(a_capacity_is_a_fixed_point_of_its_class),
		cmocka_unit_test(the_last_unref_returns_a_buffer_and_it_is_used_again),
		cmocka_unit_test(idle_memory_follows_the_sizes_in_use),
		cmocka_unit_test(a_buffer_without_pool_works),
		cmocka_unit_test(a_seal_is_not_computed_twice),
		cmocka_unit_test(slices_hold_and_drop_references),
		cmocka_unit_test(slice_crcs_are_given_only_where_blocks_line_up),
		cmocka_unit_test(any_payload_cuts_copies_and_checksums_like_its_bytes),
		cmocka_unit_test(checksums_that_buffers_carry_are_reused),
		cmocka_unit_test(an_empty_slice_is_ignored_and_its_reference_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/ec/ec.h"

enum { MAX_N = 48, GUARD = 64, GUARD_BYTE = 0xa5 };

/*
 * One coded object. Every shard lies in an allocation of its own, off the vector alignment by `skew`
 * and followed by guard bytes, so that a write past len is seen.
 */
struct stripe {
	struct ec_code *code;
	uint32_t k, m, n, len, skew;
	uint8_t *mem[MAX_N];
	uint8_t *shard[MAX_N];
};

static uint8_t *guarded(const struct stripe *s, uint8_t **ret_mem)
{
	*ret_mem = xmalloc(s->skew + s->len + GUARD);
	memset(*ret_mem, GUARD_BYTE, s->skew + s->len + GUARD);
	return *ret_mem + s->skew;
}

static void assert_guard(const struct stripe *s, const uint8_t *shard)
{
	for (uint32_t i = 0; i < GUARD; i++)
		assert_int_equal(shard[s->len + i], GUARD_BYTE);
}

/* Shards whose bit is set in `zeros` are zeros and given to ec_encode as NULL. */
static void stripe_init(struct stripe *s, uint32_t k, uint32_t m, uint32_t len, uint64_t zeros,
                        struct prng *prng)
{
	const uint8_t *data[MAX_N];

	*s = (struct stripe){.k = k, .m = m, .n = k + m, .len = len, .skew = prng_below(prng, 64)};
	assert_int_equal(ec_create(k, m, &s->code), 0);
	for (uint32_t i = 0; i < s->n; i++)
		s->shard[i] = guarded(s, &s->mem[i]);
	for (uint32_t i = 0; i < k; i++) {
		bool zero = zeros >> i & 1;

		if (zero)
			memset(s->shard[i], 0, len);
		else
			prng_fill(prng, s->shard[i], len);
		data[i] = zero ? NULL : s->shard[i];
	}
	ec_encode(s->code, len, data, &s->shard[k]);
	for (uint32_t i = 0; i < s->n; i++)
		assert_guard(s, s->shard[i]);
}

static void stripe_fini(struct stripe *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->mem[i]);
	ec_unref(s->code);
}

static void shuffle(uint32_t *v, uint32_t count, struct prng *prng)
{
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = prng_below(prng, i), t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
}

/* Decodes want[] from have[] and compares with what was encoded. */
static void assert_decodes(const struct stripe *s, const uint32_t *have, uint32_t want_count,
                           const uint32_t *want, uint64_t zeros)
{
	const uint8_t *src[MAX_N];
	uint8_t *mem[MAX_N], *dst[MAX_N] = {NULL};

	for (uint32_t i = 0; i < s->k; i++)
		src[i] = have[i] < s->k && zeros >> have[i] & 1 ? NULL : s->shard[have[i]];
	for (uint32_t i = 0; i < want_count; i++)
		dst[i] = guarded(s, &mem[i]);
	assert_int_equal(ec_decode(s->code, s->len, have, src, want_count, want, dst), 0);
	for (uint32_t i = 0; i < want_count; i++) {
		assert_memory_equal(dst[i], s->shard[want[i]], s->len);
		assert_guard(s, dst[i]);
		free(mem[i]);
	}
}

/* Every set of at most m lost shards; of those left, the first k and the last k are tried. */
static void check_all_patterns(uint32_t k, uint32_t m)
{
	struct prng prng;
	struct stripe s;
	uint32_t patterns = 0;

	prng_init(&prng, k * 100 + m);
	stripe_init(&s, k, m, 100, 0, &prng);
	for (uint32_t lost = 0; lost < 1u << s.n; lost++) {
		uint32_t have[MAX_N], want[MAX_N], left = 0, gone = 0;

		if (__builtin_popcount(lost) > (int)m)
			continue;
		for (uint32_t i = 0; i < s.n; i++) {
			if (lost >> i & 1)
				want[gone++] = i;
			else
				have[left++] = i;
		}
		assert_decodes(&s, have, gone, want, 0);
		assert_decodes(&s, have + left - k, gone, want, 0);
		patterns++;
	}
	assert_true(patterns > 1u << m);
	stripe_fini(&s);
}

static void every_loss_pattern_of_4_2_decodes(void **state)
{
	check_all_patterns(4, 2);
}

static void every_loss_pattern_of_8_3_decodes(void **state)
{
	check_all_patterns(8, 3);
}

static void every_loss_pattern_of_10_4_decodes(void **state)
{
	check_all_patterns(10, 4);
}

static void check_random(uint32_t k, uint32_t m, struct prng *prng)
{
	uint32_t ids[MAX_N];
	uint64_t zeros = prng_next(prng) & prng_next(prng) & (((uint64_t)1 << k) - 1);
	struct stripe s;

	stripe_init(&s, k, m, 1 + prng_below(prng, 700), zeros, prng);
	for (uint32_t i = 0; i < s.n; i++)
		ids[i] = i;
	for (int round = 0; round < 4; round++) {
		shuffle(ids, s.n, prng);
		assert_decodes(&s, ids, prng_below(prng, m + 1), ids + k, zeros);
		assert_decodes(&s, ids, m, ids + k, zeros);
	}
	stripe_fini(&s);
}

static void random_losses_of_every_k_and_m_decode(void **state)
{
	struct prng prng;

	prng_init(&prng, 1);
	for (uint32_t k = 1; k <= 32; k++)
		for (uint32_t m = 0; m <= 16; m++)
			check_random(k, m, &prng);
}

static void every_length_up_to_300_encodes_and_decodes(void **state)
{
	static const uint32_t have[] = {1, 3, 4, 5}, want[] = {0, 2};
	struct prng prng;

	prng_init(&prng, 2);
	for (uint32_t len = 1; len <= 300; len++) {
		struct stripe s;

		stripe_init(&s, 4, 2, len, 0, &prng);
		assert_decodes(&s, have, 2, want, 0);
		stripe_fini(&s);
	}
}

static void length_zero_touches_nothing(void **state)
{
	static const uint32_t have[] = {1, 2}, want[] = {0};
	uint8_t a = 1, b = 2, p = 3;
	const uint8_t *data[] = {&a, &b};
	uint8_t *parity[] = {&p};
	struct ec_code *code;

	assert_int_equal(ec_create(2, 1, &code), 0);
	ec_encode(code, 0, data, parity);
	ec_delta(code, 0, 0, &a, parity, false);
	ec_delta(code, 0, 0, &a, parity, true);
	assert_int_equal(ec_decode(code, 0, have, data, 1, want, parity), 0);
	assert_int_equal(p, 3);
	ec_unref(code);
}

static void one_data_part_is_plain_copies(void **state)
{
	struct prng prng;
	struct stripe s;

	prng_init(&prng, 3);
	stripe_init(&s, 1, 5, 77, 0, &prng);
	for (uint32_t i = 1; i < s.n; i++)
		assert_memory_equal(s.shard[i], s.shard[0], s.len);
	stripe_fini(&s);
}

static void all_sources_absent_give_zeros(void **state)
{
	for (uint32_t k = 1; k <= 4; k += 3) {
		static const uint32_t have[] = {3, 4, 5, 0}, want[] = {1, 2};
		const uint8_t *none[4] = {NULL};
		uint8_t a[50], b[50], *dst[] = {a, b};
		struct ec_code *code;

		assert_int_equal(ec_create(k, 3, &code), 0);
		memset(a, 1, sizeof(a));
		memset(b, 1, sizeof(b));
		assert_int_equal(ec_decode(code, sizeof(a), have, none, 2, want, dst), 0);
		for (uint32_t i = 0; i < sizeof(a); i++)
			assert_int_equal(a[i] | b[i], 0);
		ec_unref(code);
	}
}

/* Changes bytes of one part, or of two (then the second is accumulated), and checks the parities. */
static void check_delta(uint32_t k, uint32_t m, struct prng *prng)
{
	uint32_t len = 1 + prng_below(prng, 400), changes = k > 1 ? 2 : 1;
	uint32_t part = prng_below(prng, k);
	uint8_t *diff = xmalloc(len), *delta[MAX_N] = {NULL}, *mem[MAX_N];
	uint8_t *again[MAX_N] = {NULL}, *again_mem[MAX_N];
	struct stripe s;

	stripe_init(&s, k, m, len, 0, prng);
	for (uint32_t j = 0; j < m; j++) {
		delta[j] = guarded(&s, &mem[j]);
		again[j] = guarded(&s, &again_mem[j]);
	}
	for (uint32_t c = 0; c < changes; c++) {
		uint32_t at = (part + c) % k;

		prng_fill(prng, diff, len);
		ec_delta(s.code, at, len, diff, delta, c > 0);
		ec_xor(s.shard[at], diff, len);
	}
	ec_encode(s.code, len, (const uint8_t *const *)s.shard, again);
	for (uint32_t j = 0; j < m; j++) {
		assert_memory_not_equal(again[j], s.shard[k + j], len);
		ec_xor(s.shard[k + j], delta[j], len);
		assert_memory_equal(again[j], s.shard[k + j], len);
		assert_guard(&s, delta[j]);
		assert_guard(&s, s.shard[k + j]);
		free(mem[j]);
		free(again_mem[j]);
	}
	free(diff);
	stripe_fini(&s);
}

static void delta_update_equals_encoding_again(void **state)
{
	struct prng prng;

	prng_init(&prng, 5);
	for (uint32_t k = 1; k <= 32; k++)
		for (uint32_t m = 0; m <= 16; m++)
			check_delta(k, m, &prng);
}

static void xor_is_bytewise_at_any_length(void **state)
{
	uint8_t a[200], b[200], before[200];
	struct prng prng;

	prng_init(&prng, 6);
	for (uint32_t len = 0; len < sizeof(a) - 1; len++) {
		prng_fill(&prng, a, sizeof(a));
		prng_fill(&prng, b, sizeof(b));
		memcpy(before, a, sizeof(a));
		ec_xor(a + 1, b, len);
		for (uint32_t i = 0; i < sizeof(a); i++) {
			uint8_t with = i >= 1 && i < 1 + len ? b[i - 1] : 0;

			assert_int_equal(a[i], before[i] ^ with);
		}
	}
}

static void parts_are_whole_pages_that_hold_the_object(void **state)
{
	assert_int_equal(ec_part_size(1, 4 << 20), 4 << 20);
	assert_int_equal(ec_part_size(4, 4 << 20), 1 << 20);
	assert_int_equal(ec_part_size(3, 4 << 20), 1400832);
	assert_int_equal(ec_part_size(32, 4096), 4096);
	assert_int_equal(ec_part_size(7, 1), 4096);
	for (uint32_t k = 1; k <= 32; k++) {
		uint32_t part = ec_part_size(k, 4 << 20);

		assert_int_equal(part % 4096, 0);
		assert_true((uint64_t)part * k >= 4 << 20);
	}
}

static void codes_out_of_range_are_refused(void **state)
{
	static const uint32_t bad[][2] = {{0, 2}, {33, 2}, {4, 17}, {UINT32_MAX, UINT32_MAX}};
	struct ec_code *code = NULL;

	for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(ec_create(bad[i][0], bad[i][1], &code), -EINVAL);
	assert_null(code);
	assert_int_equal(ec_create(32, 16, &code), 0);
	assert_int_equal(ec_k(code), 32);
	assert_int_equal(ec_m(code), 16);
	ec_unref(code);
	ec_unref(NULL);
}

static void decoding_from_wrong_ids_is_refused(void **state)
{
	static const struct {
		uint32_t have[2], want_count, want[3];
	} bad[] = {
		{{0, 0}, 1, {1}},          /* a source twice */
		{{0, 4}, 1, {1}},          /* no such source */
		{{0, UINT32_MAX}, 1, {1}}, /* the same */
		{{0, 1}, 1, {1}},          /* made from itself */
		{{0, 1}, 1, {4}},          /* no such shard */
		{{0, 1}, 2, {2, 2}},       /* made twice */
		{{0, 1}, 3, {2, 3, 1}},    /* more than there are others */
	};
	uint8_t byte[3] = {1, 2, 3}, *dst[] = {&byte[0], &byte[1], &byte[2]};
	const uint8_t *src[] = {&byte[0], &byte[1]};
	struct ec_code *code;

	assert_int_equal(ec_create(2, 2, &code), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
			ec_decode(code, 1, bad[i].have, src, bad[i].want_count, bad[i].want, dst),
			-EINVAL);
	assert_int_equal(byte[0] << 16 | byte[1] << 8 | byte[2], 0x010203);
	ec_unref(code);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_loss_pattern_of_4_2_decodes),
		cmocka_unit_test(every_loss_pattern_of_8_3_decodes),
		cmocka_unit_test(every_loss_pattern_of_10_4_decodes),
		cmocka_unit_test(random_losses_of_every_k_and_m_decode),
		cmocka_unit_test(every_length_up_to_300_encodes_and_decodes),
		cmocka_unit_test(length_zero_touches_nothing),
		cmocka_unit_test(one_data_part_is_plain_copies),
		cmocka_unit_test(all_sources_absent_give_zeros),
		cmocka_unit_test(delta_update_equals_encoding_again),
		cmocka_unit_test(xor_is_bytewise_at_any_length),
		cmocka_unit_test(parts_are_whole_pages_that_hold_the_object),
		cmocka_unit_test(codes_out_of_range_are_refused),
		cmocka_unit_test(decoding_from_wrong_ids_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

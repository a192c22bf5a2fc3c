/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/ec/ec.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/erasure_code.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { MAX_K = 32, MAX_M = 16, MAX_SHARDS = MAX_K + MAX_M };
enum { TABLE = 32 };        /* bytes that isa-l expands one coefficient to */
enum { PART_ALIGN = 4096 }; /* parts start on a page, for O_DIRECT */

/*
 * The tables of isa-l lie row after row, one TABLE per source. A product over a few of the sources
 * therefore needs tables of its own: `column` keeps them ready for one source, combine() packs them for
 * the sources that are not zeros.
 */
struct ec_code {
	uint32_t refs;
	uint32_t k, m;
	uint8_t row[MAX_SHARDS][MAX_K];        /* shard s = sum over i of row[s][i] * data part i */
	uint8_t encode[MAX_M * MAX_K * TABLE]; /* parity rows, all k sources */
	uint8_t column[MAX_K][MAX_M * TABLE];  /* parity rows, source i alone */
};

/* isa-l writes to none of its inputs but declares them writable. */
static unsigned char *unconst(const uint8_t *p)
{
	return (unsigned char *)(uintptr_t)p;
}

static void rows_init(struct ec_code *code)
{
	uint32_t k = code->k, n = k + code->m;
	uint8_t matrix[MAX_SHARDS * MAX_K];

	gf_gen_cauchy1_matrix(matrix, (int)n, (int)k);
	for (uint32_t s = 0; s < n; s++)
		memcpy(code->row[s], matrix + s * k, k);
	if (k == 1) /* Cauchy would scale each copy by a factor of its own */
		for (uint32_t s = 0; s < n; s++)
			code->row[s][0] = 1;
}

static void tables_init(struct ec_code *code)
{
	for (uint32_t j = 0; j < code->m; j++) {
		uint8_t *row = code->row[code->k + j];

		ec_init_tables((int)code->k, 1, row, code->encode + j * code->k * TABLE);
		for (uint32_t i = 0; i < code->k; i++)
			ec_init_tables(1, 1, &row[i], code->column[i] + j * TABLE);
	}
}

int ec_create(uint32_t k, uint32_t m, struct ec_code **ret)
{
	struct ec_code *code;

	if (k < 1 || k > MAX_K || m > MAX_M)
		return -EINVAL;
	code = xcalloc(1, sizeof(*code));
	code->refs = 1;
	code->k = k;
	code->m = m;
	rows_init(code);
	tables_init(code);
	*ret = code;
	return 0;
}

struct ec_code *ec_ref(struct ec_code *code)
{
	code->refs++;
	return code;
}

void ec_unref(struct ec_code *code)
{
	if (code && --code->refs == 0)
		free(code);
}

uint32_t ec_k(const struct ec_code *code)
{
	return code->k;
}

uint32_t ec_m(const struct ec_code *code)
{
	return code->m;
}

uint32_t ec_part_size(uint32_t k, uint32_t object_size)
{
	uint64_t size;

	assert(k >= 1);
	size = round_up(div_up(object_size, k), PART_ALIGN);
	assert(size <= UINT32_MAX);
	return (uint32_t)size;
}

/*
 * dst[r] = sum over i of coefficient(r, i) * src[i], for `sources` sources and `rows` results, with the
 * tables as isa-l lays them out. Sources that are zeros (NULL) add nothing: they are left out of the
 * product instead of being read.
 */
static void combine(uint32_t len, uint32_t sources, uint32_t rows, const uint8_t *tables,
                    const uint8_t *const *src, uint8_t *const *dst)
{
	uint8_t packed[MAX_M * MAX_K * TABLE];
	unsigned char *in[MAX_K], *out[MAX_M];
	uint32_t from[MAX_K], count = 0;

	assert(sources <= MAX_K && rows <= MAX_M && len <= INT_MAX);
	for (uint32_t i = 0; i < sources; i++) {
		if (!src[i])
			continue;
		from[count] = i;
		in[count++] = unconst(src[i]);
	}
	for (uint32_t r = 0; r < rows; r++)
		out[r] = dst[r];
	if (rows == 0 || len == 0)
		return;
	if (count == 0) {
		for (uint32_t r = 0; r < rows; r++)
			memset(dst[r], 0, len);
		return;
	}
	if (count < sources) {
		uint8_t *to = packed;

		for (uint32_t r = 0; r < rows; r++)
			for (uint32_t i = 0; i < count; i++, to += TABLE)
				memcpy(to, tables + (r * sources + from[i]) * TABLE, TABLE);
		tables = packed;
	}
	ec_encode_data((int)len, (int)count, (int)rows, unconst(tables), in, out);
}

static void copy_to_all(uint32_t len, const uint8_t *src, uint32_t count, uint8_t *const *dst)
{
	for (uint32_t j = 0; j < count && len > 0; j++) {
		if (src)
			memcpy(dst[j], src, len);
		else
			memset(dst[j], 0, len);
	}
}

void ec_encode(const struct ec_code *code, uint32_t len, const uint8_t *const *data,
               uint8_t *const *parity)
{
	if (code->k == 1)
		copy_to_all(len, data[0], code->m, parity);
	else
		combine(len, code->k, code->m, code->encode, data, parity);
}

void ec_delta(const struct ec_code *code, uint32_t part, uint32_t len, const uint8_t *diff,
              uint8_t *const *delta, bool accumulate)
{
	unsigned char *out[MAX_M];

	assert(part < code->k && len <= INT_MAX);
	if (!accumulate) {
		combine(len, 1, code->m, code->column[part], &diff, delta);
		return;
	}
	if (code->m == 0 || len == 0)
		return;
	for (uint32_t j = 0; j < code->m; j++)
		out[j] = delta[j];
	ec_encode_data_update((int)len, 1, (int)code->m, 0, unconst(code->column[part]),
	                      unconst(diff), out);
}

void ec_xor(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	typedef uint8_t vec __attribute__((vector_size(64), aligned(1), may_alias));
	uint32_t i = 0;

	for (; len - i >= sizeof(vec); i += sizeof(vec))
		*(vec *)(dst + i) ^= *(const vec *)(src + i);
	for (; i < len; i++)
		dst[i] ^= src[i];
}

static bool ids_valid(const struct ec_code *code, const uint32_t *have, uint32_t want_count,
                      const uint32_t *want)
{
	uint32_t n = code->k + code->m;
	bool seen[MAX_SHARDS] = {false};

	if (want_count > code->m) /* k others exist only then, each once */
		return false;
	for (uint32_t i = 0; i < code->k + want_count; i++) {
		uint32_t id = i < code->k ? have[i] : want[i - code->k];

		if (id >= n || seen[id])
			return false;
		seen[id] = true;
	}
	return true;
}

/*
 * The shards at hand are S = A * D, where D is the data and A the rows of those shards; any shard w is
 * row[w] * D, and so row[w] * A^-1 * S.
 */
static void decode_tables(const struct ec_code *code, const uint32_t *have, uint32_t want_count,
                          const uint32_t *want, uint8_t *tables)
{
	uint32_t k = code->k;
	uint8_t a[MAX_K * MAX_K], inverse[MAX_K * MAX_K], out[MAX_K];
	int singular;

	for (uint32_t i = 0; i < k; i++)
		memcpy(a + i * k, code->row[have[i]], k);
	singular = gf_invert_matrix(a, inverse, (int)k);
	assert(!singular);
	for (uint32_t w = 0; w < want_count; w++) {
		const uint8_t *row = code->row[want[w]];

		memset(out, 0, sizeof(out));
		for (uint32_t i = 0; i < k; i++)
			for (uint32_t c = 0; row[i] != 0 && c < k; c++)
				out[c] ^= gf_mul(row[i], inverse[i * k + c]);
		ec_init_tables((int)k, 1, out, tables + w * k * TABLE);
	}
}

int ec_decode(const struct ec_code *code, uint32_t len, const uint32_t *have,
              const uint8_t *const *src, uint32_t want_count, const uint32_t *want,
              uint8_t *const *dst)
{
	uint8_t tables[MAX_M * MAX_K * TABLE];

	if (!ids_valid(code, have, want_count, want))
		return -EINVAL;
	if (want_count == 0 || len == 0)
		return 0;
	if (code->k == 1) {
		copy_to_all(len, src[0], want_count, dst);
		return 0;
	}
	decode_tables(code, have, want_count, want, tables);
	combine(len, code->k, want_count, tables, src, dst);
	return 0;
}

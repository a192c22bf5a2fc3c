/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_FUZZ_H
#define SF_TESTS_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * A target is one file with LLVMFuzzerTestOneInput: libFuzzer calls it with inputs it makes up, and
 * tests/fuzz/replay.c with those that are kept in tests/fuzz/corpus. What a target claims it
 * asserts. One run leaves nothing behind that the next could see.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer's own mutation, for targets with one of their own around it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* An input read as a sequence of values. Past its end all is zero. */
struct fuzz_in {
	const uint8_t *p, *end;
};

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static inline uint64_t fuzz_le(struct fuzz_in *in, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)fuzz_u8(in) << (8 * i);
	return v;
}

/* Small numbers take one byte; 253, 254 and 255 announce one of 2, 4 or 8. */
static inline uint64_t fuzz_num(struct fuzz_in *in)
{
	uint8_t first = fuzz_u8(in);

	return first < 253 ? first : fuzz_le(in, 2u << (first - 253));
}

/* 0..max, larger ones cut down. */
static inline uint32_t fuzz_below(struct fuzz_in *in, uint32_t max)
{
	uint64_t v = fuzz_num(in);

	return v < max ? (uint32_t)v : max;
}

/* At most `max` bytes that belong together; *ret points into the input. */
static inline uint32_t fuzz_bytes(struct fuzz_in *in, uint32_t max, const uint8_t **ret)
{
	uint32_t len = fuzz_below(in, max);
	size_t left = (size_t)(in->end - in->p);

	len = len < left ? len : (uint32_t)left;
	*ret = in->p;
	in->p += len;
	return len;
}

/* The other way round, for tools that make inputs. */
static inline void fuzz_put_num(uint8_t **p, uint64_t v)
{
	unsigned size = v < 253 ? 0 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8;

	*(*p)++ = size ? (uint8_t)(size == 2 ? 253 : size == 4 ? 254 : 255) : (uint8_t)v;
	for (unsigned i = 0; i < size; i++)
		*(*p)++ = (uint8_t)(v >> (8 * i));
}

#endif

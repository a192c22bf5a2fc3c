/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench_data.h"

#include <assert.h>
#include <stdlib.h>

/* Small enough to stay in a core's second-level cache. */
enum { POOL_WORDS = 16384, BLOCK_WORDS = BENCH_BLOCK / sizeof(uint64_t) };

struct bench_data {
	uint64_t seed;
	uint64_t pool[POOL_WORDS];
};

typedef uint64_t lanes __attribute__((vector_size(64), aligned(8), may_alias));
enum { LANES_WORDS = sizeof(lanes) / sizeof(uint64_t) };

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

struct bench_data *bench_data_create(uint64_t seed)
{
	struct bench_data *d = malloc(sizeof(*d));

	assert(d != NULL);
	d->seed = mix(seed);
	for (uint32_t i = 0; i < POOL_WORDS; i++)
		d->pool[i] = mix(d->seed + i);
	return d;
}

void bench_data_destroy(struct bench_data *d)
{
	free(d);
}

static const uint64_t *slice_of(const struct bench_data *d, uint64_t block, uint32_t generation,
                                uint64_t *ret_key)
{
	uint64_t h = mix(mix(block ^ d->seed) + generation);

	*ret_key = mix(h);
	return d->pool + h % (POOL_WORDS - BLOCK_WORDS + 1);
}

void bench_data_fill(const struct bench_data *d, uint64_t block, uint32_t generation, void *dst)
{
	uint64_t key;
	const uint64_t *src = slice_of(d, block, generation, &key);
	uint64_t *out = dst;

	for (uint32_t i = 0; i < BLOCK_WORDS; i += LANES_WORDS)
		*(lanes *)(out + i) = *(const lanes *)(src + i) ^ key;
}

bool bench_data_matches(const struct bench_data *d, uint64_t block, uint32_t generation,
                        const void *src)
{
	uint64_t key, bad = 0;
	const uint64_t *want = slice_of(d, block, generation, &key), *got = src;
	lanes diff = {0};

	for (uint32_t i = 0; i < BLOCK_WORDS; i += LANES_WORDS)
		diff |= *(const lanes *)(want + i) ^ *(const lanes *)(got + i) ^ key;
	for (uint32_t i = 0; i < LANES_WORDS; i++)
		bad |= diff[i];
	return bad == 0;
}

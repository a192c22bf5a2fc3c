/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/prng.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"

void prng_init(struct prng *p, uint64_t seed)
{
	for (unsigned int i = 0; i < ARRAY_LEN(p->s); i++)
		p->s[i] = hash64(seed + i * 0x9e3779b97f4a7c15u);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t prng_next(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t limit)
{
	uint64_t uneven, r;

	assert(limit > 0);
	/* 2^64 % limit values at the low end would make the rest come once too often. */
	uneven = -limit % limit;
	do
		r = prng_next(p);
	while (r < uneven);
	return r % limit;
}

void prng_fill(struct prng *p, void *dst, uint64_t len)
{
	uint8_t *out = dst;

	while (len > 0) {
		uint64_t v = htole64(prng_next(p));
		uint64_t n = MIN(len, sizeof(v));

		memcpy(out, &v, n);
		out += n;
		len -= n;
	}
}

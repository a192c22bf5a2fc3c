/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_PRNG_H
#define SF_BASE_PRNG_H

#include <stdint.h>

/* xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. Not for secrets. */
struct prng {
	uint64_t s[4];
};
void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, limit), limit > 0. */
uint64_t prng_below(struct prng *p, uint64_t limit);
void prng_fill(struct prng *p, void *dst, uint64_t len);

#endif

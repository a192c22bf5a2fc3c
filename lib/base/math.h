/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_MATH_H
#define SF_BASE_MATH_H

#include <stdbool.h>
#include <stdint.h>

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline uint64_t div_up(uint64_t n, uint64_t d)
{
	return n / d + (n % d != 0);
}
/* step is a power of two; n + step must not overflow (check lengths first). */
static inline uint64_t round_up(uint64_t n, uint64_t step)
{
	return (n + step - 1) & ~(step - 1);
}
/* True when [off, off + len) lies inside [0, size), without overflow. */
static inline bool range_fits(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

#endif

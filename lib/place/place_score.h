/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_PLACE_SCORE_H
#define SF_PLACE_PLACE_SCORE_H

#include <stdint.h>

/* For lib/place and its tests only. */

enum { PLACE_EXP_FRACTION_BITS = 56 };
/*
 * -ln(1 - x / 2^64), with 56 fractional bits: turns a uniform hash into an exponentially
 * distributed number. Integer arithmetic only. Off by less than 2^-40 of its value or 2^-54,
 * whichever is more.
 */
uint64_t place_exp(uint64_t x);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_CELLS_H
#define SF_SIM_CELLS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/prng.h"

/*
 * How the checkers see an object: as a row of cells, cut at drawn byte offsets around the start,
 * the end and the ends of parts, with large gaps between. Every write covers whole cells and
 * stamps them with its own number, so that a read says of each cell which write it shows; 0 is
 * zeros.
 */
enum { MAX_CELLS = 16 };
#define CELL_TORN UINT64_MAX /* bytes that no single write can have left */

struct cells {
	uint32_t count;
	uint32_t start[MAX_CELLS +
	               1]; /* cell i is [start[i], start[i + 1]); the last is the object's size */
};

void cells_draw(struct cells *c, struct prng *prng, uint32_t k, uint32_t object_size);
/* A gap, written only as part of large operations. */
bool cell_is_gap(const struct cells *c, uint32_t cell);
uint32_t cells_bytes(const struct cells *c, uint32_t first, uint32_t count);

/* The bytes that write number `stamp` (neither 0 nor CELL_TORN) puts into cells [first, first +
 * count). */
void cells_fill(const struct cells *c, uint32_t first, uint32_t count, uint64_t stamp,
                uint8_t *dst);
/* Which write each of these cells shows. */
void cells_parse(const struct cells *c, uint32_t first, uint32_t count, const uint8_t *bytes,
                 uint64_t *ret);

#endif

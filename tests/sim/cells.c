/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/cells.h"

#include <assert.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/ec/ec.h"

enum { CELL_MIN = 8, CELL_LONG = 3000, GAP_MIN = 32 << 10 };

static uint32_t length_draw(struct prng *prng)
{
	uint32_t longest = prng_below(prng, 4) ? 300 : CELL_LONG;

	return CELL_MIN + prng_below(prng, longest);
}

/* Keeps the cuts in order and cells at least CELL_MIN long. */
static void cut_add(struct cells *c, uint32_t at)
{
	uint32_t i = c->count;

	if (c->count == MAX_CELLS)
		return;
	for (uint32_t j = 0; j < c->count; j++)
		if (at + CELL_MIN > c->start[j] && at < c->start[j] + CELL_MIN)
			return;
	while (i > 0 && c->start[i - 1] > at) {
		c->start[i] = c->start[i - 1];
		i--;
	}
	c->start[i] = at;
	c->count++;
}

void cells_draw(struct cells *c, struct prng *prng, uint32_t k, uint32_t object_size)
{
	uint32_t part = ec_part_size(k, object_size);
	uint32_t at = length_draw(prng);

	memset(c, 0, sizeof(*c));
	cut_add(c, 0);
	cut_add(c, at);
	cut_add(c, at + length_draw(prng));
	/* Around the end of one or two parts: a cell that lies across it, and its neighbours. */
	for (uint32_t i = 0; i < 2 && k > 1; i++) {
		uint32_t end = part * (1 + prng_below(prng, k - 1));
		uint32_t before = end - length_draw(prng), behind = end + length_draw(prng);

		cut_add(c, before - length_draw(prng));
		cut_add(c, before);
		cut_add(c, behind);
		cut_add(c, behind + length_draw(prng));
	}
	at = object_size / 2 + prng_below(prng, object_size / 4);
	cut_add(c, at);
	cut_add(c, at + length_draw(prng));
	cut_add(c, object_size - length_draw(prng));
	c->start[c->count] = object_size;
}

bool cell_is_gap(const struct cells *c, uint32_t cell)
{
	return c->start[cell + 1] - c->start[cell] >= GAP_MIN;
}

uint32_t cells_bytes(const struct cells *c, uint32_t first, uint32_t count)
{
	assert(first + count <= c->count);
	return c->start[first + count] - c->start[first];
}

/* The stamp itself comes first, then bytes made from it and their place. */
static void cell_fill(uint32_t start, uint32_t len, uint64_t stamp, uint8_t *dst)
{
	uint64_t word = stamp;

	for (uint32_t i = 0; i < len; i += sizeof(word)) {
		memcpy(dst + i, &word, MIN((uint32_t)sizeof(word), len - i));
		word = hash64(stamp + start + i) | 1;
	}
}

void cells_fill(const struct cells *c, uint32_t first, uint32_t count, uint64_t stamp, uint8_t *dst)
{
	assert(stamp != 0 && stamp != CELL_TORN);
	for (uint32_t i = first; i < first + count; i++) {
		uint32_t len = c->start[i + 1] - c->start[i];

		cell_fill(c->start[i], len, stamp, dst);
		dst += len;
	}
}

static bool all_zeros(const uint8_t *bytes, uint32_t len)
{
	return bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1);
}

static uint64_t cell_parse(uint32_t start, uint32_t len, const uint8_t *bytes)
{
	uint64_t stamp, word;

	memcpy(&stamp, bytes, sizeof(stamp));
	if (stamp == 0)
		return all_zeros(bytes, len) ? 0 : CELL_TORN;
	word = stamp;
	for (uint32_t i = 0; i < len; i += sizeof(word)) {
		if (memcmp(bytes + i, &word, MIN((uint32_t)sizeof(word), len - i)))
			return CELL_TORN;
		word = hash64(stamp + start + i) | 1;
	}
	return stamp;
}

void cells_parse(const struct cells *c, uint32_t first, uint32_t count, const uint8_t *bytes,
                 uint64_t *ret)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = c->start[first + i + 1] - c->start[first + i];

		ret[i] = cell_parse(c->start[first + i], len, bytes);
		bytes += len;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/content.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

struct content_block {
	uint32_t refs;
	uint8_t bytes[];
};

static void block_unref(struct content_block *b)
{
	if (--b->refs == 0)
		free(b);
}

void content_copy(struct content *dst, const struct content *src)
{
	dst->count = src->count;
	dst->v = xmemdup(src->v, src->count * sizeof(*src->v));
	for (uint32_t i = 0; i < dst->count; i++)
		dst->v[i].block->refs++;
}

void content_fini(struct content *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		block_unref(c->v[i].block);
	free(c->v);
	*c = (struct content){0};
}

/* Index of the first extent that ends behind off. */
static uint32_t content_find(const struct content *c, uint32_t off)
{
	uint32_t i = 0;

	while (i < c->count && c->v[i].off + c->v[i].len <= off)
		i++;
	return i;
}

static void content_insert(struct content *c, uint32_t at, struct extent e)
{
	c->v = xrealloc(c->v, (c->count + 1) * sizeof(*c->v));
	memmove(c->v + at + 1, c->v + at, (c->count - at) * sizeof(*c->v));
	c->v[at] = e;
	c->count++;
}

static void content_remove(struct content *c, uint32_t at)
{
	block_unref(c->v[at].block);
	c->count--;
	memmove(c->v + at, c->v + at + 1, (c->count - at) * sizeof(*c->v));
}

void content_cut(struct content *c, uint32_t off, uint32_t len)
{
	uint32_t end = off + len, i = content_find(c, off);

	while (i < c->count && c->v[i].off < end) {
		struct extent *e = &c->v[i];
		uint32_t e_end = e->off + e->len;

		if (e->off < off && e_end > end) {
			struct extent tail = {end, e_end - end, e->from + (end - e->off), e->block};
			e->block->refs++;
			e->len = off - e->off;
			content_insert(c, i + 1, tail);
			return;
		}
		if (e->off < off) {
			e->len = off - e->off;
			i++;
		} else if (e_end > end) {
			e->from += end - e->off;
			e->len = e_end - end;
			e->off = end;
			return;
		} else {
			content_remove(c, i);
		}
	}
}

static void content_put_block(struct content *c, uint32_t off, struct content_block *b,
                              uint32_t len)
{
	content_cut(c, off, len);
	content_insert(c, content_find(c, off), (struct extent){off, len, 0, b});
}

static struct content_block *block_make(uint32_t len)
{
	struct content_block *b = xmalloc(sizeof(*b) + len);

	b->refs = 1;
	return b;
}

void content_put(struct content *c, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	struct content_block *b = block_make(len);

	memcpy(b->bytes, bytes, len);
	content_put_block(c, off, b, len);
}

void content_xor(struct content *c, uint32_t off, const uint8_t *bytes, uint32_t len)
{
	struct content_block *b = block_make(len);

	content_read(c, off, b->bytes, len);
	for (uint32_t i = 0; i < len; i++)
		b->bytes[i] ^= bytes[i];
	content_put_block(c, off, b, len);
}

void content_read(const struct content *c, uint32_t off, uint8_t *dst, uint32_t len)
{
	uint32_t end = off + len;

	memset(dst, 0, len);
	for (uint32_t i = content_find(c, off); i < c->count && c->v[i].off < end; i++) {
		const struct extent *e = &c->v[i];
		uint32_t lo = MAX(off, e->off), hi = MIN(end, e->off + e->len);

		memcpy(dst + (lo - off), e->block->bytes + e->from + (lo - e->off), hi - lo);
	}
}

uint32_t content_end(const struct content *c)
{
	return c->count ? c->v[c->count - 1].off + c->v[c->count - 1].len : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/extent.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

void extvec_fini(struct extvec *x)
{
	free(x->v);
	free(x->crc);
	memset(x, 0, sizeof(*x));
}

void extvec_swap(struct extvec *a, struct extvec *b)
{
	struct extvec t = *a;
	*a = *b;
	*b = t;
}

static void extvec_grow(struct extvec *x, uint32_t count, uint32_t crc_count)
{
	if (count > x->cap) {
		x->cap = MAX(count, x->cap + x->cap / 2);
		x->v = xrealloc(x->v, x->cap * sizeof(*x->v));
	}
	if (crc_count > x->crc_cap) {
		x->crc_cap = MAX(crc_count, x->crc_cap + x->crc_cap / 2);
		x->crc = xrealloc(x->crc, x->crc_cap * sizeof(*x->crc));
	}
}

void extvec_copy(struct extvec *dst, const struct extvec *src)
{
	extvec_grow(dst, src->count, src->crc_count);
	if (src->count)
		memcpy(dst->v, src->v, src->count * sizeof(*src->v));
	if (src->crc_count)
		memcpy(dst->crc, src->crc, src->crc_count * sizeof(*src->crc));
	dst->count = src->count;
	dst->crc_count = src->crc_count;
}

static bool extent_continues(const struct extent *a, const struct extent *b)
{
	if (a->off + a->len != b->off || a->seg != b->seg)
		return false;
	return a->seg == SEG_HOLE ||
	       (a->pos == b->pos && a->plen == b->plen && a->skip + a->len == b->skip);
}

void extvec_add(struct extvec *x, const struct extent *e, const uint32_t *crcs)
{
	uint32_t blocks = extent_blocks(e);

	if (!e->len)
		return;
	extvec_grow(x, x->count + 1, x->crc_count + blocks);
	struct extent *last = x->count ? &x->v[x->count - 1] : NULL;
	assert(!last || last->off + last->len <= e->off);
	if (last && extent_continues(last, e)) {
		uint32_t have = extent_blocks(last);
		last->len += e->len;
		uint32_t more =
			extent_blocks(last) - have; /* the block at the seam may be shared */
		if (more)
			memcpy(x->crc + x->crc_count, crcs + (blocks - more), more * sizeof(*crcs));
		x->crc_count += more;
		return;
	}
	x->v[x->count] = *e;
	x->v[x->count++].crc = x->crc_count;
	if (blocks)
		memcpy(x->crc + x->crc_count, crcs, blocks * sizeof(*crcs));
	x->crc_count += blocks;
}

void extvec_add_cut(struct extvec *x, const struct extvec *src, const struct extent *e,
                    uint32_t from, uint32_t to)
{
	from = MAX(from, e->off);
	to = MIN(to, e->off + e->len);
	if (from >= to)
		return;
	struct extent cut = *e;
	uint32_t drop = from - e->off;
	cut.off = from;
	cut.len = to - from;
	if (e->seg == SEG_HOLE) {
		extvec_add(x, &cut, NULL);
		return;
	}
	cut.skip += drop;
	extvec_add(x, &cut, src->crc + e->crc + cut.skip / CRC_BLOCK - e->skip / CRC_BLOCK);
}

void extvec_overlay(struct extvec *dst, const struct extvec *below, const struct extvec *above,
                    bool keep_holes)
{
	uint32_t at = 0; /* everything below this offset is in dst */
	uint32_t i = 0;

	extvec_clear(dst);
	for (uint32_t j = 0; j <= above->count; j++) {
		const struct extent *a = j < above->count ? &above->v[j] : NULL;
		uint32_t until = a ? a->off : UINT32_MAX;
		for (; i < below->count; i++) {
			const struct extent *b = &below->v[i];
			extvec_add_cut(dst, below, b, at, until);
			if (b->off + b->len > until)
				break;
		}
		if (!a)
			break;
		if (a->seg != SEG_HOLE || keep_holes)
			extvec_add(dst, a, extvec_crcs(above, a));
		at = a->off + a->len;
	}
}

uint32_t extvec_find(const struct extvec *x, uint32_t off)
{
	uint32_t lo = 0, hi = x->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (x->v[mid].off + x->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t extvec_end(const struct extvec *x)
{
	for (uint32_t i = x->count; i > 0; i--)
		if (x->v[i - 1].seg != SEG_HOLE)
			return x->v[i - 1].off + x->v[i - 1].len;
	return 0;
}

/* The last byte of [from, to) that has data, plus one; 0 when there is none. */
static uint32_t data_end_within(const struct extvec *x, uint32_t from, uint32_t to)
{
	for (uint32_t i = x->count; i > 0; i--) {
		const struct extent *e = &x->v[i - 1];
		uint32_t end = MIN(e->off + e->len, to);
		if (e->off + e->len <= from)
			return 0;
		if (e->seg != SEG_HOLE && e->off < end && end > from)
			return end;
	}
	return 0;
}

uint32_t extvec_overlay_end(const struct extvec *below, const struct extvec *above)
{
	uint32_t to = UINT32_MAX;

	for (uint32_t j = above->count; j > 0; j--) {
		const struct extent *a = &above->v[j - 1];
		uint32_t end = data_end_within(below, a->off + a->len, to);
		if (end)
			return end;
		if (a->seg != SEG_HOLE)
			return a->off + a->len;
		to = a->off;
	}
	return data_end_within(below, 0, to);
}

bool extvec_touches(const struct extvec *x, uint32_t seg)
{
	for (uint32_t i = 0; i < x->count; i++)
		if (x->v[i].seg == seg)
			return true;
	return false;
}

enum { EXTENT_LEN = 24 };

uint32_t extvec_encoded_len(const struct extvec *x)
{
	return 4 + x->count * EXTENT_LEN + x->crc_count * 4;
}

void extvec_encode(const struct extvec *x, struct bytes_out *o)
{
	put_u32(o, x->count);
	for (uint32_t i = 0; i < x->count; i++) {
		const struct extent *e = &x->v[i];
		put_u32(o, e->off);
		put_u32(o, e->len);
		put_u32(o, e->seg);
		put_u32(o, e->pos);
		put_u32(o, e->skip);
		put_u32(o, e->plen);
		for (uint32_t b = 0; b < extent_blocks(e); b++)
			put_u32(o, x->crc[e->crc + b]);
	}
}

static bool extent_decode(struct extvec *x, struct bytes_in *in, uint32_t self_seg,
                          uint32_t self_pos, uint32_t *end)
{
	struct extent e = {0};

	e.off = get_u32(in);
	e.len = get_u32(in);
	e.seg = get_u32(in);
	e.pos = get_u32(in);
	e.skip = get_u32(in);
	e.plen = get_u32(in);
	if (in->bad || !e.len || e.off < *end || !range_fits(e.off, e.len, UINT32_MAX))
		return false;
	if (e.seg != SEG_HOLE && !range_fits(e.skip, e.len, e.plen))
		return false;
	if (e.seg == SEG_SELF) {
		e.seg = self_seg;
		e.pos = self_pos;
	}
	uint32_t blocks = extent_blocks(&e);
	if ((size_t)(in->end - in->p) / 4 < blocks)
		return false;
	extvec_grow(x, x->count + 1, x->crc_count + blocks);
	e.crc = x->crc_count;
	for (uint32_t b = 0; b < blocks; b++)
		x->crc[x->crc_count++] = get_u32(in);
	x->v[x->count++] = e;
	*end = e.off + e.len;
	return true;
}

bool extvec_decode(struct extvec *x, struct bytes_in *in, uint32_t self_seg, uint32_t self_pos)
{
	uint32_t end = 0;

	extvec_clear(x);
	uint32_t count = get_u32(in);
	if (in->bad || (size_t)(in->end - in->p) / EXTENT_LEN < count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!extent_decode(x, in, self_seg, self_pos, &end))
			return false;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/math.h"

struct slice slice_make(struct buf *buf, uint32_t off, uint32_t len)
{
	if (!buf)
		return (struct slice){.len = len};
	assert(range_fits(off, len, buf->len));
	return (struct slice){.buf = buf_ref(buf), .off = off, .len = len};
}

struct slice slice_cut(const struct slice *s, uint32_t off, uint32_t len)
{
	assert(range_fits(off, len, s->len));
	return slice_make(s->buf, s->off + off, len);
}

void slice_drop(struct slice *s)
{
	buf_unref(s->buf);
	*s = (struct slice){0};
}

const uint32_t *slice_crcs(const struct slice *s)
{
	if (!s->buf || !s->buf->crc_valid || s->off % CRC_BLOCK != 0)
		return NULL;
	if (s->len % CRC_BLOCK != 0 && s->off + s->len != s->buf->len)
		return NULL;
	return s->buf->crc + s->off / CRC_BLOCK;
}

void payload_add(struct payload *p, struct slice *s)
{
	if (s->len == 0) {
		slice_drop(s);
		return;
	}
	assert(p->count < PAYLOAD_MAX_SLICES);
	p->v[p->count++] = *s;
	*s = (struct slice){0};
}

uint32_t payload_len(const struct payload *p)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		assert(p->v[i].len <= UINT32_MAX - len);
		len += p->v[i].len;
	}
	return len;
}

void payload_fini(struct payload *p)
{
	for (uint32_t i = 0; i < p->count; i++)
		slice_drop(&p->v[i]);
	p->count = 0;
}

void payload_move(struct payload *dst, struct payload *src)
{
	if (dst == src)
		return;
	dst->count = src->count;
	memcpy(dst->v, src->v, src->count * sizeof(src->v[0]));
	src->count = 0;
}

/* Sets *s to the part of slice i that lies in [*off, *off + len) of what is left of the payload,
 * without a reference. Returns its length and moves *off to be relative to the next slice. */
static uint32_t part_next(const struct payload *p, uint32_t i, uint32_t *off, uint32_t len,
                          struct slice *s)
{
	const struct slice *from = &p->v[i];
	uint32_t skip = MIN(*off, from->len), n = MIN(len, from->len - skip);

	*off -= skip;
	*s = (struct slice){.buf = from->buf, .off = from->off + skip, .len = n};
	return n;
}

void payload_cut(struct payload *dst, const struct payload *p, uint32_t off, uint32_t len)
{
	struct slice part, own;

	assert(dst != p && range_fits(off, len, payload_len(p)));
	payload_init(dst);
	for (uint32_t i = 0; len > 0; i++) {
		len -= part_next(p, i, &off, len, &part);
		own = slice_cut(&part, 0, part.len);
		payload_add(dst, &own);
	}
}

void payload_copy_out(const struct payload *p, uint32_t off, void *dst, uint32_t len)
{
	uint8_t *out = dst;
	struct slice part;

	assert(range_fits(off, len, payload_len(p)));
	for (uint32_t i = 0; len > 0; i++) {
		uint32_t n = part_next(p, i, &off, len, &part);

		if (n == 0)
			continue;
		if (part.buf)
			memcpy(out, slice_data(&part), n);
		else
			memset(out, 0, n);
		out += n;
		len -= n;
	}
}

/* The CRC of [off, off + len) of the slice after what crc stands for; `first` when that is nothing. */
static uint32_t crc_append(const struct slice *s, uint32_t off, uint32_t len, uint32_t crc,
                           bool first)
{
	struct slice part = {.buf = s->buf, .off = s->off + off, .len = len};
	const uint32_t *known;

	if (!s->buf)
		return first ? crc32c_zeros(len) : crc32c_add_zeros(crc, len);
	known = first ? slice_crcs(&part) : NULL;
	return known ? *known : crc32c(crc, slice_data(&part), len);
}

void payload_crcs(const struct payload *p, uint32_t *crcs)
{
	uint32_t crc = 0, fill = 0; /* of the block being gathered */

	for (uint32_t i = 0; i < p->count; i++) {
		const struct slice *s = &p->v[i];

		for (uint32_t off = 0, n; off < s->len; off += n) {
			n = MIN(s->len - off, CRC_BLOCK - fill);
			crc = crc_append(s, off, n, crc, fill == 0);
			fill += n;
			if (fill == CRC_BLOCK) {
				*crcs++ = crc;
				crc = fill = 0;
			}
		}
	}
	if (fill > 0)
		*crcs = crc;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_EXTENT_H
#define SF_STORE_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "sheep/store/bytes.h"

/*
 * Where the bytes of a shard are: sorted, non-overlapping extents. An extent is a window on the
 * payload of one record: bytes [skip, skip + len) of the plen bytes that start at 4 KiB block `pos`
 * of segment `seg`. It keeps the checksums of the 64 KiB blocks of that payload which it touches.
 * In a pending change's list a hole (seg == SEG_HOLE) hides what is below; elsewhere holes are just
 * absent.
 */
enum { SEG_HOLE = 0 };
/* In a snapshot record: bytes in the payload of that very record. */
#define SEG_SELF 0xffffffffu

struct extent {
	uint32_t off, len;
	uint32_t seg, pos;
	uint32_t skip, plen;
	uint32_t crc; /* index of its first checksum in the list's crc[] */
};
struct extvec {
	struct extent *v;
	uint32_t *crc;
	uint32_t count, cap;
	uint32_t crc_count, crc_cap;
};

void extvec_fini(struct extvec *x);
static inline void extvec_clear(struct extvec *x)
{
	x->count = x->crc_count = 0;
}
void extvec_swap(struct extvec *a, struct extvec *b);
void extvec_copy(struct extvec *dst, const struct extvec *src);

static inline uint32_t extent_blocks(const struct extent *e)
{
	if (e->seg == SEG_HOLE || !e->len)
		return 0;
	return (e->skip + e->len - 1) / 65536 - e->skip / 65536 + 1;
}

/* The checksums of one of x's extents; NULL where there are only holes. */
static inline const uint32_t *extvec_crcs(const struct extvec *x, const struct extent *e)
{
	return x->crc ? x->crc + e->crc : NULL;
}

/* Appends e (behind all others), with the checksums of the blocks that it touches. Joins it to the
 * last one where both continue each other. */
void extvec_add(struct extvec *x, const struct extent *e, const uint32_t *crcs);
/* Appends [from, to) of src's extent e, where it intersects that. */
void extvec_add_cut(struct extvec *x, const struct extvec *src, const struct extent *e,
                    uint32_t from, uint32_t to);
/* dst = above over below. Holes of above stay in the list if keep_holes. dst differs from both. */
void extvec_overlay(struct extvec *dst, const struct extvec *below, const struct extvec *above,
                    bool keep_holes);
/* Index of the first extent that ends behind off; count when there is none. */
uint32_t extvec_find(const struct extvec *x, uint32_t off);
/* End of the last byte of data. */
uint32_t extvec_end(const struct extvec *x);
/* End of the data of above over below. */
uint32_t extvec_overlay_end(const struct extvec *below, const struct extvec *above);
bool extvec_touches(const struct extvec *x, uint32_t seg);

/* Encoded form. */
uint32_t extvec_encoded_len(const struct extvec *x);
void extvec_encode(const struct extvec *x, struct bytes_out *o);
/* False when it is not a sorted list of sane extents. SEG_SELF becomes (self_seg, self_pos). */
bool extvec_decode(struct extvec *x, struct bytes_in *in, uint32_t self_seg, uint32_t self_pos);

#endif

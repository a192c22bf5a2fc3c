/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_BUF_H
#define SF_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Payload memory: reference-counted buffers, 4 KiB aligned, from a pool that reuses them,
 * because fresh pages cost more than the copy into them.
 *
 * Data travels with its checksums: a buffer may carry the CRC32C of each of its 64 KiB blocks
 * (the last block may be short). Whoever verified or computed them (client, frame decoder,
 * store) sets them once; everyone later reuses them, so that a byte keeps one checksum from the
 * client to the platter.
 *
 * A pool and its buffers belong to one thread (the reactor). A disk job may read or fill a
 * buffer it was handed; it never takes or drops a reference.
 */
enum { BUF_ALIGN = 4096, CRC_BLOCK = 65536, BUF_MAX = 16 << 20 };

struct buf_pool;

struct buf {
	uint32_t refs;
	uint32_t len;         /* bytes of data in use, <= capacity */
	uint32_t capacity;    /* multiple of BUF_ALIGN */
	bool crc_valid;       /* crc[] holds the checksum of every block of [0, len) */
	uint32_t *crc;        /* one per CRC_BLOCK of capacity, rounded up */
	uint8_t *data;        /* BUF_ALIGN aligned */
	struct buf_pool *pool; /* NULL: plain heap */
};

/* keep_bytes: how much idle memory the pool holds on to. */
struct buf_pool *buf_pool_create(size_t keep_bytes);
/* Changes how much it holds on to, from now on; gives the rest back at once. */
void buf_pool_keep(struct buf_pool *pool, size_t keep_bytes);
/* Every buffer must have been returned (asserted). NULL is fine. */
void buf_pool_destroy(struct buf_pool *pool);
/* Bytes in buffers handed out now (capacity). For budgets and leak checks. */
size_t buf_pool_used_bytes(const struct buf_pool *pool);

/* A buffer with len set, contents undefined, one reference, no CRCs. Rounds the
 * capacity up to a size class. len is 1..BUF_MAX. Aborts when memory is out. */
struct buf *buf_get(struct buf_pool *pool, uint32_t len);
struct buf *buf_ref(struct buf *buf);
void buf_unref(struct buf *buf); /* NULL is fine */

/* Computes crc[] unless valid already. */
void buf_seal(struct buf *buf);

/* A window on a buffer. Owns one reference (slice_make and slice_cut take one). buf == NULL and
 * len > 0 means len zero bytes without memory behind them ("a hole"). */
struct slice {
	struct buf *buf;
	uint32_t off;
	uint32_t len;
};

static inline const uint8_t *slice_data(const struct slice *s)
{
	return s->buf->data + s->off;
}

struct slice slice_make(struct buf *buf, uint32_t off, uint32_t len);
/* [off, off + len) of s, with a reference of its own. */
struct slice slice_cut(const struct slice *s, uint32_t off, uint32_t len);
void slice_drop(struct slice *s); /* drops the reference, zeroes *s */

/* The slice's block checksums as they stand in the buffer, or NULL when the slice does not
 * start on a block, ends inside one that goes on, or the buffer is not sealed. Valid as long as
 * the buffer. */
const uint32_t *slice_crcs(const struct slice *s);

/* A payload: slices read one after another. */
enum { PAYLOAD_MAX_SLICES = 49 };
struct payload {
	uint32_t count;
	struct slice v[PAYLOAD_MAX_SLICES];
};

static inline void payload_init(struct payload *p)
{
	p->count = 0;
}
/* Takes over the slice's reference and zeroes *s. Empty slices are ignored. */
void payload_add(struct payload *p, struct slice *s);
uint32_t payload_len(const struct payload *p);
void payload_fini(struct payload *p);
/* Moves src into dst (dst is overwritten), leaves src empty. Copies only the slices in use. */
void payload_move(struct payload *dst, struct payload *src);
/* [off, off + len) of p as references of its own, into dst (overwritten). */
void payload_cut(struct payload *dst, const struct payload *p, uint32_t off, uint32_t len);
/* Copies [off, off + len) of p out to dst; holes give zeros. */
void payload_copy_out(const struct payload *p, uint32_t off, void *dst, uint32_t len);
/* CRC32C per CRC_BLOCK of the concatenated bytes into crcs[block_count(len)],
 * reusing what the buffers carry where the blocks line up. Holes count as zeros. */
void payload_crcs(const struct payload *p, uint32_t *crcs);

static inline uint32_t block_count(uint32_t len)
{
	return (len + CRC_BLOCK - 1) / CRC_BLOCK;
}

#endif

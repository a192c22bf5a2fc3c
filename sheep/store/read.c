/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "sheep/store/state.h"

/*
 * No byte leaves unverified: what is read are always whole checksum blocks. Those that are wanted
 * entirely go straight to their place, joined to one read while they lie side by side on the disk
 * too; the others pass through read_buf.
 */
enum { CHECKS_MAX = 256 };

struct check {
	uint8_t *data;
	uint32_t len, crc;
};
struct reader {
	struct store *st;
	uint8_t *base; /* where the wanted bytes go */
	uint8_t *end;  /* end of the memory there: a last block may be read past the wanted bytes */
	struct segment *seg; /* the read put together so far */
	uint64_t off;
	uint8_t *dst;
	uint32_t len;
	uint32_t check_count;
	struct check checks[CHECKS_MAX];
	uint32_t *crcs; /* set for whole blocks of the destination; NULL: not wanted */
	uint8_t *crc_known;
	uint32_t crc_len; /* bytes of the destination */
	bool tolerate;    /* go on after a bad block */
	bool bad;
};

static int reader_fault(struct reader *rd, int err)
{
	/* A file that is gone or too short is damage of what it held, not of the disk. */
	if (err == -ENODATA || err == -ENOENT)
		err = -SF_ECORRUPT;
	rd->bad = true;
	return rd->tolerate ? 0 : err;
}

static void reader_keep_crc(struct reader *rd, const struct check *c)
{
	if (!rd->crcs)
		return;
	uint64_t off = (uint64_t)(c->data - rd->base);
	if (off % CRC_BLOCK || c->len != MIN((uint64_t)CRC_BLOCK, rd->crc_len - off))
		return;
	rd->crcs[off / CRC_BLOCK] = c->crc;
	rd->crc_known[off / CRC_BLOCK] = 1;
}

static int reader_flush(struct reader *rd)
{
	int err = 0;

	if (!rd->len)
		return 0;
	uint32_t len = (uint32_t)round_up(rd->len, LOG_BLOCK);
	err = segment_read(&rd->st->segs, rd->seg, rd->off, rd->dst, len);
	if (err && rd->tolerate)
		memset(rd->dst, 0, rd->len);
	if (err)
		err = reader_fault(rd, err);
	for (uint32_t i = 0; i < rd->check_count && !err; i++) {
		const struct check *c = &rd->checks[i];
		if (crc32c(0, c->data, c->len) == c->crc)
			reader_keep_crc(rd, c);
		else
			err = reader_fault(rd, -SF_ECORRUPT);
	}
	rd->len = rd->check_count = 0;
	return err;
}

static int reader_direct(struct reader *rd, struct segment *seg, uint64_t off, uint8_t *dst,
                         uint32_t len, uint32_t crc)
{
	bool joins = rd->len && rd->seg == seg && rd->off + rd->len == off &&
	             rd->dst + rd->len == dst && rd->check_count < CHECKS_MAX;

	if (!joins) {
		int err = reader_flush(rd);
		if (err)
			return err;
		rd->seg = seg;
		rd->off = off;
		rd->dst = dst;
	}
	rd->len += len;
	rd->checks[rd->check_count++] = (struct check){.data = dst, .len = len, .crc = crc};
	return 0;
}

/* [from, to) of a block of len bytes at off. */
static int reader_partial(struct reader *rd, struct segment *seg, uint64_t off, uint32_t len,
                          uint32_t crc, uint8_t *dst, uint32_t from, uint32_t to)
{
	uint8_t *buf = rd->st->read_buf;

	int err = reader_flush(rd);
	if (err)
		return err;
	err = segment_read(&rd->st->segs, seg, off, buf, (uint32_t)round_up(len, LOG_BLOCK));
	if (err && rd->tolerate)
		memset(buf, 0, len);
	if (!err && crc32c(0, buf, len) != crc)
		err = -SF_ECORRUPT;
	if (err)
		err = reader_fault(rd, err);
	memcpy(dst, buf + from, to - from);
	return err;
}

/* n bytes of the extent, from byte `at` of its payload on. */
static int reader_extent(struct reader *rd, const struct extvec *x, const struct extent *e,
                         uint32_t at, uint32_t n, uint8_t *dst)
{
	struct segment *seg = segment_find(&rd->st->segs, e->seg);
	const uint32_t *crcs = x->crc + e->crc;
	int err = 0;

	if (!seg) {
		memset(dst, 0, rd->tolerate ? n : 0);
		return reader_fault(rd, -SF_ECORRUPT);
	}
	while (n && !err) {
		uint32_t block = at / CRC_BLOCK, start = block * CRC_BLOCK;
		uint32_t len = MIN((uint32_t)CRC_BLOCK, e->plen - start);
		uint32_t take = MIN(n, start + len - at);
		uint32_t crc = crcs[block - e->skip / CRC_BLOCK];
		uint64_t off = (uint64_t)e->pos * LOG_BLOCK + start;
		if (take == len && (uintptr_t)dst % LOG_BLOCK == 0 &&
		    (uint64_t)(rd->end - dst) >= round_up(len, LOG_BLOCK))
			err = reader_direct(rd, seg, off, dst, len, crc);
		else
			err = reader_partial(rd, seg, off, len, crc, dst, at - start,
			                     at - start + take);
		at += take;
		dst += take;
		n -= take;
	}
	return err;
}

static int reader_zeros(struct reader *rd, uint8_t *dst, uint32_t len)
{
	int err = len ? reader_flush(rd) : 0;

	if (!err && len)
		memset(dst, 0, len);
	return err;
}

/* Where the newest content is: committed, or what is pending over it. */
static const struct extvec *newest_list(struct store *st, const struct shard *s)
{
	static const struct extvec nothing;

	if (shard_newest_is_tombstone(s))
		return &nothing;
	if (!s->pending)
		return &s->content;
	if (s->flags & ST_PENDING_REPLACE)
		return &s->overlay;
	extvec_overlay(&st->ranges2, &s->content, &s->overlay, true);
	return &st->ranges2;
}

static int reader_run(struct reader *rd, const struct shard *s, uint32_t off, uint32_t len)
{
	const struct extvec *x = newest_list(rd->st, s);
	uint64_t end = (uint64_t)off + len, at = off;
	int err = 0;

	for (uint32_t i = extvec_find(x, off); i < x->count && x->v[i].off < end && !err; i++) {
		const struct extent *e = &x->v[i];
		uint64_t from = MAX(at, (uint64_t)e->off), to = MIN(end, (uint64_t)e->off + e->len);
		err = reader_zeros(rd, rd->base + (at - off), (uint32_t)(from - at));
		if (err)
			break;
		uint8_t *dst = rd->base + (from - off);
		uint32_t n = (uint32_t)(to - from);
		if (e->seg == SEG_HOLE)
			err = reader_zeros(rd, dst, n);
		else
			err = reader_extent(rd, x, e, e->skip + (uint32_t)(from - e->off), n, dst);
		at = to;
	}
	if (!err)
		err = reader_zeros(rd, rd->base + (at - off), (uint32_t)(end - at));
	return err ? err : reader_flush(rd);
}

static void reader_init(struct reader *rd, struct store *st, uint8_t *dst, uint8_t *end)
{
	rd->st = st;
	rd->base = dst;
	rd->end = end;
	rd->len = rd->check_count = 0;
	rd->crcs = NULL;
	rd->tolerate = rd->bad = false;
}

int store_read_newest(struct store *st, struct shard *s, uint32_t off, void *dst, uint32_t len)
{
	struct reader rd;

	if (shard_newest_is_lost(s))
		return -SF_ECORRUPT;
	/* Every destination is padded to whole blocks. */
	reader_init(&rd, st, dst, (uint8_t *)dst + round_up(len, LOG_BLOCK));
	return reader_run(&rd, s, off, len);
}

int store_read_extent(struct store *st, const struct extvec *x, const struct extent *e,
                      uint8_t *dst, bool *bad)
{
	struct reader rd;

	reader_init(&rd, st, dst, dst + e->len);
	rd.tolerate = bad != NULL;
	int err = reader_extent(&rd, x, e, e->skip, e->len, dst);
	if (!err)
		err = reader_flush(&rd);
	if (bad)
		*bad = rd.bad;
	return err;
}

/* Into a whole buffer, whose checksums come with the data where blocks line up. */
static int read_sealed(struct store *st, struct shard *s, uint32_t off, struct buf *buf)
{
	uint8_t known[BUF_MAX / CRC_BLOCK] = {0};
	struct reader rd;

	reader_init(&rd, st, buf->data, buf->data + buf->capacity);
	rd.crcs = buf->crc;
	rd.crc_known = known;
	rd.crc_len = buf->len;
	int err = reader_run(&rd, s, off, buf->len);
	if (err)
		return err;
	for (uint32_t b = 0; b < block_count(buf->len); b++)
		if (!known[b])
			buf->crc[b] = crc32c(0, buf->data + (size_t)b * CRC_BLOCK,
			                     MIN((uint32_t)CRC_BLOCK, buf->len - b * CRC_BLOCK));
	buf->crc_valid = true;
	return 0;
}

static int read_into(struct store *st, struct shard *s, uint32_t off, const struct slice *to)
{
	struct buf *buf = to->buf;

	buf->crc_valid = false;
	if (shard_newest_is_lost(s))
		return -SF_ECORRUPT;
	if (!to->off && to->len == buf->len)
		return read_sealed(st, s, off, buf);
	struct reader rd;
	reader_init(&rd, st, buf->data + to->off, buf->data + to->off + to->len);
	int err = reader_run(&rd, s, off, to->len);
	if (!err)
		buf_seal(buf);
	return err;
}

uint32_t store_read(struct store *st, const struct msg *req, struct msg *reply)
{
	struct shard_key key = {
		.pool = req->pool,
		.pg = req->pg,
		.oid = req->oid,
		.shard = (uint8_t)req->shard,
	};
	struct shard *s;

	if (req->shard >= SHARD_NONE || !range_fits(req->offset, req->length, UINT32_MAX) ||
	    payload_len(&reply->payload) != req->length || reply->payload.count > 1)
		return RES_INVALID;
	int err = memtable_shard(&st->mt, &key, &s);
	if (!err && st->batch.open && s->lsn >= st->batch.first_lsn)
		err = batch_flush(st);
	if (err == -ENOSPC) /* the store went back to before the batch: look again */
		err = memtable_shard(&st->mt, &key, &s);
	if (err)
		return store_error(st, err);
	reply->version = shard_newest(s);
	if (!shard_exists(s) || shard_newest_is_tombstone(s))
		return RES_NOENT;
	if (!req->length)
		return RES_OK;
	err = read_into(st, s, (uint32_t)req->offset, &reply->payload.v[0]);
	if (err == -SF_ECORRUPT) {
		store_mark_damaged(st, s);
		return RES_CORRUPT;
	}
	return err ? RES_IO : RES_OK;
}

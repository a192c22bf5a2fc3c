/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/record.h"

#include <assert.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { RECORD_FIXED_LEN = 8 + 16 + 9 * 8 + 12, RANGE_LEN = 12 };
enum { BATCH_CODEC = 1 };
#define LSN_MAX (UINT64_MAX / 2)
#define BATCH_MAGIC 0x3148435441424653u /* "SFBATCH1" */

static_assert(RECORD_FIXED_LEN == 108,
              "type..shard, pool pg oid, nine 64-bit fields, three lengths");
static_assert(BATCH_HEADER_LEN % 8 == 0 && BATCH_HEADER_LEN < 4096, "header fits its block");

uint32_t record_encoded_len(uint32_t range_count, uint32_t payload_len, uint32_t blob_len)
{
	return RECORD_FIXED_LEN + range_count * RANGE_LEN + block_count(payload_len) * 4 + blob_len;
}

void record_encode(const struct record *r, uint32_t batch_pos, struct bytes_out *o)
{
	put_u8(o, r->type);
	put_u8(o, r->shard_flags);
	put_u8(o, r->range_count);
	put_u8(o, r->key.shard);
	put_u32(o, r->stood);
	put_u32(o, r->key.pool);
	put_u32(o, r->key.pg);
	put_u64(o, r->key.oid);
	put_u64(o, r->version);
	put_u64(o, r->prev);
	put_u64(o, r->commit);
	put_u64(o, r->req.client);
	put_u64(o, r->req.seq);
	put_u64(o, r->orig_lsn);
	put_u64(o, r->first_lsn);
	put_u64(o, 0);
	put_u64(o, 0);
	put_u32(o, r->payload_len);
	put_u32(o, r->payload_len ? r->payload_pos - batch_pos : 0);
	put_u32(o, r->blob_len);
	for (uint32_t i = 0; i < r->range_count; i++) {
		put_u32(o, r->ranges[i].op);
		put_u32(o, r->ranges[i].offset);
		put_u32(o, r->ranges[i].length);
	}
	for (uint32_t i = 0; i < block_count(r->payload_len); i++)
		put_u32(o, r->crcs[i]);
	put_raw(o, r->blob, r->blob_len);
}

static bool record_ranges_decode(struct record *r, struct bytes_in *in)
{
	uint64_t data = 0;

	for (uint32_t i = 0; i < r->range_count; i++) {
		r->ranges[i].op = get_u32(in);
		r->ranges[i].offset = get_u32(in);
		r->ranges[i].length = get_u32(in);
		if (r->ranges[i].op != RANGE_DATA && r->ranges[i].op != RANGE_ZERO)
			return false;
		if (!range_fits(r->ranges[i].offset, r->ranges[i].length, UINT32_MAX))
			return false;
		data += r->ranges[i].op == RANGE_DATA ? r->ranges[i].length : 0;
	}
	return !r->range_count || data == r->payload_len;
}

bool record_decode(struct record *r, struct bytes_in *in, uint32_t batch_pos,
                   struct record_scratch *scratch)
{
	r->type = get_u8(in);
	r->shard_flags = get_u8(in);
	r->range_count = get_u8(in);
	r->key.shard = get_u8(in);
	r->stood = get_u32(in);
	r->key.pool = get_u32(in);
	r->key.pg = get_u32(in);
	r->key.oid = get_u64(in);
	r->version = get_u64(in);
	r->prev = get_u64(in);
	r->commit = get_u64(in);
	r->req.client = get_u64(in);
	r->req.seq = get_u64(in);
	r->orig_lsn = get_u64(in);
	r->first_lsn = get_u64(in);
	get_u64(in);
	get_u64(in);
	r->payload_len = get_u32(in);
	r->payload_pos = batch_pos + get_u32(in);
	r->blob_len = get_u32(in);
	if (in->bad || r->range_count > MAX_RANGES || r->payload_len > UINT32_MAX - CRC_BLOCK)
		return false;
	if (!record_ranges_decode(r, in))
		return false;
	uint32_t blocks = block_count(r->payload_len);
	if ((size_t)(in->end - in->p) / 4 < blocks)
		return false;
	if (blocks > scratch->cap) {
		scratch->cap = blocks;
		scratch->crcs = xrealloc(scratch->crcs, blocks * sizeof(*scratch->crcs));
	}
	for (uint32_t i = 0; i < blocks; i++)
		scratch->crcs[i] = get_u32(in);
	r->crcs = scratch->crcs;
	r->blob = get_raw(in, r->blob_len);
	return !in->bad;
}

static uint32_t batch_crc(const uint8_t *desc, uint32_t body_len)
{
	uint32_t crc = crc32c(0, desc, BATCH_HEADER_LEN - 4);
	return crc32c(crc, desc + BATCH_HEADER_LEN, body_len);
}

void batch_header_encode(const struct batch_header *h, uint8_t *desc)
{
	struct bytes_out o = bytes_out(desc, BATCH_HEADER_LEN);

	put_u64(&o, BATCH_MAGIC);
	put_u16(&o, BATCH_CODEC);
	put_u16(&o, 0);
	put_u32(&o, h->segment);
	put_u64(&o, h->disk);
	put_u64(&o, h->lsn);
	put_u32(&o, h->records);
	put_u32(&o, h->desc_len);
	put_u32(&o, h->body_len);
	put_u32(&o, h->blocks);
	put_u64(&o, h->salt);
	put_u32(&o, 0);
	assert(!o.full && o.end - o.p == 4);
	put_u32(&o, batch_crc(desc, h->body_len));
}

bool batch_header_decode(struct batch_header *h, const uint8_t *desc)
{
	struct bytes_in in = bytes_in(desc, BATCH_HEADER_LEN);

	if (get_u64(&in) != BATCH_MAGIC || get_u16(&in) != BATCH_CODEC)
		return false;
	get_u16(&in);
	h->segment = get_u32(&in);
	h->disk = get_u64(&in);
	h->lsn = get_u64(&in);
	h->records = get_u32(&in);
	h->desc_len = get_u32(&in);
	h->body_len = get_u32(&in);
	h->blocks = get_u32(&in);
	h->salt = get_u64(&in);
	/* Numbers count up from 1 for as long as a disk lives: whatever comes near the end is damage. */
	if (h->lsn > LSN_MAX)
		return false;
	return h->desc_len >= LOG_BLOCK && h->desc_len % LOG_BLOCK == 0 &&
	       h->desc_len <= DESC_MAX && h->body_len <= h->desc_len - BATCH_HEADER_LEN &&
	       h->blocks >= h->desc_len / LOG_BLOCK;
}

bool batch_desc_verify(const struct batch_header *h, const uint8_t *desc)
{
	struct bytes_in in = bytes_in(desc + BATCH_HEADER_LEN - 4, 4);

	return get_u32(&in) == batch_crc(desc, h->body_len);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/store_image.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/superblock.h"

enum { MAX_SEGMENTS = 12, MORE_BLOCKS_MAX = 64 };
/* Where a record's header has them (record.c). */
enum { AT_RANGE_COUNT = 2, AT_PAYLOAD_LEN = 96 };

static void segment_start(struct image *im, uint32_t number)
{
	char name[32];

	snprintf(name, sizeof(name), "seg-%08x.log", number);
	im->seg = mem_file_create(im->fs, name);
	im->number = number;
	im->end = 0;
	assert(im->seg);
}

void image_init(struct image *im, struct mem_fs *fs, const uint8_t *data, size_t size)
{
	im->fs = fs;
	im->in = (struct fuzz_in){data, data + size};
	im->lsn = 1;
	segment_start(im, 1);
}

void image_superblock(struct mem_fs *fs, uint8_t damage)
{
	struct superblock sb = {
		.disk = IMAGE_DISK,
		.salt = IMAGE_SALT,
		.cluster = 99,
		.node = IMAGE_NODE,
		.segment_bytes = 4 << 20,
	};
	struct mem_file *f;

	assert(superblock_write(&fs->ops, "", &sb) == 0);
	f = mem_file_find(fs, damage & 1 ? "superblock.1" : "superblock");
	if (damage & 2)
		f->data[damage % 64] ^= damage;
}

/* ---- Building ---- */

struct building {
	struct image *im;
	uint8_t *desc;
	struct bytes_out out;
	uint8_t *payload; /* of all records, each on a block boundary */
	uint32_t payload_len;
	uint32_t desc_blocks;
};

static void payload_make(struct building *b, uint32_t len, uint8_t seed, bool bad, uint32_t *crcs)
{
	uint8_t *dst = b->payload + b->payload_len;

	memset(dst, seed, len);
	for (uint32_t i = 0; i < len; i += 1000)
		dst[i] = (uint8_t)(i / 1000);
	for (uint32_t i = 0; i < block_count(len); i++)
		crcs[i] = crc32c(0, dst + (size_t)i * CRC_BLOCK,
		                 MIN((uint32_t)CRC_BLOCK, len - i * CRC_BLOCK));
	if (bad && len)
		dst[len / 2] ^= 0x40;
	memset(dst + len, 0, round_up(len, LOG_BLOCK) - len);
	b->payload_len += (uint32_t)round_up(len, LOG_BLOCK);
}

/* The blob with the checksum that its reader looks for. */
static uint8_t *blob_make(struct fuzz_in *in, const struct shard_key *key, uint8_t flags,
                          uint32_t *ret_len)
{
	const uint8_t *raw;
	uint32_t len = fuzz_bytes(in, 16 << 10, &raw), crc = 0;
	uint8_t *blob = xcalloc(1, len + 4), k[SHARD_KEY_LEN];

	if (len)
		memcpy(blob, raw, len);
	*ret_len = len;
	if (!(flags & (IMAGE_SHARD_CRC | IMAGE_PG_CRC)))
		return blob;
	shard_key_encode(key, k);
	if (flags & IMAGE_SHARD_CRC)
		crc = crc32c(0, k, sizeof(k));
	struct bytes_out o = bytes_out(blob + len, 4);
	put_u32(&o, crc32c(crc, blob, len));
	*ret_len = len + 4;
	return blob;
}

static void record_fields(struct fuzz_in *in, struct record *r)
{
	r->type = fuzz_u8(in);
	r->shard_flags = fuzz_u8(in);
	r->range_count = fuzz_u8(in) % (MAX_RANGES + 1);
	r->key.shard = fuzz_u8(in);
	r->key.pool = (uint32_t)fuzz_num(in);
	r->key.pg = (uint32_t)fuzz_num(in);
	r->key.oid = fuzz_num(in);
	r->version = fuzz_num(in);
	r->prev = fuzz_num(in);
	r->commit = fuzz_num(in);
	r->req.client = fuzz_num(in);
	r->req.seq = fuzz_num(in);
	r->orig_lsn = fuzz_num(in);
	r->first_lsn = fuzz_num(in);
	for (uint32_t i = 0; i < r->range_count; i++) {
		r->ranges[i].op = fuzz_u8(in);
		r->ranges[i].offset = (uint32_t)fuzz_num(in);
		r->ranges[i].length = (uint32_t)fuzz_num(in);
	}
}

static void record_make(struct building *b)
{
	struct fuzz_in *in = &b->im->in;
	uint32_t crcs[IMAGE_PAYLOAD_MAX / CRC_BLOCK + 1];
	uint32_t room = IMAGE_PAYLOAD_MAX - MIN(b->payload_len, (uint32_t)IMAGE_PAYLOAD_MAX);
	uint8_t flags = fuzz_u8(in), *start = b->out.p;
	struct record r = {0};

	record_fields(in, &r);
	r.payload_len = fuzz_below(in, room);
	r.payload_pos = b->desc_blocks + b->payload_len / LOG_BLOCK;
	payload_make(b, r.payload_len, fuzz_u8(in), flags & IMAGE_BAD_PAYLOAD, crcs);
	if (flags & IMAGE_POS)
		r.payload_pos = (uint32_t)fuzz_num(in);
	r.crcs = crcs;
	uint8_t *blob = blob_make(in, &r.key, flags, &r.blob_len);
	r.blob = blob;
	record_encode(&r, 0, &b->out);
	free(blob);
	if (b->out.full)
		return;
	struct bytes_out patch = bytes_out(start + AT_PAYLOAD_LEN, 4);
	if (flags & IMAGE_LEN)
		put_u32(&patch, (uint32_t)fuzz_num(in));
	if (flags & IMAGE_RANGES)
		start[AT_RANGE_COUNT] = fuzz_u8(in);
}

static uint32_t segment_count(const struct mem_fs *fs)
{
	uint32_t n = 0;

	for (int i = 0; i < MEM_FILES; i++)
		n += !strncmp(fs->file[i].name, "seg-", 4);
	return n;
}

static void batch_make(struct image *im)
{
	struct building b = {.im = im, .desc_blocks = IMAGE_DESC_MAX / LOG_BLOCK};
	uint8_t flags = fuzz_u8(&im->in);
	uint32_t more = 0;
	char next[32];
	struct batch_header h = {
		.disk = IMAGE_DISK, .salt = IMAGE_SALT, .segment = im->number, .lsn = im->lsn};

	memset(im->desc, 0, im->desc_used);
	b.desc = im->desc;
	b.payload = im->payload;
	b.out = bytes_out(b.desc + BATCH_HEADER_LEN, IMAGE_DESC_MAX - BATCH_HEADER_LEN);
	/* The records come first in the description too, so that the batch is known to be small. */
	b.desc_blocks = 1 + fuzz_u8(&im->in) % 4;
	uint32_t count = 1 + fuzz_u8(&im->in) % IMAGE_RECORDS_MAX;
	for (uint32_t i = 0; i < count && !b.out.full; i++)
		record_make(&b);
	im->desc_used = (uint32_t)(b.out.p - b.desc);
	h.body_len = im->desc_used - BATCH_HEADER_LEN;
	h.desc_len = (uint32_t)round_up(BATCH_HEADER_LEN + h.body_len, LOG_BLOCK);
	h.desc_len = MAX(h.desc_len, b.desc_blocks * LOG_BLOCK);
	h.blocks = (h.desc_len + b.payload_len) / LOG_BLOCK;
	h.records = flags & IMAGE_RECORDS ? (uint32_t)fuzz_num(&im->in) : count;
	if (flags & IMAGE_LSN)
		h.lsn += (uint64_t)(int8_t)fuzz_u8(&im->in);
	if (flags & IMAGE_FAR_LSN)
		h.lsn += fuzz_le(&im->in, 8);
	if (flags & IMAGE_BLOCKS)
		h.blocks += more = (uint32_t)fuzz_num(&im->in);
	if (flags & IMAGE_OTHER_DISK)
		h.disk++;
	if (flags & IMAGE_OTHER_SEGMENT)
		h.segment = (uint32_t)fuzz_num(&im->in);
	batch_header_encode(&h, b.desc);
	if (flags & IMAGE_BAD_CRC)
		b.desc[BATCH_HEADER_LEN - 1] ^= 1;
	if (mem_file_write(im->seg, im->end, b.desc, h.desc_len) &&
	    mem_file_write(im->seg, im->end + h.desc_len, b.payload, b.payload_len)) {
		im->end += h.desc_len + b.payload_len + (uint64_t)more * LOG_BLOCK;
		im->lsn = h.lsn + h.records;
	}
	/* Nothing else stands where this one says it is. */
	snprintf(next, sizeof(next), "seg-%08x.log", im->number + 1);
	if (more > MORE_BLOCKS_MAX && segment_count(im->fs) < MAX_SEGMENTS &&
	    !mem_file_find(im->fs, next))
		segment_start(im, im->number + 1);
}

/* 0: the number follows; otherwise that many further on. A file that is there stays as it is. */
static void segment_item(struct image *im)
{
	uint8_t step = fuzz_u8(&im->in);
	uint32_t number = step ? im->number + step : (uint32_t)fuzz_le(&im->in, 4);
	char name[32];

	snprintf(name, sizeof(name), "seg-%08x.log", number);
	if (segment_count(im->fs) < MAX_SEGMENTS && !mem_file_find(im->fs, name))
		segment_start(im, number);
}

static void raw_item(struct image *im)
{
	uint64_t off = fuzz_num(&im->in) * 64;
	const uint8_t *raw;
	uint32_t len = fuzz_bytes(&im->in, 64 << 10, &raw);

	mem_file_write(im->seg, off % (128 << 10), raw, len);
}

bool image_build(struct image *im)
{
	uint64_t off;

	while (im->in.p < im->in.end) {
		switch (fuzz_u8(&im->in) % IMAGE_TAGS) {
		case IMAGE_BATCH:
			batch_make(im);
			break;
		case IMAGE_RAW:
			raw_item(im);
			break;
		case IMAGE_SEGMENT:
			segment_item(im);
			break;
		case IMAGE_CUT:
			off = fuzz_num(&im->in) * 512;
			im->seg->len = MIN(im->seg->len, off);
			break;
		case IMAGE_OPEN:
			return true;
		}
	}
	return false;
}

/* ---- Describing ---- */

static void record_describe(const struct record *r, const struct batch_header *h, uint8_t **p)
{
	bool shard = r->type == REC_SNAPSHOT, pg = r->type == REC_PG && r->blob_len >= 4;
	uint32_t blob_len = shard || pg ? r->blob_len - 4 : r->blob_len;
	const uint64_t fields[] = {
		r->key.pool, r->key.pg,     r->key.oid, r->version,  r->prev,
		r->commit,   r->req.client, r->req.seq, r->orig_lsn, r->first_lsn,
	};

	*(*p)++ = shard ? IMAGE_SHARD_CRC : pg ? IMAGE_PG_CRC : 0;
	*(*p)++ = r->type;
	*(*p)++ = r->shard_flags;
	*(*p)++ = r->range_count;
	*(*p)++ = r->key.shard;
	for (uint32_t i = 0; i < ARRAY_LEN(fields); i++)
		fuzz_put_num(p, fields[i]);
	for (uint32_t i = 0; i < r->range_count; i++) {
		*(*p)++ = (uint8_t)r->ranges[i].op;
		fuzz_put_num(p, r->ranges[i].offset);
		fuzz_put_num(p, r->ranges[i].length);
	}
	fuzz_put_num(p, r->payload_len);
	*(*p)++ = (uint8_t)r->key.oid;
	fuzz_put_num(p, blob_len);
	if (blob_len)
		memcpy(*p, r->blob, blob_len);
	*p += blob_len;
}

void image_describe(const struct mem_file *f, uint32_t number, uint8_t **p)
{
	struct record_scratch scratch = {0};
	struct batch_header h;

	*(*p)++ = IMAGE_SEGMENT;
	*(*p)++ = 0;
	for (int i = 0; i < 4; i++)
		*(*p)++ = (uint8_t)(number >> (8 * i));
	for (uint64_t off = 0; off + LOG_BLOCK <= f->len; off += (uint64_t)h.blocks * LOG_BLOCK) {
		if (!batch_header_decode(&h, f->data + off) || h.records > IMAGE_RECORDS_MAX)
			break;
		struct bytes_in in = bytes_in(f->data + off + BATCH_HEADER_LEN, h.body_len);
		*(*p)++ = IMAGE_BATCH;
		*(*p)++ = 0;
		*(*p)++ = (uint8_t)(h.desc_len / LOG_BLOCK - 1);
		*(*p)++ = (uint8_t)(h.records - 1);
		for (uint32_t i = 0; i < h.records; i++) {
			struct record r = {0};
			assert(record_decode(&r, &in, 0, &scratch));
			record_describe(&r, &h, p);
		}
	}
	free(scratch.crcs);
}

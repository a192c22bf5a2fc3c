/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_FUZZ_STORE_IMAGE_H
#define SF_TESTS_FUZZ_STORE_IMAGE_H

#include "sheep/store/record.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mem_fs.h"

/*
 * The files of a disk out of a short description, with checksums that are right unless it says
 * otherwise: what is behind them is what a fuzzer should get at. The description is a sequence of
 * items, each a tag and what belongs to it:
 *
 *   BATCH    flags, its deviations from a proper header, records with their payload
 *   RAW      any bytes anywhere in the segment at hand
 *   SEGMENT  another segment from here on
 *   CUT      the segment at hand ends there
 *   OPEN     what is there so far is opened and closed: the rest comes behind an index
 */
enum image_tag { IMAGE_BATCH, IMAGE_RAW, IMAGE_SEGMENT, IMAGE_CUT, IMAGE_OPEN, IMAGE_TAGS };

enum image_batch_flags {
	IMAGE_LSN = 1 << 0,     /* a signed byte: lsn differs from the one due by that much */
	IMAGE_RECORDS = 1 << 1, /* the header's record count */
	IMAGE_BLOCKS = 1 << 2,  /* added to the header's blocks */
	IMAGE_BAD_CRC = 1 << 3,
	IMAGE_OTHER_DISK = 1 << 4,
	IMAGE_OTHER_SEGMENT = 1 << 5, /* the header's segment number */
	IMAGE_FAR_LSN = 1 << 6,       /* 8 bytes: added to the lsn due */
};
enum image_record_flags {
	IMAGE_BAD_PAYLOAD = 1 << 0,
	IMAGE_POS = 1 << 1,       /* where the payload is said to be, in blocks of the batch */
	IMAGE_SHARD_CRC = 1 << 2, /* the blob is a shard's state: its checksum is put behind it */
	IMAGE_PG_CRC = 1 << 3,    /* likewise, a PG's */
	IMAGE_LEN = 1 << 4,       /* the length of payload that the record claims */
	IMAGE_RANGES = 1 << 5,    /* the number of ranges that it claims */
};

enum {
	IMAGE_DISK = 0x1234,
	IMAGE_SALT = 0x5a171,
	IMAGE_NODE = 7,
	IMAGE_PAYLOAD_MAX = 144 << 10,
	IMAGE_DESC_MAX = 64 << 10,
	IMAGE_RECORDS_MAX = 24
};

struct image {
	struct mem_fs *fs;
	struct fuzz_in in;
	struct mem_file *seg;
	uint32_t number;
	uint64_t end; /* of the last batch in seg */
	uint64_t lsn;
	uint8_t desc[IMAGE_DESC_MAX]; /* of the batch at hand */
	uint32_t desc_used;           /* bytes of it that are not zero */
	uint8_t payload[IMAGE_PAYLOAD_MAX + IMAGE_RECORDS_MAX * LOG_BLOCK];
};

void image_init(struct image *im, struct mem_fs *fs, const uint8_t *data, size_t size);
/* Carries out items up to an OPEN (true) or the end (false). */
bool image_build(struct image *im);
/* A superblock, and its second copy. */
void image_superblock(struct mem_fs *fs, uint8_t damage);
/* Describes the batches of a real segment: appends items to *p. */
void image_describe(const struct mem_file *f, uint32_t number, uint8_t **p);

#endif

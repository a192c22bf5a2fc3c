/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_RECORD_H
#define SF_STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "sheep/store/bytes.h"
#include "sheep/store/shard.h"

/*
 * The log's bytes. A segment is a sequence of batches, each on a 4 KiB boundary:
 *
 *   descriptor: batch header, record headers one after another, zeros up to a multiple of 4 KiB
 *   payloads:   each on a 4 KiB boundary, in the order of the records
 *
 * Every record has a log sequence number (lsn); a batch's records have consecutive ones, and so
 * have batches. The header's checksum covers the whole descriptor; the payloads' checksums (one per
 * 64 KiB) stand in it. What was left in a reused file has another segment number and is no batch of
 * this one. What a client wrote is no batch either, whatever it looks like where a torn or damaged batch
 * makes the replay look at payloads: it lacks the store's salt, which never leaves the disk.
 */
enum { LOG_BLOCK = 4096 };

enum record_type {
	REC_PREPARE = 1,  /* version prev commit req stood shard_flags ranges payload */
	REC_PUSH = 2,     /* version stood shard_flags ranges payload */
	REC_ROLLBACK = 3, /* version */
	REC_REMOVE = 4,   /* the shard's records from first_lsn up to orig_lsn count no more */
	REC_SNAPSHOT = 5, /* blob = the shard's whole state; payload: what was moved along */
	REC_PG = 6,       /* blob = info and log of the PG; an empty one: the PG is forgotten */
	REC_COMMIT = 7,   /* commit: of the PG */
	REC_ACCEPT = 8,   /* version stood: what is pending stands in a later interval too */
};

struct record {
	uint8_t type;
	uint8_t shard_flags;
	uint8_t range_count;
	uint32_t stood; /* epoch of the interval that accepts the version; 0: the version's own */
	struct shard_key key; /* PG records: oid and shard are 0 */
	uint64_t version, prev, commit;
	struct req_id req;
	uint64_t orig_lsn, first_lsn;
	struct shard_range ranges[MAX_RANGES]; /* RANGE_DATA and RANGE_ZERO only */
	uint32_t payload_len;
	uint32_t payload_pos; /* in blocks of the segment; encoded from the batch's start */
	const uint32_t *crcs; /* of the payload's CRC_BLOCKs */
	const uint8_t *blob;
	uint32_t blob_len;

	/* Where it stands; not encoded with the record. */
	uint64_t lsn;
	uint32_t seg;
};

uint32_t record_encoded_len(uint32_t range_count, uint32_t payload_len, uint32_t blob_len);
void record_encode(const struct record *r, uint32_t batch_pos, struct bytes_out *o);
/* Where the checksums of a decoded record stand until the next one. */
struct record_scratch {
	uint32_t *crcs;
	uint32_t cap;
};
bool record_decode(struct record *r, struct bytes_in *in, uint32_t batch_pos,
                   struct record_scratch *scratch);

struct batch_header {
	uint64_t disk;
	uint64_t salt; /* of the superblock */
	uint32_t segment;
	uint32_t records;
	uint64_t lsn;      /* of the first record */
	uint32_t desc_len; /* descriptor with padding */
	uint32_t body_len; /* record headers */
	uint32_t blocks;   /* the whole batch, in LOG_BLOCKs */
};
enum { BATCH_HEADER_LEN = 64, DESC_MAX = 64 << 20 };

/* Fills the header at the start of a descriptor whose body is written already. */
void batch_header_encode(const struct batch_header *h, uint8_t *desc);
/* Checks all but the checksum, which needs the whole descriptor. */
bool batch_header_decode(struct batch_header *h, const uint8_t *desc);
bool batch_desc_verify(const struct batch_header *h, const uint8_t *desc);

#endif

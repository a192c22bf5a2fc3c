/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_BATCH_H
#define SF_STORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "sheep/core/disk_job.h"
#include "sheep/store/bytes.h"
#include "sheep/store/record.h"
#include "sheep/store/segment.h"

/*
 * The batch being built. It knows where it will stand in the log from the start (batch_reserve
 * bounds the size of its descriptor), so that records can be applied as they are added. Payloads
 * are written from where they are when they are aligned, else from a copy in the arena; both must
 * stay until the batch is written.
 */
struct arena {
	struct arena_chunk *first, *at;
	uint32_t used; /* of `at` */
};

struct batch {
	bool open;
	uint32_t seg;
	uint64_t start; /* in the segment */
	uint64_t bound; /* bytes that are reserved for it */
	uint8_t *desc;  /* aligned; grows */
	uint32_t desc_cap;
	uint32_t desc_len;
	struct bytes_out out;
	uint32_t records;
	uint64_t first_lsn;
	uint32_t blocks; /* so far, descriptor included */
	struct iovec *iov;
	uint32_t iov_count, iov_cap;
	struct arena arena;
	uint32_t *crcs; /* scratch for the payload at hand */
	uint32_t crc_cap;
	struct disk_job **jobs; /* answered already, but only right once the batch is written */
	uint32_t job_count, job_cap;
	uint32_t hint_desc, hint_blocks; /* what the jobs ahead will need */
};

struct store;

/* 4 KiB-aligned memory that lives until the batch is written. */
uint8_t *batch_memory(struct batch *b, uint32_t len);
void batch_fini(struct batch *b);

/* Room for one more record of that size; may write the batch at hand first. -ENOSPC when the
 * segments have none. */
int batch_reserve(struct store *st, enum space_use use, uint32_t record_len, uint32_t payload_len);
/* Whether the extent's bytes are in the batch that is not written yet. */
bool batch_holds(const struct batch *b, const struct extent *e);
/* Payload of the next record, as it is or from batch_memory; returns its checksums. */
const uint32_t *batch_add_payload(struct batch *b, const struct payload *p);
const uint32_t *batch_add_memory(struct batch *b, const uint8_t *data, uint32_t len);
/* Block of the segment where the next payload starts. */
uint32_t batch_next_pos(const struct batch *b);
/* Encodes the record (its payload was added before) and gives it its place in the log. */
void batch_add_record(struct store *st, struct record *r);
/* A job whose answer depends on the batch. */
void batch_add_job(struct batch *b, struct disk_job *job);
/* Makes sure that no batch is ever found at this place of the current segment. */
int batch_void(struct store *st, uint64_t off);
/* Writes and syncs. On failure the jobs get their answer; -ENOSPC leaves the store alive and
 * reloaded. */
int batch_flush(struct store *st);

#endif

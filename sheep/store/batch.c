/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/replay.h"
#include "sheep/store/state.h"

enum { ARENA_CHUNK = 1 << 20, ARENA_KEEP = 8 << 20, BATCH_MAX = 64 << 20, ZEROS = 1 << 16 };

struct arena_chunk {
	struct arena_chunk *next;
	uint32_t cap;
	uint8_t *data;
};

static const uint8_t zeros[ZEROS] __attribute__((aligned(LOG_BLOCK)));

static uint8_t *aligned_memory(size_t len)
{
	void *p;

	if (posix_memalign(&p, LOG_BLOCK, len))
		abort();
	return p;
}

static struct arena_chunk *arena_chunk_create(uint32_t cap)
{
	struct arena_chunk *c = xcalloc(1, sizeof(*c));

	c->cap = cap;
	c->data = aligned_memory(cap);
	return c;
}

uint8_t *batch_memory(struct batch *b, uint32_t len)
{
	struct arena *a = &b->arena;
	uint32_t need = (uint32_t)round_up(len, LOG_BLOCK);

	while (!a->at || a->at->cap - a->used < need) {
		struct arena_chunk **next = a->at ? &a->at->next : &a->first;
		if (*next && (*next)->cap < need) {
			/* Too small for this one: a bigger one goes in front of it. */
			struct arena_chunk *c = arena_chunk_create(need);
			c->next = *next;
			*next = c;
		} else if (!*next) {
			*next = arena_chunk_create(MAX(need, ARENA_CHUNK));
		}
		a->at = *next;
		a->used = 0;
	}
	uint8_t *p = a->at->data + a->used;
	a->used += need;
	return p;
}

/* Everything in it is free again; keeps some chunks for the next batch. */
static void arena_reset(struct arena *a, uint64_t keep)
{
	uint64_t kept = 0;

	for (struct arena_chunk **c = &a->first; *c;) {
		struct arena_chunk *chunk = *c;
		if (kept + chunk->cap <= keep) {
			kept += chunk->cap;
			c = &chunk->next;
			continue;
		}
		*c = chunk->next;
		free(chunk->data);
		free(chunk);
	}
	a->at = NULL;
	a->used = 0;
}

static void batch_reset(struct batch *b)
{
	b->open = false;
	b->records = 0;
	b->iov_count = 0;
	b->job_count = 0;
	arena_reset(&b->arena, ARENA_KEEP);
}

void batch_fini(struct batch *b)
{
	arena_reset(&b->arena, 0);
	free(b->desc);
	free(b->iov);
	free(b->crcs);
	free(b->jobs);
	memset(b, 0, sizeof(*b));
}

static int batch_begin(struct store *st, enum space_use use, uint32_t desc_len, uint64_t blocks)
{
	struct batch *b = &st->batch;
	struct segment *seg = st->segs.current;
	uint64_t bytes = desc_len + blocks * LOG_BLOCK;

	if (!segments_fit(&st->segs, use, bytes))
		return -ENOSPC;
	if (!seg || seg->end + bytes > seg->planned) {
		int err = segment_roll(&st->segs, bytes);
		if (err && err != -ENOSPC) {
			log_error(st->log, "%s: no new segment: %s; the disk is out", st->path,
			          sf_strerror(err));
			st->failed = true;
		}
		if (err)
			return err;
		seg = st->segs.current;
	}
	int err = segment_reserve(&st->segs, seg->end + bytes);
	if (err)
		return err;
	if (b->desc_cap < desc_len) {
		free(b->desc);
		b->desc = aligned_memory(desc_len);
		b->desc_cap = desc_len;
	}
	memset(b->desc, 0, desc_len);
	b->open = true;
	b->seg = seg->number;
	b->start = seg->end;
	b->bound = bytes;
	b->desc_len = desc_len;
	b->out = bytes_out(b->desc + BATCH_HEADER_LEN, desc_len - BATCH_HEADER_LEN);
	b->first_lsn = st->next_lsn;
	b->blocks = desc_len / LOG_BLOCK;
	return 0;
}

int batch_reserve(struct store *st, enum space_use use, uint32_t record_len, uint32_t payload_len)
{
	struct batch *b = &st->batch;
	uint64_t blocks = div_up(payload_len, LOG_BLOCK);

	if (st->failed)
		return -EIO;
	if (b->open && ((size_t)(b->out.end - b->out.p) < record_len ||
	                (b->blocks + blocks) * LOG_BLOCK > b->bound)) {
		int err = batch_flush(st);
		if (err)
			return err;
	}
	if (b->open)
		return 0;
	uint64_t limit = MIN(st->segs.bytes, (uint64_t)BATCH_MAX) / 2 / LOG_BLOCK;
	uint32_t desc =
		(uint32_t)round_up(BATCH_HEADER_LEN + MAX(record_len, b->hint_desc), LOG_BLOCK);
	uint32_t desc_min = (uint32_t)round_up(BATCH_HEADER_LEN + record_len, LOG_BLOCK);
	uint64_t want = MAX(blocks, MIN((uint64_t)b->hint_blocks, limit));
	int err = batch_begin(st, use, desc, want);
	if (err == -ENOSPC && (want > blocks || desc > desc_min))
		err = batch_begin(st, use, desc_min, blocks);
	return err;
}

bool batch_holds(const struct batch *b, const struct extent *e)
{
	return b->open && e->seg == b->seg && (uint64_t)e->pos * LOG_BLOCK >= b->start;
}

static void batch_add_iov(struct batch *b, const void *data, size_t len)
{
	struct iovec *last = b->iov_count ? &b->iov[b->iov_count - 1] : NULL;

	assert(len % LOG_BLOCK == 0);
	if (!len)
		return;
	if (last && (uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += len;
		return;
	}
	if (b->iov_count == b->iov_cap) {
		b->iov_cap = b->iov_cap ? b->iov_cap * 2 : 64;
		b->iov = xrealloc(b->iov, b->iov_cap * sizeof(*b->iov));
	}
	b->iov[b->iov_count++] = (struct iovec){.iov_base = (void *)data, .iov_len = len};
}

static void batch_add_zeros(struct batch *b, uint32_t len)
{
	for (; len; len -= MIN(len, (uint32_t)ZEROS))
		batch_add_iov(b, zeros, MIN(len, (uint32_t)ZEROS));
}

static void batch_add_copy(struct batch *b, const struct payload *p, uint32_t off, uint32_t len)
{
	uint32_t padded = (uint32_t)round_up(len, LOG_BLOCK);
	uint8_t *copy = batch_memory(b, len);

	payload_copy_out(p, off, copy, len);
	memset(copy + len, 0, padded - len);
	batch_add_iov(b, copy, padded);
}

static uint32_t *batch_crcs(struct batch *b, uint32_t len)
{
	if (block_count(len) > b->crc_cap) {
		b->crc_cap = block_count(len);
		b->crcs = xrealloc(b->crcs, b->crc_cap * sizeof(*b->crcs));
	}
	return b->crcs;
}

const uint32_t *batch_add_payload(struct batch *b, const struct payload *p)
{
	uint32_t len = payload_len(p), off = 0;
	uint32_t *crcs = batch_crcs(b, len);

	payload_crcs(p, crcs);
	for (uint32_t i = 0; i < p->count; i++) {
		const struct slice *s = &p->v[i];
		uint32_t whole = s->len & ~(uint32_t)(LOG_BLOCK - 1);
		if (s->buf && (uintptr_t)slice_data(s) % LOG_BLOCK)
			break;
		if (s->buf)
			batch_add_iov(b, slice_data(s), whole);
		else
			batch_add_zeros(b, whole);
		off += whole;
		if (whole < s->len)
			break;
	}
	/* The tail that ends inside a block, and whatever is not aligned. */
	if (off < len)
		batch_add_copy(b, p, off, len - off);
	b->blocks += (uint32_t)div_up(len, LOG_BLOCK);
	return crcs;
}

const uint32_t *batch_add_memory(struct batch *b, const uint8_t *data, uint32_t len)
{
	uint32_t padded = (uint32_t)round_up(len, LOG_BLOCK);
	uint32_t *crcs = batch_crcs(b, len);

	for (uint32_t i = 0; i < block_count(len); i++)
		crcs[i] = crc32c(0, data + (size_t)i * CRC_BLOCK,
		                 MIN((uint32_t)CRC_BLOCK, len - i * CRC_BLOCK));
	memset((uint8_t *)data + len, 0, padded - len);
	batch_add_iov(b, data, padded);
	b->blocks += padded / LOG_BLOCK;
	return crcs;
}

uint32_t batch_next_pos(const struct batch *b)
{
	return (uint32_t)(b->start / LOG_BLOCK) + b->blocks;
}

void batch_add_record(struct store *st, struct record *r)
{
	struct batch *b = &st->batch;

	assert(b->open);
	r->seg = b->seg;
	r->lsn = st->next_lsn++;
	record_encode(r, (uint32_t)(b->start / LOG_BLOCK), &b->out);
	assert(!b->out.full && (uint64_t)b->blocks * LOG_BLOCK <= b->bound);
	b->records++;
}

void batch_add_job(struct batch *b, struct disk_job *job)
{
	if (b->job_count == b->job_cap) {
		b->job_cap = b->job_cap ? b->job_cap * 2 : 64;
		b->jobs = xrealloc(b->jobs, b->job_cap * sizeof(*b->jobs));
	}
	b->jobs[b->job_count++] = job;
}

static int batch_write(struct store *st)
{
	struct batch *b = &st->batch;
	struct segment *seg = st->segs.current;
	struct batch_header h = {
		.disk = st->sb.disk,
		.salt = st->sb.salt,
		.segment = b->seg,
		.records = b->records,
		.lsn = b->first_lsn,
		.desc_len = b->desc_len,
		.body_len = (uint32_t)(b->out.p - b->desc) - BATCH_HEADER_LEN,
		.blocks = b->blocks,
	};

	batch_header_encode(&h, b->desc);
	/* The first slot of the vector is the descriptor's. */
	struct iovec first = {.iov_base = b->desc, .iov_len = b->desc_len};
	batch_add_iov(b, zeros, LOG_BLOCK);
	memmove(b->iov + 1, b->iov, (b->iov_count - 1) * sizeof(*b->iov));
	b->iov[0] = first;
	int err = segment_write(&st->segs, b->iov, (int)b->iov_count, b->start);
	if (!err && !st->opt.nosync)
		err = segment_sync(&st->segs);
	if (err)
		return err;
	if (!seg->first_lsn)
		seg->first_lsn = b->first_lsn;
	seg->dirty = true;
	seg->last_lsn = st->next_lsn - 1;
	seg->end = b->start + (uint64_t)b->blocks * LOG_BLOCK;
	return 0;
}

int batch_void(struct store *st, uint64_t off)
{
	struct iovec iov = {.iov_base = (void *)zeros, .iov_len = LOG_BLOCK};
	struct found_batch f = {0};

	int err = segment_write(&st->segs, &iov, 1, off);
	if (!err)
		return segment_sync(&st->segs);
	if (err != -ENOSPC)
		return err;
	/* Where not even one block can be written, none was; but it has to be seen. */
	err = replay_batch_read(st, st->segs.current, off, &f);
	found_batch_fini(&f);
	return err > 0 ? -ENOSPC : err;
}

static void batch_answer(struct batch *b, uint32_t result)
{
	for (uint32_t i = 0; i < b->job_count; i++)
		if (b->jobs[i]->reply->result == RES_OK)
			b->jobs[i]->reply->result = result;
}

int batch_flush(struct store *st)
{
	struct batch *b = &st->batch;

	if (!b->open || !b->records) {
		batch_reset(b);
		return 0;
	}
	int err = batch_write(st);
	if (err == -ENOSPC) {
		err = batch_void(st, b->start);
		if (!err)
			err = store_reload(st);
		if (!err) {
			log_warn(st->log, "%s: no space left on the file system", st->path);
			batch_answer(b, RES_NOSPACE);
			batch_reset(b);
			segments_look_at_fs(&st->segs);
			return -ENOSPC;
		}
	}
	if (err) {
		log_error(st->log, "%s: writing failed: %s; the disk is out", st->path,
		          sf_strerror(err));
		st->failed = true;
		batch_answer(b, RES_IO);
	}
	batch_reset(b);
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/place/map.h"
#include "sheep/store/state.h"

static bool ranges_valid(const struct msg *req)
{
	uint64_t data = 0;

	if (req->range_count > MAX_RANGES || req->version == 0 || req->shard >= SHARD_NONE)
		return false;
	for (uint32_t i = 0; i < req->range_count; i++) {
		const struct shard_range *r = &req->ranges[i];
		if (r->op > RANGE_ZERO || !range_fits(r->offset, r->length, UINT32_MAX))
			return false;
		data += r->op == RANGE_ZERO ? 0 : r->length;
	}
	return data == payload_len(&req->payload) && data <= MSG_MAX_PAYLOAD;
}

static struct shard_key req_key(const struct msg *req)
{
	return (struct shard_key){
		.pool = req->pool,
		.pg = req->pg,
		.oid = req->oid,
		.shard = (uint8_t)req->shard,
	};
}

static bool has_xor(const struct msg *req)
{
	for (uint32_t i = 0; i < req->range_count; i++)
		if (req->ranges[i].op == RANGE_XOR && req->ranges[i].length)
			return true;
	return false;
}

/* The record's ranges: what was XORed is data by then. */
static void record_set_ranges(struct record *r, const struct msg *req)
{
	for (uint32_t i = 0; i < req->range_count; i++) {
		if (!req->ranges[i].length)
			continue;
		r->ranges[r->range_count] = req->ranges[i];
		if (req->ranges[i].op == RANGE_XOR)
			r->ranges[r->range_count].op = RANGE_DATA;
		r->range_count++;
	}
}

/* What ranges before `until` of the same request have made of [off, off + len), over old bytes in
 * dst. */
static void earlier_ranges_copy(const struct msg *req, uint32_t until, const uint8_t *data,
                                uint32_t off, uint32_t len, uint8_t *dst)
{
	uint32_t skip = 0;

	for (uint32_t i = 0; i < until; i++) {
		const struct shard_range *r = &req->ranges[i];
		uint32_t from = MAX(off, r->offset), to = MIN(off + len, r->offset + r->length);
		if (from < to && r->op == RANGE_ZERO)
			memset(dst + (from - off), 0, to - from);
		else if (from < to)
			memcpy(dst + (from - off), data + skip + (from - r->offset), to - from);
		skip += r->op == RANGE_ZERO ? 0 : r->length;
	}
}

static void xor_bytes(uint8_t *restrict dst, const uint8_t *restrict src, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		dst[i] ^= src[i];
}

/* The request's payload with every XOR carried out, in memory of the batch. */
static int xor_payload(struct store *st, struct shard *s, const struct msg *req, uint8_t *data)
{
	uint32_t skip = 0;
	int err = 0;

	payload_copy_out(&req->payload, 0, data, payload_len(&req->payload));
	for (uint32_t i = 0; i < req->range_count && !err; i++) {
		const struct shard_range *r = &req->ranges[i];
		if (r->op == RANGE_XOR && r->length) {
			uint8_t *old = batch_memory(&st->batch, r->length);
			if (req->shard_flags & SHARD_REPLACE)
				memset(old, 0, r->length);
			else
				err = store_read_newest(st, s, r->offset, old, r->length);
			earlier_ranges_copy(req, i, data, r->offset, r->length, old);
			xor_bytes(data + skip, old, r->length);
		}
		skip += r->op == RANGE_ZERO ? 0 : r->length;
	}
	return err;
}

/* Old bytes are read back from the disk: they must be there. */
static int write_what_is_read(struct store *st, const struct shard *s)
{
	return st->batch.open && s->lsn >= st->batch.first_lsn ? batch_flush(st) : 0;
}

static uint32_t write_error(struct store *st, struct shard *s, int err)
{
	if (err == -SF_ECORRUPT && s) {
		store_mark_damaged(st, s);
		return RES_CORRUPT;
	}
	return store_error(st, err);
}

/* What other slots already hold, perhaps acknowledged, must not wait for room. */
static enum space_use space_for(const struct msg *req, uint32_t len)
{
	if (!len || (req->shard_flags & SHARD_UNSTABLE))
		return SPACE_META;
	return req->pool == POOL_META && len <= LOG_BLOCK ? SPACE_SMALL : SPACE_DATA;
}

/* The change was found to be allowed: makes it a record. s must not be touched after a failure. */
static int write_change(struct store *st, struct shard *s, const struct msg *req, struct record *r)
{
	uint32_t len = req->shard_flags & SHARD_DELETE ? 0 : payload_len(&req->payload);
	bool xor = len && has_xor(req) && r->type == REC_PREPARE;
	int err = xor? write_what_is_read(st, s) : 0;

	if (!err)
		err = batch_reserve(st, space_for(req, len),
		                    record_encoded_len(MAX_RANGES, len, 0), len);
	if (err)
		return err == -ENOSPC ? -SF_EFULL : err;
	uint8_t *data = xor? batch_memory(&st->batch, len) : NULL;
	if (xor)
		err = xor_payload(st, s, req, data);
	if (err)
		return err;
	r->payload_len = len;
	r->payload_pos = batch_next_pos(&st->batch);
	if (xor)
		r->crcs = batch_add_memory(&st->batch, data, len);
	else if (len)
		r->crcs = batch_add_payload(&st->batch, &req->payload);
	batch_add_record(st, r);
	return store_apply_to(st, s, r);
}

static uint32_t prepare_once(struct store *st, const struct msg *req, struct msg *reply, bool *full)
{
	struct record r = {
		.type = REC_PREPARE,
		.key = req_key(req),
		.version = req->version,
		.commit = req->commit,
		.req = req->req,
		.shard_flags = (uint8_t)req->shard_flags,
	};
	struct shard *s;

	int err = memtable_shard(&st->mt, &r.key, &s);
	if (err)
		return store_error(st, err);
	reply->version = shard_newest(s);
	if (req->version == s->committed || req->version == s->pending)
		return RES_OK;
	if (req->version < shard_newest(s) || (s->pending && s->pending != req->base))
		return RES_BASE;
	if (req->version <= memtable_pg(&st->mt, req->pool, req->pg)->info.commit)
		return RES_BASE; /* a late copy */
	/* What is pending here is the base: the record says so, and commits it. */
	if (!(req->shard_flags & (SHARD_REPLACE | SHARD_DELETE)) && shard_newest(s) != req->base)
		return RES_BASE;
	r.prev = shard_newest(s);
	if (!(req->shard_flags & SHARD_DELETE))
		record_set_ranges(&r, req);
	err = write_change(st, s, req, &r);
	*full = err == -SF_EFULL;
	if (err)
		return write_error(st, err == -SF_ECORRUPT ? s : NULL, err);
	reply->version = req->version;
	uint32_t pieces = s->content.count + s->overlay.count;
	if (pieces > FRAGMENTS_MAX)
		store_move_shard(st, s, 0); /* if it fails, so does the batch, or nothing is lost */
	else if (pieces > FRAGMENTS_MANY)
		store_note_fragmented(st, s);
	return RES_OK;
}

/* Remembers what was refused, so that the usage shown does not promise it. */
static uint32_t refused(struct store *st, const struct msg *req, uint32_t result)
{
	if (result == RES_NOSPACE)
		st->refused_bytes = payload_len(&req->payload);
	return result;
}

uint32_t store_prepare(struct store *st, const struct msg *req, struct msg *reply)
{
	bool full = false;

	if (!ranges_valid(req))
		return RES_INVALID;
	store_promote_pg(st, memtable_pg(&st->mt, req->pool, req->pg), req->commit);
	uint32_t result = prepare_once(st, req, reply, &full);
	if (!full)
		return result;
	store_compact_urgent(st, payload_len(&req->payload));
	result = st->failed ? RES_IO : prepare_once(st, req, reply, &full);
	return refused(st, req, result);
}

/* Drops what is pending; a shard that held nothing else is gone. Room for the records is reserved. */
static int add_rollback(struct store *st, struct shard *s)
{
	struct record r = {.type = REC_ROLLBACK, .key = s->key, .version = s->pending};

	batch_add_record(st, &r);
	int err = store_apply_to(st, s, &r);
	if (err || shard_exists(s))
		return err;
	s->first_lsn = s->first_lsn ? s->first_lsn : r.lsn;
	return store_drop_shard(st, s);
}

static uint32_t rollback_len(const struct shard *s)
{
	return (s->committed ? 1 : 2) * record_encoded_len(0, 0, 0);
}

/* Before a push takes its place, with room for both. */
static int push_over_pending(struct store *st, struct shard *s, const struct msg *req)
{
	uint32_t len = req->shard_flags & SHARD_DELETE ? 0 : payload_len(&req->payload);

	int err = batch_reserve(st, space_for(req, len),
	                        rollback_len(s) + record_encoded_len(MAX_RANGES, len, 0), len);
	if (err)
		return err == -ENOSPC ? -SF_EFULL : err;
	return add_rollback(st, s);
}

static uint32_t push_written(struct store *st, const struct msg *req, struct msg *reply, int err,
                             bool *full)
{
	*full = err == -SF_EFULL;
	if (err)
		return write_error(st, NULL, err);
	reply->version = req->version;
	return RES_OK;
}

static uint32_t accept_once(struct store *st, const struct msg *req, struct msg *reply,
                            struct shard *s, bool *full)
{
	struct record r = {
		.type = REC_ACCEPT,
		.key = s->key,
		.version = req->version,
		.stood = req->info.activated,
	};

	if (s->pending_stood >= r.stood)
		return RES_OK;
	int err = batch_reserve(st, SPACE_META, record_encoded_len(0, 0, 0), 0);
	if (err)
		return push_written(st, req, reply, err == -ENOSPC ? -SF_EFULL : err, full);
	batch_add_record(st, &r);
	return push_written(st, req, reply, store_apply_to(st, s, &r), full);
}

/* A version that may yet be taken back comes as a prepared replacement. */
static uint32_t push_unstable(struct store *st, const struct msg *req, struct msg *reply,
                              struct shard *s, bool *full)
{
	struct record r = {
		.type = REC_PREPARE,
		.key = s->key,
		.version = req->version,
		.stood = req->info.activated,
		.req = req->req,
		.shard_flags = (uint8_t)(req->shard_flags & SHARD_DELETE ? SHARD_DELETE : SHARD_REPLACE),
	};
	int err = 0;

	if (s->committed >= req->version)
		return RES_OK;
	if (s->pending == req->version && !(s->flags & (ST_DAMAGED | ST_LOST)))
		return accept_once(st, req, reply, s, full);
	if (req->shard_flags & SHARD_ACCEPT)
		return RES_BASE;
	/* What it was built on is committed by the record, which names it. */
	if (s->pending && s->pending != req->base)
		err = push_over_pending(st, s, req);
	r.prev = shard_newest(s);
	if (!(req->shard_flags & SHARD_DELETE))
		record_set_ranges(&r, req);
	if (!err)
		err = write_change(st, s, req, &r);
	return push_written(st, req, reply, err, full);
}

static uint32_t push_once(struct store *st, const struct msg *req, struct msg *reply, bool *full)
{
	struct record r = {
		.type = REC_PUSH,
		.key = req_key(req),
		.version = req->version,
		.stood = req->info.activated,
		.shard_flags = (uint8_t)req->shard_flags,
	};
	struct shard *s;

	int err = memtable_shard(&st->mt, &r.key, &s);
	if (err)
		return store_error(st, err);
	reply->version = shard_newest(s);
	if (req->shard_flags & SHARD_UNSTABLE)
		return push_unstable(st, req, reply, s, full);
	if (s->committed >= req->version && !(s->flags & (ST_DAMAGED | ST_LOST)))
		return RES_OK;
	if (s->pending > req->version)
		return RES_BASE;
	if (s->pending && s->pending != req->version)
		err = push_over_pending(st, s, req);
	if (!(req->shard_flags & SHARD_DELETE))
		record_set_ranges(&r, req);
	if (!err)
		err = write_change(st, s, req, &r);
	return push_written(st, req, reply, err, full);
}

uint32_t store_push(struct store *st, const struct msg *req, struct msg *reply)
{
	bool full = false;

	if (!ranges_valid(req))
		return RES_INVALID;
	uint32_t result = push_once(st, req, reply, &full);
	if (!full)
		return result;
	store_compact_urgent(st, payload_len(&req->payload));
	result = st->failed ? RES_IO : push_once(st, req, reply, &full);
	return refused(st, req, result);
}

int store_drop_shard(struct store *st, struct shard *s)
{
	struct record r = {.type = REC_REMOVE, .key = s->key, .first_lsn = s->first_lsn};

	int err = batch_reserve(st, SPACE_META, record_encoded_len(0, 0, 0), 0);
	if (err)
		return err;
	r.orig_lsn = st->next_lsn;
	batch_add_record(st, &r);
	return store_apply_to(st, s, &r);
}

static uint32_t rollback_once(struct store *st, const struct msg *req, struct msg *reply,
                              bool *full)
{
	struct shard_key key = req_key(req);
	struct shard *s;

	int err = memtable_shard(&st->mt, &key, &s);
	if (err)
		return store_error(st, err);
	reply->version = shard_newest(s);
	if (req->version && s->committed == req->version)
		return RES_BASE;
	if (!s->pending || s->pending != req->version)
		return RES_OK;
	err = batch_reserve(st, SPACE_META, rollback_len(s), 0);
	if (!err)
		err = add_rollback(st, s);
	*full = err == -ENOSPC;
	if (err)
		return store_error(st, err);
	reply->version = shard_newest(s);
	return RES_OK;
}

uint32_t store_rollback(struct store *st, const struct msg *req, struct msg *reply)
{
	bool full = false;

	if (req->shard >= SHARD_NONE)
		return RES_INVALID;
	uint32_t result = rollback_once(st, req, reply, &full);
	if (!full)
		return result;
	store_compact_urgent(st, 0);
	return st->failed ? RES_IO : rollback_once(st, req, reply, &full);
}

uint32_t store_remove(struct store *st, const struct msg *req)
{
	struct shard_key key = req_key(req);
	struct shard *s;

	if (req->shard >= SHARD_NONE)
		return RES_INVALID;
	for (int attempt = 0;; attempt++) {
		int err = memtable_shard(&st->mt, &key, &s);
		if (err)
			return store_error(st, err);
		if (!shard_exists(s) || shard_newest(s) > req->version)
			return RES_OK;
		err = store_drop_shard(st, s);
		if (err != -ENOSPC || attempt)
			return err ? store_error(st, err) : RES_OK;
		store_compact_urgent(st, 0);
	}
}

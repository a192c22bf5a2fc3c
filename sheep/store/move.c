/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/state.h"

/*
 * Writes a shard's state anew as one record, and with it the bytes of those extents that are to
 * leave where they are. Afterwards no older record of the shard matters. Pieces that lie side by
 * side in the shard become one.
 */
struct move {
	struct store *st;
	uint32_t seg; /* extents there move; 0: all do */
	uint8_t *data;
	uint32_t at, total;
	bool damaged;
};

static bool moves(const struct move *mv, const struct extent *e)
{
	return e->seg != SEG_HOLE && (!mv->seg || e->seg == mv->seg);
}

static uint64_t moved_bytes(const struct move *mv, const struct extvec *x)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < x->count; i++)
		n += moves(mv, &x->v[i]) ? x->v[i].len : 0;
	return n;
}

/* What the encoded state may take: every moved extent may touch two blocks more than before. */
static uint32_t state_bound(const struct shard *s)
{
	return shard_encoded_len(s) + 8 * (s->content.count + s->overlay.count);
}

/* Pieces that fail their checksum are noted as [from, to) of the payload. */
struct bad_piece {
	uint32_t from, to;
};

static int move_read(struct move *mv, const struct extvec *x, struct bad_piece **bad,
                     uint32_t *bad_count)
{
	for (uint32_t i = 0; i < x->count; i++) {
		const struct extent *e = &x->v[i];
		bool broken;
		if (!moves(mv, e))
			continue;
		int err = store_read_extent(mv->st, x, e, mv->data + mv->at, &broken);
		if (err)
			return err;
		if (broken) {
			*bad = xrealloc(*bad, (*bad_count + 1) * sizeof(**bad));
			(*bad)[(*bad_count)++] = (struct bad_piece){mv->at, mv->at + e->len};
			mv->damaged = true;
		}
		mv->at += e->len;
	}
	return 0;
}

static void move_list(struct move *mv, struct extvec *dst, const struct extvec *src,
                      const uint32_t *crcs)
{
	for (uint32_t i = 0; i < src->count; i++) {
		struct extent e = src->v[i];
		if (!moves(mv, &e)) {
			extvec_add(dst, &e, extvec_crcs(src, &e));
			continue;
		}
		e.seg = SEG_SELF;
		e.pos = 0;
		e.skip = mv->at;
		e.plen = mv->total;
		extvec_add(dst, &e, crcs + mv->at / CRC_BLOCK);
		mv->at += e.len;
	}
}

/* What was bad must not become good by being copied: its new checksums are made wrong. */
static void crcs_spoil(uint32_t *crcs, const struct bad_piece *bad, uint32_t count)
{
	uint32_t done = 0; /* blocks below were looked at */

	for (uint32_t i = 0; i < count; i++)
		for (uint32_t b = MAX(done, bad[i].from / CRC_BLOCK);
		     b <= (bad[i].to - 1) / CRC_BLOCK; b++) {
			crcs[b] = ~crcs[b];
			done = b + 1;
		}
}

static int move_write(struct move *mv, struct shard *s, const uint32_t *crcs, uint32_t pos)
{
	struct store *st = mv->st;
	struct shard state = *s;
	struct record r = {
		.type = REC_SNAPSHOT,
		.key = s->key,
		.payload_len = mv->total,
		.payload_pos = pos,
		.crcs = crcs,
	};

	memset(&state.content, 0, sizeof(state.content));
	memset(&state.overlay, 0, sizeof(state.overlay));
	mv->at = 0;
	move_list(mv, &state.content, &s->content, crcs);
	move_list(mv, &state.overlay, &s->overlay, crcs);
	r.blob_len = shard_encoded_len(&state);
	uint8_t *blob = xmalloc(r.blob_len);
	struct bytes_out o = bytes_out(blob, r.blob_len);
	shard_encode(&state, &o);
	assert(!o.full);
	r.blob = blob;
	batch_add_record(st, &r);
	int err = store_apply_to(st, s, &r);
	free(blob);
	extvec_fini(&state.content);
	extvec_fini(&state.overlay);
	return err;
}

int store_move_shard(struct store *st, struct shard *s, uint32_t seg)
{
	struct move mv = {.st = st, .seg = seg};
	struct bad_piece *bad = NULL;
	uint32_t bad_count = 0, *crcs = NULL;
	int err = 0;

	/* What is not written yet cannot be read back. */
	if (!seg && st->batch.open && s->lsn >= st->batch.first_lsn)
		err = batch_flush(st);
	if (err)
		return err;
	uint64_t total = moved_bytes(&mv, &s->content) + moved_bytes(&mv, &s->overlay);
	if (total > UINT32_MAX / 2)
		return -EFBIG;
	mv.total = (uint32_t)total;
	err = batch_reserve(st, SPACE_MOVE, record_encoded_len(0, mv.total, state_bound(s)),
	                    mv.total);
	if (err)
		return err;
	mv.data = mv.total ? batch_memory(&st->batch, mv.total) : NULL;
	err = move_read(&mv, &s->content, &bad, &bad_count);
	if (!err)
		err = move_read(&mv, &s->overlay, &bad, &bad_count);
	if (err)
		goto out;
	if (mv.damaged)
		store_mark_damaged(st, s);
	uint32_t pos = batch_next_pos(&st->batch);
	if (mv.total)
		crcs = (uint32_t *)batch_add_memory(&st->batch, mv.data, mv.total);
	crcs_spoil(crcs, bad, bad_count);
	st->compact.moved_bytes += mv.total;
	err = move_write(&mv, s, crcs, pos);
out:
	free(bad);
	return err;
}

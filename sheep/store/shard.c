/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/store/shard.h"

#include <assert.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/math.h"

int shard_key_cmp(const struct shard_key *a, const struct shard_key *b)
{
	if (a->pool != b->pool)
		return a->pool < b->pool ? -1 : 1;
	if (a->pg != b->pg)
		return a->pg < b->pg ? -1 : 1;
	if (a->oid != b->oid)
		return a->oid < b->oid ? -1 : 1;
	return (int)a->shard - (int)b->shard;
}

uint64_t shard_key_hash(const struct shard_key *k)
{
	return hash64(k->oid ^
	              hash64(((uint64_t)k->pool << 40) ^ ((uint64_t)k->pg << 8) ^ k->shard));
}

static void put_be(uint8_t *dst, uint64_t v, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		dst[i] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

static uint64_t get_be(const uint8_t *src, unsigned size)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < size; i++)
		v = v << 8 | src[i];
	return v;
}

void shard_key_encode(const struct shard_key *k, uint8_t dst[SHARD_KEY_LEN])
{
	put_be(dst, k->pool, 4);
	put_be(dst + 4, k->pg, 4);
	put_be(dst + 8, k->oid, 8);
	dst[16] = k->shard;
}

void shard_key_decode(struct shard_key *k, const uint8_t src[SHARD_KEY_LEN])
{
	k->pool = (uint32_t)get_be(src, 4);
	k->pg = (uint32_t)get_be(src + 4, 4);
	k->oid = get_be(src + 8, 8);
	k->shard = src[16];
}

bool shard_newest_is_tombstone(const struct shard *s)
{
	return s->flags & (s->pending ? ST_PENDING_TOMBSTONE : ST_TOMBSTONE);
}

bool shard_newest_is_lost(const struct shard *s)
{
	if (s->pending && (s->flags & (ST_PENDING_TOMBSTONE | ST_PENDING_REPLACE)))
		return false;
	return s->flags & ST_LOST;
}

static uint32_t shard_newest_end(const struct shard *s)
{
	static const struct extvec nothing;

	if (shard_newest_is_tombstone(s))
		return 0;
	if (!s->pending)
		return extvec_end(&s->content);
	return extvec_overlay_end(s->flags & ST_PENDING_REPLACE ? &nothing : &s->content,
	                          &s->overlay);
}

void shard_list_entry(const struct shard *s, struct shard_entry *e)
{
	memset(e, 0, sizeof(*e));
	e->oid = s->key.oid;
	e->shard = s->key.shard;
	e->version = s->committed;
	e->pending = s->pending;
	e->stood = s->stood;
	e->pending_stood = s->pending_stood;
	e->size = shard_newest_end(s);
	if (s->flags & ST_TOMBSTONE)
		e->flags |= ENTRY_TOMBSTONE;
	if (s->flags & ST_PENDING_TOMBSTONE)
		e->flags |= ENTRY_PENDING_TOMBSTONE;
	if (s->flags & (ST_DAMAGED | ST_LOST))
		e->flags |= ENTRY_DAMAGED;
}

uint64_t extent_footprint(const struct extent *e)
{
	return e->seg == SEG_HOLE ? 0 : round_up(e->len, 4096);
}

void shard_clear(struct shard *s)
{
	s->flags = 0;
	s->committed = s->pending = 0;
	s->stood = s->pending_stood = 0;
	s->base_lsn = s->first_lsn = s->pend_lsn = 0;
	extvec_clear(&s->content);
	extvec_clear(&s->overlay);
}

static void shard_drop_pending(struct shard *s)
{
	s->pending = 0;
	s->pending_stood = 0;
	s->pend_lsn = 0;
	s->flags &= ~(ST_PENDING_TOMBSTONE | ST_PENDING_REPLACE);
	extvec_clear(&s->overlay);
}

void shard_promote(struct shard *s, struct extvec *scratch)
{
	static const struct extvec nothing;

	assert(s->pending);
	if (s->flags & ST_PENDING_TOMBSTONE) {
		extvec_clear(&s->content);
		s->flags = ST_TOMBSTONE;
	} else if (s->flags & ST_PENDING_REPLACE) {
		extvec_overlay(scratch, &nothing, &s->overlay, false);
		extvec_swap(scratch, &s->content);
		s->flags = 0;
	} else {
		extvec_overlay(scratch, &s->content, &s->overlay, false);
		extvec_swap(scratch, &s->content);
		s->flags &= ~ST_TOMBSTONE;
	}
	if (s->pend_lsn)
		s->base_lsn = s->pend_lsn;
	s->committed = s->pending;
	s->stood = s->pending_stood;
	shard_drop_pending(s);
}

void shard_prepare(struct shard *s, uint64_t lsn, uint64_t version, uint64_t prev,
                   uint32_t shard_flags, const struct extvec *ranges, struct extvec *scratch)
{
	if (s->pending && s->pending == prev)
		shard_promote(s, scratch);
	if (!shard_exists(s) && !prev) {
		shard_clear(s);
		s->first_lsn = s->base_lsn = lsn;
	} else if (s->committed != prev || s->pending) {
		/* A record in between is gone: what this change builds on is not known. */
		shard_drop_pending(s);
		if (!s->first_lsn)
			s->first_lsn = s->base_lsn = lsn;
		s->committed = prev;
		s->stood = version_epoch(prev);
		s->flags = prev ? ST_LOST : 0;
		extvec_clear(&s->content);
	}
	s->pending = version;
	s->pending_stood = version_epoch(version);
	s->lsn = lsn;
	extvec_clear(&s->overlay);
	if (shard_flags & SHARD_DELETE) {
		s->flags |= ST_PENDING_TOMBSTONE;
	} else {
		if (shard_flags & SHARD_REPLACE)
			s->flags |= ST_PENDING_REPLACE;
		extvec_copy(&s->overlay, ranges);
	}
	if (shard_flags & (SHARD_DELETE | SHARD_REPLACE))
		s->pend_lsn = lsn;
}

void shard_push(struct shard *s, uint64_t lsn, uint64_t version, uint32_t shard_flags,
                const struct extvec *ranges, struct extvec *scratch)
{
	static const struct extvec nothing;
	uint64_t first = shard_exists(s) && s->first_lsn ? s->first_lsn : lsn;

	shard_clear(s);
	s->first_lsn = first;
	s->base_lsn = s->lsn = lsn;
	s->committed = version;
	s->stood = version_epoch(version);
	if (shard_flags & SHARD_DELETE) {
		s->flags = ST_TOMBSTONE;
		return;
	}
	extvec_overlay(scratch, &nothing, ranges, false);
	extvec_swap(scratch, &s->content);
}

void shard_accept(struct shard *s, uint64_t version, uint32_t stood)
{
	if (s->pending == version)
		s->pending_stood = MAX(s->pending_stood, stood);
	else if (s->committed == version)
		s->stood = MAX(s->stood, stood);
}

void shard_rollback(struct shard *s, uint64_t version)
{
	if (s->pending == version)
		shard_drop_pending(s);
}

enum { SHARD_CODEC = 2, SHARD_FIXED_LEN = 1 + 1 + 6 * 8 + 2 * 4 + 4 };

uint32_t shard_encoded_len(const struct shard *s)
{
	return SHARD_FIXED_LEN + extvec_encoded_len(&s->content) + extvec_encoded_len(&s->overlay);
}

static uint32_t shard_value_crc(const struct shard *s, const uint8_t *start, const uint8_t *end)
{
	uint8_t key[SHARD_KEY_LEN];

	shard_key_encode(&s->key, key);
	return crc32c(crc32c(0, key, sizeof(key)), start, (size_t)(end - start));
}

void shard_encode(const struct shard *s, struct bytes_out *o)
{
	uint8_t *start = o->p;

	put_u8(o, SHARD_CODEC);
	put_u8(o, s->flags);
	put_u64(o, s->committed);
	put_u64(o, s->pending);
	put_u64(o, s->lsn);
	put_u64(o, s->base_lsn);
	put_u64(o, s->first_lsn);
	put_u64(o, s->pend_lsn);
	put_u32(o, s->stood);
	put_u32(o, s->pending_stood);
	extvec_encode(&s->content, o);
	extvec_encode(&s->overlay, o);
	put_u32(o, shard_value_crc(s, start, o->p));
}

bool shard_decode(struct shard *s, struct bytes_in *in, uint32_t self_seg, uint32_t self_pos)
{
	const uint8_t *start = in->p;

	uint8_t codec = get_u8(in);
	if (codec < 1 || codec > SHARD_CODEC)
		return false;
	s->flags = get_u8(in);
	s->committed = get_u64(in);
	s->pending = get_u64(in);
	s->lsn = get_u64(in);
	s->base_lsn = get_u64(in);
	s->first_lsn = get_u64(in);
	s->pend_lsn = get_u64(in);
	s->stood = codec < 2 ? version_epoch(s->committed) : get_u32(in);
	s->pending_stood = codec < 2 ? version_epoch(s->pending) : get_u32(in);
	if (!extvec_decode(&s->content, in, self_seg, self_pos) ||
	    !extvec_decode(&s->overlay, in, self_seg, self_pos))
		return false;
	uint32_t crc = shard_value_crc(s, start, in->p);
	return get_u32(in) == crc && !in->bad && shard_exists(s);
}

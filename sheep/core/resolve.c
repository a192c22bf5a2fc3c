/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What counts as an object's state, decided from the listings of all members that were heard.
 *
 * Versions are looked at from the last accepted down. A version
 *   - on at least k shards, or known committed, or a tombstone nobody rules out, stands: it is
 *     rolled forward;
 *   - of which each interval since it was written has a heard slot that did not accept it was never
 *     acknowledged: it is taken back, the next older is looked at;
 *   - older than the last clean epoch that a slot of that epoch lacks is a left-over of a deleted
 *     object: dropped;
 *   - otherwise cannot be decided: the object is unfound and waits, while the rest of the PG serves.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

/* All that was listed about one object. */
struct found {
	uint64_t oid;
	uint32_t count, capacity;
	struct found_entry {
		uint32_t member;
		const struct shard_entry *e;
	} *v;
};

static void found_add(struct found *f, uint32_t member, const struct shard_entry *e)
{
	if (f->count == f->capacity) {
		f->capacity = MAX(16u, 2 * f->capacity);
		f->v = xrealloc(f->v, f->capacity * sizeof(*f->v));
	}
	f->v[f->count++] = (struct found_entry){member, e};
}

static bool entry_has(const struct shard_entry *e, uint64_t version)
{
	return e->version == version || e->pending == version;
}

/* A version, and the last interval that accepted it anywhere: what was rolled forward later is the
 * later word, though its number is lower. */
struct candidate {
	uint64_t version;
	uint32_t stood;
};

static bool candidate_after(const struct candidate *a, const struct candidate *b)
{
	return a->stood != b->stood ? a->stood > b->stood : a->version > b->version;
}

static uint32_t version_stood(const struct found *f, uint64_t version)
{
	uint32_t stood = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		if (e->version == version)
			stood = MAX(stood, e->stood);
		if (e->pending == version)
			stood = MAX(stood, e->pending_stood);
	}
	return stood;
}

/* The last word before `limit`; version 0: none. */
static struct candidate candidate_before(const struct found *f, struct candidate limit)
{
	struct candidate best = {0};

	for (uint32_t i = 0; i < 2 * f->count; i++) {
		const struct shard_entry *e = f->v[i / 2].e;
		struct candidate c = {.version = i % 2 ? e->pending : e->version};
		if (!c.version || c.version == best.version)
			continue;
		c.stood = version_stood(f, c.version);
		if (candidate_after(&limit, &c) && candidate_after(&c, &best))
			best = c;
	}
	return best;
}

static bool member_has(const struct found *f, uint32_t member, uint64_t version)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->v[i].member == member && entry_has(f->v[i].e, version))
			return true;
	return false;
}

static bool member_has_shard(const struct found *f, uint32_t member, uint32_t shard,
                             uint64_t version)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->v[i].member == member && f->v[i].e->shard == shard &&
		    entry_has(f->v[i].e, version))
			return true;
	return false;
}

/* The last interval in which that member accepted the version; 0: it lacks it. */
static uint32_t member_stood(const struct found *f, uint32_t member, uint64_t version)
{
	uint32_t stood = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		if (f->v[i].member != member)
			continue;
		if (e->version == version)
			stood = MAX(stood, MAX(e->stood, version_epoch(version)));
		if (e->pending == version)
			stood = MAX(stood, MAX(e->pending_stood, version_epoch(version)));
	}
	return stood;
}

/*
 * Who can testify that a version was never acknowledged? In the interval that wrote it a slot that had
 * recorded its activation, and so was asked to hold all that was written: not one whose disk is older
 * than that. In a later one any that lacks it: either it knew of the version's epoch, or it has not even
 * recorded the later one, which then never was active.
 */
struct doubt {
	const struct found *f;
	uint64_t version;
};

/* The interval can be excluded: a slot of it did not accept the version in it. */
static bool interval_excluded(struct node *node, struct pg *pg, const struct interval *iv,
                              void *ctx)
{
	const struct doubt *doubt = ctx;
	uint32_t written = version_epoch(doubt->version);

	if (!iv->writable && iv->epoch > written)
		return true;
	for (uint32_t i = 0; i < iv->n; i++) {
		struct member *mb = iv->live & slot_bit(i) ? member_find(pg, iv->disks[i]) : NULL;
		if (!mb || !mb->answered)
			continue;
		uint32_t stood = member_stood(doubt->f, mb - pg->members, doubt->version);
		if (stood < iv->epoch &&
		    (stood || iv->epoch > written || mb->info.activated >= written))
			return true;
	}
	return false;
}

/* In no interval since it was written can all slots have had it. (Each of them may have rolled it
 * forward and shown it.) */
static bool never_acknowledged(struct node *node, struct pg *pg, const struct found *f,
                               uint64_t version)
{
	struct doubt doubt = {f, version};
	const uint64_t *disks;
	uint64_t live;

	return epoch_slots(node_epoch(node, version_epoch(version)), pg->pool, pg->number, &disks,
	                   &live) &&
	       intervals_each(node, pg, version_epoch(version), interval_excluded, &doubt);
}

/* A slot of the last clean epoch that recorded it; NULL: not heard, or it did not. */
static const struct member *clean_witness(struct pg *pg, uint64_t disk)
{
	const struct member *mb = member_find(pg, disk);

	return mb && mb->answered && mb->info.complete >= pg->clean_epoch ? mb : NULL;
}

/*
 * A slot that recorded the last clean epoch lacks it: deleted by then. Unless as many that recorded
 * the same, or a later clean point, have it: they would know of the delete, so the slot has lost its
 * shard (or the scrub dropped it, to have it rebuilt).
 */
static bool deleted_when_clean(struct node *node, struct pg *pg, const struct found *f,
                               uint64_t version)
{
	bool before = version_epoch(version) < pg->clean_epoch;
	uint32_t lacking = 0, having = 0;
	uint64_t live, lacked_at = 0;
	const uint64_t *disks;

	if (version_epoch(version) > pg->clean_epoch ||
	    !epoch_slots(node_epoch(node, pg->clean_epoch), pg->pool, pg->number, &disks, &live))
		return false;
	for (uint32_t i = 0; i < pg->n; i++) {
		const struct member *mb = live & slot_bit(i) ? clean_witness(pg, disks[i]) : NULL;
		if (!mb || !(before || version <= mb->info.clean_commit) ||
		    member_has(f, mb - pg->members, version))
			continue;
		lacking++;
		lacked_at = MAX(lacked_at, mb->info.clean_commit);
	}
	for (uint32_t i = 0; i < pg->n && lacking; i++) {
		const struct member *mb = live & slot_bit(i) ? clean_witness(pg, disks[i]) : NULL;
		having += mb && mb->info.clean_commit >= lacked_at &&
		          member_has_shard(f, mb - pg->members, i, version);
	}
	return lacking > having;
}

static struct undo *undo_add(struct pg *pg, uint32_t member, const struct shard_entry *e,
                             uint64_t version, enum undo_kind kind)
{
	if (!(pg->undo_count & (pg->undo_count - 1))) /* room for twice as many */
		pg->undo = xrealloc(pg->undo, MAX(1, 2 * pg->undo_count) * sizeof(*pg->undo));
	pg->undo[pg->undo_count] = (struct undo){
		.member = member,
		.shard = e->shard,
		.oid = e->oid,
		.version = version,
		.kind = kind,
	};
	return &pg->undo[pg->undo_count++];
}

/* A rejected pending version is rolled back. When the committed one below it goes too, one removal
 * takes both: two requests could overtake each other. */
static void undo_reject(struct pg *pg, uint32_t member, const struct shard_entry *e,
                        uint64_t version, bool left_over)
{
	if (e->version != version) {
		undo_add(pg, member, e, version, UNDO_ROLLBACK)->left_over = left_over;
		return;
	}
	for (uint32_t i = pg->undo_count; i-- > 0 && pg->undo[i].oid == e->oid;) {
		struct undo *u = &pg->undo[i];
		if (u->member != member || u->shard != e->shard)
			continue;
		u->kind = UNDO_REMOVE; /* of what is newest there */
		return;
	}
	undo_add(pg, member, e, version, UNDO_REMOVE)->left_over = left_over;
}

/* The first about that object or a later one: they come in the order of objects, and may be many. */
static uint32_t undo_first(const struct pg *pg, uint64_t oid)
{
	uint32_t lo = 0, hi = pg->undo_count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (pg->undo[mid].oid < oid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct undo *undo_rejected(const struct pg *pg, uint64_t version, uint64_t oid)
{
	for (uint32_t i = undo_first(pg, oid); i < pg->undo_count && pg->undo[i].oid == oid; i++)
		if (pg->undo[i].version == version && pg->undo[i].kind <= UNDO_REMOVE)
			return &pg->undo[i];
	return NULL;
}

bool undo_never_was(const struct pg *pg, uint64_t version, uint64_t oid)
{
	const struct undo *undo = undo_rejected(pg, version, oid);

	return undo && !undo->left_over;
}

bool undo_pending_below(const struct pg *pg, uint32_t member, uint64_t version, uint64_t oid)
{
	for (uint32_t i = undo_first(pg, oid); i < pg->undo_count && pg->undo[i].oid == oid; i++)
		if (pg->undo[i].version == version && pg->undo[i].member == member &&
		    pg->undo[i].kind >= UNDO_SUPERSEDED)
			return true;
	return false;
}

static void reject(struct pg *pg, const struct found *f, uint64_t version, bool left_over)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (entry_has(f->v[i].e, version))
			undo_reject(pg, f->v[i].member, f->v[i].e, version, left_over);
}

struct verdict {
	uint64_t version, size, have;
	bool committed, tombstone, undecided;
};

static void verdict_fill(const struct found *f, uint64_t version, struct verdict *v)
{
	memset(v, 0, sizeof(*v));
	v->version = version;
	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		if (!entry_has(e, version))
			continue;
		v->committed = v->committed || e->version == version;
		v->tombstone = v->tombstone ||
		               (e->flags & (e->version == version ? ENTRY_TOMBSTONE
		                                                  : ENTRY_PENDING_TOMBSTONE));
		/* The size listed is that of the newest version there, which may be a rejected one. */
		bool newest = (e->pending ? e->pending : e->version) == version;
		v->size = MAX(v->size, newest ? e->size : UINT64_MAX);
		if (!(e->flags & ENTRY_DAMAGED))
			v->have |= slot_bit(e->shard);
	}
}

/* The version that stands; version 0: none does. */
static void decide(struct node *node, struct pg *pg, const struct found *f, struct verdict *v)
{
	struct candidate c = {UINT64_MAX, UINT32_MAX};

	while ((c = candidate_before(f, c)).version) {
		uint64_t version = c.version;
		verdict_fill(f, version, v);
		if (deleted_when_clean(node, pg, f, version)) {
			reject(pg, f, version, true);
			continue;
		}
		if (v->committed ||
		    (!v->tombstone && (uint32_t)__builtin_popcountll(v->have) >= pg->k))
			return;
		if (never_acknowledged(node, pg, f, version)) {
			reject(pg, f, version, false);
			continue;
		}
		v->undecided = !v->tombstone;
		return;
	}
	memset(v, 0, sizeof(*v));
}

/*
 * What is pending beside the version that stands. A later number that was accepted earlier was never
 * acknowledged: the interval that rolled the other forward would have met it. An earlier number is
 * over once the one above is acknowledged: it must not become committed by the commit point. Below
 * one that may yet be taken back it may still be needed.
 */
static void note_pending_beside(struct pg *pg, const struct found *f, const struct verdict *v)
{
	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		if (!e->pending || e->pending == v->version || undo_rejected(pg, e->pending, f->oid))
			continue;
		if (e->pending > v->version)
			reject(pg, f, e->pending, false);
		else
			undo_add(pg, f->v[i].member, e, e->pending,
			         v->committed ? UNDO_SUPERSEDED : UNDO_LATER);
		if (!v->committed)
			pg->commit_cap = MIN(pg->commit_cap, e->pending - 1);
	}
}

/* Where each shard of the version is: in its slot, else on an earlier holder. */
static void fill_sources(struct pg *pg, const struct found *f, struct missing *m)
{
	m->have = 0;
	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		int32_t slot = pg->members[f->v[i].member].slot;
		if (!entry_has(e, m->version) || (e->flags & ENTRY_DAMAGED) || e->shard >= pg->n)
			continue;
		bool in_place = slot == (int32_t)e->shard;
		if (in_place || !(m->have & slot_bit(e->shard)))
			m->source[e->shard] = f->v[i].member;
		m->have |= slot_bit(e->shard);
	}
}

/* Live slots whose own shard is not at the version. */
static uint64_t slots_lacking(const struct pg *pg, const struct found *f, const struct verdict *v)
{
	uint64_t lacking = v->tombstone && v->committed ? 0 : pg->live;

	for (uint32_t i = 0; i < f->count; i++) {
		const struct shard_entry *e = f->v[i].e;
		int32_t slot = pg->members[f->v[i].member].slot;
		if (slot < 0 || slot != (int32_t)e->shard)
			continue;
		if (entry_has(e, v->version) && !(e->flags & ENTRY_DAMAGED))
			lacking &= ~slot_bit(slot);
		else if (v->tombstone) /* who never had the object needs no tombstone */
			lacking |= slot_bit(slot);
	}
	return lacking;
}

/* What a pending version was built on: committed where it is pending. */
static uint64_t holders_base(const struct found *f, uint64_t version)
{
	uint64_t base = 0;

	for (uint32_t i = 0; i < f->count; i++)
		if (f->v[i].e->pending == version)
			base = MAX(base, f->v[i].e->version);
	return base;
}

static void resolve_object(struct node *node, struct pg *pg, const struct found *f)
{
	struct verdict v;

	for (uint32_t i = 0; i < f->count; i++) {
		struct member *mb = &pg->members[f->v[i].member];
		if (mb->slot >= 0 && (uint32_t)mb->slot != f->v[i].e->shard)
			mb->wrong_shards = true;
	}
	decide(node, pg, f, &v);
	if (!v.version)
		return;
	pg->max_version = MAX(pg->max_version, v.version);
	note_pending_beside(pg, f, &v);
	/* What a read returns must outlive this interval: a version that nobody is known to
	 * have seen acknowledged is shown only from enough slots, or another set of few slots
	 * could decide against it later. */
	bool held =
		!v.committed && (uint32_t)__builtin_popcountll(pg->live) < pg_min_live(node, pg);
	if (!v.tombstone)
		pg->object_count++;
	else
		pg->tombstones = true;
	/* And it is accepted anew by every slot: it is this interval that shows it. */
	uint64_t need = slots_lacking(pg, f, &v), accept = v.committed ? 0 : pg->live & ~need;
	need |= accept;
	if (!need && !v.undecided && !held)
		return;
	struct missing *m = missing_add(node, pg, f->oid, v.version);
	m->size = MIN(v.size, m->size);
	m->tombstone = v.tombstone;
	m->unstable = !v.committed;
	m->held = held || v.undecided;
	if (m->unstable) {
		/* Its holders keep what came before until every live slot has it. */
		pg->unstable_count++;
		pg->commit_cap = MIN(pg->commit_cap, v.version - 1);
	}
	m->need = need;
	m->accept = accept;
	m->base = holders_base(f, v.version);
	fill_sources(pg, f, m);
	missing_requeue(node, m);
}

/* The next object that somebody lists, or false. */
static bool next_object(const struct pg *pg, const uint32_t *at, uint64_t *ret_oid)
{
	bool any = false;

	for (uint32_t i = 0; i < pg->member_count; i++) {
		const struct member *mb = &pg->members[i];
		if (at[i] == mb->entry_count)
			continue;
		uint64_t oid = mb->entries[at[i]].oid;
		*ret_oid = any ? MIN(*ret_oid, oid) : oid;
		any = true;
	}
	return any;
}

/* Merges the members' listings, all sorted by object. */
void resolve_objects(struct node *node, struct pg *pg, uint64_t to)
{
	uint32_t *at = xcalloc(pg->member_count, sizeof(*at));
	struct found found = {0}, *f = &found;

	while (next_object(pg, at, &f->oid) && f->oid <= to) {
		f->count = 0;
		for (uint32_t i = 0; i < pg->member_count; i++) {
			struct member *mb = &pg->members[i];
			for (; at[i] < mb->entry_count && mb->entries[at[i]].oid == f->oid; at[i]++)
				if (mb->entries[at[i]].shard < pg->n)
					found_add(f, i, &mb->entries[at[i]]);
		}
		if (f->count)
			resolve_object(node, pg, f);
	}
	free(f->v);
	free(at);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/lock_visit.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/vol_run.h"

/* What is there, as a state: owners are OWN and OTHERS instead of ids. */
enum { OWN = 1, OTHERS = 2 };

static void stamps_parse(struct vol_process *p, struct vol_image *v)
{
	for (uint32_t i = 0; i < v->blocks; i++)
		if (!vol_parse(p->bytes + (size_t)i * VOL_BLOCK, &v->stamp[i]))
			v->stamp[i] = UINT64_MAX; /* nobody's */
}

static int image_read(struct vol_process *p, const char *name, const struct sf_volume_info *info,
                      struct vol_image *ret)
{
	const char *tag = info->snapshot_id ? info->tag : NULL;
	struct sf_map_entry *entries = NULL;
	struct sf_volume *v;
	size_t count = 0;
	int err = sf_snapshot_open(p->cluster, name, tag, &v);

	if (err < 0)
		return err;
	*ret = (struct vol_image){.id = info->id, .k = info->redundancy.data, .m = info->redundancy.parity};
	memcpy(ret->tag, info->tag, sizeof(ret->tag) - 1);
	ret->blocks = (uint32_t)(info->size_bytes / VOL_BLOCK);
	if (ret->blocks > VOL_BLOCKS)
		err = -EFBIG;
	if (!err)
		err = sf_read(v, p->bytes, info->size_bytes, 0);
	sf_volume_close(v);
	if (!err)
		err = sf_volume_map(p->cluster, name, tag, &entries, &count);
	if (err < 0)
		return err;
	stamps_parse(p, ret);
	for (size_t i = 0; i < count; i++)
		if (entries[i].index < VOL_OBJECTS)
			ret->owner[entries[i].index] = entries[i].owner == info->id ? OWN : OTHERS;
	free(entries);
	return 0;
}

static int state_read(struct vol_process *p, const char *name, struct vol_state *ret)
{
	struct sf_volume_info *infos;
	size_t count;
	int err = sf_volume_list(p->cluster, &infos, &count);

	*ret = (struct vol_state){0};
	if (err < 0)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		struct vol_image *to = &ret->work;

		if (strcmp(infos[i].name, name))
			continue;
		if (infos[i].snapshot_id && ret->snap_count == VOL_SNAPSHOTS)
			err = -EFBIG;
		else if (infos[i].snapshot_id)
			to = &ret->snap[ret->snap_count++];
		if (!err)
			err = image_read(p, name, &infos[i], to);
	}
	free(infos);
	return err;
}

/* ---- Comparing ---- */

static bool owner_is(const struct vol_image *v, uint32_t o, uint32_t found)
{
	return found == (!v->owner[o] ? 0u : v->owner[o] == v->id ? OWN : OTHERS);
}

static bool image_is(const struct vol_image *v, const struct vol_image *found)
{
	if (!v->id != !found->id)
		return false;
	if (!v->id)
		return true;
	if (v->blocks != found->blocks || v->k != found->k || v->m != found->m || strcmp(v->tag, found->tag) ||
	    memcmp(v->stamp, found->stamp, sizeof(v->stamp)))
		return false;
	for (uint32_t o = 0; o < VOL_OBJECTS; o++)
		if (!owner_is(v, o, found->owner[o]))
			return false;
	return true;
}

static bool snapshots_are(const struct vol_state *s, const struct vol_state *found)
{
	if (s->snap_count != found->snap_count)
		return false;
	for (uint32_t i = 0; i < s->snap_count; i++)
		if (!image_is(&s->snap[i], &found->snap[i]))
			return false;
	return true;
}

static bool state_is(const struct vol_state *s, const struct vol_state *found)
{
	return image_is(&s->work, &found->work) && snapshots_are(s, found);
}

/* Of an operation that was cut off between blocks. What is found becomes what is. */
static bool state_mixes(struct vol_name *n, const struct vol_state *found)
{
	struct vol_image *now = &n->now.work;
	const struct vol_image *after = &n->last.after.work, *f = &found->work;

	if (!f->id || f->k != now->k || f->m != now->m || (f->blocks != now->blocks && f->blocks != after->blocks) ||
	    !snapshots_are(&n->now, found))
		return false;
	for (uint32_t i = 0; i < VOL_BLOCKS; i++)
		if (f->stamp[i] != now->stamp[i] && f->stamp[i] != after->stamp[i])
			return false;
	for (uint32_t o = 0; o < VOL_OBJECTS; o++) {
		bool shared = now->owner[o] && now->owner[o] != now->id;

		if (f->owner[o] == OTHERS && !shared)
			return false;
		if (f->owner[o] != OTHERS)
			now->owner[o] = f->owner[o] == OWN ? now->id : 0;
	}
	memcpy(now->stamp, f->stamp, sizeof(now->stamp));
	now->blocks = f->blocks;
	return true;
}

static void state_tell(struct world *w, const char *what, const struct vol_state *s)
{
	for (uint32_t i = 0; i <= s->snap_count; i++) {
		const struct vol_image *v = i < s->snap_count ? &s->snap[i] : &s->work;

		world_trace(w, "  %s: %s id %u %u:%u %u blocks, owners %u %u %u", what, v->tag, v->id, v->k, v->m,
		            v->blocks, v->owner[0], v->owner[1], v->owner[2]);
		for (uint32_t b = 0; b < v->blocks; b++)
			if (v->stamp[b])
				world_trace(w, "    block %u: %llx", b, (unsigned long long)v->stamp[b]);
	}
}

/* ---- Unsure names ---- */

/* Whoever takes the lock puts into the map what a cut-off write made, but for want of room. */
static bool all_is_shown(const struct vol_image *v)
{
	for (uint32_t i = 0; i < v->blocks; i++)
		if (v->stamp[i] && !v->owner[i / VOL_OBJECT_BLOCKS])
			return false;
	return true;
}

static int found_adopt(struct vol_process *p, struct vol_name *n, const struct vol_state *found)
{
	struct world *w = p->run->w;
	char text[160];

	if (state_is(&n->now, found))
		return 0;
	if (state_is(&n->last.after, found) || (n->last.has_between && state_is(&n->last.between, found))) {
		n->now = state_is(&n->last.after, found) ? n->last.after : n->last.between;
		return 0;
	}
	if (n->last.mixes && state_mixes(n, found))
		return all_is_shown(&n->now.work) ? 0 : -ENOSPC;
	vol_op_text(&n->last, text, sizeof(text));
	state_tell(w, "before", &n->now);
	state_tell(w, "after", &n->last.after);
	state_tell(w, "found", found);
	world_fail(w, "volumes: %s is neither what it was before nor what it was to be: %s", n->name, text);
	return -EILSEQ;
}

static int state_find(struct vol_process *p, struct vol_name *n, struct vol_state *found)
{
	struct lock_scope scope;
	int err = lock_scope_begin(p->cluster, n->name, "simulation", false, &scope);

	if (!err)
		err = state_read(p, n->name, found);
	lock_scope_end(&scope);
	return err;
}

bool vol_settle(struct vol_process *p, struct vol_name *n)
{
	struct vol_state found;
	struct vol_op again = n->last;
	int err;

	if (again.kind == VOL_DELETE || again.kind == VOL_DELETE_SNAPSHOT || again.kind == VOL_CONVERT ||
	    again.kind == VOL_CREATE) {
		/* Done again it makes an end of it. (A create has no fence: it may yet arrive.) */
		err = vol_op_do(p, &again);
		if (err == (again.kind == VOL_CREATE ? -EEXIST : -ENOENT) && again.kind != VOL_CONVERT)
			err = 0;
		if (!err)
			n->now = again.after;
	} else {
		err = state_find(p, n, &found);
		if (!err)
			err = found_adopt(p, n, &found);
	}
	if (err && !vol_may_fail(err))
		world_fail(p->run->w, "volumes: finding out about %s failed: %d %s", n->name, err, sf_error());
	n->unsure = err != 0;
	p->run->settled += !err;
	return !err;
}

/* ---- Checks ---- */

bool vol_check_contents(struct vol_process *p, const struct vol_name *n)
{
	struct vol_state found;
	int err = state_read(p, n->name, &found);

	if (!err && state_is(&n->now, &found))
		return true;
	if (err && vol_may_fail(err))
		return false;
	state_tell(p->run->w, "expected", &n->now);
	state_tell(p->run->w, "found", &found);
	world_fail(p->run->w, "volumes: %s is not what it must be: %d %s", n->name, err, err ? sf_error() : "");
	return false;
}

static const struct vol_image *image_find(const struct vol_run *r, const struct sf_volume_info *info)
{
	for (uint32_t i = 0; i < VOL_NAMES; i++) {
		const struct vol_state *s = &r->names[i].now;

		if (strcmp(r->names[i].name, info->name))
			continue;
		if (!info->snapshot_id)
			return s->work.id ? &s->work : NULL;
		for (uint32_t j = 0; j < s->snap_count; j++)
			if (!strcmp(s->snap[j].tag, info->tag))
				return &s->snap[j];
	}
	return NULL;
}

static void row_check(struct vol_run *r, const struct sf_volume_info *info)
{
	const struct vol_image *v = image_find(r, info);
	uint32_t used, shared;

	if (!v) {
		world_fail(r->w, "volumes: %s %s is listed, and should not be", info->name, info->tag);
		return;
	}
	vol_count(v, &used, &shared);
	if (info->used_bytes != (uint64_t)used << 20 || info->shared_bytes != (uint64_t)shared << 20 ||
	    info->size_bytes != (uint64_t)v->blocks * VOL_BLOCK)
		world_fail(r->w, "volumes: %s %s: size %llu, used %llu, shared %llu, not %u blocks, %u and %u objects",
		           info->name, info->tag, (unsigned long long)info->size_bytes,
		           (unsigned long long)info->used_bytes, (unsigned long long)info->shared_bytes, v->blocks,
		           used, shared);
}

bool vol_check_list(struct vol_process *p)
{
	struct vol_run *r = p->run;
	struct sf_volume_info *infos;
	size_t count, expected = 0;
	int err = sf_volume_list(p->cluster, &infos, &count);

	if (err < 0) {
		world_fail(r->w, "volumes: the list failed: %d %s", err, sf_error());
		return false;
	}
	for (uint32_t i = 0; i < VOL_NAMES; i++)
		expected += r->names[i].now.snap_count + !!r->names[i].now.work.id;
	for (size_t i = 0; i < count; i++)
		row_check(r, &infos[i]);
	free(infos);
	if (count != expected)
		world_fail(r->w, "volumes: %zu are listed, not %zu", count, expected);
	return !r->w->failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/vol_run.h"

/* ---- Drawing ---- */

static struct vol_name *name_draw(struct vol_run *r)
{
	struct vol_name *n = &r->names[draw_below(r->w, VOL_NAMES)];

	return n->busy || n->readers || n->unsure ? NULL : n;
}

static struct vol_name *source_draw(struct vol_run *r, const struct vol_name *not)
{
	struct vol_name *n = &r->names[draw_below(r->w, VOL_NAMES)];

	return n->busy || n->unsure || n == not || !n->now.snap_count ? NULL : n;
}

static void draw_range(struct vol_run *r, struct vol_op *op, const struct vol_image *v)
{
	op->first = (uint32_t)draw_below(r->w, v->blocks);
	op->count = (uint32_t)draw_skewed(r->w, 1, v->blocks - op->first);
	if (draw_below(r->w, 3) == 0) { /* of whole objects */
		op->first = op->first / VOL_OBJECT_BLOCKS * VOL_OBJECT_BLOCKS;
		op->count = (uint32_t)draw_between(r->w, 1, VOL_OBJECTS) * VOL_OBJECT_BLOCKS;
		op->count = MIN(v->blocks - op->first, op->count);
	}
}

static void draw_kind(struct vol_run *r, struct vol_op *op)
{
	uint32_t i = (uint32_t)draw_below(r->w, r->kind_count);

	op->k = r->kinds[i][0];
	op->m = r->kinds[i][1];
}

static bool plan_of_work(struct vol_run *r, struct vol_op *op)
{
	struct vol_state *s = &op->after;

	switch (op->kind) {
	case VOL_WRITE:
		op->stamp = ++r->next_stamp;
		draw_range(r, op, &s->work);
		vol_write(&s->work, op->first, op->count, op->stamp);
		op->mixes = true;
		return true;
	case VOL_READ:
		return true;
	case VOL_DISCARD:
		draw_range(r, op, &s->work);
		vol_discard(&s->work, op->first, op->count);
		op->mixes = true;
		return true;
	case VOL_RESIZE:
		op->count = (uint32_t)draw_between(r->w, 1, VOL_BLOCKS);
		op->mixes = op->count < s->work.blocks;
		vol_resize(&s->work, op->count);
		return true;
	case VOL_SNAPSHOT:
		if (s->snap_count == VOL_SNAPSHOTS)
			return false;
		vol_snapshot(s, ++r->next_id, op->tag);
		return true;
	case VOL_CONVERT:
		draw_kind(r, op);
		if (op->k == s->work.k && op->m == s->work.m)
			return false;
		s->work.id = ++r->next_id;
		s->work.k = op->k;
		s->work.m = op->m;
		vol_own(&s->work, false);
		return true;
	case VOL_DELETE:
		s->work = (struct vol_image){0};
		return true;
	default:
		return false;
	}
}

static bool plan_of_snapshot(struct vol_run *r, struct vol_op *op)
{
	struct vol_state *s = &op->after;

	if (!s->snap_count)
		return false;
	op->snap = (uint32_t)draw_below(r->w, s->snap_count);
	if (op->kind == VOL_ROLLBACK) {
		vol_derive(&s->work, ++r->next_id, &op->name->now.snap[op->snap]);
	} else {
		snprintf(op->tag, sizeof(op->tag), "%s", s->snap[op->snap].tag);
		vol_forget(s, op->snap);
	}
	return true;
}

/* Makes a new volume. */
static bool plan_of_new(struct vol_run *r, struct vol_op *op)
{
	struct vol_state *s = &op->after;
	const struct vol_image *from;

	if (!vol_is_none(s))
		return false;
	if (op->kind == VOL_CREATE) {
		draw_kind(r, op);
		vol_create(&s->work, ++r->next_id, (uint32_t)draw_between(r->w, 1, VOL_BLOCKS), op->k,
		           op->m);
		return true;
	}
	op->source = source_draw(r, op->name);
	if (!op->source)
		return false;
	op->snap = (uint32_t)draw_below(r->w, op->source->now.snap_count);
	from = &op->source->now.snap[op->snap];
	if (op->kind == VOL_CLONE) {
		static const uint32_t flags[] = {0, 0, SF_CLONE_COPY, SF_CLONE_PREALLOCATE};

		op->flags = flags[draw_below(r->w, ARRAY_LEN(flags))];
		vol_derive(&s->work, ++r->next_id, from);
		if (op->flags)
			vol_own(&s->work, op->flags & SF_CLONE_PREALLOCATE);
		return true;
	}
	vol_restore_full(&s->work, ++r->next_id, from);
	op->has_between = true;
	op->between = *s; /* restored, its snapshot not taken yet */
	vol_snapshot(s, ++r->next_id, op->tag);
	return true;
}

static bool op_plan(struct vol_run *r, struct vol_op *op)
{
	op->after = op->name->now;
	snprintf(op->tag, sizeof(op->tag), "s%u", ++r->next_id);
	switch (op->kind) {
	case VOL_CREATE:
	case VOL_CLONE:
	case VOL_BACKUP:
		return plan_of_new(r, op);
	case VOL_ROLLBACK:
	case VOL_DELETE_SNAPSHOT:
		return plan_of_snapshot(r, op);
	default:
		return op->after.work.id && plan_of_work(r, op);
	}
}

bool vol_op_draw(struct vol_run *r, struct vol_op *op)
{
	static const uint8_t kinds[] = {
		VOL_CREATE,   VOL_CREATE,   VOL_WRITE,    VOL_WRITE,    VOL_WRITE,           VOL_WRITE,
		VOL_READ,     VOL_READ,     VOL_DISCARD,  VOL_DISCARD,  VOL_RESIZE,          VOL_RESIZE,
		VOL_SNAPSHOT, VOL_SNAPSHOT, VOL_SNAPSHOT, VOL_CLONE,    VOL_CLONE,           VOL_ROLLBACK,
		VOL_DELETE,   VOL_BACKUP,   VOL_CONVERT,  VOL_ROLLBACK, VOL_DELETE_SNAPSHOT, VOL_DELETE_SNAPSHOT,
	};

	for (uint32_t tries = 0; tries < 50; tries++) {
		*op = (struct vol_op){.kind = kinds[draw_below(r->w, ARRAY_LEN(kinds))], .name = name_draw(r)};
		if (!op->name || !op_plan(r, op))
			continue;
		op->name->busy = true;
		if (op->source)
			op->source->readers++;
		return true;
	}
	return false;
}

void vol_op_release(struct vol_op *op)
{
	op->name->busy = false;
	if (op->source)
		op->source->readers--;
}

void vol_op_text(const struct vol_op *op, char *text, size_t len)
{
	static const char *const names[] = {
		"create", "write", "read", "discard", "resize", "snapshot", "clone", "rollback", "delete",
		"delete snapshot", "convert", "backup and restore",
	};

	snprintf(text, len, "%s %s (blocks %u+%u tag %s from %s snapshot %u flags %x %u:%u)", names[op->kind],
	         op->name->name, op->first, op->count, op->tag, op->source ? op->source->name : "-", op->snap,
	         op->flags, op->k, op->m);
}

/* ---- Doing ---- */

bool vol_may_fail(int err)
{
	return err == -EBUSY || err == -ENOLCK || err == -ENOSPC || err == -ETIMEDOUT;
}

static int open_and(struct vol_process *p, struct vol_op *op)
{
	struct sf_volume *v;
	uint64_t at = (uint64_t)op->first * VOL_BLOCK, len = (uint64_t)op->count * VOL_BLOCK;
	int err = sf_volume_open_write(p->cluster, op->name->name, "simulation", &v), closed;

	if (err < 0)
		return err;
	for (uint32_t i = 0; op->kind == VOL_WRITE && i < op->count; i++)
		vol_fill(p->bytes + (size_t)i * VOL_BLOCK, op->stamp);
	err = op->kind == VOL_WRITE ? sf_write(v, p->bytes, len, at) : sf_discard(v, len, at);
	closed = sf_volume_close(v);
	return err ? err : closed;
}

struct stream {
	uint8_t *bytes;
	size_t len, capacity, at;
};

static int stream_write(void *arg, const void *data, size_t len)
{
	struct stream *s = arg;

	if (s->len + len > s->capacity) {
		s->capacity = MAX(2 * s->capacity, s->len + len);
		s->bytes = xrealloc(s->bytes, s->capacity);
	}
	memcpy(s->bytes + s->len, data, len);
	s->len += len;
	return 0;
}

static ssize_t stream_read(void *arg, void *data, size_t len)
{
	struct stream *s = arg;

	len = MIN(len, s->len - s->at);
	memcpy(data, s->bytes + s->at, len);
	s->at += len;
	return (ssize_t)len;
}

static int backup(struct vol_process *p, struct vol_op *op)
{
	struct stream s = {0};
	int err = sf_backup(p->cluster, op->source->name, op->source->now.snap[op->snap].tag, NULL, stream_write,
	                    &s, NULL, NULL);

	if (!err)
		err = sf_restore(p->cluster, op->name->name, op->tag, stream_read, &s, NULL, NULL);
	free(s.bytes);
	return err;
}

int vol_op_do(struct vol_process *p, struct vol_op *op)
{
	const char *name = op->name->name;
	const struct vol_image *work = &op->after.work;

	switch (op->kind) {
	case VOL_CREATE:
		return sf_volume_create(p->cluster, name,
		                        &(struct sf_volume_options){
						.size_bytes = (uint64_t)work->blocks * VOL_BLOCK,
						.redundancy = {op->k, op->m},
					});
	case VOL_WRITE:
	case VOL_DISCARD:
		return open_and(p, op);
	case VOL_READ:
		vol_check_contents(p, op->name);
		return 0;
	case VOL_RESIZE:
		return sf_volume_resize(p->cluster, name, (uint64_t)op->count * VOL_BLOCK);
	case VOL_SNAPSHOT:
		return sf_snapshot_create(p->cluster, name, op->tag);
	case VOL_CLONE:
		return sf_volume_clone(p->cluster, op->source->name, op->source->now.snap[op->snap].tag, name,
		                       op->flags);
	case VOL_ROLLBACK:
		return sf_snapshot_rollback(p->cluster, name, op->name->now.snap[op->snap].tag);
	case VOL_DELETE:
		return sf_volume_delete(p->cluster, name);
	case VOL_DELETE_SNAPSHOT:
		return sf_snapshot_delete(p->cluster, name, op->tag);
	case VOL_CONVERT:
		return sf_volume_alter_copy(p->cluster, name, (struct sf_redundancy){op->k, op->m}, NULL, NULL,
		                            NULL);
	default:
		return backup(p, op);
	}
}

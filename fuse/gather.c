/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/landing.h"

enum {
	ACCEPTED_MAX = 64 << 20, /* bytes answered and not durable */
	GATHERS_MAX = 64,
	UNTOUCHED_MS = 20, /* then it goes out */
	AGE_MAX_MS = 500,
	HELD_MS = 50,  /* of one that somebody waits for */
	BUSY_MIN = 2,  /* writes under way: the cluster is not idle while one is held */
	JOIN_MIN = 64 << 10, /* a first piece of so many bytes gets room for a whole object */
};

/* ---- Those that are accepted before they are durable ---- */

struct throttled {
	STAILQ_ENTRY(throttled) link;
	fuse_req_t req;
	size_t size;
};

/* Its bytes are counted already. */
static void gather_answer(struct mount *m, fuse_req_t req, size_t size)
{
	struct throttled *t = NULL;

	pthread_mutex_lock(&m->lock);
	if (m->accepted > ACCEPTED_MAX) {
		t = memory_zeroed(sizeof(*t));
		t->req = req;
		t->size = size;
		STAILQ_INSERT_TAIL(&m->throttled, t, link);
	}
	pthread_mutex_unlock(&m->lock);
	if (!t)
		fuse_reply_write(req, size);
}

void gather_release(struct mount *m, uint64_t bytes)
{
	STAILQ_HEAD(, throttled) now = STAILQ_HEAD_INITIALIZER(now);

	pthread_mutex_lock(&m->lock);
	m->accepted -= bytes;
	if (m->accepted <= ACCEPTED_MAX)
		STAILQ_CONCAT(&now, &m->throttled);
	pthread_mutex_unlock(&m->lock);
	for (struct throttled *t; (t = STAILQ_FIRST(&now));) {
		STAILQ_REMOVE_HEAD(&now, link);
		fuse_reply_write(t->req, t->size);
		free(t);
	}
}

/* ---- Gathering ---- */

static uint64_t unit_of(const struct volume *v)
{
	uint64_t object = 1ull << v->info.object_shift;

	return object < GATHER_MAX ? object : GATHER_MAX;
}

bool gather_is_one(const struct volume *v, uint64_t offset, size_t size)
{
	return offset / unit_of(v) == (offset + size - 1) / unit_of(v);
}

static void gather_touch(struct mount *m, struct op *op)
{
	op->touched_ms = mount_now_ms();
	TAILQ_REMOVE(&m->gathers, op, gather_link);
	TAILQ_INSERT_TAIL(&m->gathers, op, gather_link);
}

void gather_close(struct mount *m, struct op *op)
{
	TAILQ_REMOVE(&m->gathers, op, gather_link);
	m->gather_count--;
	op_submit(op);
}

void gather_close_all(struct mount *m)
{
	while (!TAILQ_EMPTY(&m->gathers))
		gather_close(m, TAILQ_FIRST(&m->gathers));
}

/* The one whose end, or middle, these bytes fit. */
static struct op *gather_find(struct volume *v, uint64_t begin, uint64_t end)
{
	struct op *op;

	TAILQ_FOREACH_REVERSE(op, &v->mount->gathers, gather_list, gather_link)
	{
		if (op->volume != v || begin < op->begin || begin > op->end)
			continue;
		if (end > op->end && (end - 1) / unit_of(v) != op->begin / unit_of(v))
			continue;
		if (!op_is_overtaken(op, begin, end))
			return op;
	}
	return NULL;
}

static void gather_grow(struct mount *m, struct op *op, size_t size)
{
	size_t capacity, used = op->end - op->begin;
	uint8_t *data;

	if (size <= op->capacity)
		return;
	data = memory_take(&m->gathered, size, &capacity);
	memcpy(data, op->data, used);
	memory_give(&m->gathered, op->data, op->capacity);
	op->data = data;
	op->capacity = capacity;
}

static struct op *gather_begin(struct volume *v, const char *data, uint64_t begin, size_t size)
{
	struct mount *m = v->mount;
	struct op *op = op_create(v, OP_WRITE, begin, begin + size);
	size_t room = size < JOIN_MIN ? size : (size_t)(unit_of(v) - begin % unit_of(v));

	op->follows = begin == v->write_end;
	op->data = size < JOIN_MIN ? NULL : landing_adopt(m, data);
	op->capacity = GATHER_MAX;
	if (!op->data)
		op->data = memory_take(&m->gathered, room, &op->capacity);
	op_enter_gathering(op);
	TAILQ_INSERT_TAIL(&m->gathers, op, gather_link);
	m->gather_count++;
	return op;
}

static void gather_put(struct volume *v, const char *data, size_t size, uint64_t offset,
                       struct durable *durable)
{
	struct mount *m = v->mount;
	struct op *op = gather_find(v, offset, offset + size);
	struct durable_ref *ref;
	uint8_t *to;

	if (!op) {
		op = gather_begin(v, data, offset, size);
	} else if (offset + size > op->end) {
		gather_grow(m, op, offset + size - op->begin);
		pthread_mutex_lock(&m->lock); /* others compare ranges */
		op->end = offset + size;
		pthread_mutex_unlock(&m->lock);
	}
	to = op->data + (offset - op->begin);
	/* It may have landed there, or behind. */
	if (to != (const uint8_t *)data)
		memmove(to, data, size);
	v->write_end = offset + size;
	if (durable) {
		ref = memory_zeroed(sizeof(*ref));
		*ref = (struct durable_ref){.durable = durable, .next = op->durables};
		op->durables = ref;
		pthread_mutex_lock(&m->lock);
		durable->pending++;
		pthread_mutex_unlock(&m->lock);
	} else {
		op->accepted += size;
	}
	gather_touch(m, op);
	if (op->end % unit_of(v) == 0)
		gather_close(m, op);
	else if (m->gather_count > GATHERS_MAX)
		gather_close(m, TAILQ_FIRST(&m->gathers));
}

/* One of a sequence, while the cluster has enough to do: more will come, and go out with it. */
static bool gather_is_held(struct op *op)
{
	struct volume *v = op->volume;
	bool held;

	if (!op->follows)
		return false;
	pthread_mutex_lock(&v->mount->lock);
	held = v->writing >= BUSY_MIN;
	if (held)
		v->holding = true;
	pthread_mutex_unlock(&v->mount->lock);
	return held;
}

static uint64_t gather_due(struct op *op)
{
	uint64_t untouched = op->touched_ms + UNTOUCHED_MS, aged = op->born_ms + AGE_MAX_MS;

	if (op->durables)
		return gather_is_held(op) ? op->born_ms + HELD_MS : 0;
	return untouched < aged ? untouched : aged;
}

int gather_pause(struct mount *m)
{
	uint64_t now = mount_now_ms(), due, first = UINT64_MAX;
	struct op *op, *next;

	for (op = TAILQ_FIRST(&m->gathers); op; op = next) {
		next = TAILQ_NEXT(op, gather_link);
		due = gather_due(op);
		if (due <= now) {
			/* Closing it may close others. */
			gather_close(m, op);
			next = TAILQ_FIRST(&m->gathers);
			first = UINT64_MAX;
		} else if (due < first) {
			first = due;
		}
	}
	return first == UINT64_MAX ? -1 : (int)(first - now);
}

/* ---- The kernel's request ---- */

static bool write_may_be_early(struct volume *v, int open_flags)
{
	struct mount *m = v->mount;
	bool broken;

	if (m->options->no_cache || (open_flags & (O_DIRECT | O_SYNC | O_DSYNC)))
		return false;
	/* After a failure, not before somebody was told. */
	pthread_mutex_lock(&m->lock);
	broken = v->write_errors > 0 && !v->write_error_told;
	pthread_mutex_unlock(&m->lock);
	return !broken;
}

void gather_write(struct volume *v, fuse_req_t req, const char *data, size_t size, uint64_t offset,
                  int open_flags)
{
	struct mount *m = v->mount;
	struct durable *durable = NULL;
	uint64_t volume_size, unit;
	size_t left, piece;

	pthread_mutex_lock(&m->lock);
	volume_size = v->info.size_bytes;
	clock_gettime(CLOCK_REALTIME, &v->written);
	pthread_mutex_unlock(&m->lock);
	if (offset >= volume_size) {
		fuse_reply_err(req, ENOSPC); /* as with a block device */
		return;
	}
	if (size > volume_size - offset)
		size = (size_t)(volume_size - offset);
	if (!write_may_be_early(v, open_flags)) {
		durable = memory_zeroed(sizeof(*durable));
		*durable = (struct durable){.req = req, .size = size, .pending = 1};
	} else {
		pthread_mutex_lock(&m->lock);
		m->accepted += size;
		pthread_mutex_unlock(&m->lock);
	}
	unit = unit_of(v);
	for (left = size; left > 0; left -= piece) {
		piece = (size_t)(unit - offset % unit);
		if (piece > left)
			piece = left;
		gather_put(v, data, piece, offset, durable);
		data += piece;
		offset += piece;
	}
	if (durable)
		durable_put(m, durable, 0);
	else
		gather_answer(m, req, size);
}

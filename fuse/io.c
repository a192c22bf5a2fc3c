/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "fuse/gather.h"
#include "fuse/tree.h"

int io_errno(int err)
{
	switch (err) {
	case -ENOSPC:
	case -ENOMEM:
	case -EBUSY:
	case -ENOENT:
	case -EROFS:
	case -EACCES:
	case -EPERM:
		return -err;
	default:
		return EIO;
	}
}

/* ---- Order ---- */

static bool op_changes(const struct op *op)
{
	return op->kind == OP_WRITE || op->kind == OP_ZERO;
}

static bool op_must_follow(const struct op *op, const struct op *earlier)
{
	switch (op->kind) {
	case OP_SETTLE:
		return true;
	case OP_FLUSH:
		return op_changes(earlier);
	default:
		if (earlier->kind == OP_SETTLE || earlier->kind == OP_FLUSH)
			return false;
		if (!op_changes(op) && !op_changes(earlier))
			return false;
		return op->begin < earlier->end && earlier->begin < op->end;
	}
}

static bool op_may_start(const struct op *op)
{
	const struct op *e;

	TAILQ_FOREACH(e, &op->volume->ops, link)
	{
		if (e == op)
			return true;
		if (op_must_follow(op, e))
			return false;
	}
	assert(!"an operation is not in its list");
	return false;
}

bool op_is_overtaken(struct op *op, uint64_t begin, uint64_t end)
{
	struct mount *m = op->volume->mount;
	bool found = false;

	pthread_mutex_lock(&m->lock);
	for (struct op *e = TAILQ_NEXT(op, link); e && !found; e = TAILQ_NEXT(e, link))
		found = e->kind == OP_FLUSH || e->kind == OP_SETTLE ||
		        (begin < e->end && e->begin < end);
	pthread_mutex_unlock(&m->lock);
	return found;
}

/* ---- Ends ---- */

void durable_put(struct mount *m, struct durable *d, int result)
{
	bool last;

	pthread_mutex_lock(&m->lock);
	if (result < 0 && d->result == 0)
		d->result = result;
	last = --d->pending == 0;
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	if (d->result < 0)
		fuse_reply_err(d->req, io_errno(d->result));
	else
		fuse_reply_write(d->req, d->size);
	free(d);
}

struct settle_job {
	struct job job;
	struct volume *volume;
};

static void settle_run(struct job *job)
{
	struct settle_job *s = (struct settle_job *)job;

	volume_settle(s->volume);
	volume_unref(s->volume);
	free(s);
}

static void settle_post(struct volume *v)
{
	struct settle_job *s = memory_zeroed(sizeof(*s));

	s->job.run = settle_run;
	s->volume = v;
	pthread_mutex_lock(&v->mount->lock);
	volume_ref(v);
	pthread_mutex_unlock(&v->mount->lock);
	workers_post(v->mount->workers, &s->job);
}

/* The kernel's pages have what the cluster has not: whoever reads next sees what there is. */
struct drop_job {
	struct job job;
	struct volume *volume;
	off_t begin, length;
};

static void drop_run(struct job *job)
{
	struct drop_job *d = (struct drop_job *)job;
	struct volume *v = d->volume;

	/* It waits for pages that are being read, so somebody must serve those. */
	if (!fuse_session_exited(v->mount->session))
		(void)fuse_lowlevel_notify_inval_inode(v->mount->session, tree_ino(v), d->begin,
		                                       d->length);
	volume_unref(v);
	free(d);
}

static void drop_post(const struct op *op)
{
	struct drop_job *d = memory_zeroed(sizeof(*d));

	*d = (struct drop_job){
		.job.run = drop_run,
		.volume = op->volume,
		.begin = (off_t)op->begin,
		.length = (off_t)(op->end - op->begin),
	};
	pthread_mutex_lock(&op->volume->mount->lock);
	volume_ref(op->volume);
	pthread_mutex_unlock(&op->volume->mount->lock);
	workers_post(op->volume->mount->workers, &d->job);
}

static void write_failed(const struct op *op, int result)
{
	struct mount *m = op->volume->mount;

	pthread_mutex_lock(&m->lock);
	volume_note_error(op->volume, result);
	pthread_mutex_unlock(&m->lock);
	mount_log(m, "volume %s: %llu bytes at %llu could not be written: %s", op->volume->name,
	          (unsigned long long)(op->end - op->begin), (unsigned long long)op->begin,
	          sf_error());
	drop_post(op);
}

static void write_end(struct op *op, int result)
{
	struct mount *m = op->volume->mount;

	if (op->accepted) {
		if (result < 0)
			write_failed(op, result);
		gather_release(m, op->accepted);
	}
	for (struct durable_ref *r; (r = op->durables);) {
		op->durables = r->next;
		durable_put(m, r->durable, result);
		free(r);
	}
	memory_give(&m->gathered, op->data, op->capacity);
}

static void flush_end(struct op *op, int result)
{
	struct mount *m = op->volume->mount;

	if (op->file) {
		pthread_mutex_lock(&m->lock);
		if (result == 0)
			result = volume_take_error(op->volume, op->file);
		pthread_mutex_unlock(&m->lock);
	}
	fuse_reply_err(op->req, result < 0 ? io_errno(result) : 0);
}

static void op_end(struct op *op, int result)
{
	struct mount *m = op->volume->mount;

	switch (op->kind) {
	case OP_READ:
		if (result < 0)
			fuse_reply_err(op->req, io_errno(result));
		else
			fuse_reply_buf(op->req, (char *)op->data, op->end - op->begin);
		memory_give(&m->reads, op->data, op->capacity);
		break;
	case OP_WRITE:
		write_end(op, result);
		break;
	case OP_ZERO:
		fuse_reply_err(op->req, result < 0 ? io_errno(result) : 0);
		break;
	case OP_FLUSH:
		flush_end(op, result);
		break;
	case OP_SETTLE:
		settle_post(op->volume);
		break;
	}
	pthread_mutex_lock(&m->lock);
	if (--m->ops == 0)
		pthread_cond_broadcast(&m->idle);
	volume_unref_locked(op->volume);
	pthread_mutex_unlock(&m->lock);
	free(op);
}

/* ---- Starting ---- */

TAILQ_HEAD(op_list, op);

static void op_done(void *arg, int result);

/* The lock is held. False: it ends at once, with op->result. */
static bool op_start(struct op *op)
{
	struct volume *v = op->volume;
	uint64_t length = op->end - op->begin;

	op->state = OP_RUNNING;
	if (op->kind == OP_SETTLE || (op->kind == OP_FLUSH && !v->handle))
		return false;
	if (!v->handle || (op_changes(op) && !v->writable)) {
		op->result = -EIO;
		return false;
	}
	/* Waited for another that took its full time: the cluster does not answer. */
	if (mount_now_ms() - op->born_ms > v->mount->options->io_timeout_s * 1000ull + 1000) {
		op->result = -ETIMEDOUT;
		return false;
	}
	switch (op->kind) {
	case OP_READ:
		sf_read_async(v->handle, op->data, length, op->begin, op_done, op);
		break;
	case OP_WRITE:
		v->writing++;
		sf_write_async(v->handle, op->data, length, op->begin, op_done, op);
		break;
	case OP_ZERO:
		sf_discard_async(v->handle, length, op->begin, op_done, op);
		break;
	default:
		sf_flush_async(v->handle, op_done, op);
		break;
	}
	return true;
}

/* Starts what may start now; those that end at once are moved to `ended`. The lock is held. */
static void volume_start_waiting(struct volume *v, struct op_list *ended)
{
	struct op *op, *next;

again:
	for (op = TAILQ_FIRST(&v->ops); op && v->waiting > 0; op = next) {
		next = TAILQ_NEXT(op, link);
		if (op->state != OP_WAITING || !op_may_start(op))
			continue;
		v->waiting--;
		if (op_start(op))
			continue;
		TAILQ_REMOVE(&v->ops, op, link);
		TAILQ_INSERT_TAIL(ended, op, link);
		goto again; /* others may have waited for it */
	}
}

static void ops_end(struct op_list *ended)
{
	for (struct op *op; (op = TAILQ_FIRST(ended));) {
		TAILQ_REMOVE(ended, op, link);
		op_end(op, op->result);
	}
}

/* On the I/O thread. */
static void op_done(void *arg, int result)
{
	struct op *op = arg;
	struct volume *v = op->volume;
	struct mount *m = v->mount;
	struct op_list ended = TAILQ_HEAD_INITIALIZER(ended);
	bool wake = false;

	pthread_mutex_lock(&m->lock);
	TAILQ_REMOVE(&v->ops, op, link);
	if (op->kind == OP_WRITE) {
		v->writing--;
		wake = v->holding;
		v->holding = false;
	}
	if (v->waiting > 0)
		volume_start_waiting(v, &ended);
	pthread_mutex_unlock(&m->lock);
	if (wake)
		mount_wake(m);
	op_end(op, result);
	ops_end(&ended);
}

/* ---- Entering ---- */

struct op *op_create(struct volume *v, enum op_kind kind, uint64_t begin, uint64_t end)
{
	struct mount *m = v->mount;
	struct op *op = memory_zeroed(sizeof(*op));

	op->volume = v;
	op->kind = kind;
	op->begin = begin;
	op->end = end;
	op->born_ms = op->touched_ms = mount_now_ms();
	op->state = OP_WAITING;
	pthread_mutex_lock(&m->lock);
	volume_ref(v);
	m->ops++;
	pthread_mutex_unlock(&m->lock);
	return op;
}

void op_enter_gathering(struct op *op)
{
	struct mount *m = op->volume->mount;

	op->state = OP_GATHERING;
	pthread_mutex_lock(&m->lock);
	TAILQ_INSERT_TAIL(&op->volume->ops, op, link);
	pthread_mutex_unlock(&m->lock);
}

/* The first that is still gathered and that `op` must follow. */
static struct op *op_gathered_before(struct op *op)
{
	struct mount *m = op->volume->mount;
	struct op *e, *found = NULL;

	pthread_mutex_lock(&m->lock);
	TAILQ_FOREACH(e, &op->volume->ops, link)
	{
		if (e == op)
			break;
		if (e->state == OP_GATHERING && op_must_follow(op, e)) {
			found = e;
			break;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return found;
}

/* The loop's: it alone gathers. */
void op_submit(struct op *op)
{
	struct volume *v = op->volume;
	struct mount *m = v->mount;
	struct op_list ended = TAILQ_HEAD_INITIALIZER(ended);
	struct op *e;

	/* Those are older, so that this ends. */
	while ((e = op_gathered_before(op)))
		gather_close(m, e);
	pthread_mutex_lock(&m->lock);
	if (op->state == OP_GATHERING)
		op->state = OP_WAITING;
	else
		TAILQ_INSERT_TAIL(&v->ops, op, link);
	v->waiting++;
	volume_start_waiting(v, &ended);
	pthread_mutex_unlock(&m->lock);
	ops_end(&ended);
}

/* ---- Requests ---- */

void io_read(struct volume *v, fuse_req_t req, size_t size, uint64_t offset)
{
	struct mount *m = v->mount;
	uint64_t volume_size;
	struct op *op;

	pthread_mutex_lock(&m->lock);
	volume_size = v->info.size_bytes;
	pthread_mutex_unlock(&m->lock);
	if (offset >= volume_size || size == 0) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > REQUEST_MAX)
		size = REQUEST_MAX;
	if (size > volume_size - offset)
		size = (size_t)(volume_size - offset);
	op = op_create(v, OP_READ, offset, offset + size);
	op->req = req;
	op->data = memory_take(&m->reads, size, &op->capacity);
	op_submit(op);
}

void io_zero(struct volume *v, fuse_req_t req, uint64_t length, uint64_t offset)
{
	struct op *op = op_create(v, OP_ZERO, offset, offset + length);

	op->req = req;
	op_submit(op);
}

void io_flush(struct volume *v, fuse_req_t req, struct file *file)
{
	struct op *op = op_create(v, OP_FLUSH, 0, UINT64_MAX);

	op->req = req;
	op->file = file;
	op_submit(op);
}

void io_leave(struct volume *v, bool writes)
{
	volume_leave(v, writes);
	op_submit(op_create(v, OP_SETTLE, 0, UINT64_MAX));
	volume_unref(v);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/inode.h"
#include "client/lib/lock.h"
#include "client/lib/owner_check.h"
#include "client/lib/volume.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/*
 * Reading and writing. An operation (struct io) is cut at object boundaries into parts; up to
 * `window` of them are under way. A write to an object that the map does not show yet also changes
 * the map, at the same time, and counts as done when both are durable.
 *
 * An object that the map shows as another's (a snapshot's) is copied before it is changed.
 *
 * The map says where an object is read from; one that it does not show is asked for all the same,
 * because another client may have written it since: it answers with zeros if not.
 */
enum io_kind { IO_READ, IO_WRITE, IO_DISCARD, IO_FLUSH, IO_DRAIN };

struct io {
	struct task task;
	struct list link; /* in volume->ordered, but for reads */
	struct sf_volume *volume;
	enum io_kind kind;
	uint8_t *data;
	uint64_t len, offset;
	sf_callback done;
	void *arg;
	uint64_t next;      /* bytes cut into parts so far */
	uint32_t under_way; /* parts */
	bool loading;
	struct volmap_load load;
	int result;
	char why[ERROR_TEXT_LEN];
};

struct part {
	struct request req;
	struct volmap_waiter waiter;
	struct list link; /* in copy->waiting */
	struct io *io;
	struct piece piece;
	uint8_t *data;    /* the io's bytes that it is about */
	uint32_t pending; /* answers to wait for */
	bool whole;       /* a discard of all there is in the object */
	uint32_t owner;   /* READ: whose object the map says it is; 0: nobody's */
};

/* An object of another volume id that is changed: copied first. Other changes of it wait. */
struct copy {
	struct list link; /* in volume->copies */
	struct list waiting;
	struct part *part; /* whose change it is for */
	uint32_t length;   /* of all there is in the object */
	uint8_t *bytes;
};

struct piece piece_first(uint64_t offset, uint64_t len, uint32_t object_shift)
{
	uint64_t size = 1ull << object_shift;
	uint64_t in_object = offset & (size - 1);

	return (struct piece){
		.index = offset >> object_shift,
		.offset = (uint32_t)in_object,
		.length = (uint32_t)MIN(len, size - in_object),
	};
}

static void io_pump(struct io *io);

/* ---- The end of an operation ---- */

static void io_finish(struct io *io)
{
	sf_callback done = io->done;
	void *arg = io->arg;
	int result = io->result;

	if (result < 0)
		error_set(result, "%s", io->why);
	else
		error_clear();
	free(io);
	done(arg, result);
}

bool volume_is_quiet(const struct sf_volume *v)
{
	return list_empty(&v->ordered) && v->reads == 0;
}

/* Flushes whose predecessors are all done, oldest first. True: the volume may be gone now. */
static bool volume_settle(struct sf_volume *v)
{
	while (!list_empty(&v->ordered)) {
		struct io *io = list_item(v->ordered.next, struct io, link);
		bool last = io->kind == IO_DRAIN;

		if (io->kind != IO_FLUSH && io->kind != IO_DRAIN)
			return false;
		if (last && v->reads > 0)
			return false;
		list_remove(&io->link);
		io_finish(io);
		if (last)
			return true;
	}
	return false;
}

static void io_end(struct io *io)
{
	struct sf_volume *v = io->volume;

	if (io->kind == IO_READ)
		v->reads--;
	else
		list_remove(&io->link);
	io_finish(io);
	if (!volume_settle(v))
		volume_quieted(v);
}

static void io_fail(struct io *io, int err, const char *why)
{
	if (io->result == 0) {
		io->result = err;
		snprintf(io->why, sizeof(io->why), "%s", why);
	}
	if (io->kind != IO_READ && io->volume->lock)
		io->volume->lock->unsettled = true;
}

/* ---- Parts ---- */

static void part_unhold(struct part *part)
{
	struct io *io = part->io;

	if (--part->pending > 0)
		return;
	request_fini(&part->req);
	free(part);
	io->under_way--;
	io_pump(io);
}

static void part_map_done(struct volmap_waiter *waiter, int err, const char *why)
{
	struct part *part = container_of(waiter, struct part, waiter);

	if (err)
		io_fail(part->io, err, why);
	part_unhold(part);
}

static void part_set_owner(struct part *part, uint32_t owner)
{
	part->waiter.done = part_map_done;
	if (!volmap_set(&part->io->volume->map, part->piece.index, owner, &part->waiter))
		part->pending++;
}

static void part_start_read(struct part *part, uint32_t owner);

static void part_checked(struct owner_check *check, int err, uint32_t owner)
{
	struct part *part = check->arg;
	bool moved = err == 0 && owner != 0 && owner != part->owner;

	if (err == -ESTALE)
		io_fail(part->io, err, "the volume was deleted or replaced; open it again");
	else if (err < 0)
		io_fail(part->io, err, check->req.why);
	else
		volmap_vouch(&part->io->volume->map, part->piece.index);
	owner_check_free(check);
	if (moved) {
		part_start_read(part, owner);
		request_submit(part->io->volume->cluster, &part->req);
		return;
	}
	part_unhold(part); /* the zeros are right */
}

static void part_done(struct request *req)
{
	struct part *part = req->arg;
	struct sf_volume *v = part->io->volume;

	if (req->type == MSG_OBJ_READ && req->result == 0 && (req->reply_flags & MSG_F_ABSENT) &&
	    !v->lock && (part->owner || !volmap_is_vouched(&v->map, part->piece.index))) {
		request_fini(req);
		owner_check_start(v, part->piece.index, part_checked, part);
		return;
	}
	if (req->result == -ENOENT && req->type == MSG_OBJ_READ)
		memset(req->rx, 0, req->length); /* absent reads as zeros */
	else if (req->result < 0)
		io_fail(part->io, req->result, req->why);
	else if (part->whole)
		part_set_owner(part, 0);
	part_unhold(part);
}

/* Bytes of the volume in its object. */
static uint32_t object_length(const struct sf_volume *v, uint64_t index)
{
	uint64_t begin = index << v->info.object_shift;

	return (uint32_t)MIN(v->info.size_bytes - begin, 1ull << v->info.object_shift);
}

static void part_request(struct part *part, enum msg_type type, uint32_t owner)
{
	struct sf_volume *v = part->io->volume;
	struct request *req = &part->req;

	request_init(req, ROUTE_PRIMARY, type);
	req->pool = v->info.pool;
	req->oid = oid_data(owner, (uint32_t)part->piece.index);
	req->fence = v->fence;
	req->done = part_done;
	req->arg = part;
}

/* ---- Copies ---- */

static void part_start(struct part *part);

static struct copy *copy_find(struct sf_volume *v, uint64_t index)
{
	list_each (it, &v->copies) {
		struct copy *copy = list_item(it, struct copy, link);

		if (copy->part->piece.index == index)
			return copy;
	}
	return NULL;
}

/* The part goes on to wait for the map, if that is not durable yet. */
static void copy_end(struct copy *copy)
{
	struct part *part = copy->part;

	list_remove(&copy->link);
	for (struct list *it; (it = list_pop(&copy->waiting));)
		part_start(list_item(it, struct part, link));
	free(copy->bytes);
	free(copy);
	part_unhold(part);
}

static void copy_fail(struct copy *copy, const struct request *req)
{
	io_fail(copy->part->io, req->result, req->why);
	copy_end(copy);
}

/* The map last: until then the object is still the other's. */
static void copy_written(struct request *req)
{
	struct copy *copy = req->arg;
	struct part *part = copy->part;

	if (req->result < 0) {
		copy_fail(copy, req);
		return;
	}
	part_set_owner(part, part->io->volume->info.id);
	copy_end(copy);
}

static void copy_write(struct copy *copy)
{
	struct part *part = copy->part;
	struct request *req = &part->req;

	if (part->io->kind == IO_WRITE)
		memcpy(copy->bytes + part->piece.offset, part->data, part->piece.length);
	else
		memset(copy->bytes + part->piece.offset, 0, part->piece.length);
	part_request(part, MSG_OBJ_WRITE, part->io->volume->info.id);
	req->tx = copy->bytes;
	req->tx_len = copy->length;
	req->done = copy_written;
	req->arg = copy;
	request_submit(part->io->volume->cluster, req);
}

static void copy_read(struct request *req)
{
	struct copy *copy = req->arg;

	if (req->result == -ENOENT) {
		memset(copy->bytes, 0, copy->length);
	} else if (req->result < 0) {
		copy_fail(copy, req);
		return;
	}
	request_fini(req);
	copy_write(copy);
}

static void copy_start(struct part *part, uint32_t owner)
{
	struct sf_volume *v = part->io->volume;
	struct copy *copy = xcalloc(1, sizeof(*copy));
	struct request *req = &part->req;

	copy->part = part;
	copy->length = object_length(v, part->piece.index);
	copy->bytes = xmalloc(copy->length);
	list_init(&copy->waiting);
	list_push(&v->copies, &copy->link);
	if (part->piece.length == copy->length) {
		copy_write(copy);
		return;
	}
	part_request(part, MSG_OBJ_READ, owner);
	req->rx = copy->bytes;
	req->length = copy->length;
	req->done = copy_read;
	req->arg = copy;
	request_submit(v->cluster, req);
}

/* ---- Starting parts ---- */

static void part_start_discard(struct part *part)
{
	part_request(part, part->whole ? MSG_OBJ_DELETE : MSG_OBJ_ZERO, part->io->volume->info.id);
	if (part->whole)
		return;
	part->req.offset = part->piece.offset;
	part->req.length = part->piece.length;
}

static void part_start_write(struct part *part)
{
	part_request(part, MSG_OBJ_WRITE, part->io->volume->info.id);
	part->req.offset = part->piece.offset;
	part->req.tx = part->data;
	part->req.tx_len = part->piece.length;
	part_set_owner(part, part->io->volume->info.id);
}

static void part_start_read(struct part *part, uint32_t owner)
{
	part->owner = owner;
	part_request(part, MSG_OBJ_READ, owner ? owner : part->io->volume->info.id);
	part->req.offset = part->piece.offset;
	part->req.rx = part->data;
	part->req.length = part->piece.length;
}

static void part_start(struct part *part)
{
	struct io *io = part->io;
	struct sf_volume *v = io->volume;
	uint32_t owner = volmap_owner(&v->map, part->piece.index);
	struct copy *copy = io->kind == IO_READ ? NULL : copy_find(v, part->piece.index);

	if (copy) {
		list_push(&copy->waiting, &part->link);
		return;
	}
	part->whole = io->kind == IO_DISCARD &&
	              part->piece.length == object_length(v, part->piece.index);
	if (io->kind == IO_READ) {
		part_start_read(part, owner);
	} else if (owner && owner != v->info.id && !part->whole) {
		copy_start(part, owner);
		return;
	} else if (io->kind == IO_WRITE) {
		part_start_write(part);
	} else {
		part_start_discard(part);
		/* The map may not show the copy yet: not before it does. */
		if (owner && !part->whole)
			part_set_owner(part, owner);
	}
	request_submit(v->cluster, &part->req);
}

static void io_loaded(struct volmap_load *load, int err, const char *why)
{
	struct io *io = container_of(load, struct io, load);

	io->loading = false;
	if (err)
		io_fail(io, err, why);
	io_pump(io);
}

static void io_pump(struct io *io)
{
	struct sf_volume *v = io->volume;

	while (io->result == 0 && io->next < io->len && io->under_way < v->cluster->window &&
	       !io->loading) {
		struct piece piece = piece_first(io->offset + io->next, io->len - io->next,
		                                 v->info.object_shift);

		io->load.done = io_loaded;
		if (!volmap_load(&v->map, piece.index, &io->load)) {
			io->loading = true;
			break;
		}
		struct part *part = xmalloc(sizeof(*part));

		*part = (struct part){
			.io = io, .piece = piece, .pending = 1};
		if (io->data)
			part->data = io->data + io->next;
		list_init(&part->link);
		io->under_way++;
		io->next += piece.length;
		part_start(part);
	}
	if (io->under_way == 0 && !io->loading && (io->result < 0 || io->next == io->len))
		io_end(io);
}

/* ---- Submission ---- */

static void io_start(struct task *task)
{
	struct io *io = container_of(task, struct io, task);
	struct sf_volume *v = io->volume;

	if (v->pausing) {
		list_push(&v->held, &io->link);
		return;
	}
	if (io->kind == IO_READ)
		v->reads++;
	else
		list_push(&v->ordered, &io->link);
	if (io->kind == IO_FLUSH || io->kind == IO_DRAIN)
		volume_settle(v);
	else
		io_pump(io);
}

void volume_release_held(struct sf_volume *v)
{
	struct list held;

	list_init(&held);
	list_splice(&held, &v->held);
	for (struct list *it; (it = list_pop(&held));)
		io_start(&list_item(it, struct io, link)->task);
}

static void io_refused(struct task *task)
{
	io_finish(container_of(task, struct io, task));
}

static void io_submit(struct sf_volume *v, enum io_kind kind, void *data, uint64_t len,
                      uint64_t offset, sf_callback done, void *arg)
{
	struct io *io = xcalloc(1, sizeof(*io));
	struct sf_volume_info info;

	sf_volume_get_info(v, &info);
	io->volume = v;
	io->kind = kind;
	io->data = data;
	io->len = len;
	io->offset = offset;
	io->done = done;
	io->arg = arg;
	io->task.run = io_start;
	if (info.snapshot_id && (kind == IO_WRITE || kind == IO_DISCARD)) {
		io_fail(io, -EROFS, "a snapshot cannot be changed");
		io->task.run = io_refused;
	} else if (!range_fits(offset, len, info.size_bytes)) {
		io_fail(io, -EINVAL, "the range ends behind the end of the volume");
		io->task.run = io_refused;
	}
	cluster_post(v->cluster, &io->task);
}

void sf_read_async(struct sf_volume *volume, void *data, size_t len, uint64_t offset,
                   sf_callback done, void *arg)
{
	io_submit(volume, IO_READ, data, len, offset, done, arg);
}

void sf_write_async(struct sf_volume *volume, const void *data, size_t len, uint64_t offset,
                    sf_callback done, void *arg)
{
	/* Only read from. */
	io_submit(volume, IO_WRITE, (void *)(uintptr_t)data, len, offset, done, arg);
}

void sf_discard_async(struct sf_volume *volume, uint64_t len, uint64_t offset, sf_callback done,
                      void *arg)
{
	io_submit(volume, IO_DISCARD, NULL, len, offset, done, arg);
}

void sf_flush_async(struct sf_volume *volume, sf_callback done, void *arg)
{
	io_submit(volume, IO_FLUSH, NULL, 0, 0, done, arg);
}

/* ---- Synchronous ---- */

struct io_wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
	int result;
	char why[ERROR_TEXT_LEN];
};

static void io_wait_done(void *arg, int result)
{
	struct io_wait *w = arg;

	pthread_mutex_lock(&w->lock);
	w->result = result;
	snprintf(w->why, sizeof(w->why), "%s", sf_error());
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

static int io_call(struct sf_volume *v, enum io_kind kind, void *data, uint64_t len,
                   uint64_t offset)
{
	struct io_wait w = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};

	assert(!cluster_is_io_thread(v->cluster));
	io_submit(v, kind, data, len, offset, io_wait_done, &w);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	return w.result < 0 ? error_set(w.result, "%s", w.why) : 0;
}

int sf_read(struct sf_volume *volume, void *data, size_t len, uint64_t offset)
{
	return io_call(volume, IO_READ, data, len, offset);
}

int sf_write(struct sf_volume *volume, const void *data, size_t len, uint64_t offset)
{
	return io_call(volume, IO_WRITE, (void *)(uintptr_t)data, len, offset);
}

int sf_discard(struct sf_volume *volume, uint64_t len, uint64_t offset)
{
	return io_call(volume, IO_DISCARD, NULL, len, offset);
}

int sf_flush(struct sf_volume *volume)
{
	return io_call(volume, IO_FLUSH, NULL, 0, 0);
}

int volume_drain(struct sf_volume *volume)
{
	return io_call(volume, IO_DRAIN, NULL, 0, 0);
}

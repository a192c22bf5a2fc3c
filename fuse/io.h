/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_IO_H
#define SF_FUSE_IO_H

#include "fuse/volume.h"

/*
 * Operations on a volume. libsheepfold does those that are under way at once in any order, and
 * writes are answered before they are durable; so one that overlaps an earlier one, and changes
 * something or is behind a change, waits here until that has ended.
 *
 *   GATHERING --> WAITING --> RUNNING --> done
 *   (writes only: more may be added)
 */
enum op_kind {
	OP_READ,
	OP_WRITE,
	OP_ZERO,
	OP_FLUSH,  /* after all changes before it */
	OP_SETTLE, /* after everything before it */
};
enum op_state { OP_GATHERING, OP_WAITING, OP_RUNNING };

/* A write that is answered when it is durable, in one piece or several. */
struct durable {
	fuse_req_t req;
	size_t size;
	uint32_t pending; /* pieces, under mount->lock */
	int result;
};
struct durable_ref {
	struct durable *durable;
	struct durable_ref *next;
};

struct op {
	TAILQ_ENTRY(op) link;        /* in volume->ops */
	TAILQ_ENTRY(op) gather_link; /* in mount->gathers, while GATHERING */
	struct volume *volume;       /* a reference */
	enum op_kind kind;
	enum op_state state;
	uint64_t begin, end;
	uint64_t born_ms;
	uint8_t *data;
	size_t capacity;
	fuse_req_t req;    /* reads, zeros, flushes; NULL for a write */
	struct file *file; /* of a flush */
	int result;        /* of one that ended when it should have started */

	/* Writes. */
	uint64_t touched_ms;
	bool follows; /* began where the write before it ended */
	uint64_t accepted; /* bytes that were answered already */
	struct durable_ref *durables;
};

/* In the arrival order of the loop. */
struct op *op_create(struct volume *v, enum op_kind kind, uint64_t begin, uint64_t end);
/* Enters it into volume->ops as it is, for more to be added. The loop's. */
void op_enter_gathering(struct op *op);
/* Enters it, unless that was done, and starts it as soon as it may. */
void op_submit(struct op *op);
/* Whether an operation that came after `op` overlaps these bytes. */
bool op_is_overtaken(struct op *op, uint64_t begin, uint64_t end);

/* ---- The kernel's requests; the loop's ---- */

void io_read(struct volume *v, fuse_req_t req, size_t size, uint64_t offset);
void io_zero(struct volume *v, fuse_req_t req, uint64_t length, uint64_t offset);
/* fsync, and close: waits for all that was written, and tells what failed. */
void io_flush(struct volume *v, fuse_req_t req, struct file *file);
/* The file was closed for the last time. Takes the caller's reference. */
void io_leave(struct volume *v, bool writes);
/* What users of files are told for it: a positive errno. */
int io_errno(int err);
/* Answers a write of which this was the last piece; the lock is not held. */
void durable_put(struct mount *m, struct durable *d, int result);

#endif

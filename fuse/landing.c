/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/landing.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse/gather.h"
#include "fuse/tree.h"

struct head {
	struct fuse_in_header in;
	struct fuse_write_in write;
};
enum { HEAD = sizeof(struct head) };
static_assert(sizeof(struct head) <= MEMORY_FRONT, "the head of a request lies before a piece");

static uint8_t *piece_take(struct mount *m)
{
	size_t capacity;

	return memory_take(&m->gathered, GATHER_MAX, &capacity);
}

void landing_init(struct mount *m)
{
	m->landing.piece = piece_take(m);
}

void landing_fini(struct mount *m)
{
	memory_give(&m->gathered, m->landing.piece, GATHER_MAX);
}

const char *landing_data(const struct mount *m, const char *data)
{
	return m->landing.data ? m->landing.data : data;
}

uint8_t *landing_adopt(struct mount *m, const char *data)
{
	uint8_t *piece = m->landing.piece;

	if (!m->landing.may_stay || (const uint8_t *)data != piece)
		return NULL;
	m->landing.piece = piece_take(m);
	return piece;
}

/* The write that the next request may go on with, if there is room for the largest. */
static struct op *landing_op(struct mount *m)
{
	struct op *op = TAILQ_LAST(&m->gathers, gather_list);

	if (!op || op->end - op->begin + REQUEST_MAX > op->capacity)
		return NULL;
	return op;
}

/* Of a request with its head, to `at`, with the head before that. The bytes, 0: unmounted, or
 * -errno. */
static ssize_t request_read(struct mount *m, uint8_t *at)
{
	ssize_t n = read(fuse_session_fd(m->session), at - HEAD, HEAD + REQUEST_MAX);

	if (n >= 0)
		return n;
	switch (errno) {
	case ENODEV:
		return 0;
	case ENOENT: /* it was taken back */
		return -EAGAIN;
	default:
		return -errno;
	}
}

/* Whether it is a write that will be copied from, or left, before anything else happens to the
 * operation whose memory its bytes are in: one that is not cut. */
static bool write_may_stay(const struct head *head, size_t bytes)
{
	const struct volume *v;

	if (bytes < HEAD || head->in.opcode != FUSE_WRITE || bytes - HEAD != head->write.size)
		return false;
	v = tree_volume(head->in.nodeid);
	return v && head->write.size > 0 &&
	       gather_is_one(v, head->write.offset, head->write.size);
}

static void request_do(struct mount *m, void *head, size_t bytes)
{
	struct fuse_buf buf = {.mem = head, .size = bytes};

	fuse_session_process_buf(m->session, &buf);
	m->landing.data = NULL;
}

static ssize_t landing_take_fresh(struct mount *m)
{
	uint8_t *at = m->landing.piece;
	ssize_t n = request_read(m, at);
	struct head head;

	if (n <= 0)
		return n;
	memcpy(&head, at - HEAD, HEAD);
	m->landing.may_stay = write_may_stay(&head, (size_t)n);
	request_do(m, at - HEAD, (size_t)n);
	return n;
}

/* Read behind what is gathered already. */
static ssize_t landing_take_behind(struct mount *m, struct op *op)
{
	uint8_t *at = op->data + (op->end - op->begin), covered[HEAD];
	struct head head;
	ssize_t n;

	memcpy(covered, at - HEAD, HEAD);
	n = request_read(m, at);
	memcpy(&head, at - HEAD, HEAD);
	memcpy(at - HEAD, covered, HEAD);
	if (n <= 0)
		return n;
	m->landing.may_stay = write_may_stay(&head, (size_t)n);
	if (m->landing.may_stay) {
		m->landing.data = (const char *)at;
		request_do(m, &head, (size_t)n);
		return n;
	}
	memcpy(m->landing.piece - HEAD, &head, HEAD);
	if (n > HEAD)
		memcpy(m->landing.piece, at, (size_t)n - HEAD);
	request_do(m, m->landing.piece - HEAD, (size_t)n);
	return n;
}

bool landing_take(struct mount *m)
{
	struct op *op = landing_op(m);
	ssize_t n = op ? landing_take_behind(m, op) : landing_take_fresh(m);

	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n < (ssize_t)sizeof(struct fuse_in_header)) {
		fuse_session_exit(m->session); /* unmounted */
		return false;
	}
	return true;
}

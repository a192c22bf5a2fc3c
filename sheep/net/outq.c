/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/net/outq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"

enum { RING_MIN = 8, RING_KEEP = 64 };

/* What a hole in a payload is sent from. Never written: all its pages are the kernel's zero page. */
static const uint8_t zeros[65536];

void outq_init(struct outq *q)
{
	*q = (struct outq){0};
}

static void frame_drop(struct out_frame *f)
{
	msg_destroy(f->msg);
	free(f->head);
}

static struct out_frame *outq_at(const struct outq *q, uint32_t i)
{
	return &q->ring[(q->first + i) & (q->capacity - 1)];
}

void outq_fini(struct outq *q)
{
	for (uint32_t i = 0; i < q->count; i++)
		frame_drop(outq_at(q, i));
	free(q->ring);
	outq_init(q);
}

static void outq_grow(struct outq *q)
{
	uint32_t capacity = q->capacity ? 2 * q->capacity : RING_MIN;
	struct out_frame *ring = xcalloc(capacity, sizeof(*ring));

	for (uint32_t i = 0; i < q->count; i++)
		ring[i] = *outq_at(q, i);
	free(q->ring);
	q->ring = ring;
	q->first = 0;
	q->capacity = capacity;
}

static void outq_append(struct outq *q, const struct out_frame *f)
{
	if (q->count == q->capacity)
		outq_grow(q);
	q->count++;
	*outq_at(q, q->count - 1) = *f;
	q->bytes += f->len;
}

void outq_push(struct outq *q, struct msg *msg)
{
	struct out_frame f = {.msg = msg};
	uint32_t payload = payload_len(&msg->payload);

	frame_encode(msg, &f.head, &f.head_len);
	f.len = f.head_len + payload;
	if (payload == 0) {
		msg_destroy(msg);
		f.msg = NULL;
	}
	outq_append(q, &f);
}

void outq_splice(struct outq *dst, struct outq *src)
{
	assert(src->sent == 0);
	for (uint32_t i = 0; i < src->count; i++)
		outq_append(dst, outq_at(src, i));
	src->count = 0;
	outq_fini(src);
}

/* Gathers iovec entries, leaving out the first `skip` bytes. */
struct gather {
	struct iovec *iov;
	int count, max;
	uint32_t skip, left;
};

static void gather_add(struct gather *g, const uint8_t *data, uint32_t len)
{
	if (g->skip >= len) {
		g->skip -= len;
		return;
	}
	if (g->count == g->max || g->left == 0)
		return;
	len = MIN(len - g->skip, g->left);
	g->iov[g->count++] = (struct iovec){
		.iov_base = (void *)(uintptr_t)(data + g->skip),
		.iov_len = len,
	};
	g->skip = 0;
	g->left -= len;
}

static void gather_slice(struct gather *g, const struct slice *s)
{
	if (s->buf) {
		gather_add(g, slice_data(s), s->len);
		return;
	}
	for (uint32_t off = 0; off < s->len; off += sizeof(zeros))
		gather_add(g, zeros, MIN(s->len - off, (uint32_t)sizeof(zeros)));
}

int outq_peek(const struct outq *q, struct iovec *iov, int max, uint32_t limit)
{
	struct gather g = {.iov = iov, .max = max, .skip = q->sent, .left = limit};

	for (uint32_t i = 0; i < q->count && g.count < max && g.left > 0; i++) {
		const struct out_frame *f = outq_at(q, i);

		gather_add(&g, f->head, f->head_len);
		for (uint32_t s = 0; f->msg && s < f->msg->payload.count; s++)
			gather_slice(&g, &f->msg->payload.v[s]);
	}
	return g.count;
}

void outq_advance(struct outq *q, uint64_t n)
{
	assert(n <= q->bytes);
	q->bytes -= n;
	n += q->sent;
	while (q->count > 0 && n >= outq_at(q, 0)->len) {
		n -= outq_at(q, 0)->len;
		frame_drop(outq_at(q, 0));
		q->first = (q->first + 1) & (q->capacity - 1);
		q->count--;
	}
	q->sent = (uint32_t)n;
	/* A burst must not pin its ring for the life of an idle connection. */
	if (q->count == 0 && q->capacity > RING_KEEP)
		outq_fini(q);
}

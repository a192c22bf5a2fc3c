/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/cs_frames.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { FRAGMENT_MAX = 60 << 10, QUEUE_MAX = 64 << 20, MESSAGE_MAX = 16 << 20 };

struct fragment_head { /* little-endian */
	uint32_t total, offset; /* of the message */
};

void cs_frames_init(struct cs_frames *f)
{
	memset(f, 0, sizeof(*f));
	list_init(&f->queue);
}

bool cs_frames_put(struct cs_frames *f, const uint8_t *bytes, size_t len)
{
	if (f->queued + len > QUEUE_MAX || len > MESSAGE_MAX)
		return false;
	for (size_t at = 0; at < len; at += FRAGMENT_MAX) {
		struct fragment_head h = {htole32((uint32_t)len), htole32((uint32_t)at)};
		size_t part = MIN(len - at, (size_t)FRAGMENT_MAX);
		struct cs_frame *frame = xmalloc(sizeof(*frame) + sizeof(h) + part);

		frame->len = sizeof(h) + part;
		memcpy(frame->bytes, &h, sizeof(h));
		memcpy(frame->bytes + sizeof(h), bytes + at, part);
		list_push(&f->queue, &frame->link);
		f->queued += frame->len;
	}
	return true;
}

struct cs_frame *cs_frames_first(struct cs_frames *f)
{
	return list_empty(&f->queue) ? NULL : list_item(f->queue.next, struct cs_frame, link);
}

void cs_frames_pop(struct cs_frames *f)
{
	struct cs_frame *frame = list_item(list_pop(&f->queue), struct cs_frame, link);

	f->queued -= frame->len;
	free(frame);
}

void cs_frames_drop(struct cs_frames *f)
{
	while (!list_empty(&f->queue))
		cs_frames_pop(f);
}

static void sender_reset(struct cs_sender *s)
{
	free(s->bytes);
	s->bytes = NULL;
	s->total = s->have = 0;
}

static struct cs_sender *sender_of(struct cs_frames *f, struct cs_id id)
{
	for (uint32_t i = 0; i < f->sender_count; i++)
		if (f->senders[i].id.node == id.node && f->senders[i].id.pid == id.pid)
			return &f->senders[i];
	if (f->sender_count == CS_MEMBERS_MAX)
		return NULL;
	f->senders[f->sender_count] = (struct cs_sender){.id = id};
	return &f->senders[f->sender_count++];
}

const uint8_t *cs_frames_take(struct cs_frames *f, struct cs_id from, const uint8_t *bytes, size_t len,
                              size_t *ret_len)
{
	struct cs_sender *s = sender_of(f, from);
	struct fragment_head h;

	if (!s || len < sizeof(h))
		return NULL;
	memcpy(&h, bytes, sizeof(h));
	h = (struct fragment_head){le32toh(h.total), le32toh(h.offset)};
	len -= sizeof(h);
	if (h.offset == 0 && h.total <= MESSAGE_MAX) {
		sender_reset(s);
		s->total = h.total;
		s->bytes = xmalloc((size_t)h.total + 1);
	}
	if (!s->bytes || h.total != s->total || h.offset != s->have || len > s->total - s->have) {
		sender_reset(s);
		return NULL;
	}
	memcpy(s->bytes + s->have, bytes + sizeof(h), len);
	s->have += (uint32_t)len;
	*ret_len = s->total;
	return s->have == s->total ? s->bytes : NULL;
}

void cs_frames_keep(struct cs_frames *f, const struct cs_id *members, uint32_t count)
{
	for (uint32_t i = 0; i < f->sender_count;) {
		bool there = false;

		for (uint32_t j = 0; j < count && !there; j++)
			there = members[j].node == f->senders[i].id.node &&
			        members[j].pid == f->senders[i].id.pid;
		if (there) {
			i++;
			continue;
		}
		sender_reset(&f->senders[i]);
		f->senders[i] = f->senders[--f->sender_count];
	}
}

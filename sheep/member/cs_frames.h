/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_CS_FRAMES_H
#define SF_MEMBER_CS_FRAMES_H

#include "lib/base/list.h"
#include "sheep/member/cs_logic.h"

/*
 * Messages cut into fragments that libcpg takes, and put together again. A message counts where its last fragment stands in the
 * order. What began before our time, or was left unfinished, is dropped.
 */
struct cs_frame { /* waits to be sent */
	struct list link;
	size_t len;
	uint8_t bytes[];
};
struct cs_sender { /* whose message is half here */
	struct cs_id id;
	uint8_t *bytes;
	uint32_t total, have;
};
struct cs_frames {
	struct list queue; /* struct cs_frame.link */
	size_t queued;
	uint32_t sender_count;
	struct cs_sender senders[CS_MEMBERS_MAX];
};

void cs_frames_init(struct cs_frames *f);
/* False: too much is waiting. */
bool cs_frames_put(struct cs_frames *f, const uint8_t *bytes, size_t len);
struct cs_frame *cs_frames_first(struct cs_frames *f); /* NULL: none */
void cs_frames_pop(struct cs_frames *f);               /* the first is sent */
void cs_frames_drop(struct cs_frames *f);
/* A fragment has come: the message that is complete by it, valid until the next call, or NULL. */
const uint8_t *cs_frames_take(struct cs_frames *f, struct cs_id from, const uint8_t *bytes, size_t len,
                              size_t *ret_len);
/* The others have left. */
void cs_frames_keep(struct cs_frames *f, const struct cs_id *members, uint32_t count);

#endif

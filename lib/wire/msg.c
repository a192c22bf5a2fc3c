/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/msg.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

const char *msg_type_name(enum msg_type type)
{
	switch (type) {
#define X(name, number)                                                                            \
	case name:                                                                                 \
		return #name;
		MSG_TYPES(X)
#undef X
	}
	return "?";
}

const char *wire_result_text(uint32_t result)
{
	switch (result) {
#define X(name, code, text)                                                                        \
	case name:                                                                                 \
		return text;
		RES_TABLE(X)
#undef X
	}
	return "unknown result";
}

void msg_init(struct msg *m, enum msg_type type)
{
	/* The payload comes last: its slices are most of the struct, and most stay unused. */
	memset(m, 0, offsetof(struct msg, payload));
	payload_init(&m->payload);
	m->type = type;
}

struct msg *msg_create(enum msg_type type)
{
	struct msg *m = xmalloc(sizeof(*m));

	msg_init(m, type);
	return m;
}

struct msg *msg_create_reply(const struct msg *req, uint32_t result)
{
	struct msg *m = msg_create(req->type);

	m->reply = true;
	m->id = req->id;
	m->result = result;
	return m;
}

void msg_fini(struct msg *m)
{
	free(m->entries);
	free(m->log);
	free(m->blob);
	payload_fini(&m->payload);
	m->entries = NULL;
	m->log = NULL;
	m->blob = NULL;
	m->entry_count = m->log_count = m->blob_len = 0;
}

void msg_destroy(struct msg *m)
{
	if (!m)
		return;
	msg_fini(m);
	free(m);
}

struct msg *msg_clone(const struct msg *m)
{
	struct msg *copy = xmalloc(sizeof(*copy));

	memcpy(copy, m, offsetof(struct msg, payload));
	copy->entries = xmemdup(m->entries, m->entry_count * sizeof(m->entries[0]));
	copy->log = xmemdup(m->log, m->log_count * sizeof(m->log[0]));
	copy->blob = xmemdup(m->blob, m->blob_len);
	payload_cut(&copy->payload, &m->payload, 0, payload_len(&m->payload));
	return copy;
}

uint64_t msg_memory_bytes(const struct msg *m)
{
	uint64_t bytes = sizeof(*m) + m->blob_len;
	const struct buf *last = NULL;

	bytes += m->entry_count * sizeof(m->entries[0]) + m->log_count * sizeof(m->log[0]);
	for (uint32_t i = 0; i < m->payload.count; i++) {
		const struct buf *buf = m->payload.v[i].buf;

		/* A slice keeps its whole buffer; neighbours are often cut from the same one. */
		if (buf && buf != last)
			bytes += buf->capacity;
		last = buf ? buf : last;
	}
	return bytes;
}

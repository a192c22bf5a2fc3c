/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/net/net_state.h"

/*
 * A client's request counts from the first byte of its payload until its reply is queued; then the reply counts
 * as output until it is sent. Whoever is beyond a limit is not read from, so that TCP slows the sender down.
 */
struct request {
	struct hnode by_id;
	uint64_t id;
	uint64_t bytes;
};

bool client_may_read(const struct conn *c)
{
	const struct net *net = c->net;
	const struct net_limits *l = &net->limits;

	return c->requests.count < l->client_inflight_count &&
	       c->request_bytes < l->client_inflight_bytes &&
	       c->out.bytes < l->client_output_bytes && net->client_bytes < l->total_inflight_bytes;
}

static void client_charge(struct conn *c, uint64_t bytes)
{
	c->request_bytes += bytes;
	c->net->client_bytes += bytes;
}

void client_payload_begun(struct conn *c, uint32_t len)
{
	client_charge(c, len);
}

void client_request_add(struct conn *c, const struct msg *msg, uint32_t payload_len)
{
	struct request *r = xmalloc(sizeof(*r));
	uint64_t more = REQUEST_BYTES;

	/* What the answer to a read will hold is counted before it exists. */
	if (msg->type == MSG_OBJ_READ)
		more += MIN(msg->length, (uint64_t)MSG_MAX_PAYLOAD);
	r->id = msg->id;
	r->bytes = payload_len + more;
	htab_insert(&c->requests, &r->by_id, hash64(r->id));
	client_charge(c, more);
}

static void request_drop(struct conn *c, struct request *r)
{
	c->request_bytes -= r->bytes;
	c->net->client_bytes -= r->bytes;
	htab_remove(&c->requests, &r->by_id);
	free(r);
	if (!list_empty(&c->net->waiting))
		net_defer(c->net);
}

void client_request_remove(struct conn *c, uint64_t id)
{
	for (struct hnode *n = htab_first(&c->requests, hash64(id)); n; n = htab_next(n)) {
		struct request *r = container_of(n, struct request, by_id);

		if (r->id == id) {
			request_drop(c, r);
			return;
		}
	}
}

void client_fini(struct conn *c)
{
	uint32_t cursor = 0;
	struct hnode *n = htab_walk(&c->requests, &cursor, NULL);

	while (n) {
		struct request *r = container_of(n, struct request, by_id);

		n = htab_walk(&c->requests, &cursor, n);
		request_drop(c, r);
	}
	/* What is left belongs to a payload that was being received. */
	c->net->client_bytes -= c->request_bytes;
	c->request_bytes = 0;
	htab_fini(&c->requests);
	if (!list_empty(&c->net->waiting))
		net_defer(c->net);
}

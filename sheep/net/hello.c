/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "sheep/net/net_state.h"

/*
 * Who opens a connection says HELLO at once; who accepted it answers with its own, or with a refusal whose
 * blob says why, after which it closes. Nothing else is sent before both are through.
 */
struct msg *hello_make(const struct net *net)
{
	struct msg *m = msg_create(MSG_HELLO);

	m->version_min = PROTOCOL_VERSION_MIN;
	m->version_max = net->version_max;
	m->cluster = net->cluster;
	m->node = net->node;
	m->epoch = net->epoch;
	return m;
}

static void hello_refuse(struct conn *c, const struct msg *hello, const char *why)
{
	struct msg *m = hello_make(c->net);
	char name[CONN_NAME_LEN];

	log_info(c->net->log, "%s refused: %s", conn_name(c, name), why);
	m->reply = true;
	m->id = hello->id;
	m->result = RES_DENIED;
	m->blob_len = (uint32_t)strlen(why);
	m->blob = xmemdup(why, m->blob_len);
	ev_io_stop(c->net->loop, &c->readable);
	c->state = CONN_REFUSED;
	conn_push(c, m);
	conn_flush(c);
}

/* Whether the two sides can talk; sets the version they will use. */
static bool hello_check(struct conn *c, const struct msg *hello, char why[256])
{
	const struct net_callbacks *cb = &c->net->callbacks;
	uint32_t highest = MIN(c->net->version_max, hello->version_max);

	if (highest < MAX((uint32_t)PROTOCOL_VERSION_MIN, hello->version_min)) {
		snprintf(why, 256, "it speaks protocol versions %u to %u, this daemon %u to %u",
		         hello->version_min, hello->version_max, PROTOCOL_VERSION_MIN,
		         c->net->version_max);
		return false;
	}
	c->version = highest;
	why[0] = '\0';
	return !cb->accept_hello || cb->accept_hello(cb->arg, hello, why);
}

static void hello_accept(struct conn *c, const struct msg *hello)
{
	struct net *net = c->net;
	struct msg *answer;
	char why[256];

	if (!hello_check(c, hello, why)) {
		hello_refuse(c, hello, why);
		return;
	}
	if (hello->node == net->node && net->node != 0) {
		hello_refuse(c, hello, "it says it is this node itself");
		return;
	}
	if (hello->node == 0 && net->client_count >= net->limits.max_connections) {
		hello_refuse(c, hello, "too many connections");
		return;
	}
	answer = hello_make(net);
	answer->reply = true;
	answer->id = hello->id;
	c->state = CONN_OPEN;
	if (hello->node == 0) {
		c->role = CONN_CLIENT;
		net->client_count++;
		htab_init(&c->requests);
		htab_insert(&net->by_id, &c->by_id, hash64(c->id));
	} else {
		peer_accepted(peer_get(net, hello->node), c);
	}
	conn_push(c, answer);
	conn_flush(c);
}

/* The answer to ours. */
static void hello_answer(struct conn *c, const struct msg *hello)
{
	char why[256];

	if (!hello->reply || hello->result != RES_OK) {
		snprintf(why, sizeof(why), "it refuses this node: %.*s",
		         (int)MIN(hello->blob_len, 200u),
		         hello->blob ? (const char *)hello->blob : "");
		conn_close(c, why);
		return;
	}
	if (hello->node != c->peer->node) {
		conn_close(c, "another node lives at its address");
		return;
	}
	if (!hello_check(c, hello, why)) {
		conn_close(c, why);
		return;
	}
	c->state = CONN_OPEN;
	peer_connected(c->peer, c);
}

void hello_take(struct conn *c, struct msg *msg)
{
	if (msg->type != MSG_HELLO)
		conn_close(c, "it does not begin with HELLO");
	else if (c->role == CONN_PEER_OUT)
		hello_answer(c, msg);
	else if (msg->reply)
		conn_close(c, "it does not begin with HELLO");
	else
		hello_accept(c, msg);
	msg_destroy(msg);
}

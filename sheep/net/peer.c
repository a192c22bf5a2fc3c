/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/net/net_state.h"

enum {
	BACKOFF_MIN_MS = 50,
	BACKOFF_MAX_MS = 1000,
	UNACKED_MS = 10000, /* a host that vanished without a word is noticed after this */
	PEER_OUTPUT_BYTES = 256 << 20,
};

static void peer_connect(struct peer *p);

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct peer *p = w->data;

	if (!p->out && p->waiting.count > 0)
		peer_connect(p);
}

static struct peer *peer_find(const struct net *net, uint64_t node)
{
	for (struct hnode *n = htab_first(&net->peers, hash64(node)); n; n = htab_next(n)) {
		struct peer *p = container_of(n, struct peer, by_node);

		if (p->node == node)
			return p;
	}
	return NULL;
}

struct peer *peer_get(struct net *net, uint64_t node)
{
	struct peer *p = peer_find(net, node);

	if (p)
		return p;
	p = xcalloc(1, sizeof(*p));
	p->net = net;
	p->node = node;
	list_init(&p->lost);
	outq_init(&p->waiting);
	ev_timer_init(&p->retry, on_retry, 0.0, 0.0);
	p->retry.data = p;
	htab_insert(&net->peers, &p->by_node, hash64(node));
	return p;
}

/* Reports, from the loop, that messages to or from this peer may be lost. */
static void peer_lose(struct peer *p)
{
	if (list_empty(&p->lost))
		list_push(&p->net->lost, &p->lost);
	net_defer(p->net);
}

static void peer_drop_waiting(struct peer *p)
{
	outq_fini(&p->waiting);
	peer_lose(p);
}

static void peer_back_off(struct peer *p)
{
	p->backoff_ms = MIN(MAX(2 * p->backoff_ms, (uint32_t)BACKOFF_MIN_MS),
	                    (uint32_t)BACKOFF_MAX_MS);
	ev_timer_stop(p->net->loop, &p->retry);
	ev_timer_set(&p->retry, p->backoff_ms / 1000.0, 0.0);
	ev_timer_start(p->net->loop, &p->retry);
}

static int peer_socket(const struct peer *p, const char **ret_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *ai;
	int fd, ms = UNACKED_MS;
	char port[8];

	snprintf(port, sizeof(port), "%u", p->port);
	if (getaddrinfo(p->addr, port, &hints, &ai)) {
		*ret_why = "its address is not a number";
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS) {
		*ret_why = strerror(errno);
		close(fd);
		fd = -1;
	} else if (fd < 0) {
		*ret_why = strerror(errno);
	}
	freeaddrinfo(ai);
	return fd;
}

static void peer_connect(struct peer *p)
{
	const char *why = "";
	int fd = peer_socket(p, &why);

	if (fd < 0) {
		log_debug(p->net->log, "node %016llx cannot be reached: %s",
		          (unsigned long long)p->node, why);
		peer_drop_waiting(p);
		peer_back_off(p);
		return;
	}
	p->out = conn_create(p->net, fd, CONN_PEER_OUT, CONN_CONNECTING);
	p->out->peer = p;
}

void peer_connected(struct peer *p, struct conn *c)
{
	p->backoff_ms = 0;
	c->progress_ms = clock_boottime_ms();
	outq_splice(&c->out, &p->waiting);
	conn_flush(c);
}

/* It is alive: what waits for it need wait no longer. */
static void peer_try_now(struct peer *p)
{
	p->backoff_ms = 0;
	if (!ev_is_active(&p->retry))
		return;
	ev_timer_stop(p->net->loop, &p->retry);
	if (!p->out && p->waiting.count > 0)
		peer_connect(p);
}

void peer_accepted(struct peer *p, struct conn *c)
{
	int ms = UNACKED_MS;

	/* It connected anew: what was still to come over its old connection is lost. */
	if (p->in)
		conn_close(p->in, "replaced by a new connection");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	p->in = c;
	c->peer = p;
	c->role = CONN_PEER_IN;
	peer_try_now(p);
}

void peer_conn_closed(struct peer *p, struct conn *c)
{
	if (c == p->out) {
		p->out = NULL;
		peer_drop_waiting(p);
		peer_back_off(p);
	} else if (c == p->in) {
		p->in = NULL;
		peer_lose(p);
	}
	c->peer = NULL;
}

void net_set_peer(struct net *net, uint64_t node, const char *addr, uint16_t port)
{
	struct peer *p;

	if (node == net->node)
		return;
	p = peer_get(net, node);
	if (p->port != port || strcmp(p->addr, addr) != 0) {
		snprintf(p->addr, sizeof(p->addr), "%s", addr);
		p->port = port;
		if (p->out)
			conn_close(p->out, "its address changed");
	}
	peer_try_now(p);
}

void net_send_peer(struct net *net, uint64_t node, struct msg *msg)
{
	struct peer *p = peer_get(net, node);
	uint64_t queued = p->waiting.bytes + (p->out ? p->out->out.bytes : 0);

	if (p->port == 0 || queued > PEER_OUTPUT_BYTES) {
		msg_destroy(msg);
		if (p->out)
			conn_close(p->out, "it takes too little of what is sent to it");
		else
			peer_drop_waiting(p);
		return;
	}
	if (p->out && p->out->state == CONN_OPEN) {
		conn_push(p->out, msg);
		return;
	}
	outq_push(&p->waiting, msg);
	if (!p->out && !ev_is_active(&p->retry))
		peer_connect(p);
}

void peers_fini(struct net *net)
{
	uint32_t cursor = 0;
	struct hnode *n = htab_walk(&net->peers, &cursor, NULL);

	while (n) {
		struct peer *p = container_of(n, struct peer, by_node);

		n = htab_walk(&net->peers, &cursor, n);
		ev_timer_stop(net->loop, &p->retry);
		outq_fini(&p->waiting);
		htab_remove(&net->peers, &p->by_node);
		free(p);
	}
	htab_fini(&net->peers);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/net/net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"
#include "sheep/net/net_state.h"

enum {
	BACKLOG = 1024,
	ACCEPT_BATCH = 64,
	PEER_ROOM = 1024, /* connections beyond the clients' limit: for nodes, and for HELLOs under way */
	REFUSED_MS = 2000,
	SWEEP_MIN_MS = 20,
	SWEEP_MAX_MS = 1000,
	OUTPUT_CLIENTS = 4, /* all clients' output together: this many times the limit of one */
};

void net_defer(struct net *net)
{
	ev_feed_event(net->loop, &net->deferred, EV_CUSTOM);
}

static void limits_default(struct net_limits *l)
{
	l->max_connections = l->max_connections ? l->max_connections : 10000;
	l->client_output_bytes = l->client_output_bytes ? l->client_output_bytes : 32u << 20;
	l->client_inflight_bytes = l->client_inflight_bytes ? l->client_inflight_bytes : 64u << 20;
	l->client_inflight_count = l->client_inflight_count ? l->client_inflight_count : 1024;
	l->total_inflight_bytes = l->total_inflight_bytes ? l->total_inflight_bytes : 96u << 20;
	l->hello_ms = l->hello_ms ? l->hello_ms : 10000;
	l->frame_ms = l->frame_ms ? l->frame_ms : 30000;
	l->stall_ms = l->stall_ms ? l->stall_ms : 30000;
}

/* ---- The deferred round and the sweep ---------------------------------------------------------- */

static void report_lost_peers(struct net *net)
{
	struct list *item;

	while ((item = list_pop(&net->lost)) != NULL) {
		struct peer *p = list_item(item, struct peer, lost);

		net->callbacks.peer_lost(net->callbacks.arg, p->node);
	}
}

static void report_dead(struct net *net)
{
	while (!list_empty(&net->dead)) {
		struct conn *c = list_item(net->dead.next, struct conn, all);
		bool client = c->role == CONN_CLIENT;
		uint64_t id = c->id;

		conn_destroy(c);
		if (client)
			net->callbacks.client_lost(net->callbacks.arg, id);
	}
}

/* A callback on the way may close or stop any connection, so that each is taken off the list first. */
static void resume_waiting(struct net *net)
{
	struct list round, *item;

	list_init(&round);
	list_splice(&round, &net->waiting);
	while ((item = list_pop(&round)) != NULL) {
		struct conn *c = list_item(item, struct conn, waiting);

		if (client_may_read(c))
			conn_resume(c);
		else
			list_push(&net->waiting, &c->waiting);
	}
}

static void accept_start(struct net *net)
{
	ev_io_start(net->loop, &net->accept);
	if (net->io_fd >= 0)
		ev_io_start(net->loop, &net->io_accept);
}

static void accept_stop(struct net *net)
{
	ev_io_stop(net->loop, &net->accept);
	ev_io_stop(net->loop, &net->io_accept);
}

static void on_deferred(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct net *net = w->data;

	report_lost_peers(net);
	report_dead(net);
	resume_waiting(net);
	accept_start(net);
}

/* Why a connection has had time enough, or NULL. */
static const char *conn_overdue(const struct conn *c, uint64_t now)
{
	const struct net_limits *l = &c->net->limits;

	switch (c->state) {
	case CONN_CONNECTING:
		return now - c->since_ms > l->hello_ms ? "it does not answer" : NULL;
	case CONN_HELLO:
		return now - c->since_ms > l->hello_ms ? "no HELLO in time" : NULL;
	case CONN_REFUSED:
		return now - c->since_ms > l->hello_ms + REFUSED_MS ? "it takes no refusal" : NULL;
	default:
		break;
	}
	if (c->frame_ms && now - c->frame_ms > l->frame_ms)
		return "a frame was begun and not completed in time";
	if (c->out.bytes > 0 && now - c->progress_ms > l->stall_ms)
		return "it does not read what is sent to it";
	return NULL;
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct net *net = w->data;
	uint64_t now = clock_boottime_ms(), since = now - net->swept_ms;
	const char *why;

	net->swept_ms = now;
	accept_start(net);
	if (net->handshakes_untold && now > net->handshake_told_ms + SWEEP_MAX_MS) {
		log_info(net->log, "%u more handshakes failed", net->handshakes_untold);
		net->handshakes_untold = 0;
	}
	/* This process was stopped for a while: its peers did not have that time. */
	if (since > 2 * SWEEP_MAX_MS)
		return;
	list_each_safe(it, &net->conns) {
		struct conn *c = list_item(it, struct conn, all);

		why = conn_overdue(c, now);
		if (why)
			conn_close(c, why);
	}
}

/* ---- Accepting --------------------------------------------------------------------------------- */

/* Makes room by giving up the connection that has owed its HELLO longest. */
static bool give_up_stranger(struct net *net)
{
	list_each(it, &net->conns) {
		struct conn *c = list_item(it, struct conn, all);

		if (c->role == CONN_STRANGER) {
			conn_close(c, "too many connections");
			return true;
		}
	}
	return false;
}

static void on_accept(struct ev_loop *loop, ev_io *w, int revents)
{
	struct net *net = w->data;
	int fd;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			log_warn(net->log, "a connection cannot be accepted: %s", strerror(errno));
			accept_stop(net); /* until the next sweep, or one is closed */
			return;
		}
		if (fd < 0)
			return;
		if (net->conn_count >= (uint64_t)net->limits.max_connections + PEER_ROOM &&
		    !give_up_stranger(net)) {
			log_warn(net->log, "a connection is refused: there are %u", net->conn_count);
			close(fd);
			continue;
		}
		conn_create(net, fd, CONN_STRANGER, CONN_HELLO);
	}
}

static int listen_on(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	int err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int net_listen(const char *addr, uint16_t port, int *ret_fd, uint16_t *ret_port, char text[512])
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addrinfo *ai;
	char port_text[8];
	int fd;

	snprintf(port_text, sizeof(port_text), "%u", port);
	if (getaddrinfo(addr, port_text, &hints, &ai)) {
		snprintf(text, 512, "%s is not a numeric address", addr);
		return -EINVAL;
	}
	fd = listen_on(ai);
	freeaddrinfo(ai);
	if (fd < 0) {
		snprintf(text, 512, "cannot listen on %s port %u: %s", addr, port, strerror(-fd));
		return fd;
	}
	getsockname(fd, (struct sockaddr *)&ss, &len);
	*ret_port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
	                                           : ((struct sockaddr_in *)&ss)->sin_port);
	*ret_fd = fd;
	return 0;
}

static int listen_all(struct net *net, const struct net_options *o, char text[512])
{
	const char *addr = o->bind_addr ? o->bind_addr : "127.0.0.1";
	int err = net_listen(addr, o->port, &net->listen_fd, &net->port, text);
	uint16_t port;

	/* A kernel without IPv6. */
	if (err == -EAFNOSUPPORT && !strcmp(addr, "::"))
		err = net_listen("0.0.0.0", o->port, &net->listen_fd, &net->port, text);
	net->io_fd = -1;
	/* One that listens everywhere listens there too. */
	if (err || !o->io_addr || (o->io_port == net->port && (!strcmp(addr, "::") || !strcmp(addr, "0.0.0.0"))))
		return err;
	err = net_listen(o->io_addr, o->io_port, &net->io_fd, &port, text);
	if (err)
		close(net->listen_fd);
	return err;
}

/* ---- The room's face --------------------------------------------------------------------------- */

static uint32_t sweep_period_ms(const struct net_limits *l)
{
	uint32_t shortest = MIN(l->hello_ms, MIN(l->frame_ms, l->stall_ms));

	return MIN(MAX(shortest / 4, (uint32_t)SWEEP_MIN_MS), (uint32_t)SWEEP_MAX_MS);
}

/* For tests: a daemon of a later version, that still speaks this one. */
static uint32_t version_max(void)
{
	const char *pretended = getenv("SHEEPFOLD_TEST_PROTOCOL");
	unsigned long version = pretended ? strtoul(pretended, NULL, 10) : 0;

	return version > PROTOCOL_VERSION_MAX && version < 1000 ? (uint32_t)version : PROTOCOL_VERSION_MAX;
}

int net_create(const struct net_options *options, const struct net_callbacks *callbacks,
               struct net **ret, char text[512])
{
	struct net *net = xcalloc(1, sizeof(*net));
	double period;
	int err;

	err = listen_all(net, options, text);
	if (err) {
		free(net);
		return err;
	}
	net->callbacks = *callbacks;
	net->limits = options->limits;
	limits_default(&net->limits);
	net->loop = options->loop;
	net->log = options->log;
	net->pool = options->pool;
	net->tls = options->keys ? tls_create(options->keys) : NULL;
	net->node = options->node;
	net->version_max = version_max();
	net->swept_ms = clock_boottime_ms();
	list_init(&net->conns);
	list_init(&net->dirty);
	list_init(&net->waiting);
	list_init(&net->dead);
	list_init(&net->lost);
	htab_init(&net->by_id);
	htab_init(&net->peers);
	net->scratch = xmalloc(SCRATCH_LEN);
	ev_prepare_init(&net->deferred, on_deferred);
	ev_io_init(&net->accept, on_accept, net->listen_fd, EV_READ);
	ev_io_init(&net->io_accept, on_accept, net->io_fd, EV_READ);
	period = sweep_period_ms(&net->limits) / 1000.0;
	ev_timer_init(&net->sweep, on_sweep, period, period);
	net->deferred.data = net->accept.data = net->io_accept.data = net->sweep.data = net;
	accept_start(net);
	ev_timer_start(net->loop, &net->sweep);
	*ret = net;
	return 0;
}

void net_destroy(struct net *net)
{
	if (!net)
		return;
	accept_stop(net);
	ev_timer_stop(net->loop, &net->sweep);
	close(net->listen_fd);
	if (net->io_fd >= 0)
		close(net->io_fd);
	list_each_safe(it, &net->conns)
		conn_close(list_item(it, struct conn, all), NULL);
	list_each_safe(it, &net->dead)
		conn_destroy(list_item(it, struct conn, all));
	ev_clear_pending(net->loop, &net->deferred);
	peers_fini(net);
	htab_fini(&net->by_id);
	tls_destroy(net->tls);
	free(net->scratch);
	free(net);
}

void net_set_keys(struct net *net, const struct keys *keys)
{
	tls_destroy(net->tls);
	net->tls = tls_create(keys);
}

uint16_t net_port(const struct net *net)
{
	return net->port;
}

void net_set_cluster(struct net *net, uint64_t cluster, uint32_t epoch)
{
	net->cluster = cluster;
	net->epoch = epoch;
}

static struct conn *client_find(const struct net *net, uint64_t id)
{
	for (struct hnode *n = htab_first(&net->by_id, hash64(id)); n; n = htab_next(n)) {
		struct conn *c = container_of(n, struct conn, by_id);

		if (c->id == id)
			return c;
	}
	return NULL;
}

/* All clients' unread output has a bound too: beyond it, the one that holds most of it goes. */
static void output_bound(struct net *net)
{
	struct conn *worst = NULL;

	if (net->client_output_bytes <= OUTPUT_CLIENTS * net->limits.client_output_bytes)
		return;
	list_each(it, &net->conns) {
		struct conn *c = list_item(it, struct conn, all);

		if (c->role == CONN_CLIENT && (!worst || c->out.bytes > worst->out.bytes))
			worst = c;
	}
	if (worst)
		conn_close(worst, "it does not read what is sent to it, and memory is short");
}

void net_reply_client(struct net *net, uint64_t conn, struct msg *msg)
{
	struct conn *c = client_find(net, conn);

	if (!c) {
		msg_destroy(msg);
		return;
	}
	client_request_remove(c, msg->id);
	conn_push(c, msg);
	output_bound(net);
}

void net_flush(struct net *net)
{
	struct list *item;

	while ((item = list_pop(&net->dirty)) != NULL)
		conn_flush(list_item(item, struct conn, dirty));
}

uint32_t net_connection_count(const struct net *net)
{
	return net->conn_count;
}

uint64_t net_output_bytes(const struct net *net)
{
	return net->client_output_bytes;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "sheep/net/net_state.h"

/* Linux 6.15; an older kernel refuses it, and packets come back later after a network was cut. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
enum {
	REPEAT_MAX_MS = 1000, /* the longest pause between two tries of a packet */
	HANDSHAKE_TELL_MS = 1000,
};

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	conn_read(w->data);
}

static void conn_connected(struct conn *c)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		conn_close(c, strerror(err));
		return;
	}
	c->state = CONN_HELLO;
	if (c->net->tls)
		c->tls = tls_connect(c->net->tls, c->fd);
	conn_start_reading(c);
	conn_push(c, hello_make(c->net));
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct conn *c = w->data;

	if (c->state == CONN_CONNECTING)
		conn_connected(c);
	if (c->state != CONN_DEAD)
		conn_flush(c);
}

struct conn *conn_create(struct net *net, int fd, enum conn_role role, enum conn_state state)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	int on = 1, repeat_ms = REPEAT_MAX_MS;

	c->net = net;
	c->fd = fd;
	c->role = role;
	c->state = state;
	c->id = ++net->last_id;
	c->since_ms = clock_boottime_ms();
	/* None is a reason to give a connection up. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &repeat_ms, sizeof(repeat_ms));
	list_push(&net->conns, &c->all);
	list_init(&c->dirty);
	list_init(&c->waiting);
	outq_init(&c->out);
	ev_io_init(&c->readable, on_readable, fd, EV_READ);
	ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
	c->readable.data = c->writable.data = c;
	net->conn_count++;
	if (net->tls && state != CONN_CONNECTING)
		c->tls = tls_accept(net->tls, fd);
	if (state == CONN_CONNECTING)
		ev_io_start(net->loop, &c->writable);
	else
		conn_start_reading(c);
	return c;
}

void conn_start_reading(struct conn *c)
{
	ev_io_start(c->net->loop, &c->readable);
	/* Of what TLS has read ahead the socket does not tell. */
	if (c->tls && tls_has_more(c->tls))
		ev_feed_event(c->net->loop, &c->readable, EV_READ);
}

ssize_t conn_input(struct conn *c, const struct iovec *iov, int count)
{
	return c->tls ? tls_readv(c->tls, iov, count) : readv(c->fd, iov, count);
}

/* Strangers can fail as often as they like: one line a second tells of all. */
static void handshake_failed(struct conn *c, const char *why)
{
	struct net *net = c->net;
	uint64_t now = clock_boottime_ms();
	char line[256];

	if (net->handshake_told_ms && now < net->handshake_told_ms + HANDSHAKE_TELL_MS) {
		net->handshakes_untold++;
		conn_close(c, NULL);
		return;
	}
	snprintf(line, sizeof(line), "%s", why);
	if (net->handshakes_untold)
		snprintf(line, sizeof(line), "%s (and %u more like it)", why, net->handshakes_untold);
	net->handshakes_untold = 0;
	net->handshake_told_ms = now;
	conn_close(c, line);
}

void conn_broken(struct conn *c, int err)
{
	const char *why = err == EPROTO && c->tls ? tls_error(c->tls) : strerror(err);

	if (c->tls && !tls_is_open(c->tls) && c->role == CONN_STRANGER)
		handshake_failed(c, why);
	else
		conn_close(c, why);
}

const char *conn_name(const struct conn *c, char name[CONN_NAME_LEN])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char addr[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;

	if (c->peer) {
		snprintf(name, CONN_NAME_LEN, "node %016llx (%s)", (unsigned long long)c->peer->node,
		         c->role == CONN_PEER_OUT ? "to" : "from");
		return name;
	}
	if (c->fd >= 0 && getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0) {
		const struct sockaddr_in *in = (void *)&ss;
		const struct sockaddr_in6 *in6 = (void *)&ss;

		if (ss.ss_family == AF_INET) {
			inet_ntop(AF_INET, &in->sin_addr, addr, sizeof(addr));
			port = ntohs(in->sin_port);
		} else if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], addr, sizeof(addr));
			port = ntohs(in6->sin6_port);
		} else if (ss.ss_family == AF_INET6) {
			inet_ntop(AF_INET6, &in6->sin6_addr, addr, sizeof(addr));
			port = ntohs(in6->sin6_port);
		}
	}
	snprintf(name, CONN_NAME_LEN, strchr(addr, ':') ? "%s [%s]:%u" : "%s %s:%u",
	         c->role == CONN_CLIENT ? "client" : "connection", addr, port);
	return name;
}

void conn_close(struct conn *c, const char *why)
{
	struct net *net = c->net;
	char name[CONN_NAME_LEN];

	if (c->state == CONN_DEAD)
		return;
	if (why)
		log_info(net->log, "%s closed: %s", conn_name(c, name), why);
	c->state = CONN_DEAD;
	ev_io_stop(net->loop, &c->readable);
	ev_io_stop(net->loop, &c->writable);
	tls_stream_destroy(c->tls);
	c->tls = NULL;
	close(c->fd);
	c->fd = -1;
	list_remove(&c->dirty);
	list_remove(&c->waiting);
	conn_rx_fini(c);
	if (c->role == CONN_CLIENT) {
		net->client_output_bytes -= c->out.bytes;
		net->client_count--;
		htab_remove(&net->by_id, &c->by_id);
		client_fini(c);
	}
	outq_fini(&c->out);
	if (c->peer)
		peer_conn_closed(c->peer, c);
	list_remove(&c->all);
	list_push(&net->dead, &c->all);
	net->conn_count--;
	net_defer(net);
}

void conn_destroy(struct conn *c)
{
	assert(c->state == CONN_DEAD);
	list_remove(&c->all);
	free(c);
}

void conn_push(struct conn *c, struct msg *msg)
{
	uint64_t before = c->out.bytes;

	if (before == 0)
		c->progress_ms = clock_boottime_ms();
	outq_push(&c->out, msg);
	if (c->role == CONN_CLIENT)
		c->net->client_output_bytes += c->out.bytes - before;
	if (list_empty(&c->dirty))
		list_push(&c->net->dirty, &c->dirty);
}

static void conn_sent(struct conn *c, uint64_t n)
{
	outq_advance(&c->out, n);
	if (c->role == CONN_CLIENT)
		c->net->client_output_bytes -= n;
	c->progress_ms = clock_boottime_ms();
	if (!list_empty(&c->waiting))
		net_defer(c->net);
}

static ssize_t conn_output(struct conn *c, struct iovec *iov, int count)
{
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = (size_t)count};

	if (c->tls)
		return tls_writev(c->tls, iov, count);
	return sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Whether the socket has to tell when it takes more. */
static bool conn_waits_to_send(const struct conn *c)
{
	if (!c->tls)
		return c->out.bytes > 0;
	return tls_wants_write(c->tls) || (c->out.bytes > 0 && tls_can_write(c->tls));
}

/* Sends until the socket is full, the queue empty or the budget spent. */
static void conn_send(struct conn *c)
{
	struct iovec iov[SEND_VECTORS];
	uint64_t budget = SEND_BUDGET;
	ssize_t n;
	int count;

	while (c->out.bytes > 0 && budget > 0) {
		count = outq_peek(&c->out, iov, SEND_VECTORS, SEND_LEN);
		n = conn_output(c, iov, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			conn_broken(c, errno);
			return;
		}
		conn_sent(c, (uint64_t)n);
		budget -= (uint64_t)n < budget ? (uint64_t)n : budget;
	}
	if (c->tls && tls_wants_write(c->tls) && tls_flush(c->tls) < 0 && errno != EAGAIN)
		conn_broken(c, errno);
}

void conn_flush(struct conn *c)
{
	list_remove(&c->dirty);
	if (c->state == CONN_CONNECTING || c->state == CONN_DEAD)
		return;
	conn_send(c);
	if (c->state == CONN_DEAD)
		return;
	if (conn_waits_to_send(c)) {
		ev_io_start(c->net->loop, &c->writable);
		return;
	}
	ev_io_stop(c->net->loop, &c->writable);
	if (c->state == CONN_REFUSED && c->out.bytes == 0)
		conn_close(c, NULL);
}

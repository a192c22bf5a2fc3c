/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/conn.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/lib/cluster.h"
#include "client/lib/conn_rx.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/codec.h"

/* Linux 6.15; an older kernel refuses it, and packets come back later after a network was cut. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
enum {
	CONNECT_MS = 3000,
	HELLO_MS = 5000,
	REPEAT_MAX_MS = 1000,   /* the longest pause between two tries of a packet */
	SEND_CHUNK = 256 << 10, /* bytes per system call: more only adds cache misses */
	SEND_TURN = 2 << 20,    /* bytes before the others get their turn */
	SEND_IOVS = 32,
};

/* ---- Opening and closing ---- */

static int address_of(const char *addr, uint16_t port, struct sockaddr_storage *ret,
                      socklen_t *ret_len)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *info;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(addr, service, &hints, &info) != 0)
		return -EINVAL;
	memcpy(ret, info->ai_addr, info->ai_addrlen);
	*ret_len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

/* A socket that is connecting, or -errno. */
static int socket_connect(const char *addr, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, one = 1, repeat_ms = REPEAT_MAX_MS, err = address_of(addr, port, &sa, &len);

	if (err < 0)
		return err;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &repeat_ms, sizeof(repeat_ms));
	if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

void conn_fail(struct conn *conn, const char *why)
{
	struct list lost;

	ev_io_stop(conn->cluster->loop, &conn->readable);
	ev_io_stop(conn->cluster->loop, &conn->writable);
	tls_stream_destroy(conn->tls);
	close(conn->fd);
	list_init(&lost);
	list_splice(&lost, &conn->sent);
	list_splice(&lost, &conn->tx);
	list_remove(&conn->link);
	list_remove(&conn->dirty);
	if (conn->in_payload)
		msg_fini(&conn->head);
	free(conn->hello);
	free(conn->crcs);
	free(conn->in);
	free(conn);
	for (struct list *it; (it = list_pop(&lost));)
		request_lost(list_item(it, struct request, link), why);
}

ssize_t conn_input(struct conn *conn, const struct iovec *iov, int count)
{
	return conn->tls ? tls_readv(conn->tls, iov, count) : readv(conn->fd, iov, count);
}

static ssize_t conn_output(struct conn *conn, struct iovec *iov, int count)
{
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = (size_t)count};

	return conn->tls ? tls_writev(conn->tls, iov, count) : sendmsg(conn->fd, &mh, MSG_NOSIGNAL);
}

const char *conn_why(const struct conn *conn)
{
	return conn->tls && errno == EPROTO ? tls_error(conn->tls) : strerror(errno);
}

/* The socket tells when it takes more. */
static void conn_watch_output(struct conn *conn)
{
	bool more = conn->state == CONN_READY && !list_empty(&conn->tx);

	if (conn->tls)
		more = tls_wants_write(conn->tls) || (more && tls_can_write(conn->tls));
	if (more)
		ev_io_start(conn->cluster->loop, &conn->writable);
	else
		ev_io_stop(conn->cluster->loop, &conn->writable);
}

/* HELLO is small and the socket fresh: it goes out in one piece or not at all. */
static const char *conn_send_hello(struct conn *conn)
{
	struct iovec iov = {conn->hello, conn->hello_len};
	ssize_t n = conn_output(conn, &iov, 1);

	if (n < 0 && errno == EAGAIN && conn->tls && !tls_is_open(conn->tls))
		return NULL; /* the handshake comes first */
	if (n < 0)
		return conn_why(conn);
	free(conn->hello);
	conn->hello = NULL;
	return n == (ssize_t)conn->hello_len ? NULL : "the connection broke at once";
}

static const char *conn_say_hello(struct conn *conn)
{
	const struct map *map = conn->cluster->map;
	struct msg hello;

	msg_init(&hello, MSG_HELLO);
	hello.id = ++conn->cluster->next_id;
	hello.version_min = PROTOCOL_VERSION_MIN;
	hello.version_max = PROTOCOL_VERSION_MAX;
	hello.cluster = map ? map->cluster : 0;
	hello.epoch = map ? map->epoch : 0;
	frame_encode(&hello, &conn->hello, &conn->hello_len);
	return conn_send_hello(conn);
}

static void conn_on_connected(struct conn *conn)
{
	const char *why;
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	ev_io_stop(conn->cluster->loop, &conn->writable);
	if (err) {
		conn_fail(conn, strerror(err));
		return;
	}
	conn->state = CONN_HELLO;
	conn->opened_ms = cluster_now_ms();
	cluster_refresh_key(conn->cluster);
	if (conn->cluster->tls)
		conn->tls = tls_connect(conn->cluster->tls, conn->fd);
	why = conn_say_hello(conn);
	if (why) {
		conn_fail(conn, why);
		return;
	}
	ev_io_start(conn->cluster->loop, &conn->readable);
	conn_watch_output(conn);
}

static void conn_on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct conn *conn = watcher->data;

	(void)loop, (void)events;
	if (conn->state == CONN_CONNECTING)
		conn_on_connected(conn);
	else
		conn_flush(conn);
}

static void conn_on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct conn *conn = watcher->data;
	const char *why = conn_receive(conn);

	(void)events;
	if (!why && conn->hello && tls_is_open(conn->tls))
		why = conn_send_hello(conn);
	if (why) {
		conn_fail(conn, why);
		return;
	}
	if (!conn->tls)
		return;
	conn_watch_output(conn);
	/* Of what TLS has read ahead the socket does not tell. */
	if (tls_has_more(conn->tls))
		ev_feed_event(loop, watcher, EV_READ);
}

struct conn *conn_get(struct sf_cluster *cluster, const char *addr, uint16_t port)
{
	struct conn *conn;
	int fd;

	list_each (it, &cluster->conns) {
		conn = list_item(it, struct conn, link);
		if (conn->port == port && strcmp(conn->addr, addr) == 0)
			return conn;
	}
	fd = socket_connect(addr, port);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	conn = xcalloc(1, sizeof(*conn));
	conn->cluster = cluster;
	snprintf(conn->addr, sizeof(conn->addr), "%s", addr);
	conn->port = port;
	conn->fd = fd;
	conn->opened_ms = conn->heard_ms = cluster_now_ms();
	list_push(&cluster->conns, &conn->link);
	list_init(&conn->dirty);
	list_init(&conn->tx);
	list_init(&conn->sent);
	ev_io_init(&conn->readable, conn_on_readable, fd, EV_READ);
	ev_io_init(&conn->writable, conn_on_writable, fd, EV_WRITE);
	conn->readable.data = conn->writable.data = conn;
	ev_io_start(cluster->loop, &conn->writable);
	return conn;
}

bool conn_check_time(struct conn *conn, uint64_t now_ms)
{
	uint64_t age = now_ms - conn->opened_ms;

	if (conn->state == CONN_CONNECTING && age >= CONNECT_MS) {
		conn_fail(conn, "the daemon cannot be reached");
		return true;
	}
	if (conn->state == CONN_HELLO && age >= HELLO_MS) {
		conn_fail(conn, "the daemon does not answer");
		return true;
	}
	return false;
}

/* ---- Sending ---- */

void conn_enqueue(struct conn *conn, struct request *req)
{
	req->conn = conn;
	req->state = REQ_QUEUED;
	list_push(&conn->tx, &req->link);
	if (conn->state == CONN_READY && list_empty(&conn->dirty))
		list_push(&conn->cluster->dirty, &conn->dirty);
}

void conn_abandon(struct conn *conn, struct request *req)
{
	bool half_sent = req->state == REQ_QUEUED && req->sent > 0;

	list_remove(&req->link);
	if (conn->into == req)
		conn->into = NULL;
	/* What follows on the stream would be taken for the rest of this frame. */
	if (half_sent)
		conn_fail(conn, "a request on this connection was given up");
}

/* Appends what is unsent of req, at most `room` bytes; returns the bytes added. */
static size_t gather_request(struct request *req, struct iovec *iov, int *count, size_t room)
{
	uint64_t sent = req->sent;
	size_t added = 0, n;

	if (sent < req->head_len) {
		n = MIN(req->head_len - sent, room);
		iov[(*count)++] = (struct iovec){.iov_base = req->head + sent, .iov_len = n};
		added = n;
		sent += n;
	}
	if (sent >= req->head_len && sent < request_frame_len(req) && added < room) {
		size_t off = sent - req->head_len;

		n = MIN(req->tx_len - off, room - added);
		iov[(*count)++] = (struct iovec){
			.iov_base = (uint8_t *)(uintptr_t)req->tx + off, /* only read */
			.iov_len = n,
		};
		added += n;
	}
	return added;
}

static size_t conn_gather(struct conn *conn, struct iovec iov[SEND_IOVS], int *ret_count)
{
	size_t total = 0;
	int count = 0;

	list_each (it, &conn->tx) {
		struct request *req = list_item(it, struct request, link);

		if (count + 2 > SEND_IOVS || total >= SEND_CHUNK)
			break;
		request_encode(req);
		total += gather_request(req, iov, &count, SEND_CHUNK - total);
	}
	*ret_count = count;
	return total;
}

static void conn_advance(struct conn *conn, size_t bytes)
{
	while (bytes > 0) {
		struct request *req = list_item(conn->tx.next, struct request, link);
		uint64_t left = request_frame_len(req) - req->sent;

		if (bytes < left) {
			req->sent += bytes;
			return;
		}
		bytes -= left;
		req->sent += left;
		req->state = REQ_SENT;
		list_remove(&req->link);
		list_push(&conn->sent, &req->link);
	}
}

/* The first one that may not go out (any more). */
static struct request *conn_fenced(struct conn *conn)
{
	list_each (it, &conn->tx) {
		struct request *req = list_item(it, struct request, link);

		if (request_is_fenced(req))
			return req;
	}
	return NULL;
}

/* False: the connection was closed, because half of such a one has gone out. */
static bool conn_hold_fenced(struct conn *conn)
{
	for (struct request *req; (req = conn_fenced(conn));) {
		if (req->sent > 0) {
			conn_fail(conn, "a volume's lock was not renewed in time");
			return false;
		}
		request_hold(req);
	}
	return true;
}

/* The same for what TLS took and the socket did not yet: it counts as sent, and must not go out either. */
static bool conn_hold_sealed(struct conn *conn)
{
	if (!conn->tls || !tls_wants_write(conn->tls))
		return true;
	list_each (it, &conn->sent)
		if (request_is_fenced(list_item(it, struct request, link))) {
			conn_fail(conn, "a volume's lock was not renewed in time");
			return false;
		}
	return true;
}

void conn_flush(struct conn *conn)
{
	struct iovec iov[SEND_IOVS];
	size_t turn = 0, total;
	int count;
	ssize_t n;

	list_remove(&conn->dirty);
	if (!conn_hold_sealed(conn))
		return;
	if (conn->tls && tls_flush(conn->tls) < 0 && errno != EAGAIN) {
		conn_fail(conn, conn_why(conn));
		return;
	}
	if (conn->state != CONN_READY) {
		conn_watch_output(conn);
		return;
	}
	if (!conn_hold_fenced(conn))
		return;
	while (!list_empty(&conn->tx) && turn < SEND_TURN) {
		total = conn_gather(conn, iov, &count);
		n = conn_output(conn, iov, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_fail(conn, conn_why(conn));
			return;
		}
		conn_advance(conn, (size_t)n);
		turn += (size_t)n;
		if ((size_t)n < total)
			break;
	}
	conn_watch_output(conn);
}

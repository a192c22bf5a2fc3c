/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_NET_WORLD_H
#define SF_TESTS_NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/wire/codec.h"
#include "sheep/net/net.h"

/*
 * Two daemons' nets, "a" and "b", and bare sockets as clients, all in one loop. Everything is waited for by condition;
 * a condition that does not come in time fails the test.
 */
enum { PATIENCE_S = 8, NODE_A = 0xa, NODE_B = 0xb, MAX_SEEN = 4096 };

struct side {
	struct net *net;
	struct buf_pool *pool;
	struct msg *seen[MAX_SEEN]; /* received and not answered */
	uint64_t from[MAX_SEEN];
	uint32_t seen_count;
	uint32_t clients_lost, peers_lost;
	uint64_t refuse_cluster;
};

struct world {
	struct ev_loop *loop;
	struct side a, b;
};

static inline void on_msg(void *arg, uint64_t from, struct msg *msg)
{
	struct side *s = arg;

	assert_true(s->seen_count < MAX_SEEN);
	s->from[s->seen_count] = from;
	s->seen[s->seen_count++] = msg;
}

static inline void on_client_lost(void *arg, uint64_t conn)
{
	((struct side *)arg)->clients_lost++;
}

static inline void on_peer_lost(void *arg, uint64_t node)
{
	((struct side *)arg)->peers_lost++;
}

static inline bool on_hello(void *arg, const struct msg *hello, char why[256])
{
	const struct side *s = arg;

	if (!s->refuse_cluster || hello->cluster != s->refuse_cluster)
		return true;
	strcpy(why, "another cluster");
	return false;
}

static inline void side_open(struct world *w, struct side *s, uint64_t node, uint16_t port,
                      const struct net_limits *limits)
{
	struct net_options o = {.node = node, .port = port, .loop = w->loop};
	struct net_callbacks cb = {s, on_msg, on_client_lost, on_msg, on_peer_lost, on_hello};
	char text[512];

	*s = (struct side){.pool = buf_pool_create(32 << 20)};
	if (limits)
		o.limits = *limits;
	o.pool = s->pool;
	assert_int_equal(net_create(&o, &cb, &s->net, text), 0);
}

static inline void side_forget(struct side *s)
{
	for (uint32_t i = 0; i < s->seen_count; i++)
		msg_destroy(s->seen[i]);
	s->seen_count = 0;
}

static inline void side_close(struct side *s)
{
	side_forget(s);
	net_destroy(s->net);
	assert_int_equal(buf_pool_used_bytes(s->pool), 0);
	buf_pool_destroy(s->pool);
	*s = (struct side){0};
}

static inline void world_open(struct world *w, const struct net_limits *limits)
{
	*w = (struct world){.loop = ev_loop_new(EVFLAG_AUTO)};
	side_open(w, &w->a, NODE_A, 0, limits);
	side_open(w, &w->b, NODE_B, 0, limits);
	net_set_peer(w->a.net, NODE_B, "127.0.0.1", net_port(w->b.net));
	net_set_peer(w->b.net, NODE_A, "127.0.0.1", net_port(w->a.net));
}

static inline void world_close(struct world *w)
{
	if (w->a.net)
		side_close(&w->a);
	if (w->b.net)
		side_close(&w->b);
	ev_loop_destroy(w->loop);
}

static inline void on_tick(struct ev_loop *loop, ev_timer *t, int revents)
{
	uint32_t *left = t->data;

	assert_true((*left)--);
}

static inline void world_turn(struct world *w)
{
	if (w->a.net)
		net_flush(w->a.net);
	if (w->b.net)
		net_flush(w->b.net);
	ev_run(w->loop, EVRUN_ONCE);
}

#define WAIT_FOR(w, condition)                                                                     \
	do {                                                                                       \
		uint32_t left_ = PATIENCE_S * 100;                                                 \
		ev_timer t_;                                                                       \
		ev_timer_init(&t_, on_tick, 0.01, 0.01);                                           \
		t_.data = &left_;                                                                  \
		ev_timer_start((w)->loop, &t_);                                                    \
		while (!(condition))                                                               \
			world_turn(w);                                                             \
		ev_timer_stop((w)->loop, &t_);                                                     \
	} while (0)

/* Time for what should not happen. */
static inline void settle(struct world *w)
{
	for (uint32_t i = 0; i < 50; i++) {
		ev_run(w->loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

/* ---- A bare client ------------------------------------------------------------------------------ */

static inline int client_connect(struct world *w, struct side *s)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(net_port(s->net)),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* The bytes of a frame, payload included. */
static inline uint8_t *frame_bytes(struct msg *m, size_t *ret_len)
{
	uint32_t head_len, payload = payload_len(&m->payload);
	uint8_t *head;

	frame_encode(m, &head, &head_len);
	head = xrealloc(head, head_len + payload);
	payload_copy_out(&m->payload, 0, head + head_len, payload);
	msg_destroy(m);
	*ret_len = head_len + payload;
	return head;
}

static inline bool client_write(struct world *w, int fd, const uint8_t *data, size_t len)
{
	uint32_t idle = 0;
	ssize_t n;

	while (len > 0) {
		n = send(fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			idle = 0;
		}
		if (n < 0 && ++idle > 2000)
			return false;
		net_flush(w->a.net);
		ev_run(w->loop, EVRUN_NOWAIT);
		if (n < 0)
			usleep(200);
	}
	return true;
}

static inline bool client_send(struct world *w, int fd, struct msg *m)
{
	size_t len;
	uint8_t *bytes = frame_bytes(m, &len);
	bool ok = client_write(w, fd, bytes, len);

	free(bytes);
	return ok;
}

static inline ssize_t try_read(int fd, void *dst, size_t len)
{
	ssize_t n = read(fd, dst, len);

	return n < 0 && errno == EAGAIN ? -EAGAIN : n < 0 ? 0 : n;
}

static inline void client_read(struct world *w, int fd, void *dst, size_t len)
{
	uint8_t *p = dst;
	ssize_t n;

	while (len > 0) {
		WAIT_FOR(w, (n = try_read(fd, p, len)) != -EAGAIN);
		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

static inline struct msg *client_receive(struct world *w, int fd)
{
	struct msg *m = msg_create(MSG_HELLO);
	uint8_t fixed[FRAME_FIXED_LEN], *head;
	struct frame_sizes sizes;
	struct buf *payload = NULL;
	size_t len;

	client_read(w, fd, fixed, sizeof(fixed));
	assert_int_equal(frame_peek(fixed, &sizes), 0);
	len = FRAME_FIXED_LEN + sizes.header_len + 4 * sizes.crc_count;
	head = xmalloc(len);
	memcpy(head, fixed, sizeof(fixed));
	client_read(w, fd, head + sizeof(fixed), len - sizeof(fixed));
	if (sizes.payload_len) {
		payload = buf_get(NULL, sizes.payload_len);
		client_read(w, fd, payload->data, payload->len);
	}
	assert_int_equal(frame_decode(head, len, payload, m), 0);
	free(head);
	return m;
}

static inline void wait_closed(struct world *w, int fd)
{
	char c[4096];
	ssize_t n;

	do {
		WAIT_FOR(w, (n = try_read(fd, c, sizeof(c))) != -EAGAIN);
	} while (n > 0);
	close(fd);
}

static inline struct msg *hello(void)
{
	struct msg *m = msg_create(MSG_HELLO);

	m->version_min = PROTOCOL_VERSION_MIN;
	m->version_max = PROTOCOL_VERSION_MAX;
	return m;
}

static inline int client_open(struct world *w, struct side *s)
{
	int fd = client_connect(w, s);
	struct msg *m;

	assert_true(client_send(w, fd, hello()));
	m = client_receive(w, fd);
	assert_int_equal(m->type, MSG_HELLO);
	assert_int_equal(m->result, RES_OK);
	msg_destroy(m);
	return fd;
}

static inline struct buf *random_buf(struct buf_pool *pool, uint32_t len, uint64_t seed)
{
	struct buf *b = buf_get(pool, len);
	struct prng prng;

	prng_init(&prng, seed);
	prng_fill(&prng, b->data, len);
	return b;
}

static inline void msg_add(struct msg *m, struct buf *b, uint32_t off, uint32_t len)
{
	struct slice s = slice_make(b, off, len);

	payload_add(&m->payload, &s);
}

static inline struct msg *write_request(struct buf_pool *pool, uint64_t id, uint32_t len)
{
	struct msg *m = msg_create(MSG_OBJ_WRITE);
	struct buf *b;

	m->id = id;
	m->req = (struct req_id){.client = 1, .seq = id};
	m->pool = 1;
	m->oid = 7;
	if (len) {
		b = random_buf(pool, len, id);
		msg_add(m, b, 0, len);
		buf_unref(b);
	}
	return m;
}

static inline struct msg *ping(uint64_t id)
{
	struct msg *m = msg_create(MSG_PING);

	m->id = id;
	return m;
}

static inline void assert_payload(const struct msg *m, uint32_t len, uint64_t seed)
{
	struct buf *b;
	uint8_t *got;

	assert_int_equal(payload_len(&m->payload), len);
	if (!len)
		return;
	b = random_buf(NULL, len, seed);
	got = xmalloc(len);
	payload_copy_out(&m->payload, 0, got, len);
	assert_memory_equal(got, b->data, len);
	free(got);
	buf_unref(b);
}

#endif

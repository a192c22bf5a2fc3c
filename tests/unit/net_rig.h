/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_UNIT_NET_RIG_H
#define SF_TESTS_UNIT_NET_RIG_H

/*
 * Up to two nets in one loop, and raw sockets that talk to them. Include cmocka.h first.
 * rig_wait runs the loop until a condition holds; nothing here sleeps.
 */
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "lib/wire/codec.h"
#include "sheep/net/net.h"

enum { RIG_WAIT_MS = 8000, CLUSTER = 77 };

struct got {
	struct list link;
	uint64_t from;
	struct msg *msg;
};

struct side {
	struct rig *rig;
	struct net *net;
	uint64_t node;
	struct list got; /* of peers and clients */
	uint32_t got_count, client_lost, peer_lost;
	uint64_t last_client;
	bool echo, refuse, inside;
};

struct rig {
	struct ev_loop *loop;
	struct buf_pool *pool;
	struct log log;
	uint32_t log_lines;
	char last_line[512];
	ev_timer beat;
	ev_prepare before_wait;
	struct side side[2];
};

static inline uint64_t rig_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void rig_log(void *arg, enum log_level level, const char *line)
{
	struct rig *r = arg;

	(void)level;
	r->log_lines++;
	snprintf(r->last_line, sizeof(r->last_line), "%s", line);
}

/* Every call into a net goes through here, so that a callback from inside one is noticed. */
#define RIG_CALL(side, call)                                                                       \
	do {                                                                                       \
		(side)->inside = true;                                                             \
		call;                                                                              \
		(side)->inside = false;                                                            \
	} while (0)

static inline void side_take(struct side *s, uint64_t from, struct msg *msg)
{
	struct got *g = xmalloc(sizeof(*g));

	g->from = from;
	g->msg = msg;
	list_push(&s->got, &g->link);
	s->got_count++;
}

static inline void side_reply(struct side *s, uint64_t conn, struct msg *req)
{
	struct msg *reply = msg_create_reply(req, RES_OK);

	payload_move(&reply->payload, &req->payload);
	reply->length = req->length;
	msg_destroy(req);
	RIG_CALL(s, net_reply_client(s->net, conn, reply));
}

static void on_client_msg(void *arg, uint64_t conn, struct msg *msg)
{
	struct side *s = arg;

	assert_false(s->inside);
	s->last_client = conn;
	if (s->echo)
		side_reply(s, conn, msg);
	else
		side_take(s, conn, msg);
}

static void on_client_lost(void *arg, uint64_t conn)
{
	struct side *s = arg;

	(void)conn;
	assert_false(s->inside);
	s->client_lost++;
}

static void on_peer_msg(void *arg, uint64_t node, struct msg *msg)
{
	struct side *s = arg;

	assert_false(s->inside);
	side_take(s, node, msg);
}

static void on_peer_lost(void *arg, uint64_t node)
{
	struct side *s = arg;

	(void)node;
	assert_false(s->inside);
	s->peer_lost++;
}

static bool on_accept_hello(void *arg, const struct msg *hello, char why[256])
{
	struct side *s = arg;

	if (!s->refuse && (!hello->cluster || hello->cluster == CLUSTER))
		return true;
	snprintf(why, 256, "not welcome");
	return false;
}

static inline void side_open(struct rig *r, uint32_t i, uint16_t port, struct net_limits limits)
{
	struct side *s = &r->side[i];
	struct net_options o = {
		.port = port,
		.node = s->node,
		.limits = limits,
		.pool = r->pool,
		.log = &r->log,
		.loop = r->loop,
	};
	struct net_callbacks cb = {
		.arg = s,
		.client_msg = on_client_msg,
		.client_lost = on_client_lost,
		.peer_msg = on_peer_msg,
		.peer_lost = on_peer_lost,
		.accept_hello = on_accept_hello,
	};
	char text[512] = "";

	if (net_create(&o, &cb, &s->net, text) < 0)
		fail_msg("%s", text);
	net_set_cluster(s->net, CLUSTER, 5);
}

static inline void side_forget(struct side *s)
{
	for (struct list *l; (l = list_pop(&s->got));) {
		struct got *g = list_item(l, struct got, link);

		msg_destroy(g->msg);
		free(g);
	}
	s->got_count = 0;
}

static inline void side_close(struct side *s)
{
	RIG_CALL(s, net_destroy(s->net));
	s->net = NULL;
}

/* The oldest message received, taken out of the list. */
static inline struct msg *side_next(struct side *s, uint64_t *from)
{
	struct list *l = list_pop(&s->got);
	struct got *g;
	struct msg *m;

	assert_non_null(l);
	g = list_item(l, struct got, link);
	m = g->msg;
	if (from)
		*from = g->from;
	free(g);
	s->got_count--;
	return m;
}

static void rig_beat(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)loop, (void)w, (void)events;
}

static void rig_before_wait(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct rig *r = w->data;

	(void)loop, (void)events;
	for (int i = 0; i < 2; i++)
		if (r->side[i].net)
			RIG_CALL(&r->side[i], net_flush(r->side[i].net));
}

static inline struct rig *rig_create(uint32_t nets, struct net_limits limits)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->loop = ev_loop_new(EVFLAG_AUTO);
	r->pool = buf_pool_create(32 << 20);
	r->log = (struct log){.level = LOG_LV_INFO, .write = rig_log, .arg = r};
	ev_timer_init(&r->beat, rig_beat, 0.005, 0.005);
	ev_timer_start(r->loop, &r->beat);
	ev_prepare_init(&r->before_wait, rig_before_wait);
	r->before_wait.data = r;
	ev_prepare_start(r->loop, &r->before_wait);
	for (uint32_t i = 0; i < 2; i++) {
		r->side[i].rig = r;
		r->side[i].node = 100 + i;
		list_init(&r->side[i].got);
		if (i < nets)
			side_open(r, i, 0, limits);
	}
	if (nets == 2) {
		net_set_peer(r->side[0].net, 101, "127.0.0.1", net_port(r->side[1].net));
		net_set_peer(r->side[1].net, 100, "127.0.0.1", net_port(r->side[0].net));
	}
	return r;
}

/* Nothing may be left of the pool's buffers: buf_pool_destroy asserts that. */
static inline void rig_destroy(struct rig *r)
{
	for (int i = 0; i < 2; i++) {
		side_close(&r->side[i]);
		side_forget(&r->side[i]);
	}
	buf_pool_destroy(r->pool);
	ev_loop_destroy(r->loop);
	free(r);
}

static inline void rig_turn(struct rig *r)
{
	ev_run(r->loop, EVRUN_ONCE);
}

#define rig_wait(r, condition)                                                                     \
	do {                                                                                       \
		uint64_t until_ = rig_now_ms() + RIG_WAIT_MS;                                      \
		while (!(condition)) {                                                             \
			if (rig_now_ms() > until_)                                                 \
				fail_msg("never came true: %s (last line: %s)", #condition,        \
				         (r)->last_line);                                          \
			rig_turn(r);                                                               \
		}                                                                                  \
	} while (0)

/* Gives what must not happen the time to happen. */
static inline void rig_run_ms(struct rig *r, uint64_t ms)
{
	uint64_t until = rig_now_ms() + ms;

	while (rig_now_ms() < until)
		rig_turn(r);
}

/* ---- Raw sockets ---- */

static inline int raw_open(uint16_t port, int receive_buffer)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* Sends as much as the socket takes within the time; the loop goes on. Returns the bytes taken. */
static inline size_t raw_send_for(struct rig *r, int fd, const void *data, size_t len, uint64_t ms)
{
	uint64_t until = rig_now_ms() + ms;
	size_t done = 0;

	while (done < len && rig_now_ms() < until) {
		ssize_t n = send(fd, (const char *)data + done, len - done,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN)
			break;
		rig_turn(r);
	}
	return done;
}

static inline void raw_send(struct rig *r, int fd, const void *data, size_t len)
{
	assert_int_equal(raw_send_for(r, fd, data, len, RIG_WAIT_MS), len);
}

/* A whole frame in one piece; takes over m. */
static inline uint8_t *raw_frame(struct msg *m, size_t *ret_len)
{
	uint32_t head_len, payload = payload_len(&m->payload);
	uint8_t *head;

	frame_encode(m, &head, &head_len);
	head = xrealloc(head, (size_t)head_len + payload + 1);
	payload_copy_out(&m->payload, 0, head + head_len, payload);
	msg_destroy(m);
	*ret_len = (size_t)head_len + payload;
	return head;
}

static inline void raw_send_msg(struct rig *r, int fd, struct msg *m)
{
	size_t len;
	uint8_t *frame = raw_frame(m, &len);

	raw_send(r, fd, frame, len);
	free(frame);
}

/* False when the connection ended before len bytes came. */
static inline bool raw_receive(struct rig *r, int fd, void *data, size_t len)
{
	uint64_t until = rig_now_ms() + RIG_WAIT_MS;
	size_t done = 0;

	while (done < len) {
		ssize_t n = recv(fd, (char *)data + done, len - done, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0)
			done += (size_t)n;
		if (rig_now_ms() > until)
			fail_msg("nothing comes (last line: %s)", r->last_line);
		if (done < len)
			rig_turn(r);
	}
	return true;
}

/* NULL when the connection ended. */
static inline struct msg *raw_receive_msg(struct rig *r, int fd)
{
	uint8_t fixed[FRAME_FIXED_LEN];
	struct frame_sizes sizes;
	struct buf *payload = NULL;
	struct msg *m;
	uint8_t *head;
	size_t head_len;

	if (!raw_receive(r, fd, fixed, sizeof(fixed)))
		return NULL;
	assert_int_equal(frame_peek(fixed, &sizes), 0);
	head_len = FRAME_FIXED_LEN + sizes.header_len + 4 * (size_t)sizes.crc_count;
	head = xmalloc(head_len);
	memcpy(head, fixed, sizeof(fixed));
	assert_true(raw_receive(r, fd, head + sizeof(fixed), head_len - sizeof(fixed)));
	if (sizes.payload_len > 0) {
		payload = buf_get(NULL, sizes.payload_len);
		assert_true(raw_receive(r, fd, payload->data, payload->len));
	}
	m = msg_create(MSG_HELLO);
	assert_int_equal(frame_decode(head, head_len, payload, m), 0);
	free(head);
	return m;
}

static inline struct msg *hello_of(uint64_t node)
{
	struct msg *m = msg_create(MSG_HELLO);

	m->id = 1;
	m->version_min = PROTOCOL_VERSION_MIN;
	m->version_max = PROTOCOL_VERSION_MAX;
	m->cluster = CLUSTER;
	m->node = node;
	return m;
}

/* Says HELLO as a client (node 0) or a peer and takes the answer. */
static inline void raw_hello(struct rig *r, int fd, uint64_t node)
{
	struct msg *m;

	raw_send_msg(r, fd, hello_of(node));
	m = raw_receive_msg(r, fd);
	assert_non_null(m);
	assert_int_equal(m->type, MSG_HELLO);
	assert_true(m->reply);
	assert_int_equal(m->result, RES_OK);
	assert_int_equal(m->cluster, CLUSTER);
	assert_int_equal(m->epoch, 5);
	assert_int_equal(m->node, 100);
	msg_destroy(m);
}

static inline int raw_client(struct rig *r, uint16_t port, int receive_buffer)
{
	int fd = raw_open(port, receive_buffer);

	raw_hello(r, fd, 0);
	return fd;
}

static inline bool raw_is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static inline struct msg *ping_of(uint64_t id)
{
	struct msg *m = msg_create(MSG_PING);

	m->id = id;
	return m;
}

/* The client still gets answers. The side must echo. */
static inline void raw_assert_served(struct rig *r, int fd, uint64_t id)
{
	struct msg *m;

	raw_send_msg(r, fd, ping_of(id));
	m = raw_receive_msg(r, fd);
	assert_non_null(m);
	assert_int_equal(m->type, MSG_PING);
	assert_true(m->reply);
	assert_int_equal(m->id, id);
	msg_destroy(m);
}

/* ---- Payloads that can be told apart ---- */

static inline void payload_fill(struct payload *p, struct buf_pool *pool, uint64_t seed,
                                uint32_t len)
{
	struct prng rng;

	prng_init(&rng, seed);
	while (len > 0) {
		uint32_t n = p->count < 40 ? 1 + (uint32_t)prng_below(&rng, len) : len;
		struct slice s = {.len = n};

		if (prng_below(&rng, 5)) {
			struct buf *buf = buf_get(pool, n);

			prng_fill(&rng, buf->data, n);
			s = slice_make(buf, 0, n);
			buf_unref(buf);
		}
		payload_add(p, &s);
		len -= n;
	}
}

static inline void payload_assert_filled(const struct payload *p, uint64_t seed, uint32_t len)
{
	struct payload want;
	uint8_t *a = xmalloc(len + 1ul), *b = xmalloc(len + 1ul);

	assert_int_equal(payload_len(p), len);
	payload_init(&want);
	payload_fill(&want, NULL, seed, len);
	payload_copy_out(&want, 0, a, len);
	payload_copy_out(p, 0, b, len);
	assert_true(memcmp(a, b, len) == 0);
	payload_fini(&want);
	free(a);
	free(b);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
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

static void on_msg(void *arg, uint64_t from, struct msg *msg)
{
	struct side *s = arg;

	assert_true(s->seen_count < MAX_SEEN);
	s->from[s->seen_count] = from;
	s->seen[s->seen_count++] = msg;
}

static void on_client_lost(void *arg, uint64_t conn)
{
	((struct side *)arg)->clients_lost++;
}

static void on_peer_lost(void *arg, uint64_t node)
{
	((struct side *)arg)->peers_lost++;
}

static bool on_hello(void *arg, const struct msg *hello, char why[256])
{
	const struct side *s = arg;

	if (!s->refuse_cluster || hello->cluster != s->refuse_cluster)
		return true;
	strcpy(why, "another cluster");
	return false;
}

static void side_open(struct world *w, struct side *s, uint64_t node, uint16_t port,
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

static void side_forget(struct side *s)
{
	for (uint32_t i = 0; i < s->seen_count; i++)
		msg_destroy(s->seen[i]);
	s->seen_count = 0;
}

static void side_close(struct side *s)
{
	side_forget(s);
	net_destroy(s->net);
	assert_int_equal(buf_pool_used_bytes(s->pool), 0);
	buf_pool_destroy(s->pool);
	*s = (struct side){0};
}

static void world_open(struct world *w, const struct net_limits *limits)
{
	*w = (struct world){.loop = ev_loop_new(EVFLAG_AUTO)};
	side_open(w, &w->a, NODE_A, 0, limits);
	side_open(w, &w->b, NODE_B, 0, limits);
	net_set_peer(w->a.net, NODE_B, "127.0.0.1", net_port(w->b.net));
	net_set_peer(w->b.net, NODE_A, "127.0.0.1", net_port(w->a.net));
}

static void world_close(struct world *w)
{
	if (w->a.net)
		side_close(&w->a);
	if (w->b.net)
		side_close(&w->b);
	ev_loop_destroy(w->loop);
}

static void on_tick(struct ev_loop *loop, ev_timer *t, int revents)
{
	uint32_t *left = t->data;

	assert_true((*left)--);
}

static void world_turn(struct world *w)
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
static void settle(struct world *w)
{
	for (uint32_t i = 0; i < 50; i++) {
		ev_run(w->loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

/* ---- A bare client ------------------------------------------------------------------------------ */

static int client_connect(struct world *w, struct side *s)
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
static uint8_t *frame_bytes(struct msg *m, size_t *ret_len)
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

static bool client_write(struct world *w, int fd, const uint8_t *data, size_t len)
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

static bool client_send(struct world *w, int fd, struct msg *m)
{
	size_t len;
	uint8_t *bytes = frame_bytes(m, &len);
	bool ok = client_write(w, fd, bytes, len);

	free(bytes);
	return ok;
}

static ssize_t try_read(int fd, void *dst, size_t len)
{
	ssize_t n = read(fd, dst, len);

	return n < 0 && errno == EAGAIN ? -EAGAIN : n < 0 ? 0 : n;
}

static void client_read(struct world *w, int fd, void *dst, size_t len)
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

static struct msg *client_receive(struct world *w, int fd)
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

static void wait_closed(struct world *w, int fd)
{
	char c[4096];
	ssize_t n;

	do {
		WAIT_FOR(w, (n = try_read(fd, c, sizeof(c))) != -EAGAIN);
	} while (n > 0);
	close(fd);
}

static struct msg *hello(void)
{
	struct msg *m = msg_create(MSG_HELLO);

	m->version_min = PROTOCOL_VERSION_MIN;
	m->version_max = PROTOCOL_VERSION_MAX;
	return m;
}

static int client_open(struct world *w, struct side *s)
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

static struct buf *random_buf(struct buf_pool *pool, uint32_t len, uint64_t seed)
{
	struct buf *b = buf_get(pool, len);
	struct prng prng;

	prng_init(&prng, seed);
	prng_fill(&prng, b->data, len);
	return b;
}

static void msg_add(struct msg *m, struct buf *b, uint32_t off, uint32_t len)
{
	struct slice s = slice_make(b, off, len);

	payload_add(&m->payload, &s);
}

static struct msg *write_request(struct buf_pool *pool, uint64_t id, uint32_t len)
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

static struct msg *ping(uint64_t id)
{
	struct msg *m = msg_create(MSG_PING);

	m->id = id;
	return m;
}

/* ---- Claims ------------------------------------------------------------------------------------- */

static void assert_payload(const struct msg *m, uint32_t len, uint64_t seed)
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

static void test_messages_of_all_sizes_arrive_intact_and_in_order(void **state)
{
	static const uint32_t sizes[] = {0,     1,     511,    4096,    4097,    65535,  0,
	                                 65536, 65537, 131072, 1000003, 4 << 20, 16 << 20, 0,
	                                 60000, 61440, 3,      5000,    16777215, 70000, 0};
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	struct world w;

	world_open(&w, NULL);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < COUNT; i++)
			net_send_peer(w.a.net, NODE_B, write_request(w.a.pool, i + 1, sizes[i]));
		WAIT_FOR(&w, w.b.seen_count == COUNT);
		for (uint32_t i = 0; i < COUNT; i++) {
			assert_int_equal(w.b.from[i], NODE_A);
			assert_int_equal(w.b.seen[i]->id, i + 1);
			assert_payload(w.b.seen[i], sizes[i], i + 1);
		}
		side_forget(&w.b);
	}
	world_close(&w);
}

static void test_many_small_messages_arrive_in_order(void **state)
{
	enum { COUNT = 4000 };
	struct world w;

	world_open(&w, NULL);
	for (uint32_t i = 0; i < COUNT; i++)
		net_send_peer(w.a.net, NODE_B, ping(i + 1));
	WAIT_FOR(&w, w.b.seen_count == COUNT);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(w.b.seen[i]->id, i + 1);
	world_close(&w);
}

static void test_holes_and_cut_slices_arrive_as_their_bytes(void **state)
{
	struct world w;
	struct msg *m = msg_create(MSG_OBJ_WRITE);
	struct slice hole = {.len = 200000};
	struct buf *b;
	uint8_t *got = xmalloc(300000);

	world_open(&w, NULL);
	m->req = (struct req_id){1, 1};
	m->id = m->oid = 1;
	b = random_buf(w.a.pool, 100000, 5);
	msg_add(m, b, 1234, 50000);
	payload_add(&m->payload, &hole);
	msg_add(m, b, 0, 50000);
	net_send_peer(w.a.net, NODE_B, m);
	WAIT_FOR(&w, w.b.seen_count == 1);
	payload_copy_out(&w.b.seen[0]->payload, 0, got, 300000);
	assert_memory_equal(got, b->data + 1234, 50000);
	assert_memory_equal(got + 250000, b->data, 50000);
	for (uint32_t i = 50000; i < 250000; i++)
		assert_int_equal(got[i], 0);
	buf_unref(b);
	free(got);
	world_close(&w);
}

static void test_long_headers_arrive(void **state)
{
	struct world w;
	struct msg *m;

	world_open(&w, NULL);
	for (uint32_t blob = 60000; blob < 5000000; blob = blob * 3 / 2) {
		m = msg_create(MSG_GET_MAP);
		m->reply = true;
		m->blob_len = blob;
		m->blob = xmalloc(blob);
		memset(m->blob, 'x', blob);
		net_send_peer(w.a.net, NODE_B, m);
		net_send_peer(w.a.net, NODE_B, ping(blob));
		WAIT_FOR(&w, w.b.seen_count == 2);
		assert_int_equal(w.b.seen[0]->blob_len, blob);
		assert_int_equal(w.b.seen[0]->blob[blob - 1], 'x');
		assert_int_equal(w.b.seen[1]->id, blob);
		side_forget(&w.b);
	}
	world_close(&w);
}

static void test_frames_cut_anywhere_are_put_together(void **state)
{
	static const uint32_t steps[] = {1, 7, 23, 24, 25, 100, 4096, 70001};
	struct world w;
	uint8_t *bytes;
	size_t len;
	int fd;

	world_open(&w, NULL);
	fd = client_open(&w, &w.a);
	for (uint32_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		bytes = frame_bytes(write_request(NULL, 9, steps[i] < 24 ? 3000 : 300000), &len);
		for (size_t off = 0; off < len; off += steps[i])
			assert_true(client_write(&w, fd, bytes + off, steps[i] < len - off ? steps[i] : len - off));
		WAIT_FOR(&w, w.a.seen_count == 1);
		assert_payload(w.a.seen[0], steps[i] < 24 ? 3000 : 300000, 9);
		net_reply_client(w.a.net, w.a.from[0], msg_create_reply(w.a.seen[0], RES_OK));
		side_forget(&w.a);
		free(bytes);
	}
	close(fd);
	WAIT_FOR(&w, w.a.clients_lost == 1);
	world_close(&w);
}

static void test_a_reply_reaches_its_client(void **state)
{
	struct world w;
	struct msg *m;
	struct buf *b;
	int fd;

	world_open(&w, NULL);
	fd = client_open(&w, &w.a);
	assert_true(client_send(&w, fd, ping(77)));
	WAIT_FOR(&w, w.a.seen_count == 1);
	m = msg_create_reply(w.a.seen[0], RES_OK);
	m->type = MSG_OBJ_READ;
	b = random_buf(w.a.pool, 3 << 20, 77);
	msg_add(m, b, 0, b->len);
	buf_unref(b);
	net_reply_client(w.a.net, w.a.from[0], m);
	net_reply_client(w.a.net, 999999, msg_create_reply(w.a.seen[0], RES_OK)); /* long gone */
	m = client_receive(&w, fd);
	assert_int_equal(m->id, 77);
	assert_payload(m, 3 << 20, 77);
	msg_destroy(m);
	close(fd);
	world_close(&w);
}

static void test_garbage_closes_only_its_own_connection(void **state)
{
	struct world w;
	uint8_t *bytes, junk[5000];
	struct prng prng;
	size_t len;
	int good, bad;

	world_open(&w, NULL);
	good = client_open(&w, &w.a);
	prng_init(&prng, 1);
	prng_fill(&prng, junk, sizeof(junk));

	bad = client_connect(&w, &w.a); /* before HELLO */
	client_write(&w, bad, junk, sizeof(junk));
	wait_closed(&w, bad);
	bad = client_open(&w, &w.a); /* after it */
	client_write(&w, bad, junk, sizeof(junk));
	wait_closed(&w, bad);
	bad = client_open(&w, &w.a); /* a payload that fails its checksum */
	bytes = frame_bytes(write_request(NULL, 1, 100000), &len);
	bytes[len - 1] ^= 1;
	client_write(&w, bad, bytes, len);
	free(bytes);
	wait_closed(&w, bad);
	bad = client_connect(&w, &w.a); /* no HELLO first */
	client_send(&w, bad, ping(1));
	wait_closed(&w, bad);
	bad = client_open(&w, &w.a); /* what only nodes say */
	client_send(&w, bad, msg_create(MSG_SHARD_STAT));
	wait_closed(&w, bad);
	assert_int_equal(w.a.seen_count, 0);

	assert_true(client_send(&w, good, ping(5)));
	WAIT_FOR(&w, w.a.seen_count == 1 && net_connection_count(w.a.net) == 1);
	close(good);
	world_close(&w);
}

static void test_a_hello_that_does_not_fit_is_refused_with_the_reason(void **state)
{
	struct world w;
	struct msg *m;
	int fd;

	world_open(&w, NULL);
	w.a.refuse_cluster = 42;
	fd = client_connect(&w, &w.a);
	m = hello();
	m->cluster = 42;
	client_send(&w, fd, m);
	m = client_receive(&w, fd);
	assert_int_equal(m->result, RES_DENIED);
	assert_int_equal(m->blob_len, strlen("another cluster"));
	msg_destroy(m);
	wait_closed(&w, fd);

	fd = client_connect(&w, &w.a);
	m = hello();
	m->version_min = m->version_max = PROTOCOL_VERSION_MAX + 1;
	client_send(&w, fd, m);
	m = client_receive(&w, fd);
	assert_int_equal(m->result, RES_DENIED);
	msg_destroy(m);
	wait_closed(&w, fd);
	world_close(&w);
}

static void test_a_newer_peer_and_this_one_use_the_highest_common_version(void **state)
{
	struct world w;
	struct msg *m;
	int fd;

	world_open(&w, NULL);
	fd = client_connect(&w, &w.a);
	m = hello();
	m->version_max = PROTOCOL_VERSION_MAX + 5;
	client_send(&w, fd, m);
	m = client_receive(&w, fd);
	assert_int_equal(m->result, RES_OK);
	assert_int_equal(m->version_max, PROTOCOL_VERSION_MAX);
	msg_destroy(m);
	close(fd);
	world_close(&w);
}

static void test_a_client_has_only_so_much_under_way(void **state)
{
	struct net_limits limits = {.client_inflight_count = 5};
	struct world w;
	int fd;

	world_open(&w, &limits);
	fd = client_open(&w, &w.a);
	for (uint64_t i = 1; i <= 50; i++)
		assert_true(client_send(&w, fd, ping(i)));
	settle(&w);
	assert_int_equal(w.a.seen_count, 5);
	for (uint64_t done = 0; done < 50; done += 5) {
		WAIT_FOR(&w, w.a.seen_count == 5);
		for (uint32_t i = 0; i < 5; i++) {
			assert_int_equal(w.a.seen[i]->id, done + i + 1);
			net_reply_client(w.a.net, w.a.from[i], msg_create_reply(w.a.seen[i], RES_OK));
		}
		side_forget(&w.a);
	}
	close(fd);
	world_close(&w);
}

static void test_all_clients_together_have_only_so_much_under_way(void **state)
{
	struct net_limits limits = {.total_inflight_bytes = 3 << 20};
	struct world w;
	int fd[3];

	world_open(&w, &limits);
	for (int i = 0; i < 3; i++)
		fd[i] = client_open(&w, &w.a);
	for (int i = 0; i < 3; i++) {
		struct msg *m = msg_create(MSG_OBJ_READ);

		m->id = (uint64_t)i + 1;
		m->length = 2 << 20;
		assert_true(client_send(&w, fd[i], m));
	}
	settle(&w);
	assert_int_equal(w.a.seen_count, 2);
	net_reply_client(w.a.net, w.a.from[0], msg_create_reply(w.a.seen[0], RES_OK));
	WAIT_FOR(&w, w.a.seen_count == 3);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	world_close(&w);
}

static void test_a_client_that_never_reads_is_limited_then_closed(void **state)
{
	struct net_limits limits = {.client_output_bytes = 4 << 20, .stall_ms = 300};
	struct world w;
	struct buf *b;
	struct msg *m;
	int fd, other;
	uint32_t answered = 0;

	world_open(&w, &limits);
	fd = client_open(&w, &w.a);
	other = client_open(&w, &w.a);
	for (uint64_t i = 1; i <= 200; i++)
		assert_true(client_send(&w, fd, ping(i)));
	b = random_buf(w.a.pool, 1 << 20, 1);
	/* Each answer is 1 MiB; the client reads none of them. */
	while (w.a.clients_lost == 0) {
		while (answered < w.a.seen_count && w.a.clients_lost == 0) {
			m = msg_create_reply(w.a.seen[answered], RES_OK);
			m->type = MSG_OBJ_READ;
			msg_add(m, b, 0, b->len);
			net_reply_client(w.a.net, w.a.from[answered], m);
			answered++;
			world_turn(&w);
		}
		assert_true(answered <= 200);
		world_turn(&w);
	}
	buf_unref(b);
	close(fd);
	assert_true(client_send(&w, other, ping(1)));
	WAIT_FOR(&w, w.a.seen_count > 0 && w.a.seen[w.a.seen_count - 1]->id == 1);
	close(other);
	world_close(&w);
}

static void test_a_client_that_never_reads_is_no_longer_read_from(void **state)
{
	struct net_limits limits = {.client_output_bytes = 1 << 20, .stall_ms = 60000};
	struct world w;
	struct buf *b;
	struct msg *m;
	uint32_t answered = 0, idle = 0;
	int fd;

	world_open(&w, &limits);
	b = random_buf(w.a.pool, 1 << 20, 1);
	fd = client_open(&w, &w.a);
	for (uint64_t i = 1; i <= 1000 && idle < 200; i++) {
		/* One request at a time, each answered at once, until no more are taken. */
		assert_true(client_send(&w, fd, ping(i)));
		for (idle = 0; idle < 200 && answered == w.a.seen_count; idle++) {
			ev_run(w.loop, EVRUN_NOWAIT);
			usleep(500);
		}
		while (answered < w.a.seen_count) {
			m = msg_create_reply(w.a.seen[answered], RES_OK);
			m->type = MSG_OBJ_READ;
			msg_add(m, b, 0, b->len);
			net_reply_client(w.a.net, w.a.from[answered++], m);
			net_flush(w.a.net);
		}
	}
	assert_int_equal(idle, 200);
	assert_true(net_output_bytes(w.a.net) >= 1 << 20);
	assert_true(net_output_bytes(w.a.net) < 4 << 20);
	/* It reads after all: everything comes, and it is read from again. */
	for (uint32_t i = 0; i < answered; i++) {
		m = client_receive(&w, fd);
		assert_int_equal(m->id, i + 1);
		msg_destroy(m);
	}
	WAIT_FOR(&w, w.a.seen_count == answered + 1);
	buf_unref(b);
	close(fd);
	world_close(&w);
}

static void test_slow_senders_are_closed(void **state)
{
	struct net_limits limits = {.hello_ms = 150, .frame_ms = 150};
	struct world w;
	uint8_t *bytes;
	size_t len;
	int mute, half, idle;

	world_open(&w, &limits);
	idle = client_open(&w, &w.a);
	mute = client_connect(&w, &w.a);
	half = client_open(&w, &w.a);
	bytes = frame_bytes(write_request(NULL, 1, 100000), &len);
	assert_true(client_write(&w, half, bytes, len / 2));
	WAIT_FOR(&w, net_connection_count(w.a.net) == 3);
	wait_closed(&w, mute);
	wait_closed(&w, half);
	free(bytes);
	/* Idle between frames is no fault. */
	assert_true(client_send(&w, idle, ping(1)));
	WAIT_FOR(&w, w.a.seen_count == 1 && net_connection_count(w.a.net) == 1);
	close(idle);
	world_close(&w);
}

static long rss_kib(void)
{
	long size, rss = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld %ld", &size, &rss), 2);
	fclose(f);
	return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_a_thousand_idle_connections_cost_little(void **state)
{
	enum { COUNT = 1000 };
	struct world w;
	long before;
	int *fd = xcalloc(COUNT, sizeof(*fd));

	world_open(&w, NULL);
	before = rss_kib();
	for (int i = 0; i < COUNT; i++)
		fd[i] = client_open(&w, &w.a);
	assert_int_equal(net_connection_count(w.a.net), COUNT);
#ifndef __SANITIZE_ADDRESS__
	assert_true(rss_kib() - before < 8 << 10);
#else
	(void)before;
#endif
	assert_true(client_send(&w, fd[COUNT / 2], ping(3)));
	WAIT_FOR(&w, w.a.seen_count == 1);
	for (int i = 0; i < COUNT; i++)
		close(fd[i]);
	WAIT_FOR(&w, w.a.clients_lost == COUNT);
	free(fd);
	world_close(&w);
}

static void test_a_peer_that_is_not_there_is_reported_and_reached_once_it_is(void **state)
{
	struct world w;
	uint16_t port;

	world_open(&w, NULL);
	net_send_peer(w.a.net, NODE_B, ping(1));
	WAIT_FOR(&w, w.b.seen_count == 1);
	port = net_port(w.b.net);
	side_close(&w.b);
	WAIT_FOR(&w, w.a.peers_lost >= 1);
	w.a.peers_lost = 0;
	net_send_peer(w.a.net, NODE_B, ping(2));
	WAIT_FOR(&w, w.a.peers_lost >= 1);
	side_open(&w, &w.b, NODE_B, port, NULL);
	net_send_peer(w.a.net, NODE_B, ping(3));
	WAIT_FOR(&w, w.b.seen_count == 1);
	assert_int_equal(w.b.seen[0]->id, 3);
	world_close(&w);
}

static void test_an_unknown_peer_and_a_wrong_one_are_reported(void **state)
{
	struct world w;

	world_open(&w, NULL);
	net_send_peer(w.a.net, 0xc, ping(1));
	WAIT_FOR(&w, w.a.peers_lost == 1);
	net_set_peer(w.a.net, 0xc, "127.0.0.1", net_port(w.b.net)); /* but node b lives there */
	net_send_peer(w.a.net, 0xc, ping(2));
	WAIT_FOR(&w, w.a.peers_lost == 2);
	assert_int_equal(w.b.seen_count, 0);
	world_close(&w);
}

static void test_both_directions_breaking_are_noticed(void **state)
{
	struct world w;

	world_open(&w, NULL);
	net_send_peer(w.b.net, NODE_A, ping(1));
	WAIT_FOR(&w, w.a.seen_count == 1);
	side_close(&w.b); /* a never sent anything: only its incoming connection breaks */
	WAIT_FOR(&w, w.a.peers_lost == 1);
	world_close(&w);
}

static void test_a_port_in_use_is_refused_in_words(void **state)
{
	struct world w;
	struct net_options o;
	struct net_callbacks cb = {.arg = NULL};
	struct net *net = NULL;
	char text[512] = "";

	world_open(&w, NULL);
	o = (struct net_options){.port = net_port(w.a.net), .loop = w.loop};
	assert_int_equal(net_create(&o, &cb, &net, text), -EADDRINUSE);
	assert_non_null(strstr(text, "cannot listen"));
	assert_null(net);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_of_all_sizes_arrive_intact_and_in_order),
		cmocka_unit_test(test_many_small_messages_arrive_in_order),
		cmocka_unit_test(test_holes_and_cut_slices_arrive_as_their_bytes),
		cmocka_unit_test(test_long_headers_arrive),
		cmocka_unit_test(test_frames_cut_anywhere_are_put_together),
		cmocka_unit_test(test_a_reply_reaches_its_client),
		cmocka_unit_test(test_garbage_closes_only_its_own_connection),
		cmocka_unit_test(test_a_hello_that_does_not_fit_is_refused_with_the_reason),
		cmocka_unit_test(test_a_newer_peer_and_this_one_use_the_highest_common_version),
		cmocka_unit_test(test_a_client_has_only_so_much_under_way),
		cmocka_unit_test(test_all_clients_together_have_only_so_much_under_way),
		cmocka_unit_test(test_a_client_that_never_reads_is_limited_then_closed),
		cmocka_unit_test(test_a_client_that_never_reads_is_no_longer_read_from),
		cmocka_unit_test(test_slow_senders_are_closed),
		cmocka_unit_test(test_a_thousand_idle_connections_cost_little),
		cmocka_unit_test(test_a_peer_that_is_not_there_is_reported_and_reached_once_it_is),
		cmocka_unit_test(test_an_unknown_peer_and_a_wrong_one_are_reported),
		cmocka_unit_test(test_both_directions_breaking_are_noticed),
		cmocka_unit_test(test_a_port_in_use_is_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

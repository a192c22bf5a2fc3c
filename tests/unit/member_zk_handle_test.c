/* SPDX-License-Identifier: Apache-2.0 */

/* How the ZooKeeper driver parts with a connection, told by a server that speaks just enough of the protocol. */
#include <arpa/inet.h>
#include <endian.h>
#include <ev.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sheep/member/member.h"

enum { OP_CLOSE = -11, OP_PING = 11, API_ERROR = -100, SESSION_MOVED = -118, TIMEOUT_MS = 3000, SESSION = 77 };

struct server {
	pthread_t thread;
	int listen_fd, error; /* error: what it answers to every request */
	uint16_t port;
	atomic_uint connections, closed, refused;
	_Atomic uint64_t session_asked; /* by the last connection */
};

static bool read_all(int fd, void *to, size_t len)
{
	return recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void handshake(struct server *s, int fd)
{
	struct __attribute__((packed)) {
		uint32_t len, version;
		uint64_t zxid;
		uint32_t timeout;
		uint64_t session;
		uint32_t password_len;
		uint8_t password[16];
	} in;
	struct __attribute__((packed)) {
		uint32_t len, version, timeout;
		uint64_t session;
		uint32_t password_len;
		uint8_t password[16], read_only;
	} out = {htonl(sizeof(out) - 4), 0, htonl(TIMEOUT_MS), htobe64(SESSION), htonl(16), {1}, 0};
	uint8_t rest[64];

	if (!read_all(fd, &in, sizeof(in)))
		return;
	if (ntohl(in.len) + 4 > sizeof(in))
		read_all(fd, rest, ntohl(in.len) + 4 - sizeof(in));
	s->session_asked = be64toh(in.session);
	s->connections++;
	send(fd, &out, sizeof(out), MSG_NOSIGNAL);
}

static void serve(struct server *s, int fd)
{
	struct __attribute__((packed)) {
		uint32_t len, xid, op;
	} in;
	uint8_t rest[4096];

	handshake(s, fd);
	while (read_all(fd, &in, sizeof(in)) && ntohl(in.len) - 8 < sizeof(rest)) {
		struct __attribute__((packed)) {
			uint32_t len, xid;
			uint64_t zxid;
			uint32_t error;
		} out = {htonl(16), in.xid, 0, htonl((uint32_t)s->error)};

		if (ntohl(in.len) > 8 && !read_all(fd, rest, ntohl(in.len) - 8))
			return;
		if ((int32_t)ntohl(in.op) == OP_CLOSE)
			s->closed++;
		if (ntohl(in.op) == OP_PING || (int32_t)ntohl(in.op) == OP_CLOSE)
			out.error = 0;
		else
			s->refused++;
		send(fd, &out, sizeof(out), MSG_NOSIGNAL);
	}
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->listen_fd, NULL, NULL)) >= 0) {
		serve(s, fd);
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s, int error)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	*s = (struct server){.error = error};
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(s->listen_fd, 8), 0);
	assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&sa, &len), 0);
	s->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_stop(struct server *s)
{
	shutdown(s->listen_fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listen_fd);
}

/* ---- The daemon's side ---- */

static void on_map(void *arg, struct map *map)
{
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
}

static void on_proposed(void *arg, int result)
{
}

static void on_failed(void *arg, const char *why)
{
	*(bool *)arg = true;
}

static struct member *driver_start(const struct server *s, struct ev_loop *loop, bool *failed)
{
	const struct node_info self = {.id = 1, .incarnation = 2, .port = 7000, .addr = "127.0.0.1"};
	const struct member_callbacks cb = {failed, on_map, on_live, on_lease, on_proposed, on_failed};
	char spec[64], text[512] = "";
	struct member *m;

	snprintf(spec, sizeof(spec), "127.0.0.1:%u", s->port);
	assert_int_equal(member_zookeeper.create(spec, &self, loop, NULL, &cb, &m, text), 0);
	assert_int_equal(member_zookeeper.join(m, text), 0);
	return m;
}

static void a_connection_that_is_given_up_leaves_the_session_alive(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct server s;
	bool failed = false;

	server_start(&s, SESSION_MOVED); /* the request is lost, the connection stands */
	struct member *m = driver_start(&s, loop, &failed);
	while (s.connections < 3)
		ev_run(loop, EVRUN_ONCE);
	assert_int_equal(s.session_asked, SESSION);
	assert_int_equal(s.closed, 0);
	assert_false(failed);
	member_zookeeper.destroy(m);
	server_stop(&s);
	ev_loop_destroy(loop);
}

/* Until then its lease runs: nobody may take it for dead. */
static void a_driver_that_failed_ends_its_session_when_it_leaves(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct server s;
	bool failed = false;

	server_start(&s, API_ERROR);
	struct member *m = driver_start(&s, loop, &failed);
	while (!failed)
		ev_run(loop, EVRUN_ONCE);
	ev_run(loop, EVRUN_NOWAIT);
	usleep(100000); /* time to arrive, if it was sent */
	assert_int_equal(s.closed, 0);
	member_zookeeper.leave(m);
	for (int i = 0; i < 5000 && !s.closed; i++)
		usleep(1000);
	assert_int_equal(s.closed, 1);
	member_zookeeper.destroy(m);
	server_stop(&s);
	ev_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_that_is_given_up_leaves_the_session_alive),
		cmocka_unit_test(a_driver_that_failed_ends_its_session_when_it_leaves),
	};

	alarm(60); /* nothing below takes a second */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

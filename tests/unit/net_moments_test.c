/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sys/resource.h>

#include "tests/unit/net_rig.h"

/*
 * The awkward moments: callbacks only ever from the loop, ends in the middle of something, limits
 * that bite and let go.
 */

static const struct net_limits defaults;

static struct msg *data_of(struct rig *r, uint64_t id, uint32_t len)
{
	struct msg *m = msg_create(MSG_SHARD_READ);

	m->reply = true;
	m->id = id;
	m->length = len;
	payload_fill(&m->payload, r->pool, id, len);
	return m;
}

static struct rig *rig_serving(struct net_limits limits)
{
	struct rig *r = rig_create(1, limits);

	r->side[0].echo = true;
	return r;
}

static uint16_t port_of(const struct rig *r)
{
	return net_port(r->side[0].net);
}

static void answer_one(struct side *s)
{
	uint64_t conn;
	struct msg *m = side_next(s, &conn);

	side_reply(s, conn, m);
}

/* ---- Traffic ---- */

static void requests_sent_right_behind_hello_are_served(void **state)
{
	struct rig *r = rig_create(1, defaults);
	uint8_t *hello, *ping, both[1024];
	size_t hello_len, ping_len;
	struct msg *m;
	int fd;

	r->side[0].echo = true;
	hello = raw_frame(hello_of(0), &hello_len);
	ping = raw_frame(ping_of(9), &ping_len);
	memcpy(both, hello, hello_len);
	memcpy(both + hello_len, ping, ping_len);
	fd = raw_open(net_port(r->side[0].net), 0);
	raw_send(r, fd, both, hello_len + ping_len);
	for (int i = 0; i < 2; i++) {
		m = raw_receive_msg(r, fd);
		assert_non_null(m);
		assert_int_equal(m->type, i ? MSG_PING : MSG_HELLO);
		msg_destroy(m);
	}
	free(hello);
	free(ping);
	close(fd);
	rig_destroy(r);
}

static void a_received_payload_carries_its_verified_checksums(void **state)
{
	struct rig *r = rig_create(2, defaults);
	struct msg *m;

	net_send_peer(r->side[0].net, 101, data_of(r, 1, 1 << 20));
	net_send_peer(r->side[0].net, 101, data_of(r, 2, 100));
	rig_wait(r, r->side[1].got_count == 2);
	for (int i = 0; i < 2; i++) {
		m = side_next(&r->side[1], NULL);
		assert_int_equal(m->payload.count, 1);
		assert_true(m->payload.v[0].buf->crc_valid);
		assert_ptr_equal(m->payload.v[0].buf->pool, r->pool);
		assert_int_equal((uintptr_t)slice_data(&m->payload.v[0]) % BUF_ALIGN, 0);
		msg_destroy(m);
	}
	rig_destroy(r);
}

static void a_reply_to_a_client_that_left_is_dropped(void **state)
{
	struct rig *r = rig_create(1, defaults);
	struct msg *m = msg_create(MSG_OBJ_WRITE);
	uint64_t conn;
	int fd = raw_client(r, net_port(r->side[0].net), 0);

	payload_fill(&m->payload, NULL, 1, 50000);
	raw_send_msg(r, fd, m);
	rig_wait(r, r->side[0].got_count == 1);
	close(fd);
	rig_wait(r, r->side[0].client_lost == 1);
	m = side_next(&r->side[0], &conn);
	side_reply(&r->side[0], conn, m);
	rig_run_ms(r, 30);
	assert_int_equal(r->side[0].client_lost, 1);
	rig_destroy(r);
}

static void destroying_a_net_drops_what_is_under_way(void **state)
{
	struct rig *r = rig_create(2, defaults);
	int fd = raw_client(r, net_port(r->side[0].net), 0);
	uint8_t *frame;
	struct msg *m;
	size_t len;

	/* Half a request in, replies and messages queued, a peer being connected to. */
	m = msg_create(MSG_OBJ_WRITE);
	payload_fill(&m->payload, r->pool, 5, 1 << 20);
	frame = raw_frame(m, &len);
	raw_send(r, fd, frame, len / 2);
	rig_run_ms(r, 10);
	for (uint64_t i = 0; i < 10; i++)
		net_send_peer(r->side[0].net, 101, data_of(r, i, 1 << 20));
	side_close(&r->side[0]);
	assert_int_equal(r->side[0].client_lost, 0);
	assert_int_equal(r->side[0].peer_lost, 0);
	side_forget(&r->side[1]);
	free(frame);
	close(fd);
	rig_destroy(r);
}

/* ---- Peers ---- */

static void a_peer_that_cannot_be_reached_is_lost_later_not_inside_the_call(void **state)
{
	struct rig *r = rig_create(2, defaults);
	uint64_t began;

	side_close(&r->side[1]);
	RIG_CALL(&r->side[0], net_send_peer(r->side[0].net, 101, data_of(r, 1, 5000)));
	RIG_CALL(&r->side[0], net_flush(r->side[0].net));
	rig_wait(r, r->side[0].peer_lost == 1);
	/* Again during the back-off: told again, and no attempts without a pause. */
	began = rig_now_ms();
	for (uint32_t want = 2; want < 5; want++) {
		RIG_CALL(&r->side[0], net_send_peer(r->side[0].net, 101, data_of(r, want, 5000)));
		rig_wait(r, r->side[0].peer_lost >= want);
	}
	assert_true(rig_now_ms() - began >= 50);
	assert_int_equal(buf_pool_used_bytes(r->pool), 0);
	rig_destroy(r);
}

static void another_address_closes_the_connection_and_is_used(void **state)
{
	struct rig *r = rig_create(2, defaults);
	struct net *old;

	net_send_peer(r->side[0].net, 101, ping_of(1));
	rig_wait(r, r->side[1].got_count == 1);
	/* The node starts anew elsewhere while its old process lives on. */
	old = r->side[1].net;
	side_open(r, 1, 0, defaults);
	RIG_CALL(&r->side[0],
	         net_set_peer(r->side[0].net, 101, "127.0.0.1", net_port(r->side[1].net)));
	rig_wait(r, net_connection_count(old) == 0);
	side_forget(&r->side[1]);
	rig_wait(r, r->side[0].peer_lost == 1);
	rig_run_ms(r, 100);
	net_send_peer(r->side[0].net, 101, ping_of(2));
	rig_wait(r, r->side[1].got_count == 1);
	assert_int_equal(net_connection_count(old), 0);
	net_destroy(old);
	rig_destroy(r);
}

/* The queue shares one buffer, so that the test itself needs no 256 MiB. */
static void what_is_queued_towards_a_peer_is_bounded(void **state)
{
	struct rig *r = rig_create(1, defaults);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int deaf = socket(AF_INET, SOCK_STREAM, 0);
	struct buf *buf = buf_get(r->pool, 16 << 20);

	memset(buf->data, 1, buf->len);
	buf_seal(buf);
	assert_int_equal(bind(deaf, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(deaf, 1), 0);
	assert_int_equal(getsockname(deaf, (struct sockaddr *)&sa, &len), 0);
	net_set_peer(r->side[0].net, 900, "127.0.0.1", ntohs(sa.sin_port));
	for (int i = 0; i < 15; i++) {
		struct msg *m = msg_create(MSG_SHARD_READ);
		struct slice s = slice_make(buf, 0, buf->len);

		m->reply = true;
		payload_add(&m->payload, &s);
		RIG_CALL(&r->side[0], net_send_peer(r->side[0].net, 900, m));
	}
	rig_run_ms(r, 50);
	assert_int_equal(r->side[0].peer_lost, 0);
	for (int i = 0; i < 3; i++) {
		struct msg *m = msg_create(MSG_SHARD_READ);
		struct slice s = slice_make(buf, 0, buf->len);

		m->reply = true;
		payload_add(&m->payload, &s);
		RIG_CALL(&r->side[0], net_send_peer(r->side[0].net, 900, m));
	}
	rig_wait(r, r->side[0].peer_lost == 1);
	assert_true(buf->refs <= 3);
	buf_unref(buf);
	close(deaf);
	rig_destroy(r);
}

/* ---- Bad bytes ---- */

static void a_flipped_bit_anywhere_closes_only_its_connection(void **state)
{
	struct msg *m = msg_create(MSG_OBJ_WRITE);
	struct rig *r = rig_serving(defaults);
	int good = raw_client(r, port_of(r), 0);
	uint8_t *frame;
	size_t len;

	payload_fill(&m->payload, NULL, 3, 70000);
	frame = raw_frame(m, &len);
	for (size_t at = 0; at < len; at += at < 150 ? 7 : 9973) {
		int bad = raw_client(r, port_of(r), 0);

		/* A length made longer would only wait for more. */
		if ((at >= 8 && at < 16)) {
			close(bad);
			continue;
		}
		frame[at] ^= 0x10;
		raw_send(r, bad, frame, len);
		rig_wait(r, raw_is_closed(bad));
		frame[at] ^= 0x10;
		close(bad);
	}
	raw_assert_served(r, good, 1);
	rig_wait(r, net_connection_count(r->side[0].net) == 1);
	assert_int_equal(buf_pool_used_bytes(r->pool), 0);
	close(good);
	free(frame);
	rig_destroy(r);
}

static void half_a_frame_and_the_end_touch_nothing_else(void **state)
{
	struct msg *m = msg_create(MSG_OBJ_WRITE);
	struct rig *r = rig_serving(defaults);
	int good = raw_client(r, port_of(r), 0);
	static const uint32_t cuts[] = {1, 23, 24, 30, 100, 65536, 150000};
	uint8_t *frame;
	size_t len;

	payload_fill(&m->payload, NULL, 3, 200000);
	frame = raw_frame(m, &len);
	for (uint32_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		int half = raw_client(r, port_of(r), 0);

		raw_send(r, half, frame, cuts[i]);
		rig_run_ms(r, 10);
		close(half);
		rig_wait(r, r->side[0].client_lost == i + 1);
	}
	raw_assert_served(r, good, 2);
	assert_int_equal(buf_pool_used_bytes(r->pool), 0);
	close(good);
	free(frame);
	rig_destroy(r);
}

/* ---- Limits ---- */

static void requests_of_a_client_are_limited_and_resume(void **state)
{
	struct rig *r = rig_create(1, (struct net_limits){.client_inflight_count = 8});
	struct side *s = &r->side[0];
	int fd = raw_client(r, port_of(r), 0), other = raw_client(r, port_of(r), 0);
	enum { N = 100 };

	for (uint64_t i = 0; i < N; i++)
		raw_send_msg(r, fd, ping_of(i));
	rig_run_ms(r, 50);
	assert_int_equal(s->got_count, 8);
	/* Another client is not held back by it. */
	raw_send_msg(r, other, ping_of(1000));
	rig_wait(r, s->got_count == 9);
	for (uint64_t i = 0; i <= N; i++) {
		rig_wait(r, s->got_count > 0);
		assert_true(s->got_count <= 9);
		answer_one(s);
	}
	for (uint64_t i = 0; i < N; i++) {
		struct msg *m = raw_receive_msg(r, fd);

		assert_non_null(m);
		assert_int_equal(m->id, i);
		msg_destroy(m);
	}
	close(fd);
	close(other);
	rig_destroy(r);
}

static void a_client_held_back_by_limits_is_not_a_slow_sender(void **state)
{
	struct net_limits limits = {.client_inflight_count = 2, .frame_ms = 100};
	struct rig *r = rig_create(1, limits);
	struct side *s = &r->side[0];
	int fd = raw_client(r, port_of(r), 0);

	for (uint64_t i = 0; i < 20; i++)
		raw_send_msg(r, fd, ping_of(i));
	rig_wait(r, s->got_count == 2);
	rig_run_ms(r, 400);
	assert_int_equal(s->client_lost, 0);
	s->echo = true;
	answer_one(s);
	answer_one(s);
	for (uint64_t i = 0; i < 20; i++) {
		struct msg *m = raw_receive_msg(r, fd);

		assert_non_null(m);
		assert_int_equal(m->id, i);
		msg_destroy(m);
	}
	close(fd);
	rig_destroy(r);
}

static void a_client_that_reads_slowly_gets_everything(void **state)
{
	struct net_limits limits = {.client_output_bytes = 1 << 20, .stall_ms = 1000};
	struct rig *r = rig_serving(limits);
	int fd = raw_client(r, port_of(r), 8192);
	enum { N = 8 };

	/* Its own requests fit the sockets and limits: it sends all, then reads. */
	for (uint64_t i = 0; i < N; i++) {
		struct msg *m = msg_create(MSG_OBJ_WRITE);

		m->id = i;
		payload_fill(&m->payload, NULL, i, 300000);
		raw_send_msg(r, fd, m);
		rig_run_ms(r, 5);
	}
	rig_run_ms(r, 100);
	for (uint64_t i = 0; i < N; i++) {
		struct msg *m = raw_receive_msg(r, fd);

		assert_non_null(m);
		assert_int_equal(m->id, i);
		payload_assert_filled(&m->payload, i, 300000);
		msg_destroy(m);
	}
	close(fd);
	rig_destroy(r);
}

static void clients_beyond_the_limit_are_closed_and_places_are_reused(void **state)
{
	struct rig *r = rig_serving((struct net_limits){.max_connections = 4});
	int fd[4], more;
	uint8_t byte;

	for (int i = 0; i < 4; i++)
		fd[i] = raw_client(r, port_of(r), 0);
	for (int i = 0; i < 20; i++) {
		struct msg *m = hello_of(0);

		more = raw_open(port_of(r), 0);
		raw_send_msg(r, more, m);
		m = raw_receive_msg(r, more);
		if (m) {
			assert_int_not_equal(m->result, RES_OK);
			msg_destroy(m);
		}
		assert_false(raw_receive(r, more, &byte, 1));
		close(more);
	}
	for (int i = 0; i < 4; i++)
		raw_assert_served(r, fd[i], 5);
	close(fd[0]);
	rig_wait(r, r->side[0].client_lost == 1);
	fd[0] = raw_client(r, port_of(r), 0);
	raw_assert_served(r, fd[0], 6);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	rig_destroy(r);
}

static void without_descriptors_it_pauses_and_goes_on_later(void **state)
{
	struct rig *r = rig_serving(defaults);
	struct rlimit files, few;
	int good = raw_client(r, port_of(r), 0), late, top;

	late = socket(AF_INET, SOCK_STREAM, 0);
	top = dup(late);
	close(top);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	few = files;
	few.rlim_cur = (rlim_t)top;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	{
		struct sockaddr_in sa = {
			.sin_family = AF_INET,
			.sin_port = htons(port_of(r)),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};
		assert_int_equal(connect(late, (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	rig_run_ms(r, 100);
	raw_assert_served(r, good, 1);
	assert_true(r->log_lines > 0 && r->log_lines < 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	raw_hello(r, late, 0);
	raw_assert_served(r, late, 2);
	close(late);
	close(good);
	rig_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_sent_right_behind_hello_are_served),
		cmocka_unit_test(a_received_payload_carries_its_verified_checksums),
		cmocka_unit_test(a_reply_to_a_client_that_left_is_dropped),
		cmocka_unit_test(destroying_a_net_drops_what_is_under_way),
		cmocka_unit_test(a_peer_that_cannot_be_reached_is_lost_later_not_inside_the_call),
		cmocka_unit_test(another_address_closes_the_connection_and_is_used),
		cmocka_unit_test(what_is_queued_towards_a_peer_is_bounded),
		cmocka_unit_test(a_flipped_bit_anywhere_closes_only_its_connection),
		cmocka_unit_test(half_a_frame_and_the_end_touch_nothing_else),
		cmocka_unit_test(requests_of_a_client_are_limited_and_resume),
		cmocka_unit_test(a_client_held_back_by_limits_is_not_a_slow_sender),
		cmocka_unit_test(a_client_that_reads_slowly_gets_everything),
		cmocka_unit_test(clients_beyond_the_limit_are_closed_and_places_are_reused),
		cmocka_unit_test(without_descriptors_it_pauses_and_goes_on_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

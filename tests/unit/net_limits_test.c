/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net_world.h"

/* What one stranger can make a daemon keep, wait for, or do. */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_has_only_so_much_under_way),
		cmocka_unit_test(test_all_clients_together_have_only_so_much_under_way),
		cmocka_unit_test(test_a_client_that_never_reads_is_limited_then_closed),
		cmocka_unit_test(test_a_client_that_never_reads_is_no_longer_read_from),
		cmocka_unit_test(test_slow_senders_are_closed),
		cmocka_unit_test(test_a_thousand_idle_connections_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

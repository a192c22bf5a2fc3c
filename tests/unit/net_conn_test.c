/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net_world.h"

/* What travels over connections, and what becomes of connections that break. */

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
	client_send(&w, bad, msg_create(MSG_PG_QUERY));
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
		cmocka_unit_test(test_a_peer_that_is_not_there_is_reported_and_reached_once_it_is),
		cmocka_unit_test(test_an_unknown_peer_and_a_wrong_one_are_reported),
		cmocka_unit_test(test_both_directions_breaking_are_noticed),
		cmocka_unit_test(test_a_port_in_use_is_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

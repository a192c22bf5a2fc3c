/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tls/tls.h"

enum { BAD_HANDSHAKES = 10000 };

/* Two ends of a connection. */
struct pair {
	int fd[2];
	struct tls_stream *client, *server;
};

static struct keys keys_of(uint8_t first, uint8_t second)
{
	struct keys k = {0};
	char path[] = "/tmp/tls_test.XXXXXX", text[512];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	for (int i = 0; i < 2; i++) {
		uint8_t byte = i ? second : first;
		for (int j = 0; byte && j < KEY_LEN; j++)
			fprintf(f, "%02x", byte);
		fputs(byte ? "\n" : "# none\n\n", f);
	}
	fclose(f);
	assert_int_equal(keys_read(path, &k, text), 0);
	unlink(path);
	return k;
}

static struct tls *tls_of(uint8_t first, uint8_t second)
{
	struct keys k = keys_of(first, second);

	return tls_create(&k);
}

static void pair_open(struct pair *p, struct tls *client, struct tls *server)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
	p->client = client ? tls_connect(client, p->fd[0]) : NULL;
	p->server = server ? tls_accept(server, p->fd[1]) : NULL;
}

static void pair_close(struct pair *p)
{
	tls_stream_destroy(p->client);
	tls_stream_destroy(p->server);
	close(p->fd[0]);
	close(p->fd[1]);
}

static ssize_t put(struct tls_stream *s, const void *data, size_t len)
{
	return tls_writev(s, &(struct iovec){(void *)(uintptr_t)data, len}, 1);
}

static ssize_t take(struct tls_stream *s, void *data, size_t len)
{
	return tls_readv(s, &(struct iovec){data, len}, 1);
}

/* Goes on until both say EAGAIN, or one fails; the errno of the first that did. */
static int handshake(struct pair *p)
{
	char byte;

	for (int i = 0; i < 10; i++) {
		if (take(p->client, &byte, 1) < 0 && errno != EAGAIN)
			return errno;
		if (take(p->server, &byte, 1) < 0 && errno != EAGAIN)
			return errno;
	}
	return 0;
}

static void test_bytes_come_through_in_both_directions_and_not_in_the_clear(void **state)
{
	static const char secret[] = "the quick brown fox jumps over the lazy dog";
	struct tls *tls = tls_of(1, 0);
	struct pair p;
	char raw[4096], text[sizeof(secret)];
	ssize_t n;

	pair_open(&p, tls, tls);
	assert_int_equal(put(p.client, secret, sizeof(secret)), -1); /* the handshake first */
	assert_int_equal(handshake(&p), 0);
	assert_true(tls_is_open(p.client) && tls_is_open(p.server));
	assert_int_equal(put(p.client, secret, sizeof(secret)), sizeof(secret));
	n = recv(p.fd[1], raw, sizeof(raw), MSG_PEEK);
	assert_true(n > (ssize_t)sizeof(secret));
	assert_null(memmem(raw, (size_t)n, "quick", 5));
	assert_int_equal(take(p.server, text, sizeof(text)), sizeof(text));
	assert_string_equal(text, secret);
	assert_int_equal(put(p.server, secret, 10), 10);
	assert_int_equal(take(p.client, text, sizeof(text)), 10);
	assert_int_equal(take(p.client, text, sizeof(text)), -1);
	assert_int_equal(errno, EAGAIN);
	pair_close(&p);
	tls_destroy(tls);
}

static void test_much_is_sent_through_a_small_socket(void **state)
{
	enum { LEN = 5 << 20 };
	struct tls *tls = tls_of(1, 0);
	uint8_t *in = malloc(LEN), *out = calloc(1, LEN);
	size_t sent = 0, got = 0;
	struct pair p;
	ssize_t n;

	for (size_t i = 0; i < LEN; i++)
		in[i] = (uint8_t)(i * 7 + i / 4096);
	pair_open(&p, tls, tls);
	assert_int_equal(handshake(&p), 0);
	while (got < LEN) {
		struct iovec iov[2] = {{in + sent, (LEN - sent) / 3}, {in + sent + (LEN - sent) / 3, LEN - sent - (LEN - sent) / 3}};
		if (sent < LEN) {
			n = tls_writev(p.client, iov, 2);
			assert_true(n > 0 || errno == EAGAIN);
			sent += n > 0 ? (size_t)n : 0;
		} else {
			assert_true(tls_flush(p.client) == 0 || errno == EAGAIN);
		}
		n = take(p.server, out + got, got + 70000 < LEN ? 70000 : LEN - got);
		assert_true(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_memory_equal(in, out, LEN);
	assert_false(tls_wants_write(p.client));
	pair_close(&p);
	tls_destroy(tls);
	free(in);
	free(out);
}

static void test_what_was_read_ahead_is_told(void **state)
{
	struct tls *tls = tls_of(1, 0);
	char data[1000] = "x";
	struct pair p;

	pair_open(&p, tls, tls);
	assert_int_equal(handshake(&p), 0);
	assert_int_equal(put(p.client, data, sizeof(data)), sizeof(data));
	assert_int_equal(put(p.client, data, sizeof(data)), sizeof(data));
	assert_int_equal(take(p.server, data, 10), 10);
	assert_true(tls_has_more(p.server));
	assert_int_equal(take(p.server, data, 990), 990);
	assert_int_equal(take(p.server, data, 1000), 1000);
	assert_false(tls_has_more(p.server));
	close(p.fd[0]);
	assert_int_equal(take(p.server, data, 1), 0);
	p.fd[0] = dup(0);
	pair_close(&p);
	tls_destroy(tls);
}

static void test_another_key_gets_no_further_than_the_handshake(void **state)
{
	struct tls *one = tls_of(1, 0), *other = tls_of(2, 0);
	struct pair p;

	pair_open(&p, one, other);
	assert_int_equal(handshake(&p), EPROTO);
	assert_false(tls_is_open(p.client) || tls_is_open(p.server));
	assert_non_null(strstr(tls_error(p.server), "key"));
	pair_close(&p);
	tls_destroy(one);
	tls_destroy(other);
}

static void test_keys_are_changed_node_by_node(void **state)
{
	struct tls *old = tls_of(1, 0), *both = tls_of(1, 2), *turned = tls_of(2, 1), *new = tls_of(2, 0);
	struct tls *meet[][2] = {{old, both}, {both, old}, {both, turned}, {turned, both},
	                         {turned, new}, {new, turned}, {old, turned}};
	struct pair p;

	for (size_t i = 0; i < sizeof(meet) / sizeof(meet[0]); i++) {
		pair_open(&p, meet[i][0], meet[i][1]);
		assert_int_equal(handshake(&p), 0);
		assert_true(tls_is_open(p.server));
		pair_close(&p);
	}
	pair_open(&p, turned, old); /* too early */
	assert_int_equal(handshake(&p), EPROTO);
	pair_close(&p);
	tls_destroy(old);
	tls_destroy(both);
	tls_destroy(turned);
	tls_destroy(new);
}

static void test_plain_text_is_refused_by_both_sides(void **state)
{
	struct tls *tls = tls_of(1, 0);
	char byte;
	struct pair p;

	pair_open(&p, NULL, tls);
	assert_int_equal(send(p.fd[0], "SFld\1\0\0\0 and so on, as a frame begins", 40, 0), 40);
	assert_int_equal(take(p.server, &byte, 1), -1);
	assert_int_equal(errno, EPROTO);
	pair_close(&p);
	pair_open(&p, tls, NULL);
	assert_int_equal(take(p.client, &byte, 1), -1);
	assert_int_equal(send(p.fd[1], "SFld\1\0\0\0 and so on, as a frame begins", 40, 0), 40);
	assert_int_equal(take(p.client, &byte, 1), -1);
	assert_int_equal(errno, EPROTO);
	pair_close(&p);
	tls_destroy(tls);
}

/* Every byte of what one side sends, one at a time, then one of them changed. */
static void test_a_handshake_may_come_in_pieces_and_must_not_be_tampered_with(void **state)
{
	struct tls *tls = tls_of(1, 0);

	for (int flip = -1; flip < 600; flip += 37) {
		uint8_t data[8192], byte;
		struct pair p, q; /* what the client says goes to p.fd[1], and from there to q's server */
		bool open;
		int at = 0;
		pair_open(&p, tls, NULL);
		pair_open(&q, NULL, tls);
		for (int round = 0; round < 6; round++) {
			ssize_t n;
			(void)take(p.client, &byte, 1);
			n = recv(p.fd[1], data, sizeof(data), 0);
			for (ssize_t i = 0; i < n; i++, at++) {
				data[i] ^= at == flip;
				assert_int_equal(send(q.fd[0], &data[i], 1, 0), 1);
				(void)take(q.server, &byte, 1);
			}
			n = recv(q.fd[0], data, sizeof(data), 0);
			if (n > 0)
				assert_int_equal(send(p.fd[1], data, (size_t)n, 0), n);
		}
		open = tls_is_open(q.server) && tls_is_open(p.client);
		assert_int_equal(open, flip < 0 || flip >= at);
		pair_close(&p);
		pair_close(&q);
	}
	tls_destroy(tls);
}

static void test_bad_handshakes_leave_nothing_behind(void **state)
{
	struct tls *tls = tls_of(1, 0), *other = tls_of(2, 0);
	size_t before = 0;
	char byte;

	for (int i = 0; i < BAD_HANDSHAKES; i++) {
		struct pair p;
		if (i == BAD_HANDSHAKES / 10)
			before = mallinfo2().uordblks;
		pair_open(&p, i % 3 ? other : NULL, tls);
		if (i % 3 == 0) {
			assert_true(send(p.fd[0], "GET / HTTP/1.0\r\n\r\n", 18, 0) == 18);
			assert_int_equal(take(p.server, &byte, 1), -1);
		} else if (i % 3 == 1) {
			assert_int_equal(handshake(&p), EPROTO);
		} else { /* given up half-way */
			(void)take(p.client, &byte, 1);
			(void)take(p.server, &byte, 1);
		}
		pair_close(&p);
	}
	assert_true(mallinfo2().uordblks < before + (64 << 10));
	tls_destroy(tls);
	tls_destroy(other);
}

static void test_key_files_that_cannot_be_used_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *text, *why;
		mode_t mode;
	} cases[] = {
		{"", "no key", 0600},
		{"# nothing\n\n", "no key", 0600},
		{"0123\n", "64 hexadecimal", 0600},
		{"zz11111111111111111111111111111111111111111111111111111111111111\n", "64 hexadecimal", 0600},
		{"1111111111111111111111111111111111111111111111111111111111111111\n", "chmod", 0640},
	};
	char path[] = "/tmp/tls_test.XXXXXX", text[512];
	int fd = mkstemp(path);
	struct keys k = {.count = 77};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(fchmod(fd, cases[i].mode), 0);
		assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0), strlen(cases[i].text));
		assert_int_equal(keys_read(path, &k, text), -EINVAL);
		assert_non_null(strstr(text, cases[i].why));
		assert_int_equal(k.count, 77);
	}
	close(fd);
	unlink(path);
	assert_int_equal(keys_read(path, &k, text), -EINVAL);
	assert_non_null(strstr(text, "No such file"));
}

static void test_generated_keys_differ_and_can_be_used(void **state)
{
	char a[KEY_HEX_LEN + 1], b[KEY_HEX_LEN + 1];

	assert_int_equal(key_generate(a), 0);
	assert_int_equal(key_generate(b), 0);
	assert_int_equal(strlen(a), KEY_HEX_LEN);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_come_through_in_both_directions_and_not_in_the_clear),
		cmocka_unit_test(test_much_is_sent_through_a_small_socket),
		cmocka_unit_test(test_what_was_read_ahead_is_told),
		cmocka_unit_test(test_another_key_gets_no_further_than_the_handshake),
		cmocka_unit_test(test_keys_are_changed_node_by_node),
		cmocka_unit_test(test_plain_text_is_refused_by_both_sides),
		cmocka_unit_test(test_a_handshake_may_come_in_pieces_and_must_not_be_tampered_with),
		cmocka_unit_test(test_bad_handshakes_leave_nothing_behind),
		cmocka_unit_test(test_key_files_that_cannot_be_used_are_refused_with_a_reason),
		cmocka_unit_test(test_generated_keys_differ_and_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

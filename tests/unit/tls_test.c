/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tls/tls.h"

enum { BAD_HANDSHAKES = 10000, OUT_LEN = 300 << 10 };

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
	static const char frame[] = "SFld\1\0\0\0 and so on, as a frame begins";
	struct tls *tls = tls_of(1, 0);
	char byte;
	struct pair p;

	pair_open(&p, NULL, tls);
	assert_int_equal(send(p.fd[0], frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(take(p.server, &byte, 1), -1);
	assert_int_equal(errno, EPROTO);
	pair_close(&p);
	pair_open(&p, tls, NULL);
	assert_int_equal(take(p.client, &byte, 1), -1);
	assert_int_equal(send(p.fd[1], frame, sizeof(frame), 0), sizeof(frame));
	assert_int_equal(take(p.client, &byte, 1), -1);
	assert_int_equal(errno, EPROTO);
	pair_close(&p);
	tls_destroy(tls);
}

/* Takes what `from` has received to `to` a byte at a time; byte number *at == flip is changed. */
static void carry(int from, int to, struct tls_stream *reader, int flip, int *at)
{
	uint8_t data[8192], byte;
	ssize_t n = recv(from, data, sizeof(data), 0);

	for (ssize_t i = 0; i < n; i++, ++*at) {
		data[i] ^= *at == flip;
		if (send(to, &data[i], 1, MSG_NOSIGNAL) != 1)
			return;
		(void)take(reader, &byte, 1);
	}
}

/* Whether both sides agreed, when what they say comes in single bytes and one of them is changed on its way
 * to the server or to the client. */
static bool handshake_in_pieces(struct tls *tls, int flip_up, int flip_down, int *up, int *down)
{
	struct pair p, q; /* p has the client, q the server; we sit in between */
	uint8_t byte = 0, got = 0;
	bool through;

	*up = *down = 0;
	pair_open(&p, tls, NULL);
	pair_open(&q, NULL, tls);
	for (int round = 0; round < 6; round++) {
		(void)take(p.client, &byte, 1);
		carry(p.fd[1], q.fd[0], q.server, flip_up, up);
		carry(q.fd[0], p.fd[1], p.client, flip_down, down);
	}
	through = tls_is_open(q.server) && tls_is_open(p.client);
	if (through) {
		assert_int_equal(put(p.client, "x", 1), 1);
		carry(p.fd[1], q.fd[0], q.server, -1, up); /* all but the last byte brings nothing */
		assert_int_equal(put(q.server, "y", 1), 1);
		byte = 0;
		while (recv(q.fd[0], &byte, 1, 0) == 1) {
			assert_int_equal(got, 0);
			assert_int_equal(send(p.fd[1], &byte, 1, 0), 1);
			(void)take(p.client, &got, 1);
		}
		assert_int_equal(got, 'y');
	}
	pair_close(&p);
	pair_close(&q);
	return through;
}

static void test_a_handshake_may_come_in_single_bytes_and_must_not_be_tampered_with(void **state)
{
	struct tls *tls = tls_of(1, 0);
	int up, down, all_up, all_down;

	assert_true(handshake_in_pieces(tls, -1, -1, &all_up, &all_down));
	assert_true(all_up > 100 && all_down > 100);
	for (int at = 0; at < 300; at += 13) {
		assert_false(handshake_in_pieces(tls, at, -1, &up, &down));
		if (at < 200) /* what the server says of it */
			assert_false(handshake_in_pieces(tls, -1, at, &up, &down));
	}
	tls_destroy(tls);
}

/* Whoever gets a client to connect to him, without the key, but with a certificate. */
static SSL_CTX *impostor_create(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -1000);
	X509_gmtime_adj(X509_getm_notAfter(cert), 100000);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const uint8_t *)"sheep", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static void test_a_certificate_does_not_replace_the_key(void **state)
{
	struct tls *tls = tls_of(1, 0);
	SSL_CTX *ctx = impostor_create();
	SSL *impostor = SSL_new(ctx);
	int err = 0;
	char byte;
	struct pair p;

	pair_open(&p, tls, NULL);
	SSL_set_fd(impostor, p.fd[1]);
	for (int i = 0; i < 6; i++) {
		if (take(p.client, &byte, 1) < 0 && errno != EAGAIN && !err)
			err = errno;
		(void)SSL_accept(impostor);
	}
	assert_int_equal(err, EPROTO);
	assert_false(tls_is_open(p.client));
	SSL_free(impostor);
	SSL_CTX_free(ctx);
	pair_close(&p);
	tls_destroy(tls);
}

/* Otherwise the reader would ask for the rest over and over. */
static void test_half_a_record_is_nothing_to_come_back_for(void **state)
{
	struct tls *tls = tls_of(1, 0);
	uint8_t raw[4096], data[1000] = "x";
	struct pair p, q;
	ssize_t n;

	pair_open(&q, NULL, tls);
	assert_int_equal(send(q.fd[0], "\x16\x03\x01", 3, 0), 3); /* of a stranger too */
	assert_int_equal(take(q.server, data, 1), -1);
	assert_false(tls_has_more(q.server));
	pair_close(&q);

	pair_open(&p, tls, tls);
	assert_int_equal(handshake(&p), 0);
	assert_int_equal(put(p.client, data, sizeof(data)), sizeof(data));
	n = recv(p.fd[1], raw, sizeof(raw), 0);
	assert_int_equal(send(p.fd[0], raw, (size_t)n - 1, 0), n - 1);
	assert_int_equal(take(p.server, data, sizeof(data)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_false(tls_has_more(p.server));
	assert_int_equal(send(p.fd[0], raw + n - 1, 1, 0), 1);
	assert_int_equal(take(p.server, data, 10), 10);
	assert_true(tls_has_more(p.server));
	assert_int_equal(take(p.server, data, sizeof(data)), 990);
	assert_false(tls_has_more(p.server));
	pair_close(&p);
	tls_destroy(tls);
}

/* A write that was fenced off meanwhile could otherwise leave with an answer to something else. */
static void test_reading_sends_nothing_that_waited(void **state)
{
	enum { LEN = 1 << 20 };
	struct tls *tls = tls_of(1, 0);
	uint8_t *data = calloc(1, LEN);
	struct pair p;
	size_t waits = 0;
	ssize_t n;

	pair_open(&p, tls, tls);
	assert_int_equal(handshake(&p), 0);
	while (put(p.client, data, LEN) > 0)
		;
	assert_true(tls_wants_write(p.client));
	while ((n = recv(p.fd[1], data, LEN, 0)) > 0)
		waits += (size_t)n;
	assert_true(waits > 0);
	assert_int_equal(take(p.client, data, 1), -1);
	assert_true(tls_wants_write(p.client));
	assert_int_equal(recv(p.fd[1], data, LEN, 0), -1);
	assert_int_equal(tls_flush(p.client), 0);
	assert_true(recv(p.fd[1], data, LEN, 0) > 0);
	pair_close(&p);
	tls_destroy(tls);
	free(data);
}

static void test_pieces_of_any_size_come_out_as_they_went_in(void **state)
{
	struct tls *tls = tls_of(1, 0);
	uint8_t *in = malloc(OUT_LEN), *out = malloc(OUT_LEN);
	static const size_t sizes[] = {1, 60, 16384, 4096, 16383, 3, 40000, 16385, 100000, 0, 17, 32768, 50000};
	struct iovec iov[sizeof(sizes) / sizeof(sizes[0])];
	size_t len = 0, got = 0;
	struct pair p;
	ssize_t n;

	for (size_t i = 0; i < OUT_LEN; i++)
		in[i] = (uint8_t)(i * 31 + i / 253);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++, len += sizes[i - 1])
		iov[i] = (struct iovec){in + len, sizes[i]};
	pair_open(&p, tls, tls);
	assert_int_equal(handshake(&p), 0);
	n = tls_writev(p.client, iov, sizeof(sizes) / sizeof(sizes[0]));
	assert_true(n > 200000 && (size_t)n <= len);
	len = (size_t)n;
	while (got < len) {
		(void)tls_flush(p.client);
		n = take(p.server, out + got, len - got);
		assert_true(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_memory_equal(in, out, len);
	assert_false(tls_wants_write(p.client));
	pair_close(&p);
	tls_destroy(tls);
	free(in);
	free(out);
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
		cmocka_unit_test(test_a_handshake_may_come_in_single_bytes_and_must_not_be_tampered_with),
		cmocka_unit_test(test_a_certificate_does_not_replace_the_key),
		cmocka_unit_test(test_half_a_record_is_nothing_to_come_back_for),
		cmocka_unit_test(test_reading_sends_nothing_that_waited),
		cmocka_unit_test(test_pieces_of_any_size_come_out_as_they_went_in),
		cmocka_unit_test(test_bad_handshakes_leave_nothing_behind),
		cmocka_unit_test(test_key_files_that_cannot_be_used_are_refused_with_a_reason),
		cmocka_unit_test(test_generated_keys_differ_and_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

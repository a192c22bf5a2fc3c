/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

enum {
	RECORD = 16 << 10, /* the most that TLS puts in one */
	OUT_MAX = 256 << 10, /* plaintext taken per call; its ciphertext goes out in one piece where it can */
	BATCH_LEN = OUT_MAX + (8 << 10),
	RECORD_LEN = RECORD + 22, /* on the wire */
	READ_AHEAD = 4 * RECORD_LEN + 3, /* whole records; 3: OpenSSL aligns. A stranger's buffer holds one */
};
static const unsigned char cipher_id[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */

/* One per thread. What its streams share holds nothing between two calls. */
struct tls {
	uint32_t refs; /* ours and one per stream */
	struct keys keys;
	SSL_CTX *server, *client;
	BIO_METHOD *bio;
	uint8_t *batch; /* ciphertext that a call gave rise to */
	size_t batch_len, batch_cap;
	uint8_t plain[RECORD]; /* small pieces on their way into one record */
};

struct tls_stream {
	struct tls *tls;
	SSL *ssl;
	int fd;
	int failed_errno; /* of the socket */
	bool ended; /* the socket is */
	bool trusted; /* the handshake is through, and was seen to be */
	bool more;  /* the last read stopped before TLS had nothing left */
	uint8_t *out; /* ciphertext that the socket did not take, [out_off, out_len) */
	size_t out_off, out_len;
	const char *error;
};

/* ---- The socket, as OpenSSL sees it ---- */

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls *tls = ((struct tls_stream *)BIO_get_data(bio))->tls;
	size_t need = tls->batch_len + (size_t)len;

	if (need > tls->batch_cap) {
		tls->batch_cap = MAX(need, (size_t)BATCH_LEN);
		tls->batch = xrealloc(tls->batch, tls->batch_cap);
	}
	memcpy(tls->batch + tls->batch_len, data, (size_t)len);
	tls->batch_len = need;
	return len;
}

static int bio_read(BIO *bio, char *data, int len)
{
	struct tls_stream *s = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(s->fd, data, (size_t)len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	else if (n < 0)
		s->failed_errno = errno;
	else if (n == 0)
		s->ended = true;
	return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* ---- Keys ---- */

static SSL_SESSION *session_of(SSL *ssl, const struct key *k)
{
	SSL_SESSION *session = SSL_SESSION_new();

	if (!session || !SSL_SESSION_set1_master_key(session, k->secret, KEY_LEN) ||
	    !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, cipher_id)) ||
	    !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
		SSL_SESSION_free(session);
		return NULL;
	}
	return session;
}

static const struct keys *keys_of(SSL *ssl)
{
	return &((struct tls_stream *)SSL_get_app_data(ssl))->tls->keys;
}

static int use_key(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **ret)
{
	const struct key *k = &keys_of(ssl)->v[0];

	(void)md;
	*id = (const unsigned char *)k->id;
	*id_len = strlen(k->id);
	*ret = session_of(ssl, k);
	return *ret != NULL;
}

static int find_key(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **ret)
{
	const struct keys *keys = keys_of(ssl);

	*ret = NULL;
	for (uint32_t i = 0; i < keys->count; i++)
		if (strlen(keys->v[i].id) == id_len && !memcmp(keys->v[i].id, id, id_len))
			*ret = session_of(ssl, &keys->v[i]);
	return 1;
}

/* A server without our key may still have a certificate. Nothing that it shows is believed. */
static int refuse_certificate(X509_STORE_CTX *ctx, void *arg)
{
	(void)ctx, (void)arg;
	return 0;
}

static SSL_CTX *ctx_create(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"))
		abort(); /* OpenSSL without TLS 1.3, or no memory */
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                              SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_psk_use_session_callback(ctx, use_key);
	SSL_CTX_set_psk_find_session_callback(ctx, find_key);
	return ctx;
}

struct tls *tls_create(const struct keys *keys)
{
	struct tls *tls = xcalloc(1, sizeof(*tls));

	assert(keys->count > 0);
	tls->refs = 1;
	tls->keys = *keys;
	tls->server = ctx_create(TLS_server_method());
	tls->client = ctx_create(TLS_client_method());
	SSL_CTX_set_verify(tls->client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(tls->client, refuse_certificate, NULL);
	tls->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
	if (!tls->bio)
		abort();
	BIO_meth_set_write(tls->bio, bio_write);
	BIO_meth_set_read(tls->bio, bio_read);
	BIO_meth_set_ctrl(tls->bio, bio_ctrl);
	BIO_meth_set_create(tls->bio, bio_create);
	return tls;
}

static void tls_unref(struct tls *tls)
{
	if (--tls->refs)
		return;
	SSL_CTX_free(tls->server);
	SSL_CTX_free(tls->client);
	BIO_meth_free(tls->bio);
	keys_wipe(&tls->keys);
	free(tls->batch);
	free(tls);
}

void tls_destroy(struct tls *tls)
{
	if (tls)
		tls_unref(tls);
}

/* ---- Streams ---- */

static struct tls_stream *stream_create(struct tls *tls, SSL_CTX *ctx, int fd)
{
	struct tls_stream *s = xcalloc(1, sizeof(*s));
	BIO *bio = BIO_new(tls->bio);

	s->ssl = SSL_new(ctx);
	if (!s->ssl || !bio)
		abort();
	s->tls = tls;
	tls->refs++;
	s->fd = fd;
	BIO_set_data(bio, s);
	SSL_set_bio(s->ssl, bio, bio);
	SSL_set_app_data(s->ssl, s);
	return s;
}

struct tls_stream *tls_accept(struct tls *tls, int fd)
{
	struct tls_stream *s = stream_create(tls, tls->server, fd);

	SSL_set_accept_state(s->ssl);
	return s;
}

struct tls_stream *tls_connect(struct tls *tls, int fd)
{
	struct tls_stream *s = stream_create(tls, tls->client, fd);

	SSL_set_connect_state(s->ssl);
	return s;
}

void tls_stream_destroy(struct tls_stream *s)
{
	if (!s)
		return;
	SSL_free(s->ssl);
	tls_unref(s->tls);
	free(s->out);
	free(s);
}

/* What became of a call that brought nothing: errno, or 0 for the end. */
static int stream_outcome(struct tls_stream *s, int rc)
{
	unsigned long code;

	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		break;
	}
	if (s->failed_errno)
		return s->failed_errno;
	/* The frames above have lengths and checksums: an end without a goodbye loses nothing. */
	if (s->ended && SSL_is_init_finished(s->ssl))
		return 0;
	code = ERR_peek_error();
	s->error = s->ended ? "the other side hung up in the handshake: it has no key, or knows not this one"
	           : ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER ? "the other side does not speak TLS: it has no key"
	           : SSL_is_init_finished(s->ssl)                       ? "what arrived was tampered with"
	                                                                : "the other side has another key, or none";
	return EPROTO;
}

static ssize_t socket_send(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n;
}

int tls_flush(struct tls_stream *s)
{
	ssize_t n;

	while (s->out_off < s->out_len) {
		n = socket_send(s->fd, s->out + s->out_off, s->out_len - s->out_off);
		if (n < 0)
			return -1;
		s->out_off += (size_t)n;
	}
	free(s->out);
	s->out = NULL;
	s->out_off = s->out_len = 0;
	return 0;
}

/* Behind what waits already. */
static void out_append(struct tls_stream *s, const uint8_t *data, size_t len)
{
	size_t had = s->out_len - s->out_off;

	if (s->out_off)
		memmove(s->out, s->out + s->out_off, had);
	s->out = xrealloc(s->out, had + len);
	memcpy(s->out + had, data, len);
	s->out_off = 0;
	s->out_len = had + len;
}

/* Sends what the call at hand gave rise to, or keeps it when the socket is full. 0 or errno. */
static int batch_send(struct tls_stream *s)
{
	struct tls *tls = s->tls;
	size_t off = 0;
	ssize_t n = 0;
	int err = 0;

	while (s->out_off == s->out_len && off < tls->batch_len && n >= 0) {
		n = socket_send(s->fd, tls->batch + off, tls->batch_len - off);
		if (n > 0)
			off += (size_t)n;
		else if (errno != EAGAIN && errno != EWOULDBLOCK)
			err = errno;
	}
	if (!err && off < tls->batch_len)
		out_append(s, tls->batch + off, tls->batch_len - off);
	tls->batch_len = 0;
	return err;
}

/* After each call into OpenSSL. */
static void stream_look(struct tls_stream *s)
{
	if (s->trusted || !SSL_is_init_finished(s->ssl))
		return;
	s->trusted = true;
	s->more = true; /* what came right behind the handshake */
	SSL_set_default_read_buffer_len(s->ssl, READ_AHEAD);
}

ssize_t tls_readv(struct tls_stream *s, const struct iovec *iov, int count)
{
	size_t total = 0, n = 0;
	int rc = 1, err, broken;

	for (int i = 0; i < count && rc > 0; i++) {
		for (size_t off = 0; off < iov[i].iov_len && rc > 0; off += n, total += n) {
			n = 0;
			ERR_clear_error();
			rc = SSL_read_ex(s->ssl, (uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off, &n);
		}
	}
	err = rc > 0 ? EAGAIN : stream_outcome(s, rc);
	stream_look(s);
	/* Half a record is nothing to come back for; an end or a failure is. */
	s->more = rc > 0 || err != EAGAIN;
	/* An answer of the handshake, or the alert that says why it failed. */
	broken = s->tls->batch_len ? batch_send(s) : 0;
	if (broken && err == EAGAIN)
		err = broken;
	if (total)
		return (ssize_t)total;
	errno = err;
	return err ? -1 : 0;
}

/* What a record is made of: a large piece as it lies, or small ones side by side. */
struct source {
	const struct iovec *iov;
	int count;
	size_t off, left; /* in iov[0]; and that may still be taken */
};

static const uint8_t *source_next(struct source *src, uint8_t plain[RECORD], size_t *ret_len)
{
	size_t staged = 0, n;

	while (src->count > 0 && src->left > 0 && staged < RECORD) {
		const uint8_t *data = (const uint8_t *)src->iov->iov_base + src->off;
		size_t have = MIN(src->iov->iov_len - src->off, src->left);

		n = staged || have < RECORD ? MIN(have, RECORD - staged) : have - have % RECORD;
		src->left -= n;
		src->off += n;
		if (src->off == src->iov->iov_len) {
			src->iov++;
			src->count--;
			src->off = 0;
		}
		if (!staged && n >= RECORD) {
			*ret_len = n;
			return data;
		}
		memcpy(plain + staged, data, n);
		staged += n;
	}
	*ret_len = staged;
	return plain;
}

ssize_t tls_writev(struct tls_stream *s, const struct iovec *iov, int count)
{
	struct source src = {.iov = iov, .count = count, .left = OUT_MAX};
	size_t total = 0, len, n;
	const uint8_t *data;
	int rc = 1, err = EAGAIN, broken;

	if (tls_flush(s) < 0)
		return -1;
	while (rc > 0) {
		data = source_next(&src, s->tls->plain, &len);
		if (len == 0)
			break;
		for (size_t off = 0; off < len && rc > 0; off += n, total += n) {
			n = 0;
			ERR_clear_error();
			rc = SSL_write_ex(s->ssl, data + off, len - off, &n);
		}
	}
	if (rc <= 0)
		err = stream_outcome(s, rc);
	stream_look(s);
	broken = batch_send(s);
	if (broken)
		err = broken;
	if (total && !broken)
		return (ssize_t)total;
	errno = err ? err : EPIPE;
	return -1;
}

bool tls_is_open(const struct tls_stream *s)
{
	return SSL_is_init_finished(s->ssl);
}

bool tls_can_write(const struct tls_stream *s)
{
	return SSL_is_init_finished(s->ssl);
}

bool tls_wants_write(const struct tls_stream *s)
{
	return s->out_off < s->out_len;
}

bool tls_has_more(const struct tls_stream *s)
{
	return s->more && (SSL_has_pending(s->ssl) || s->error || s->ended || s->failed_errno);
}

const char *tls_error(const struct tls_stream *s)
{
	return s->error ? s->error : "the connection broke";
}

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
	OUT_MAX = 256 << 10, /* plaintext taken per call; its ciphertext goes out in one piece where it can */
	READ_AHEAD = 64 << 10,
};
static const unsigned char cipher_id[2] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */

struct tls {
	uint32_t refs; /* ours and one per stream */
	struct keys keys;
	SSL_CTX *server, *client;
	BIO_METHOD *bio;
};

struct tls_stream {
	struct tls *tls;
	SSL *ssl;
	int fd;
	int failed_errno; /* of the socket */
	bool ended; /* the socket is */
	bool busy;  /* more will be written at once */
	uint8_t *out; /* ciphertext [out_off, out_len) */
	size_t out_off, out_len, out_cap;
	const char *error;
};

/* ---- The socket, as OpenSSL sees it ---- */

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls_stream *s = BIO_get_data(bio);
	size_t need;

	if (s->out_off == s->out_len)
		s->out_off = s->out_len = 0;
	need = s->out_len + (size_t)len;
	if (need > s->out_cap) {
		s->out_cap = MAX(need, 2 * s->out_cap);
		s->out = xrealloc(s->out, s->out_cap);
	}
	memcpy(s->out + s->out_len, data, (size_t)len);
	s->out_len = need;
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
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
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

int tls_flush(struct tls_stream *s)
{
	ssize_t n;

	while (s->out_off < s->out_len) {
		n = send(s->fd, s->out + s->out_off, s->out_len - s->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		s->out_off += (size_t)n;
	}
	s->out_off = s->out_len = 0;
	if (s->out_cap > OUT_MAX / 4 && SSL_is_init_finished(s->ssl) && !s->busy) {
		free(s->out); /* an idle connection keeps no memory */
		s->out = NULL;
		s->out_cap = 0;
	}
	return 0;
}

ssize_t tls_readv(struct tls_stream *s, const struct iovec *iov, int count)
{
	size_t total = 0, n = 0;
	int rc = 1, err;

	for (int i = 0; i < count && rc > 0; i++) {
		for (size_t off = 0; off < iov[i].iov_len && rc > 0; off += n, total += n) {
			n = 0;
			ERR_clear_error();
			rc = SSL_read_ex(s->ssl, (uint8_t *)iov[i].iov_base + off, iov[i].iov_len - off, &n);
		}
	}
	err = rc > 0 ? EAGAIN : stream_outcome(s, rc);
	/* An answer of the handshake, or the alert that says why it failed. */
	if (s->out_off < s->out_len && tls_flush(s) < 0 && errno != EAGAIN && !total && err == EAGAIN)
		err = errno;
	if (total)
		return (ssize_t)total;
	errno = err;
	return err ? -1 : 0;
}

ssize_t tls_writev(struct tls_stream *s, const struct iovec *iov, int count)
{
	size_t total = 0, n = 0;
	int rc = 1, err = EAGAIN;

	if (tls_flush(s) < 0)
		return -1;
	s->busy = true;
	for (int i = 0; i < count && rc > 0 && total < OUT_MAX; i++) {
		for (size_t off = 0; off < iov[i].iov_len && rc > 0 && total < OUT_MAX; off += n, total += n) {
			n = 0;
			ERR_clear_error();
			rc = SSL_write_ex(s->ssl, (const uint8_t *)iov[i].iov_base + off,
			                  MIN(iov[i].iov_len - off, (size_t)OUT_MAX - total), &n);
		}
	}
	if (rc <= 0)
		err = stream_outcome(s, rc);
	s->busy = total == OUT_MAX;
	if (tls_flush(s) < 0 && errno != EAGAIN)
		return -1;
	s->busy = false;
	if (total)
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
	return SSL_has_pending(s->ssl);
}

const char *tls_error(const struct tls_stream *s)
{
	return s->error ? s->error : "the connection broke";
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TLS_TLS_H
#define SF_TLS_TLS_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "lib/tls/key.h"

/*
 * TLS 1.3 with an external pre-shared key over a non-blocking socket (RFC 8446, sections 2.2 and
 * 4.2.11; ephemeral Diffie-Hellman always, TLS_AES_128_GCM_SHA256). No certificates, no tickets, no
 * early data. Who does not hold one of our keys gets no further than the handshake.
 *
 * A stream takes the place of readv and writev on the socket. The handshake goes on inside of both:
 * the side that opened the connection writes, the other reads, and until it is through both say
 * EAGAIN. Written bytes may wait in the stream as ciphertext; so the rules for whoever drives it:
 *
 *   after every tls_readv      what there is to write may be possible now: tls_can_write
 *   wait for writable while    tls_wants_write, or there is more to write and tls_can_write
 *   stopped reading early      tls_has_more: the socket will not tell of it again
 */
struct tls;
struct tls_stream;

struct tls *tls_create(const struct keys *keys); /* copies them */
void tls_destroy(struct tls *tls); /* streams may outlive it; NULL is fine */

/* fd stays the caller's. */
struct tls_stream *tls_accept(struct tls *tls, int fd);
struct tls_stream *tls_connect(struct tls *tls, int fd);
void tls_stream_destroy(struct tls_stream *s); /* NULL is fine */

/* As readv and writev on a non-blocking socket: bytes, 0 at the end, or -1 and errno. EPROTO:
 * tls_error says why. Fewer bytes read than asked for: there is no more for now. */
ssize_t tls_readv(struct tls_stream *s, const struct iovec *iov, int count);
ssize_t tls_writev(struct tls_stream *s, const struct iovec *iov, int count);
bool tls_is_open(const struct tls_stream *s); /* the handshake is through */
bool tls_can_write(const struct tls_stream *s);
bool tls_wants_write(const struct tls_stream *s);
bool tls_has_more(const struct tls_stream *s);
/* Sends ciphertext that waits. As tls_writev, 0 when it is all gone. */
int tls_flush(struct tls_stream *s);
/* Why it failed, in a few words. */
const char *tls_error(const struct tls_stream *s);

#endif

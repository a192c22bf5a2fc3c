/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bytes that arrive on a connection accepted by sheep/net, in pieces of any size: the same messages
 * are delivered as when all arrive at once, and nothing of it is left when the connection is gone.
 * The socket's calls are replaced at link time (--wrap), no byte passes through the kernel.
 */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "sheep/net/net_state.h"
#include "tests/fuzz/frames.h"

enum { OPTIONS = 2, THIS_NODE = 100, CLUSTER = 77 };

/* byte 0 of an input */
enum { NO_ANSWERS = 1 << 0, FEW_REQUESTS = 1 << 1, STALLED = 1 << 2 };

/* What the peer has sent and the process not read yet. One connection at a time. */
static struct {
	int fd;
	const uint8_t *data;
	size_t len;
	uint32_t piece_max; /* 0: as much as is asked for */
	struct prng p;
	bool stalled;
} feed = {.fd = -1};

ssize_t __real_read(int fd, void *dst, size_t len);
ssize_t __wrap_read(int fd, void *dst, size_t len);
ssize_t __real_readv(int fd, const struct iovec *iov, int count);
ssize_t __wrap_readv(int fd, const struct iovec *iov, int count);
ssize_t __real_sendmsg(int fd, const struct msghdr *mh, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *mh, int flags);

static size_t feed_take(void *dst, size_t len)
{
	len = MIN(len, feed.len);
	if (len)
		memcpy(dst, feed.data, len);
	feed.data += len;
	feed.len -= len;
	return len;
}

static size_t feed_piece(size_t asked)
{
	return feed.piece_max ? MIN(asked, 1 + prng_below(&feed.p, feed.piece_max)) : asked;
}

ssize_t __wrap_read(int fd, void *dst, size_t len)
{
	if (fd != feed.fd || fd < 0)
		return __real_read(fd, dst, len);
	errno = EAGAIN;
	return feed.len ? (ssize_t)feed_take(dst, feed_piece(len)) : -1;
}

ssize_t __wrap_readv(int fd, const struct iovec *iov, int count)
{
	size_t left = 0, done = 0;

	if (fd != feed.fd || fd < 0)
		return __real_readv(fd, iov, count);
	errno = EAGAIN;
	if (!feed.len)
		return -1;
	for (int i = 0; i < count; i++)
		left += iov[i].iov_len;
	left = feed_piece(left);
	for (int i = 0; i < count && left > 0; i++) {
		size_t n = feed_take(iov[i].iov_base, MIN(left, iov[i].iov_len));
		done += n;
		left -= n;
		if (n < iov[i].iov_len)
			break;
	}
	return (ssize_t)done;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *mh, int flags)
{
	ssize_t n = 0;

	if (fd != feed.fd || fd < 0)
		return __real_sendmsg(fd, mh, flags);
	errno = EAGAIN;
	if (feed.stalled)
		return -1;
	for (size_t i = 0; i < mh->msg_iovlen; i++)
		n += (ssize_t)mh->msg_iov[i].iov_len;
	return n;
}

/* ---- The daemon's side ---- */

struct rig {
	struct ev_loop *loop;
	struct buf_pool *pool;
	struct net *net;
	bool answer;
	uint64_t digest; /* of all that was delivered */
	uint32_t delivered;
	struct {
		uint64_t conn, id;
		enum msg_type type;
	} open[8]; /* requests not answered yet */
	uint32_t open_count;
};

static uint64_t digest_add(uint64_t h, const void *data, size_t len)
{
	return hash64(h ^ crc32c(0, data, len));
}

static void answer(struct rig *r, uint64_t conn, uint64_t id, enum msg_type type)
{
	struct msg *m = msg_create(type);

	m->id = id;
	m->reply = true;
	net_reply_client(r->net, conn, m);
}

static void note(struct rig *r, const struct msg *m)
{
	size_t len;
	uint8_t *frame = frame_make(m, &len);

	r->digest = digest_add(r->digest, frame, len);
	r->delivered++;
	free(frame);
}

static void on_client_msg(void *arg, uint64_t conn, struct msg *m)
{
	struct rig *r = arg;

	note(r, m);
	if (r->answer || r->open_count == ARRAY_LEN(r->open)) {
		answer(r, conn, m->id, m->type);
	} else {
		r->open[r->open_count].conn = conn;
		r->open[r->open_count].id = m->id;
		r->open[r->open_count++].type = m->type;
	}
	msg_destroy(m);
}

static void on_peer_msg(void *arg, uint64_t node, struct msg *m)
{
	struct rig *r = arg;

	note(r, m);
	r->digest = digest_add(r->digest, &node, sizeof(node));
	msg_destroy(m);
}

static void on_client_lost(void *arg, uint64_t conn)
{
	struct rig *r = arg;

	r->open_count = 0;
}

static void on_peer_lost(void *arg, uint64_t node)
{
}

static bool on_hello(void *arg, const struct msg *hello, char why[256])
{
	if (!hello->cluster || hello->cluster == CLUSTER)
		return true;
	snprintf(why, 256, "another cluster");
	return false;
}

static void rig_init(struct rig *r, uint8_t options)
{
	struct net_options o = {.node = THIS_NODE};
	struct net_callbacks cb = {
		.arg = r,
		.client_msg = on_client_msg,
		.client_lost = on_client_lost,
		.peer_msg = on_peer_msg,
		.peer_lost = on_peer_lost,
		.accept_hello = on_hello,
	};
	char text[512];

	memset(r, 0, sizeof(*r));
	r->answer = !(options & NO_ANSWERS);
	r->loop = o.loop = ev_default_loop(EVBACKEND_SELECT);
	r->pool = o.pool = buf_pool_create(1 << 20);
	if (options & FEW_REQUESTS)
		o.limits = (struct net_limits){
			.client_inflight_count = 3,
			.client_inflight_bytes = 4 << 10,
			.client_output_bytes = 4 << 10,
			.total_inflight_bytes = 8 << 10,
		};
	assert(net_create(&o, &cb, &r->net, text) == 0);
	net_set_cluster(r->net, CLUSTER, 5);
}

/* Answers what waits for an answer, and lets the limits be looked at again. */
static bool rig_relieve(struct rig *r)
{
	uint32_t count = r->open_count;

	r->open_count = 0;
	for (uint32_t i = 0; i < count; i++)
		answer(r, r->open[i].conn, r->open[i].id, r->open[i].type);
	net_flush(r->net);
	ev_invoke_pending(r->loop);
	return count > 0;
}

/* Once it is closed nobody may look at it: the deferred round frees it. */
static bool rig_connected(const struct rig *r)
{
	return net_connection_count(r->net) > 0;
}

/* The connection's whole life. Whether it was still open at the end. */
static bool rig_feed(struct rig *r, const uint8_t *data, size_t size, uint32_t piece_max,
                     uint64_t seed)
{
	enum conn_state state;
	struct conn *c;

	feed.data = data;
	feed.len = size;
	feed.piece_max = piece_max;
	prng_init(&feed.p, seed);
	feed.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert(feed.fd >= 0);
	c = conn_create(r->net, feed.fd, CONN_STRANGER, CONN_HELLO);
	r->digest = r->delivered = r->open_count = 0;
	while (rig_connected(r) && c->state != CONN_REFUSED) {
		size_t before = feed.len;
		if (list_empty(&c->waiting))
			conn_read(c);
		net_flush(r->net);
		if (rig_connected(r) && feed.len == before && !rig_relieve(r))
			break;
	}
	state = rig_connected(r) ? c->state : CONN_DEAD;
	r->digest = digest_add(r->digest, &state, sizeof(state));
	if (state != CONN_DEAD)
		conn_close(c, NULL);
	ev_invoke_pending(r->loop);
	feed.fd = -1;
	assert(buf_pool_used_bytes(r->pool) == 0);
	return state == CONN_OPEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig r;
	uint64_t whole;
	bool alive;

	if (size < OPTIONS)
		return 0;
	rig_init(&r, data[0]);
	/* Who does not take his answers is not read from again: how far he got depends on the pieces. */
	feed.stalled = (data[0] & STALLED) && (data[0] & FEW_REQUESTS);
	alive = rig_feed(&r, data + OPTIONS, size - OPTIONS, 0, 0);
	whole = r.digest;
	if (alive == rig_feed(&r, data + OPTIONS, size - OPTIONS, 1 + data[1] % 97, data[1]))
		assert(r.digest == whole || feed.stalled);
	else
		assert(feed.stalled);
	net_destroy(r.net);
	buf_pool_destroy(r.pool);
	return 0;
}

/* A proper HELLO of a client or a node in front: without one little happens. */
static size_t hello_put(uint8_t *data, size_t size, size_t max_size, struct prng *p)
{
	struct msg m;
	size_t len;
	uint8_t *frame;

	msg_init(&m, MSG_HELLO);
	m.version_min = m.version_max = 1;
	m.cluster = CLUSTER;
	m.node = prng_below(p, 3);
	frame = frame_make(&m, &len);
	if (len + size <= max_size) {
		memmove(data + len, data, size);
		memcpy(data, frame, len);
		size += len;
	}
	free(frame);
	return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct prng p;

	prng_init(&p, seed);
	if (size < OPTIONS || max_size < OPTIONS || prng_below(&p, 16) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	if (prng_below(&p, 24) == 0)
		return OPTIONS + hello_put(data + OPTIONS, size - OPTIONS, max_size - OPTIONS, &p);
	return OPTIONS + frames_mutate(data + OPTIONS, size - OPTIONS, max_size - OPTIONS, &p);
}

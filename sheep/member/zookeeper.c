/* SPDX-License-Identifier: Apache-2.0 */

/*
 * -c zookeeper: the single-threaded client library in the reactor's loop. All that is decided is
 * decided in zk_logic.c; this file carries requests to the library and its answers back.
 *
 * The library tells which descriptor it waits for and how long (zookeeper_interest), and is told
 * what came of it (zookeeper_process). It calls back from within both; a session is never closed
 * there but afterwards.
 */
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#include "lib/base/mem.h"
#include "sheep/member/member.h"
#include "sheep/member/zk_logic.h"
#include "sheep/member/zk_spec.h"

enum { TICK_MS = 25, RETRY_MS = 100 };

struct member {
	struct ev_loop *loop;
	const struct log *log;
	struct zk_spec spec;
	char *auth; /* USER:PASSWORD or NULL */
	struct zk_logic *logic;
	zhandle_t *zh;
	bool inside;    /* the library is calling */
	bool close_due, open_due;
	bool connected;
	uint32_t *unsent, unsent_count; /* tags of requests that the library did not take */
	ev_io io;
	ev_timer timer, tick;
	ev_prepare before_wait;
};

/* A request on its way. */
struct call {
	struct member *m;
	uint32_t tag;
	bool is_commit;
	zoo_op_t ops[2];
	zoo_op_result_t results[2];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- Answers ---- */

static void call_end(struct call *c, int rc, struct zk_answer *a)
{
	a->tag = c->tag;
	a->text = zerror(rc);
	switch (rc) {
	case ZOK:
		a->result = ZK_OK;
		break;
	case ZNONODE:
		a->result = ZK_NONE;
		break;
	case ZNODEEXISTS:
		a->result = c->is_commit ? ZK_CONFLICT : ZK_EXISTS;
		break;
	case ZBADVERSION:
		a->result = ZK_CONFLICT;
		break;
	case ZCONNECTIONLOSS:
	case ZOPERATIONTIMEOUT:
	case ZSESSIONEXPIRED:
	case ZSESSIONMOVED:
	case ZINVALIDSTATE:
	case ZCLOSING:
	case ZTHROTTLEDOP:
		a->result = ZK_LOST;
		break;
	case ZNOAUTH:
	case ZAUTHFAILED:
		a->result = ZK_DENIED;
		break;
	default:
		a->result = ZK_BROKEN;
	}
	zk_logic_answer(c->m->logic, a, now_ms());
	free(c);
}

static void on_string(int rc, const char *value, const void *data)
{
	(void)value;
	call_end((struct call *)data, rc, &(struct zk_answer){0});
}

static void on_void(int rc, const void *data)
{
	call_end((struct call *)data, rc, &(struct zk_answer){0});
}

static void on_data(int rc, const char *value, int len, const struct Stat *stat, const void *data)
{
	struct zk_answer a = {0};

	if (rc == ZOK) {
		a.data = (const uint8_t *)value;
		a.len = len > 0 ? (size_t)len : 0;
		a.version = stat->version;
	}
	call_end((struct call *)data, rc, &a);
}

static void on_names(int rc, const struct String_vector *names, const void *data)
{
	struct zk_answer a = {0};

	if (rc == ZOK) {
		a.names = (const char *const *)names->data;
		a.name_count = (uint32_t)names->count;
	}
	call_end((struct call *)data, rc, &a);
}

/* ---- Requests ---- */

static int call_commit(struct member *m, struct call *c, const struct zk_request *rq, const struct ACL_vector *acl)
{
	c->is_commit = true;
	zoo_create_op_init(&c->ops[0], rq->path, (const char *)rq->data, (int)rq->len, acl, 0, NULL, 0);
	zoo_set_op_init(&c->ops[1], rq->head, rq->head_text, (int)strlen(rq->head_text), rq->head_version, NULL);
	return zoo_amulti(m->zh, 2, c->ops, c->results, on_void, c);
}

static void service_request(void *arg, const struct zk_request *rq)
{
	struct member *m = arg;
	struct call *c = xcalloc(1, sizeof(*c));
	const struct ACL_vector *acl = m->auth ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
	int rc = ZINVALIDSTATE;

	c->m = m;
	c->tag = rq->tag;
	if (m->zh && !m->close_due) {
		switch (rq->op) {
		case ZK_CREATE:
			rc = zoo_acreate(m->zh, rq->path, (const char *)rq->data, rq->data ? (int)rq->len : -1, acl,
			                 rq->ephemeral ? ZOO_EPHEMERAL : ZOO_PERSISTENT, on_string, c);
			break;
		case ZK_REMOVE:
			rc = zoo_adelete(m->zh, rq->path, -1, on_void, c);
			break;
		case ZK_GET:
			rc = zoo_aget(m->zh, rq->path, rq->watch, on_data, c);
			break;
		case ZK_CHILDREN:
			rc = zoo_aget_children(m->zh, rq->path, rq->watch, on_names, c);
			break;
		case ZK_SYNC:
			rc = zoo_async(m->zh, rq->path, on_string, c);
			break;
		case ZK_COMMIT:
			rc = call_commit(m, c, rq, acl);
			break;
		}
	}
	if (rc == ZOK)
		return;
	free(c);
	m->unsent = xrealloc(m->unsent, (m->unsent_count + 1) * sizeof(*m->unsent));
	m->unsent[m->unsent_count++] = rq->tag;
}

static void service_reopen(void *arg)
{
	struct member *m = arg;

	m->close_due = m->open_due = true;
}

static void service_close(void *arg)
{
	struct member *m = arg;

	m->close_due = true;
	m->open_due = false;
}

/* ---- The session ---- */

static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
	struct member *m = ctx;

	(void)path;
	if (zh != m->zh)
		return; /* one that is being closed, or not ours yet: connecting takes a while */
	if (type != ZOO_SESSION_EVENT) {
		zk_logic_changed(m->logic, now_ms());
		return;
	}
	m->connected = state == ZOO_CONNECTED_STATE;
	if (state == ZOO_CONNECTED_STATE) {
		log_info(m->log, "zookeeper: connected to %s, session timeout %d ms", zoo_get_current_server(zh),
		         zoo_recv_timeout(zh));
		zk_logic_connected(m->logic, (uint32_t)zoo_recv_timeout(zh), now_ms());
	} else if (state == ZOO_EXPIRED_SESSION_STATE) {
		zk_logic_expired(m->logic, now_ms());
	} else if (state == ZOO_AUTH_FAILED_STATE) {
		zk_logic_denied(m->logic);
	} else {
		zk_logic_disconnected(m->logic);
	}
}

static void on_library_log(const char *line)
{
	(void)line; /* what matters of it is said by us */
}

static void on_authenticated(int rc, const void *data)
{
	struct member *m = (struct member *)data;

	if (rc == ZAUTHFAILED)
		zk_logic_denied(m->logic);
}

static void session_close(struct member *m)
{
	zhandle_t *zh = m->zh;

	m->zh = NULL;
	m->connected = false;
	ev_io_stop(m->loop, &m->io);
	ev_timer_stop(m->loop, &m->timer);
	if (zh)
		zookeeper_close(zh);
}

static int session_open(struct member *m)
{
	m->zh = zookeeper_init2(m->spec.hosts, on_watch, (int)m->spec.timeout_ms, NULL, m, ZOO_NO_LOG_CLIENTENV,
	                        on_library_log);
	if (!m->zh)
		return -errno;
	if (m->auth)
		zoo_add_auth(m->zh, "digest", m->auth, (int)strlen(m->auth), on_authenticated, m);
	return 0;
}

/* Asks the library what it waits for. */
static void watch_descriptor(struct member *m)
{
	int fd = -1, interest = 0, rc;
	struct timeval tv = {0};
	double wait;

	m->inside = true;
	rc = zookeeper_interest(m->zh, &fd, &interest, &tv);
	m->inside = false;
	/* It may have closed a descriptor and got the same number again: always told anew. */
	ev_io_stop(m->loop, &m->io);
	if (fd >= 0 && interest) {
		ev_io_set(&m->io, fd, (interest & ZOOKEEPER_READ ? EV_READ : 0) |
		                              (interest & ZOOKEEPER_WRITE ? EV_WRITE : 0));
		ev_io_start(m->loop, &m->io);
	}
	wait = (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
	if (rc != ZOK && wait < RETRY_MS / 1000.)
		wait = RETRY_MS / 1000.;
	ev_timer_stop(m->loop, &m->timer);
	ev_timer_set(&m->timer, wait, 0.);
	ev_timer_start(m->loop, &m->timer);
}

static void process(struct member *m, int events)
{
	if (!m->zh)
		return;
	m->inside = true;
	zookeeper_process(m->zh, events);
	m->inside = false;
	watch_descriptor(m);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	(void)loop;
	process(w->data, (revents & EV_READ ? ZOOKEEPER_READ : 0) | (revents & EV_WRITE ? ZOOKEEPER_WRITE : 0));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	process(w->data, 0);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct member *m = w->data;

	(void)loop, (void)revents;
	zk_logic_tick(m->logic, now_ms());
	if (m->zh)
		watch_descriptor(m);
}

/* What could not be done while the library was calling. */
static void before_wait(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct member *m = w->data;

	(void)loop, (void)revents;
	if (m->close_due) {
		session_close(m);
		m->close_due = false;
	}
	if (m->open_due && !m->zh) {
		m->open_due = session_open(m) < 0;
		if (m->zh)
			watch_descriptor(m);
	}
	for (uint32_t i = 0, n = m->unsent_count; i < n; i++)
		zk_logic_answer(m->logic, &(struct zk_answer){.tag = m->unsent[i], .result = ZK_LOST}, now_ms());
	m->unsent_count = 0;
}

/* ---- The driver's face ---- */

static void member_leave(struct member *m)
{
	zk_logic_leave(m->logic);
	ev_timer_stop(m->loop, &m->tick);
	if (m->inside)
		return;
	ev_prepare_stop(m->loop, &m->before_wait);
	session_close(m);
	m->close_due = m->open_due = false;
}

static void member_destroy(struct member *m)
{
	if (!m)
		return;
	if (m->logic)
		member_leave(m);
	zk_logic_destroy(m->logic);
	free(m->unsent);
	free(m->auth);
	free(m);
}

static int read_auth(struct member *m, char text[512])
{
	char line[512] = "";
	FILE *f;

	if (!*m->spec.auth_file)
		return 0;
	f = fopen(m->spec.auth_file, "re");
	if (!f || !fgets(line, sizeof(line), f) || !strchr(line, ':')) {
		snprintf(text, 512, "%.300s: %s", m->spec.auth_file,
		         f ? "the first line must be USER:PASSWORD" : strerror(errno));
		if (f)
			fclose(f);
		return -EINVAL;
	}
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	m->auth = xstrdup(line);
	return 0;
}

static int member_create(const char *spec, const struct node_info *self, struct ev_loop *loop,
                         const struct log *log, const struct member_callbacks *callbacks,
                         struct member **ret, char text[512])
{
	struct member *m = xcalloc(1, sizeof(*m));
	struct zk_service service = {m, service_request, service_reopen, service_close};
	struct zk_config config = {.base = m->spec.base, .log = log};
	int err = zk_spec_parse(spec, &m->spec, text);

	m->loop = loop;
	m->log = log;
	ev_init(&m->io, on_io);
	ev_timer_init(&m->timer, on_timer, 0., 0.);
	ev_timer_init(&m->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
	ev_prepare_init(&m->before_wait, before_wait);
	m->io.data = m->timer.data = m->tick.data = m->before_wait.data = m;
	if (!err)
		err = read_auth(m, text);
	if (err) {
		member_destroy(m);
		return err;
	}
	zoo_set_debug_level((ZooLogLevel)0);
	config.timeout_ms = m->spec.timeout_ms;
	m->logic = zk_logic_create(&config, self, &service, callbacks);
	*ret = m;
	return 0;
}

static int member_join(struct member *m, char text[512])
{
	zk_logic_join(m->logic, now_ms());
	m->close_due = m->open_due = false;
	int err = session_open(m);

	if (err) {
		snprintf(text, 512, "zookeeper %.300s: %s", m->spec.hosts,
		         err == -EINVAL || err == -ENOENT ? "no such host" : strerror(-err));
		return err;
	}
	ev_timer_start(m->loop, &m->tick);
	ev_prepare_start(m->loop, &m->before_wait);
	watch_descriptor(m);
	return 0;
}

static void member_propose(struct member *m, uint64_t expected_cluster, uint32_t expected_epoch,
                           const struct map *map)
{
	zk_logic_propose(m->logic, expected_cluster, expected_epoch, map);
}

static int member_update(struct member *m, const struct node_info *self)
{
	zk_logic_update(m->logic, self);
	return 0;
}

static const char *member_waiting(const struct member *m)
{
	return m->connected ? "the map register is being read, or this node's former session has not ended yet"
	                    : "no ZooKeeper server answers";
}

const struct member_driver member_zookeeper = {
	.name = "zookeeper",
	.create = member_create,
	.join = member_join,
	.propose = member_propose,
	.update = member_update,
	.leave = member_leave,
	.waiting = member_waiting,
	.destroy = member_destroy,
};

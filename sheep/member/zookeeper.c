/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ev.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zookeeper/zookeeper.h>

#include "lib/base/clock.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/member.h"
#include "sheep/member/zk_logic.h"
#include "sheep/member/zk_spec.h"

/*
 * Membership by ZooKeeper (-c zookeeper:...): drives zk_logic.c with the single-threaded libzookeeper in the reactor.
 *
 * The library's own session events come late (what is queued when a connection breaks is told only on the next one), so the
 * state is looked at after every call instead. And its own search for another server can pass servers by (ZOOKEEPER-2466).
 * So a handle knows one server and serves for one connection;
 * when that is lost, or is not made in time, it is closed, and the next server gets another handle with the same session.
 * Handles are opened and closed outside the library's callbacks.
 */
enum { TICK_MS = 50, PAUSE_MS = 50, ATTEMPT_MIN_MS = 250, ATTEMPT_MAX_MS = 2000, ADDRESSES_MAX = 64 };

struct member {
	struct member_callbacks callbacks;
	struct ev_loop *loop;
	const struct log *log;
	struct zk_spec spec;
	struct zk_logic *logic;
	zhandle_t *zh;
	bool joined;
	bool over;   /* the logic has failed: nothing is asked any more, the daemon will leave */
	bool broken; /* the handle: to be closed, another opened */
	bool told_timeout;
	char *addresses[ADDRESSES_MAX]; /* "ADDRESS:PORT" of each server */
	uint32_t address_count, next;
	clientid_t session; /* client_id 0: none */
	uint64_t opened_ms, seed;
	int fd; /* of the handle's connection, while it has one */
	ev_io io;
	ev_timer due, tick;
	ev_prepare soon; /* never started: fed */
};

/* One request under way. */
struct pending {
	struct member *m;
	uint64_t tag;
};

/* ---- Answers ----------------------------------------------------------------------------------- */

static enum zk_result result_of(int rc)
{
	switch (rc) {
	case ZOK:
		return ZK_OK;
	case ZNONODE:
		return ZK_NO_NODE;
	case ZNODEEXISTS:
		return ZK_NODE_EXISTS;
	case ZNOAUTH:
	case ZAUTHFAILED:
		return ZK_DENIED;
	case ZCONNECTIONLOSS:
	case ZOPERATIONTIMEOUT:
	case ZSESSIONEXPIRED:
	case ZSESSIONMOVED:
	case ZINVALIDSTATE:
	case ZCLOSING:
	case ZTHROTTLEDOP:
		return ZK_LOST;
	default:
		return ZK_BROKEN;
	}
}

static void answer(const void *arg, int rc, struct zk_answer a)
{
	struct pending *p = (struct pending *)arg;
	struct member *m = p->m;

	a.tag = p->tag;
	a.result = result_of(rc);
	a.text = zerror(rc);
	free(p);
	/* An operation lost on a connection that goes on would leave the logic waiting. */
	if (a.result == ZK_LOST && m->zh && zoo_state(m->zh) == ZOO_CONNECTED_STATE && rc != ZCONNECTIONLOSS)
		m->broken = true;
	zk_logic_answer(m->logic, clock_boottime_ms(), &a);
}

static void on_void(int rc, const void *arg)
{
	answer(arg, rc, (struct zk_answer){0});
}

static void on_string(int rc, const char *value, const void *arg)
{
	answer(arg, rc, (struct zk_answer){0});
}

static void on_stat(int rc, const struct Stat *stat, const void *arg)
{
	answer(arg, rc, (struct zk_answer){0});
}

static void on_data(int rc, const char *value, int len, const struct Stat *stat, const void *arg)
{
	answer(arg, rc, (struct zk_answer){.data = (const uint8_t *)value, .len = value && len > 0 ? (size_t)len : 0});
}

static void on_strings(int rc, const struct String_vector *strings, const void *arg)
{
	struct zk_answer a = {0};

	if (rc == ZOK && strings) {
		a.names = (const char *const *)strings->data;
		a.name_count = (uint32_t)strings->count;
	}
	answer(arg, rc, a);
}

static void on_watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct member *m = arg;

	if (type != ZOO_SESSION_EVENT && zh == m->zh && path)
		zk_logic_watch(m->logic, clock_boottime_ms(), path);
}

static void on_session(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
}

static void on_auth(int rc, const void *arg)
{
	struct member *m = (struct member *)arg;

	if (rc == ZAUTHFAILED)
		zk_logic_denied(m->logic);
}

/* ---- Requests ---------------------------------------------------------------------------------- */

static int request_send(struct member *m, const struct zk_request *r, struct pending *p)
{
	const struct ACL_vector *acl = m->spec.auth[0] ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
	const char *data = r->data ? (const char *)r->data : "";

	switch (r->op) {
	case ZK_CREATE:
		return zoo_acreate(m->zh, r->path, data, (int)r->len, acl, 0, on_string, p);
	case ZK_CREATE_EPHEMERAL:
		return zoo_acreate(m->zh, r->path, data, (int)r->len, acl, ZOO_EPHEMERAL, on_string, p);
	case ZK_SET:
		return zoo_aset(m->zh, r->path, data, (int)r->len, -1, on_stat, p);
	case ZK_DELETE:
		return zoo_adelete(m->zh, r->path, -1, on_void, p);
	case ZK_GET:
		return zoo_aget(m->zh, r->path, 0, on_data, p);
	case ZK_EXISTS_WATCH:
		return zoo_awexists(m->zh, r->path, on_watch, m, on_stat, p);
	case ZK_CHILDREN_WATCH:
		return zoo_awget_children(m->zh, r->path, on_watch, m, on_strings, p);
	}
	return ZBADARGUMENTS;
}

static void request(void *arg, const struct zk_request *r)
{
	struct member *m = arg;
	struct pending *p = xcalloc(1, sizeof(*p));
	int rc;

	*p = (struct pending){.m = m, .tag = r->tag};
	rc = request_send(m, r, p);
	if (rc == ZOK)
		return;
	log_warn(m->log, "ZooKeeper: %s: %s", r->path, zerror(rc));
	free(p);
	m->broken = true;
}

static void wake(void *arg)
{
	struct member *m = arg;

	ev_feed_event(m->loop, &m->soon, EV_CUSTOM);
}

/* ---- The handle -------------------------------------------------------------------------------- */

static void on_library_log(const char *line)
{
	(void)line; /* what matters is told by ourselves; the library has one log per process */
}

/* Ends the session too, if it is connected. */
static void handle_close(struct member *m)
{
	zhandle_t *zh = m->zh;

	if (!zh)
		return;
	ev_io_stop(m->loop, &m->io);
	m->zh = NULL; /* its last answers are for nobody */
	zookeeper_close(zh);
}

/* The session goes on: a lease of it may be running. Over a connection that still stands the library would end it, and wait
 * for the server to take that. */
static void handle_drop(struct member *m)
{
	if (m->zh && zoo_state(m->zh) == ZOO_CONNECTED_STATE && m->fd >= 0)
		shutdown(m->fd, SHUT_RDWR);
	handle_close(m);
}

/* Of the servers' names; those already known stay when a name server fails. */
static int addresses_find(struct member *m, char text[512])
{
	char list[ZK_ADDRESSES_LEN], *save;
	int err = zk_spec_resolve(&m->spec, list, text);

	if (err)
		return err;
	while (m->address_count)
		free(m->addresses[--m->address_count]);
	for (char *one = strtok_r(list, ",", &save); one && m->address_count < ADDRESSES_MAX; one = strtok_r(NULL, ",", &save))
		m->addresses[m->address_count++] = xstrdup(one);
	/* Not all daemons at the same server. */
	m->next = (uint32_t)(m->seed % m->address_count);
	return 0;
}

static void handle_open(struct member *m)
{
	const char *server = m->addresses[m->next++ % m->address_count];

	m->opened_ms = clock_boottime_ms();
	m->zh = zookeeper_init2(server, on_session, (int)m->spec.timeout_ms, m->session.client_id ? &m->session : NULL, m,
	                        ZOO_NO_LOG_CLIENTENV, on_library_log);
	if (!m->zh) {
		log_warn(m->log, "ZooKeeper: %s: %s", server, strerror(errno));
		return;
	}
	zoo_set_servers_resolution_delay(m->zh, -1);
	if (m->spec.auth[0])
		zoo_add_auth(m->zh, "digest", m->spec.auth, (int)strlen(m->spec.auth), on_auth, m);
}

/* ---- Driving it -------------------------------------------------------------------------------- */

static void connected(struct member *m)
{
	const clientid_t *id = zoo_client_id(m->zh);
	bool new_session = id->client_id != m->session.client_id;
	const char *server = zoo_get_current_server(m->zh);
	uint32_t timeout_ms = (uint32_t)zoo_recv_timeout(m->zh);

	m->session = *id;
	log_info(m->log, "ZooKeeper: connected to %s, session %llx%s, timeout %u ms", server ? server : "?",
	         (unsigned long long)m->session.client_id, new_session ? " (new)" : "", timeout_ms);
	if (new_session && timeout_ms > m->spec.timeout_ms && !m->told_timeout) {
		m->told_timeout = true;
		log_warn(m->log, "ZooKeeper's least session timeout is %u ms, not the %u asked for (its minSessionTimeout)",
		         timeout_ms, m->spec.timeout_ms);
	}
	zk_logic_connected(m->logic, clock_boottime_ms(), new_session, timeout_ms);
}

static uint64_t attempt_ms(const struct member *m)
{
	return MIN(MAX(m->spec.timeout_ms / 4, (uint32_t)ATTEMPT_MIN_MS), (uint32_t)ATTEMPT_MAX_MS);
}

static void state_look(struct member *m)
{
	int state = zoo_state(m->zh);

	if (state == ZOO_AUTH_FAILED_STATE) {
		zk_logic_denied(m->logic);
		m->broken = true;
	} else if (state == ZOO_EXPIRED_SESSION_STATE) {
		m->session = (clientid_t){0};
		zk_logic_expired(m->logic, clock_boottime_ms());
		m->broken = true;
	} else if (is_unrecoverable(m->zh)) {
		m->broken = true;
	} else if (state == ZOO_CONNECTED_STATE && !zk_logic_is_connected(m->logic)) {
		connected(m);
	} else if (state != ZOO_CONNECTED_STATE && zk_logic_is_connected(m->logic)) {
		log_warn(m->log, "ZooKeeper: connection lost; looking for another server");
		m->broken = true;
	} else if (zk_logic_is_stuck(m->logic, clock_boottime_ms())) {
		log_warn(m->log, "ZooKeeper: the server does not answer; looking for another");
		m->broken = true;
	} else if (state != ZOO_CONNECTED_STATE && clock_boottime_ms() > m->opened_ms + attempt_ms(m)) {
		m->broken = true;
	}
}

/* The next server, if this one has failed; not too often. */
static void handle_mind(struct member *m)
{
	if (m->broken) {
		zk_logic_disconnected(m->logic, clock_boottime_ms()); /* first: answers that closing gives are for nobody */
		handle_drop(m);
		m->broken = false;
	}
	if (!m->zh && clock_boottime_ms() >= m->opened_ms + PAUSE_MS)
		handle_open(m);
}

/* What the library waits for now. */
static void interest_take(struct member *m)
{
	int fd = -1, interest = 0;
	struct timeval tv = {0};
	int rc = zookeeper_interest(m->zh, &fd, &interest, &tv);
	double wait_s = (double)tv.tv_sec + (double)tv.tv_usec / 1e6;

	ev_io_stop(m->loop, &m->io);
	m->fd = rc == ZOK ? fd : -1;
	m->broken |= rc != ZOK && rc != ZNOTHING;
	if (rc == ZOK && fd >= 0 && interest) {
		/* Set anew each time: it may be another socket of the same number. */
		ev_io_set(&m->io, fd, (interest & ZOOKEEPER_READ ? EV_READ : 0) | (interest & ZOOKEEPER_WRITE ? EV_WRITE : 0));
		ev_io_start(m->loop, &m->io);
	}
	ev_timer_stop(m->loop, &m->due);
	ev_timer_set(&m->due, MIN(MAX(wait_s, 0.001), 1.0), 0.);
	ev_timer_start(m->loop, &m->due);
}

static void watchers_stop(struct member *m)
{
	ev_io_stop(m->loop, &m->io);
	ev_timer_stop(m->loop, &m->due);
	ev_timer_stop(m->loop, &m->tick);
	ev_clear_pending(m->loop, &m->soon);
}

static void turn(struct member *m)
{
	if (!m->joined)
		return;
	if (m->zh)
		state_look(m);
	zk_logic_run(m->logic, clock_boottime_ms());
	if (m->over) {
		/* The session stays until the daemon leaves: it may serve for what is left of its lease. */
		m->joined = false;
		watchers_stop(m);
		return;
	}
	handle_mind(m);
	if (m->zh) {
		interest_take(m);
		state_look(m);
	}
	if (m->broken)
		handle_mind(m);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct member *m = w->data;

	zookeeper_process(m->zh,
	                  (revents & EV_READ ? ZOOKEEPER_READ : 0) | (revents & EV_WRITE ? ZOOKEEPER_WRITE : 0));
	turn(m);
}

static void on_due(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct member *m = w->data;

	if (m->zh)
		zookeeper_process(m->zh, 0);
	turn(m);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	turn(w->data);
}

static void on_soon(struct ev_loop *loop, ev_prepare *w, int revents)
{
	turn(w->data);
}

/* ---- The driver's face ------------------------------------------------------------------------- */

static void on_failed(void *arg, const char *why)
{
	struct member *m = arg;

	m->over = true;
	m->callbacks.failed(m->callbacks.arg, why);
}

/* Those of the daemon; its failure is also ours. */
static void on_map(void *arg, struct map *map)
{
	struct member *m = arg;

	m->callbacks.map(m->callbacks.arg, map);
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct member *m = arg;

	m->callbacks.live(m->callbacks.arg, nodes, count);
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct member *m = arg;

	m->callbacks.lease(m->callbacks.arg, proven_ms, lease_ms);
}

static void on_proposed(void *arg, int result)
{
	struct member *m = arg;

	m->callbacks.proposed(m->callbacks.arg, result);
}

static void member_leave(struct member *m)
{
	zk_logic_leave(m->logic);
	m->joined = false;
	watchers_stop(m);
	/* The announcement goes at once. */
	handle_close(m);
}

static void member_destroy(struct member *m)
{
	if (!m)
		return;
	member_leave(m);
	zk_logic_destroy(m->logic);
	while (m->address_count)
		free(m->addresses[--m->address_count]);
	free(m);
}

static void logic_create(struct member *m, const struct node_info *self)
{
	struct zk_config config = {
		.part_bytes = ZK_PART_BYTES,
		.self = *self,
		.log = m->log,
		.callbacks = {m, on_map, on_live, on_lease, on_proposed, on_failed},
		.ops = {m, request, wake},
	};

	snprintf(config.root, sizeof(config.root), "%s", m->spec.root);
	m->logic = zk_logic_create(&config);
}

static int member_create(const char *spec, const struct node_info *self, struct ev_loop *loop, const struct log *log,
                         const struct member_callbacks *callbacks, struct member **ret, char text[512])
{
	struct member *m = xcalloc(1, sizeof(*m));
	int err = zk_spec_parse(spec, &m->spec, text);

	m->seed = self->incarnation;

	if (!err)
		err = zk_spec_read_auth(&m->spec, text);
	if (!err)
		err = addresses_find(m, text);
	if (err) {
		free(m);
		return err;
	}
	m->callbacks = *callbacks;
	m->loop = loop;
	m->log = log;
	m->fd = -1;
	logic_create(m, self);
	zoo_set_debug_level((ZooLogLevel)0);
	ev_init(&m->io, on_io);
	ev_timer_init(&m->due, on_due, 0., 0.);
	ev_timer_init(&m->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
	ev_prepare_init(&m->soon, on_soon);
	m->io.data = m->due.data = m->tick.data = m->soon.data = m;
	*ret = m;
	return 0;
}

static int member_join(struct member *m, char text[512])
{
	m->joined = true;
	ev_timer_start(m->loop, &m->tick);
	wake(m);
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

const struct member_driver member_zookeeper = {
	.name = "zookeeper",
	.waits = true,
	.create = member_create,
	.join = member_join,
	.propose = member_propose,
	.update = member_update,
	.leave = member_leave,
	.destroy = member_destroy,
};

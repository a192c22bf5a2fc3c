/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_zk.h"

static struct zk_ensemble *ensemble(const struct world *w)
{
	return sim_member_engine(w);
}

uint64_t zk_delay(struct world *w)
{
	return draw_skewed(w, 100, MIN(w->profile.notify_max_us, 30000u));
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool reaches(const struct world *w, uint32_t node)
{
	return sim_net_reaches(w, SIM_SERVICE, node) && sim_net_reaches(w, node, SIM_SERVICE);
}

bool zk_server_counts(const struct zk_server *s)
{
	return s->up && !s->cut;
}

/* ---- To clients ---- */

void zk_message_free(void *arg)
{
	struct zk_message *m = arg;

	for (uint32_t i = 0; i < m->answer.name_count; i++)
		free(m->names[i]);
	free(m->names);
	free(m->data);
	free(m);
}

static void message_send(struct world *w, struct zk_conn *c, struct zk_message *m)
{
	struct zk_ensemble *e = ensemble(w);

	m->node = c->node;
	m->life = c->life;
	m->conn = c->id;
	m->zxid = e->servers[c->server].applied;
	c->down_us = later(c->down_us, w->now_us + zk_delay(w));
	world_after(w, c->down_us - w->now_us, zk_client_hears, m, zk_message_free);
}

static struct zk_message *message_create(enum zk_word word)
{
	struct zk_message *m = xcalloc(1, sizeof(*m));

	m->word = word;
	return m;
}

static void conn_close(struct world *w, struct zk_conn *c)
{
	if (c->closed)
		return;
	c->closed = true;
	message_send(w, c, message_create(WORD_RESET));
}

void zk_server_drop_conns(struct world *w, uint32_t server)
{
	struct zk_ensemble *e = ensemble(w);

	for (uint64_t i = 0; i < e->conn_count; i++)
		if (e->conns[i]->server == server)
			conn_close(w, e->conns[i]);
}

/* ---- The tree, by transactions ---- */

static bool lives_at(const struct znode *z, uint64_t zxid)
{
	return z->created <= zxid && (!z->deleted || z->deleted > zxid);
}

static struct znode *znode_find(struct zk_ensemble *e, const char *path, uint64_t zxid)
{
	for (uint32_t i = e->znode_count; i-- > 0;)
		if (lives_at(&e->znodes[i], zxid) && !strcmp(e->znodes[i].path, path))
			return &e->znodes[i];
	return NULL;
}

static void conn_run(struct world *w, struct zk_conn *c);

static bool is_child(const char *path, const char *parent)
{
	size_t len = strlen(parent);

	return !strncmp(path, parent, len) && path[len] == '/' && !strchr(path + len + 1, '/');
}

static void watches_fire(struct world *w, uint32_t server, const struct zk_txn *t)
{
	struct zk_ensemble *e = ensemble(w);
	const char *path = t->type == TXN_NOTHING ? "" : e->znodes[t->znode].path;

	for (uint64_t i = 0; *path && i < e->conn_count; i++) {
		struct zk_conn *c = e->conns[i];
		struct zk_message *m;

		if (c->closed || c->server != server)
			continue;
		if (t->type == TXN_CREATED && !strcmp(c->watch_exists, path)) {
			c->watch_exists[0] = '\0';
			m = message_create(WORD_WATCH);
			strcpy(m->path, path);
			message_send(w, c, m);
		}
		if (c->watch_children && is_child(path, c->children_path)) {
			c->watch_children = false;
			m = message_create(WORD_WATCH);
			strcpy(m->path, c->children_path);
			message_send(w, c, m);
		}
	}
}

void zk_server_apply(struct world *w, uint32_t server, uint64_t zxid)
{
	struct zk_ensemble *e = ensemble(w);

	while (e->servers[server].applied < zxid)
		watches_fire(w, server, &e->txns[++e->servers[server].applied]);
}

struct apply_turn {
	uint32_t server, reign;
	uint64_t zxid;
};

static void apply_arrives(struct world *w, void *arg)
{
	struct apply_turn *t = arg;
	struct zk_server *s = &ensemble(w)->servers[t->server];

	if (zk_server_counts(s) && s->reign == t->reign)
		zk_server_apply(w, t->server, t->zxid);
	free(t);
}

/* Committed: every server that can be reached hears of it by and by. */
static uint64_t txn_append(struct world *w, enum zk_txn_type type, uint32_t znode)
{
	struct zk_ensemble *e = ensemble(w);

	if (e->zxid + 2 > e->txn_capacity) {
		e->txn_capacity = MAX(2 * e->txn_capacity, 256u);
		e->txns = xrealloc(e->txns, e->txn_capacity * sizeof(*e->txns));
	}
	e->txns[++e->zxid] = (struct zk_txn){.type = type, .znode = znode};
	for (uint32_t i = 0; i < e->server_count; i++) {
		struct apply_turn *t;

		if (!zk_server_counts(&e->servers[i]))
			continue;
		t = xcalloc(1, sizeof(*t));
		*t = (struct apply_turn){.server = i, .reign = e->servers[i].reign, .zxid = e->zxid};
		world_after(w, zk_delay(w), apply_arrives, t, free);
	}
	return e->zxid;
}

static uint64_t znode_delete(struct world *w, struct znode *z)
{
	struct zk_ensemble *e = ensemble(w);
	uint32_t i = (uint32_t)(z - e->znodes);

	return z->deleted = txn_append(w, TXN_DELETED, i);
}

/* What the driver's codec wrote: see struct map_head of sheep/member/zk_register.c. */
static void map_won(struct world *w, const struct znode *z)
{
	struct zk_ensemble *e = ensemble(w);
	const struct map *before = sim_member_map(w);
	uint32_t len, parts;
	uint64_t nonce;
	uint8_t *body;
	struct map *map;
	size_t at = 0;

	memcpy(&len, z->data + 12, 4);
	memcpy(&nonce, z->data + 16, 8);
	memcpy(&parts, z->data + 24, 4);
	body = xmalloc(le32toh(len) + 1);
	if (!parts)
		memcpy(body, z->data + 32, at = le32toh(len));
	for (uint32_t i = 0; i < le32toh(parts); i++) {
		char path[ZK_PATH_LEN];
		const struct znode *part;

		snprintf(path, sizeof(path), "/sheepfold/parts/part.%016llx.%04x", (unsigned long long)le64toh(nonce), i);
		part = znode_find(e, path, e->zxid);
		if (!part || at + part->len > le32toh(len)) {
			world_fail(w, "map %s won without its part %u", z->path, i);
			free(body);
			return;
		}
		memcpy(body + at, part->data, part->len);
		at += part->len;
	}
	if (at != le32toh(len) || map_decode(body, at, &map) < 0) {
		world_fail(w, "%s is no map", z->path);
	} else {
		if (map->epoch != (before ? before->epoch + 1 : 1))
			world_fail(w, "epoch %u won after %u", map->epoch, before ? before->epoch : 0);
		sim_member_install(w, map);
		map_unref(map);
	}
	free(body);
}

static uint64_t znode_create(struct world *w, const struct zk_request *r, uint64_t session)
{
	struct zk_ensemble *e = ensemble(w);
	struct znode *z;

	if (e->znode_count == e->znode_capacity) {
		e->znode_capacity = MAX(2 * e->znode_capacity, 64u);
		e->znodes = xrealloc(e->znodes, e->znode_capacity * sizeof(*e->znodes));
	}
	z = &e->znodes[e->znode_count++];
	*z = (struct znode){.data = xmemdup(r->data, r->len), .len = r->len};
	snprintf(z->path, sizeof(z->path), "%s", r->path);
	z->session = r->op == ZK_CREATE_EPHEMERAL ? session : 0;
	z->created = txn_append(w, TXN_CREATED, e->znode_count - 1);
	if (strstr(r->path, "/maps/map."))
		map_won(w, &e->znodes[e->znode_count - 1]);
	return e->zxid;
}

static bool parent_lives(struct zk_ensemble *e, const char *path)
{
	char parent[ZK_PATH_LEN];

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	return !*parent || znode_find(e, parent, e->zxid);
}

/* At the leader. Errors are transactions too: the answer follows all that was before. */
static enum zk_result commit(struct world *w, const struct zk_request *r, uint64_t session)
{
	struct zk_ensemble *e = ensemble(w);
	struct znode *z = znode_find(e, r->path, e->zxid);
	bool create = r->op == ZK_CREATE || r->op == ZK_CREATE_EPHEMERAL;
	enum zk_result result = create ? (z ? ZK_NODE_EXISTS : parent_lives(e, r->path) ? ZK_OK : ZK_NO_NODE)
	                               : (z ? ZK_OK : ZK_NO_NODE);

	if (result == ZK_OK && create)
		znode_create(w, r, session);
	else if (result == ZK_OK && r->op == ZK_DELETE)
		znode_delete(w, z);
	else
		txn_append(w, TXN_NOTHING, 0);
	return result;
}

/* ---- Requests ---- */

static void pending_free(struct zk_pending *p)
{
	free((char *)p->request.path);
	free((uint8_t *)p->request.data);
	free(p);
}

struct write_turn {
	uint64_t conn, zxid;
	uint32_t reign;
	enum zk_result result;
	struct zk_pending *pending;
};

static void write_turn_free(void *arg)
{
	struct write_turn *t = arg;

	pending_free(t->pending);
	free(t);
}

/* The server has applied it: its client is told. */
static void write_over(struct world *w, void *arg)
{
	struct write_turn *t = arg;
	struct zk_ensemble *e = ensemble(w);
	struct zk_conn *c = e->conns[t->conn - 1];
	struct zk_server *s = &e->servers[c->server];

	if (zk_server_counts(s) && s->reign == t->reign && !c->closed) {
		struct zk_message *m = message_create(WORD_ANSWER);

		zk_server_apply(w, c->server, t->zxid);
		m->answer.tag = t->pending->request.tag;
		m->answer.result = t->result;
		message_send(w, c, m);
		c->busy = false;
		conn_run(w, c);
	}
	write_turn_free(t);
}

static void write_arrives(struct world *w, void *arg)
{
	struct write_turn *t = arg;
	struct zk_ensemble *e = ensemble(w);
	struct zk_conn *c = e->conns[t->conn - 1];
	struct zk_server *s = &e->servers[c->server];
	struct zk_session *session = &e->sessions[c->session - 1];

	/* The session has ended, or moved to another connection, or there is nobody to commit. */
	if (!e->quorum || !zk_server_counts(s) || s->reign != t->reign || !session->open || session->conn != c->id) {
		write_turn_free(t);
		return;
	}
	t->result = commit(w, &t->pending->request, c->session);
	t->zxid = e->zxid;
	world_after(w, zk_delay(w), write_over, t, write_turn_free);
}

static void children_list(struct zk_ensemble *e, const char *parent, uint64_t zxid, struct zk_message *m)
{
	m->names = xcalloc(e->znode_count + 1, sizeof(*m->names));
	for (uint32_t i = 0; i < e->znode_count; i++)
		if (lives_at(&e->znodes[i], zxid) && is_child(e->znodes[i].path, parent))
			m->names[m->answer.name_count++] = xstrdup(strrchr(e->znodes[i].path, '/') + 1);
}

static void read_answer(struct world *w, struct zk_conn *c, const struct zk_request *r)
{
	struct zk_ensemble *e = ensemble(w);
	uint64_t at = e->servers[c->server].applied;
	struct znode *z = znode_find(e, r->path, at);
	struct zk_message *m = message_create(WORD_ANSWER);

	m->answer.tag = r->tag;
	m->answer.result = z ? ZK_OK : ZK_NO_NODE;
	if (r->op == ZK_GET && z) {
		m->data = xmemdup(z->data, z->len);
		m->answer.len = z->len;
	} else if (r->op == ZK_EXISTS_WATCH && !z) {
		snprintf(c->watch_exists, sizeof(c->watch_exists), "%s", r->path);
	} else if (r->op == ZK_CHILDREN_WATCH && z) {
		c->watch_children = true;
		snprintf(c->children_path, sizeof(c->children_path), "%s", r->path);
		children_list(e, r->path, at, m);
	}
	message_send(w, c, m);
}

static void conn_run(struct world *w, struct zk_conn *c)
{
	struct zk_pending *p;

	while (!c->busy && !c->closed && (p = c->first)) {
		enum zk_op op = p->request.op;

		c->first = p->next;
		if (!c->first)
			c->last = &c->first;
		if (op == ZK_GET || op == ZK_EXISTS_WATCH || op == ZK_CHILDREN_WATCH) {
			read_answer(w, c, &p->request);
			pending_free(p);
		} else {
			struct write_turn *t = xcalloc(1, sizeof(*t));

			*t = (struct write_turn){.conn = c->id, .pending = p,
			                         .reign = ensemble(w)->servers[c->server].reign};
			c->busy = true;
			world_after(w, zk_delay(w), write_arrives, t, write_turn_free);
		}
	}
}

/* ---- From clients ---- */

enum up_word { UP_HELLO, UP_PING, UP_REQUEST, UP_CLOSE };
struct up_turn {
	enum up_word word;
	uint64_t conn, session, seen;
	struct zk_pending *pending;
};

static void up_free(void *arg)
{
	struct up_turn *t = arg;

	if (t->pending)
		pending_free(t->pending);
	free(t);
}

static void up_hello(struct world *w, struct zk_conn *c, const struct up_turn *t)
{
	struct zk_ensemble *e = ensemble(w);
	struct zk_message *m;

	if (!e->quorum || e->servers[c->server].applied < t->seen) {
		conn_close(w, c);
		return;
	}
	c->session = t->session;
	if (!c->session) {
		c->session = ++e->session_count;
		e->sessions = xrealloc(e->sessions, e->session_count * sizeof(*e->sessions));
		e->sessions[c->session - 1] = (struct zk_session){.open = true, .touched_us = w->now_us};
	}
	if (!e->sessions[c->session - 1].open) {
		message_send(w, c, message_create(WORD_EXPIRED));
		c->closed = true;
		return;
	}
	/* The leader is asked about the session, and so hears of it. */
	e->sessions[c->session - 1].touched_us = w->now_us;
	e->sessions[c->session - 1].conn = c->id;
	m = message_create(WORD_ACCEPTED);
	m->session = c->session;
	message_send(w, c, m);
}

void zk_session_end(struct world *w, uint64_t id)
{
	struct zk_ensemble *e = ensemble(w);

	e->sessions[id - 1].open = false;
	for (uint32_t i = 0; i < e->znode_count; i++)
		if (e->znodes[i].session == id && !e->znodes[i].deleted)
			znode_delete(w, &e->znodes[i]);
}

static void up_arrives(struct world *w, void *arg)
{
	struct up_turn *t = arg;
	struct zk_ensemble *e = ensemble(w);
	struct zk_conn *c = e->conns[t->conn - 1];
	struct zk_server *s = &e->servers[c->server];

	if (!reaches(w, c->node))
		c->broken = true;
	if (c->broken || c->closed) {
		up_free(t);
		return;
	}
	if (!s->up || (t->word == UP_HELLO && s->cut)) {
		conn_close(w, c);
		up_free(t);
		return;
	}
	if (c->session && s->up)
		e->sessions[c->session - 1].pending_us[c->server] = MAX(w->now_us, 1u);
	switch (t->word) {
	case UP_HELLO:
		up_hello(w, c, t);
		break;
	case UP_PING:
		message_send(w, c, message_create(WORD_PONG));
		break;
	case UP_REQUEST:
		*c->last = t->pending;
		c->last = &t->pending->next;
		t->pending = NULL;
		conn_run(w, c);
		break;
	case UP_CLOSE:
		if (e->quorum && zk_server_counts(s) && e->sessions[c->session - 1].open)
			zk_session_end(w, c->session);
		c->closed = true;
		break;
	}
	up_free(t);
}

static void up_send(struct world *w, struct zk_conn *c, struct up_turn *t)
{
	t->conn = c->id;
	c->up_us = later(c->up_us, w->now_us + zk_delay(w));
	world_after(w, c->up_us - w->now_us, up_arrives, t, up_free);
}

struct zk_conn *zk_connect(struct world *w, uint32_t node, uint32_t life, uint32_t server)
{
	struct zk_ensemble *e = ensemble(w);
	struct zk_conn *c = xcalloc(1, sizeof(*c));

	e->conns = xrealloc(e->conns, (e->conn_count + 1) * sizeof(*e->conns));
	e->conns[e->conn_count++] = c;
	c->id = e->conn_count;
	c->node = node;
	c->life = life;
	c->server = server;
	c->last = &c->first;
	return c;
}

void zk_send_hello(struct world *w, struct zk_conn *c, uint64_t session, uint64_t seen)
{
	struct up_turn *t = xcalloc(1, sizeof(*t));

	*t = (struct up_turn){.word = UP_HELLO, .session = session, .seen = seen};
	up_send(w, c, t);
}

void zk_send_ping(struct world *w, struct zk_conn *c)
{
	struct up_turn *t = xcalloc(1, sizeof(*t));

	t->word = UP_PING;
	up_send(w, c, t);
}

void zk_send_close(struct world *w, struct zk_conn *c)
{
	struct up_turn *t = xcalloc(1, sizeof(*t));

	t->word = UP_CLOSE;
	up_send(w, c, t);
}

void zk_send_request(struct world *w, struct zk_conn *c, const struct zk_request *r)
{
	struct up_turn *t = xcalloc(1, sizeof(*t));

	t->word = UP_REQUEST;
	t->pending = xcalloc(1, sizeof(*t->pending));
	t->pending->request = *r;
	t->pending->request.path = xstrdup(r->path);
	t->pending->request.data = xmemdup(r->data, r->len);
	up_send(w, c, t);
}

/* ---- */

struct zk_ensemble *zk_ensemble_create(struct world *w)
{
	struct zk_ensemble *e = xcalloc(1, sizeof(*e));

	e->server_count = 1 + 2 * (uint32_t)draw_below(w, 3);
	e->quorum = true;
	e->part_bytes = draw_below(w, 3) ? ZK_PART_BYTES : (uint32_t)draw_between(w, 100, 2000);
	for (uint32_t i = 0; i < e->server_count; i++)
		e->servers[i].up = true;
	world_after(w, 1000, zk_ensemble_tick, NULL, NULL);
	return e;
}

void zk_ensemble_destroy(struct zk_ensemble *e)
{
	for (uint32_t i = 0; i < e->znode_count; i++)
		free(e->znodes[i].data);
	for (uint64_t i = 0; i < e->conn_count; i++) {
		for (struct zk_pending *p; (p = e->conns[i]->first);) {
			e->conns[i]->first = p->next;
			pending_free(p);
		}
		free(e->conns[i]);
	}
	free(e->conns);
	free(e->znodes);
	free(e->txns);
	free(e->sessions);
	free(e);
}

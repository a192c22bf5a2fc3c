/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client_fake.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/place/place.h"
#include "lib/wire/codec.h"
#include "lib/wire/sheepfold.pb-c.h"

enum { OBJECT_MAX = 16 << 20 };

/* ---- Objects (with the lock) ---- */

static struct fake_object **object_slot(struct fake *f, uint32_t pool, uint64_t oid)
{
	struct fake_object **at = &f->objects;

	/* Sorted by oid, as listings are. */
	while (*at && ((*at)->oid < oid || ((*at)->oid == oid && (*at)->pool < pool)))
		at = &(*at)->next;
	return at;
}

static struct fake_object *object_find(struct fake *f, uint32_t pool, uint64_t oid)
{
	struct fake_object *o = *object_slot(f, pool, oid);

	return o && o->oid == oid && o->pool == pool ? o : NULL;
}

static struct fake_object *object_make(struct fake *f, uint32_t pool, uint64_t oid, uint32_t len)
{
	struct fake_object **at = object_slot(f, pool, oid), *o = object_find(f, pool, oid);

	if (!o) {
		o = xcalloc(1, sizeof(*o));
		*o = (struct fake_object){.next = *at, .pool = pool, .oid = oid};
		*at = o;
	}
	if (len > o->len) {
		o->data = xrealloc(o->data, len);
		memset(o->data + o->len, 0, len - o->len);
		o->len = len;
	}
	o->version = ++f->versions; /* whoever makes it changes it */
	return o;
}

static void object_remove(struct fake *f, uint32_t pool, uint64_t oid)
{
	struct fake_object **at = object_slot(f, pool, oid), *o = object_find(f, pool, oid);

	if (!o)
		return;
	*at = o->next;
	free(o->data);
	free(o);
}

void fake_put(struct fake *f, uint32_t pool, uint64_t oid, uint32_t off, const void *data,
              uint32_t len)
{
	pthread_mutex_lock(&f->lock);
	memcpy(object_make(f, pool, oid, off + len)->data + off, data, len);
	pthread_mutex_unlock(&f->lock);
}

void fake_drop(struct fake *f, uint32_t pool, uint64_t first, uint64_t last)
{
	pthread_mutex_lock(&f->lock);
	for (struct fake_object *o = f->objects, *next; o; o = next) {
		next = o->next;
		if (o->pool == pool && o->oid >= first && o->oid <= last)
			object_remove(f, pool, o->oid);
	}
	pthread_mutex_unlock(&f->lock);
}

bool fake_has(struct fake *f, uint32_t pool, uint64_t oid)
{
	bool has;

	pthread_mutex_lock(&f->lock);
	has = object_find(f, pool, oid) != NULL;
	pthread_mutex_unlock(&f->lock);
	return has;
}

uint32_t fake_count(struct fake *f, uint32_t pool)
{
	uint32_t count = 0;

	pthread_mutex_lock(&f->lock);
	for (struct fake_object *o = f->objects; o; o = o->next)
		count += o->pool == pool;
	pthread_mutex_unlock(&f->lock);
	return count;
}

/* ---- Requests (with the lock) ---- */

static bool is_primary(struct fake *f, uint32_t node, const struct msg *m, uint32_t pg)
{
	const struct map_pool *pool = map_find_pool(f->map, m->pool);
	const uint64_t *slots = placement_slots(f->placement, m->pool, pg);

	for (uint32_t i = 0; slots && pool && i < pool->k + pool->m; i++) {
		const struct map_disk *d =
			slots[i] == NO_DISK ? NULL : map_find_disk(f->map, slots[i]);

		if (d && map_disk_up(f->map, d))
			return d->node == f->nodes[node].id;
	}
	return false;
}

static bool was_applied(struct fake *f, const struct msg *m)
{
	for (uint32_t i = 0; i < f->applied_count && i < FAKE_REMEMBERED; i++)
		if (f->applied[i].client == m->req.client && f->applied[i].seq == m->req.seq)
			return true;
	f->applied[f->applied_count++ % FAKE_REMEMBERED] = m->req;
	return false;
}

static uint32_t serve_change(struct fake *f, const struct msg *m, struct msg *reply)
{
	uint32_t len = payload_len(&m->payload);
	struct fake_object *o = object_find(f, m->pool, m->oid);
	uint64_t stands = o ? o->version : 0;

	if (m->req.client == 0 || m->offset + m->length + len > OBJECT_MAX)
		return RES_INVALID;
	if (m->type == MSG_OBJ_WRITE && (m->flags & MSG_F_EXCL) &&
	    object_find(f, m->pool, m->oid) && f->applied_count == 0)
		return RES_EXISTS;
	if (was_applied(f, m)) {
		f->retries_of_applied++;
		return RES_OK;
	}
	if (m->type == MSG_OBJ_WRITE && (m->flags & MSG_F_EXCL) &&
	    object_find(f, m->pool, m->oid)) {
		f->applied_count--;
		return RES_EXISTS;
	}
	if (f->cut && f->cut_after == 0) {
		f->applied_count--;
		return RES_DENIED;
	}
	f->cut_after -= f->cut_after > 0;
	if ((m->flags & MSG_F_IF) && m->base != stands) {
		f->applied_count--;
		reply->version = stands;
		return RES_CHANGED;
	}
	if (m->type == MSG_OBJ_DELETE) {
		object_remove(f, m->pool, m->oid);
	} else if (m->type == MSG_OBJ_ZERO) {
		o = object_find(f, m->pool, m->oid);
		if (o)
			o->version = ++f->versions;
		for (uint64_t i = m->offset; o && i < m->offset + m->length && i < o->len; i++)
			o->data[i] = 0;
	} else {
		o = object_make(f, m->pool, m->oid, (uint32_t)m->offset + len);
		payload_copy_out(&m->payload, 0, o->data + m->offset, len);
		reply->version = o->version;
		f->writes++;
		f->map_writes += m->pool == POOL_META && m->offset >= 4096;
	}
	return RES_OK;
}

static void serve_read(struct fake *f, const struct msg *m, struct msg *reply)
{
	struct fake_object *o = object_find(f, m->pool, m->oid);
	struct slice slice;
	struct buf *buf;

	f->reads++;
	if (!o) {
		reply->flags = MSG_F_ZEROS | MSG_F_ABSENT;
		reply->length = m->length;
		return;
	}
	reply->version = o->version;
	buf = buf_get(NULL, (uint32_t)m->length);
	memset(buf->data, 0, m->length);
	if (m->offset < o->len)
		memcpy(buf->data, o->data + m->offset,
		       m->length < o->len - m->offset ? m->length : o->len - m->offset);
	slice = slice_make(buf, 0, (uint32_t)m->length);
	payload_add(&reply->payload, &slice);
	buf_unref(buf);
}

static void serve_list(struct fake *f, const struct msg *m, struct msg *reply)
{
	const struct map_pool *pool = map_find_pool(f->map, m->pool);

	reply->entries = xcalloc(2, sizeof(reply->entries[0]));
	for (struct fake_object *o = f->objects; o; o = o->next) {
		if (o->pool != m->pool || place_pg_of(pool, o->oid) != m->pg)
			continue;
		if (!(m->flags & MSG_F_FIRST) && o->oid <= m->oid)
			continue;
		/* Two at a time, so that listings go on often. */
		if (reply->entry_count == 2) {
			reply->flags = MSG_F_MORE;
			return;
		}
		reply->entries[reply->entry_count++] =
			(struct shard_entry){.oid = o->oid, .version = 1, .size = o->len};
	}
}

static void serve_map(struct fake *f, const struct msg *m, struct msg *reply)
{
	size_t len;

	if (m->offset != 0 && m->offset != f->map->epoch) {
		reply->result = RES_NOENT;
		return;
	}
	map_encode(f->map, &reply->blob, &len);
	reply->blob_len = (uint32_t)len;
}

static bool is_late(struct fake *f, const struct msg *m)
{
	bool header = m->pool == POOL_META && m->oid >> 60 == 8 && m->offset == 0;

	if (!f->late || m->type != MSG_OBJ_WRITE || !(f->late_data ? m->pool != POOL_META : header))
		return false;
	if (!f->late_req.seq && f->late_after-- == 0)
		f->late_req = m->req;
	return m->req.client == f->late_req.client && m->req.seq == f->late_req.seq;
}

static void serve_object(struct fake *f, uint32_t node, const struct msg *m, struct msg *reply)
{
	const struct map_pool *pool = map_find_pool(f->map, m->pool);
	uint32_t pg = m->type == MSG_OBJ_LIST || !pool ? m->pg : place_pg_of(pool, m->oid);

	reply->epoch = f->map->epoch;
	if (m->epoch != f->map->epoch)
		reply->result = RES_STALE;
	else if (!is_primary(f, node, m, pg))
		reply->result = RES_NOT_PRIMARY;
	else if ((m->pool == POOL_META && f->meta_again) || is_late(f, m))
		reply->result = RES_AGAIN;
	else if (m->pool != POOL_META && f->answer_again > 0 && f->answer_again--)
		reply->result = RES_AGAIN;
	else if (m->pool != POOL_META && f->answer_nospace > 0 && f->answer_nospace--)
		reply->result = RES_NOSPACE;
	else if (m->pool != POOL_META && f->data_lost)
		reply->result = RES_LOST;
	else if (m->type == MSG_OBJ_READ)
		serve_read(f, m, reply);
	else if (m->type == MSG_OBJ_LIST)
		serve_list(f, m, reply);
	else if (m->type == MSG_OBJ_CHECK)
		reply->check = (struct check_counts){.shards = pool->k + pool->m};
	else
		reply->result = serve_change(f, m, reply);
}

static void map_change(struct fake *f, const struct map_event *ev)
{
	struct map *next = map_apply(f->map, ev);

	if (!next)
		return;
	map_unref(f->map);
	placement_destroy(f->placement);
	f->map = next;
	f->placement = placement_create(next);
}

/* POOL: the one thing that an operator may ask for here. */
static void serve_admin(struct fake *f, const struct msg *m, struct msg *reply)
{
	Sf__AdminRequest *a = sf__admin_request__unpack(NULL, m->blob_len, m->blob);
	struct map_event ev = {.type = MAP_EV_POOL, .now_s = 1700000200};

	if (!a || a->verb != SF__ADMIN_REQUEST__VERB__POOL) {
		if (a)
			sf__admin_request__free_unpacked(a, NULL);
		return;
	}
	ev.k = a->k;
	ev.m = a->m;
	ev.object_shift = a->object_shift;
	map_change(f, &ev);
	for (uint32_t i = 0; i < f->map->pool_count; i++) {
		const struct map_pool *p = &f->map->pools[i];

		if (p->id != POOL_META && p->k == a->k && p->m == a->m)
			reply->length = p->id;
	}
	sf__admin_request__free_unpacked(a, NULL);
}

static struct msg *serve(struct fake *f, uint32_t node, const struct msg *m)
{
	struct msg *reply = msg_create_reply(m, RES_OK);

	switch (m->type) {
	case MSG_HELLO:
		reply->version_min = PROTOCOL_VERSION_MIN;
		reply->version_max = PROTOCOL_VERSION_MAX;
		reply->cluster = f->map->cluster;
		reply->node = f->nodes[node].id;
		break;
	case MSG_GET_MAP:
		serve_map(f, m, reply);
		break;
	case MSG_ADMIN:
		serve_admin(f, m, reply);
		break;
	case MSG_STATUS:
		break;
	default:
		serve_object(f, node, m, reply);
	}
	return reply;
}

/* ---- Sockets ---- */

static bool recv_all(int fd, void *data, size_t len)
{
	return len == 0 || recv(fd, data, len, MSG_WAITALL) == (ssize_t)len;
}

static bool frame_recv(int fd, struct msg *ret)
{
	uint8_t fixed[FRAME_FIXED_LEN], *head;
	struct frame_sizes sizes;
	struct buf *payload = NULL;
	size_t len;
	bool ok;

	if (!recv_all(fd, fixed, sizeof(fixed)) || frame_peek(fixed, &sizes) < 0)
		return false;
	len = sizeof(fixed) + sizes.header_len + 4 * (size_t)sizes.crc_count;
	head = xmalloc(len);
	memcpy(head, fixed, sizeof(fixed));
	if (sizes.payload_len)
		payload = buf_get(NULL, sizes.payload_len);
	ok = recv_all(fd, head + sizeof(fixed), len - sizeof(fixed)) &&
	     (!payload || recv_all(fd, payload->data, sizes.payload_len)) &&
	     frame_decode(head, len, payload, ret) == 0;
	if (!ok)
		buf_unref(payload);
	free(head);
	return ok;
}

static bool frame_send(int fd, const struct msg *m, bool damage)
{
	uint32_t len, total = payload_len(&m->payload);
	uint8_t *head, *bytes;
	bool ok;

	frame_encode(m, &head, &len);
	bytes = xmalloc(len + total);
	memcpy(bytes, head, len);
	payload_copy_out(&m->payload, 0, bytes + len, total);
	if (damage && total)
		bytes[len + total / 2] ^= 1;
	ok = send(fd, bytes, len + total, MSG_NOSIGNAL) == (ssize_t)(len + total);
	free(head);
	free(bytes);
	return ok;
}

/* False: the connection is to be closed. */
static bool conn_serve_one(struct fake_conn *c)
{
	struct fake *f = c->fake;
	bool data, drop_before, drop_after, damage, silent, ok = true;
	struct msg m, *reply = NULL;

	if (!frame_recv(c->fd, &m))
		return false;
	pthread_mutex_lock(&f->lock);
	data = m.type >= MSG_OBJ_READ && m.type <= MSG_OBJ_DELETE && m.pool != POOL_META;
	drop_before = data && f->drop_before > 0 && f->drop_before--;
	silent = data && !drop_before && f->never_answer > 0 && f->never_answer--;
	if (!drop_before && !silent && f->nodes[c->node].up)
		reply = serve(f, c->node, &m);
	drop_after =
		data && reply && reply->result == RES_OK && f->drop_after > 0 && f->drop_after--;
	damage = data && reply && reply->payload.count && f->damage_payload > 0 &&
	         f->damage_payload--;
	pthread_mutex_unlock(&f->lock);
	if (drop_before || drop_after)
		ok = false;
	else if (reply)
		ok = frame_send(c->fd, reply, damage);
	msg_destroy(reply);
	msg_fini(&m);
	return ok;
}

static void *conn_main(void *arg)
{
	struct fake_conn *c = arg;

	while (conn_serve_one(c))
		;
	shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_lock(&c->fake->lock);
	c->ended = true;
	pthread_mutex_unlock(&c->fake->lock);
	return NULL;
}

static void conn_reap(struct fake_conn *c)
{
	if (!c->used || !c->ended)
		return;
	pthread_join(c->thread, NULL);
	close(c->fd);
	c->used = false;
}

static void *node_main(void *arg)
{
	struct fake_node *n = arg;
	struct fake *f = n->fake;
	int fd;

	while ((fd = accept(n->listen_fd, NULL, NULL)) >= 0) {
		uint32_t i = 0;
		int on = 1;

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		pthread_mutex_lock(&f->lock);
		for (; i < FAKE_CONNS; i++) {
			conn_reap(&f->conns[i]);
			if (!f->conns[i].used)
				break;
		}
		assert(i < FAKE_CONNS);
		f->conns[i] =
			(struct fake_conn){.fake = f, .node = n->index, .fd = fd, .used = true};
		pthread_create(&f->conns[i].thread, NULL, conn_main, &f->conns[i]);
		pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

static void node_listen(struct fake *f, uint32_t i)
{
	struct fake_node *n = &f->nodes[i];
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);

	*n = (struct fake_node){.fake = f, .index = i, .id = 100 + i, .up = true, .running = true};
	n->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert(bind(n->listen_fd, (struct sockaddr *)&sa, len) == 0 &&
	       listen(n->listen_fd, 64) == 0);
	assert(getsockname(n->listen_fd, (struct sockaddr *)&sa, &len) == 0);
	n->port = ntohs(sa.sin_port);
}

void fake_start(struct fake *f, uint32_t k, uint32_t m)
{
	struct format_options opt = {
		.cluster = 77, .now_s = 1700000000, .k = k, .m = m, .object_shift = 20};
	struct node_info *infos = xcalloc(FAKE_NODES, sizeof(*infos));
	char text[FORMAT_TEXT_LEN];

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	for (uint32_t i = 0; i < FAKE_NODES; i++) {
		node_listen(f, i);
		infos[i] = (struct node_info){
			.id = f->nodes[i].id,
			.incarnation = 1,
			.port = f->nodes[i].port,
			.zone = i,
			.disk_count = 1,
		};
		strcpy(infos[i].addr, "127.0.0.1");
		infos[i].disks[0].id = 1000 + i;
		infos[i].disks[0].weight = 10;
	}
	assert(map_format(&opt, infos, FAKE_NODES, &f->map, text) == 0);
	free(infos);
	f->placement = placement_create(f->map);
	for (uint32_t i = 0; i < FAKE_NODES; i++)
		pthread_create(&f->nodes[i].thread, NULL, node_main, &f->nodes[i]);
}

void fake_notice(struct fake *f, uint32_t node)
{
	struct map_event ev = {.type = MAP_EV_DOWN, .now_s = 1700000100, .node = f->nodes[node].id};

	pthread_mutex_lock(&f->lock);
	map_change(f, &ev);
	pthread_mutex_unlock(&f->lock);
}

void fake_kill(struct fake *f, uint32_t node, bool noticed)
{
	struct fake_node *n = &f->nodes[node];

	if (!n->running)
		return;
	if (noticed)
		fake_notice(f, node);
	pthread_mutex_lock(&f->lock);
	n->running = n->up = false;
	pthread_mutex_unlock(&f->lock);
	shutdown(n->listen_fd, SHUT_RDWR);
	pthread_join(n->thread, NULL);
	close(n->listen_fd);
	for (uint32_t i = 0; i < FAKE_CONNS; i++) {
		struct fake_conn *c = &f->conns[i];

		if (!c->used || c->node != node)
			continue;
		shutdown(c->fd, SHUT_RDWR);
		pthread_join(c->thread, NULL);
		close(c->fd);
		c->used = false;
	}
}

void fake_stop(struct fake *f)
{
	for (uint32_t i = 0; i < FAKE_NODES; i++)
		fake_kill(f, i, false);
	while (f->objects)
		object_remove(f, f->objects->pool, f->objects->oid);
	map_unref(f->map);
	placement_destroy(f->placement);
	pthread_mutex_destroy(&f->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { SIZE_MAX_MODEL = 1 << 19, SHARDS_MAX = 512, PGS_MAX = 16 };

/* One version of a shard. is_data tells written bytes from holes. */
struct side {
	uint64_t version;
	uint32_t stood;
	bool tombstone;
	uint32_t len;
	uint8_t *bytes, *is_data;
};
struct mshard {
	uint32_t pool, pg, shard;
	uint64_t oid;
	struct side committed, pending;
};
struct mpg {
	uint32_t pool, pg;
	struct pg_info info;
	struct log_entry log[PG_LOG_MAX + 1];
	uint32_t log_count;
};
struct model {
	struct mshard shards[SHARDS_MAX]; /* in key order */
	uint32_t count;
	struct mpg pgs[PGS_MAX];
	uint32_t pg_count;
};

struct model *model_create(void)
{
	return xcalloc(1, sizeof(struct model));
}

static void side_fini(struct side *s)
{
	free(s->bytes);
	free(s->is_data);
	memset(s, 0, sizeof(*s));
}

static void side_copy(struct side *dst, const struct side *src)
{
	*dst = *src;
	dst->bytes = xmemdup(src->bytes, src->len);
	dst->is_data = xmemdup(src->is_data, src->len);
}

struct model *model_clone(const struct model *m)
{
	struct model *c = xmemdup(m, sizeof(*m));

	for (uint32_t i = 0; i < m->count; i++) {
		side_copy(&c->shards[i].committed, &m->shards[i].committed);
		side_copy(&c->shards[i].pending, &m->shards[i].pending);
	}
	return c;
}

void model_destroy(struct model *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		side_fini(&m->shards[i].committed);
		side_fini(&m->shards[i].pending);
	}
	free(m);
}

static int key_cmp(const struct mshard *s, const struct msg *r)
{
	if (s->pool != r->pool)
		return s->pool < r->pool ? -1 : 1;
	if (s->pg != r->pg)
		return s->pg < r->pg ? -1 : 1;
	if (s->oid != r->oid)
		return s->oid < r->oid ? -1 : 1;
	return s->shard == r->shard ? 0 : s->shard < r->shard ? -1 : 1;
}

static uint32_t position(const struct model *m, const struct msg *r)
{
	uint32_t i = 0;

	while (i < m->count && key_cmp(&m->shards[i], r) < 0)
		i++;
	return i;
}

static struct mshard *find(struct model *m, const struct msg *r)
{
	uint32_t i = position(m, r);
	return i < m->count && !key_cmp(&m->shards[i], r) ? &m->shards[i] : NULL;
}

static struct mshard *get(struct model *m, const struct msg *r)
{
	struct mshard *s = find(m, r);

	if (s)
		return s;
	uint32_t i = position(m, r);
	if (m->count == SHARDS_MAX)
		abort();
	memmove(&m->shards[i + 1], &m->shards[i], (m->count++ - i) * sizeof(m->shards[0]));
	m->shards[i] =
		(struct mshard){.pool = r->pool, .pg = r->pg, .oid = r->oid, .shard = r->shard};
	return &m->shards[i];
}

static void erase(struct model *m, struct mshard *s)
{
	uint32_t i = (uint32_t)(s - m->shards);

	side_fini(&s->committed);
	side_fini(&s->pending);
	m->count--;
	memmove(s, s + 1, (m->count - i) * sizeof(m->shards[0]));
}

static struct mpg *get_pg(struct model *m, const struct msg *r)
{
	for (uint32_t i = 0; i < m->pg_count; i++)
		if (m->pgs[i].pool == r->pool && m->pgs[i].pg == r->pg)
			return &m->pgs[i];
	if (m->pg_count == PGS_MAX)
		abort();
	m->pgs[m->pg_count] = (struct mpg){.pool = r->pool, .pg = r->pg};
	return &m->pgs[m->pg_count++];
}

static const struct side *newest(const struct mshard *s)
{
	return s->pending.version ? &s->pending : &s->committed;
}

static void commit_one(struct mshard *s)
{
	side_fini(&s->committed);
	s->committed = s->pending;
	memset(&s->pending, 0, sizeof(s->pending));
}

static void commit_up_to(struct model *m, const struct msg *r, uint64_t commit)
{
	for (uint32_t i = 0; i < m->count; i++) {
		struct mshard *s = &m->shards[i];
		if (s->pool == r->pool && s->pg == r->pg && s->pending.version &&
		    s->pending.version <= commit)
			commit_one(s);
	}
}

static void side_grow(struct side *s, uint32_t len)
{
	if (len <= s->len)
		return;
	s->bytes = xrealloc(s->bytes, len);
	s->is_data = xrealloc(s->is_data, len);
	memset(s->bytes + s->len, 0, len - s->len);
	memset(s->is_data + s->len, 0, len - s->len);
	s->len = len;
}

static void side_apply(struct side *s, const struct msg *r)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < r->range_count; i++) {
		const struct shard_range *g = &r->ranges[i];
		uint8_t *in = xcalloc(1, g->length + 1);
		side_grow(s, g->offset + g->length);
		if (g->op != RANGE_ZERO) {
			payload_copy_out(&r->payload, at, in, g->length);
			at += g->length;
		}
		for (uint32_t b = 0; b < g->length; b++) {
			uint32_t o = g->offset + b;
			s->bytes[o] = g->op == RANGE_XOR ? s->bytes[o] ^ in[b] : in[b];
			s->is_data[o] = g->op != RANGE_ZERO;
		}
		free(in);
	}
}

static void log_add(struct mpg *pg, const struct log_entry *e)
{
	uint32_t at = pg->log_count;

	while (at && pg->log[at - 1].version > e->version)
		at--;
	for (uint32_t i = at; i && pg->log[i - 1].version == e->version; i--)
		if (pg->log[i - 1].oid == e->oid)
			return;
	memmove(&pg->log[at + 1], &pg->log[at], (pg->log_count++ - at) * sizeof(*e));
	pg->log[at] = *e;
	if (pg->log_count <= PG_LOG_MAX)
		return;
	pg->info.floor = MAX(pg->info.floor, pg->log[0].version);
	memmove(&pg->log[0], &pg->log[1], --pg->log_count * sizeof(*e));
}

static void log_drop(struct mpg *pg, uint64_t version, uint64_t oid)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < pg->log_count; i++)
		if (pg->log[i].version != version || pg->log[i].oid != oid)
			pg->log[kept++] = pg->log[i];
	pg->log_count = kept;
}

static uint32_t prepare(struct model *m, const struct msg *r, struct msg *reply)
{
	struct log_entry e = {r->version, r->oid, r->req};
	bool whole = r->shard_flags & (SHARD_REPLACE | SHARD_DELETE);

	commit_up_to(m, r, r->commit);
	struct mshard *s = find(m, r);
	uint64_t have = s ? newest(s)->version : 0;
	reply->version = have;
	if (s && (s->committed.version == r->version || s->pending.version == r->version))
		return RES_OK;
	if (r->version <= have || r->version <= get_pg(m, r)->info.commit ||
	    (s && s->pending.version && s->pending.version != r->base))
		return RES_BASE;
	if (s && s->pending.version)
		commit_one(s);
	if (!whole && have != r->base)
		return RES_BASE;
	s = get(m, r);
	if (!whole && !s->committed.tombstone)
		side_copy(&s->pending, &s->committed);
	s->pending.version = r->version;
	s->pending.stood = version_epoch(r->version);
	s->pending.tombstone = r->shard_flags & SHARD_DELETE;
	if (!s->pending.tombstone)
		side_apply(&s->pending, r);
	log_add(get_pg(m, r), &e);
	reply->version = r->version;
	return RES_OK;
}

static void side_set(struct side *s, const struct msg *r)
{
	side_fini(s);
	s->version = r->version;
	s->stood = MAX(r->info.activated, version_epoch(r->version));
	s->tombstone = r->shard_flags & SHARD_DELETE;
	if (!s->tombstone)
		side_apply(s, r);
}

static uint32_t push_unstable(struct model *m, const struct msg *r)
{
	struct log_entry e = {r->version, r->oid, r->req};
	struct mshard *s = find(m, r);

	if (s && s->committed.version >= r->version)
		return RES_OK;
	if (s && s->pending.version == r->version) {
		s->pending.stood = MAX(s->pending.stood, r->info.activated);
		return RES_OK;
	}
	if (r->shard_flags & SHARD_ACCEPT)
		return RES_BASE;
	s = get(m, r);
	if (s->pending.version && s->pending.version == r->base)
		commit_one(s);
	else if (s->pending.version)
		log_drop(get_pg(m, r), s->pending.version, r->oid);
	side_set(&s->pending, r);
	log_add(get_pg(m, r), &e);
	return RES_OK;
}

static uint32_t push(struct model *m, const struct msg *r)
{
	struct mshard *s = find(m, r);

	if (r->shard_flags & SHARD_UNSTABLE)
		return push_unstable(m, r);
	if (s && s->committed.version >= r->version)
		return RES_OK;
	if (s && s->pending.version > r->version)
		return RES_BASE;
	s = get(m, r);
	if (s->pending.version && s->pending.version != r->version)
		log_drop(get_pg(m, r), s->pending.version, r->oid);
	side_fini(&s->pending);
	side_set(&s->committed, r);
	return RES_OK;
}

static uint32_t rollback(struct model *m, const struct msg *r)
{
	struct mshard *s = find(m, r);

	if (s && s->committed.version == r->version)
		return RES_BASE;
	if (!s || s->pending.version != r->version)
		return RES_OK;
	side_fini(&s->pending);
	if (!s->committed.version)
		erase(m, s);
	log_drop(get_pg(m, r), r->version, r->oid);
	return RES_OK;
}

static void entry_of(const struct mshard *s, struct shard_entry *e)
{
	const struct side *n = newest(s);

	*e = (struct shard_entry){
		.oid = s->oid,
		.shard = s->shard,
		.version = s->committed.version,
		.pending = s->pending.version,
		.stood = s->committed.stood,
		.pending_stood = s->pending.stood,
	};
	if (s->committed.tombstone)
		e->flags |= ENTRY_TOMBSTONE;
	if (s->pending.tombstone)
		e->flags |= ENTRY_PENDING_TOMBSTONE;
	for (uint32_t i = n->len; i && !e->size; i--)
		if (n->is_data[i - 1])
			e->size = i;
}

static uint32_t read_newest(struct model *m, const struct msg *r, struct msg *reply)
{
	struct mshard *s = find(m, r);

	reply->version = s ? newest(s)->version : 0;
	if (!s || newest(s)->tombstone)
		return RES_NOENT;
	const struct side *n = newest(s);
	uint8_t *dst = reply->payload.v[0].buf->data;
	memset(dst, 0, r->length);
	if (r->offset < n->len)
		memcpy(dst, n->bytes + r->offset, MIN(r->length, n->len - r->offset));
	return RES_OK;
}

static bool is_named(const struct msg *r, uint64_t oid)
{
	for (uint32_t i = 0; i < r->log_count; i++)
		if (r->log[i].oid == oid)
			return true;
	return false;
}

static void list(struct model *m, const struct msg *r, struct msg *reply)
{
	uint64_t max = MIN(r->length, (uint64_t)MSG_MAX_ENTRIES);

	reply->entries = xcalloc(SHARDS_MAX, sizeof(*reply->entries));
	for (uint32_t i = 0; i < m->count; i++) {
		const struct mshard *s = &m->shards[i];
		if (r->log_count) {
			if (s->pool == r->pool && s->pg == r->pg && is_named(r, s->oid))
				entry_of(s, &reply->entries[reply->entry_count++]);
			continue;
		}
		bool after = (r->flags & MSG_F_FIRST) || s->oid > r->oid ||
		             (s->oid == r->oid && s->shard > r->shard);
		if (s->pool != r->pool || s->pg != r->pg || !after)
			continue;
		if (reply->entry_count == max) {
			reply->flags |= MSG_F_MORE;
			break;
		}
		entry_of(s, &reply->entries[reply->entry_count++]);
	}
}

static bool is_pending(const struct model *m, const struct msg *r, const struct log_entry *e)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct mshard *s = &m->shards[i];
		if (s->pool == r->pool && s->pg == r->pg && s->oid == e->oid &&
		    s->pending.version == e->version)
			return true;
	}
	return false;
}

static void log_replace(struct model *m, struct mpg *pg, const struct msg *r)
{
	struct mpg *old = xmemdup(pg, sizeof(*pg));

	pg->log_count = 0;
	pg->info.floor = r->info.floor;
	for (uint32_t i = 0; i < r->log_count; i++)
		log_add(pg, &r->log[i]);
	for (uint32_t i = 0; i < old->log_count; i++)
		if (is_pending(m, r, &old->log[i]))
			log_add(pg, &old->log[i]);
	free(old);
}

static void activate(struct model *m, const struct msg *r)
{
	struct mpg *pg = get_pg(m, r);

	commit_up_to(m, r, r->info.commit);
	if ((r->flags & MSG_F_LOG) &&
	    (!pg->log_count ||
	     version_epoch(pg->log[pg->log_count - 1].version) < r->info.activated))
		log_replace(m, pg, r);
	pg->info.activated = MAX(pg->info.activated, r->info.activated);
	pg->info.clean = MAX(pg->info.clean, r->info.clean);
	pg->info.scrubbed = MAX(pg->info.scrubbed, r->info.scrubbed);
	pg->info.commit = MAX(pg->info.commit, r->info.commit);
	if (!(r->flags & MSG_F_PURGE))
		return;
	if (pg->info.complete < pg->info.clean)
		pg->info.clean_commit = 0;
	pg->info.complete = pg->info.clean;
	pg->info.clean_commit = MAX(pg->info.clean_commit, r->info.clean_commit);
	for (uint32_t i = 0; i < m->count;) {
		struct mshard *s = &m->shards[i];
		bool deleted = s->committed.tombstone && !s->pending.version &&
		               s->committed.version <= r->info.commit;
		bool stray = r->shard != SHARD_NONE && s->shard != r->shard;
		if (s->pool == r->pool && s->pg == r->pg && (deleted || stray))
			erase(m, s);
		else
			i++;
	}
}

static void drop(struct model *m, const struct msg *r)
{
	for (uint32_t i = 0; i < m->count;) {
		struct mshard *s = &m->shards[i];
		if (s->pool == r->pool && s->pg == r->pg && s->shard != r->shard)
			erase(m, s);
		else
			i++;
	}
	if (r->shard == SHARD_NONE)
		*get_pg(m, r) = (struct mpg){.pool = r->pool, .pg = r->pg};
}

void model_execute(struct model *m, struct disk_job *job)
{
	const struct msg *r = job->req;
	struct msg *reply = job->reply;
	struct mshard *s = find(m, r);

	reply->result = RES_OK;
	switch (r->type) {
	case MSG_SHARD_PREPARE:
		reply->result = prepare(m, r, reply);
		break;
	case MSG_SHARD_PUSH:
		reply->result = push(m, r);
		break;
	case MSG_SHARD_ROLLBACK:
		reply->result = rollback(m, r);
		break;
	case MSG_SHARD_REMOVE:
		if (s && newest(s)->version <= r->version)
			erase(m, s);
		break;
	case MSG_SHARD_READ:
		reply->result = read_newest(m, r, reply);
		break;
	case MSG_SHARD_STAT:
		reply->result = s ? RES_OK : RES_NOENT;
		reply->entries = xcalloc(1, sizeof(*reply->entries));
		if (s)
			entry_of(s, reply->entries);
		reply->entry_count = s != NULL;
		break;
	case MSG_PG_LIST:
		list(m, r, reply);
		break;
	case MSG_PG_COMMIT:
		commit_up_to(m, r, r->commit);
		get_pg(m, r)->info.commit = MAX(get_pg(m, r)->info.commit, r->commit);
		break;
	case MSG_PG_QUERY:
		reply->info = get_pg(m, r)->info;
		for (uint32_t i = 0; i < m->count; i++)
			reply->info.objects += m->shards[i].pool == r->pool && m->shards[i].pg == r->pg &&
			                       !newest(&m->shards[i])->tombstone;
		reply->log_count = get_pg(m, r)->log_count;
		reply->log = xmemdup(get_pg(m, r)->log, reply->log_count * sizeof(*reply->log));
		break;
	case MSG_PG_ACTIVATE:
		activate(m, r);
		break;
	case MSG_PG_DROP:
		drop(m, r);
		break;
	default:
		reply->result = RES_INVALID;
	}
}

static bool differ(const struct disk_job *job, const char *what, uint64_t got, uint64_t want)
{
	fprintf(stderr, "%s oid %llu: %s is %llu, not %llu\n", msg_type_name(job->req->type),
	        (unsigned long long)job->req->oid, what, (unsigned long long)got,
	        (unsigned long long)want);
	return false;
}

bool model_replies_equal(const struct disk_job *g, const struct disk_job *w)
{
	const struct msg *got = g->reply, *want = w->reply;
	uint32_t type = g->req->type;

	if (got->result != want->result)
		return differ(g, "result", got->result, want->result);
	if ((type == MSG_SHARD_PREPARE || type == MSG_SHARD_READ) && got->version != want->version)
		return differ(g, "version", got->version, want->version);
	if (got->flags != want->flags)
		return differ(g, "flags", got->flags, want->flags);
	if (got->entry_count != want->entry_count)
		return differ(g, "entry count", got->entry_count, want->entry_count);
	for (uint32_t i = 0; i < got->entry_count; i++) {
		const struct shard_entry *a = &got->entries[i], *b = &want->entries[i];
		if (a->oid != b->oid || a->shard != b->shard)
			return differ(g, "entry's oid", a->oid, b->oid);
		if (a->flags != b->flags || a->version != b->version || a->pending != b->pending) {
			fprintf(stderr, "oid %llu shard %u: ", (unsigned long long)a->oid,
			        a->shard);
			differ(g, "flags", a->flags, b->flags);
			differ(g, "version", a->version, b->version);
			return differ(g, "pending", a->pending, b->pending);
		}
		if (a->stood != b->stood || a->pending_stood != b->pending_stood)
			return differ(g, "entry's stood", a->stood + a->pending_stood,
			              b->stood + b->pending_stood);
		if (a->size != b->size)
			return differ(g, "entry's size", a->size, b->size);
	}
	if (memcmp(&got->info, &want->info, sizeof(got->info)))
		return differ(g, "info (commit)", got->info.commit, want->info.commit);
	if (got->log_count != want->log_count)
		return differ(g, "log length", got->log_count, want->log_count);
	if (got->log_count && memcmp(got->log, want->log, got->log_count * sizeof(*got->log)))
		return differ(g, "log", got->log[0].version, want->log[0].version);
	if (type == MSG_SHARD_READ && got->result == RES_OK &&
	    memcmp(got->payload.v[0].buf->data, want->payload.v[0].buf->data, g->req->length))
		return differ(g, "content", 0, 0);
	return true;
}

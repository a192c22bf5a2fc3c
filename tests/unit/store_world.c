/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_world.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

uint64_t world_below(struct world *w, uint64_t n)
{
	return prng_below(&w->p, n);
}

static struct disk_job *random_target(struct world *w, uint32_t type)
{
	struct disk_job *job = job_make(w->f, type, world_below(w, WORLD_OIDS) + 1);

	job->req->pg = (uint32_t)world_below(w, WORLD_PGS);
	job->req->shard = (uint32_t)world_below(w, WORLD_SHARDS);
	return job;
}

/* The model's view of the job's shard. */
static struct shard_entry entry_now(struct world *w, const struct disk_job *of)
{
	struct disk_job *job = job_make(w->f, MSG_SHARD_STAT, of->req->oid);
	struct shard_entry e = {0};

	job->req->pg = of->req->pg;
	job->req->shard = of->req->shard;
	model_execute(w->m, job);
	if (job->reply->entry_count)
		e = job->reply->entries[0];
	job_destroy(job);
	return e;
}

static void random_ranges(struct world *w, struct disk_job *job, bool xor)
{
	uint32_t count = 1 + (world_below(w, 4) == 0) * (uint32_t)world_below(w, MAX_RANGES);
	uint32_t region = w->region ? w->region : (uint32_t)WORLD_REGION;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)world_below(w, world_below(w, 2) ? 9000 : region * 3 / 4);
		if (world_below(w, 2))
			len = len / 4096 * 4096;
		uint32_t off = (uint32_t)world_below(w, region - len);
		if (world_below(w, 2))
			off = off / 4096 * 4096;
		enum range_op op = world_below(w, 5) == 0 ? RANGE_ZERO : RANGE_DATA;
		if (op == RANGE_DATA && xor&&world_below(w, 3) == 0)
			op = RANGE_XOR;
		job_range(w->f, job, op, off, len, prng_next(&w->p));
	}
}

static struct disk_job *random_prepare(struct world *w)
{
	struct disk_job *job = random_target(w, MSG_SHARD_PREPARE);
	struct msg *r = job->req;
	struct shard_entry e = entry_now(w, job);
	uint32_t kind = (uint32_t)world_below(w, 12);

	if (world_below(w, 60) == 0) /* a new interval, rarely */
		w->version[r->pg] += version_make(1, 0);
	r->version = ++w->version[r->pg];
	r->base = e.pending ? e.pending : e.version;
	r->commit = w->commit[r->pg];
	r->req = (struct req_id){world_below(w, 3), prng_next(&w->p)};
	if (kind == 0)
		r->shard_flags = SHARD_DELETE;
	else if (kind < 4)
		r->shard_flags = SHARD_REPLACE;
	if (kind == 11) /* wrong or repeated on purpose */
		r->base = world_below(w, r->version);
	if (kind == 10)
		r->version = world_below(w, r->version) + 1;
	if (kind && kind != 9)
		random_ranges(w, job, true);
	return job;
}

static void random_push(struct world *w, struct msg *r, const struct shard_entry *e,
                        struct disk_job *job)
{
	uint64_t *last = &w->version[r->pg];

	r->version = world_below(w, 2) ? *last + 1 : MAX(e->pending, e->version) + 1;
	*last = MAX(*last, r->version);
	r->info.activated = 1 + (uint32_t)world_below(w, 5);
	if (world_below(w, 5) == 0)
		r->shard_flags = SHARD_DELETE;
	else
		random_ranges(w, job, false);
	if (world_below(w, 2) == 0)
		return;
	r->shard_flags |= SHARD_UNSTABLE;
	r->req = (struct req_id){world_below(w, 3), prng_next(&w->p)};
	uint64_t bases[] = {e->pending, e->pending, e->version, world_below(w, *last + 1)};
	r->base = bases[world_below(w, 4)];
	if (world_below(w, 3))
		return;
	/* Accepted without bytes: what is pending, mostly. */
	if (e->pending && world_below(w, 4))
		r->version = e->pending;
	r->shard_flags |= SHARD_ACCEPT;
	r->range_count = 0;
	payload_fini(&r->payload);
}

/* Ascending versions and objects: what a log looks like, and a list of names too. */
static void random_log(struct world *w, struct msg *r)
{
	uint64_t oid = 0, version = 0;

	r->log_count = (uint32_t)world_below(w, 20) + 1;
	r->log = xcalloc(r->log_count, sizeof(*r->log));
	for (uint32_t i = 0; i < r->log_count; i++) {
		oid += 1 + world_below(w, 3);
		version += 1 + world_below(w, 1 + w->version[r->pg] / 16);
		r->log[i] = (struct log_entry){version, oid, {1, prng_next(&w->p)}};
	}
}

static void job_type(struct disk_job *job, enum msg_type type)
{
	job->req->type = job->reply->type = type;
}

static void random_pg_job(struct world *w, struct disk_job *job, uint32_t kind)
{
	struct msg *r = job->req;

	if (kind < 2) {
		job_type(job, MSG_PG_ACTIVATE);
		r->info = (struct pg_info){
			.activated = (uint32_t)world_below(w, 3) * 20,
			.clean = (uint32_t)world_below(w, 50),
			.commit = w->commit[r->pg],
		};
		r->info.clean_commit = world_below(w, r->info.commit + 1);
		r->info.scrubbed = world_below(w, 9);
		r->shard = world_below(w, 8) ? (uint32_t)SHARD_NONE
		                             : (uint32_t)world_below(w, WORLD_SHARDS);
		r->flags = world_below(w, 2) ? MSG_F_PURGE : 0;
		if (kind == 1) {
			r->flags |= MSG_F_LOG;
			r->info.floor = world_below(w, r->info.commit + 1);
			random_log(w, r);
		}
	} else if (kind == 2) {
		job_type(job, MSG_PG_QUERY);
	} else if (world_below(w, 4) == 0) {
		job_type(job, MSG_PG_DROP);
		r->shard = world_below(w, 2) ? (uint32_t)world_below(w, WORLD_SHARDS)
		                             : (uint32_t)SHARD_NONE;
	} else {
		job_type(job, MSG_PG_LIST);
		r->length = world_below(w, 30);
		r->flags = world_below(w, 2) ? MSG_F_FIRST : 0;
		if (world_below(w, 3) == 0)
			random_log(w, r);
	}
}

struct disk_job *world_job(struct world *w)
{
	uint32_t kind = (uint32_t)world_below(w, 40);

	if (kind < 24)
		return random_prepare(w);
	struct disk_job *job = random_target(w, MSG_PG_COMMIT);
	struct msg *r = job->req;
	struct shard_entry e = entry_now(w, job);
	if (kind < 28) {
		uint64_t *commit = &w->commit[r->pg];
		*commit += world_below(w, w->version[r->pg] - *commit + 1);
		r->commit = *commit;
	} else if (kind < 31) {
		job_type(job, MSG_SHARD_PUSH);
		random_push(w, r, &e, job);
	} else if (kind < 34) {
		job_type(job, MSG_SHARD_ROLLBACK);
		r->version = e.pending ? e.pending : world_below(w, w->version[r->pg] + 1) + 1;
	} else if (kind < 36) {
		job_type(job, MSG_SHARD_REMOVE);
		r->version = e.pending ? e.pending : e.version;
		r->version -= r->version && world_below(w, 3) == 0;
	} else {
		random_pg_job(w, job, kind - 36);
	}
	return job;
}

struct disk_job *world_job_twin(const struct disk_job *job)
{
	struct disk_job *t = xcalloc(1, sizeof(*t));

	t->req = msg_clone(job->req);
	t->reply = msg_create_reply(t->req, RES_OK);
	return t;
}

static void add_read_buffer(struct world *w, struct disk_job *job)
{
	struct buf *b = buf_get(w->f->pool, (uint32_t)job->req->length);
	struct slice s = slice_make(b, 0, (uint32_t)job->req->length);

	buf_unref(b);
	payload_add(&job->reply->payload, &s);
}

static bool answered_same(struct world *w, struct disk_job *job)
{
	struct disk_job *twin = world_job_twin(job);

	if (job->req->type == MSG_SHARD_READ) {
		add_read_buffer(w, job);
		add_read_buffer(w, twin);
	}
	job_run(w->f, job);
	model_execute(w->m, twin);
	bool same = model_replies_equal(job, twin);
	job_destroy(job);
	job_destroy(twin);
	return same;
}

bool world_read_same(struct world *w, uint32_t pg, uint64_t oid, uint32_t shard, uint32_t off,
                     uint32_t len)
{
	struct disk_job *job = job_make(w->f, MSG_SHARD_READ, oid);

	job->req->pg = pg;
	job->req->shard = shard;
	job->req->offset = off;
	job->req->length = len;
	return answered_same(w, job);
}

static bool pg_same(struct world *w, uint32_t pg)
{
	uint32_t len = (w->region ? w->region : (uint32_t)WORLD_REGION) + 10000;
	struct disk_job *job = job_make(w->f, MSG_PG_LIST, 0);

	job->req->pg = pg;
	job->req->flags = MSG_F_FIRST;
	job->req->length = 1000;
	if (!answered_same(w, job))
		return false;
	job = job_make(w->f, MSG_PG_QUERY, 0);
	job->req->pg = pg;
	if (!answered_same(w, job))
		return false;
	for (uint64_t oid = 1; oid <= WORLD_OIDS; oid++)
		for (uint32_t shard = 0; shard < WORLD_SHARDS; shard++)
			if (!world_read_same(w, pg, oid, shard, 0, len))
				return false;
	return true;
}

bool world_all_same(struct world *w)
{
	for (uint32_t pg = 0; pg < WORLD_PGS; pg++)
		if (!pg_same(w, pg))
			return false;
	return true;
}

void world_tell_commits(struct world *w)
{
	for (uint32_t pg = 0; pg < WORLD_PGS; pg++) {
		struct disk_job *job = job_make(w->f, MSG_PG_COMMIT, 0);
		job->req->pg = pg;
		job->req->commit = w->commit[pg];
		assert_true(answered_same(w, job));
	}
}

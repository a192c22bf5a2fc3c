/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "tests/unit/store_fixture.h"
#include "tests/unit/store_model.h"

/*
 * Random jobs on a store with small segments and on the model, with restarts, kills, lost indexes, checkpoints and
 * compaction in between. Whatever the store shows afterwards is what the model shows.
 */
enum { OIDS = 12, PGS = 3, SHARDS = 2, JOBS = 8, REGION = 200000 };

struct world {
	struct fixture *f;
	struct model *m;
	struct prng p;
	uint64_t version[PGS]; /* last one given out */
	uint64_t commit[PGS];  /* last commit point given out */
};

static uint64_t below(struct world *w, uint64_t n)
{
	return prng_below(&w->p, n);
}

static struct disk_job *random_target(struct world *w, uint32_t type)
{
	struct disk_job *job = job_make(w->f, type, below(w, OIDS) + 1);

	job->req->pg = (uint32_t)below(w, PGS);
	job->req->shard = (uint32_t)below(w, SHARDS);
	return job;
}

/* The model's view of the job's shard. */
static struct shard_entry entry_now(struct world *w, const struct disk_job *of)
{
	struct disk_job *job = job_make(w->f, MSG_SHARD_STAT, of->req->oid);

	job->req->pg = of->req->pg;
	job->req->shard = of->req->shard;
	model_execute(w->m, job);
	struct shard_entry e = { 0 };
	if (job->reply->entry_count)
		e = job->reply->entries[0];
	job_destroy(job);
	return e;
}

static void random_ranges(struct world *w, struct disk_job *job, bool xor)
{
	uint32_t count = 1 + (below(w, 4) == 0) * (uint32_t)below(w, MAX_RANGES);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)below(w, below(w, 2) ? 9000 : 150000), off;
		if (below(w, 2))
			len = len / 4096 * 4096;
		off = (uint32_t)below(w, REGION - len);
		if (below(w, 2))
			off = off / 4096 * 4096;
		uint32_t op = below(w, 5) == 0 ? RANGE_ZERO : xor && below(w, 3) == 0 ? RANGE_XOR : RANGE_DATA;
		job_range(w->f, job, op, off, len, prng_next(&w->p));
	}
}

static struct disk_job *random_prepare(struct world *w)
{
	struct disk_job *job = random_target(w, MSG_SHARD_PREPARE);
	struct msg *r = job->req;
	struct shard_entry e = entry_now(w, job);
	uint32_t kind = (uint32_t)below(w, 12);

	r->version = ++w->version[r->pg];
	r->base = e.pending ? e.pending : e.version;
	r->commit = w->commit[r->pg];
	r->req = (struct req_id){ below(w, 3), prng_next(&w->p) };
	if (kind == 0)
		r->shard_flags = SHARD_DELETE;
	else if (kind < 4)
		r->shard_flags = SHARD_REPLACE;
	if (kind == 11) /* wrong or repeated on purpose */
		r->base = below(w, r->version);
	if (kind == 10)
		r->version = below(w, r->version) + 1;
	if (kind && kind != 9)
		random_ranges(w, job, true);
	return job;
}

static struct disk_job *random_job(struct world *w)
{
	struct disk_job *job;
	struct shard_entry e;
	uint32_t kind = (uint32_t)below(w, 40);

	if (kind < 24)
		return random_prepare(w);
	job = random_target(w, MSG_PG_COMMIT);
	e = entry_now(w, job);
	if (kind < 28) {
		w->commit[job->req->pg] += below(w, w->version[job->req->pg] - w->commit[job->req->pg] + 1);
		job->req->commit = w->commit[job->req->pg];
	} else if (kind < 31) {
		job->req->type = job->reply->type = MSG_SHARD_PUSH;
		job->req->version = below(w, 2) ? ++w->version[job->req->pg] : MAX(e.pending, e.version) + 1;
		w->version[job->req->pg] = MAX(w->version[job->req->pg], job->req->version);
		if (below(w, 5) == 0)
			job->req->shard_flags = SHARD_DELETE;
		else
			random_ranges(w, job, false);
	} else if (kind < 34) {
		job->req->type = job->reply->type = MSG_SHARD_ROLLBACK;
		job->req->version = e.pending ? e.pending : below(w, w->version[job->req->pg] + 1) + 1;
	} else if (kind < 36) {
		job->req->type = job->reply->type = MSG_SHARD_REMOVE;
		job->req->version = e.pending ? e.pending : e.version;
		job->req->version -= job->req->version && below(w, 3) == 0;
	} else if (kind < 38) {
		job->req->type = job->reply->type = MSG_PG_ACTIVATE;
		job->req->info = (struct pg_info){
			.activated = (uint32_t)below(w, 50), .clean = (uint32_t)below(w, 50),
			.commit = w->commit[job->req->pg],
		};
	} else if (kind == 38) {
		job->req->type = job->reply->type = MSG_PG_QUERY;
	} else if (below(w, 4) == 0) {
		job->req->type = job->reply->type = MSG_PG_DROP;
		job->req->shard = below(w, 2) ? (uint32_t)below(w, SHARDS) : (uint32_t)SHARD_NONE;
	} else {
		job->req->type = job->reply->type = MSG_PG_LIST;
		job->req->length = below(w, 30);
		job->req->flags = below(w, 2) ? MSG_F_FIRST : 0;
	}
	return job;
}

static struct disk_job *job_twin(const struct disk_job *job)
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

static void check_same(struct world *w, struct disk_job *job)
{
	struct disk_job *twin = job_twin(job);

	if (job->req->type == MSG_SHARD_READ) {
		add_read_buffer(w, job);
		add_read_buffer(w, twin);
	}
	job_run(w->f, job);
	model_execute(w->m, twin);
	assert_true(model_replies_equal(job, twin));
	job_destroy(job);
	job_destroy(twin);
}

static void check_read(struct world *w, uint32_t pg, uint64_t oid, uint32_t shard, uint32_t off, uint32_t len)
{
	struct disk_job *job = job_make(w->f, MSG_SHARD_READ, oid);

	job->req->pg = pg;
	job->req->shard = shard;
	job->req->offset = off;
	job->req->length = len;
	check_same(w, job);
}

/* Everything there is, listings, infos, logs, contents. */
static void check_all(struct world *w)
{
	for (uint32_t pg = 0; pg < PGS; pg++) {
		struct disk_job *job = job_make(w->f, MSG_PG_LIST, 0);
		job->req->pg = pg;
		job->req->flags = MSG_F_FIRST;
		job->req->length = 1000;
		check_same(w, job);
		job = job_make(w->f, MSG_PG_QUERY, 0);
		job->req->pg = pg;
		check_same(w, job);
		for (uint64_t oid = 1; oid <= OIDS; oid++)
			for (uint32_t shard = 0; shard < SHARDS; shard++)
				check_read(w, pg, oid, shard, 0, REGION + 10000);
	}
}

/* Both told the newest commit points: from here on the store may rely on them after a lost index. */
static void tell_commits(struct world *w)
{
	for (uint32_t pg = 0; pg < PGS; pg++) {
		struct disk_job *job = job_make(w->f, MSG_PG_COMMIT, 0);
		job->req->pg = pg;
		job->req->commit = w->commit[pg];
		check_same(w, job);
	}
}

static void run_batch(struct world *w)
{
	struct disk_job *jobs[JOBS], *twins[JOBS];
	uint32_t n = 1 + (uint32_t)below(w, JOBS);
	struct list list;

	list_init(&list);
	for (uint32_t i = 0; i < n; i++) {
		jobs[i] = random_job(w);
		twins[i] = job_twin(jobs[i]);
		model_execute(w->m, twins[i]);
		list_push(&list, &jobs[i]->link);
	}
	store_execute(w->f->st, &list);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(model_replies_equal(jobs[i], twins[i]));
		list_remove(&jobs[i]->link);
		job_destroy(jobs[i]);
		job_destroy(twins[i]);
	}
}

static void disturb(struct world *w)
{
	struct fixture *f = w->f;
	uint32_t kind = (uint32_t)below(w, 10);

	if (kind < 3) {
		fixture_idle(f, 1000 + below(w, 12000));
	} else if (kind < 6) {
		fixture_crash(f);
		if (kind == 5)
			fixture_drop_index(f);
		fixture_open(f);
		tell_commits(w);
	} else if (kind < 9) {
		fixture_close(f);
		if (kind == 8)
			fixture_drop_index(f);
		fixture_open(f);
		tell_commits(w);
	}
}

static void one_run(struct fixture *f, uint64_t seed)
{
	struct world w = { .f = f };
	const char *steps = getenv("STORE_TEST_STEPS");

	prng_init(&w.p, seed);
	f->opt.size_bytes = 24 << 20;
	f->opt.segment_bytes = 512 << 10;
	fixture_open(f);
	w.m = model_create();
	for (int i = 0; i < (steps ? atoi(steps) : 250); i++) {
		run_batch(&w);
		if (below(&w, 8) == 0)
			disturb(&w);
		if (below(&w, 16) == 0)
			check_all(&w);
		check_read(&w, (uint32_t)below(&w, PGS), below(&w, OIDS) + 1, (uint32_t)below(&w, SHARDS),
		           (uint32_t)below(&w, REGION), 1 + (uint32_t)below(&w, 70000));
	}
	check_all(&w);
	fixture_idle(f, 20000);
	check_all(&w);
	fixture_close(f);
	fixture_drop_index(f);
	fixture_open(f);
	tell_commits(&w);
	check_all(&w);
	model_destroy(w.m);
	fixture_close(f);
	remove_tree(f->dir);
}

static void random_jobs_restarts_and_lost_indexes_agree_with_the_model(void **state)
{
	const char *seed = getenv("STORE_TEST_SEED");

	for (uint64_t s = 1; s <= 6; s++) {
		if (seed)
			s = strtoull(seed, NULL, 0);
		print_message("# seed %llu\n", (unsigned long long)s);
		one_run(*state, s);
		if (seed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_jobs_restarts_and_lost_indexes_agree_with_the_model,
		                                fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

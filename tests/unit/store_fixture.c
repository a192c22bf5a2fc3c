/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"

void remove_tree(const char *dir)
{
	DIR *d = opendir(dir);
	char path[512];
	struct stat sb;

	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (!lstat(path, &sb) && S_ISDIR(sb.st_mode))
			remove_tree(path);
		else
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void log_to_stderr(void *arg, enum log_level level, const char *line)
{
	if (getenv("STORE_TEST_LOG"))
		fprintf(stderr, "# %s\n", line);
}

int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	const char *tmp = getenv("TMPDIR");

	snprintf(f->dir, sizeof(f->dir), "%s/store-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(f->dir))
		return -1;
	f->log = (struct log){.level = LOG_LV_DEBUG, .write = log_to_stderr};
	f->pool = buf_pool_create(8 << 20);
	f->now_ms = 1000;
	f->opt = (struct store_options){
		.path = f->dir,
		.fs = fs_posix(),
		.log = &f->log,
		.node = 7,
		.new_disk_id = 0x1234,
		.new_salt = 0x5a17,
		.size_bytes = 256 << 20,
		.nosync = true,
	};
	*state = f;
	return 0;
}

void fixture_close(struct fixture *f)
{
	store_close(f->st);
	f->st = NULL;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	if (buf_pool_used_bytes(f->pool)) {
		remove_tree(f->dir);
		return -1; /* a failed test left jobs behind, or a job was lost */
	}
	buf_pool_destroy(f->pool);
	remove_tree(f->dir);
	free(f);
	return 0;
}

void fixture_open(struct fixture *f)
{
	char text[STORE_TEXT_LEN] = "";

	int err = store_open(&f->opt, &f->st, text);
	if (err)
		print_error("%s\n", text);
	assert_int_equal(err, 0);
}

void fixture_reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

void fixture_crash(struct fixture *f)
{
	store_abandon(f->st);
	f->st = NULL;
}

void fixture_drop_index(struct fixture *f)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/index", f->dir);
	remove_tree(path);
}

void fixture_idle(struct fixture *f, uint64_t ms)
{
	uint32_t wait;

	for (uint64_t end = f->now_ms + ms; f->now_ms < end; f->now_ms += 1000)
		while (store_idle(f->st, f->now_ms, &wait))
			;
}

struct disk_job *job_make(struct fixture *f, uint32_t type, uint64_t oid)
{
	struct disk_job *job = xcalloc(1, sizeof(*job));

	job->req = msg_create((enum msg_type)type);
	job->reply = msg_create_reply(job->req, RES_OK);
	job->req->pool = job->req->pg = 1;
	job->req->oid = oid;
	return job;
}

void job_destroy(struct disk_job *job)
{
	msg_destroy(job->req);
	msg_destroy(job->reply);
	free(job);
}

void job_range(struct fixture *f, struct disk_job *job, enum range_op op, uint32_t off,
               uint32_t len, uint64_t seed)
{
	struct msg *m = job->req;
	struct prng p;

	m->ranges[m->range_count++] = (struct shard_range){.op = op, .offset = off, .length = len};
	if (op == RANGE_ZERO || !len)
		return;
	struct buf *b = buf_get(f->pool, len);
	prng_init(&p, seed);
	prng_fill(&p, b->data, len);
	if (seed % 2)
		buf_seal(b);
	struct slice s = slice_make(b, 0, len);
	buf_unref(b);
	payload_add(&m->payload, &s);
}

void job_run(struct fixture *f, struct disk_job *job)
{
	struct list jobs;

	list_init(&jobs);
	list_push(&jobs, &job->link);
	store_execute(f->st, &jobs);
}

struct disk_job *job_prepare(struct fixture *f, uint64_t oid, uint64_t version, uint64_t base)
{
	struct disk_job *job = job_make(f, MSG_SHARD_PREPARE, oid);

	job->req->version = version;
	job->req->base = base;
	return job;
}

uint32_t do_prepare(struct fixture *f, uint64_t oid, uint64_t version, uint64_t base,
                    uint32_t flags, enum range_op op, uint32_t off, uint32_t len, uint64_t seed)
{
	struct disk_job *job = job_prepare(f, oid, version, base);

	job->req->shard_flags = flags;
	if (len)
		job_range(f, job, op, off, len, seed);
	job_run(f, job);
	uint32_t result = job->reply->result;
	job_destroy(job);
	return result;
}

uint32_t do_simple(struct fixture *f, uint32_t type, uint64_t oid, uint64_t version)
{
	struct disk_job *job = job_make(f, type, oid);

	job->req->version = version;
	job_run(f, job);
	uint32_t result = job->reply->result;
	job_destroy(job);
	return result;
}

uint32_t do_commit(struct fixture *f, uint64_t commit)
{
	struct disk_job *job = job_make(f, MSG_PG_COMMIT, 0);

	job->req->commit = commit;
	job_run(f, job);
	uint32_t result = job->reply->result;
	job_destroy(job);
	return result;
}

uint32_t do_read(struct fixture *f, uint64_t oid, uint32_t off, uint32_t len, uint8_t *dst)
{
	struct disk_job *job = job_make(f, MSG_SHARD_READ, oid);
	struct buf *b = buf_get(f->pool, len);

	memset(b->data, 0xee, b->capacity);
	struct slice s = slice_make(b, 0, len);
	payload_add(&job->reply->payload, &s);
	job->req->offset = off;
	job->req->length = len;
	job_run(f, job);
	uint32_t result = job->reply->result;
	if (result == RES_OK) {
		assert_true(b->crc_valid);
		for (uint32_t i = 0; i < block_count(len); i++) {
			uint32_t n =
				len - i * CRC_BLOCK < CRC_BLOCK ? len - i * CRC_BLOCK : CRC_BLOCK;
			assert_int_equal(b->crc[i], crc32c(0, b->data + (size_t)i * CRC_BLOCK, n));
		}
		memcpy(dst, b->data, len);
	}
	buf_unref(b);
	job_destroy(job);
	return result;
}

uint32_t do_stat(struct fixture *f, uint64_t oid, struct shard_entry *e)
{
	struct disk_job *job = job_make(f, MSG_SHARD_STAT, oid);

	job_run(f, job);
	uint32_t result = job->reply->result;
	if (result == RES_OK) {
		assert_int_equal(job->reply->entry_count, 1);
		*e = job->reply->entries[0];
	}
	job_destroy(job);
	return result;
}

struct disk_usage do_usage(struct fixture *f)
{
	struct disk_job *job = job_make(f, DISK_USAGE, 0);

	job_run(f, job);
	struct disk_usage u = job->usage;
	job_destroy(job);
	return u;
}

bool reads_as(struct fixture *f, uint64_t oid, uint32_t off, uint32_t len, uint64_t seed)
{
	uint8_t *want = xmalloc(len), *got = xmalloc(len);
	struct prng p;

	prng_init(&p, seed);
	prng_fill(&p, want, len);
	uint32_t result = do_read(f, oid, off, len, got);
	bool same = result == RES_OK && !memcmp(want, got, len);
	free(want);
	free(got);
	return same;
}

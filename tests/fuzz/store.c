/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store is opened on a disk that holds anything (store_image.h), with checksums that are right.
 * It may refuse a log of another kind, but not for damage in it. Once it is open, whatever it lists
 * can be asked for, it can be written to, idle work ends, and after an ordinary restart it answers
 * exactly the same.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/store.h"
#include "tests/fuzz/store_image.h"

enum { POOLS = 3, PGS = 3, SHARDS_ASKED = 16, WINDOW = 12 << 10, IDLE_SLICES = 64, SETTLE_MAX = 8 };

struct rig {
	char dir[128];
	struct mem_fs fs;
	struct store *st;
	struct log log;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	if (!getenv("FUZZ_LOG"))
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void log_line(void *arg, enum log_level level, const char *line)
{
	say("%s", line);
}

static void rig_forget_index(const struct rig *r)
{
	static const char *const names[] = {"index/data.mdb", "index/lock.mdb", "index/unsure"};
	char path[256];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", r->dir, names[i]);
		unlink(path);
	}
}

/* The index is LMDB's and lives on a real file system, in memory. */
static void rig_init(struct rig *r)
{
	char path[256];

	snprintf(r->dir, sizeof(r->dir), "/dev/shm/fuzz-store.%d", (int)getpid());
	snprintf(path, sizeof(path), "%s/index", r->dir);
	mkdir(r->dir, 0700);
	mkdir(path, 0700);
	rig_forget_index(r);
	mem_fs_init(&r->fs, 64 << 20);
	r->log = (struct log){.level = LOG_LV_DEBUG, .write = log_line};
	r->st = NULL;
}

static void rig_fini(struct rig *r)
{
	char path[256];

	store_close(r->st);
	mem_fs_fini(&r->fs);
	rig_forget_index(r);
	snprintf(path, sizeof(path), "%s/index", r->dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/lock", r->dir);
	unlink(path);
	rmdir(r->dir);
}

static int rig_open(struct rig *r)
{
	char text[STORE_TEXT_LEN] = "";
	struct store_options o = {
		.path = r->dir,
		.fs = &r->fs.ops,
		.log = &r->log,
		.node = IMAGE_NODE,
		.new_disk_id = IMAGE_DISK,
		.new_salt = IMAGE_SALT,
		.nosync = true,
	};
	int err = store_open(&o, &r->st, text);

	say("open: %d %s", err, text);
	assert(err == 0 || text[0]);
	/* One superblock is good: whatever is damaged besides, the rest can be had. Only a log that
	 * another release seems to have written is left alone. */
	assert(err == 0 || err == -SF_EFORMAT || err == -ENOSPC);
	return err;
}

/* ---- Jobs ---- */

static struct disk_job *job_make(uint32_t type, uint32_t pool, uint32_t pg)
{
	struct disk_job *job = xcalloc(1, sizeof(*job));

	job->req = msg_create((enum msg_type)type);
	job->reply = msg_create_reply(job->req, RES_OK);
	job->req->pool = pool;
	job->req->pg = pg;
	return job;
}

static void job_run(struct rig *r, struct disk_job *job)
{
	struct list jobs;

	list_init(&jobs);
	list_push(&jobs, &job->link);
	store_execute(r->st, &jobs);
}

static void job_free(struct disk_job *job)
{
	msg_destroy(job->req);
	msg_destroy(job->reply);
	free(job);
}

static void payload_give(struct msg *m, uint32_t len, uint8_t fill)
{
	struct buf *b = buf_get(NULL, len);
	struct slice s = {b, 0, len};

	memset(b->data, fill, b->capacity);
	payload_add(&m->payload, &s);
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	return hash64(h ^ crc32c(0, data, len));
}

static uint64_t read_digest(struct rig *r, uint32_t pool, uint32_t pg, const struct shard_entry *e,
                            uint64_t off, uint64_t h)
{
	struct disk_job *job = job_make(MSG_SHARD_READ, pool, pg);
	uint64_t len = MIN((uint64_t)WINDOW, UINT32_MAX - off);

	if (len > 0) {
		job->req->oid = e->oid;
		job->req->shard = e->shard;
		job->req->offset = off;
		job->req->length = len;
		payload_give(job->reply, (uint32_t)len, 0xee);
		job_run(r, job);
		h = mix(h, &job->reply->result, sizeof(job->reply->result));
		say("  [%llu +%llu]: %s", (unsigned long long)off, (unsigned long long)len,
		    wire_result_text(job->reply->result));
		if (job->reply->result == RES_OK)
			h = mix(h, job->reply->payload.v[0].buf->data, len);
	}
	job_free(job);
	return h;
}

static uint64_t entry_digest(struct rig *r, uint32_t pool, uint32_t pg, const struct shard_entry *e,
                             uint64_t h)
{
	h = mix(h, e, sizeof(*e));
	say("pg %u.%u oid %llx shard %u flags %x v %llx p %llx size %llu", pool, pg,
	    (unsigned long long)e->oid, e->shard, e->flags, (unsigned long long)e->version,
	    (unsigned long long)e->pending, (unsigned long long)e->size);
	h = read_digest(r, pool, pg, e, 0, h);
	if (e->size > WINDOW)
		h = read_digest(r, pool, pg, e, e->size - WINDOW / 2, h);
	if (e->size > CRC_BLOCK)
		h = read_digest(r, pool, pg, e, CRC_BLOCK - WINDOW / 2, h);
	return h;
}

static uint64_t pg_digest(struct rig *r, uint32_t pool, uint32_t pg, uint64_t h)
{
	struct disk_job *query = job_make(MSG_PG_QUERY, pool, pg);
	struct disk_job *list = job_make(MSG_PG_LIST, pool, pg);

	job_run(r, query);
	h = mix(h, &query->reply->info, sizeof(query->reply->info));
	say("pg %u.%u activated %u clean %u commit %llx log %u", pool, pg,
	    query->reply->info.activated, query->reply->info.clean,
	    (unsigned long long)query->reply->info.commit, query->reply->log_count);
	h = mix(h, query->reply->log, query->reply->log_count * sizeof(*query->reply->log));
	list->req->flags = MSG_F_FIRST;
	list->req->length = SHARDS_ASKED;
	job_run(r, list);
	for (uint32_t i = 0; i < list->reply->entry_count; i++)
		h = entry_digest(r, pool, pg, &list->reply->entries[i], h);
	job_free(query);
	job_free(list);
	return h;
}

/* All that the store answers, as one number. */
static uint64_t rig_digest(struct rig *r)
{
	uint64_t h = 1;

	for (uint32_t pool = 0; pool < POOLS; pool++)
		for (uint32_t pg = 0; pg < PGS; pg++)
			h = pg_digest(r, pool, pg, h);
	return h;
}

static void shard_change(struct rig *r, uint32_t pool, uint32_t pg, const struct shard_entry *e)
{
	struct disk_job *job = job_make(MSG_SHARD_PREPARE, pool, pg);
	uint64_t newest = e->pending ? e->pending : e->version;

	job->req->oid = e->oid;
	job->req->shard = e->shard;
	job->req->base = newest;
	job->req->version = newest + 1;
	job->req->commit = newest;
	job->req->range_count = 1;
	job->req->ranges[0] = (struct shard_range){RANGE_XOR, 1000, 5000};
	payload_give(job->req, 5000, 0x55);
	job_run(r, job);
	job_free(job);
}

/* Writes to some of what is there, and lets it work until it has nothing to do. */
static void rig_live(struct rig *r)
{
	uint32_t wait;

	for (uint32_t pool = 0; pool < POOLS; pool++) {
		struct disk_job *list = job_make(MSG_PG_LIST, pool, pool);
		list->req->flags = MSG_F_FIRST;
		list->req->length = 4;
		job_run(r, list);
		for (uint32_t i = 0; i < list->reply->entry_count; i++)
			shard_change(r, pool, pool, &list->reply->entries[i]);
		job_free(list);
	}
	for (uint64_t i = 0; i < IDLE_SLICES; i++)
		if (!store_idle(r->st, 1000 + 6000 * i, &wait) && i > 3)
			break;
}

static void rig_close(struct rig *r)
{
	store_close(r->st);
	r->st = NULL;
}

/*
 * Opens it until the answers stay the same: an unfinished batch that is dropped may uncover others,
 * which the description put where a store never does. False: it is refused.
 */
static bool rig_settle(struct rig *r)
{
	uint64_t last = 0, digest;

	for (uint32_t i = 0; i < SETTLE_MAX; i++) {
		if (rig_open(r))
			return false;
		rig_digest(r); /* finds damage, which changes the answers once */
		digest = rig_digest(r);
		if (digest == last)
			return true;
		last = digest;
		rig_close(r);
	}
	return false;
}

static void rig_check(struct rig *r)
{
	uint64_t before;

	if (!rig_settle(r))
		return;
	rig_live(r);
	rig_digest(r);
	if (store_failed(r->st))
		return;
	before = rig_digest(r);
	rig_close(r);
	assert(rig_open(r) == 0);
	assert(rig_digest(r) == before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image im; /* large; begun anew by image_init */
	struct rig r;
	uint8_t options = size ? data[0] : 0;

	rig_init(&r);
	image_init(&im, &r.fs, data + (size > 0), size - (size > 0));
	image_superblock(&r.fs, options);
	if (image_build(&im)) {
		if (rig_open(&r) == 0) {
			rig_digest(&r);
			rig_close(&r);
		}
		while (image_build(&im))
			;
	}
	rig_check(&r);
	rig_fini(&r);
	return 0;
}

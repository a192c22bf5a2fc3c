/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Makes inputs for the target "store" out of logs that a real store wrote: store_seed DIR.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "sheep/store/store.h"
#include "tests/fuzz/store_image.h"

enum { SEEDS = 24 };

static uint64_t version[3];

static void job_go(struct store *st, struct disk_job *job)
{
	struct list jobs;

	list_init(&jobs);
	list_push(&jobs, &job->link);
	job->reply = msg_create_reply(job->req, RES_OK);
	store_execute(st, &jobs);
	msg_destroy(job->req);
	msg_destroy(job->reply);
}

static void range_add(struct msg *m, struct prng *p, uint32_t op)
{
	uint32_t len = (uint32_t)prng_below(p, prng_below(p, 8) ? 300 : 70000);
	struct buf *b;

	m->ranges[m->range_count++] =
		(struct shard_range){op, (uint32_t)prng_below(p, 200) * 100, len};
	if (op == RANGE_ZERO || !len)
		return;
	b = buf_get(NULL, len);
	memset(b->data, 7, len);
	struct slice s = {b, 0, len};
	payload_add(&m->payload, &s);
}

/* Whether it fits does not matter: what is refused is not in the log. */
static void job_random(struct store *st, struct prng *p)
{
	static const uint16_t types[] = {
		MSG_SHARD_PREPARE, MSG_SHARD_PREPARE,  MSG_SHARD_PREPARE, MSG_SHARD_PREPARE,
		MSG_SHARD_PUSH,    MSG_SHARD_ROLLBACK, MSG_SHARD_REMOVE,  MSG_PG_COMMIT,
		MSG_PG_ACTIVATE,   MSG_PG_DROP,
	};
	struct disk_job job = {0};
	struct msg *m = job.req = msg_create(types[prng_below(p, ARRAY_LEN(types))]);

	m->pool = m->pg = (uint32_t)prng_below(p, 3);
	m->oid = prng_below(p, 4);
	m->shard = (uint32_t)prng_below(p, 2);
	m->version = ++version[m->pg];
	m->base = prng_below(p, 3) ? m->version - 1 : 0;
	m->commit = m->info.commit = prng_below(p, 2) ? m->version - 1 : 0;
	m->info.activated = (uint32_t)m->version;
	m->req = (struct req_id){3, m->version};
	if (m->type == MSG_SHARD_PREPARE || m->type == MSG_SHARD_PUSH) {
		uint32_t n = (uint32_t)prng_below(p, MAX_RANGES + 1);
		m->shard_flags = (uint32_t)(prng_below(p, 2)   ? SHARD_REPLACE
		                            : prng_below(p, 4) ? 0
		                                               : SHARD_DELETE);
		while (n-- > 0)
			range_add(m, p, prng_below(p, 3) ? RANGE_DATA : RANGE_ZERO);
	}
	job_go(st, &job);
}

static void seed_write(const char *dir, int i, struct mem_fs *fs, uint32_t reopened)
{
	uint8_t *text = xmalloc(8 << 20), *p = text;
	char path[300];
	uint32_t done = 0;

	*p++ = 0;
	for (uint32_t number = 1; number < 40; number++) {
		snprintf(path, sizeof(path), "seg-%08x.log", number);
		if (!mem_file_find(fs, path))
			continue;
		image_describe(mem_file_find(fs, path), number, &p);
		if (++done == reopened)
			*p++ = IMAGE_OPEN;
	}
	snprintf(path, sizeof(path), "%s/store-%02d", dir, i);
	FILE *f = fopen(path, "w");
	if (f) {
		fwrite(text, 1, (size_t)(p - text), f);
		fclose(f);
	}
	free(text);
}

int main(int argc, char **argv)
{
	char dir[] = "/dev/shm/store-seed-XXXXXX", cmd[100];
	uint32_t wait;

	for (int i = 0; i < SEEDS && argc == 2; i++) {
		struct mem_fs fs;
		struct store *st;
		struct prng p;

		prng_init(&p, (uint64_t)i);
		memset(version, 0, sizeof(version));
		strcpy(dir + sizeof(dir) - 7, "XXXXXX");
		if (!mkdtemp(dir))
			return 1;
		snprintf(cmd, sizeof(cmd), "%s/index", dir);
		mkdir(cmd, 0700);
		mem_fs_init(&fs, 64 << 20);
		struct store_options o = {
			.path = dir,
			.fs = &fs.ops,
			.node = IMAGE_NODE,
			.new_disk_id = IMAGE_DISK,
			.new_salt = IMAGE_SALT,
			.segment_bytes = i % 3 == 2 ? 128 << 10 : 4 << 20,
			.nosync = true,
		};
		if (store_open(&o, &st, NULL))
			return 1;
		for (uint32_t n = 4 + (uint32_t)i * (i % 3 == 2 ? 4 : 2); n > 0; n--) {
			job_random(st, &p);
			if (i % 3 == 2 && prng_below(&p, 8) == 0)
				while (store_idle(st, 1000000 * (100 - n), &wait))
					;
		}
		seed_write(argv[1], i, &fs, (uint32_t)(i % 4));
		store_abandon(st);
		mem_fs_fini(&fs);
		snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
		if (system(cmd))
			return 1;
	}
	return 0;
}

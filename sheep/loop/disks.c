/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/loop/disk_thread.h"
#include "sheep/loop/memory_disk.h"
#include "sheep/store/store.h"

struct disk {
	uint64_t id;
	struct store *store;        /* until its engine takes it */
	struct disk_thread *thread; /* one of these two */
	struct memory_disk *memory;
};

struct disks {
	struct completions *completions;
	uint32_t count;
	struct disk v[NODE_MAX_DISKS];
};

static void tell(struct disks *disks, enum notice_type type, uint64_t disk, int result)
{
	struct notice *n = xcalloc(1, sizeof(*n));
	struct list one;

	n->type = type;
	n->disk = disk;
	n->result = result;
	list_init(&one);
	list_push(&one, &n->link);
	completions_post(disks->completions, &disks->completions->notices, &one);
}

/* ---- Opening ---- */

static uint64_t new_disk_id(uint64_t fallback)
{
	uint64_t id = 0;

	return getrandom(&id, sizeof(id), 0) == sizeof(id) && id ? id : fallback;
}

static int disk_open(const struct daemon_options *o, uint32_t i, struct node_info *info,
                     struct disk *ret, char text[DAEMON_TEXT_LEN])
{
	struct store_options so = {
		.path = o->disk_dirs[i],
		.fs = fs_posix(),
		.log = o->log,
		.node = o->node_id,
		.cluster = info->cluster,
		.new_disk_id = new_disk_id(o->node_id + 1 + i),
		.nosync = o->nosync,
	};
	char why[STORE_TEXT_LEN] = "";
	int rc = store_open(&so, &ret->store, why);

	if (rc < 0) {
		snprintf(text, DAEMON_TEXT_LEN, "%s: %s", o->disk_dirs[i],
		         why[0] ? why : sf_strerror(rc));
		return rc;
	}
	struct store_identity id = store_identity(ret->store);
	uint64_t gib = store_size_bytes(ret->store) >> 30;
	ret->id = id.disk;
	if (id.cluster)
		info->cluster = id.cluster;
	info->disks[i].id = id.disk;
	info->disks[i].weight = o->weight ? o->weight : gib ? gib : 1;
	info->disk_count++;
	return 0;
}

/* The first disk may be fresh and the second tell the cluster. */
static int disk_join_cluster(struct disk *d, uint64_t cluster)
{
	uint64_t now = store_identity(d->store).cluster;

	if (now == cluster)
		return 0;
	return now ? -SF_EFOREIGN : store_adopt(d->store, cluster);
}

/* A copied directory, say: two stores that take themselves for the same disk. */
static int disks_check_distinct(const struct disks *disks, const struct daemon_options *o,
                                char text[DAEMON_TEXT_LEN])
{
	for (uint32_t i = 1; i < disks->count; i++)
		for (uint32_t j = 0; j < i; j++) {
			if (disks->v[i].id != disks->v[j].id)
				continue;
			snprintf(text, DAEMON_TEXT_LEN, "%.300s and %.300s are the same disk: one is a copy",
			         o->disk_dirs[j], o->disk_dirs[i]);
			return -SF_EINUSE;
		}
	return 0;
}

static int engine_start(struct disks *disks, struct disk *d, const char *path,
                        char text[DAEMON_TEXT_LEN])
{
	if (memory_disk_fits(path))
		d->memory = memory_disk_create(d->store);
	else
		d->thread = disk_thread_start(d->store, disks->completions);
	if (!d->memory && !d->thread) {
		snprintf(text, DAEMON_TEXT_LEN, "%.600s: no thread could be started for it", path);
		return -EAGAIN;
	}
	d->store = NULL;
	return 0;
}

static int open_all(struct disks *disks, const struct daemon_options *o, struct node_info *info,
                    char text[DAEMON_TEXT_LEN])
{
	for (uint32_t i = 0; i < o->disk_count; i++) {
		int rc = disk_open(o, i, info, &disks->v[i], text);
		if (rc < 0)
			return rc;
		disks->count++;
	}
	int rc = disks_check_distinct(disks, o, text);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < disks->count; i++) {
		rc = disk_join_cluster(&disks->v[i], info->cluster);
		if (rc < 0) {
			snprintf(text, DAEMON_TEXT_LEN, "%s: %s", o->disk_dirs[i], sf_strerror(rc));
			return rc;
		}
	}
	return 0;
}

int disks_open(const struct daemon_options *options, struct node_info *info,
               struct completions *completions, struct disks **ret, char text[DAEMON_TEXT_LEN])
{
	struct disks *disks = xcalloc(1, sizeof(*disks));
	int rc;

	disks->completions = completions;
	rc = open_all(disks, options, info, text);
	for (uint32_t i = 0; rc == 0 && i < disks->count; i++)
		rc = engine_start(disks, &disks->v[i], options->disk_dirs[i], text);
	if (rc < 0) {
		disks_close(disks);
		return rc;
	}
	*ret = disks;
	return 0;
}

void disks_close(struct disks *disks)
{
	if (!disks)
		return;
	for (uint32_t i = 0; i < disks->count; i++) {
		disk_thread_stop(disks->v[i].thread);
		memory_disk_destroy(disks->v[i].memory);
		store_close(disks->v[i].store);
	}
	free(disks);
}

/* ---- Work ---- */

void disks_add(struct disks *disks, struct disk_job *job)
{
	for (uint32_t i = 0; i < disks->count; i++) {
		if (disks->v[i].id != job->disk)
			continue;
		if (disks->v[i].memory)
			memory_disk_add(disks->v[i].memory, job);
		else
			disk_thread_add(disks->v[i].thread, job);
		return;
	}
	/* The map may still name a disk that this node was started without. */
	struct list one;
	list_init(&one);
	job->reply->result = RES_IO;
	list_push(&one, &job->link);
	completions_post(disks->completions, &disks->completions->disk, &one);
}

void disks_kick(struct disks *disks)
{
	for (uint32_t i = 0; i < disks->count; i++)
		if (disks->v[i].thread)
			disk_thread_kick(disks->v[i].thread);
}

static void tell_failure(struct disks *disks, const struct disk *d)
{
	if (memory_disk_take_failure(d->memory))
		tell(disks, NOTICE_FAILED, d->id, 0);
}

bool disks_run(struct disks *disks, struct list *finished)
{
	struct list some;

	list_init(finished);
	for (uint32_t i = 0; i < disks->count; i++) {
		struct memory_disk *m = disks->v[i].memory;
		if (!m || !memory_disk_run(m, &some))
			continue;
		list_splice(finished, &some);
		tell_failure(disks, &disks->v[i]);
	}
	return !list_empty(finished);
}

/* What was added before belongs to the cluster before: it goes first. */
static void memory_adopt(struct disks *disks, struct disk *d, uint64_t cluster)
{
	struct list finished;

	if (memory_disk_run(d->memory, &finished))
		completions_post(disks->completions, &disks->completions->disk, &finished);
	tell(disks, NOTICE_ADOPTED, d->id, memory_disk_adopt(d->memory, cluster));
	tell_failure(disks, d);
}

uint32_t disks_adopt(struct disks *disks, uint64_t cluster)
{
	for (uint32_t i = 0; i < disks->count; i++) {
		struct disk *d = &disks->v[i];
		if (d->memory)
			memory_adopt(disks, d, cluster);
		else
			disk_thread_adopt(d->thread, cluster);
	}
	if (disks->count)
		return disks->count;
	tell(disks, NOTICE_ADOPTED, 0, 0);
	return 1;
}

void disks_idle(struct disks *disks, uint64_t now_ms)
{
	for (uint32_t i = 0; i < disks->count; i++) {
		if (!disks->v[i].memory)
			continue;
		memory_disk_idle(disks->v[i].memory, now_ms);
		tell_failure(disks, &disks->v[i]);
	}
}

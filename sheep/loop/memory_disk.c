/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/memory_disk.h"

#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>

#include "lib/base/mem.h"
#include "sheep/store/store.h"

enum { TMPFS_MAGIC = 0x01021994, RAMFS_MAGIC = 0x858458f6, IDLE_SLICE_MS = 5 };

struct memory_disk {
	struct store *store;
	struct list gathered; /* struct disk_job.link */
	uint64_t idle_at;     /* when the store wants its next idle time */
	bool told_failed;
};

bool memory_disk_fits(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 &&
	       ((uint32_t)fs.f_type == TMPFS_MAGIC || (uint32_t)fs.f_type == (uint32_t)RAMFS_MAGIC);
}

struct memory_disk *memory_disk_create(struct store *store)
{
	struct memory_disk *m = xcalloc(1, sizeof(*m));

	m->store = store;
	list_init(&m->gathered);
	return m;
}

void memory_disk_destroy(struct memory_disk *m)
{
	if (!m)
		return;
	store_close(m->store);
	free(m);
}

uint64_t memory_disk_disk(const struct memory_disk *m)
{
	return store_identity(m->store).disk;
}

void memory_disk_add(struct memory_disk *m, struct disk_job *job)
{
	list_push(&m->gathered, &job->link);
}

bool memory_disk_run(struct memory_disk *m, struct list *finished)
{
	list_init(finished);
	if (list_empty(&m->gathered))
		return false;
	list_splice(finished, &m->gathered);
	store_execute(m->store, finished);
	m->idle_at = 0;
	return true;
}

int memory_disk_adopt(struct memory_disk *m, uint64_t cluster)
{
	return store_adopt(m->store, cluster);
}

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void memory_disk_idle(struct memory_disk *m, uint64_t now_ms)
{
	uint64_t start = clock_ms();
	uint32_t wait_ms = 0;

	if (now_ms < m->idle_at || store_failed(m->store))
		return;
	while (store_idle(m->store, clock_ms(), &wait_ms))
		if (clock_ms() - start >= IDLE_SLICE_MS)
			return;
	m->idle_at = now_ms + wait_ms;
}

bool memory_disk_take_failure(struct memory_disk *m)
{
	if (m->told_failed || !store_failed(m->store))
		return false;
	m->told_failed = true;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/disks.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "sheep/loop/disk_thread.h"
#include "sheep/loop/disks_open.h"
#include "sheep/loop/memory_disk.h"

void disks_tell(struct disks *disks, struct notice *notice)
{
	struct list one;

	list_init(&one);
	list_push(&one, &notice->link);
	completions_post(disks->completions, &disks->completions->notices, &one);
}

static void tell(struct disks *disks, enum notice_type type, uint64_t disk, int result)
{
	struct notice *n = xcalloc(1, sizeof(*n));

	n->type = type;
	n->disk = disk;
	n->result = result;
	disks_tell(disks, n);
}

void disks_close(struct disks *disks)
{
	if (!disks)
		return;
	for (uint32_t i = 0; i < disks->count; i++) {
		disk_thread_stop(disks->v[i].thread);
		memory_disk_destroy(disks->v[i].memory);
		store_close(disks->v[i].store);
		free(disks->v[i].path);
	}
	while (disks->closing_count)
		disk_thread_stop(disks->closing[--disks->closing_count]);
	disks_drop_plugs(disks);
	for (uint32_t i = 0; i < disks->bad_count; i++) {
		free((char *)disks->bad[i].path);
		free((char *)disks->bad[i].why);
	}
	disk_table_destroy(disks->table);
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

/* SPDX-License-Identifier: Apache-2.0 */

/* Disks that come and go while the daemon runs. Opening a store may mean reading much of it, and a
 * dying disk may take minutes to close: neither happens in the reactor. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/dir.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/loop/disk_thread.h"
#include "sheep/loop/disks_open.h"
#include "sheep/loop/memory_disk.h"

struct plug {
	struct list link; /* disks->plugs */
	struct disks *disks;
	pthread_t thread;
	bool threaded;
	uint64_t cluster;
	bool was_mounted;
	struct disk disk;
	uint32_t weight;
	int result;
	char text[DAEMON_TEXT_LEN];
};

/* ---- In the thread ---- */

static int plug_open(struct plug *p)
{
	uint64_t cluster = p->cluster;
	int rc;

	rc = dir_make(p->disk.path, 0755);
	if (rc < 0) {
		snprintf(p->text, sizeof(p->text), "%.300s: %s", p->disk.path, strerror(-rc));
		return rc;
	}
	if (p->was_mounted && !disk_path_is_mounted(p->disk.path)) {
		snprintf(p->text, sizeof(p->text), "%.300s: its file system is not mounted",
		         p->disk.path);
		return -ENOENT;
	}
	rc = disk_open(p->disks, p->disk.path, &cluster, &p->disk, &p->weight, p->text);
	if (rc < 0)
		return rc;
	uint64_t now = store_identity(p->disk.store).cluster;
	if (now == p->cluster)
		return 0;
	rc = now ? -SF_EFOREIGN : store_adopt(p->disk.store, p->cluster);
	if (rc < 0)
		snprintf(p->text, sizeof(p->text), "%.300s: %s", p->disk.path, sf_strerror(rc));
	return rc;
}

static void *plug_main(void *arg)
{
	struct plug *p = arg;
	struct notice *n = xcalloc(1, sizeof(*n));

	p->result = plug_open(p);
	n->type = NOTICE_PLUGGED;
	n->arg = p;
	disks_tell(p->disks, n);
	return NULL;
}

/* ---- In the reactor ---- */

void disks_plug(struct disks *disks, const char *path, uint64_t cluster)
{
	struct plug *p = xcalloc(1, sizeof(*p));
	const struct disk_table_entry *known = disk_table_find(disks->table, path);

	p->disks = disks;
	p->cluster = cluster;
	p->was_mounted = known && (known->flags & DISK_MOUNTED);
	p->disk.path = xstrdup(path);
	list_push(&disks->plugs, &p->link);
	p->threaded = pthread_create(&p->thread, NULL, plug_main, p) == 0;
	if (!p->threaded)
		plug_main(p);
}

static void plug_free(struct plug *p)
{
	list_remove(&p->link);
	store_close(p->disk.store);
	free(p->disk.path);
	free(p);
}

void disks_drop_plugs(struct disks *disks)
{
	while (!list_empty(&disks->plugs)) {
		struct plug *p = list_item(disks->plugs.next, struct plug, link);
		if (p->threaded)
			pthread_join(p->thread, NULL);
		plug_free(p);
	}
}

static int plug_check(struct disks *disks, struct plug *p)
{
	for (uint32_t i = 0; i < disks->count && p->result == 0; i++) {
		if (disks->v[i].id != p->disk.id)
			continue;
		snprintf(p->text, sizeof(p->text), "%.300s and %.300s are the same disk: one is a copy",
		         disks->v[i].path, p->disk.path);
		return -SF_EINUSE;
	}
	if (p->result == 0 && disks->count == NODE_MAX_DISKS) {
		snprintf(p->text, sizeof(p->text), "there are as many disks as there may be");
		return -EINVAL;
	}
	return p->result ? p->result : disk_engine_start(disks, &p->disk, p->text);
}

void disks_plugged(struct disks *disks, struct notice *notice, struct node_info *info,
                   struct event *ret)
{
	struct plug *p = notice->arg;
	int rc;

	free(notice);
	if (p->threaded)
		pthread_join(p->thread, NULL);
	rc = plug_check(disks, p);
	snprintf(disks->path, sizeof(disks->path), "%s", p->disk.path);
	snprintf(disks->text, sizeof(disks->text), "%.500s", p->text);
	*ret = (struct event){
		.type = EV_PLUGGED,
		.from = p->disk.id,
		.weight = p->weight,
		.cluster = p->cluster,
		.result = rc,
		.text = disks->path,
		.why = disks->text,
	};
	if (rc == 0) {
		struct disk *d = &disks->v[disks->count];
		*d = p->disk;
		p->disk = (struct disk){0};
		disks->paths[disks->count++] = d->path;
		info->disks[info->disk_count].id = d->id;
		info->disks[info->disk_count++].weight = p->weight;
		disk_table_set(disks->table, d->path, d->id,
		               DISK_PLUGGED | (disk_path_is_mounted(d->path) ? DISK_MOUNTED : 0));
		disk_table_save(disks->table, disks->log);
		log_info(disks->log, "disk %016llx (%s) was plugged in", (unsigned long long)d->id,
		         d->path);
	}
	plug_free(p);
}

static void info_remove(struct node_info *info, uint64_t disk)
{
	for (uint32_t i = 0; i < info->disk_count; i++) {
		if (info->disks[i].id != disk)
			continue;
		info->disk_count--;
		for (; i < info->disk_count; i++)
			info->disks[i] = info->disks[i + 1];
	}
}

static void memory_unplug(struct disks *disks, struct memory_disk *m)
{
	struct list finished;

	if (memory_disk_run(m, &finished))
		completions_post(disks->completions, &disks->completions->disk, &finished);
	memory_disk_destroy(m);
}

void disks_unplug(struct disks *disks, uint64_t disk, struct node_info *info)
{
	info_remove(info, disk);
	for (uint32_t i = 0; i < disks->count; i++) {
		struct disk d = disks->v[i];
		if (d.id != disk)
			continue;
		disks->v[i] = disks->v[--disks->count];
		disks->paths[i] = disks->paths[disks->count];
		if (d.memory)
			memory_unplug(disks, d.memory);
		if (d.thread && disks->closing_count < NODE_MAX_DISKS) {
			disks->closing[disks->closing_count++] = d.thread;
			disk_thread_leave(d.thread);
		} else {
			disk_thread_stop(d.thread);
		}
		const struct disk_table_entry *e = disk_table_find(disks->table, d.path);
		disk_table_set(disks->table, d.path, d.id,
		               DISK_UNPLUGGED | (e ? e->flags & DISK_MOUNTED : 0));
		disk_table_save(disks->table, disks->log);
		free(d.path);
		return;
	}
}

void disks_closed(struct disks *disks, uint64_t disk)
{
	for (uint32_t i = 0; i < disks->closing_count; i++) {
		if (disk_thread_disk(disks->closing[i]) != disk)
			continue;
		disk_thread_stop(disks->closing[i]);
		disks->closing[i] = disks->closing[--disks->closing_count];
		return;
	}
}

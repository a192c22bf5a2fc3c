/* SPDX-License-Identifier: Apache-2.0 */

/* Which of a daemon's directories are disks at its start. */
#include "sheep/loop/disks_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/loop/disk_thread.h"
#include "sheep/loop/memory_disk.h"
#include "sheep/loop/system.h"
#include "sheep/store/superblock.h"

int disk_open(const struct disks *disks, const char *path, uint64_t *cluster, struct disk *ret,
              uint32_t *ret_weight, char text[DAEMON_TEXT_LEN])
{
	struct store_options so = {
		.path = path,
		.fs = fs_posix(),
		.log = disks->log,
		.node = disks->node,
		.cluster = *cluster,
		.new_disk_id = system_random_id(disks->node + 1),
		.new_salt = system_random_id(disks->node + 2),
		.nosync = disks->nosync,
	};
	char why[STORE_TEXT_LEN] = "";
	int rc = store_open(&so, &ret->store, why);

	if (rc < 0) {
		snprintf(text, DAEMON_TEXT_LEN, "%.200s: %s", path, why[0] ? why : sf_strerror(rc));
		return rc;
	}
	struct store_identity id = store_identity(ret->store);
	uint64_t gib = store_size_bytes(ret->store) >> 30;
	ret->id = id.disk;
	if (id.cluster)
		*cluster = id.cluster;
	*ret_weight = disks->weight ? disks->weight : gib ? gib : 1;
	return 0;
}

int disk_engine_start(struct disks *disks, struct disk *d, char text[DAEMON_TEXT_LEN])
{
	if (memory_disk_fits(d->path))
		d->memory = memory_disk_create(d->store);
	else
		d->thread = disk_thread_start(d->store, disks->completions);
	if (!d->memory && !d->thread) {
		snprintf(text, DAEMON_TEXT_LEN, "%.600s: no thread could be started for it", d->path);
		return -EAGAIN;
	}
	d->store = NULL;
	return 0;
}

/* It is left out, and said so. text: "PATH: why". */
static void disk_is_bad(struct disks *disks, const char *path, const char *why)
{
	const struct disk_table_entry *known = disk_table_find(disks->table, path);
	struct bad_disk *bad = &disks->bad[disks->bad_count];
	size_t len = strlen(path);

	while (!strncmp(why, path, len) && !strncmp(why + len, ": ", 2))
		why += len + 2;
	log_error(disks->log, "disk %s is not used: %s", path, why);
	if (disks->bad_count == NODE_MAX_DISKS)
		return;
	bad->id = known ? known->id : 0;
	bad->path = xstrdup(path);
	bad->why = xstrdup(why);
	disks->bad_count++;
}

/* Unplugged by an operator, and still the same disk. */
static bool stays_unplugged(const struct disk_table_entry *known)
{
	struct superblock sb;
	bool single;

	return known && (known->flags & DISK_UNPLUGGED) &&
	       superblock_read(fs_posix(), known->path, &sb, &single) == 0 &&
	       sb.disk == known->id;
}

/* 0 also when the disk is left out. */
static int try_disk(struct disks *disks, const char *path, struct node_info *info,
                    char text[DAEMON_TEXT_LEN])
{
	const struct disk_table_entry *known = disk_table_find(disks->table, path);
	struct disk *d = &disks->v[disks->count];
	uint32_t weight;

	if (stays_unplugged(known)) {
		log_warn(disks->log,
		         "disk %s is not used: it was unplugged; dog node md plug takes it back",
		         path);
		return 0;
	}
	if (known && (known->flags & DISK_MOUNTED) && !disk_path_is_mounted(path)) {
		disk_is_bad(disks, path, "its file system is not mounted");
		return 0;
	}
	int rc = disk_open(disks, path, &info->cluster, d, &weight, text);
	if (rc == -SF_EINUSE || rc == -SF_EFOREIGN)
		return rc;
	if (rc < 0) {
		disk_is_bad(disks, path, text);
		return 0;
	}
	d->path = xstrdup(path);
	disks->paths[disks->count++] = d->path;
	info->disks[info->disk_count].id = d->id;
	info->disks[info->disk_count++].weight = weight;
	if (known && known->id && known->id != d->id)
		disks->replaced[disks->replaced_count++] = known->id;
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
static int check_distinct(const struct disks *disks, char text[DAEMON_TEXT_LEN])
{
	for (uint32_t i = 1; i < disks->count; i++)
		for (uint32_t j = 0; j < i; j++) {
			if (disks->v[i].id != disks->v[j].id)
				continue;
			snprintf(text, DAEMON_TEXT_LEN,
			         "%.300s and %.300s are the same disk: one is a copy",
			         disks->v[j].path, disks->v[i].path);
			return -SF_EINUSE;
		}
	return 0;
}

static bool is_named(const struct daemon_options *o, const char *path)
{
	for (uint32_t i = 0; i < o->disk_count; i++)
		if (!strcmp(o->disk_dirs[i], path))
			return true;
	return false;
}

/* Those of the command line, and those plugged in since. */
static int try_all(struct disks *disks, const struct daemon_options *o, struct node_info *info,
                   char text[DAEMON_TEXT_LEN])
{
	int rc = 0;

	for (uint32_t i = 0; i < o->disk_count && rc == 0; i++)
		rc = try_disk(disks, o->disk_dirs[i], info, text);
	for (uint32_t i = 0; i < disks->table->count && rc == 0 && !o->gateway; i++) {
		const struct disk_table_entry *e = &disks->table->v[i];
		if ((e->flags & DISK_PLUGGED) && !is_named(o, e->path) &&
		    disks->count < NODE_MAX_DISKS)
			rc = try_disk(disks, e->path, info, text);
	}
	if (rc == 0 && disks->bad_count && !disks->count) {
		snprintf(text, DAEMON_TEXT_LEN, "no disk could be opened: %.300s: %.400s",
		         disks->bad[0].path, disks->bad[0].why);
		return -EIO;
	}
	return rc;
}

/* What is true now, and what was known of those that are left out. */
static void remember(struct disks *disks, const struct daemon_options *o)
{
	struct disk_table *t = disks->table;

	for (uint32_t i = 0; i < t->count;) {
		const struct disk_table_entry *e = &t->v[i];
		if ((e->flags & DISK_PLUGGED) || is_named(o, e->path))
			i++;
		else
			disk_table_remove(t, e->path);
	}
	for (uint32_t i = 0; i < disks->count; i++) {
		const char *path = disks->v[i].path;
		disk_table_set(t, path, disks->v[i].id,
		               (disk_path_is_mounted(path) ? DISK_MOUNTED : 0) |
		                       (is_named(o, path) ? 0 : DISK_PLUGGED));
	}
	disk_table_save(t, disks->log);
}

int disks_open(const struct daemon_options *o, struct node_info *info,
               struct completions *completions, struct disks **ret, char text[DAEMON_TEXT_LEN])
{
	struct disks *disks = xcalloc(1, sizeof(*disks));
	int rc;

	disks->completions = completions;
	disks->log = o->log;
	disks->node = o->node_id;
	disks->weight = o->weight;
	disks->nosync = o->nosync;
	list_init(&disks->plugs);
	disks->table = disk_table_load(o->meta_dir);
	rc = try_all(disks, o, info, text);
	if (rc == 0)
		rc = check_distinct(disks, text);
	for (uint32_t i = 0; i < disks->count && rc == 0; i++) {
		rc = disk_join_cluster(&disks->v[i], info->cluster);
		if (rc < 0)
			snprintf(text, DAEMON_TEXT_LEN, "%.600s: %s", disks->v[i].path,
			         sf_strerror(rc));
	}
	for (uint32_t i = 0; i < disks->count && rc == 0; i++)
		rc = disk_engine_start(disks, &disks->v[i], text);
	if (rc < 0) {
		disks_close(disks);
		return rc;
	}
	if (!o->gateway)
		remember(disks, o);
	*ret = disks;
	return 0;
}

void disks_config(const struct disks *disks, struct node_config *config)
{
	config->disk_paths = disks->paths;
	config->replaced = disks->replaced;
	config->replaced_count = disks->replaced_count;
	config->bad_disks = disks->bad;
	config->bad_disk_count = disks->bad_count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DISK_TABLE_H
#define SF_LOOP_DISK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"

/*
 * What META_DIR/disks remembers of a daemon's directories from start to start: which disk was in
 * each, so that one that does not open has a name and one that was replaced can be told from it;
 * that it lay on another file system than /, so that a mount that is missing is not taken for an
 * empty disk; and which were plugged in or unplugged while the daemon ran. A line each: disk id,
 * letters, path. It informs: without it a daemon starts all the same.
 */
enum disk_table_flags {
	DISK_MOUNTED = 1 << 0,   /* m: not on the file system of / */
	DISK_PLUGGED = 1 << 1,   /* p: used although the command line does not name it */
	DISK_UNPLUGGED = 1 << 2, /* u: not used, as long as this disk is in it */
};
enum { DISK_TABLE_MAX = 256, DISK_TABLE_PATH_LEN = 4096 };

struct disk_table_entry {
	uint64_t id;
	uint32_t flags;
	char *path;
};
struct disk_table {
	char *dir, *file;
	uint32_t count;
	struct disk_table_entry v[DISK_TABLE_MAX];
};

/* An empty one when there is none, or it cannot be read. */
struct disk_table *disk_table_load(const char *meta_dir);
void disk_table_destroy(struct disk_table *t); /* NULL is fine */
const struct disk_table_entry *disk_table_find(const struct disk_table *t, const char *path);
/* Overwrites what was known of the path. */
void disk_table_set(struct disk_table *t, const char *path, uint64_t id, uint32_t flags);
void disk_table_remove(struct disk_table *t, const char *path);
/* Durable; a failure is logged. */
void disk_table_save(const struct disk_table *t, const struct log *log);

/* Whether the directory (if there is none: the one above) is on another file system than /. */
bool disk_path_is_mounted(const char *path);

#endif

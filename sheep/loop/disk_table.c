/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/disk_table.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/dir.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

static const char letters[] = "mpu"; /* by the bits of enum disk_table_flags */

static struct disk_table_entry *entry_of(const struct disk_table *t, const char *path)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (!strcmp(t->v[i].path, path))
			return (struct disk_table_entry *)&t->v[i];
	return NULL;
}

const struct disk_table_entry *disk_table_find(const struct disk_table *t, const char *path)
{
	return entry_of(t, path);
}

void disk_table_set(struct disk_table *t, const char *path, uint64_t id, uint32_t flags)
{
	struct disk_table_entry *e = entry_of(t, path);

	if (!e && (t->count == DISK_TABLE_MAX || strlen(path) >= DISK_TABLE_PATH_LEN ||
	           strchr(path, '\n')))
		return;
	if (!e) {
		e = &t->v[t->count++];
		e->path = xstrdup(path);
	}
	e->id = id;
	e->flags = flags;
}

void disk_table_remove(struct disk_table *t, const char *path)
{
	struct disk_table_entry *e = entry_of(t, path);

	if (!e)
		return;
	free(e->path);
	*e = t->v[--t->count];
}

static void line_take(struct disk_table *t, const char *line)
{
	uint32_t flags = 0;
	char mark[8];
	uint64_t id;
	int at = 0;

	if (sscanf(line, "%" SCNx64 " %7s %n", &id, mark, &at) != 2 || !at || line[at] != '/')
		return;
	for (int i = 0; letters[i]; i++)
		flags |= strchr(mark, letters[i]) ? 1u << i : 0;
	disk_table_set(t, line + at, id, flags);
}

struct disk_table *disk_table_load(const char *meta_dir)
{
	struct disk_table *t = xcalloc(1, sizeof(*t));
	size_t size = strlen(meta_dir) + sizeof("/disks");
	char line[DISK_TABLE_PATH_LEN + 64];

	t->dir = xstrdup(meta_dir);
	t->file = xmalloc(size);
	snprintf(t->file, size, "%s/disks", meta_dir);
	FILE *f = fopen(t->file, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		line_take(t, line);
	}
	if (f)
		fclose(f);
	return t;
}

void disk_table_destroy(struct disk_table *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->count; i++)
		free(t->v[i].path);
	free(t->file);
	free(t->dir);
	free(t);
}

static bool entries_write(const struct disk_table *t, FILE *f)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct disk_table_entry *e = &t->v[i];
		char mark[sizeof(letters) + 1] = "-"; /* zeros behind */
		int len = 1;

		for (int b = 0; letters[b]; b++)
			if (e->flags & 1u << b)
				mark[len++] = letters[b];
		if (fprintf(f, "%016" PRIx64 " %s %s\n", e->id, mark, e->path) < 0)
			return false;
	}
	return fflush(f) == 0 && fsync(fileno(f)) == 0;
}

void disk_table_save(const struct disk_table *t, const struct log *log)
{
	size_t size = strlen(t->file) + sizeof(".tmp");
	char *temp = xmalloc(size);
	int err = 0;
	FILE *f;
	bool ok;

	snprintf(temp, size, "%s.tmp", t->file);
	f = fopen(temp, "we");
	ok = f && entries_write(t, f);
	if (f && fclose(f) != 0)
		ok = false;
	if (!ok || rename(temp, t->file) < 0)
		err = errno ? -errno : -EIO;
	else
		err = dir_sync(t->dir);
	if (err)
		log_warn(log, "cannot write %s: %s", t->file, strerror(-err));
	free(temp);
}

bool disk_path_is_mounted(const char *path)
{
	char above[DISK_TABLE_PATH_LEN];
	struct stat root, at;

	if (stat("/", &root) < 0)
		return false;
	snprintf(above, sizeof(above), "%s/..", path);
	if (stat(path, &at) < 0 && stat(above, &at) < 0)
		return false;
	return at.st_dev != root.st_dev;
}

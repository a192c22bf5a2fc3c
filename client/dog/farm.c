/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/farm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/dog/stream.h"

enum { TAG_MAX = 200 };

__attribute__((format(printf, 3, 4))) static int failed(struct farm *f, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->error, sizeof(f->error), fmt, ap);
	va_end(ap);
	return err;
}

static int path_of(struct farm *f, char path[FARM_PATH_LEN], const char *fmt, const char *a, const char *b)
{
	char rest[512];

	snprintf(rest, sizeof(rest), fmt, a, b);
	if (snprintf(path, FARM_PATH_LEN, "%s/%s", f->dir, rest) >= FARM_PATH_LEN)
		return failed(f, -ENAMETOOLONG, "%.200s: the path is too long", f->dir);
	return 0;
}

static int make_dir(struct farm *f, const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	return failed(f, -errno, "cannot make %s: %s", path, strerror(errno));
}

int farm_open(struct farm *f, const char *dir, bool make)
{
	static const char *const below[] = {"objects", "snapshots"};
	char path[FARM_PATH_LEN];
	struct stat st;
	int err = 0;

	*f = (struct farm){0};
	if (snprintf(f->dir, sizeof(f->dir), "%s", dir) >= (int)sizeof(f->dir) - 512)
		return failed(f, -ENAMETOOLONG, "%.200s: the path is too long", dir);
	if (make)
		err = make_dir(f, f->dir);
	for (int i = 0; i < 2 && !err; i++) {
		err = path_of(f, path, "%s%s", below[i], "");
		if (!err && make)
			err = make_dir(f, path);
		else if (!err && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
			err = failed(f, -ENOENT, "%s holds no snapshots of a cluster", dir);
	}
	return err;
}

/* ---- Files ---- */

static int sync_dir(const char *path)
{
	char dir[FARM_PATH_LEN];
	int fd, err;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Of the whole file system: what an interrupted save left was renamed, and may not be durable. */
static int all_sync(struct farm *f)
{
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0 || syncfs(fd) < 0)
		err = failed(f, -errno, "cannot write %s to its disk: %s", f->dir, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

/* Whole and durable, or not there. */
static int file_put(struct farm *f, const char *path, const void *data, size_t len)
{
	char temp[FARM_PATH_LEN + 16];
	int fd, err;

	snprintf(temp, sizeof(temp), "%s.%d", path, (int)getpid());
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(f, -errno, "cannot write %s: %s", path, strerror(errno));
	err = stream_write(fd, data, len);
	if (!err && fsync(fd) < 0)
		err = -errno;
	close(fd);
	if (!err && rename(temp, path) < 0)
		err = -errno;
	if (!err)
		err = sync_dir(path);
	if (err)
		unlink(temp);
	return err ? failed(f, err, "cannot write %s: %s", path, strerror(-err)) : 0;
}

/* ---- Objects ---- */

static void hash_of(const void *data, size_t len, char hash[FARM_HASH_LEN])
{
	uint8_t raw[EVP_MAX_MD_SIZE];
	unsigned int n = 0;

	if (!EVP_Digest(data, len, raw, &n, EVP_sha256(), NULL))
		abort();
	for (unsigned int i = 0; i < n; i++)
		snprintf(hash + 2 * i, 3, "%02x", raw[i]);
}

/* One that was damaged since is written anew. */
static bool file_holds(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *found;
	bool same;

	if (fd < 0)
		return false;
	found = malloc(len + 1);
	same = found && stream_read(fd, found, len + 1) == (int64_t)len && memcmp(found, data, len) == 0;
	free(found);
	close(fd);
	return same;
}

static int object_path(struct farm *f, const char *hash, char path[FARM_PATH_LEN])
{
	char first[3] = {hash[0], hash[1], '\0'};

	if (strlen(hash) != FARM_HASH_LEN - 1 || strspn(hash, "0123456789abcdef") != FARM_HASH_LEN - 1)
		return failed(f, -EILSEQ, "the snapshot is damaged: '%.64s' is no hash", hash);
	return path_of(f, path, "objects/%s/%s", first, hash + 2);
}

int farm_put(struct farm *f, const void *data, size_t len, char hash[FARM_HASH_LEN], bool *ret_new)
{
	char path[FARM_PATH_LEN], dir[FARM_PATH_LEN];
	int err;

	hash_of(data, len, hash);
	err = object_path(f, hash, path);
	*ret_new = !err && !file_holds(path, data, len);
	if (err || !*ret_new)
		return err;
	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	err = make_dir(f, dir);
	return err ? err : file_put(f, path, data, len);
}

int farm_get(struct farm *f, const char *hash, void *data, size_t len)
{
	char path[FARM_PATH_LEN], found[FARM_HASH_LEN];
	int err = object_path(f, hash, path), fd;
	int64_t got;

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(f, -EILSEQ, "an object of the snapshot is missing: %s: %s", path, strerror(errno));
	got = stream_read(fd, data, len);
	close(fd);
	if (got == (int64_t)len)
		hash_of(data, len, found);
	if (got != (int64_t)len || strcmp(found, hash) != 0)
		return failed(f, -EILSEQ, "an object of the snapshot is damaged: %s", path);
	return 0;
}

/* ---- Snapshots ---- */

bool farm_tag_ok(const char *tag)
{
	return *tag && *tag != '.' && !strchr(tag, '/') && strlen(tag) <= TAG_MAX;
}

int farm_snapshot_check_new(struct farm *f, const char *tag)
{
	char path[FARM_PATH_LEN];
	int err = path_of(f, path, "snapshots/%s%s", tag, ".json");

	if (!err && access(path, F_OK) == 0)
		return failed(f, -EEXIST, "%s holds a snapshot %s already", f->dir, tag);
	return err;
}

int farm_snapshot_save(struct farm *f, const char *tag, const json_t *snapshot)
{
	char path[FARM_PATH_LEN], *text;
	int err = farm_snapshot_check_new(f, tag);

	if (!err)
		err = path_of(f, path, "snapshots/%s%s", tag, ".json");
	if (err)
		return err;
	text = json_dumps(snapshot, JSON_INDENT(1));
	if (!text)
		return failed(f, -ENOMEM, "no memory");
	/* Whatever it names, found or new, with the directories. */
	err = all_sync(f);
	if (!err)
		err = file_put(f, path, text, strlen(text));
	free(text);
	return err;
}

int farm_snapshot_load(struct farm *f, const char *tag, json_t **ret)
{
	char path[FARM_PATH_LEN];
	json_error_t why;
	int err = path_of(f, path, "snapshots/%s%s", tag, ".json");

	if (err)
		return err;
	if (access(path, F_OK) < 0)
		return failed(f, -ENOENT, "%s holds no snapshot %s", f->dir, tag);
	*ret = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_array(json_object_get(*ret, "volumes"))) {
		json_decref(*ret);
		*ret = NULL;
		return failed(f, -EILSEQ, "%s is damaged: %s", path, why.text);
	}
	return 0;
}

static int by_age(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "time"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "time"));

	return x != y ? (x < y ? -1 : 1)
	              : strcmp(json_string_value(json_object_get(*(json_t *const *)a, "tag")),
	                       json_string_value(json_object_get(*(json_t *const *)b, "tag")));
}

int farm_snapshot_list(struct farm *f, json_t **ret)
{
	char path[FARM_PATH_LEN], tag[256];
	json_t **all = NULL, *list;
	size_t count = 0;
	struct dirent *e;
	DIR *d;
	int err = path_of(f, path, "%s%s", "snapshots", "");

	if (err)
		return err;
	d = opendir(path);
	if (!d)
		return failed(f, -errno, "cannot read %s: %s", path, strerror(errno));
	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);
		json_t *one;
		if (len <= 5 || strcmp(e->d_name + len - 5, ".json") != 0)
			continue;
		snprintf(tag, sizeof(tag), "%.*s", (int)(len - 5), e->d_name);
		if (farm_snapshot_load(f, tag, &one) < 0)
			continue; /* shown by its own `show` */
		all = realloc(all, (count + 1) * sizeof(json_t *));
		if (!all)
			abort();
		json_object_set_new(one, "tag", json_string(tag));
		all[count++] = one;
	}
	closedir(d);
	if (count)
		qsort(all, count, sizeof(*all), by_age);
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, all[i]);
	free(all);
	*ret = list;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All volumes of a cluster in a directory (client/dog/farm.h), and back.
 *
 * Save: a working volume is snapshotted for as long as it is read, so that what is saved of it is
 * of one moment. Objects that are not there, or full of zeros, are left out.
 *
 * Load: first everything that the snapshot names is read and verified, and no volume of it may
 * exist; only then volumes are made. Of each its snapshots are made again, oldest first: only
 * objects that differ from the one before are written, so that they share what they shared. Clones
 * become volumes that share nothing with what they were cloned from. A volume of which only snapshots
 * were left is deleted once these are made. What a failed or interrupted load has made is deleted.
 */
#include "client/dog/cluster_snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/farm.h"
#include "client/dog/json.h"
#include "client/dog/progress.h"
#include "client/dog/text.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static int farm_fail(const struct farm *f, int err, const char *what)
{
	fprintf(stderr, "Failed to %s: %s\n", what, f->error);
	return err == -ENOENT ? DOG_MISSING : err == -EEXIST ? DOG_EXISTS : DOG_FAILED;
}

struct run {
	struct dog *dog;
	struct farm farm;
	struct progress progress;
	uint64_t objects, fresh, bytes;
	bool made; /* the volume at hand: it was not there before */
	uint8_t *data; /* of one object */
};

/* ---- Save ---- */

static bool all_zeros(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* {"index": hash} */
static int save_object(struct run *r, struct sf_volume *volume, const struct sf_volume_info *info, uint64_t index,
                       json_t *objects)
{
	uint64_t size = 1ull << info->object_shift, at = index * size;
	size_t len = info->size_bytes - at < size ? info->size_bytes - at : size;
	char hash[FARM_HASH_LEN], key[24];
	bool fresh;
	int err = sf_read(volume, r->data, len, at);

	if (interrupted)
		return -EINTR;
	if (err < 0)
		return dog_fail(err, "read VDI %s", info->name), err;
	progress_update(&r->progress, ++r->objects);
	if (all_zeros(r->data, len))
		return 0;
	err = farm_put(&r->farm, r->data, len, hash, &fresh);
	if (err < 0)
		return farm_fail(&r->farm, err, "save the cluster"), err;
	r->fresh += fresh;
	r->bytes += fresh ? len : 0;
	snprintf(key, sizeof(key), "%llu", (unsigned long long)index);
	json_object_set_new(objects, key, json_string(hash));
	return 0;
}

/* Of a snapshot, opened: what its map does not show reads as zeros. */
static int save_objects(struct run *r, struct sf_volume *volume, const struct sf_volume_info *info, const char *tag,
                        json_t *objects)
{
	struct sf_map_entry *entries;
	size_t count;
	int err = sf_volume_map(r->dog->cluster, info->name, tag, &entries, &count);

	if (err < 0)
		return dog_fail(err, "read the map of VDI %s", info->name), err;
	r->data = realloc(r->data, 1ull << info->object_shift);
	for (size_t i = 0; i < count && !err; i++)
		err = save_object(r, volume, info, entries[i].index, objects);
	free(entries);
	return err;
}

static json_t *describe(const struct sf_volume_info *info)
{
	char redundancy[16];

	sf_redundancy_format(info->redundancy, redundancy);
	return json_pack("{s:s, s:s, s:b, s:I, s:s, s:i, s:I, s:{}}", "name", info->name, "tag", info->tag, "snapshot",
	                 info->snapshot_id != 0, "size", (json_int_t)info->size_bytes, "redundancy", redundancy,
	                 "object_shift", (int)info->object_shift, "created", (json_int_t)info->created_s, "objects");
}

static int save_one(struct run *r, const struct sf_volume_info *info, const char *temporary, json_t *volumes)
{
	struct sf_cluster *c = r->dog->cluster;
	const char *tag = info->snapshot_id ? info->tag : temporary;
	struct sf_volume *volume;
	struct sf_volume_info now;
	char number[16];
	json_t *one;
	int err = 0;

	if (!info->snapshot_id)
		err = sf_snapshot_create(c, info->name, temporary);
	snprintf(number, sizeof(number), "%u", info->snapshot_id);
	if (!*tag)
		tag = number;
	if (!err)
		err = sf_snapshot_open(c, info->name, tag, &volume);
	if (err < 0)
		return dog_fail(err, "open VDI %s", info->name), err;
	sf_volume_get_info(volume, &now);
	one = describe(&now);
	if (!one) {
		fprintf(stderr, "Failed to save VDI %s: a cluster snapshot can hold no name or tag that is not UTF-8\n",
		        info->name);
		err = -EILSEQ;
	} else if (!info->snapshot_id) {
		json_object_set_new(one, "tag", json_string(""));
		json_object_set_new(one, "snapshot", json_false());
	}
	if (!err)
		err = save_objects(r, volume, &now, tag, json_object_get(one, "objects"));
	sf_volume_close(volume);
	if (!info->snapshot_id && sf_snapshot_delete(c, info->name, temporary) < 0)
		fprintf(stderr, "VDI %s keeps the snapshot %s: %s\n", info->name, temporary, sf_error());
	if (one)
		json_array_append_new(volumes, one);
	return err;
}

/* Snapshots of a volume oldest first, then the working volume. */
static int by_name_and_age(const void *a, const void *b)
{
	const struct sf_volume_info *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order)
		return order;
	if (!x->snapshot_id || !y->snapshot_id)
		return !x->snapshot_id - !y->snapshot_id;
	return x->snapshot_id < y->snapshot_id ? -1 : x->snapshot_id > y->snapshot_id;
}

static int save(struct run *r, const char *tag)
{
	json_t *snapshot = json_pack("{s:i, s:I, s:[]}", "version", 1, "time", (json_int_t)time(NULL), "volumes");
	struct sf_volume_info *list = NULL;
	char temporary[280], size[TEXT_SIZE_LEN];
	size_t count = 0;
	uint64_t total = 0;
	int err = farm_snapshot_check_new(&r->farm, tag), code;

	if (err)
		return json_decref(snapshot), farm_fail(&r->farm, err, "save the cluster");
	snprintf(temporary, sizeof(temporary), "saving-%s-%d", tag, (int)getpid());
	err = sf_volume_list(r->dog->cluster, &list, &count);
	if (err < 0)
		return json_decref(snapshot), dog_fail(err, "list the volumes");
	qsort(list, count, sizeof(*list), by_name_and_age);
	for (size_t i = 0; i < count; i++)
		total += (list[i].used_bytes + list[i].shared_bytes) >> list[i].object_shift;
	progress_begin(&r->progress, total, false);
	for (size_t i = 0; i < count && !err; i++)
		err = save_one(r, &list[i], temporary, json_object_get(snapshot, "volumes"));
	progress_end(&r->progress);
	free(list);
	code = err ? DOG_FAILED : DOG_OK;
	if (err == -EINTR)
		fputs("Interrupted: nothing was saved under this tag\n", stderr);
	if (!err && (err = farm_snapshot_save(&r->farm, tag, snapshot)))
		code = farm_fail(&r->farm, err, "save the cluster");
	json_decref(snapshot);
	if (!code && !r->dog->raw)
		printf("%zu volumes and snapshots saved; %s new\n", count, text_size(r->bytes, false, size));
	return code;
}

/* ---- Load ---- */

struct saved {
	const char *name, *tag;
	bool is_snapshot;
	struct sf_volume_options options;
	json_t *objects;
};

static int saved_parse(struct run *r, json_t *one, struct saved *ret)
{
	const char *redundancy = "";
	json_int_t size = -1;
	int shift = 0, snapshot = 0;

	*ret = (struct saved){0};
	if (json_unpack(one, "{s:s, s:s, s:b, s:I, s:s, s:i, s:o}", "name", &ret->name, "tag", &ret->tag, "snapshot",
	                &snapshot, "size", &size, "redundancy", &redundancy, "object_shift", &shift, "objects",
	                &ret->objects) < 0 ||
	    size < 1 || shift < 12 || shift > 24 || sf_redundancy_parse(redundancy, &ret->options.redundancy) < 0) {
		snprintf(r->farm.error, sizeof(r->farm.error), "the snapshot's file is damaged");
		return -EILSEQ;
	}
	ret->is_snapshot = snapshot;
	ret->options.size_bytes = (uint64_t)size;
	ret->options.object_shift = (uint32_t)shift;
	return 0;
}

static size_t object_len(const struct saved *s, uint64_t index)
{
	uint64_t size = 1ull << s->options.object_shift, at = index * size;

	if (at >= s->options.size_bytes)
		return 0;
	return s->options.size_bytes - at < size ? s->options.size_bytes - at : size;
}

static int verify_one(struct run *r, const struct saved *s)
{
	const char *key;
	json_t *hash;

	r->data = realloc(r->data, 1ull << s->options.object_shift);
	json_object_foreach(s->objects, key, hash) {
		uint64_t index;
		size_t len = text_parse_number(key, UINT64_MAX >> 24, &index) < 0 ? 0 : object_len(s, index);
		if (interrupted)
			return -EINTR;
		if (!len || !json_is_string(hash)) {
			snprintf(r->farm.error, sizeof(r->farm.error), "the snapshot's file is damaged");
			return -EILSEQ;
		}
		int err = farm_get(&r->farm, json_string_value(hash), r->data, len);
		if (err < 0)
			return err;
		progress_update(&r->progress, ++r->objects);
	}
	return 0;
}

/* Writes what differs from `before` (NULL: nothing is there). */
static int write_changes(struct run *r, struct sf_volume *volume, const struct saved *s, json_t *before)
{
	uint64_t size = 1ull << s->options.object_shift, index;
	const char *key;
	json_t *hash, *old;
	int err = 0;

	json_object_foreach(s->objects, key, hash) {
		text_parse_number(key, UINT64_MAX >> 24, &index);
		progress_update(&r->progress, ++r->objects);
		old = json_object_get(before, key);
		if (old && strcmp(json_string_value(old), json_string_value(hash)) == 0)
			continue;
		if (interrupted)
			return fprintf(stderr, "Interrupted: nothing was loaded\n"), -EINTR;
		err = farm_get(&r->farm, json_string_value(hash), r->data, object_len(s, index));
		if (err < 0)
			return farm_fail(&r->farm, err, "load the cluster"), err;
		err = sf_write(volume, r->data, object_len(s, index), index * size);
		if (err < 0)
			return dog_fail(err, "write VDI %s", s->name), err;
	}
	json_object_foreach(before, key, old) {
		text_parse_number(key, UINT64_MAX >> 24, &index);
		if (json_object_get(s->objects, key) || !object_len(s, index))
			continue;
		err = sf_discard(volume, object_len(s, index), index * size);
		if (err < 0)
			return dog_fail(err, "write VDI %s", s->name), err;
	}
	return 0;
}

static int load_one(struct run *r, const struct saved *s, json_t *before)
{
	struct sf_cluster *c = r->dog->cluster;
	struct sf_volume *volume = NULL;
	int err;

	if (before) {
		err = sf_volume_resize(c, s->name, s->options.size_bytes);
	} else {
		err = sf_volume_create(c, s->name, &s->options);
		r->made = err == 0;
	}
	if (!err)
		err = sf_volume_open_write(c, s->name, "dog cluster snapshot load", &volume);
	if (err < 0)
		return dog_fail(err, "make VDI %s", s->name), err;
	r->data = realloc(r->data, 1ull << s->options.object_shift);
	err = write_changes(r, volume, s, before);
	int closed = sf_volume_close(volume);
	if (!err && closed < 0)
		err = closed, dog_fail(err, "write VDI %s", s->name);
	if (!err && s->is_snapshot) {
		err = sf_snapshot_create(c, s->name, s->tag);
		if (err < 0)
			dog_fail(err, "create snapshot for VDI %s", s->name);
	}
	return err;
}

static void must_be_gone(const struct saved *s, int err)
{
	if (err < 0 && err != -ENOENT)
		fprintf(stderr, "VDI %s was made and could not be deleted: %s\n", s->name, sf_error());
}

/* All that was made goes again, up to the one that failed. What another made meanwhile stays. */
static void unload(struct run *r, json_t *volumes, size_t last)
{
	const char *before = "";
	struct saved failed, s;

	saved_parse(r, json_array_get(volumes, last), &failed);
	for (size_t i = last + 1; i-- > 0; before = s.name) {
		saved_parse(r, json_array_get(volumes, i), &s);
		if (!r->made && !strcmp(s.name, failed.name))
			continue;
		if (strcmp(s.name, before) != 0)
			must_be_gone(&s, sf_volume_delete(r->dog->cluster, s.name));
		if (s.is_snapshot)
			must_be_gone(&s, sf_snapshot_delete(r->dog->cluster, s.name, s.tag));
	}
}

/* A volume or a snapshot of that name. */
static int name_check_free(struct run *r, const char *name, const struct sf_volume_info *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, name) != 0)
			continue;
		snprintf(r->farm.error, sizeof(r->farm.error), "VDI %s exists; nothing was loaded", name);
		return -EEXIST;
	}
	return 0;
}

static int load_check(struct run *r, json_t *volumes)
{
	struct sf_volume_info *list;
	struct saved s;
	size_t i, count;
	json_t *one;
	int err = 0;

	json_array_foreach(volumes, i, one) {
		err = saved_parse(r, one, &s);
		if (!err)
			err = verify_one(r, &s);
		if (err < 0)
			return err;
	}
	err = sf_volume_list(r->dog->cluster, &list, &count);
	if (err < 0) {
		snprintf(r->farm.error, sizeof(r->farm.error), "%s", sf_error());
		return err;
	}
	json_array_foreach(volumes, i, one) {
		if (!err && !(err = saved_parse(r, one, &s)))
			err = name_check_free(r, s.name, list, count);
	}
	free(list);
	return err;
}

static bool is_last_of_its_name(struct run *r, json_t *volumes, size_t i)
{
	struct saved s, next;

	if (i + 1 == json_array_size(volumes))
		return true;
	saved_parse(r, json_array_get(volumes, i), &s);
	saved_parse(r, json_array_get(volumes, i + 1), &next);
	return strcmp(s.name, next.name) != 0;
}

static int load(struct run *r, const char *tag)
{
	struct saved s, before = {0};
	json_t *snapshot, *volumes, *one;
	uint64_t total = 0;
	size_t i;
	int err = farm_snapshot_load(&r->farm, tag, &snapshot);

	if (err)
		return farm_fail(&r->farm, err, "load the cluster");
	volumes = json_object_get(snapshot, "volumes");
	json_array_foreach(volumes, i, one)
		total += 2 * json_object_size(json_object_get(one, "objects"));
	progress_begin(&r->progress, total, false);
	err = load_check(r, volumes);
	if (err == -EINTR)
		snprintf(r->farm.error, sizeof(r->farm.error), "interrupted; nothing was loaded");
	if (err)
		farm_fail(&r->farm, err, "load the cluster");
	json_array_foreach(volumes, i, one) {
		if (err)
			break;
		saved_parse(r, one, &s);
		err = load_one(r, &s, before.name && !strcmp(before.name, s.name) ? before.objects : NULL);
		/* Of a volume that had been deleted. */
		if (!err && s.is_snapshot && is_last_of_its_name(r, volumes, i) &&
		    (err = sf_volume_delete(r->dog->cluster, s.name)) < 0)
			dog_fail(err, "delete VDI %s", s.name);
		if (err)
			unload(r, volumes, i);
		before = s;
	}
	progress_end(&r->progress);
	json_decref(snapshot);
	return !err ? DOG_OK : err == -EEXIST ? DOG_EXISTS : err == -ENOSPC ? DOG_FULL : DOG_FAILED;
}

/* ---- List and show ---- */

static int list(struct run *r)
{
	json_t *all, *one;
	char time_text[TEXT_TIME_LEN];
	size_t i;
	int err = farm_snapshot_list(&r->farm, &all);

	if (err)
		return farm_fail(&r->farm, err, "list the snapshots");
	if (r->dog->json) {
		json_t *brief = json_array();
		json_array_foreach(all, i, one)
			json_array_append_new(brief, json_pack("{s:O, s:O, s:i}", "tag", json_object_get(one, "tag"), "time",
			                                       json_object_get(one, "time"), "volumes",
			                                       (int)json_array_size(json_object_get(one, "volumes"))));
		json_decref(all);
		return json_print(brief);
	}
	if (!r->dog->raw)
		printf("Time                 Volumes  Tag\n");
	json_array_foreach(all, i, one) {
		uint64_t at = (uint64_t)json_integer_value(json_object_get(one, "time"));
		printf(r->dog->raw ? "%s %zu %s\n" : "%-19s %8zu  %s\n", text_time(at, r->dog->raw, time_text),
		       json_array_size(json_object_get(one, "volumes")),
		       json_string_value(json_object_get(one, "tag")));
	}
	json_decref(all);
	return DOG_OK;
}

static int show(struct run *r, const char *tag)
{
	json_t *snapshot, *one;
	struct saved s;
	char size[TEXT_SIZE_LEN];
	size_t i;
	int err = farm_snapshot_load(&r->farm, tag, &snapshot);

	if (err)
		return farm_fail(&r->farm, err, "show the snapshot");
	if (r->dog->json)
		return json_print(snapshot);
	if (!r->dog->raw)
		printf("Size     Objects  Copies  Name [Snapshot]\n");
	json_array_foreach(json_object_get(snapshot, "volumes"), i, one) {
		if (saved_parse(r, one, &s) < 0)
			continue;
		printf(r->dog->raw ? "%s %zu %s %s%s%s\n" : "%-8s %7zu  %-6s  %s%s%s\n",
		       text_size(s.options.size_bytes, r->dog->raw, size), json_object_size(s.objects),
		       json_string_value(json_object_get(one, "redundancy")), s.name, *s.tag ? " " : "", s.tag);
	}
	json_decref(snapshot);
	return DOG_OK;
}

/* ---- */

int cluster_snapshot(struct dog *dog, int argc, char **argv)
{
	static const char *const verbs[] = {"save", "load", "show", "list"};
	struct sigaction action = {.sa_handler = on_interrupt};
	struct run r = {.dog = dog};
	int verb = 0, code = DOG_OK, err;

	while (verb < 4 && strcmp(argv[0], verbs[verb]) != 0)
		verb++;
	if (verb == 4)
		return dog_usage("dog cluster snapshot takes save, list, show or load");
	if (argc != (verb == 3 ? 2 : 3))
		return dog_usage("usage: dog cluster snapshot %s %sDIR", argv[0], verb == 3 ? "" : "TAG ");
	if (verb < 3 && !farm_tag_ok(argv[1]))
		return dog_usage("'%.200s' cannot be a tag: 1 to 200 bytes, no slash, no dot in front", argv[1]);
	err = farm_open(&r.farm, argv[argc - 1], verb == 0);
	if (err)
		return farm_fail(&r.farm, err, "open the directory");
	if (verb < 2) {
		code = dog_connect(dog);
		sigaction(SIGINT, &action, NULL);
		sigaction(SIGTERM, &action, NULL);
	}
	if (!code)
		code = verb == 0 ? save(&r, argv[1]) : verb == 1 ? load(&r, argv[1]) : verb == 2 ? show(&r, argv[1]) : list(&r);
	free(r.data);
	return code;
}

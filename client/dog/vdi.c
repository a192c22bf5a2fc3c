/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/check.h"
#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/text.h"
#include "client/dog/vdi.h"
#include "client/dog/vdi_io.h"

int vdi_fail(int err, const char *what, const char *name)
{
	if (err == -ENOENT) {
		fprintf(stderr, "Failed to %s VDI %s: No VDI found\n", what, name);
		return DOG_MISSING;
	}
	if (err == -EEXIST) {
		fprintf(stderr, "Failed to %s VDI %s: VDI exists already\n", what, name);
		return DOG_EXISTS;
	}
	return dog_fail(err, "%s VDI %s", what, name);
}

int vdi_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > SF_NAME_MAX)
		return dog_usage("a VDI's name has 1 to %d bytes", SF_NAME_MAX);
	return 0;
}

static int size_parse(const char *text, uint64_t *ret)
{
	if (text_parse_size(text, ret) < 0)
		return dog_usage("'%.40s' is no size: give bytes, or a number with K, M, G, T or P",
		                 text);
	if (*ret == 0)
		return dog_usage("a VDI's size may not be 0");
	return 0;
}

/* ---- create, delete, resize ---- */

static int create_options(struct dog *dog, struct sf_volume_options *o)
{
	const char *copies = option_get(dog, "copies"),
		   *shift = option_get(dog, "block_size_shift");
	uint64_t n;

	if (copies && sf_redundancy_parse(copies, &o->redundancy) < 0)
		return dog_usage("%s", sf_error());
	if (shift) {
		if (text_parse_number(shift, 63, &n) < 0 || n == 0)
			return dog_usage("'%.40s' is no block size shift; 22 makes objects of 4 MiB",
			                 shift);
		o->object_shift = (uint32_t)n;
	}
	o->preallocate = option_get(dog, "prealloc") != NULL;
	return 0;
}

static int vdi_create(struct dog *dog, int argc, char **argv)
{
	struct sf_volume_options o = {0};
	struct sf_volume_info info;
	int code = vdi_name_check(argv[0]), err;

	if (!code)
		code = size_parse(argv[1], &o.size_bytes);
	if (!code)
		code = create_options(dog, &o);
	if (o.preallocate)
		dog_catch_interrupt(dog);
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = sf_volume_create(dog->cluster, argv[0], &o);
	if (err < 0)
		return vdi_fail(err, "create", argv[0]);
	if (dog->verbose && sf_volume_stat(dog->cluster, argv[0], &info) == 0)
		printf("VDI ID of newly created VDI: %x\n", info.id);
	return DOG_OK;
}

static int vdi_delete(struct dog *dog, int argc, char **argv)
{
	const char *tag = option_get(dog, "snapshot");
	int code = vdi_name_check(argv[0]), err;

	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = tag ? sf_snapshot_delete(dog->cluster, argv[0], tag)
	          : sf_volume_delete(dog->cluster, argv[0]);
	return err < 0 ? vdi_tag_fail(err, "delete", argv[0], tag) : DOG_OK;
}

static int vdi_resize(struct dog *dog, int argc, char **argv)
{
	struct sf_volume_info info;
	uint64_t size;
	int code = vdi_name_check(argv[0]), err;

	if (!code)
		code = size_parse(argv[1], &size);
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = sf_volume_stat(dog->cluster, argv[0], &info);
	if (err < 0)
		return vdi_fail(err, "resize", argv[0]);
	if (size < info.size_bytes && !option_get(dog, "force")) {
		fprintf(stderr,
		        "Failed to resize VDI %s: it would lose the data behind the new end; -f does it "
		        "all the same\n",
		        argv[0]);
		return DOG_FAILED;
	}
	err = sf_volume_resize(dog->cluster, argv[0], size);
	return err < 0 ? vdi_fail(err, "resize", argv[0]) : DOG_OK;
}

/* ---- list ---- */

static bool is_listed(const struct sf_volume_info *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i].name, name) == 0)
			return true;
	return false;
}

static int vdi_list(struct dog *dog, int argc, char **argv)
{
	struct sf_volume_info *list;
	char row[TEXT_ROW_LEN];
	json_t *values;
	size_t count, shown = 0;
	int code = dog_connect(dog), err;

	if (code)
		return code;
	err = sf_volume_list(dog->cluster, &list, &count);
	if (err < 0)
		return dog_fail(err, "list the VDIs");
	values = json_array();
	if (!dog->raw && !dog->json && (argc == 0 || is_listed(list, count, argv[0])))
		printf("  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag   "
		       "Block Size Shift\n");
	for (size_t i = 0; i < count; i++) {
		if (argc > 0 && strcmp(list[i].name, argv[0]) != 0)
			continue;
		shown++;
		if (dog->json) {
			json_array_append_new(values, json_volume(&list[i]));
			continue;
		}
		text_vdi_row(&list[i], dog->raw, row);
		printf("%s\n", row);
	}
	free(list);
	if (dog->json)
		code = json_print(values);
	else
		json_decref(values);
	if (argc > 0 && shown == 0)
		return vdi_fail(-ENOENT, "list", argv[0]);
	return code;
}

/* ---- read, write ---- */

/* NAME [OFFSET [LENGTH]]; *ret_len is UINT64_MAX when it is not given. */
static int range_parse(int argc, char **argv, uint64_t *ret_offset, uint64_t *ret_len)
{
	*ret_offset = 0;
	*ret_len = UINT64_MAX;
	if (argc > 1 && text_parse_size(argv[1], ret_offset) < 0)
		return dog_usage(
			"'%.40s' is no offset: give bytes, or a number with K, M, G, T or P",
			argv[1]);
	if (argc > 2 && text_parse_size(argv[2], ret_len) < 0)
		return dog_usage(
			"'%.40s' is no length: give bytes, or a number with K, M, G, T or P",
			argv[2]);
	return vdi_name_check(argv[0]);
}

static int vdi_transfer(struct dog *dog, int argc, char **argv, bool write)
{
	const char *what = write ? "write" : "read";
	const char *tag = write ? NULL : option_get(dog, "snapshot");
	struct sf_volume *volume;
	struct sf_volume_info info;
	uint64_t offset, len;
	int code = range_parse(argc, argv, &offset, &len), err, closed;

	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = write ? sf_volume_open_write(dog->cluster, argv[0], "dog vdi write", &volume)
	            : sf_snapshot_open(dog->cluster, argv[0], tag, &volume);
	if (err < 0)
		return vdi_tag_fail(err, what, argv[0], tag);
	sf_volume_get_info(volume, &info);
	if (offset > info.size_bytes || (len != UINT64_MAX && len > info.size_bytes - offset)) {
		fprintf(stderr,
		        "Failed to %s VDI %s: the range ends behind the end of the VDI (%llu bytes)\n",
		        what, argv[0], (unsigned long long)info.size_bytes);
		sf_volume_close(volume);
		return DOG_FAILED;
	}
	code = write ? vdi_io_write(volume, argv[0], offset, len)
	             : vdi_io_read(volume, argv[0], offset, len);
	closed = sf_volume_close(volume);
	return code ? code : closed < 0 ? vdi_fail(closed, what, argv[0]) : DOG_OK;
}

static int vdi_read(struct dog *dog, int argc, char **argv)
{
	return vdi_transfer(dog, argc, argv, false);
}

static int vdi_write(struct dog *dog, int argc, char **argv)
{
	return vdi_transfer(dog, argc, argv, true);
}

/* ---- check, object ---- */

static int vdi_check(struct dog *dog, int argc, char **argv)
{
	bool repair = option_get(dog, "exist") == NULL;
	const char *tag = option_get(dog, "snapshot");
	struct sf_volume_info info;
	json_t *results;
	int code = vdi_name_check(argv[0]), err;

	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = sf_snapshot_stat(dog->cluster, argv[0], tag, &info);
	if (err < 0)
		return vdi_tag_fail(err, "check", argv[0], tag);
	results = dog->json ? json_array() : NULL;
	code = check_volume(dog, argv[0], tag, repair, results);
	if (results && json_print(results))
		return DOG_SYSTEM;
	return code;
}

static const struct dog_verb verbs[] = {
	{"create",
         "NAME SIZE",
         "make a volume",
         2,
         2,
         vdi_create,
         {{'c', "copies", "COPIES|K:M",
           "redundancy: copies, or data:parity strips (the cluster's)"},
          {'z', "block_size_shift", "SHIFT", "objects of 2^SHIFT bytes (the cluster's)"},
          {'P', "prealloc", NULL, "write all of it with zeros"},
          {'y', "hyper", NULL, "accepted: every volume may have up to 2^32 objects"}}},
	{"list", "[NAME]", "all volumes, or one", 0, 1, vdi_list, {{0}}},
	{"read",
         "NAME [OFFSET [LENGTH]]",
         "volume to standard output",
         1,
         3,
         vdi_read,
         {{'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"write", "NAME [OFFSET [LENGTH]]", "standard input to volume", 1, 3, vdi_write, {{0}}},
	{"snapshot",
         "NAME",
         "keep what the volume is now",
         1,
         1,
         vdi_snapshot,
         {{'s', "snapshot", "TAG", "its name"}}},
	{"clone",
         "NAME CLONE",
         "make a volume from a snapshot",
         2,
         2,
         vdi_clone,
         {{'s', "snapshot", "TAG", "a snapshot, by tag or number"},
          {'n', "no-share", NULL, "copy the data: the clone shares nothing"},
          {'P', "prealloc", NULL, "the same, and write zeros where there is nothing"}}},
	{"rollback", "NAME", "make the volume what it was in a snapshot", 1, 1, vdi_rollback, {{'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"tree", "", "volumes, snapshots and clones as a tree", 0, 0, vdi_tree, {{0}}},
	{"graph", "", "the same for dot(1)", 0, 0, vdi_graph, {{0}}},
	{"delete",
         "NAME",
         "delete a volume and its data, or a snapshot",
         1,
         1,
         vdi_delete,
         {{'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"resize",
         "NAME SIZE",
         "change a volume's size",
         2,
         2,
         vdi_resize,
         {{'f', "force", NULL, "make it smaller, too: what lies behind the new end is lost"}}},
	{"check",
         "NAME",
         "verify every object and repair it",
         1,
         1,
         vdi_check,
         {{'e', "exist", NULL, "only tell, repair nothing"},
          {'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"object",
         "location | map | dump-inode NAME",
         "which disks hold an object; which volume each object belongs to; what the inode says",
         2,
         2,
         vdi_object,
         {{'i', "index", "NUMBER", "the volume's data object of this number (the inode)"},
          {'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"track",
         "NAME",
         "where an object was in each epoch that changed that",
         1,
         1,
         vdi_track,
         {{'i', "index", "NUMBER", "the volume's data object of this number (the inode)"},
          {'s', "snapshot", "TAG", "a snapshot, by tag or number"}}},
	{"alter-copy",
         "NAME",
         "move a volume to another redundancy",
         1,
         1,
         vdi_alter_copy,
         {{'c', "copies", "COPIES|K:M", "the new redundancy"}}},
	{"backup",
         "NAME",
         "snapshot to standard output",
         1,
         1,
         vdi_backup,
         {{'s', "snapshot", "TAG", "which, by tag or number"},
          {'F', "from", "TAG", "only in what it differs from this older one"}}},
	{"restore",
         "NAME",
         "volume from a backup on standard input",
         1,
         1,
         vdi_restore,
         {{'s', "snapshot", "TAG",
           "the base of a differential backup; of a full one, the tag it gets here"}}},
	{"setattr",
         "NAME KEY [VALUE]",
         "set an attribute (value: else standard input)",
         2,
         3,
         vdi_setattr,
         {{'d', "delete", NULL, "delete it"},
          {'x', "exclusive", NULL, "refuse when there is one"}}},
	{"getattr", "NAME [KEY]", "an attribute's value, or the keys", 1, 2, vdi_getattr, {{0}}},
	{"lock",
         "list | unlock NAME",
         "who writes to which volume; take a lock back",
         1,
         2,
         vdi_lock,
         {{0}}},
	{0},
};
const struct dog_noun dog_vdi = {"vdi", "Volumes (virtual disk images):", verbs};

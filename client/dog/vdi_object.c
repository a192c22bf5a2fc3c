/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/text.h"
#include "client/dog/vdi.h"

/* ---- location ---- */

static void location_print(const struct dog *dog, const char *name,
                           const struct sf_object_location *l)
{
	char address[TEXT_ADDR_LEN];

	if (!dog->raw) {
		printf("Object %016llx of %s, pool %u, placement group %u%s\n",
		       (unsigned long long)l->oid, name, l->pool, l->pg,
		       l->exists ? "" : ": it does not exist");
		printf("Shard  Host:Port            Disk              Version           State\n");
	}
	for (uint32_t i = 0; i < l->shard_count; i++) {
		const struct sf_shard_location *s = &l->shards[i];
		const char *state = !s->node     ? "no disk"
		                    : !s->up     ? "down"
		                    : s->present ? i == l->primary ? "primary" : "present"
		                                 : "absent";

		printf(dog->raw ? "%u %s %016llx %llx %s\n" : "%5u  %-20s %016llx  %-16llx  %s\n",
		       s->shard, s->node ? text_address(s->address, s->port, address) : "-",
		       (unsigned long long)s->disk, (unsigned long long)s->version, state);
	}
}

static int object_location(struct dog *dog, const char *name, const char *tag, uint64_t index)
{
	struct sf_object_location location;
	int err = sf_snapshot_locate(dog->cluster, name, tag, index, &location), code = 0;

	if (err < 0)
		return vdi_tag_fail(err, "locate an object of", name, tag);
	if (dog->json)
		code = json_print(json_location(&location));
	else
		location_print(dog, name, &location);
	return code ? code : location.exists ? DOG_OK : DOG_MISSING;
}

/* ---- map and inode ---- */

static int object_map(struct dog *dog, const char *name, const char *tag)
{
	struct sf_map_entry *map;
	size_t count;
	int err = sf_volume_map(dog->cluster, name, tag, &map, &count), code = 0;

	if (err < 0)
		return vdi_tag_fail(err, "read the map of", name, tag);
	if (dog->json) {
		json_t *all = json_array();
		for (size_t i = 0; i < count; i++)
			json_array_append_new(all, json_pack("{s:I, s:o}", "index", (json_int_t)map[i].index, "vdi_id",
			                                     json_sprintf("%x", map[i].owner)));
		code = json_print(all);
	} else {
		if (!dog->raw)
			printf("Index       VDI ID\n");
		for (size_t i = 0; i < count; i++)
			printf(dog->raw ? "%llu %x\n" : "%-10llu  %x\n", (unsigned long long)map[i].index, map[i].owner);
	}
	free(map);
	return code;
}

static int object_dump(struct dog *dog, const char *name, const char *tag)
{
	char *text;
	int err = sf_inode_dump(dog->cluster, name, tag, &text), code = 0;

	if (err < 0)
		return vdi_tag_fail(err, "read the inode of", name, tag);
	if (dog->json) {
		json_t *all = json_object();
		for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char *colon = strstr(line, ": ");
			if (!colon)
				continue; /* of a name with a newline in it */
			*colon = '\0';
			json_object_set_new(all, line, json_string(colon + 2));
		}
		code = json_print(all);
	} else {
		fputs(text, stdout);
	}
	free(text);
	return code;
}

static int index_option(struct dog *dog, uint64_t *ret)
{
	const char *text = option_get(dog, "index");

	*ret = ~0ull;
	if (text && text_parse_number(text, UINT32_MAX, ret) < 0)
		return dog_usage("'%.40s' is no number of an object", text);
	return 0;
}

int vdi_object(struct dog *dog, int argc, char **argv)
{
	const char *tag = option_get(dog, "snapshot");
	uint64_t index;
	int code = index_option(dog, &index);

	(void)argc;
	if (!code && strcmp(argv[0], "location") && strcmp(argv[0], "map") && strcmp(argv[0], "dump-inode"))
		code = dog_usage("dog vdi object takes location, map or dump-inode");
	if (!code)
		code = vdi_name_check(argv[1]);
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	if (strcmp(argv[0], "map") == 0)
		return object_map(dog, argv[1], tag);
	if (strcmp(argv[0], "dump-inode") == 0)
		return object_dump(dog, argv[1], tag);
	return object_location(dog, argv[1], tag, index);
}

/* ---- track ---- */

struct track {
	const struct dog *dog;
	json_t *all;
	bool begun;
};

static void track_row(void *arg, uint32_t epoch, uint64_t time_s, const struct sf_object_location *l)
{
	char time_text[TEXT_TIME_LEN], address[TEXT_ADDR_LEN];
	struct track *t = arg;

	if (t->all) {
		json_t *row = json_location(l);
		json_object_set_new(row, "epoch", json_integer(epoch));
		json_object_set_new(row, "time", json_integer((json_int_t)time_s));
		json_array_append_new(t->all, row);
		return;
	}
	if (!t->begun && !t->dog->raw)
		printf("Time                 Epoch [Host:Port of each shard]\n");
	t->begun = true;
	printf(t->dog->raw ? "%s %u [" : "%s %6u [", text_time(time_s, t->dog->raw, time_text), epoch);
	for (uint32_t i = 0; i < l->shard_count; i++) {
		const struct sf_shard_location *s = &l->shards[i];
		printf("%s%s%s", i ? ", " : "", s->node ? text_address(s->address, s->port, address) : "-",
		       s->node && !s->up ? " down" : "");
	}
	puts("]");
}

int vdi_track(struct dog *dog, int argc, char **argv)
{
	const char *tag = option_get(dog, "snapshot");
	struct track t = {.dog = dog};
	uint64_t index;
	int code = index_option(dog, &index), err;

	(void)argc;
	if (!code)
		code = vdi_name_check(argv[0]);
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	if (dog->json)
		t.all = json_array();
	err = sf_object_track(dog->cluster, argv[0], tag, index, track_row, &t);
	if (err < 0) {
		json_decref(t.all);
		return vdi_tag_fail(err, "track", argv[0], tag);
	}
	return t.all ? json_print(t.all) : DOG_OK;
}

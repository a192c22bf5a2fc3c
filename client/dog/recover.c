/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/recover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/text.h"

enum { ASK_SHOWS = 20 }; /* of each kind, before the question; list has all */

/* ---- In words ---- */

static void object_print(const struct sf_trouble *t)
{
	char at[TEXT_SIZE_LEN], len[TEXT_SIZE_LEN];

	printf("object %016llx", (unsigned long long)t->oid);
	if (*t->volume)
		printf(", %svolume %s", t->is_inode ? "the description of " : "", t->volume);
	else
		printf(", %svolume id %x", t->is_inode ? "the description of " : "", t->volume_id);
	if (!t->is_inode)
		printf(", bytes %llu to %llu (%s at %s)", (unsigned long long)t->offset,
		       (unsigned long long)(t->offset + t->length - 1),
		       text_size(t->length, false, len), text_size(t->offset, false, at));
}

void trouble_print(const struct sf_trouble *t)
{
	switch (t->kind) {
	case SF_TROUBLE_DOWN:
		printf("placement group %u.%u serves nothing: ", t->pool, t->pg);
		if (t->since_epoch)
			printf("what was changed since epoch %u may be only on disks that are away",
			       t->since_epoch);
		else
			printf("%u of its %u parts are up and %u are needed", t->have, t->shards,
			       t->need);
		return;
	case SF_TROUBLE_UNFOUND:
		object_print(t);
		printf(": %u of the %u parts needed are there; the rest may be on disks that are away",
		       t->have, t->need);
		return;
	case SF_TROUBLE_LOST:
		object_print(t);
		printf(": lost, %u of the %u parts needed are left", t->have, t->need);
		return;
	case SF_TROUBLE_UNDECIDED:
		object_print(t);
		printf(": its parts contradict each other, and none can be shown to be the wrong one");
		return;
	}
}

static const struct sf_disk *disk_find(const struct sf_status *status, uint64_t id)
{
	for (uint32_t i = 0; i < status->disk_count; i++)
		if (status->disks[i].id == id)
			return &status->disks[i];
	return NULL;
}

void disk_print(const struct sf_status *status, const struct sf_map *map, uint64_t id)
{
	const struct sf_disk *d = disk_find(status, id);
	char address[TEXT_ADDR_LEN];

	for (uint32_t i = 0; d && map && i < map->node_count; i++)
		if (map->nodes[i].id == d->node)
			printf("%s ",
			       text_address(map->nodes[i].address, map->nodes[i].port, address));
	printf("disk %016llx", (unsigned long long)id);
}

/* ---- JSON ---- */

static const char *kind_word(enum sf_trouble_kind kind)
{
	switch (kind) {
	case SF_TROUBLE_DOWN:
		return "down";
	case SF_TROUBLE_LOST:
		return "lost";
	case SF_TROUBLE_UNFOUND:
		return "unfound";
	case SF_TROUBLE_UNDECIDED:
		return "undecided";
	}
	return "?";
}

static json_t *json_hex(uint64_t id)
{
	char text[20];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	return json_string(text);
}

static json_t *trouble_json(const struct sf_trouble *t)
{
	json_t *disks = json_array(), *value, *name;

	for (uint32_t i = 0; i < t->disk_count; i++)
		json_array_append_new(disks, json_hex(t->disks[i]));
	value = json_pack("{s:s, s:i, s:i, s:i, s:i, s:o}", "kind", kind_word(t->kind), "pool",
	                  (int)t->pool, "placement_group", (int)t->pg, "have", (int)t->have, "need",
	                  (int)t->need, "disks", disks);
	if (t->since_epoch)
		json_object_set_new(value, "since_epoch", json_integer(t->since_epoch));
	if (!t->oid)
		return value;
	name = *t->volume ? json_string(t->volume) : NULL;
	json_object_set_new(value, "object", json_hex(t->oid));
	json_object_set_new(value, "volume", name ? name : json_null());
	json_object_set_new(value, "inode", json_boolean(t->is_inode));
	json_object_set_new(value, "offset", json_integer((json_int_t)t->offset));
	json_object_set_new(value, "length", json_integer((json_int_t)t->length));
	return value;
}

json_t *json_troubles(const struct sf_troubles *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, trouble_json(&list->v[i]));
	return array;
}

/* ---- What waits, and for what ---- */

struct picture {
	struct sf_troubles *troubles;
	struct sf_status *status;
	struct sf_map *map;
};

static int picture_get(struct dog *dog, struct picture *p)
{
	int code = dog_connect(dog), err;

	memset(p, 0, sizeof(*p));
	if (code)
		return code;
	err = sf_troubles_get(dog->cluster, &p->troubles);
	if (!err)
		err = sf_status_get(dog->cluster, &p->status);
	if (!err)
		err = sf_map_get(dog->cluster, 0, &p->map);
	return err < 0 ? dog_fail(err, "look at the cluster") : 0;
}

static void picture_free(struct picture *p)
{
	sf_troubles_free(p->troubles);
	sf_status_free(p->status);
	sf_map_free(p->map);
}

static void silent_print(const struct sf_troubles *list)
{
	if (list->silent)
		fprintf(stderr, "%u node%s up and gave no answer: this may not be all.\n",
		        list->silent, list->silent == 1 ? " is" : "s are");
}

static void disks_print(const struct picture *p, const struct sf_trouble *t)
{
	for (uint32_t i = 0; i < t->disk_count; i++) {
		printf("%s", i ? "\n        or " : "\n    waits for ");
		disk_print(p->status, p->map, t->disks[i]);
	}
	printf("\n");
}

/* For scripts: one line each, "-" for what there is not. */
static void trouble_print_raw(const struct sf_trouble *t)
{
	printf("%s %u.%u %016llx %06x %llu %llu %u %u %u ", kind_word(t->kind), t->pool, t->pg,
	       (unsigned long long)t->oid, t->volume_id, (unsigned long long)t->offset,
	       (unsigned long long)t->length, t->have, t->need, t->since_epoch);
	for (uint32_t i = 0; i < t->disk_count; i++)
		printf("%s%016llx", i ? "," : "", (unsigned long long)t->disks[i]);
	printf("%s\n", t->disk_count ? "" : "-");
}

static int recover_list(struct dog *dog)
{
	struct picture p;
	int code = picture_get(dog, &p);

	if (!code && dog->json) {
		code = json_print(json_troubles(p.troubles));
	} else if (!code) {
		for (size_t i = 0; i < p.troubles->count; i++) {
			if (dog->raw) {
				trouble_print_raw(&p.troubles->v[i]);
				continue;
			}
			trouble_print(&p.troubles->v[i]);
			disks_print(&p, &p.troubles->v[i]);
		}
		if (!p.troubles->count && !dog->raw)
			printf("No placement group is down, and no object unfound, lost or undecided.\n");
	}
	if (!code)
		silent_print(p.troubles);
	picture_free(&p);
	return code;
}

/* ---- Giving up ---- */

struct loss {
	uint64_t *disks;
	uint32_t count;
	size_t pgs, objects;
};

static void loss_add(struct loss *l, uint64_t disk)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (l->disks[i] == disk)
			return;
	l->disks = realloc(l->disks, (l->count + 1) * sizeof(l->disks[0]));
	if (!l->disks)
		abort();
	l->disks[l->count++] = disk;
}

static void loss_gather(const struct picture *p, struct loss *l)
{
	for (size_t i = 0; i < p->troubles->count; i++) {
		const struct sf_trouble *t = &p->troubles->v[i];

		if (!t->disk_count)
			continue;
		l->pgs += t->kind == SF_TROUBLE_DOWN;
		l->objects += t->kind == SF_TROUBLE_UNFOUND;
		for (uint32_t d = 0; d < t->disk_count; d++)
			loss_add(l, t->disks[d]);
	}
}

static void loss_print_kind(const struct picture *p, enum sf_trouble_kind kind, size_t count)
{
	size_t shown = 0;

	for (size_t i = 0; i < p->troubles->count && shown < ASK_SHOWS; i++) {
		const struct sf_trouble *t = &p->troubles->v[i];

		if (t->kind != kind || !t->disk_count)
			continue;
		printf("    ");
		trouble_print(t);
		printf("\n");
		shown++;
	}
	if (count > shown)
		printf("    and %zu more: dog cluster recover list shows all\n", count - shown);
}

static void loss_print(const struct picture *p, const struct loss *l)
{
	printf("These disks are given up, for good, with all that only they have:\n");
	for (uint32_t i = 0; i < l->count; i++) {
		printf("    ");
		disk_print(p->status, p->map, l->disks[i]);
		printf("\n");
	}
	if (l->pgs) {
		printf("%zu placement group%s without them. Acknowledged changes that only they have "
		       "are undone:\nobjects go back to an older content or read as zeros, and which "
		       "ones cannot be told (dog vdi check -v counts those of a volume that are gone).\n",
		       l->pgs, l->pgs == 1 ? " serves again" : "s serve again");
		loss_print_kind(p, SF_TROUBLE_DOWN, l->pgs);
	}
	if (l->objects) {
		printf("%zu object%s lost. Reading %s fails until %s deleted or overwritten as a "
		       "whole:\n",
		       l->objects, l->objects == 1 ? " is" : "s are",
		       l->objects == 1 ? "it" : "them", l->objects == 1 ? "it is" : "they are");
		loss_print_kind(p, SF_TROUBLE_UNFOUND, l->objects);
	}
	printf("If one of these disks can still be brought back, do that instead. A disk that was given "
	       "up is not\nused again; emptied, it counts as a new one.\n");
}

static bool confirmed(void)
{
	char answer[16];

	printf("Are you sure you want to continue? [yes/no]: ");
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && strcmp(answer, "yes\n") == 0;
}

static int loss_accept(struct dog *dog, const struct picture *p, const struct loss *l)
{
	int err;

	loss_print(p, l);
	silent_print(p->troubles);
	if (!option_get(dog, "force") && !confirmed()) {
		fprintf(stderr, "Nothing was changed.\n");
		return DOG_FAILED;
	}
	err = sf_give_up(dog->cluster, p->troubles->epoch, l->disks, l->count);
	if (err < 0)
		return dog_fail(err, "give the disks up");
	printf("%u disk%s given up.\n", l->count, l->count == 1 ? " was" : "s were");
	return DOG_OK;
}

static int recover_force(struct dog *dog)
{
	struct loss loss = {0};
	struct picture p;
	int code = picture_get(dog, &p);

	if (!code)
		loss_gather(&p, &loss);
	if (!code && loss.count > 0) {
		code = loss_accept(dog, &p, &loss);
	} else if (!code) {
		printf("Nothing waits for a disk that is away: there is nothing to give up.\n");
		if (p.status->objects_lost > 0)
			printf("%llu objects are lost; deleting or overwriting them is what is left: "
			       "dog cluster recover list shows them.\n",
			       (unsigned long long)p.status->objects_lost);
		silent_print(p.troubles);
	}
	free(loss.disks);
	picture_free(&p);
	return code;
}

int cluster_recover(struct dog *dog, int argc, char **argv)
{
	bool enable = strcmp(argv[0], "enable") == 0;
	int code, err;

	if (option_get(dog, "force") && strcmp(argv[0], "force") != 0)
		return dog_usage("-f belongs to dog cluster recover force");
	if (strcmp(argv[0], "list") == 0)
		return recover_list(dog);
	if (strcmp(argv[0], "force") == 0)
		return recover_force(dog);
	if (!enable && strcmp(argv[0], "disable") != 0)
		return dog_usage("dog cluster recover takes enable, disable, list or force");
	code = dog_connect(dog);
	if (code)
		return code;
	err = sf_set_recovery(dog->cluster, enable);
	if (err < 0)
		return dog_fail(err, "%s recovery", argv[0]);
	printf("Cluster recovery: %s\n", argv[0]);
	return DOG_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* dog node md: the disks of a node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/node_leave.h"
#include "client/dog/text.h"

enum { WAIT_MAX_S = 7 * 24 * 3600 };

/* ---- info ---- */

static const char *disk_label(const struct sf_disk *d, char text[320])
{
	const char *state = d->lost ? "given up" : d->failed ? "failed" : d->leaving ? "leaving" : "";

	snprintf(text, 320, "%s%s%s", *d->path ? d->path : *state ? "" : "?",
	         *d->path && *state ? " " : "", state);
	return text;
}

static void md_print_node(const struct dog *dog, const struct sf_status *status, uint64_t node)
{
	char row[TEXT_ROW_LEN], label[16], path[320];
	uint32_t id = 0;

	for (uint32_t i = 0; i < status->disk_count; i++) {
		const struct sf_disk *d = &status->disks[i];

		if (d->node != node)
			continue;
		snprintf(label, sizeof(label), "%2u", id++);
		text_space_row(label, d->size_bytes, d->used_bytes, d->avail_bytes,
		               disk_label(d, path), dog->raw, row);
		printf("%s", row);
		if (dog->verbose)
			printf("%s%016llx", dog->raw ? " " : "\t", (unsigned long long)d->id);
		putchar('\n');
	}
	for (uint32_t i = 0; i < status->bad_disk_count; i++)
		if (status->bad_disks[i].node == node)
			fprintf(stderr, "%s is not used: %s\n", status->bad_disks[i].path,
			        status->bad_disks[i].why);
}

static json_t *md_json(const struct sf_status *status, uint64_t node)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < status->disk_count; i++)
		if (!node || status->disks[i].node == node)
			json_array_append_new(disks, json_disk(&status->disks[i]));
	return disks;
}

static int md_info(struct dog *dog, const struct node_view *view, const struct sf_status *status)
{
	bool all = option_get(dog, "all") != NULL;
	uint64_t home = sf_home_node(dog->cluster);

	if (dog->json)
		return json_print(md_json(status, all ? 0 : home));
	if (!dog->raw)
		printf("Id\tSize\tUsed\tAvail\tUse%%\tPath\n");
	for (uint32_t i = 0; i < view->count; i++) {
		if (!all && view->living[i]->id != home)
			continue;
		if (all)
			printf(dog->raw ? "Node %u\n" : "Node %u:\n", i);
		md_print_node(dog, status, view->living[i]->id);
	}
	return DOG_OK;
}

/* ---- plug and unplug ---- */

static int md_plug(struct dog *dog, uint64_t home, char *dirs)
{
	char *save;
	int worst = DOG_OK;

	for (char *dir = strtok_r(dirs, ",", &save); dir; dir = strtok_r(NULL, ",", &save)) {
		int err = sf_disk_plug(dog->cluster, home, dir);

		if (err < 0)
			worst = dog_fail(err, "plug %s", dir);
	}
	return worst;
}

/* 0: there is none that the node tells of (one that failed may have no path any more). */
static uint64_t disk_called(const struct sf_status *s, uint64_t home, const char *name)
{
	char id[20];

	for (uint32_t i = 0; i < s->disk_count; i++) {
		const struct sf_disk *d = &s->disks[i];

		snprintf(id, sizeof(id), "%016llx", (unsigned long long)d->id);
		if (d->node == home && (!strcmp(d->path, name) || !strcmp(id, name)))
			return d->id;
	}
	return 0;
}

static int unplug_one(struct dog *dog, const struct node_view *view, const struct sf_status *s,
                      const char *name)
{
	struct leaver l = {.node = node_home(dog, view),
	                   .disk = disk_called(s, sf_home_node(dog->cluster), name)};
	const char *wait = option_get(dog, "wait");
	bool now = option_get(dog, "force") != NULL;
	struct leaver_room room = {.fits = true};
	char bytes[TEXT_SIZE_LEN], avail[TEXT_SIZE_LEN];
	uint64_t wait_s = 0;
	int err;

	if (wait && text_parse_number(wait, WAIT_MAX_S, &wait_s) < 0)
		return dog_usage("'%.40s' is no number of seconds", wait);
	if (l.disk)
		leaver_room_get(s, view->map, &l, &room);
	if (!now && !room.fits) {
		fprintf(stderr,
		        "Failed to unplug %s: it holds %s and the others have room for %s; add disks or delete "
		        "volumes first\n",
		        name, text_size(room.bytes, false, bytes), text_size(room.avail, false, avail));
		return DOG_FULL;
	}
	err = sf_disk_unplug(dog->cluster, sf_home_node(dog->cluster), l.disk ? NULL : name, l.disk,
	                     now);
	if (err < 0)
		return dog_fail(err, "unplug %s", name);
	if (!now && view->map->formatted && !dog->raw && !dog->json && room.parts > 0)
		printf("%s is leaving: %s in %llu parts move to other disks; dog node md info no longer "
		       "lists it when it has left.\n",
		       name, text_size(room.bytes, false, bytes), (unsigned long long)room.parts);
	return wait_s && l.disk ? leaver_wait(dog, &l, wait_s) : DOG_OK;
}

static int md_unplug(struct dog *dog, const struct node_view *view, const struct sf_status *s,
                     char *dirs)
{
	char *save;
	int code, worst = DOG_OK;

	for (char *dir = strtok_r(dirs, ",", &save); dir; dir = strtok_r(NULL, ",", &save)) {
		code = unplug_one(dog, view, s, dir);
		worst = code ? code : worst;
	}
	return worst;
}

int node_md(struct dog *dog, int argc, char **argv)
{
	bool plug = strcmp(argv[0], "plug") == 0, unplug = strcmp(argv[0], "unplug") == 0;
	struct sf_status *status;
	struct node_view view;
	int code, err;

	if (!plug && !unplug && strcmp(argv[0], "info") != 0)
		return dog_usage("dog node md takes info, plug DIRS or unplug DIRS");
	if (argc != (plug || unplug ? 2 : 1) || (argc == 2 && !argv[1][strspn(argv[1], ",")]))
		return dog_usage(plug || unplug ? "dog node md %s takes directories, with commas between"
		                           : "dog node md %s takes no more", argv[0]);
	code = node_view_get(dog, &view);
	if (code)
		return code;
	err = sf_status_get(dog->cluster, &status);
	if (err < 0) {
		node_view_fini(&view);
		return dog_fail(err, "get the disks' state");
	}
	if (plug)
		code = md_plug(dog, sf_home_node(dog->cluster), argv[1]);
	else if (unplug)
		code = md_unplug(dog, &view, status, argv[1]);
	else
		code = md_info(dog, &view, status);
	sf_status_free(status);
	node_view_fini(&view);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/node_view.h"
#include "client/dog/text.h"

/* ---- Living nodes ---- */

int node_view_get(struct dog *dog, struct node_view *ret)
{
	int code = dog_connect(dog), err;

	*ret = (struct node_view){0};
	if (code)
		return code;
	err = sf_map_get(dog->cluster, 0, &ret->map);
	if (err < 0)
		return dog_fail(err, "get the list of nodes");
	ret->living = calloc(ret->map->node_count + 1, sizeof(ret->living[0]));
	for (uint32_t i = 0; ret->living && i < ret->map->node_count; i++)
		if (ret->map->nodes[i].up)
			ret->living[ret->count++] = &ret->map->nodes[i];
	return DOG_OK;
}

void node_view_fini(struct node_view *view)
{
	free(view->living);
	sf_map_free(view->map);
}

/* ---- list ---- */

static int node_list(struct dog *dog, int argc, char **argv)
{
	struct node_view view;
	char row[TEXT_ROW_LEN];
	json_t *list;
	int code = node_view_get(dog, &view);

	if (code)
		return code;
	if (dog->json) {
		list = json_array();
		for (uint32_t i = 0; i < view.count; i++)
			json_array_append_new(list, json_node(i, view.living[i]));
		code = json_print(list);
	} else {
		if (!dog->raw)
			printf("  Id   Host:Port         V-Nodes       Zone\n");
		for (uint32_t i = 0; i < view.count; i++) {
			text_node_row(i, view.living[i], dog->raw, row);
			printf("%s\n", row);
		}
	}
	node_view_fini(&view);
	return code;
}

/* ---- info ---- */

struct space {
	uint64_t size, used, avail;
};

static void space_add_node(struct space *sum, const struct sf_status *status, uint64_t node)
{
	for (uint32_t i = 0; i < status->disk_count; i++) {
		const struct sf_disk *d = &status->disks[i];

		if (d->node != node || !d->known)
			continue;
		sum->size += d->size_bytes;
		sum->used += d->used_bytes;
		sum->avail += d->avail_bytes;
	}
}

static int virtual_size(struct dog *dog, uint64_t *ret)
{
	struct sf_volume_info *list;
	size_t count;
	int err = sf_volume_list(dog->cluster, &list, &count);

	*ret = 0;
	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		*ret += list[i].size_bytes;
	free(list);
	return 0;
}

static void space_print(const struct dog *dog, const char *label, const struct space *s)
{
	char row[TEXT_ROW_LEN];

	text_space_row(label, s->size, s->used, s->avail, NULL, dog->raw, row);
	printf("%s\n", row);
}

static void info_print(const struct dog *dog, const struct node_view *view,
                       const struct sf_status *status, uint64_t image_bytes)
{
	char label[16], size[TEXT_SIZE_LEN];
	struct space total = {0};

	if (!dog->raw)
		printf("Id\tSize\tUsed\tAvail\tUse%%\n");
	for (uint32_t i = 0; i < view->count; i++) {
		struct space s = {0};

		space_add_node(&s, status, view->living[i]->id);
		space_add_node(&total, status, view->living[i]->id);
		snprintf(label, sizeof(label), "%2u", i);
		space_print(dog, label, &s);
	}
	space_print(dog, "Total", &total);
	if (dog->raw)
		printf("%llu\n", (unsigned long long)image_bytes);
	else
		printf("\nTotal virtual image size\t%s\n", text_size(image_bytes, false, size));
}

static json_t *info_json(const struct node_view *view, const struct sf_status *status,
                         uint64_t image_bytes)
{
	json_t *nodes = json_array(), *node;

	for (uint32_t i = 0; i < view->count; i++) {
		struct space s = {0};

		space_add_node(&s, status, view->living[i]->id);
		node = json_node(i, view->living[i]);
		json_object_set_new(node, "size", json_integer((json_int_t)s.size));
		json_object_set_new(node, "used", json_integer((json_int_t)s.used));
		json_object_set_new(node, "avail", json_integer((json_int_t)s.avail));
		json_array_append_new(nodes, node);
	}
	return json_pack("{s:o, s:I}", "nodes", nodes, "virtual_image_size",
	                 (json_int_t)image_bytes);
}

static int node_info(struct dog *dog, int argc, char **argv)
{
	struct sf_status *status;
	struct node_view view;
	uint64_t image_bytes = 0;
	int code = node_view_get(dog, &view), err;

	if (code)
		return code;
	err = sf_status_get(dog->cluster, &status);
	if (!err && view.map->formatted)
		err = virtual_size(dog, &image_bytes);
	if (err < 0) {
		node_view_fini(&view);
		return dog_fail(err, "get the nodes' state");
	}
	if (dog->json)
		code = json_print(info_json(&view, status, image_bytes));
	else
		info_print(dog, &view, status, image_bytes);
	sf_status_free(status);
	node_view_fini(&view);
	return code;
}

/* ---- md ---- */

static void md_print_node(const struct dog *dog, const struct sf_status *status, uint64_t node)
{
	char row[TEXT_ROW_LEN], label[16];
	uint32_t id = 0;

	for (uint32_t i = 0; i < status->disk_count; i++) {
		const struct sf_disk *d = &status->disks[i];

		if (d->node != node)
			continue;
		snprintf(label, sizeof(label), "%2u", id++);
		text_space_row(label, d->size_bytes, d->used_bytes, d->avail_bytes,
		               d->failed  ? "failed"
		               : d->known ? d->path
		                          : "?",
		               dog->raw, row);
		printf("%s\n", row);
	}
}

static int md_show(struct dog *dog, const struct node_view *view, const struct sf_status *status)
{
	bool all = option_get(dog, "all") != NULL;
	uint64_t home = sf_home_node(dog->cluster);
	json_t *disks = json_array();

	if (!dog->raw && !dog->json)
		printf("Id\tSize\tUsed\tAvail\tUse%%\tPath\n");
	for (uint32_t i = 0; i < view->count; i++) {
		uint64_t node = view->living[i]->id;

		if (!all && node != home)
			continue;
		if (all && !dog->json)
			printf(dog->raw ? "Node %u\n" : "Node %u:\n", i);
		if (!dog->json)
			md_print_node(dog, status, node);
		for (uint32_t d = 0; d < status->disk_count; d++)
			if (status->disks[d].node == node)
				json_array_append_new(disks, json_disk(&status->disks[d]));
	}
	if (dog->json)
		return json_print(disks);
	json_decref(disks);
	return DOG_OK;
}

static int node_md(struct dog *dog, int argc, char **argv)
{
	struct sf_status *status;
	struct node_view view;
	int code, err;

	if (strcmp(argv[0], "plug") == 0 || strcmp(argv[0], "unplug") == 0)
		return dog_usage("dog node md %s: not available in this version", argv[0]);
	if (strcmp(argv[0], "info") != 0 || argc > 1)
		return dog_usage("dog node md takes info");
	code = node_view_get(dog, &view);
	if (code)
		return code;
	err = sf_status_get(dog->cluster, &status);
	if (err < 0) {
		node_view_fini(&view);
		return dog_fail(err, "get the disks' state");
	}
	code = md_show(dog, &view, status);
	sf_status_free(status);
	node_view_fini(&view);
	return code;
}

/* ---- kill ---- */

static int node_kill(struct dog *dog, int argc, char **argv)
{
	struct node_view view;
	uint64_t id;
	int code, err;

	if (text_parse_number(argv[0], UINT32_MAX, &id) < 0)
		return dog_usage("'%.40s' is no id of dog node list", argv[0]);
	code = node_view_get(dog, &view);
	if (code)
		return code;
	if (id >= view.count) {
		fprintf(stderr,
		        "Failed to kill node %llu: there are %u living nodes, ids begin at 0\n",
		        (unsigned long long)id, view.count);
		node_view_fini(&view);
		return DOG_MISSING;
	}
	err = sf_node_kill(dog->cluster, view.living[id]->id);
	node_view_fini(&view);
	return err < 0 ? dog_fail(err, "kill node %s", argv[0]) : DOG_OK;
}

static const struct dog_verb verbs[] = {
	{"list", "", "the living nodes", 0, 0, node_list, {{0}}},
	{"info", "", "space of each node", 0, 0, node_info, {{0}}},
	{"recovery",
         "[info]",
         "nodes that rebuild data, and how far they are",
         0,
         3,
         node_recovery,
         {{'P', "progress", NULL, "follow it until it is done: objects, rate, time left"}}},
	{"md",
         "info",
         "disks of the node connected to",
         1,
         2,
         node_md,
         {{'A', "all", NULL, "of all nodes"}}},
	{"kill", "ID", "stop one node in order; ID as in dog node list", 1, 1, node_kill, {{0}}},
	{0},
};
const struct dog_noun dog_node = {"node", "Nodes and their disks:", verbs};

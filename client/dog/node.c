/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/node_leave.h"
#include "client/dog/text.h"

/* ---- list ---- */

/* Behind a row, for people: what is special about the node. */
static const char *node_note(const struct sf_node *n, const struct sf_status *s)
{
	struct leaver l = {.node = n};

	if (n->draining && !n->up)
		return "   down, leaving";
	if (n->draining)
		return s && leaver_is_empty(s, &l) ? "   drained" : "   draining";
	if (n->maintenance)
		return n->up ? "   maintenance" : "   down, maintenance";
	return n->up ? "" : n->out ? "   down, out" : "   down";
}

static bool any_draining(const struct sf_map *map)
{
	for (uint32_t i = 0; i < map->node_count; i++)
		if (map->nodes[i].draining)
			return true;
	return false;
}

/* -v: ids, and those that are down; they have no place among the living. */
static void list_more(const struct node_view *view)
{
	char row[TEXT_ROW_LEN];

	for (uint32_t i = 0; i < view->map->node_count; i++) {
		const struct sf_node *n = &view->map->nodes[i];

		if (n->up)
			continue;
		text_node_row(0, n, false, row);
		printf("   -%s%s   %016llx\n", row + 4, node_note(n, NULL), (unsigned long long)n->id);
	}
}

static void list_print(const struct dog *dog, const struct node_view *view, const struct sf_status *s)
{
	char row[TEXT_ROW_LEN];

	if (!dog->raw)
		printf("  Id   Host:Port         V-Nodes       Zone\n");
	for (uint32_t i = 0; i < view->count; i++) {
		text_node_row(i, view->living[i], dog->raw, row);
		printf("%s%s", row, dog->raw ? "" : node_note(view->living[i], s));
		if (dog->verbose && !dog->raw)
			printf("   %016llx", (unsigned long long)view->living[i]->id);
		putchar('\n');
	}
	if (dog->verbose && !dog->raw)
		list_more(view);
}

static int list_json(const struct node_view *view, const struct sf_status *s)
{
	json_t *list = json_array(), *value;

	for (uint32_t i = 0; i < view->count; i++) {
		struct leaver l = {.node = view->living[i]};

		value = json_node(i, view->living[i]);
		if (s && view->living[i]->draining)
			json_object_set_new(value, "drained", json_boolean(leaver_is_empty(s, &l)));
		json_array_append_new(list, value);
	}
	return json_print(list);
}

static int node_list(struct dog *dog, int argc, char **argv)
{
	struct sf_status *status = NULL;
	struct node_view view;
	int code = node_view_get(dog, &view);

	if (code)
		return code;
	if (any_draining(view.map) && sf_status_get(dog->cluster, &status) < 0)
		status = NULL;
	if (dog->json)
		code = list_json(&view, status);
	else
		list_print(dog, &view, status);
	sf_status_free(status);
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

/* ---- kill ---- */

static int node_kill(struct dog *dog, int argc, char **argv)
{
	const struct sf_node *node;
	struct node_view view;
	int code = node_view_get(dog, &view), err;

	if (code)
		return code;
	code = node_pick(&view, argv[0], &node);
	err = code ? 0 : sf_node_kill(dog->cluster, node->id);
	node_view_fini(&view);
	return err < 0 ? dog_fail(err, "kill node %s", argv[0]) : code;
}

static const struct dog_verb verbs[] = {
	{"list", "", "the living nodes", 0, 0, node_list, {{0}}},
	{"info", "", "space of each node", 0, 0, node_info, {{0}}},
	{"recovery",
         "[info] | set-throttle MAX INTERVAL | get-throttle",
         "nodes that rebuild data, and how far they are; how many objects the node connected to begins "
         "to rebuild in INTERVAL milliseconds",
         0,
         3,
         node_recovery,
         {{'P', "progress", NULL, "follow it until it is done: objects, rate, time left"}}},
	{"md",
         "info | plug DIRS | unplug DIRS",
         "disks of the node connected to; take more into use, or let some go",
         1,
         2,
         node_md,
         {{'A', "all", NULL, "info: of all nodes"},
          {'f', "force", NULL, "unplug: at once, without moving its data away first"},
          {'w', "wait", "SECONDS", "unplug: until its data have left"}}},
	{"drain",
         "ID|ADDRESS",
         "move a node's data to the others, so that it may go; one that is down leaves the cluster",
         1,
         1,
         node_drain,
         {{'f', "force", NULL, "also when the others seem to have too little room"},
          {'w', "wait", "SECONDS", "until it is empty; exit code 1 when the time is over"}}},
	{"undrain", "ID|ADDRESS", "the node is to hold data again", 1, 1, node_undrain, {{0}}},
	{"maintenance",
         "ID|ADDRESS on|off",
         "while it is on, the node may be down without its data being rebuilt elsewhere",
         2,
         2,
         node_maintenance,
         {{0}}},
	{"vnodes", "set N", "weight of the node connected to; 128 is the average", 2, 2, node_vnodes, {{0}}},
	{"stat",
         "",
         "requests that the node connected to has met",
         0,
         0,
         node_stat,
         {{'w', "watch", NULL, "those of each second, until interrupted"}}},
	{"log",
         "level set LEVEL | level get | level list",
         "what the node connected to logs",
         2,
         3,
         node_log,
         {{0}}},
	{"kill", "ID|ADDRESS", "stop one node in order", 1, 1, node_kill, {{0}}},
	{0},
};
const struct dog_noun dog_node = {"node", "Nodes and their disks:", verbs};

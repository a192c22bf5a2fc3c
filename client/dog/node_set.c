/* SPDX-License-Identifier: Apache-2.0 */

/* dog node log, dog node vnodes, dog cluster reweight: what is set while all runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/node_view.h"
#include "client/dog/text.h"

/* ---- log ---- */

static const char *const levels[] = {"error", "warning", "info", "debug"};
enum { LEVELS = 4 };

/* Also the names that Sheepdog's users know. */
static int level_of(const char *name)
{
	static const struct {
		const char *name;
		int level;
	} others[] = {{"emerg", 0}, {"alert", 0}, {"crit", 0}, {"err", 0}, {"warn", 1}, {"notice", 2}};

	for (int i = 0; i < LEVELS; i++)
		if (!strcmp(name, levels[i]))
			return i;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(name, others[i].name))
			return others[i].level;
	return -1;
}

static int level_list(const struct dog *dog)
{
	json_t *list = json_array();

	for (int i = 0; i < LEVELS; i++) {
		if (!dog->json)
			puts(levels[i]);
		json_array_append_new(list, json_string(levels[i]));
	}
	if (dog->json)
		return json_print(list);
	json_decref(list);
	return DOG_OK;
}

int node_log(struct dog *dog, int argc, char **argv)
{
	bool set = argc > 1 && !strcmp(argv[1], "set"), get = argc > 1 && !strcmp(argv[1], "get");
	bool list = argc > 1 && !strcmp(argv[1], "list");
	int level = -1, code;

	if (strcmp(argv[0], "level") != 0 || argc != (set ? 3 : 2) || !(set || get || list))
		return dog_usage("dog node log takes level set LEVEL, level get or level list");
	if (list)
		return level_list(dog);
	if (set && (level = level_of(argv[2])) < 0)
		return dog_usage("'%.40s' is no level: there are error, warning, info, debug", argv[2]);
	code = dog_connect(dog);
	if (code)
		return code;
	level = sf_node_log_level(dog->cluster, sf_home_node(dog->cluster), level);
	if (level < 0)
		return dog_fail(level, "%s the log level", set ? "set" : "get");
	if (set)
		return DOG_OK;
	if (dog->json)
		return json_print(json_pack("{s:s}", "level", levels[level % LEVELS]));
	puts(levels[level % LEVELS]);
	return DOG_OK;
}

/* ---- weights ---- */

struct change {
	uint64_t *disks;
	uint32_t *weights, *before, count;
};

static void change_add(struct change *c, const struct sf_disk *d, uint64_t weight)
{
	if (weight < 1)
		weight = 1;
	if (weight > 1 << 24)
		weight = 1 << 24;
	c->disks[c->count] = d->id;
	c->before[c->count] = d->weight;
	c->weights[c->count++] = (uint32_t)weight;
}

static void change_init(struct change *c, const struct sf_status *s)
{
	c->count = 0;
	c->disks = calloc(s->disk_count + 1, sizeof(*c->disks));
	c->weights = calloc(s->disk_count + 1, sizeof(*c->weights));
	c->before = calloc(s->disk_count + 1, sizeof(*c->before));
}

static void change_fini(struct change *c)
{
	free(c->disks);
	free(c->weights);
	free(c->before);
}

static uint32_t changed(const struct change *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->count; i++)
		n += c->weights[i] != c->before[i];
	return n;
}

static int status_and_view(struct dog *dog, struct sf_status **ret_status, struct node_view *view)
{
	int code = node_view_get(dog, view), err;

	if (code)
		return code;
	err = sf_status_get(dog->cluster, ret_status);
	if (!err && view->map->formatted)
		return DOG_OK;
	if (!err) {
		sf_status_free(*ret_status);
		fprintf(stderr, "The cluster is not formatted yet\n");
	}
	node_view_fini(view);
	return err < 0 ? dog_fail(err, "get the disks' state") : DOG_FAILED;
}

int cluster_reweight(struct dog *dog, int argc, char **argv)
{
	struct sf_status *s;
	struct node_view view;
	struct change c;
	int code = status_and_view(dog, &s, &view), err = 0;

	if (code)
		return code;
	change_init(&c, s);
	for (uint32_t i = 0; i < s->disk_count; i++)
		if (s->disks[i].known && !s->disks[i].failed)
			change_add(&c, &s->disks[i], s->disks[i].size_bytes >> 30);
	if (changed(&c))
		err = sf_set_weights(dog->cluster, c.disks, c.weights, c.count);
	if (err < 0)
		code = dog_fail(err, "set the weights");
	else if (dog->json)
		code = json_print(json_pack("{s:i, s:i}", "disks", (int)c.count, "changed",
		                            (int)changed(&c)));
	else if (!dog->raw)
		printf("%u of %u weights changed\n", changed(&c), c.count);
	change_fini(&c);
	sf_status_free(s);
	node_view_fini(&view);
	return code;
}

/* The sum of its weights that makes a node weigh `vnodes` when the average of the storing ones is
 * 128: W = vnodes * others / (128 * nodes - vnodes). */
static int vnodes_sum(const struct sf_status *s, const struct sf_map *map, uint64_t node,
                      uint64_t vnodes, uint64_t *ret)
{
	uint64_t others = 0, nodes = 1;

	for (uint32_t i = 0; i < map->node_count; i++) {
		uint64_t sum = 0;

		for (uint32_t d = 0; d < s->disk_count; d++)
			if (s->disks[d].node == map->nodes[i].id && s->disks[d].node != node)
				sum += s->disks[d].weight;
		others += sum;
		nodes += sum > 0;
	}
	if (!others || vnodes >= 128 * nodes)
		return -EINVAL;
	*ret = (vnodes * others + (128 * nodes - vnodes) / 2) / (128 * nodes - vnodes);
	return 0;
}

enum { VNODES_MAX = 1 << 24 };

int node_vnodes(struct dog *dog, int argc, char **argv)
{
	uint64_t vnodes, want = 0, now = 0, home;
	struct sf_status *s;
	struct node_view view;
	struct change c;
	int code, err;

	if (strcmp(argv[0], "set") != 0)
		return dog_usage("dog node vnodes takes set N");
	if (text_parse_number(argv[1], VNODES_MAX, &vnodes) < 0)
		return dog_usage("'%.40s' is no weight: give 1 to %d; 128 is the average", argv[1], VNODES_MAX);
	if (vnodes == 0)
		return dog_usage("a node that is to hold nothing is drained: dog node drain");
	code = status_and_view(dog, &s, &view);
	if (code)
		return code;
	home = sf_home_node(dog->cluster);
	change_init(&c, s);
	err = vnodes_sum(s, view.map, home, vnodes, &want);
	for (uint32_t i = 0; i < s->disk_count; i++)
		now += s->disks[i].node == home ? s->disks[i].weight : 0;
	for (uint32_t i = 0; i < s->disk_count && !err && now; i++)
		if (s->disks[i].node == home)
			change_add(&c, &s->disks[i], (want * s->disks[i].weight + now / 2) / now);
	if (err || !c.count) {
		fprintf(stderr, "Failed to set the weight: %s\n",
		        !c.count && !err ? "the node has no disk"
		                         : "no node can have that much more than the others");
		code = DOG_FAILED;
	} else if (changed(&c) && (err = sf_set_weights(dog->cluster, c.disks, c.weights, c.count)) < 0) {
		code = dog_fail(err, "set the weight");
	}
	change_fini(&c);
	sf_status_free(s);
	node_view_fini(&view);
	return code;
}

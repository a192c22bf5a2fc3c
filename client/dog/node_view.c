/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/node_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/text.h"

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

static bool is_node_id(const char *text, uint64_t *ret)
{
	char *end;

	if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return false;
	*ret = strtoull(text, &end, 16);
	return true;
}

static bool is_called(const struct sf_node *n, const char *text)
{
	char address[TEXT_ADDR_LEN];

	return !strcmp(text, n->address) || !strcmp(text, text_address(n->address, n->port, address));
}

static int pick_by_name(const struct node_view *view, const char *text, const struct sf_node **ret)
{
	uint64_t id = 0;
	uint32_t found = 0;
	bool by_id = is_node_id(text, &id);

	for (uint32_t i = 0; i < view->map->node_count; i++) {
		const struct sf_node *n = &view->map->nodes[i];

		if (by_id ? n->id != id : !is_called(n, text))
			continue;
		*ret = n;
		found++;
	}
	if (found == 1)
		return DOG_OK;
	if (found == 0) {
		fprintf(stderr, "There is no node %.80s; dog node list -v has all, down ones too\n", text);
		return DOG_MISSING;
	}
	fprintf(stderr, "%u nodes are called %.80s: give the port, or the id that dog node list -v shows\n",
	        found, text);
	return DOG_USAGE;
}

int node_pick(const struct node_view *view, const char *text, const struct sf_node **ret)
{
	uint64_t id;

	if (strlen(text) < 16 && text_parse_number(text, UINT32_MAX, &id) == 0) {
		if (id < view->count) {
			*ret = view->living[id];
			return DOG_OK;
		}
		fprintf(stderr, "There is no node %llu: there are %u living nodes, ids begin at 0\n",
		        (unsigned long long)id, view->count);
		return DOG_MISSING;
	}
	return pick_by_name(view, text, ret);
}

const struct sf_node *node_home(struct dog *dog, const struct node_view *view)
{
	uint64_t home = sf_home_node(dog->cluster);

	for (uint32_t i = 0; i < view->map->node_count; i++)
		if (view->map->nodes[i].id == home)
			return &view->map->nodes[i];
	return NULL;
}

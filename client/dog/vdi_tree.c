/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/text.h"
#include "client/dog/vdi.h"

/* Who comes from whom. */
struct tree {
	struct sf_volume_info *v;
	const struct sf_volume_info **parents; /* of each; NULL: none, or it was deleted */
	size_t count;
};

static const struct sf_volume_info *tree_parent(const struct tree *t, const struct sf_volume_info *i)
{
	return t->parents[i - t->v];
}

static int by_id(const void *a, const void *b)
{
	const struct sf_volume_info *x = *(const struct sf_volume_info *const *)a;
	const struct sf_volume_info *y = *(const struct sf_volume_info *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* An image may have thousands of clones: each is looked up, not searched for. */
static bool tree_fill(struct tree *t)
{
	const struct sf_volume_info **sorted = calloc(t->count + 1, sizeof(*sorted));

	t->parents = calloc(t->count + 1, sizeof(*t->parents));
	if (!sorted || !t->parents) {
		free(sorted);
		return false;
	}
	for (size_t i = 0; i < t->count; i++)
		sorted[i] = &t->v[i];
	if (t->count)
		qsort(sorted, t->count, sizeof(*sorted), by_id);
	for (size_t i = 0; i < t->count; i++) {
		const struct sf_volume_info key = {.id = t->v[i].parent_id}, *wanted = &key;
		const struct sf_volume_info **found = NULL;

		if (key.id && key.id != t->v[i].id)
			found = bsearch(&wanted, sorted, t->count, sizeof(*sorted), by_id);
		t->parents[i] = found ? *found : NULL;
	}
	free(sorted);
	return true;
}

static void tree_fini(struct tree *t)
{
	free(t->parents);
	free(t->v);
}

static bool has_next(const struct tree *t, size_t at, const struct sf_volume_info *parent)
{
	for (size_t i = at + 1; i < t->count; i++)
		if (tree_parent(t, &t->v[i]) == parent)
			return true;
	return false;
}

static void node_print(const struct sf_volume_info *i, const struct sf_volume_info *parent)
{
	char when[TEXT_TIME_LEN];

	if (!parent || strcmp(parent->name, i->name) != 0)
		printf("%s ", i->name);
	if (i->snapshot_id)
		printf("[%s %s]\n", i->tag, text_time(i->created_s, false, when));
	else
		printf("(working)\n");
}

enum { INDENT_MAX = 400 };

static void branch_print(const struct tree *t, const struct sf_volume_info *parent, char *indent)
{
	size_t len = strlen(indent);

	for (size_t i = 0; i < t->count; i++) {
		bool more;

		if (tree_parent(t, &t->v[i]) != parent)
			continue;
		more = has_next(t, i, parent);
		if (parent)
			printf("%s%s", indent, more ? "|-- " : "`-- ");
		node_print(&t->v[i], parent);
		if (parent && len + 4 < INDENT_MAX)
			strcat(indent, more ? "|   " : "    ");
		branch_print(t, &t->v[i], indent);
		indent[len] = '\0';
	}
}

static json_t *tree_json(const struct tree *t)
{
	json_t *values = json_array();

	for (size_t i = 0; i < t->count; i++) {
		json_t *value = json_volume(&t->v[i]);
		const struct sf_volume_info *parent = tree_parent(t, &t->v[i]);
		char id[8] = "";

		if (parent)
			snprintf(id, sizeof(id), "%x", parent->id & 0xffffff);
		json_object_set_new(value, "parent", parent ? json_string(id) : json_null());
		json_array_append_new(values, value);
	}
	return values;
}

static int tree_read(struct dog *dog, struct tree *ret)
{
	int code = dog_connect(dog), err;

	if (code)
		return code;
	*ret = (struct tree){0};
	err = sf_volume_list(dog->cluster, &ret->v, &ret->count);
	if (err < 0)
		return dog_fail(err, "list the VDIs");
	if (tree_fill(ret))
		return DOG_OK;
	tree_fini(ret);
	return DOG_SYSTEM;
}

int vdi_tree(struct dog *dog, int argc, char **argv)
{
	char indent[INDENT_MAX + 8] = "";
	struct tree t;
	int code = tree_read(dog, &t);

	if (code)
		return code;
	if (dog->json)
		code = json_print(tree_json(&t));
	else
		branch_print(&t, NULL, indent);
	tree_fini(&t);
	return code;
}

static void quoted(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
}

/* For dot(1). */
int vdi_graph(struct dog *dog, int argc, char **argv)
{
	struct tree t;
	int code = dog->json ? vdi_tree(dog, argc, argv) : tree_read(dog, &t);

	if (code || dog->json)
		return code;
	printf("digraph G {\n\tnode [shape = \"box\"];\n");
	for (size_t i = 0; i < t.count; i++) {
		const struct sf_volume_info *v = &t.v[i], *parent = tree_parent(&t, v);
		char when[TEXT_TIME_LEN];

		printf("\t\"%x\" [label = \"", v->id);
		quoted(v->name);
		if (v->snapshot_id) {
			printf("\\nsnapshot %u ", v->snapshot_id);
			quoted(v->tag);
		}
		printf("\\n%s\"%s];\n", text_time(v->created_s, false, when),
		       v->snapshot_id ? "" : ", style = \"bold\"");
		if (parent)
			printf("\t\"%x\" -> \"%x\";\n", parent->id, v->id);
	}
	printf("}\n");
	tree_fini(&t);
	return DOG_OK;
}

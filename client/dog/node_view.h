/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_NODE_VIEW_H
#define SF_DOG_NODE_VIEW_H

#include "client/dog/dog.h"

/* The living nodes in address order: a node's id for the user is its place here. */
struct node_view {
	struct sf_map *map;
	const struct sf_node **living;
	uint32_t count;
};
/* Connects. 0 or an exit code; the error has been printed. */
int node_view_get(struct dog *dog, struct node_view *ret);
void node_view_fini(struct node_view *view);

/* The verb, in a file of its own. */
int node_recovery(struct dog *dog, int argc, char **argv);

#endif

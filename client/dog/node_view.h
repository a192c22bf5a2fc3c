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
/* By the place in the list of the living; by address, with or without port, or by the 16 hex digits
 * of its id, also when it is down. 0 or an exit code. */
int node_pick(const struct node_view *view, const char *text, const struct sf_node **ret);
/* The one that dog is connected to; NULL: not in the map. */
const struct sf_node *node_home(struct dog *dog, const struct node_view *view);

/* Verbs in files of their own. */
int node_recovery(struct dog *dog, int argc, char **argv);
int node_drain(struct dog *dog, int argc, char **argv);
int node_undrain(struct dog *dog, int argc, char **argv);
int node_maintenance(struct dog *dog, int argc, char **argv);
int node_md(struct dog *dog, int argc, char **argv);
int node_stat(struct dog *dog, int argc, char **argv);
int node_log(struct dog *dog, int argc, char **argv);
int node_vnodes(struct dog *dog, int argc, char **argv);
int cluster_reweight(struct dog *dog, int argc, char **argv);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_TEXT_H
#define SF_FUSE_TEXT_H

#include "include/sheepfold.h"

/*
 * What dog prints for `cluster info`, `node list`, `node info` and `vdi list`, to the byte (a test
 * compares them). 0 and a malloc'ed text, or -errno. They wait for the cluster.
 */
int text_cluster_info(struct sf_cluster *cluster, char **ret);
int text_node_list(struct sf_cluster *cluster, char **ret);
int text_node_info(struct sf_cluster *cluster, char **ret);
int text_vdi_list(struct sf_cluster *cluster, char **ret);

#endif

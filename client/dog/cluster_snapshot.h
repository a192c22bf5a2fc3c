/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_CLUSTER_SNAPSHOT_H
#define SF_DOG_CLUSTER_SNAPSHOT_H

#include "client/dog/dog.h"

/* cluster snapshot save TAG DIR | list DIR | show TAG DIR | load TAG DIR */
int cluster_snapshot(struct dog *dog, int argc, char **argv);

#endif

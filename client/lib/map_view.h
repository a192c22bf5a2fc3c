/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_MAP_VIEW_H
#define SF_CLIENT_MAP_VIEW_H

#include <stdint.h>

#include "lib/place/map.h"
#include "lib/wire/msg.h"

struct sf_cluster;

/* Asks some daemon for a map. type: MSG_GET_MAP (epoch 0: the newest; -ENOENT: it is not kept), or
 * MSG_NODES. Waits. */
int map_ask(struct sf_cluster *cluster, enum msg_type type, uint32_t epoch, struct map **ret);

#endif

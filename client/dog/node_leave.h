/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_NODE_LEAVE_H
#define SF_DOG_NODE_LEAVE_H

#include "client/dog/dog.h"
#include "client/dog/node_view.h"

/* What is to leave: all disks of a node, or one disk. */
struct leaver {
	const struct sf_node *node;
	uint64_t disk; /* 0: all of the node's */
};
bool leaver_has(const struct leaver *l, const struct sf_disk *disk);
/* Bytes and parts of objects on what leaves; whether the other disks have room for them. */
struct leaver_room {
	uint64_t bytes, parts, avail;
	bool fits;
};
void leaver_room_get(const struct sf_status *status, const struct sf_map *map,
                     const struct leaver *l, struct leaver_room *ret);
/* Every part is where the map says, and that is nowhere on what leaves. */
bool leaver_is_empty(const struct sf_status *status, const struct leaver *l);
/* Waits for that, at most so long. 0 or an exit code. */
int leaver_wait(struct dog *dog, const struct leaver *l, uint64_t wait_s);

#endif

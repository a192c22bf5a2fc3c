/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_PLACE_MAP_EDIT_H
#define SF_PLACE_MAP_EDIT_H

#include "lib/place/map.h"

/*
 * For lib/place and its tests only: making a map. Everyone else sees maps that no longer change.
 * A map being made has one reference and belongs to whoever makes it.
 */
struct map *map_create(void);
/* A copy with one reference. */
struct map *map_clone(const struct map *map);

/* Insert where the order wants it, or overwrite the one with that id. The arrays may move. */
struct map_node *map_put_node(struct map *map, const struct map_node *node);
struct map_disk *map_put_disk(struct map *map, const struct map_disk *disk);
struct map_pool *map_put_pool(struct map *map, const struct map_pool *pool);

/* Whether disks of the pool's redundancy and object size may exist at all. */
bool map_redundancy_valid(uint32_t k, uint32_t m);
bool map_object_shift_valid(uint32_t shift);
/* Nodes with disks that take part in placement, and those disks: what slots can be on, by
 * same_node_ok. */
void map_count_places(const struct map *map, uint32_t ret[2]);
/* Slots of all PGs of all pools. */
uint64_t map_slot_count(const struct map *map);
/* Take out every node or disk that `goes`; what refers to a disk that went goes with it. */
void map_remove(struct map *map, bool (*node_goes)(const struct map *, const struct map_node *),
                bool (*disk_goes)(const struct map *, const struct map_disk *));

/* Every limit, order and reference that map_decode promises. */
bool map_valid(const struct map *map);

#endif

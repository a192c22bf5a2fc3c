/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_MAP_DIFF_H
#define SF_CLIENT_MAP_DIFF_H

#include <stddef.h>
#include <stdint.h>

struct inode;
struct sf_cluster;

/* What is in a map, by index; v is malloc'ed. */
struct map_entry {
	uint64_t index;
	uint32_t owner;
};
struct map_entries {
	struct map_entry *v;
	size_t count, capacity;
};
int map_entries_read(struct sf_cluster *cluster, const struct inode *inode, struct map_entries *ret);
/* Objects of `to` that are others than in `base`; owner 0: of base, and gone. An object of a
 * snapshot never changes, so the same owner means the same bytes. */
void map_diff(const struct map_entries *to, const struct map_entries *base,
              struct map_entries *ret);

#endif

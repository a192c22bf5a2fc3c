/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/map_diff.h"

#include <stdlib.h>

#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"

static void entries_add(void *arg, uint64_t index, uint32_t owner)
{
	struct map_entries *e = arg;

	if (e->count == e->capacity) {
		e->capacity = e->capacity ? 2 * e->capacity : 1024;
		e->v = xrealloc(e->v, e->capacity * sizeof(e->v[0]));
	}
	e->v[e->count++] = (struct map_entry){index, owner};
}

static int entry_compare(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

int map_entries_read(struct sf_cluster *cluster, const struct inode *inode, struct map_entries *ret)
{
	int err = volume_map_scan(cluster, inode, 0, entries_add, ret);

	if (ret->count)
		qsort(ret->v, ret->count, sizeof(ret->v[0]), entry_compare);
	return err;
}

void map_diff(const struct map_entries *to, const struct map_entries *base, struct map_entries *ret)
{
	size_t i = 0, j = 0;

	while (i < to->count || j < base->count) {
		uint64_t x = i < to->count ? to->v[i].index : UINT64_MAX;
		uint64_t y = j < base->count ? base->v[j].index : UINT64_MAX;

		if (x < y || (x == y && to->v[i].owner != base->v[j].owner))
			entries_add(ret, x, to->v[i].owner);
		else if (y < x)
			entries_add(ret, y, 0);
		i += x <= y;
		j += y <= x;
	}
}

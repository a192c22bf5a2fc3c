/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What leaves, and what is plugged in.
 *
 * A drained node's disks, and those being unplugged, hold no slot any more, so that recovery fills
 * others with what they hold; meanwhile they serve as sources. Every node says in its pings whether
 * all PGs that it leads are clean. Once all that are up have said so for the epoch at hand, and no
 * PG is without anybody to lead it, nothing needs them: one proposes that they leave the map.
 * Should something turn up at that very moment, it waits for a disk that is not in the map, as it
 * would for one that is down, and finds it when it is plugged in again.
 *
 * Our own disk that has left, or was to go at once, is let go: the driver closes it.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "sheep/core/core.h"

/* ---- Whether anybody needs them ---- */

static bool own_pgs_are_clean(const struct node *node)
{
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++) {
			const struct pg *pg = node->pools[i].pgs[j].pg;
			if (pg && !pg->clean)
				return false;
		}
	return !node->adopting;
}

static bool every_pg_is_led(const struct node *node)
{
	const struct epoch_rec *now = &node->rec[node->rec_count - 1];
	const uint64_t *disks;
	uint64_t live;

	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++)
			if (!epoch_slots(now, node->pools[i].pool, j, &disks, &live) || !live)
				return false;
	return true;
}

uint32_t leave_ping_flags(struct node *node)
{
	return map_has_leavers(node->map) && own_pgs_are_clean(node) ? MSG_F_CLEAN : 0;
}

void leave_pinged(struct node *node, uint64_t peer, const struct msg *ping)
{
	struct peer *p = membership_peer(node, peer);

	if (p)
		p->clean_epoch = ping->flags & MSG_F_CLEAN ? ping->epoch : 0;
}

static bool all_are_clean(struct node *node)
{
	for (uint32_t i = 0; i < node->map->node_count; i++) {
		const struct map_node *n = &node->map->nodes[i];
		const struct peer *p = membership_peer(node, n->id);

		if (!(n->flags & NODE_UP) || node_is_self(node, n->id))
			continue;
		if (!p || p->clean_epoch != node->map->epoch)
			return false;
	}
	return own_pgs_are_clean(node) && every_pg_is_led(node);
}

bool leave_propose_forget(struct node *node)
{
	struct map_event forget = {.type = MAP_EV_FORGET};

	return map_has_leavers(node->map) &&
	       node->now >= node->map_at + membership_rank_delay(node) && all_are_clean(node) &&
	       propose_event(node, &forget);
}

/* ---- Our own disks ---- */

void node_add_disk(struct node *node, uint64_t id, uint32_t weight, const char *path)
{
	struct node_info *info = &node->config.info;
	struct disk_state *d = &node->disks[info->disk_count];

	memset(d, 0, sizeof(*d));
	d->id = id;
	d->path = xstrdup(path);
	d->back = true;
	info->disks[info->disk_count].id = id;
	info->disks[info->disk_count].weight = weight;
	info->disk_count++;
}

void node_remove_disk(struct node *node, uint32_t index)
{
	struct node_info *info = &node->config.info;

	free(node->disks[index].path);
	info->disk_count--;
	for (uint32_t i = index; i < info->disk_count; i++) {
		info->disks[i] = info->disks[i + 1];
		node->disks[i] = node->disks[i + 1];
	}
	node->stray_pool = node->stray_pg = node->stray_disk = 0;
}

static bool self_is_admitted(const struct node *node)
{
	const struct map_node *self = map_find_node(node->map, node->config.info.id);

	return self && (self->flags & NODE_UP) &&
	       self->incarnation == node->config.info.incarnation;
}

static bool disk_is_gone(const struct node *node, struct disk_state *d)
{
	const uint32_t at_once = DISK_LEAVING | DISK_FAILED;
	const struct map_disk *known = map_find_disk(node->map, d->id);

	if (!known)
		return d->in_map && !d->back;
	d->in_map = true;
	return (known->flags & at_once) == at_once && !d->back;
}

void leave_tick(struct node *node)
{
	if (!node->map || !node->live_known || node->adopting || node->exiting ||
	    !self_is_admitted(node))
		return;
	for (uint32_t i = 0; i < node->config.info.disk_count;) {
		if (!disk_is_gone(node, &node->disks[i])) {
			i++;
			continue;
		}
		log_info(node->log, "disk %016llx (%s) has left", (unsigned long long)node->disks[i].id,
		         node->disks[i].path);
		effect_add(node, EFF_UNPLUG)->to = node->disks[i].id;
		node_remove_disk(node, i);
	}
}

/* A disk that is back, and ours although the map calls it failed, leaving or another's. */
static bool propose_back(struct node *node, struct disk_state *d)
{
	struct map_event back = {
		.type = MAP_EV_DISK_BACK, .disk = d->id, .node = node->config.info.id};

	if (!d->back || !map_find_disk(node->map, d->id))
		return false; /* not known at all: joins with the rest */
	if (propose_event(node, &back))
		return true;
	d->back = false;
	return false;
}

/* Its directory holds another disk now. */
static bool propose_replaced(struct node *node, uint64_t disk)
{
	const struct map_disk *known = map_find_disk(node->map, disk);
	struct map_event leave = {.type = MAP_EV_DISK_LEAVE, .disk = disk, .failed = true};

	return known && node_is_self(node, known->node) && !node_disk(node, disk) &&
	       propose_event(node, &leave);
}

bool leave_propose_disks(struct node *node)
{
	if (!self_is_admitted(node))
		return false;
	for (uint32_t i = 0; i < node->config.info.disk_count; i++)
		if (propose_back(node, &node->disks[i]))
			return true;
	while (node->replaced_next < node->config.replaced_count) {
		if (propose_replaced(node, node->config.replaced[node->replaced_next]))
			return true;
		node->replaced_next++;
	}
	return false;
}

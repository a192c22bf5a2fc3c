/* SPDX-License-Identifier: Apache-2.0 */

/* What an operator asks of one node: its disks, its log, its pace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/admin.h"

enum { RECOVERY_MAX_MAX = 256, RECOVERY_INTERVAL_MAX_MS = 3600000 };

static struct disk_state *disk_by_path(struct node *node, const char *path)
{
	for (uint32_t i = 0; i < node->config.info.disk_count; i++)
		if (!strcmp(node->disks[i].path, path))
			return &node->disks[i];
	return NULL;
}

/* ---- Disks ---- */

/* One that was about to leave stays; a new one is opened by the driver. */
static void plug(struct node *node, struct admin_wait *w)
{
	const char *path = w->ask->path;
	struct disk_state *d = disk_by_path(node, path);
	const struct map_disk *known = d && node->map ? map_find_disk(node->map, d->id) : NULL;

	if (node->config.info.gateway)
		return admin_refuse(node, w, RES_INVALID, "a gateway stores nothing");
	if (path[0] != '/')
		return admin_refuse(node, w, RES_INVALID, "give the directory's whole path");
	if (node->adopting)
		return admin_refuse(node, w, RES_DENIED,
		                    "the cluster is just being formatted; try again");
	if (known && (known->flags & DISK_LEAVING)) {
		d->back = true;
		return admin_answer(node, w, RES_OK);
	}
	if (d)
		return admin_refuse(node, w, RES_EXISTS, "it is a disk of this node already");
	if (node->config.info.disk_count == NODE_MAX_DISKS)
		return admin_refuse(node, w, RES_INVALID, "this node has as many disks as it may");
	w->local = true;
	list_each (l, &node->admin) { /* asked twice: one opening answers both */
		const struct admin_wait *other = list_item(l, struct admin_wait, link);
		if (other != w && other->local && !strcmp(other->ask->path, path))
			return;
	}
	struct effect *fx = effect_add(node, EFF_PLUG);
	fx->text = path;
	fx->cluster = node->cluster;
}

static void bad_disk_mended(struct node *node, const char *path)
{
	for (uint32_t i = 0; i < node->bad_disk_count; i++)
		if (!strcmp(node->bad_disks[i].path, path))
			node->bad_disks[i--] = node->bad_disks[--node->bad_disk_count];
}

void admin_plugged(struct node *node, const struct event *ev)
{
	const char *why = ev->result < 0 ? ev->why : NULL;

	if (!why && (ev->cluster != node->cluster ||
	             node->config.info.disk_count == NODE_MAX_DISKS ||
	             node_disk(node, ev->from))) {
		why = "the cluster was formatted meanwhile, or the disk is in use; try again";
		effect_add(node, EFF_UNPLUG)->to = ev->from;
	}
	if (!why) {
		node_add_disk(node, ev->from, ev->weight, ev->text);
		bad_disk_mended(node, ev->text);
	}
	list_each_safe (l, &node->admin) {
		struct admin_wait *w = list_item(l, struct admin_wait, link);
		if (!w->local || w->ask->verb != SF__ADMIN_REQUEST__VERB__PLUG ||
		    strcmp(w->ask->path, ev->text) != 0)
			continue;
		if (why)
			admin_refuse(node, w, RES_INVALID, why);
		else
			admin_answer(node, w, RES_OK);
	}
}

/* With a map it becomes a change of that (admin.c); leave.c lets the disk go once it may. */
static void unplug(struct node *node, struct admin_wait *w)
{
	struct disk_state *d = w->ask->disk ? node_disk(node, w->ask->disk)
	                                    : disk_by_path(node, w->ask->path);

	if (!d && w->ask->disk && node->map) {
		/* One that failed, or was pulled, and is only a name any more. */
		const struct map_disk *known = map_find_disk(node->map, w->ask->disk);
		if (known && node_is_self(node, known->node) && (known->flags & DISK_FAILED)) {
			w->disk = known->id;
			return;
		}
	}
	if (!d)
		return admin_refuse(node, w, RES_NOENT, "no disk of this node is there");
	w->disk = d->id;
	d->back = false;
	if (node->map)
		return;
	effect_add(node, EFF_UNPLUG)->to = d->id;
	node_remove_disk(node, d - node->disks);
	admin_answer(node, w, RES_OK);
}

/* ---- Log and pace ---- */

static void log_level(struct node *node, struct admin_wait *w)
{
	uint32_t wish = w->ask->level;

	if (wish > LOG_LV_DEBUG + 1)
		return admin_refuse(node, w, RES_INVALID, "there is no such level");
	if (wish)
		effect_add(node, EFF_LOG_LEVEL)->status = wish - 1;
	w->length = wish ? wish - 1 : node->log ? node->log->level : LOG_LV_ERROR;
	admin_answer(node, w, RES_OK);
}

static void throttle(struct node *node, struct admin_wait *w)
{
	const Sf__AdminRequest *ask = w->ask;
	struct node_config *c = &node->config;

	if (ask->on && (ask->recovery_max > RECOVERY_MAX_MAX ||
	                ask->interval_ms > RECOVERY_INTERVAL_MAX_MS))
		return admin_refuse(node, w, RES_INVALID,
		                    "at most 256 objects, and an hour (3600000 ms)");
	if (ask->on) {
		c->recovery_max = ask->recovery_max;
		c->recovery_interval_ms = ask->interval_ms;
		node->throttled = 0;
	}
	w->length = (uint64_t)(c->recovery_max ? c->recovery_max : RECOVERY_DEFAULT) << 32 |
	            c->recovery_interval_ms;
	admin_answer(node, w, RES_OK);
}

void admin_local(struct node *node, struct admin_wait *w)
{
	switch (w->ask->verb) {
	case SF__ADMIN_REQUEST__VERB__PLUG:
		plug(node, w);
		break;
	case SF__ADMIN_REQUEST__VERB__UNPLUG:
		unplug(node, w);
		break;
	case SF__ADMIN_REQUEST__VERB__LOG_LEVEL:
		log_level(node, w);
		break;
	case SF__ADMIN_REQUEST__VERB__THROTTLE:
		throttle(node, w);
		break;
	default:
		break;
	}
}

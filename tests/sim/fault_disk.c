/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to whole disks. */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "tests/sim/fault.h"
#include "tests/sim/sim_node.h"

/* Some disk of a node that has started, not failed. */
static struct sim_disk *disk_draw(struct world *w, struct sim_node **ret_node, uint32_t *ret_index)
{
	struct sim_node *n = w->nodes[draw_below(w, w->node_count)];
	uint32_t i = draw_below(w, n->info.disk_count);

	*ret_node = n;
	*ret_index = i;
	if (n->state == NODE_GONE || !n->life || n->disks[i].failed || n->disks[i].taken_out)
		return NULL;
	return &n->disks[i];
}

static bool slow(struct world *w, struct fault *f, struct sim_node *n, struct sim_disk *d)
{
	uint64_t duration = draw_skewed(w, SIM_SECOND, 10 * SIM_SECOND);

	d->slow_until_us = w->now_us + duration;
	d->slow_factor = draw_between(w, 10, 300);
	fault_say(w, f, "a disk of n%u is %u times slower for %llu ms", n->index, d->slow_factor,
	          (unsigned long long)(duration / SIM_MS));
	return true;
}

static void disk_empties(struct world *w, void *arg)
{
	struct sim_disk *d = arg;

	d->limit_bytes = 0;
}

static bool fill(struct world *w, struct fault *f, struct sim_node *n, struct sim_disk *d)
{
	uint64_t duration = draw_skewed(w, SIM_SECOND, 12 * SIM_SECOND);

	d->limit_bytes = sim_disk_live_bytes(d) + 1 + draw_below(w, 20000);
	fault_say(w, f, "a disk of n%u is full for %llu ms", n->index,
	          (unsigned long long)(duration / SIM_MS));
	world_after(w, duration, disk_empties, d, NULL);
	return true;
}

static bool fail(struct world *w, struct fault_plan *plan, struct fault *f, struct sim_node *n,
                 uint32_t disk)
{
	if (!budget_loss(w, plan, n->index, disk))
		return false;
	if (f->kind == FAULT_EIO_READ)
		n->disks[disk].eio_reads = true;
	else if (f->kind == FAULT_EIO_WRITE)
		n->disks[disk].eio_writes = true;
	else
		sim_node_fail_disk(w, n->index, disk);
	fault_say(w, f, "disk %u of n%u: %s", disk, n->index, sim_fault_name[f->kind]);
	return true;
}

static bool take_out(struct world *w, struct fault_plan *plan, struct fault *f, struct sim_node *n,
                     uint32_t disk)
{
	Sf__AdminRequest ask = SF__ADMIN_REQUEST__INIT;

	if (!budget_loss(w, plan, n->index, disk))
		return false;
	ask.verb = SF__ADMIN_REQUEST__VERB__DISK_FAIL;
	ask.disk = n->disks[disk].id;
	n->disks[disk].taken_out = true;
	fault_say(w, f, "disk %u of n%u is taken out", disk, n->index);
	fault_ask(w, &ask);
	return true;
}

/* A crash, and what is in the slot when the node starts again. */
static void away(struct world *w, struct sim_node *n)
{
	if (n->state == NODE_RUNNING)
		sim_node_crash(w, n->index);
	fault_restart_after(w, n->index, fault_draw_away(w));
}

static bool empty(struct world *w, struct fault_plan *plan, struct fault *f, struct sim_node *n,
                  uint32_t disk)
{
	if (!budget_loss(w, plan, n->index, disk))
		return false;
	away(w, n);
	sim_node_replace_disk(w, n->index, disk);
	fault_say(w, f, "n%u starts again with disk %u empty", n->index, disk);
	return true;
}

struct old_image {
	struct fault_plan *plan;
	struct fault *f;
	uint32_t node, disk;
	uint64_t id;
	struct sim_disk image;
};

static void image_free(void *arg)
{
	struct old_image *o = arg;

	sim_disk_fini(&o->image);
	free(o);
}

static void image_return(struct world *w, void *arg)
{
	struct old_image *o = arg;
	struct sim_node *n = w->nodes[o->node];
	struct sim_disk *d = &n->disks[o->disk];

	if (!o->plan->over && n->state == NODE_RUNNING && d->id == o->id && !d->failed &&
	    !d->taken_out && budget_lie(w, o->plan)) {
		w->stats.fault[FAULT_OLD_DISK]++;
		o->f->happened = true;
		fault_say(w, o->f, "n%u starts again with disk %u as it once was", o->node, o->disk);
		sim_node_crash(w, o->node);
		sim_disk_copy_data(d, &o->image);
		fault_restart_after(w, o->node, draw_skewed(w, 20 * SIM_MS, SIM_SECOND));
	}
	image_free(o);
}

/* The image is taken now and returns later, when nothing else is wrong; only that counts. */
static void image_take(struct world *w, struct fault_plan *plan, struct fault *f,
                       struct sim_node *n, uint32_t disk)
{
	struct old_image *o = xcalloc(1, sizeof(*o));

	o->plan = plan;
	o->f = f;
	o->node = n->index;
	o->disk = disk;
	o->id = n->disks[disk].id;
	sim_disk_init(&o->image, o->id);
	sim_disk_copy_data(&o->image, &n->disks[disk]);
	world_after(w, draw_skewed(w, 500 * SIM_MS, 12 * SIM_SECOND), image_return, o, image_free);
}

static bool clone(struct world *w, struct fault_plan *plan, struct fault *f, struct sim_node *n,
                  uint32_t disk)
{
	struct sim_node *to = w->nodes[draw_below(w, w->node_count)];

	if (to == n || to->state != NODE_RUNNING || n->state != NODE_RUNNING ||
	    to->info.disk_count == SIM_MAX_DISKS || sim_node_has_disk(to, n->disks[disk].id) ||
	    !budget_moved(w, plan, n->index, disk) || !budget_lie(w, plan))
		return false;
	sim_node_crash(w, n->index);
	sim_node_crash(w, to->index);
	sim_node_clone_disk(w, n->index, disk, to->index);
	fault_say(w, f, "disk %u of n%u is in n%u too", disk, n->index, to->index);
	fault_restart_after(w, to->index, draw_skewed(w, 20 * SIM_MS, SIM_SECOND));
	fault_restart_after(w, n->index, draw_skewed(w, 20 * SIM_MS, 2 * SIM_SECOND));
	return true;
}

bool fault_disk(struct world *w, struct fault_plan *plan, struct fault *f)
{
	struct sim_node *n;
	uint32_t disk;
	struct sim_disk *d = disk_draw(w, &n, &disk);

	if (!d)
		return false;
	switch (f->kind) {
	case FAULT_SLOW_DISK:
		return slow(w, f, n, d);
	case FAULT_FULL_DISK:
		return fill(w, f, n, d);
	case FAULT_EIO_READ:
	case FAULT_EIO_WRITE:
	case FAULT_DISK_LOST:
		return fail(w, plan, f, n, disk);
	case FAULT_DRAIN:
		return take_out(w, plan, f, n, disk);
	case FAULT_EMPTY_DISK:
		return budget_away(w, plan) && empty(w, plan, f, n, disk);
	case FAULT_OLD_DISK:
		image_take(w, plan, f, n, disk);
		return false;
	case FAULT_CLONED_DISK:
		return clone(w, plan, f, n, disk);
	default:
		return false;
	}
}

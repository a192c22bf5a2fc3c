/* SPDX-License-Identifier: Apache-2.0 */

/* What people do to a machine: they exchange its disks, ask it to stop, ask how it is. */
#include <assert.h>

#include "tests/sim/sim_node.h"

void sim_node_replace_disk(struct world *w, uint32_t index, uint32_t disk)
{
	struct sim_node *n = w->nodes[index];

	assert(n->state == NODE_OFF);
	sim_disk_fini(&n->disks[disk]);
	n->info.disks[disk].id = draw_id(w);
	sim_disk_init(&n->disks[disk], n->info.disks[disk].id);
}

void sim_node_swap_disks(struct world *w, uint32_t a, uint32_t i, uint32_t b, uint32_t j)
{
	struct sim_node *x = w->nodes[a], *y = w->nodes[b];
	struct sim_disk disk = x->disks[i];
	uint64_t id = x->info.disks[i].id;
	uint32_t weight = x->info.disks[i].weight;

	assert(x->state == NODE_OFF && y->state == NODE_OFF);
	x->disks[i] = y->disks[j];
	y->disks[j] = disk;
	x->info.disks[i].id = y->info.disks[j].id;
	x->info.disks[i].weight = y->info.disks[j].weight;
	y->info.disks[j].id = id;
	y->info.disks[j].weight = weight;
}

void sim_node_clone_disk(struct world *w, uint32_t index, uint32_t disk, uint32_t to)
{
	struct sim_node *n = w->nodes[index], *t = w->nodes[to];
	uint32_t i = t->info.disk_count;

	assert(n->state == NODE_OFF && t->state == NODE_OFF && i < SIM_MAX_DISKS);
	t->info.disk_count++;
	t->info.disks[i].id = n->info.disks[disk].id;
	t->info.disks[i].weight = n->info.disks[disk].weight;
	sim_disk_init(&t->disks[i], t->info.disks[i].id);
	sim_disk_copy_data(&t->disks[i], &n->disks[disk]);
	t->queues[i] = disk_queue_create(to, i);
}

bool sim_node_has_disk(const struct sim_node *n, uint64_t id)
{
	for (uint32_t i = 0; i < n->info.disk_count; i++)
		if (n->disks[i].id == id)
			return true;
	return false;
}

void sim_node_leave(struct world *w, uint32_t index)
{
	struct event ev = {.type = EV_STOP};

	world_trace(w, "n%u is asked to stop", index);
	sim_node_event(w, index, &ev);
}

void sim_node_operator_msg(struct world *w, uint32_t index, struct msg *msg)
{
	struct event ev = {.type = EV_CLIENT_MSG, .from = SIM_OPERATOR_CONN, .msg = msg};

	if (sim_node_is_running(w, index) && !sim_node_is_paused(w, index))
		sim_node_event(w, index, &ev);
	else
		msg_destroy(msg);
}

void sim_nodes_ask_status(struct world *w)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		sim_node_operator_msg(w, i, msg_create(MSG_STATUS));
}

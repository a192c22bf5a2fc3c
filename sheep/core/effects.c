/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

void effects_init(struct effects *e)
{
	memset(e, 0, sizeof(*e));
}

void effects_fini(struct effects *e)
{
	free(e->v);
	memset(e, 0, sizeof(*e));
}

struct effect *effect_add(struct node *node, enum effect_type type)
{
	struct effects *e = node->fx;

	if (e->count == e->capacity) {
		e->capacity = MAX(16u, e->capacity * 2);
		e->v = xrealloc(e->v, e->capacity * sizeof(*e->v));
	}
	struct effect *fx = &e->v[e->count++];
	memset(fx, 0, sizeof(*fx));
	fx->type = type;
	return fx;
}

void node_send(struct node *node, uint64_t peer, struct msg *msg)
{
	struct effect *fx = effect_add(node, EFF_SEND);

	fx->to = peer;
	fx->msg = msg;
}

void node_reply(struct node *node, uint64_t conn, struct msg *msg)
{
	struct effect *fx = effect_add(node, EFF_REPLY);

	if (!msg->epoch && node->map)
		msg->epoch = node->map->epoch;
	fx->to = conn;
	fx->msg = msg;
}

void node_reply_result(struct node *node, uint64_t conn, const struct msg *req, uint32_t result)
{
	node_reply(node, conn, msg_create_reply(req, result));
}

bool node_is_self(const struct node *node, uint64_t id)
{
	return id == node->config.info.id;
}

struct disk_state *node_disk(struct node *node, uint64_t disk)
{
	for (uint32_t i = 0; i < node->config.info.disk_count; i++)
		if (node->disks[i].id == disk)
			return &node->disks[i];
	return NULL;
}

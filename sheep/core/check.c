/* SPDX-License-Identifier: Apache-2.0 */

/* Checking one object: every shard is read, versions compared, parity computed anew; then repair
 * on demand, and a second look. */
#include <stdlib.h>
#include <string.h>

#include "sheep/core/core.h"

static void check_reply(struct node *node, struct op *op)
{
	struct msg *reply = msg_create_reply(op->req, RES_OK);

	reply->check = op->check;
	op_finish_reply(node, op, reply);
}

/* Bad slots are known: repair them and look again, or just tell. */
static void check_settle(struct node *node, struct op *op, uint64_t bad)
{
	struct pg *pg = op->pg;

	if (!bad || !(op->req->flags & MSG_F_REPAIR)) {
		check_reply(node, op);
		return;
	}
	for (uint32_t i = 0; i < pg->n; i++)
		if (bad & slot_bit(i))
			missing_mark_slot(node, pg, op->req->oid, op->object->version, i);
	op->check.repaired += __builtin_popcountll(bad);
	op_restart(node, op);
}

static void check_compared(struct node *node, struct op *op)
{
	struct code_job *c = op->code;
	uint64_t bad = 0;

	for (uint32_t i = 0; i < c->out_count; i++) {
		const struct slice *s = &op->plan->shard[c->out_id[i]].data;
		if (memcmp(c->out[i]->data, slice_data(s), c->len))
			bad |= slot_bit(c->out_id[i]);
	}
	op->code = NULL;
	code_free(c);
	op->check.stale += __builtin_popcountll(bad);
	check_settle(node, op, bad);
}

static void check_parity(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct code_job *c = code_create(node, op, op->plan->shard[pg->own].hi);

	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		if (c->in_count < pg->k) {
			c->in_id[c->in_count] = i;
			c->in[c->in_count++] = slice_cut(&op->plan->shard[i].data, 0, c->len);
		} else {
			c->out_id[c->out_count++] = i;
		}
	}
	c->done = check_compared;
	if (c->in_count == pg->k && c->out_count) {
		code_start(node, c);
		return;
	}
	code_free(c);
	check_reply(node, op);
}

static void check_read(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	uint64_t bad = 0;

	for (uint32_t i = 0; i < pg->n; i++) {
		const struct shard_io *io = &op->plan->shard[i];
		if (io->hi == io->lo ||
		    (io->result == RES_OK && io->version == op->object->version))
			continue;
		bad |= slot_bit(i);
		if (io->result == RES_OK)
			op->check.stale++;
		else if (io->result == RES_NOENT)
			op->check.missing++;
		else
			op->check.damaged++;
	}
	if (bad)
		check_settle(node, op, bad);
	else
		check_parity(node, op);
}

void check_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	uint32_t size = ec_part_size(pg->k, 1u << pg->conf->object_shift);

	if (!op->object->exists) {
		check_reply(node, op);
		return;
	}
	op->check.shards = pg->n;
	op->plan = plan_create(check_read);
	for (uint32_t i = 0; i < pg->n; i++)
		if (pg->live & slot_bit(i))
			plan_add_shard(pg, NULL, op->plan, i, 0, size);
	plan_seal(pg, NULL, op->plan);
	plan_run(node, op);
}

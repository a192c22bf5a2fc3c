/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One slot says that there is no such object: it has nothing, not even a tombstone. It may have
 * lost its shard without knowing. So all slots are asked before an operation believes it; when
 * they contradict each other the object is checked first (check.c), as the scrub would.
 */
#include "sheep/core/core.h"

/* The check has the object's lock before the operation has it again. */
static void absent_doubted(struct node *node, struct op *op)
{
	struct msg *req = msg_create(MSG_OBJ_CHECK);

	req->oid = op->req->oid;
	req->pool = op->pg->pool;
	req->flags = MSG_F_REPAIR;
	op_start(node, op_create(node, op->pg, 0, req, check_run, true));
	op_restart(node, op);
}

static void absent_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;
	const struct shard_entry *e = reply->entries;

	if (reply->result == RES_OK && reply->entry_count == 1) {
		if (!(e->flags & (e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE)))
			op->failed |= slot_bit(call->index);
	} else if (reply->result != RES_NOENT) {
		op->fail_result = RES_IO;
	}
	if (--op->awaited)
		return;
	if (op->fail_result != RES_OK)
		op_finish(node, op, op->fail_result);
	else if (op->failed)
		absent_doubted(node, op);
	else
		op->confirmed(node, op);
}

void absent_confirm(struct node *node, struct op *op, op_run confirmed)
{
	struct pg *pg = op->pg;

	op->confirmed = confirmed;
	op->failed = 0;
	op->fail_result = RES_OK;
	op->awaited = __builtin_popcountll(pg->live);
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(pg->live & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_SHARD_STAT);
		m->oid = op->req->oid;
		m->shard = i;
		op_call(node, op, pg->slot_node[i], pg->slot_disk[i], m, absent_answer, i);
	}
}

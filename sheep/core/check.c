/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checking one object, for a client or for the scrub:
 *
 *   check_run      every live slot reads its shard, verified by its checksums
 *   check_judge    versions and presence are compared: which shards stand, which are to be
 *                  rebuilt or dropped
 *   check_compare  from some of those that stand the others are computed, and compared: nothing
 *                  is rebuilt from shards that contradict each other
 *   check_suspect  they do: each is left out in turn. When the others agree without exactly one
 *                  of them, that one is wrong (with m >= 2 there is only one such: two stripes
 *                  that agree everywhere but in two places are the same stripe)
 *   check_settle   what is wrong is dropped, what is bad is marked for recovery
 *
 * What cannot be decided is left as it is and reported by name (trouble.c): a guess could destroy
 * the only good copy.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "sheep/core/core.h"

enum { NOBODY = UINT32_MAX };

struct verdict {
	uint64_t version;  /* of the content that stands; 0: there is none */
	uint64_t bad;      /* slots to rebuild */
	uint64_t sound;    /* slots whose shards are of that version */
	uint64_t leftover; /* slots that hold what was deleted */
	bool undecided, unclear;
};

static uint32_t count_bits(uint64_t slots)
{
	return __builtin_popcountll(slots);
}

/* marked: slots whose shards recovery rebuilds now. */
static void check_finish(struct node *node, struct op *op, uint64_t marked)
{
	struct msg *reply;

	if (op->check.undecided)
		trouble_note(node, op->pg, op->req->oid, op->version);
	else if (!marked)
		trouble_settled(node, op->pg, op->req->oid);
	if (!op->conn) {
		scrub_checked(node, op, marked);
		op_finish(node, op, RES_OK);
		return;
	}
	reply = msg_create_reply(op->req, RES_OK);
	reply->check = op->check;
	op_finish_reply(node, op, reply);
}

static void check_undecided(struct node *node, struct op *op)
{
	op->check.undecided = 1;
	check_finish(node, op, 0);
}

/* ---- Settling ---- */

/* From now on nobody reads the bad shards. hold: recovery does not push before they are dropped. */
static void bad_mark(struct node *node, struct op *op, bool hold)
{
	struct pg *pg = op->pg;

	for (uint32_t i = 0; i < pg->n; i++)
		if (op->failed & slot_bit(i))
			missing_mark_slot(node, pg, op->req->oid, op->version, i);
	struct missing *m = missing_find(pg, op->req->oid);
	if (m && hold) {
		m->held = true;
		missing_requeue(node, m);
	}
}

static void bad_release(struct node *node, struct op *op)
{
	struct missing *m = missing_find(op->pg, op->req->oid);

	if (m) {
		m->held = false;
		missing_requeue(node, m);
	}
}

static void check_marked(struct node *node, struct op *op)
{
	uint64_t bad = op->failed;

	if (!op->conn || !bad) {
		check_finish(node, op, bad);
		return;
	}
	op->check.repaired += count_bits(bad);
	op_restart(node, op); /* behind the repair: and look again */
}

static void removed_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;

	if (reply->result == RES_OK && !(op->failed & slot_bit(call->index)))
		op->check.repaired++;
	if (--op->awaited)
		return;
	bad_release(node, op);
	check_marked(node, op);
}

/*
 * bad: to be rebuilt as of op->version. drop: to be dropped, and that first: a push leaves alone
 * what is of the right version already.
 */
static void check_settle(struct node *node, struct op *op, uint64_t bad, uint64_t drop)
{
	struct pg *pg = op->pg;

	if (!bad && !drop) {
		check_finish(node, op, 0);
		return;
	}
	if (!(op->req->flags & MSG_F_REPAIR)) {
		check_finish(node, op, 0);
		return;
	}
	op->failed = bad;
	op->object->known = false;
	op->awaited = count_bits(drop);
	bad_mark(node, op, drop);
	if (!drop) {
		check_marked(node, op);
		return;
	}
	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(drop & slot_bit(i)))
			continue;
		struct msg *m = pg_msg(node, pg, MSG_SHARD_REMOVE);
		m->oid = op->req->oid;
		m->shard = i;
		m->version = op->plan->shard[i].version;
		op_call(node, op, pg->slot_node[i], pg->slot_disk[i], m, removed_answer, i);
	}
}

/* ---- Do the shards agree? ---- */

static void check_suspect(struct node *node, struct op *op);

/* Whether what was computed is what the slots have. */
static bool code_agrees(const struct op *op, const struct code_job *c)
{
	for (uint32_t i = 0; i < c->out_count; i++)
		if (memcmp(c->out[i]->data, slice_data(&op->plan->shard[c->out_id[i]].data),
		           c->len))
			return false;
	return true;
}

static void check_compared(struct node *node, struct op *op)
{
	struct code_job *c = op->code;
	bool agree = code_agrees(op, c);

	op->code = NULL;
	code_free(c);
	if (op->suspect == NOBODY && agree) {
		check_settle(node, op, op->failed, 0);
		return;
	}
	if (agree)
		op->suspects |= slot_bit(op->suspect);
	op->suspect++; /* the first comes after NOBODY */
	check_suspect(node, op);
}

/* Computes from k sound shards all others, leaving the suspect out. False: there is nothing to
 * compare. */
static bool check_compare(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct code_job *c = code_create(node, op, op->plan->shard[pg->own].hi);

	for (uint32_t i = 0; i < pg->n; i++) {
		if (!(op->prepared & slot_bit(i)) || i == op->suspect)
			continue;
		if (c->in_count < pg->k) {
			c->in_id[c->in_count] = i;
			c->in[c->in_count++] = slice_cut(&op->plan->shard[i].data, 0, c->len);
		} else {
			c->out_id[c->out_count++] = i;
		}
	}
	c->done = check_compared;
	if (c->in_count < pg->k || !c->out_count) {
		code_free(c);
		return false;
	}
	code_start(node, c);
	return true;
}

static void check_suspect(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;

	while (op->suspect < pg->n && !(op->prepared & slot_bit(op->suspect)))
		op->suspect++;
	if (op->suspect < pg->n && check_compare(node, op))
		return;
	if (count_bits(op->suspects) != 1) {
		check_undecided(node, op);
		return;
	}
	op->check.damaged++;
	check_settle(node, op, op->failed | op->suspects, op->suspects);
}

/* ---- Versions and presence ---- */

/* What each slot says of the object. */
struct sides {
	uint64_t now;         /* has its newest content */
	uint64_t old;         /* has older content */
	uint64_t dead;        /* knows a delete */
	uint64_t absent;      /* never heard of it, or has forgotten a delete */
	uint64_t damaged;     /* cannot read what it has */
	uint64_t newest_dead; /* version of the newest delete */
};

/* The newest change of the object that was acknowledged not long ago; 0: none is remembered. */
static uint64_t newest_change(const struct pg *pg, uint64_t oid)
{
	uint64_t newest = 0;

	list_each (l, &pg->requests_order) {
		const struct done_req *r = list_item(l, struct done_req, order);
		if (r->e.oid == oid)
			newest = MAX(newest, r->e.version);
	}
	return newest;
}

/*
 * A lost or an old shard is what disks are known for, so the newest content stands when enough
 * slots have it. Only where others say that there is no such object at all it may have been
 * deleted: a change that is remembered tells, else the side with fewer faults.
 */
static void judge_content(const struct pg *pg, uint64_t oid, const struct sides *s,
                          struct verdict *v)
{
	uint64_t changed = newest_change(pg, oid);
	bool enough = count_bits(s->now) >= pg->k;
	bool deniers = s->absent | s->dead | s->old; /* who says otherwise, not just nothing */

	if (s->absent && changed > v->version && s->damaged &&
	    count_bits(s->absent) <= pg->n - pg->k) {
		v->undecided = true; /* a delete, or a write that the damaged ones had */
	} else if (s->absent && changed > v->version) {
		v->leftover = s->now | s->old;
		v->version = 0;
	} else if ((enough && (!s->absent || changed == v->version ||
	                       count_bits(s->now) >= count_bits(s->absent))) ||
	           !deniers) {
		v->bad = s->absent | s->dead | s->old | s->damaged;
		v->sound = s->now;
	} else if (count_bits(s->absent) > pg->n - pg->k) {
		v->leftover = s->now | s->old; /* more than m slots are without it: deleted */
		v->version = 0;
	} else {
		v->undecided = true;
	}
}

static void sides_fill(const struct op *op, struct sides *s, struct verdict *v)
{
	for (uint32_t i = 0; i < op->pg->n; i++) {
		const struct shard_io *io = &op->plan->shard[i];
		if (io->hi == io->lo)
			continue;
		if (io->result == RES_OK)
			v->version = MAX(v->version, io->version);
		else if (io->result == RES_NOENT)
			s->newest_dead = MAX(s->newest_dead, io->version);
		else if (io->result != RES_CORRUPT && io->result != RES_IO)
			v->unclear = true;
	}
	for (uint32_t i = 0; i < op->pg->n; i++) {
		const struct shard_io *io = &op->plan->shard[i];
		if (io->hi == io->lo)
			continue;
		if (io->result == RES_OK)
			*(io->version == v->version ? &s->now : &s->old) |= slot_bit(i);
		else if (io->result == RES_NOENT)
			*(io->version ? &s->dead : &s->absent) |= slot_bit(i);
		else
			s->damaged |= slot_bit(i);
	}
}

static void check_judge(const struct op *op, struct verdict *v)
{
	const struct pg *pg = op->pg;
	struct sides s = {0};

	memset(v, 0, sizeof(*v));
	sides_fill(op, &s, v);
	if (count_bits(pg->live) < pg->k) {
		v->unclear = true; /* nothing can be said now */
	} else if (!v->version) {
		v->undecided = s.damaged && !s.newest_dead;
	} else if (s.newest_dead > v->version) {
		/* Deleted, and some slot missed it; or it has lost that the delete was taken back. */
		v->undecided = count_bits(s.now) >= pg->k &&
		               count_bits(s.now) > count_bits(s.dead | s.absent);
		v->leftover = v->undecided ? 0 : s.now | s.old;
		v->version = 0;
	} else {
		judge_content(pg, op->req->oid, &s, v);
	}
}

static void count_bad(struct op *op, const struct verdict *v)
{
	for (uint32_t i = 0; i < op->pg->n; i++) {
		const struct shard_io *io = &op->plan->shard[i];
		if (!(v->bad & slot_bit(i)))
			continue;
		if (io->result == RES_OK || (io->result == RES_NOENT && io->version))
			op->check.stale++;
		else if (io->result == RES_NOENT)
			op->check.missing++;
		else
			op->check.damaged++;
	}
	op->check.leftover += count_bits(v->leftover);
}

static void check_read(struct node *node, struct op *op)
{
	struct verdict v;

	check_judge(op, &v);
	if (v.unclear) { /* a slot on its way out: a new interval comes */
		op_finish(node, op, RES_AGAIN);
		return;
	}
	if (v.version || v.leftover || v.undecided)
		op->check.shards = op->pg->n;
	count_bad(op, &v);
	op->version = v.version;
	op->suspect = NOBODY;
	op->suspects = 0;
	op->failed = v.bad;
	op->prepared = v.sound;
	if (v.undecided)
		check_undecided(node, op);
	else if (!v.sound || !check_compare(node, op))
		check_settle(node, op, v.bad, v.leftover);
}

void check_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	uint32_t size = ec_part_size(pg->k, 1u << pg->conf->object_shift);

	if (!op->conn && missing_find(pg, op->req->oid)) {
		op_finish(node, op, RES_OK); /* known already, and being rebuilt */
		return;
	}
	op->plan = plan_create(check_read);
	for (uint32_t i = 0; i < pg->n; i++)
		if (pg->live & slot_bit(i))
			plan_add_shard(pg, NULL, op->plan, i, 0, size);
	plan_seal(pg, NULL, op->plan);
	plan_run(node, op);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Reading shards for an operation: which, from where, and what to compute from the others. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct io_plan *plan_create(void (*done)(struct node *, struct op *))
{
	struct io_plan *plan = xcalloc(1, sizeof(*plan));

	plan->done = done;
	return plan;
}

void plan_free(struct io_plan *plan)
{
	if (!plan)
		return;
	for (uint32_t i = 0; i < MAX_SHARDS; i++) {
		slice_drop(&plan->shard[i].data);
		slice_drop(&plan->decoded[i]);
	}
	free(plan);
}

/* Shards that can be read now, at the version that counts. */
static uint64_t plan_readable(const struct pg *pg, const struct missing *m)
{
	return m ? m->have : pg->live;
}

static void range_join(uint32_t *lo, uint32_t *hi, uint32_t lo2, uint32_t hi2)
{
	if (*lo == *hi) {
		*lo = lo2;
		*hi = hi2;
		return;
	}
	*lo = MIN(*lo, lo2);
	*hi = MAX(*hi, hi2);
}

void plan_add_shard(struct pg *pg, struct missing *m, struct io_plan *plan, uint32_t shard,
                    uint32_t lo, uint32_t hi)
{
	if (plan_readable(pg, m) & slot_bit(shard)) {
		range_join(&plan->shard[shard].lo, &plan->shard[shard].hi, lo, hi);
		return;
	}
	plan->decode |= slot_bit(shard);
	range_join(&plan->dlo, &plan->dhi, lo, hi);
}

static void plan_set_source(const struct pg *pg, const struct missing *m, struct shard_io *io,
                            uint32_t shard)
{
	const struct member *mb = &pg->members[m ? m->source[shard] : shard];

	io->disk = mb->disk;
	io->node = mb->node;
}

bool plan_seal(struct pg *pg, struct missing *m, struct io_plan *plan)
{
	uint64_t readable = plan_readable(pg, m);

	if (plan->decode) {
		/* What is read anyway first, then in order: data shards before parity. */
		uint32_t count = 0;
		for (int pass = 0; pass < 2; pass++)
			for (uint32_t i = 0; i < pg->n && count < pg->k; i++) {
				bool wanted = plan->shard[i].hi > plan->shard[i].lo;
				if (!(readable & slot_bit(i)) || (plan->sources & slot_bit(i)) ||
				    wanted != (pass == 0))
					continue;
				plan->sources |= slot_bit(i);
				count++;
			}
		if (count < pg->k)
			return false;
		for (uint32_t i = 0; i < pg->n; i++)
			if (plan->sources & slot_bit(i))
				range_join(&plan->shard[i].lo, &plan->shard[i].hi, plan->dlo,
				           plan->dhi);
	}
	for (uint32_t i = 0; i < pg->n; i++)
		if (plan->shard[i].hi > plan->shard[i].lo)
			plan_set_source(pg, m, &plan->shard[i], i);
	return true;
}

static void plan_decoded(struct node *node, struct op *op)
{
	struct io_plan *plan = op->plan;
	struct code_job *c = op->code;

	op->code = NULL;
	for (uint32_t i = 0; i < c->out_count; i++) {
		plan->decoded[c->out_id[i]] = (struct slice){c->out[i], 0, c->len};
		c->out[i] = NULL;
	}
	code_free(c);
	plan->done(node, op);
}

static bool plan_all_good(const struct io_plan *plan)
{
	uint64_t version = 0;

	for (uint32_t i = 0; i < MAX_SHARDS; i++) {
		const struct shard_io *io = &plan->shard[i];
		if (io->hi == io->lo)
			continue;
		if (io->result != RES_OK || (version && io->version != version))
			return false;
		version = io->version;
	}
	return true;
}

static void plan_decode(struct node *node, struct op *op)
{
	struct io_plan *plan = op->plan;
	struct code_job *c = code_create(node, op, plan->dhi - plan->dlo);

	for (uint32_t i = 0; i < op->pg->n; i++) {
		struct shard_io *io = &plan->shard[i];
		if (plan->sources & slot_bit(i)) {
			c->in_id[c->in_count] = i;
			c->in[c->in_count++] = slice_cut(&io->data, plan->dlo - io->lo, c->len);
		} else if (plan->decode & slot_bit(i)) {
			c->out_id[c->out_count++] = i;
		}
	}
	c->done = plan_decoded;
	code_start(node, c);
}

static void plan_answer(struct node *node, struct call *call, struct msg *reply)
{
	struct op *op = call->ctx;
	struct io_plan *plan = op->plan;
	struct shard_io *io = &plan->shard[call->index];

	io->result = reply->result;
	io->version = reply->version;
	if (reply->result == RES_OK) {
		if (reply->payload.count == 1 && reply->payload.v[0].len == io->hi - io->lo &&
		    reply->payload.v[0].buf) {
			io->data = reply->payload.v[0];
			reply->payload.count = 0;
		} else {
			io->result = RES_IO;
		}
	}
	if (--op->awaited)
		return;
	if (plan->decode && plan_all_good(plan))
		plan_decode(node, op);
	else
		plan->done(node, op);
}

void plan_run(struct node *node, struct op *op)
{
	struct pg *pg = op->pg;
	struct io_plan *plan = op->plan;

	op->awaited = 0;
	for (uint32_t i = 0; i < pg->n; i++)
		op->awaited += plan->shard[i].hi > plan->shard[i].lo;
	assert(op->awaited);
	for (uint32_t i = 0; i < pg->n; i++) {
		struct shard_io *io = &plan->shard[i];
		if (io->hi == io->lo)
			continue;
		struct msg *m = pg_msg(node, pg, MSG_SHARD_READ);
		m->oid = op->missing ? op->missing->oid : op->req->oid;
		m->shard = i;
		m->offset = io->lo;
		m->length = io->hi - io->lo;
		op_call(node, op, io->node, io->disk, m, plan_answer, i);
	}
}

struct slice plan_take(const struct io_plan *plan, uint32_t shard, uint32_t lo, uint32_t hi)
{
	if (plan->decode & slot_bit(shard))
		return slice_cut(&plan->decoded[shard], lo - plan->dlo, hi - lo);
	return slice_cut(&plan->shard[shard].data, lo - plan->shard[shard].lo, hi - lo);
}

bool plan_is_absent(const struct pg *pg, const struct io_plan *plan)
{
	bool any = false;

	for (uint32_t i = 0; i < MAX_SHARDS; i++) {
		if (plan->shard[i].hi == plan->shard[i].lo)
			continue;
		if (plan->shard[i].result != RES_NOENT || plan->shard[i].disk != pg->slot_disk[i])
			return false;
		any = true;
	}
	return any;
}

/* It may have been dropped there since: recovery has put the shard into its slot. */
static bool source_is_former(const struct pg *pg, const struct missing *m, uint32_t shard,
                             uint64_t disk)
{
	return disk != (m ? pg->members[m->source[shard]].disk : pg->slot_disk[shard]);
}

static void source_mark_bad(struct node *node, struct pg *pg, struct missing *m, uint64_t oid,
                            uint64_t version, uint32_t shard)
{
	if (m && m->source[shard] >= pg->n) { /* a stray: just not a source any more */
		m->have &= ~slot_bit(shard);
		missing_requeue(node, m);
		return;
	}
	missing_mark_slot(node, pg, oid, version, shard);
}

bool plan_mark_bad(struct node *node, struct op *op)
{
	struct io_plan *plan = op->plan;
	struct pg *pg = op->pg;
	uint64_t oid = op->missing ? op->missing->oid : op->req->oid;
	struct missing *m = missing_find(pg, oid);
	uint64_t newest = m ? m->version : 0;
	bool bad = false;

	if (!newest) {
		for (uint32_t i = 0; i < pg->n; i++)
			newest = MAX(newest, plan->shard[i].version);
		if (m) /* met while serving, by a holder that could not tell the version */
			m->version = newest;
	}
	if (plan_all_good(plan) && plan_version(plan) == newest)
		return false;
	for (uint32_t i = 0; i < pg->n; i++) {
		struct shard_io *io = &plan->shard[i];
		if (io->hi == io->lo || (io->result == RES_OK && io->version == newest))
			continue;
		if (!source_is_former(pg, m, i, io->disk))
			source_mark_bad(node, pg, m, oid, newest, i);
		bad = true;
	}
	return bad;
}

uint64_t plan_version(const struct io_plan *plan)
{
	for (uint32_t i = 0; i < MAX_SHARDS; i++)
		if (plan->shard[i].hi > plan->shard[i].lo)
			return plan->shard[i].version;
	return 0;
}

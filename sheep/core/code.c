/* SPDX-License-Identifier: Apache-2.0 */

/* Encoding and decoding as jobs that hold all they touch, so that they may run on another thread
 * and outlive their operation. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

void code_free(struct code_job *c)
{
	list_remove(&c->job.out);
	for (uint32_t i = 0; i < c->in_count; i++)
		slice_drop(&c->in[i]);
	for (uint32_t i = 0; i < c->out_count; i++)
		buf_unref(c->out[i]);
	ec_unref(c->code);
	free(c);
}

/* A source shorter than the stripe counts as zeros behind its end; the copy that needs is rare. */
static const uint8_t *code_input(const struct slice *s, uint32_t len, uint8_t **ret_copy)
{
	*ret_copy = NULL;
	if (!s->buf || !s->len)
		return NULL;
	if (s->len >= len)
		return slice_data(s);
	*ret_copy = xcalloc(1, len);
	memcpy(*ret_copy, slice_data(s), s->len);
	return *ret_copy;
}

static void code_run(struct compute_job *job)
{
	struct code_job *c = container_of(job, struct code_job, job);
	const uint8_t *in[MAX_SHARDS];
	uint8_t *copy[MAX_SHARDS], *out[MAX_SHARDS];
	bool encode = c->out_id[0] >= ec_k(c->code);

	for (uint32_t i = 0; i < c->in_count; i++) {
		in[i] = code_input(&c->in[i], c->len, &copy[i]);
		encode = encode && c->in_id[i] == i;
	}
	for (uint32_t i = 0; i < c->out_count; i++) {
		out[i] = c->out[i]->data;
		encode = encode && c->out_id[i] == ec_k(c->code) + i;
	}
	if (encode && c->out_count == ec_m(c->code)) {
		ec_encode(c->code, c->len, in, out);
	} else {
		int rc = ec_decode(c->code, c->len, c->in_id, in, c->out_count, c->out_id, out);
		assert(rc == 0);
	}
	for (uint32_t i = 0; i < c->in_count; i++)
		free(copy[i]);
	for (uint32_t i = 0; i < c->out_count; i++)
		buf_seal(c->out[i]);
}

static void code_done(struct node *node, struct compute_job *job)
{
	struct code_job *c = container_of(job, struct code_job, job);
	struct op *op = c->op;

	if (!op) { /* a new interval came in between */
		code_free(c);
		return;
	}
	c->done(node, op);
}

struct code_job *code_create(struct node *node, struct op *op, uint32_t len)
{
	struct code_job *c = xcalloc(1, sizeof(*c));

	assert(len > 0);
	list_init(&c->job.link);
	list_init(&c->job.out);
	c->op = op;
	c->code = ec_ref(op->pg->code);
	c->len = len;
	return c;
}

void code_start(struct node *node, struct code_job *c)
{
	for (uint32_t i = 0; i < c->out_count; i++)
		c->out[i] = buf_get(node->config.pool, c->len);
	c->job.cost_bytes = (uint64_t)c->len * (c->in_count + c->out_count);
	c->job.run = code_run;
	c->job.done = code_done;
	c->op->code = c;
	list_push(&node->compute_out, &c->job.out);
	effect_add(node, EFF_COMPUTE)->compute_job = &c->job;
}

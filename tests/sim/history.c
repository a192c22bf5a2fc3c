/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"

struct op_record *history_add(struct history *h)
{
	if (h->count == h->capacity) {
		h->capacity = MAX(64u, h->capacity * 2);
		h->v = xrealloc(h->v, h->capacity * sizeof(*h->v));
	}
	h->v[h->count] = (struct op_record){.ended = OP_OPEN};
	return &h->v[h->count++];
}

void history_fini(struct history *h)
{
	free(h->v);
	*h = (struct history){0};
}

void op_record_text(const struct op_record *op, char text[OP_TEXT_LEN])
{
	static const char *const name[] = {"read", "write",  "create", "zero",
	                                   "delete", "stat", "check", "list", "swap"};
	int n = snprintf(text, OP_TEXT_LEN, "client %u %s object %u cells %u+%u", op->client,
	                 name[op->type], op->object, op->first, op->count);

	if (op->type == OP_SWAP)
		n += snprintf(text + n, OP_TEXT_LEN - n, " of %" PRIx64, op->expect);
	if (op->stamp)
		n += snprintf(text + n, OP_TEXT_LEN - n, " stamp %" PRIu64, op->stamp);
	if (op->ended == OP_OPEN)
		n += snprintf(text + n, OP_TEXT_LEN - n, " [%" PRIu64 ", open)", op->began);
	else
		n += snprintf(text + n, OP_TEXT_LEN - n, " [%" PRIu64 ", %" PRIu64 "]", op->began,
		              op->ended);
	if (op->failed)
		n += snprintf(text + n, OP_TEXT_LEN - n, " no space");
	if (op->refused)
		n += snprintf(text + n, OP_TEXT_LEN - n, op->type == OP_SWAP ? " changed" : " exists");
	if (op->absent)
		n += snprintf(text + n, OP_TEXT_LEN - n, " absent");
	if (op->type != OP_READ || op->ended == OP_OPEN)
		return;
	for (uint32_t i = 0; i < op->count && n < OP_TEXT_LEN - 24; i++)
		n += snprintf(text + n, OP_TEXT_LEN - n,
		              op->seen[i] == CELL_TORN ? " torn" : " %" PRIu64, op->seen[i]);
}

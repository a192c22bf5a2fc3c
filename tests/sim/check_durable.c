/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"

#include <stdio.h>

static bool op_covers(const struct op_record *op, uint32_t object, uint32_t cell)
{
	if (op->object != object || op->refused || op->failed)
		return false;
	if (op->type == OP_READ || op->type == OP_STAT || op->type == OP_CHECK ||
	    op->type == OP_LIST)
		return false;
	return op->type == OP_DELETE || (cell >= op->first && cell < op->first + op->count);
}

static uint64_t op_leaves(const struct op_record *op)
{
	return op->stamp;
}

/* Whether an acknowledged operation on the cell began after `moment` and ended before the read
 * began. */
static bool overwritten(const struct history *h, const struct op_record *read, uint32_t cell,
                        uint64_t moment)
{
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op_record *op = &h->v[i];

		if (op_covers(op, read->object, cell) && op->began > moment &&
		    op->ended < read->began)
			return true;
	}
	return false;
}

static bool explained(const struct history *h, const struct op_record *read, uint32_t cell,
                      uint64_t seen)
{
	if (seen == 0 && !overwritten(h, read, cell, 0))
		return true; /* as it was in the beginning */
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op_record *op = &h->v[i];

		if (op_covers(op, read->object, cell) && op_leaves(op) == seen &&
		    op->began < read->ended && !overwritten(h, read, cell, op->ended))
			return true;
	}
	return false;
}

int check_durable(const struct history *h, uint64_t since, char why[CHECK_WHY_LEN])
{
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op_record *read = &h->v[i];

		if (read->type != OP_READ || read->began < since || read->ended == OP_OPEN)
			continue;
		for (uint32_t c = 0; c < read->count; c++) {
			char text[OP_TEXT_LEN];

			if (explained(h, read, read->first + c, read->seen[c]))
				continue;
			op_record_text(read, text);
			snprintf(why, CHECK_WHY_LEN, "lost or stale: cell %u in %.420s",
			         read->first + c, text);
			return -1;
		}
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_HISTORY_H
#define SF_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/cells.h"

/* What clients did and what they were told, for the checkers. */
enum op_type { OP_READ, OP_WRITE, OP_CREATE, OP_ZERO, OP_DELETE, OP_STAT, OP_CHECK, OP_LIST, OP_SWAP };
#define OP_OPEN UINT64_MAX /* no answer: may have taken effect at any time after it began, or not */

struct op_record {
	enum op_type type;
	uint32_t client, object;
	uint32_t first, count; /* cells; WRITE, CREATE and SWAP put `stamp` there */
	uint64_t stamp;
	uint64_t began, ended;    /* moments, all different */
	uint64_t expect;          /* SWAP: the version that the object must have */
	bool refused;             /* CREATE: the object existed; SWAP: had another version */
	bool failed;              /* no space: it changed nothing */
	uint32_t pool, pg, node;  /* where it was made, and by whom */
	uint64_t version;         /* that an acknowledged change got; 0: none */
	uint64_t found;           /* READ: the version that was read */
	bool absent;              /* READ, STAT: the object did not exist */
	uint64_t seen[MAX_CELLS]; /* READ */
};

struct history {
	uint32_t count, capacity;
	struct op_record *v; /* in the order they began */
};
/* An empty record at the end; the pointer holds until the next one. */
struct op_record *history_add(struct history *h);
void history_fini(struct history *h);
/* One line about an operation. */
enum { OP_TEXT_LEN = 512 };
void op_record_text(const struct op_record *op, char text[OP_TEXT_LEN]);

#endif

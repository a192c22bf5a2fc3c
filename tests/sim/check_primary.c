/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "lib/wire/msg.h"
#include "tests/sim/check.h"

static int complain(char *why, const char *what, const struct op_record *a,
                    const struct op_record *b)
{
	char first[OP_TEXT_LEN], second[OP_TEXT_LEN];

	op_record_text(a, first);
	op_record_text(b, second);
	snprintf(why, CHECK_WHY_LEN,
	         "%s: pg %u.%u, version %" PRIx64 " of node %u: %.120s; version %" PRIx64
	         " of node %u: %.120s",
	         what, a->pool, a->pg, a->version, a->node, first, b->version, b->node, second);
	return -1;
}

/* Both changed something in the same PG. */
static int pair_check(const struct op_record *a, const struct op_record *b, char *why)
{
	if (a->version == b->version)
		return complain(why, "one version twice", a, b);
	if (version_epoch(a->version) == version_epoch(b->version) && a->node != b->node)
		return complain(why, "two primaries in one interval", a, b);
	if ((a->ended < b->began && a->version > b->version) ||
	    (b->ended < a->began && b->version > a->version))
		return complain(why, "versions run backwards", a, b);
	return 0;
}

int check_primary(const struct history *h, char why[CHECK_WHY_LEN])
{
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op_record *a = &h->v[i];

		if (!a->version)
			continue;
		for (uint32_t j = i + 1; j < h->count; j++) {
			const struct op_record *b = &h->v[j];

			if (b->version && a->pool == b->pool && a->pg == b->pg &&
			    pair_check(a, b, why))
				return -1;
		}
	}
	return 0;
}

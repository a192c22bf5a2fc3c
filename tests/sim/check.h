/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_CHECK_H
#define SF_SIM_CHECK_H

#include "tests/sim/history.h"

struct world;

/* Every checker returns 0, or -1 with a reason of some lines in why. They look and change
 * nothing. */
enum { CHECK_WHY_LEN = 480 };

/* Whether there is one order of the object's operations, each somewhere between its begin and
 * end, that explains all that was seen (Wing, Gong 1993; memoisation after Lowe 2017). 1: given
 * up after too many steps. */
int check_linear(const struct history *h, uint32_t object, uint32_t cell_count,
                 char why[CHECK_WHY_LEN]);

/* Without any search, as a second opinion: what reads that began after `since` saw in each cell
 * was written by somebody and not overwritten by an acknowledged operation that followed it. */
int check_durable(const struct history *h, uint64_t since, char why[CHECK_WHY_LEN]);

/* Among the changes of one PG that were acknowledged: no version twice, one primary in each
 * interval, and who began after another had ended has the greater version. */
int check_primary(const struct history *h, char why[CHECK_WHY_LEN]);

/* When all faults are over and the cluster is at rest: every object has all its shards where the
 * newest map says and nowhere else, all at one committed version, parity made from data, no
 * tombstone left. */
int check_clean(struct world *w, char why[CHECK_WHY_LEN]);

/* No shard anywhere has bytes that do not match their checksums, noticed or not. */
int check_sound(const struct world *w, char why[CHECK_WHY_LEN]);
/* The object has such a shard. */
bool check_object_rot(const struct world *w, uint32_t pool, uint64_t oid);

/* Queues and tokens: what a run may have under way at most. */
int check_bounds(const struct world *w, char why[CHECK_WHY_LEN]);

#endif

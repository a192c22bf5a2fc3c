/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_VOL_RUN_H
#define SF_SIM_VOL_RUN_H

#include "client/lib/cluster.h"
#include "tests/sim/lib_host.h"
#include "tests/sim/vol_model.h"
#include "tests/sim/world.h"

/*
 * Random operations on volumes by processes with the real client library (lib_host.h), which may vanish in the middle.
 * One process at a time works on a name. What it does to it is either done, or (it vanished, or was told of an
 * error) not known: then the name's next operation is begun by finding out, under the name's lock, and what is found must
 * be what was before, what was to be, or what the operation passes through.
 */
enum vol_op_kind {
	VOL_CREATE, VOL_WRITE, VOL_READ, VOL_DISCARD, VOL_RESIZE, VOL_SNAPSHOT, VOL_CLONE, VOL_ROLLBACK,
	VOL_DELETE, VOL_DELETE_SNAPSHOT, VOL_CONVERT, VOL_BACKUP, VOL_OP_KINDS,
};

struct vol_op {
	enum vol_op_kind kind;
	struct vol_name *name, *source; /* source: of clones and backups; the name itself otherwise */
	uint32_t first, count, snap, flags, k, m;
	uint64_t stamp;
	char tag[24];
	struct vol_state after, between; /* between: valid as has_between says */
	bool has_between, mixes; /* mixes: block by block what was or what was to be */
};

struct vol_name {
	char name[8];
	bool busy, unsure, left; /* left: an operation on it did not come to its end, and something may lie there */
	uint32_t readers;
	struct vol_state now;
	struct vol_op last; /* while unsure */
};

struct vol_process {
	struct vol_run *run;
	uint32_t client;
	struct host *host;
	struct sf_cluster *cluster;
	struct vol_op op;
	bool working, over;
	struct vol_name *settles; /* NULL: does not */
	uint8_t *bytes; /* of a whole volume */
};

struct vol_run {
	struct world *w;
	struct vol_name names[VOL_NAMES];
	struct vol_process processes[SIM_MAX_CLIENTS];
	uint32_t kinds[3][2], kind_count; /* redundancies of the data pools */
	uint32_t ops_left, next_id, vanish_ppm;
	uint64_t next_stamp;
	bool stopping; /* no operation begins */
	uint32_t done[VOL_OP_KINDS], failed[VOL_OP_KINDS], settled, vanished;
};

/* Draws one that can be done now and marks its names busy. */
bool vol_op_draw(struct vol_run *r, struct vol_op *op);
void vol_op_text(const struct vol_op *op, char *text, size_t len);
/* Does it. 0, or how it failed; -EILSEQ and world_fail for what must not be. */
int vol_op_do(struct vol_process *p, struct vol_op *op);
void vol_op_release(struct vol_op *op);
/* Finds out what an unsure name is now. False: not now. */
bool vol_settle(struct vol_process *p, struct vol_name *n);
/* That all images are what the model says. */
bool vol_check_list(struct vol_process *p);
bool vol_check_contents(struct vol_process *p, const struct vol_name *n);
/* Errors that a fault may cause. */
bool vol_may_fail(int err);

#endif

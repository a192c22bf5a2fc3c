/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_WORKLOAD_H
#define SF_SIM_WORKLOAD_H

#include "lib/place/map.h"
#include "tests/sim/history.h"
#include "tests/sim/world.h"

/* The objects of a run, what is to be done to them, and what was. */
enum { SIM_MAX_OBJECTS = 16 };

struct sim_object {
	uint32_t pool, pg;
	uint64_t oid;
	struct cells cells;
	bool begin_only; /* the cells do not reach the object's end: cheaper */
};

struct workload {
	uint32_t object_count;
	struct sim_object objects[SIM_MAX_OBJECTS];
	uint32_t ops_left; /* to be begun */
	uint32_t big_ppm;  /* operations on whole objects */
	uint32_t reader_ppm
		[SIM_MAX_CLIENTS]; /* of a client's operations that are reads, beyond its share */
	uint32_t sleep_ppm;        /* operations after which the client sleeps for seconds */
	uint64_t pause_max_us;     /* of a client between two operations */
	uint64_t last_stamp;
	uint32_t final_next; /* the next object of the final reads */
	bool final;          /* the final reads are under way */
	bool scrub;          /* before them: every object is checked and repaired */
	uint32_t check_ppm;  /* operations that check an object or list a PG */
	bool swaps;          /* half of the writes are compare-and-swap */
	struct history history;
};

/* Objects of both pools; needs the first map. */
void workload_create(struct world *w, const struct map *map, uint32_t objects);
void workload_destroy(struct world *w);
/* Draws the next operation of a client and records its beginning; UINT32_MAX: none is left. */
uint32_t workload_begin(struct world *w, uint32_t client);
/* How long a client waits before its next operation. */
uint64_t workload_pause_us(struct world *w);
const struct sim_object *workload_object(const struct world *w, const struct op_record *op);

#endif

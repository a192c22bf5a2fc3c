/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_LOCK_WATCH_H
#define SF_CLIENT_LOCK_WATCH_H

#include "client/lib/lock_record.h"

struct sf_cluster;

/* Looks at a volume's lock from outside, again and again. These wait. */
struct lock_watch {
	struct sf_cluster *cluster;
	const char *name;
	uint64_t oid;
	bool seen;
	uint64_t since_ms; /* first seen at this version */
	/* As it was last seen. */
	uint64_t version; /* 0: nobody has it */
	bool readable;
	struct lock_record record;
	bool moved;   /* the holder has renewed it between two looks: it lives */
	bool expired; /* unchanged for a whole lease */
	bool dead;    /* the holder's process is gone for sure */
};
void lock_watch_init(struct lock_watch *w, struct sf_cluster *cluster, const char *name);
int lock_watch_look(struct lock_watch *w);
/* A small part of a lease. */
void lock_watch_pause(const struct lock_watch *w);

#endif

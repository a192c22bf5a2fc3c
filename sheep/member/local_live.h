/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_LOCAL_LIVE_H
#define SF_MEMBER_LOCAL_LIVE_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/place/map.h"

/*
 * The live set of the local driver: a directory with one file per daemon,
 *
 *   node.<id>.<incarnation>    what it announces (struct node_info), checksummed
 *
 * locked by its daemon before it gets this name. The kernel drops the lock when the process dies, however it dies: a file
 * that is not locked is stale, and whoever sees it removes it. The incarnation in the name makes this safe: a daemon that
 * starts again has another file. (A new announcement replaces the file by rename; the old one is unlocked only after that,
 * so a check of the lock followed by a check that the name still means the same file cannot hit the new one.)
 */
struct local_live {
	int dir_fd;
	DIR *listing;
	uint64_t id, incarnation; /* this daemon */
	int own_fd;
	ino_t own_ino;
	uint32_t count, capacity;
	struct live_file {
		uint64_t id, incarnation;
		int fd;
		ino_t ino;
		bool seen; /* in this round */
		struct node_info info;
	} *files; /* sorted by id */
};

int local_live_open(struct local_live *l, const char *dir, const struct node_info *self);
/* Leaves the live set too. */
void local_live_close(struct local_live *l);
/* Whether another process with this node's id lives. */
bool local_live_id_taken(const struct local_live *l);
/* Enters the live set, or replaces the announcement. 0 or -errno. */
int local_live_announce(struct local_live *l, const struct node_info *self);
void local_live_leave(struct local_live *l);
/* Looks again. 1: the set has changed; 0: it has not; negative: the directory cannot be read. */
int local_live_poll(struct local_live *l);
/* Whether this daemon's own announcement was in place at the last look. */
bool local_live_has_self(const struct local_live *l);

#endif

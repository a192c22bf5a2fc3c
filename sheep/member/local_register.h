/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_LOCAL_REGISTER_H
#define SF_MEMBER_LOCAL_REGISTER_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/place/map.h"

/*
 * The register of the local driver: a directory of maps, one checksummed file each, numbered in the order in
 * which they won:
 *
 *   map.00000001  cluster A, epoch 1      map.00000003  cluster B, epoch 1 (formatted anew)
 *   map.00000002  cluster A, epoch 2      tmp.<node>    a proposal being written
 *
 * A proposal is written aside, made durable, and given its number by link(2), which fails when another has it: that is
 * the whole compare-and-swap. No lock is held, so that a process stopped in the middle stops nobody else. Files are
 * never changed and never removed.
 */
struct local_register {
	char dir[4000];
	int dir_fd;
	dev_t dev; /* which directory dir_fd is: `dir` must go on naming it */
	ino_t ino;
	uint64_t node; /* who proposes, for the name of its temporary file */
	uint32_t seq;  /* of the last map read; 0: none */
	uint64_t cluster;
	uint32_t epoch;
};

/* Makes the directory when it is missing (not its parents). 0 or -errno. */
int local_register_open(struct local_register *r, const char *dir, uint64_t node);
void local_register_close(struct local_register *r);
/* The map after the last one read, of which the caller gets a reference: 1; 0 when there is none yet; negative when it cannot be
 * read, does not follow the one before, or the register was taken away. */
int local_register_next(struct local_register *r, struct map **ret);
/* A map that was read before. 0 or a negative error. */
int local_register_load(const struct local_register *r, uint32_t seq, struct map **ret);
/* 0: it won and is durable (local_register_next gives it); -SF_EAGAIN: another did; or an error. */
int local_register_propose(struct local_register *r, uint64_t expected_cluster,
                           uint32_t expected_epoch, const struct map *map);

#endif

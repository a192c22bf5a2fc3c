/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DISKS_H
#define SF_LOOP_DISKS_H

#include <stdbool.h>

#include "sheep/core/node.h"
#include "sheep/loop/completions.h"
#include "sheep/loop/daemon.h"

/* A daemon's disks, each with its own engine: a thread, or none where it cannot block
 * (memory_disk.h). */
struct disks;

/* Opens (or makes) every store of the options, and fills in info's disks and cluster. A fresh
 * disk of a node that belongs to a cluster becomes that cluster's. One line in text on failure;
 * nothing is left open then. */
int disks_open(const struct daemon_options *options, struct node_info *info,
               struct completions *completions, struct disks **ret, char text[DAEMON_TEXT_LEN]);
/* Carries out what threads were given, closes the stores. NULL is fine. */
void disks_close(struct disks *disks);

/* Takes a job; it begins with the next disks_kick or disks_run. One for a disk that is not here
 * comes back with RES_IO. */
void disks_add(struct disks *disks, struct disk_job *job);
/* Wakes the threads that have new jobs. */
void disks_kick(struct disks *disks);
/* Runs what was given to disks without a thread: finished (overwritten) gets these jobs. False:
 * there was nothing. */
bool disks_run(struct disks *disks, struct list *finished);
/* Stamps every store; each answers with a NOTICE_ADOPTED (a daemon without disks: one). Returns
 * how many will. */
uint32_t disks_adopt(struct disks *disks, uint64_t cluster);
/* Background work of those without a thread. */
void disks_idle(struct disks *disks, uint64_t now_ms);

#endif

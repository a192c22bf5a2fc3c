/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DISKS_H
#define SF_LOOP_DISKS_H

#include <stdbool.h>

#include "sheep/core/node.h"
#include "sheep/loop/completions.h"
#include "sheep/loop/daemon.h"

/* A daemon's disks, each with its own engine: a thread, or none where it cannot block
 * (memory_disk.h). They come and go while the daemon runs (plug.h). */
struct disks;

/* Opens (or makes) every store of the options, and fills in info's disks and cluster. A fresh
 * disk of a node that belongs to a cluster becomes that cluster's. One that cannot be opened is
 * logged, listed by disks_config and left out; it is an error when none can, when one is in use
 * or belongs to somebody else, and when two are the same. One line in text then, and nothing is
 * left open. */
int disks_open(const struct daemon_options *options, struct node_info *info,
               struct completions *completions, struct disks **ret, char text[DAEMON_TEXT_LEN]);
/* Carries out what threads were given, closes the stores. NULL is fine. */
void disks_close(struct disks *disks);
/* What the node has to know: paths, what could not be opened, whom others stand in for. Borrowed
 * from disks. */
void disks_config(const struct disks *disks, struct node_config *config);

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

/* ---- While the daemon runs ---- */

/* Opens the store in the directory in a thread of its own; NOTICE_PLUGGED tells the outcome. */
void disks_plug(struct disks *disks, const char *path, uint64_t cluster);
/* To be called with that notice, which it frees; info gets the disk. The strings of *ret are valid
 * until the next call. */
void disks_plugged(struct disks *disks, struct notice *notice, struct node_info *info,
                   struct event *ret);
/* Carries out what the disk was given and closes it, not here if that may take long; NOTICE_CLOSED
 * follows. It is no longer among the disks, nor used at the next start. */
void disks_unplug(struct disks *disks, uint64_t disk, struct node_info *info);
/* To be called with NOTICE_CLOSED. */
void disks_closed(struct disks *disks, uint64_t disk);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_MEMORY_DISK_H
#define SF_LOOP_MEMORY_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "sheep/core/node.h"

struct store;

/*
 * A store on a memory file system (tmpfs) cannot block, so it needs no thread: its jobs are carried out in the
 * reactor, which spares each of them two hand-offs to another core. Everything else is as with a disk thread:
 * what was gathered in one round is one batch.
 */
struct memory_disk;

/* Whether the directory is on a memory file system. */
bool memory_disk_fits(const char *path);
/* Takes over the store: memory_disk_destroy closes it. */
struct memory_disk *memory_disk_create(struct store *store);
/* Jobs that were added and not run stay the node's. NULL is fine. */
void memory_disk_destroy(struct memory_disk *m);
uint64_t memory_disk_disk(const struct memory_disk *m);
void memory_disk_add(struct memory_disk *m, struct disk_job *job);
/* Runs what was added, all as one batch; false when there was nothing. finished is overwritten. */
bool memory_disk_run(struct memory_disk *m, struct list *finished);
int memory_disk_adopt(struct memory_disk *m, uint64_t cluster);
/* The store's background work, for a few milliseconds at most. */
void memory_disk_idle(struct memory_disk *m, uint64_t now_ms);
/* True once, when the store has failed. */
bool memory_disk_take_failure(struct memory_disk *m);

#endif

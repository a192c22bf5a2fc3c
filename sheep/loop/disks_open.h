/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DISKS_OPEN_H
#define SF_LOOP_DISKS_OPEN_H

#include "sheep/loop/disk_table.h"
#include "sheep/loop/disks.h"
#include "sheep/store/store.h"

/* What disks.c, disks_open.c and disks_plug.c share. Nobody else includes this. */

struct disk {
	uint64_t id;
	char *path;
	struct store *store;        /* until its engine takes it */
	struct disk_thread *thread; /* one of these two */
	struct memory_disk *memory;
};

struct disks {
	struct completions *completions;
	const struct log *log;
	uint64_t node;
	uint32_t weight; /* of each disk; 0: its capacity */
	bool nosync;
	struct disk_table *table;

	uint32_t count;
	struct disk v[NODE_MAX_DISKS];
	const char *paths[NODE_MAX_DISKS]; /* of v, for disks_config */
	struct bad_disk bad[NODE_MAX_DISKS];
	uint32_t bad_count;
	uint64_t replaced[NODE_MAX_DISKS];
	uint32_t replaced_count;

	struct list plugs;   /* struct plug.link: being opened */
	uint32_t closing_count;
	struct disk_thread *closing[NODE_MAX_DISKS];
	char text[STORE_TEXT_LEN + 64], path[DISK_TABLE_PATH_LEN]; /* of the last plug */
};

/* Opens one store: sets id and store, and info's cluster if that was 0; *ret_weight is the disk's. */
int disk_open(const struct disks *disks, const char *path, uint64_t *cluster, struct disk *ret,
              uint32_t *ret_weight, char text[DAEMON_TEXT_LEN]);
/* The store moves to its engine. */
int disk_engine_start(struct disks *disks, struct disk *d, char text[DAEMON_TEXT_LEN]);
void disks_tell(struct disks *disks, struct notice *notice);
/* Waits for those being opened, and drops them. */
void disks_drop_plugs(struct disks *disks);

#endif

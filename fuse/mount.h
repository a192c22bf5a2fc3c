/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_MOUNT_H
#define SF_FUSE_MOUNT_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

#include "fuse/memory.h"
#include "fuse/options.h"
#include "fuse/worker.h"
#include "include/sheepfold.h"

/*
 * One mounted cluster, and its threads:
 *
 *   the loop (fuse/mount.c)   takes the kernel's requests, starts reads and writes, answers what it
 *                             knows; gathers writes (fuse/gather.c); never waits for the cluster
 *   libsheepfold's I/O thread ends reads and writes, and sends their replies
 *   the workers               all that waits for the cluster (fuse/worker.h)
 *
 * `lock` guards what they share: volumes, their operations, the counts of what was accepted. It is
 * not held across a reply, a copy or a call that waits.
 */
struct volume;
struct file;
struct op;
struct throttled;

enum {
	REQUEST_MAX = 1 << 20, /* bytes of one read or write of the kernel */
	GATHER_MAX = 4 << 20,  /* bytes of one write to the cluster */
	VOLUME_BUCKETS = 1024,
};

struct mount {
	const struct options *options;
	struct sf_cluster *cluster;
	struct fuse_session *session;
	struct workers *workers;
	struct memory reads, gathered;
	uid_t uid;
	gid_t gid;
	time_t mounted_s;

	pthread_mutex_t lock;
	LIST_HEAD(, volume) volumes[VOLUME_BUCKETS]; /* by name */
	LIST_HEAD(, file) files;                     /* open */
	uint64_t last_ino;
	char **exposed; /* names, sorted */
	size_t exposed_count;
	uint64_t accepted; /* bytes of writes that were answered and are not durable yet */
	STAILQ_HEAD(, throttled) throttled; /* writes to be answered when that is less */
	uint64_t ops;                       /* of all volumes, under way */
	pthread_cond_t idle;                /* ops == 0 */
	struct statvfs space;               /* as of space_ms */
	uint64_t space_ms;

	/* The loop's. */
	TAILQ_HEAD(gather_list, op) gathers; /* least recently touched first */
	unsigned gather_count;
	struct {
		uint8_t *piece;   /* of `gathered`, no operation's: where requests arrive */
		const char *data; /* of the write that is being done, if they are elsewhere */
		bool may_stay;    /* they are used before the memory that they are in can go */
	} landing;
	bool greeted; /* by the kernel */
	bool serving; /* and it took the answer */
	bool leaving;
	bool taken_off; /* from its place, by leave.c */

	int wake_fd;  /* wakes the loop */
	int ready_fd; /* written to when it is mounted; -1: nobody waits */
};

/* Mounts, serves until it is unmounted or told to end, unmounts. An exit code; what is wrong at the
 * start has been printed. ready_fd: gets one byte once the mount can be used. */
int mount_serve(const struct options *options, struct fuse_args *fuse, int ready_fd);

/* Lets the loop look whether it should end. */
void mount_wake(struct mount *m);
uint64_t mount_now_ms(void);
/* To where whoever runs it looks. */
void mount_log(const struct mount *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif

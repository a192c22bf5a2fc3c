/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLUME_LOCK_H
#define SF_CLIENT_VOLUME_LOCK_H

#include "client/lib/lock.h"

/*
 * A volume's lock for who changes the volume (lock_take), and what a writer who died or met an error left
 * is settled: an object that it made and that the map does not show yet is read, so it is put into the
 * map, or the next snapshot's volume would not have it.
 */
int volume_lock(struct sf_cluster *cluster, const char *name, const char *purpose, struct lock **ret);
/* The same for a guest of a writer who has met an error and lives. */
int volume_lock_settle(struct sf_cluster *cluster, const char *name);

#endif

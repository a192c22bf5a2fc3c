/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_CLUSTER_FAULTY_DISK_H
#define SF_TESTS_CLUSTER_FAULTY_DISK_H

#include <stdint.h>

/*
 * A library to preload into a daemon, so that disks fail on command:
 *
 *   SF_FAULTY_DISKS    up to eight folders, separated by colons: the disks
 *   SF_FAULTY_CONTROL  a file of one struct disk_control per disk, which whoever runs the test writes at any time
 *
 * Calls on files below such a folder wait and fail as their record says at that moment. Reads through mmap (the index)
 * are not seen. Rates are in millionths of the calls.
 */
enum { FAULTY_DISKS_MAX = 8 };

struct disk_control {
	uint32_t read_errno, read_rate;
	uint32_t write_errno, write_rate; /* writing, fallocate, ftruncate; also opening to create */
	uint32_t sync_errno, sync_rate;
	uint32_t torn;              /* a write that fails has written its first half */
	uint32_t delay_us;          /* of every call */
	uint32_t reads, writes, syncs; /* counted here: how many were failed */
	uint32_t calls;             /* and how many were seen at all */
};
_Static_assert(sizeof(struct disk_control) == 48, "as tests/cluster/drill_cluster.py packs it");

#endif

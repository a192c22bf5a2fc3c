/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_SUPERBLOCK_H
#define SF_STORE_SUPERBLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "sheep/store/fs.h"

/* Who a directory belongs to. Two checksummed copies (superblock, superblock.1), each replaced by
 * rename; the valid one with the higher generation counts. */
struct superblock {
	uint64_t generation;
	uint64_t disk, cluster, node;
	uint64_t segment_bytes;
	uint64_t salt; /* secret of the log: what clients write must not pass for a batch; 0: none */
	bool wiping; /* the data is another cluster's and going away: start from empty */
};

/* 0, -ENOENT (neither copy is there), -SF_ECORRUPT, -SF_EFORMAT or an errno. *ret_single: one copy
 * is missing, damaged or old and wants to be written again. */
int superblock_read(const struct fs_ops *fs, const char *dir, struct superblock *ret,
                    bool *ret_single);
/* Writes both copies with the next generation; durable. */
int superblock_write(const struct fs_ops *fs, const char *dir, struct superblock *sb);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_OWNER_CHECK_H
#define SF_CLIENT_OWNER_CHECK_H

#include <stdint.h>

#include "client/lib/request.h"

struct sf_volume;

/*
 * Who reads a volume without its lock may have an old map of it. Objects that a map shows are
 * there; if one is not, either it was discarded or copied meanwhile, or the whole volume is gone or
 * was replaced. The inode says which. On the I/O thread.
 */
struct owner_check {
	struct request req;
	struct sf_volume *volume;
	uint32_t owner; /* as the inode says */
	uint8_t *bytes;
	/* err -ESTALE: the volume is no more; else who has the object now, 0: nobody. The check is
	 * freed by whom it tells. */
	void (*done)(struct owner_check *check, int err, uint32_t owner);
	void *arg;
};
void owner_check_start(struct sf_volume *volume, uint64_t index,
                       void (*done)(struct owner_check *, int, uint32_t), void *arg);
void owner_check_free(struct owner_check *check);

#endif

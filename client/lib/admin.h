/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_ADMIN_H
#define SF_CLIENT_ADMIN_H

#include <stdint.h>

#include "include/sheepfold.h"

/* The id of a pool with this redundancy and object size, made unless there is one. Waits. */
int admin_pool(struct sf_cluster *cluster, struct sf_redundancy redundancy, uint32_t object_shift,
               uint32_t *ret_pool);

#endif

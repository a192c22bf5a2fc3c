/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_COMPUTE_POOL_H
#define SF_LOOP_COMPUTE_POOL_H

#include "sheep/core/node.h"
#include "sheep/loop/completions.h"

/* A few threads for encoding and decoding large pieces. Small pieces are done where they arise:
 * handing one to another core
 * costs about 40 us, as much as coding 400 KiB. */
struct compute_pool;

/* threads may be 0: then every job is small. */
struct compute_pool *compute_pool_create(uint32_t threads, struct completions *completions);
/* Finishes what was submitted. NULL is fine. */
void compute_pool_destroy(struct compute_pool *pool);
/* True: taken, comes back through completions. False: the caller runs it. */
bool compute_pool_submit(struct compute_pool *pool, struct compute_job *job);

#endif

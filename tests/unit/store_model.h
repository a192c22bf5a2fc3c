/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_STORE_MODEL_H
#define SF_TESTS_STORE_MODEL_H

#include "sheep/core/disk_job.h"

/* What sheep/core/disk_job.h promises, in the simplest way: whole contents in memory, never full,
 * never damaged. */
struct model;

struct model *model_create(void);
struct model *model_clone(const struct model *m);
void model_destroy(struct model *m);
/* Fills job->reply; a read's bytes go to its buffer. */
void model_execute(struct model *m, struct disk_job *job);
/* Both say the same? Prints the first difference and returns false if not. */
bool model_replies_equal(const struct disk_job *got, const struct disk_job *want);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_CLUSTER_MODEL_H
#define SF_TESTS_CLUSTER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a volume may hold, sector by sector, given which writes were acknowledged.
 *
 * Every change of a sector has a generation, greater than all before; a sector's bytes follow from (seed, sector,
 * generation) and carry both, so that a read tells which change it saw. Changes of one sector never overlap (the caller
 * sees to it with model_busy); reads may overlap them. A read may see
 *   - no older generation than the newest acknowledged, or seen by another read, before it began, and
 *   - no newer one than the newest issued before it ended.
 * A change that failed may have happened or not: it stays possible until a later one is acknowledged.
 */
enum { SECTOR = 512 };

struct model {
	uint64_t seed, sectors;
	uint32_t generation; /* last given out */
	uint32_t *low;       /* oldest that may be seen */
	uint32_t *issued;    /* newest given out */
	uint32_t *
		discarded; /* newest given out that reads as zeros; 0 stands for the fresh volume */
	uint8_t *busy;
};

void model_init(struct model *m, uint64_t seed, uint64_t sectors);
void model_fini(struct model *m);
bool model_busy(const struct model *m, uint64_t first, uint64_t count);
/* Gives out a generation to a change of these sectors, which become busy. data NULL: a discard. */
uint32_t model_change_begin(struct model *m, uint64_t first, uint64_t count, uint8_t *data);
void model_change_end(struct model *m, uint64_t first, uint64_t count, uint32_t generation,
                      bool done);
/* low: [count], what a read that begins now may see at the oldest. */
void model_read_begin(const struct model *m, uint64_t first, uint64_t count, uint32_t *low);
/* lost: zeros where something was acknowledged; stale: older than what was acknowledged; corrupt: never written. */
enum model_wrong { MODEL_LOST, MODEL_STALE, MODEL_CORRUPT, MODEL_WRONGS };
/* The sector that is wrong, with how it is wrong and a sentence about it; or -1. */
int64_t model_read_end(struct model *m, uint64_t first, uint64_t count, const uint32_t *low,
                       const uint8_t *data, enum model_wrong *ret_how, char why[160]);
/* 0 or a negative errno. A loaded model has nothing busy. */
int model_save(const struct model *m, const char *path);
int model_load(struct model *m, const char *path);

#endif

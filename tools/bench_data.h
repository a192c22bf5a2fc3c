/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TOOLS_BENCH_DATA_H
#define SF_TOOLS_BENCH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the benchmark writes and expects to read: random bytes that follow from (seed, 4 KiB block number, generation).
 * Every block is a slice of one random pool, XORed with a 64 bit key of its own, so that it costs little more
 * than a copy to make and to check, compresses to nothing smaller, and a misplaced or stale block never fits.
 */
enum { BENCH_BLOCK = 4096 };
struct bench_data;

struct bench_data *bench_data_create(uint64_t seed);
void bench_data_destroy(struct bench_data *d); /* NULL is fine */
/* One block. dst and src are 8-byte aligned. */
void bench_data_fill(const struct bench_data *d, uint64_t block, uint32_t generation, void *dst);
bool bench_data_matches(const struct bench_data *d, uint64_t block, uint32_t generation,
                        const void *src);

#endif

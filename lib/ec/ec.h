/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_EC_EC_H
#define SF_EC_EC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reed-Solomon over GF(2^8) by isa-l, systematic, Cauchy parity rows (any k of k+m rows are
 * independent).
 * k = 1 is replication: every parity equals the data. Shard i < k is data part i, shard k+j is
 * parity j.
 * Pure functions; a code is immutable once made and may be used from several threads. References
 * are counted by one thread only.
 *
 * An object of 2^shift bytes is cut into k contiguous parts of ec_part_size(); the last may be
 * short or empty and counts as zeros beyond. Parity byte b belongs to byte b of each part.
 */
struct ec_code;

/* 1 <= k <= 32, 0 <= m <= 16. -EINVAL otherwise. */
int ec_create(uint32_t k, uint32_t m, struct ec_code **ret);
struct ec_code *ec_ref(struct ec_code *code);
void ec_unref(struct ec_code *code); /* NULL is fine */
uint32_t ec_k(const struct ec_code *code);
uint32_t ec_m(const struct ec_code *code);

/* Bytes of a part: ceil(size / k) rounded up to 4096. */
uint32_t ec_part_size(uint32_t k, uint32_t object_size);

/* parity[0..m) = code(data[0..k)), len bytes each. data[i] == NULL stands for zeros. */
void ec_encode(const struct ec_code *code, uint32_t len, const uint8_t *const *data,
               uint8_t *const *parity);

/* For a partial write of data part `part`: delta[j] = coefficient(j, part) * diff, where diff =
 * new xor old;
 * XORed onto parity j's old bytes it gives the new ones. accumulate: XOR into delta instead of
 * setting it. */
void ec_delta(const struct ec_code *code, uint32_t part, uint32_t len, const uint8_t *diff,
              uint8_t *const *delta, bool accumulate);

/* dst ^= src. */
void ec_xor(uint8_t *dst, const uint8_t *src, uint32_t len);

/* Recomputes shards (data or parity) from exactly k others.
 * have: ids of the k sources, ascending or not; src[i]: bytes of have[i] (NULL: zeros);
 * want: ids of `want_count` shards to make, none of them in have; dst[i]: where want[i] goes.
 * -EINVAL when ids repeat or are out of range. */
int ec_decode(const struct ec_code *code, uint32_t len, const uint32_t *have,
              const uint8_t *const *src, uint32_t want_count, const uint32_t *want,
              uint8_t *const *dst);

#endif

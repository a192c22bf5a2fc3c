/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_CRC32C_H
#define SF_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC32C (Castagnoli, RFC 3720 appendix B.4), by isa-l. crc32c(0, "123456789", 9) == 0xe3069283.
 * seed: 0, or the result for the bytes before. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);
/* The CRC32C of len zero bytes; constant time for len == 65536. */
uint32_t crc32c_zeros(size_t len);
/* The CRC32C of what seed stands for, followed by len zero bytes. */
uint32_t crc32c_add_zeros(uint32_t seed, size_t len);

#endif

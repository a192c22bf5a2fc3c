/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/crc32c.h"

#include <isa-l/crc.h>

#include "lib/base/math.h"

/* isa-l takes an int. */
enum { CRC_STEP_MAX = 1 << 30 };
/* Of 65536 zero bytes. */
static const uint32_t zeros_64k = 0x72c0c4a4;

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	/* crc32_iscsi works on the bare register: inverting it before and after is ours to do. */
	uint32_t crc = ~seed;

	while (len > 0) {
		size_t n = MIN(len, (size_t)CRC_STEP_MAX);

		/* Not const in isa-l's prototype, but only read. */
		crc = crc32_iscsi((unsigned char *)p, (int)n, crc);
		p += n;
		len -= n;
	}
	return ~crc;
}

uint32_t crc32c_add_zeros(uint32_t seed, size_t len)
{
	static const uint8_t zeros[4096];

	while (len > 0) {
		size_t n = MIN(len, sizeof(zeros));

		seed = crc32c(seed, zeros, n);
		len -= n;
	}
	return seed;
}

uint32_t crc32c_zeros(size_t len)
{
	return len == 65536 ? zeros_64k : crc32c_add_zeros(0, len);
}

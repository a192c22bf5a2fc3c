/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_CONTENT_H
#define SF_SIM_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The bytes of a simulated shard: sorted extents of data, holes between them. Extents share their
 * bytes by reference count, so that keeping an old version costs next to nothing.
 */
struct content_block; /* reference-counted bytes, never changed once made */
struct extent {
	uint32_t off, len;
	uint32_t from; /* in the block */
	struct content_block *block;
};
struct content {
	uint32_t count;
	struct extent *v;
};

void content_copy(struct content *dst, const struct content *src); /* dst is overwritten */
void content_fini(struct content *c);
/* The range becomes a hole. */
void content_cut(struct content *c, uint32_t off, uint32_t len);
/* The range becomes these bytes. */
void content_put(struct content *c, uint32_t off, const uint8_t *bytes, uint32_t len);
/* XORs onto the range; a hole counts as zeros. The whole range is data afterwards. */
void content_xor(struct content *c, uint32_t off, const uint8_t *bytes, uint32_t len);
void content_read(const struct content *c, uint32_t off, uint8_t *dst, uint32_t len);
/* End of the last data byte. */
uint32_t content_end(const struct content *c);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_BYTES_H
#define SF_STORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Little-endian bytes in and out. A writer never grows: whoever makes one knows how much it needs,
 * and both sides keep their first error, so that a codec is straight-line code that checks once.
 */
struct bytes_out {
	uint8_t *p, *end;
	bool full;
};
struct bytes_in {
	const uint8_t *p, *end;
	bool bad; /* something was read past the end; all later reads give zeros */
};

static inline struct bytes_out bytes_out(void *dst, size_t cap)
{
	return (struct bytes_out){.p = dst, .end = (uint8_t *)dst + cap};
}
static inline struct bytes_in bytes_in(const void *src, size_t len)
{
	return (struct bytes_in){.p = src, .end = (const uint8_t *)src + len};
}

static inline void put_raw(struct bytes_out *o, const void *src, size_t len)
{
	if (o->full || (size_t)(o->end - o->p) < len) {
		o->full = true;
		return;
	}
	if (len)
		memcpy(o->p, src, len);
	o->p += len;
}
static inline void put_le(struct bytes_out *o, uint64_t v, unsigned size)
{
	uint8_t b[8];
	for (unsigned i = 0; i < size; i++)
		b[i] = (uint8_t)(v >> (8 * i));
	put_raw(o, b, size);
}
static inline void put_u8(struct bytes_out *o, uint8_t v)
{
	put_le(o, v, 1);
}
static inline void put_u16(struct bytes_out *o, uint16_t v)
{
	put_le(o, v, 2);
}
static inline void put_u32(struct bytes_out *o, uint32_t v)
{
	put_le(o, v, 4);
}
static inline void put_u64(struct bytes_out *o, uint64_t v)
{
	put_le(o, v, 8);
}

/* The next len bytes, or NULL. */
static inline const uint8_t *get_raw(struct bytes_in *in, size_t len)
{
	if (in->bad || (size_t)(in->end - in->p) < len) {
		in->bad = true;
		return NULL;
	}
	in->p += len;
	return in->p - len;
}
static inline uint64_t get_le(struct bytes_in *in, unsigned size)
{
	const uint8_t *b = get_raw(in, size);
	uint64_t v = 0;
	for (unsigned i = 0; b && i < size; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}
static inline uint8_t get_u8(struct bytes_in *in)
{
	return (uint8_t)get_le(in, 1);
}
static inline uint16_t get_u16(struct bytes_in *in)
{
	return (uint16_t)get_le(in, 2);
}
static inline uint32_t get_u32(struct bytes_in *in)
{
	return (uint32_t)get_le(in, 4);
}
static inline uint64_t get_u64(struct bytes_in *in)
{
	return get_le(in, 8);
}

#endif

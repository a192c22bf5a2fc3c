/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/lib/attr.h"
#include "client/lib/le.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

#define ATTRS_MAGIC "SFattr01"
enum { CRC_FROM = 12, OFF_VOLUME = 32, ENTRY_HEAD_LEN = 8 };

void attrs_fini(struct attrs *attrs)
{
	for (uint32_t i = 0; i < attrs->count; i++) {
		free(attrs->v[i].key);
		free(attrs->v[i].value);
	}
	free(attrs->v);
	attrs->v = NULL;
	attrs->count = 0;
}

/* Where the key is, or belongs. */
static uint32_t attrs_place(const struct attrs *attrs, const char *key)
{
	uint32_t i = 0;

	while (i < attrs->count && strcmp((const char *)attrs->v[i].key, key) < 0)
		i++;
	return i;
}

const struct attr *attrs_find(const struct attrs *attrs, const char *key)
{
	uint32_t i = attrs_place(attrs, key);

	if (i == attrs->count || strcmp((const char *)attrs->v[i].key, key) != 0)
		return NULL;
	return &attrs->v[i];
}

static struct attr attr_make(const void *key, uint32_t key_len, const void *value,
                             uint32_t value_len)
{
	struct attr a = {.key_len = key_len, .value_len = value_len};

	a.key = xcalloc(1, (size_t)key_len + 1);
	a.value = xcalloc(1, (size_t)value_len + 1);
	memcpy(a.key, key, key_len);
	if (value_len)
		memcpy(a.value, value, value_len);
	return a;
}

void attrs_put(struct attrs *attrs, const char *key, const void *value, size_t len)
{
	uint32_t i;

	attrs_drop(attrs, key);
	i = attrs_place(attrs, key);
	attrs->v = xrealloc(attrs->v, (attrs->count + 1) * sizeof(attrs->v[0]));
	memmove(attrs->v + i + 1, attrs->v + i, (attrs->count - i) * sizeof(attrs->v[0]));
	attrs->v[i] = attr_make(key, (uint32_t)strlen(key), value, (uint32_t)len);
	attrs->count++;
}

void attrs_drop(struct attrs *attrs, const char *key)
{
	uint32_t i = attrs_place(attrs, key);

	if (!attrs_find(attrs, key))
		return;
	free(attrs->v[i].key);
	free(attrs->v[i].value);
	attrs->count--;
	memmove(attrs->v + i, attrs->v + i + 1, (attrs->count - i) * sizeof(attrs->v[0]));
}

uint64_t attrs_len(const struct attrs *attrs)
{
	uint64_t len = ATTRS_HEAD_LEN;

	for (uint32_t i = 0; i < attrs->count; i++)
		len += ENTRY_HEAD_LEN + (uint64_t)attrs->v[i].key_len + attrs->v[i].value_len;
	return len;
}

void attrs_encode(const struct attrs *attrs, uint8_t *bytes)
{
	uint64_t len = attrs_len(attrs), at = ATTRS_HEAD_LEN;

	memset(bytes, 0, ATTRS_HEAD_LEN);
	memcpy(bytes, ATTRS_MAGIC, 8);
	put32(bytes + 12, (uint32_t)len);
	put32(bytes + 16, attrs->count);
	memcpy(bytes + OFF_VOLUME, attrs->volume, strnlen(attrs->volume, SF_NAME_MAX));
	for (uint32_t i = 0; i < attrs->count; i++) {
		const struct attr *a = &attrs->v[i];

		put32(bytes + at, a->key_len);
		put32(bytes + at + 4, a->value_len);
		memcpy(bytes + at + ENTRY_HEAD_LEN, a->key, a->key_len);
		memcpy(bytes + at + ENTRY_HEAD_LEN + a->key_len, a->value, a->value_len);
		at += ENTRY_HEAD_LEN + (uint64_t)a->key_len + a->value_len;
	}
	put32(bytes + 8, crc32c(0, bytes + CRC_FROM, len - CRC_FROM));
}

/* One attribute from `left` bytes; the bytes it took, 0: it is none. */
static uint64_t attr_decode(const uint8_t *p, uint64_t left, struct attr *ret)
{
	uint64_t key_len, value_len;

	if (left < ENTRY_HEAD_LEN)
		return 0;
	key_len = get32(p);
	value_len = get32(p + 4);
	left -= ENTRY_HEAD_LEN;
	if (key_len == 0 || key_len > SF_ATTR_KEY_MAX || key_len > left ||
	    value_len > left - key_len || memchr(p + ENTRY_HEAD_LEN, 0, key_len))
		return 0;
	*ret = attr_make(p + ENTRY_HEAD_LEN, (uint32_t)key_len, p + ENTRY_HEAD_LEN + key_len,
	                 (uint32_t)value_len);
	return ENTRY_HEAD_LEN + key_len + value_len;
}

int attrs_decode(const uint8_t *bytes, uint64_t len, struct attrs *ret)
{
	struct attrs a = {0};
	uint64_t total, at = ATTRS_HEAD_LEN, n;
	uint32_t count;

	if (len < ATTRS_HEAD_LEN || memcmp(bytes, ATTRS_MAGIC, 8) != 0)
		return -SF_EFORMAT;
	total = get32(bytes + 12);
	if (total < ATTRS_HEAD_LEN || total > len || bytes[OFF_VOLUME + SF_NAME_MAX])
		return -SF_EFORMAT;
	if (get32(bytes + 8) != crc32c(0, bytes + CRC_FROM, total - CRC_FROM))
		return -SF_ECORRUPT;
	memcpy(a.volume, bytes + OFF_VOLUME, sizeof(a.volume));
	count = get32(bytes + 16);
	if (count > total / ENTRY_HEAD_LEN)
		return -SF_EFORMAT;
	a.v = xcalloc((size_t)count + 1, sizeof(a.v[0]));
	for (; a.count < count; a.count++, at += n) {
		n = attr_decode(bytes + at, total - at, &a.v[a.count]);
		if (n == 0)
			break;
	}
	if (a.count < count || at != total) {
		attrs_fini(&a);
		return -SF_EFORMAT;
	}
	*ret = a;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_ATTR_H
#define SF_CLIENT_ATTR_H

#include <stddef.h>
#include <stdint.h>

#include "include/sheepfold.h"

struct sf_cluster;

/*
 * A volume's attributes: all in one object of the metadata pool, which stands for the volume's name
 * and is rewritten as a whole by compare-and-swap. Little-endian:
 *
 *   off len
 *     0   8  magic "SFattr01"
 *     8   4  CRC32C of bytes 12..length
 *    12   4  length of all of it
 *    16   4  number of attributes
 *    32 256  the volume's name, NUL-terminated
 *   288      attributes, by key: length of key (4), length of value (4), key, value
 */
enum { ATTRS_HEAD_LEN = 288, ATTRS_LEN_MAX = 512 << 10 };

struct attrs {
	char volume[SF_NAME_MAX + 1];
	uint32_t count;
	struct attr {
		uint32_t key_len, value_len;
		uint8_t *key, *value; /* malloc'ed, key with a NUL behind it */
	} * v;                        /* by key */
};
void attrs_fini(struct attrs *attrs);
/* NULL: none of this key. */
const struct attr *attrs_find(const struct attrs *attrs, const char *key);
void attrs_put(struct attrs *attrs, const char *key, const void *value, size_t len);
void attrs_drop(struct attrs *attrs, const char *key);
uint64_t attrs_len(const struct attrs *attrs);
void attrs_encode(const struct attrs *attrs, uint8_t *bytes);
/* -SF_EFORMAT, -SF_ECORRUPT; ret untouched. */
int attrs_decode(const uint8_t *bytes, uint64_t len, struct attrs *ret);

/* What a deleted volume of this name had. */
int volume_attr_remove(struct sf_cluster *cluster, const char *name);

#endif

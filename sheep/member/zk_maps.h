/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_ZK_MAPS_H
#define SF_MEMBER_ZK_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the register's znodes hold.
 *
 * head is one line of text, so that an operator can read it: which maps there are (`first`, of the
 * last format, to `last`; 0: none), and the cluster and epoch of the last one.
 *
 * A map's znode is a header of 40 bytes, little-endian, and the map; or, when that is too big, the
 * header alone, and the map lies in BASE/parts/<seq>.<nonce>.<i>, i = 0 to parts - 1.
 */
struct zk_head {
	uint32_t first, last;
	uint64_t cluster;
	uint32_t epoch;
};
enum { ZK_HEAD_LEN = 128 };
void zk_head_format(const struct zk_head *head, char text[ZK_HEAD_LEN]);
/* 0 or -SF_EFORMAT. */
int zk_head_parse(const uint8_t *data, size_t len, struct zk_head *ret);

enum { ZK_MAP_HEADER = 40 };
struct zk_map_header {
	uint32_t parts; /* 0: the map follows */
	uint32_t len, crc; /* of the map */
	uint64_t nonce; /* in the names of the parts */
};
void zk_map_header_encode(const struct zk_map_header *h, uint8_t data[ZK_MAP_HEADER]);
/* 0 or -SF_EFORMAT: not one, or damaged, or of lengths that cannot be. */
int zk_map_header_decode(const uint8_t *data, size_t len, struct zk_map_header *ret);

#endif

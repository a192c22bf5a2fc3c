/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_INODE_H
#define SF_CLIENT_INODE_H

#include <stdbool.h>
#include <stdint.h>

#include "include/sheepfold.h"

/*
 * Object ids and the inode.
 *
 * Object id, 64 bit: type in the top nibble (data 0, inode 8), 24-bit volume id at bits 32..55,
 * index in bits 0..31.
 *
 * The inode of a volume is a linear byte space cut into objects of the metadata pool's object size
 * (oid index 0, 1, ...): a header of INODE_HEADER_LEN bytes, then the map, 4 bytes (little-endian)
 * per data object: the volume id that owns the object, 0 = not allocated. With 4 MiB objects one
 * inode object describes nearly 4 TiB of volume.
 *
 * Header, little-endian, unused bytes 0:
 *
 *   off len
 *     0   8  magic "SFinode1"
 *     8   4  CRC32C of bytes 12..4095
 *    12   4  header version (1)
 *    16   4  flags (INODE_*)
 *    20   4  volume id
 *    24   8  size in bytes
 *    32   8  created, seconds since 1970
 *    40   8  changed, seconds since 1970
 *    48   4  data strips (k)
 *    52   4  parity strips (m)
 *    56   4  pool id
 *    60   4  object shift
 *    64   4  parent volume id, 0 = none
 *    68   4  snapshot id, 0 = working volume
 *    72   8  creator: random, tells a creation that is retried its own work again
 *    80  256 name, NUL-terminated
 *   336  256 tag, NUL-terminated
 *   592   4  predecessor: the volume id whose place this inode takes, see INODE_PENDING
 *   596   4  successor: the volume id that took this inode's place, 0 = none
 *   600   8  family: random, the same in all that may share objects
 *   608   4  pool that the objects are moved from while the volume is converted, 0 = none
 *   612   4  generation: counts what changes about where objects are found
 *   616   8  of a snapshot that was restored: the identity of the one that was backed up; 0 = none
 *
 * A volume id is the FNV-1a hash of the name modulo 2^24, probing upward while the inode there is
 * another's. So that a deleted volume leaves no hole in front of others, its header stays with
 * INODE_DELETED for as long as the next id is taken. INODE_DELETING: some data objects may still be
 * there; the id is not given out again.
 *
 * A snapshot keeps its id and its objects; the working volume goes on under another id, with a copy
 * of the map: an entry with another's id is that one's object, and is copied before it is changed.
 * A volume that takes another's place (after a snapshot, a rollback) is written as INODE_PENDING,
 * as a whole; it is valid from the moment on that its predecessor names it as successor: one write
 * of one header, which also makes the predecessor a snapshot, or INODE_DELETING. A clone is valid
 * when INODE_PENDING is gone. INODE_DELETED with INODE_GHOST: others still need some of its objects.
 */
enum {
	INODE_HEADER_LEN = 4096,
	INODE_VERSION = 1,
	INODE_DELETING = 1 << 0,
	INODE_DELETED = 1 << 1, /* only keeps the probe chain together */
	INODE_PENDING = 1 << 2, /* not valid yet, unless its predecessor says so */
	INODE_SHARED = 1 << 3,  /* others may have copied its map */
	INODE_GHOST = 1 << 4,
	INODE_CLONE = 1 << 5,
	INODE_CONVERT = 1 << 6, /* with PENDING: belongs to a conversion that may be going on */

	VOLUME_ID_BITS = 24,
	VOLUME_ID_MASK = (1 << VOLUME_ID_BITS) - 1,
	OBJECT_SHIFT_MIN = 20,
	OBJECT_SHIFT_MAX = 24,
	VOLUME_MAX_OBJECTS_SHIFT = 32, /* the index has 32 bits */
};

struct inode {
	uint32_t flags;
	uint64_t changed_s;
	uint64_t creator, family, origin;
	uint32_t predecessor, successor;
	uint32_t from_pool, generation;
	struct sf_volume_info info; /* used_bytes and shared_bytes are not part of the header */
};

void inode_encode(const struct inode *inode, uint8_t bytes[INODE_HEADER_LEN]);
/* -SF_EFORMAT: not a header, or one whose values no volume can have; ret untouched. -SF_ECORRUPT:
 * checksum. */
int inode_decode(const uint8_t bytes[INODE_HEADER_LEN], struct inode *ret);

/* "" when the name may be given to a volume, else what is wrong with it. */
const char *volume_name_fault(const char *name);
bool has_control_characters(const char *text);
uint32_t volume_id_of_name(const char *name);
uint32_t volume_id_next(uint32_t id);

uint64_t oid_data(uint32_t volume, uint32_t index);
uint64_t oid_inode(uint32_t volume, uint32_t part);
bool oid_is_inode(uint64_t oid);
uint32_t oid_volume(uint64_t oid);
uint32_t oid_index(uint64_t oid);

/* Of a snapshot: what it holds never changes, and neither does this, wherever it is restored. */
static inline uint64_t inode_identity(const struct inode *inode)
{
	return inode->origin ? inode->origin : inode->creator;
}

/* Number of data objects of a volume. */
static inline uint64_t volume_objects(uint64_t size_bytes, uint32_t object_shift)
{
	return (size_bytes >> object_shift) + ((size_bytes & ((1ull << object_shift) - 1)) != 0);
}

/* Where the map entry of a data object is in the inode's linear space. */
static inline uint64_t inode_map_pos(uint64_t index)
{
	return INODE_HEADER_LEN + 4 * index;
}

#endif

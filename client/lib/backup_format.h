/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_BACKUP_FORMAT_H
#define SF_CLIENT_BACKUP_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "include/sheepfold.h"

/*
 * The bytes of a backup; doc/backup-format.md has the same for who writes another program. A head,
 * records, the last one of them BACKUP_END. Little-endian. Every checksum begins with the one
 * before it in the stream, so that each vouches for all that came before: nothing can be missing,
 * twice, in another order, or from another backup.
 */
enum {
	BACKUP_VERSION = 1,
	BACKUP_HEAD_LEN = 1024,
	BACKUP_RECORD_LEN = 48,
	BACKUP_DIFFERENTIAL = 1 << 0,
};

/*
 *   off len
 *     0   8  magic "SFbackup"
 *     8   4  CRC32C of bytes 12..1023
 *    12   4  version (1)
 *    16   4  flags: 1 = differential
 *    20   4  object shift
 *    24   8  size of the volume in bytes
 *    32   4  data strips
 *    36   4  parity strips
 *    40   8  when the snapshot was taken, seconds since 1970
 *    48   8  when the one it is based on was; 0: full
 *    56   8  identity of the snapshot: random, and the same where it was restored
 *    64   8  identity of the one that it is based on; 0: full
 *   128 256  name of the volume, NUL-terminated
 *   384 256  tag of the snapshot
 *   640 256  tag of the one it is based on
 */
struct backup_head {
	uint32_t flags;
	uint32_t object_shift;
	uint64_t size_bytes;
	struct sf_redundancy redundancy;
	uint64_t taken_s, base_taken_s;
	uint64_t identity, base_identity;
	char volume[SF_NAME_MAX + 1], tag[SF_NAME_MAX + 1], base[SF_NAME_MAX + 1];
};

enum backup_kind {
	BACKUP_DATA = 1,  /* an object: these bytes at this offset, zeros around them */
	BACKUP_ZEROS = 2, /* an object that is there in the base and not here */
	BACKUP_END = 3,   /* index: number of records with this one; length: 0 */
};
/*
 *   off len
 *     0   4  magic "SFrc"
 *     4   4  CRC32C of bytes 8..47, begun with the checksum before it in the stream
 *     8   4  kind
 *    12   4  CRC32C of the payload, begun with 0
 *    16   8  number of the record, from 0
 *    24   8  index of the object
 *    32   8  offset in the object
 *    40   8  length of the payload, which follows
 */
struct backup_record {
	enum backup_kind kind;
	uint32_t payload_crc;
	uint64_t number, index, offset, length;
};

/* *crc: the chain. */
void backup_head_encode(const struct backup_head *h, uint8_t bytes[BACKUP_HEAD_LEN], uint32_t *crc);
/* -SF_EFORMAT: no backup, or of another version; -SF_ECORRUPT. */
int backup_head_decode(const uint8_t bytes[BACKUP_HEAD_LEN], struct backup_head *ret, uint32_t *crc);
void backup_record_encode(const struct backup_record *r, uint8_t bytes[BACKUP_RECORD_LEN],
                          uint32_t *crc);
int backup_record_decode(const uint8_t bytes[BACKUP_RECORD_LEN], struct backup_record *ret,
                         uint32_t *crc);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_LOCK_RECORD_H
#define SF_CLIENT_LOCK_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "include/sheepfold.h"

/*
 * The object that stands for a volume's write lock while somebody has it. Little-endian, unused
 * bytes 0:
 *
 *   off len
 *     0   8  magic "SFlock01"
 *     8   4  CRC32C of bytes 12..1023
 *    12   4  flags (LOCK_*)
 *    16   8  holder: random, not 0
 *    24   8  sequence number, counts the renewals
 *    32   8  since, seconds since 1970
 *    40   4  lease, milliseconds
 *    44   4  process id
 *    48   8  machine: hash of its boot id and pid namespace
 *    56   8  when that process started, in the machine's own ticks
 *    64   8  guest: random; 0: none
 *    72   4  state of the visit (enum lock_visit)
 *   128 128  host name, NUL-terminated
 *   256  64  what it is for
 *   512 256  the volume's name
 */
enum {
	LOCK_RECORD_LEN = 1024,
	LOCK_REVOKED = 1 << 0, /* an operator wants it back: the holder stops */
	LOCK_LEFT = 1 << 1,    /* nobody has it; whoever takes it next settles what the last one left */
	LOCK_UNSETTLED = 1 << 2, /* its holder met an error; so does a guest */
};

/* Somebody who has to change the volume below a writer that goes on living (lock_visit.h). */
enum lock_visit {
	VISIT_NONE,
	VISIT_ASKED,   /* by the guest */
	VISIT_GRANTED, /* by the holder: it has nothing under way, and will look again afterwards */
};

struct lock_record {
	uint32_t flags;
	uint64_t holder, seq, since_s;
	uint32_t lease_ms, pid;
	uint64_t machine, started;
	uint64_t guest;
	uint32_t visit;
	char host[128];
	char purpose[64];
	char volume[SF_NAME_MAX + 1];
};

void lock_record_encode(const struct lock_record *r, uint8_t bytes[LOCK_RECORD_LEN]);
/* -SF_EFORMAT, -SF_ECORRUPT; ret untouched. */
int lock_record_decode(const uint8_t bytes[LOCK_RECORD_LEN], struct lock_record *ret);

/* Fills in this process. */
void lock_record_sign(struct lock_record *r);
/* The holder has let go of it, or was a process of this machine that is gone: nobody has to wait for
 * its lease. */
bool lock_record_is_dead(const struct lock_record *r);

#endif

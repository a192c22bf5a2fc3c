/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_STORE_SHARD_H
#define SF_STORE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/wire/msg.h"
#include "sheep/store/extent.h"

/*
 * One shard as the store knows it, and its moves:
 *
 *              prepare              promote (commit point, or the next prepare's base)
 *   absent ------------> pending ------------------------------------------------> committed
 *     ^                     |  rollback                                                |
 *     +---------------------+----------------------- remove, drop --------------------+
 *   push: any state -> committed with exactly the pushed content; snapshot: any state -> as written
 *
 * Every function here is pure: on the in-memory entry only. Log sequence numbers tie the entry to
 * the log: its state follows from the records with lsn >= base_lsn alone, and no record of it is
 * older than first_lsn.
 */
struct shard_key {
	uint32_t pool, pg;
	uint64_t oid;
	uint8_t shard;
};
enum {
	SHARD_KEY_LEN = 17
}; /* encoded: big-endian, so that a PG is a range in (oid, shard) order */

enum shard_state_flags {
	ST_TOMBSTONE = 1 << 0,         /* committed is a delete */
	ST_PENDING_TOMBSTONE = 1 << 1, /* pending is a delete */
	ST_PENDING_REPLACE = 1 << 2,   /* pending does not build on committed */
	ST_DAMAGED = 1 << 3,           /* some of the content cannot be read */
	ST_LOST = 1 << 4,              /* what committed holds is not known at all */
};

struct shard {
	struct hnode hash;
	struct list lru;   /* clean and not pending: may be evicted */
	struct list dirty; /* in its PG's list: not in the index yet */
	struct list pend;  /* in its PG's list, by pending version */
	struct shard_key key;
	uint8_t flags; /* enum shard_state_flags */
	bool is_dirty;
	uint64_t committed, pending;
	uint32_t stood, pending_stood; /* the last interval that accepted either, by its epoch */
	uint64_t lsn; /* last record applied */
	uint64_t base_lsn;
	uint64_t first_lsn;
	uint64_t pend_lsn; /* of the pending change when that does not build on committed, else 0 */
	struct extvec content, overlay;
};

int shard_key_cmp(const struct shard_key *a, const struct shard_key *b);
uint64_t shard_key_hash(const struct shard_key *k);
void shard_key_encode(const struct shard_key *k, uint8_t dst[SHARD_KEY_LEN]);
void shard_key_decode(struct shard_key *k, const uint8_t src[SHARD_KEY_LEN]);

static inline bool shard_exists(const struct shard *s)
{
	return s->committed || s->pending;
}
static inline uint64_t shard_newest(const struct shard *s)
{
	return s->pending ? s->pending : s->committed;
}
bool shard_newest_is_tombstone(const struct shard *s);
/* The newest content is not known, or damaged beyond saying where. */
bool shard_newest_is_lost(const struct shard *s);
void shard_list_entry(const struct shard *s, struct shard_entry *e);
/* Bytes in segment blocks that the shard keeps alive. */
uint64_t extent_footprint(const struct extent *e);

/* Forgets versions and content; the entry stays as a placeholder. */
void shard_clear(struct shard *s);
void shard_promote(struct shard *s, struct extvec *scratch);
/* prev: the version this change builds on; a different one here means that records were lost. */
void shard_prepare(struct shard *s, uint64_t lsn, uint64_t version, uint64_t prev,
                   uint32_t shard_flags, const struct extvec *ranges, struct extvec *scratch);
void shard_push(struct shard *s, uint64_t lsn, uint64_t version, uint32_t shard_flags,
                const struct extvec *ranges, struct extvec *scratch);
/* The version was accepted by the interval of that epoch. (Prepare and push: by its own.) */
void shard_accept(struct shard *s, uint64_t version, uint32_t stood);
void shard_rollback(struct shard *s, uint64_t version);

/* The entry without its key, with a checksum over key and value. */
uint32_t shard_encoded_len(const struct shard *s);
void shard_encode(const struct shard *s, struct bytes_out *o);
/* False when damaged. Overwrites all but the key. */
bool shard_decode(struct shard *s, struct bytes_in *in, uint32_t self_seg, uint32_t self_pos);

#endif

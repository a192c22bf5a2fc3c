/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_VOL_MODEL_H
#define SF_SIM_VOL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What volumes, snapshots and clones must be after any row of operations, in blocks: contents, and of every object whether
 * the image has it, and as its own (Used) or another's (Shared). tests/cluster/volume_model.py is the same for the
 * real cluster.
 */
enum {
	VOL_BLOCK = 64 << 10,
	VOL_OBJECT_BLOCKS = 16, /* objects of 1 MiB */
	VOL_OBJECTS = 3,
	VOL_BLOCKS = VOL_OBJECTS * VOL_OBJECT_BLOCKS,
	VOL_SNAPSHOTS = 4,
	VOL_NAMES = 5,
};

struct vol_image {
	uint32_t id; /* 0: there is none; otherwise its own, never used again */
	char tag[24];
	uint32_t blocks, k, m;
	uint64_t stamp[VOL_BLOCKS];  /* what fills the block; 0: zeros */
	uint32_t owner[VOL_OBJECTS]; /* id of the image that made the object; 0: none */
};

/* A name: its working volume and its snapshots, oldest first. */
struct vol_state {
	struct vol_image work, snap[VOL_SNAPSHOTS];
	uint32_t snap_count;
};

uint32_t vol_objects(const struct vol_image *v);
void vol_create(struct vol_image *v, uint32_t id, uint32_t blocks, uint32_t k, uint32_t m);
void vol_write(struct vol_image *v, uint32_t first, uint32_t count, uint64_t stamp);
void vol_discard(struct vol_image *v, uint32_t first, uint32_t count);
void vol_resize(struct vol_image *v, uint32_t blocks);
/* The same objects, none of its own. */
void vol_derive(struct vol_image *to, uint32_t id, const struct vol_image *from);
/* All objects that there are become its own; with all, also the others. */
void vol_own(struct vol_image *v, bool all);
/* What a full backup makes of it: objects of zeros are left out. */
void vol_restore_full(struct vol_image *to, uint32_t id, const struct vol_image *from);
/* The working volume becomes the snapshot, and goes on as another image. */
void vol_snapshot(struct vol_state *s, uint32_t next_id, const char *tag);
void vol_forget(struct vol_state *s, uint32_t index);
bool vol_is_none(const struct vol_state *s);
void vol_count(const struct vol_image *v, uint32_t *ret_used, uint32_t *ret_shared);

/* Bytes. */
void vol_fill(uint8_t *bytes, uint64_t stamp);
bool vol_parse(const uint8_t *bytes, uint64_t *ret); /* false: no stamp fills the block */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/vol_model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/math.h"

uint32_t vol_objects(const struct vol_image *v)
{
	return (v->blocks + VOL_OBJECT_BLOCKS - 1) / VOL_OBJECT_BLOCKS;
}

void vol_create(struct vol_image *v, uint32_t id, uint32_t blocks, uint32_t k, uint32_t m)
{
	*v = (struct vol_image){.id = id, .blocks = blocks, .k = k, .m = m};
}

void vol_write(struct vol_image *v, uint32_t first, uint32_t count, uint64_t stamp)
{
	for (uint32_t i = first; i < first + count; i++) {
		v->stamp[i] = stamp;
		v->owner[i / VOL_OBJECT_BLOCKS] = v->id;
	}
}

/* Whole objects go; of a part of one, a shared object is copied first and none is made. */
void vol_discard(struct vol_image *v, uint32_t first, uint32_t count)
{
	for (uint32_t o = 0; o < vol_objects(v); o++) {
		uint32_t begin = o * VOL_OBJECT_BLOCKS;
		uint32_t end = MIN(begin + VOL_OBJECT_BLOCKS, v->blocks);

		if (first + count <= begin || first >= end || !count)
			continue;
		if (first <= begin && first + count >= end)
			v->owner[o] = 0;
		else if (v->owner[o])
			v->owner[o] = v->id;
	}
	for (uint32_t i = first; i < first + count; i++)
		v->stamp[i] = 0;
}

void vol_resize(struct vol_image *v, uint32_t blocks)
{
	if (blocks < v->blocks)
		vol_discard(v, blocks, v->blocks - blocks);
	v->blocks = blocks;
}

void vol_derive(struct vol_image *to, uint32_t id, const struct vol_image *from)
{
	*to = *from;
	to->id = id;
	memset(to->tag, 0, sizeof(to->tag));
}

void vol_own(struct vol_image *v, bool all)
{
	for (uint32_t o = 0; o < vol_objects(v); o++)
		if (all || v->owner[o])
			v->owner[o] = v->id;
}

static bool object_has_data(const struct vol_image *v, uint32_t o)
{
	uint32_t begin = o * VOL_OBJECT_BLOCKS;

	for (uint32_t i = begin; i < MIN(begin + VOL_OBJECT_BLOCKS, v->blocks); i++)
		if (v->stamp[i])
			return true;
	return false;
}

void vol_restore_full(struct vol_image *to, uint32_t id, const struct vol_image *from)
{
	vol_derive(to, id, from);
	for (uint32_t o = 0; o < VOL_OBJECTS; o++)
		to->owner[o] = from->owner[o] && object_has_data(from, o) ? id : 0;
}

void vol_snapshot(struct vol_state *s, uint32_t next_id, const char *tag)
{
	struct vol_image *snap = &s->snap[s->snap_count++];

	assert(s->snap_count <= VOL_SNAPSHOTS);
	*snap = s->work;
	snprintf(snap->tag, sizeof(snap->tag), "%s", tag);
	vol_derive(&s->work, next_id, snap);
}

void vol_forget(struct vol_state *s, uint32_t index)
{
	s->snap_count--;
	memmove(&s->snap[index], &s->snap[index + 1], (s->snap_count - index) * sizeof(s->snap[0]));
}

bool vol_is_none(const struct vol_state *s)
{
	return !s->work.id && !s->snap_count;
}

void vol_count(const struct vol_image *v, uint32_t *ret_used, uint32_t *ret_shared)
{
	*ret_used = *ret_shared = 0;
	for (uint32_t o = 0; o < VOL_OBJECTS; o++) {
		*ret_used += v->owner[o] == v->id;
		*ret_shared += v->owner[o] && v->owner[o] != v->id;
	}
}

void vol_fill(uint8_t *bytes, uint64_t stamp)
{
	for (uint32_t i = 0; i < VOL_BLOCK; i += sizeof(stamp))
		memcpy(bytes + i, &stamp, sizeof(stamp));
}

bool vol_parse(const uint8_t *bytes, uint64_t *ret)
{
	memcpy(ret, bytes, sizeof(*ret));
	return memcmp(bytes, bytes + sizeof(*ret), VOL_BLOCK - sizeof(*ret)) == 0;
}

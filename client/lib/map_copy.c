/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/map_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/volume.h"
#include "client/lib/volume_dir.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { COPY_WINDOW = 16, COPY_BYTES = 64 << 10 };

struct map_piece {
	uint64_t pos, len;
	bool filled;
	uint8_t bytes[COPY_BYTES];
};

struct copying {
	struct map_piece pieces[COPY_WINDOW];
	uint32_t shift;
};

static bool has_content(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		if (bytes[i])
			return true;
	return false;
}

static void piece_answered(struct batch_slot *slot, void *arg)
{
	struct copying *c = arg;
	struct map_piece *p = &c->pieces[slot->tag];

	if (slot->req.result < 0)
		batch_fail(slot);
	else if (slot->req.type == MSG_OBJ_READ)
		p->filled = !(slot->req.reply_flags & MSG_F_ABSENT) &&
		            has_content(p->bytes, p->len);
}

static void piece_submit(struct copying *c, struct batch *batch, uint32_t i, uint32_t volume,
                         enum msg_type type)
{
	struct map_piece *p = &c->pieces[i];
	struct batch_slot *slot = batch_take(batch, ROUTE_PRIMARY, type);

	slot->tag = i;
	slot->req.pool = POOL_META;
	slot->req.oid = oid_inode(volume, (uint32_t)(p->pos >> c->shift));
	slot->req.offset = p->pos & ((1ull << c->shift) - 1);
	if (type == MSG_OBJ_READ) {
		slot->req.rx = p->bytes;
		slot->req.length = p->len;
	} else {
		slot->req.tx = p->bytes;
		slot->req.tx_len = (uint32_t)p->len;
	}
	batch_submit(slot);
}

/* Pieces do not cross objects: COPY_BYTES divides these. */
static uint64_t pieces_cut(struct copying *c, uint64_t pos, uint64_t end, uint32_t *ret_count)
{
	uint32_t n = 0;

	for (; n < COPY_WINDOW && pos < end; n++) {
		uint64_t next = MIN(end, (pos / COPY_BYTES + 1) * COPY_BYTES);

		c->pieces[n] = (struct map_piece){.pos = pos, .len = next - pos};
		pos = next;
	}
	*ret_count = n;
	return pos;
}

static void extent_copy(struct copying *c, struct batch *batch, const struct inode *from,
                        const struct inode *to, uint64_t pos, uint64_t end)
{
	uint32_t count;

	while (!batch_failed(batch) && pos < end) {
		pos = pieces_cut(c, pos, end, &count);
		for (uint32_t i = 0; i < count; i++)
			piece_submit(c, batch, i, from->info.id, MSG_OBJ_READ);
		batch_wait(batch);
		for (uint32_t i = 0; i < count && !batch_failed(batch); i++)
			if (c->pieces[i].filled)
				piece_submit(c, batch, i, to->info.id, MSG_OBJ_WRITE);
		batch_wait(batch);
	}
}

int map_copy(struct sf_cluster *cluster, const struct inode *from, const struct inode *to)
{
	uint64_t size = MIN(from->info.size_bytes, to->info.size_bytes);
	uint64_t end = inode_map_pos(volume_objects(size, from->info.object_shift));
	struct copying *c;
	struct map_extent *extents;
	struct batch batch;
	size_t count;
	int failed, err = map_extents_read(cluster, from, &extents, &count);

	if (err < 0)
		return err;
	c = xcalloc(1, sizeof(*c));
	err = inode_part_shift(cluster, &c->shift);
	batch_init(&batch, cluster, COPY_WINDOW, 0, piece_answered, c);
	for (size_t i = 0; i < count && !err && !batch_failed(&batch); i++)
		extent_copy(c, &batch, from, to, MAX(extents[i].begin, (uint64_t)INODE_HEADER_LEN),
		            MIN(extents[i].end, end));
	failed = batch_fini(&batch);
	free(extents);
	free(c);
	return err ? err : failed;
}

/* ---- Objects of one's own ---- */

struct indices {
	uint64_t *v;
	size_t count, capacity;
};

static void indices_add(void *arg, uint64_t index, uint32_t owner)
{
	struct indices *x = arg;

	(void)owner;
	if (x->count == x->capacity) {
		x->capacity = x->capacity ? 2 * x->capacity : 1024;
		x->v = xrealloc(x->v, x->capacity * sizeof(x->v[0]));
	}
	x->v[x->count++] = index;
}

static int object_own(struct sf_volume *volume, uint64_t index, uint8_t *bytes)
{
	uint64_t begin = index << volume->info.object_shift;
	uint64_t len = MIN(volume->info.size_bytes - begin, 1ull << volume->info.object_shift);
	const volatile bool *stop = volume->cluster->stop;
	int err;

	if (stop && *stop)
		return error_set(-EINTR, "interrupted");
	err = sf_read(volume, bytes, len, begin);
	return err ? err : sf_write(volume, bytes, len, begin);
}

static int volume_own_all(struct sf_volume *volume, bool all)
{
	struct inode inode = {.info = volume->info};
	uint64_t objects = volume_objects(volume->info.size_bytes, volume->info.object_shift);
	uint8_t *bytes = xmalloc((size_t)1 << volume->info.object_shift);
	struct indices x = {0};
	int err = 0;

	if (!all)
		err = volume_map_scan(volume->cluster, &inode, 0, indices_add, &x);
	for (uint64_t i = 0; i < (all ? objects : x.count) && !err; i++)
		err = object_own(volume, all ? i : x.v[i], bytes);
	free(x.v);
	free(bytes);
	return err;
}

int inode_own_all(struct sf_cluster *cluster, const struct inode *inode, bool all)
{
	struct sf_volume *volume;
	int err = volume_open_inode(cluster, inode, &volume), closed;

	if (err < 0)
		return err;
	err = volume_own_all(volume, all);
	closed = sf_volume_close(volume);
	return err ? err : closed;
}

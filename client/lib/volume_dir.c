/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/volume_dir.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum {
	LIST_WINDOW = 16,
	SCAN_WINDOW = 16,
	SCAN_BYTES = 64 << 10,
};

/* ---- One inode ---- */

int inode_read(struct sf_cluster *cluster, uint32_t id, struct inode *ret)
{
	uint8_t bytes[INODE_HEADER_LEN];
	struct request req;
	int err;

	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_READ);
	req.pool = POOL_META;
	req.oid = oid_inode(id, 0);
	req.length = sizeof(bytes);
	req.rx = bytes;
	err = call_request(cluster, &req);
	request_fini(&req);
	if (err == 0 && (req.reply_flags & MSG_F_ABSENT))
		return -ENOENT;
	if (err < 0)
		return err;
	if (inode_decode(bytes, ret) < 0 || ret->info.id != id)
		return error_set(-EILSEQ, "the inode of volume %06x is damaged", id);
	return 0;
}

static int inode_put(struct sf_cluster *cluster, const struct inode *inode, uint32_t flags)
{
	uint8_t bytes[INODE_HEADER_LEN];
	struct request req;
	int err;

	inode_encode(inode, bytes);
	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_WRITE);
	req.pool = POOL_META;
	req.oid = oid_inode(inode->info.id, 0);
	req.flags = flags;
	req.tx = bytes;
	req.tx_len = sizeof(bytes);
	err = call_request(cluster, &req);
	request_fini(&req);
	return err;
}

int inode_write(struct sf_cluster *cluster, const struct inode *inode)
{
	return inode_put(cluster, inode, 0);
}

int inode_create(struct sf_cluster *cluster, const struct inode *inode)
{
	return inode_put(cluster, inode, MSG_F_EXCL);
}

int inode_remove(struct sf_cluster *cluster, uint32_t id, uint32_t part)
{
	struct request req;
	int err;

	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_DELETE);
	req.pool = POOL_META;
	req.oid = oid_inode(id, part);
	err = call_request(cluster, &req);
	request_fini(&req);
	return err == -ENOENT ? 0 : err;
}

/* Objects per pool in the map, and their size; for what is asked of pools below. */
struct pool_facts {
	uint32_t pg_count, object_shift;
};

static int pool_facts_get(struct sf_cluster *cluster, uint32_t id, struct pool_facts *ret)
{
	struct map *map = cluster_map_copy(cluster);
	const struct map_pool *pool = map ? map_find_pool(map, id) : NULL;
	int err = 0;

	if (!map)
		err = error_set(-ENODEV, "the cluster is not formatted yet");
	else if (!pool)
		err = error_set(-EIO, "the cluster's map has no pool %u", id);
	else
		*ret = (struct pool_facts){pool->pg_count, pool->object_shift};
	map_unref(map);
	return err;
}

int inode_part_shift(struct sf_cluster *cluster, uint32_t *ret)
{
	struct pool_facts facts;
	int err = pool_facts_get(cluster, POOL_META, &facts);

	if (!err)
		*ret = facts.object_shift;
	return err;
}

/* ---- Listing objects ---- */

struct listing {
	uint64_t first, last;
	uint64_t *oids;
	uint32_t *sizes;
	size_t count, capacity;
	struct list_cursor {
		uint64_t oid;
		bool started, done;
	} * cursors; /* per PG */
};

static void listing_add(struct listing *l, const struct shard_entry *e)
{
	/* Deleted and made again a moment ago: what is not committed yet counts. */
	uint32_t dead = e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE;

	if (e->oid < l->first || e->oid > l->last || (e->flags & dead))
		return;
	if (l->count == l->capacity) {
		l->capacity = l->capacity ? 2 * l->capacity : 256;
		l->oids = xrealloc(l->oids, l->capacity * sizeof(l->oids[0]));
		l->sizes = xrealloc(l->sizes, l->capacity * sizeof(l->sizes[0]));
	}
	l->oids[l->count] = e->oid;
	l->sizes[l->count++] = (uint32_t)MIN(e->size, (uint64_t)UINT32_MAX);
}

static void listing_answered(struct batch_slot *slot, void *arg)
{
	struct listing *l = arg;
	struct request *req = &slot->req;
	struct list_cursor *cursor = &l->cursors[slot->tag];
	const struct msg *reply = req->reply;
	uint64_t next;

	cursor->done = true;
	if (req->result < 0) {
		batch_fail(slot);
		return;
	}
	for (uint32_t i = 0; i < reply->entry_count; i++)
		listing_add(l, &reply->entries[i]);
	/* How far this page goes; all that it covers may have been left out of it. */
	next = reply->oid;
	if (reply->entry_count > 0)
		next = MAX(next, reply->entries[reply->entry_count - 1].oid);
	if (!(reply->flags & MSG_F_MORE) || next < l->first ||
	    (cursor->started && next <= cursor->oid))
		return;
	cursor->oid = next;
	cursor->started = true;
	cursor->done = cursor->oid >= l->last;
}

static bool listing_round(struct listing *l, struct batch *b, uint32_t pool, uint32_t pg_count)
{
	bool sent = false;

	for (uint32_t pg = 0; pg < pg_count && !batch_failed(b); pg++) {
		const struct list_cursor *cursor = &l->cursors[pg];
		struct batch_slot *slot;

		if (cursor->done)
			continue;
		slot = batch_take(b, ROUTE_PRIMARY, MSG_OBJ_LIST);
		slot->tag = pg;
		slot->req.by_pg = true;
		slot->req.pool = pool;
		slot->req.pg = pg;
		slot->req.length = MSG_MAX_ENTRIES;
		slot->req.keep_reply = true;
		/* The cursor is exclusive. */
		slot->req.oid = cursor->started ? cursor->oid : l->first - 1;
		slot->req.flags = cursor->started || l->first > 0 ? 0 : MSG_F_FIRST;
		batch_submit(slot);
		sent = true;
	}
	batch_wait(b);
	return sent && !batch_failed(b);
}

int objects_list(struct sf_cluster *cluster, uint32_t pool, uint64_t first, uint64_t last,
                 uint64_t **ret, uint32_t **ret_sizes, size_t *ret_count)
{
	struct listing l = {.first = first, .last = last};
	struct pool_facts facts;
	struct batch batch;
	int err = pool_facts_get(cluster, pool, &facts);

	if (err < 0)
		return err;
	l.cursors = xcalloc(facts.pg_count, sizeof(l.cursors[0]));
	batch_init(&batch, cluster, LIST_WINDOW, 0, listing_answered, &l);
	while (listing_round(&l, &batch, pool, facts.pg_count))
		;
	err = batch_fini(&batch);
	free(l.cursors);
	if (err < 0 || !ret_sizes) {
		free(l.sizes);
		l.sizes = NULL;
	}
	if (err < 0) {
		free(l.oids);
		return err;
	}
	*ret = l.oids;
	if (ret_sizes)
		*ret_sizes = l.sizes;
	*ret_count = l.count;
	return 0;
}

static int oid_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void oids_sort(uint64_t *oids, size_t count)
{
	if (count)
		qsort(oids, count, sizeof(oids[0]), oid_compare);
}

const uint64_t *oids_find(const uint64_t *oids, size_t count, uint64_t oid)
{
	return count ? bsearch(&oid, oids, count, sizeof(oid), oid_compare) : NULL;
}

/* ---- Scanning a map ---- */

void map_bytes_scan(const struct inode *inode, uint64_t pos, const uint8_t *bytes, uint64_t len,
                    uint64_t from, void (*entry)(void *arg, uint64_t index, uint32_t owner),
                    void *arg)
{
	uint64_t objects = volume_objects(inode->info.size_bytes, inode->info.object_shift);
	uint64_t begin = MAX(pos, inode_map_pos(from)),
		 end = MIN(pos + len, inode_map_pos(objects));
	uint32_t owner;

	for (uint64_t at = begin; at + 4 <= end; at += 4) {
		memcpy(&owner, bytes + (at - pos), sizeof(owner));
		if (owner)
			entry(arg, (at - INODE_HEADER_LEN) / 4, le32toh(owner));
	}
}

/* Up to so many inode objects are not worth a listing. */
enum { EXTENTS_FEW = 4 };

int map_extents_read(struct sf_cluster *cluster, const struct inode *inode,
                     struct map_extent **ret, size_t *ret_count)
{
	uint64_t end =
		inode_map_pos(volume_objects(inode->info.size_bytes, inode->info.object_shift));
	struct map_extent *v;
	uint64_t *oids = NULL;
	uint32_t *sizes = NULL, shift = 0;
	size_t count = 1;
	int err = inode_part_shift(cluster, &shift);

	if (!err && end >> shift >= EXTENTS_FEW)
		err = objects_list(cluster, POOL_META, oid_inode(inode->info.id, 0),
		                   oid_inode(inode->info.id, UINT32_MAX), &oids, &sizes, &count);
	if (err < 0)
		return err;
	v = xcalloc(count + 1, sizeof(v[0]));
	v[0].end = end;
	for (size_t i = 0; oids && i < count; i++) {
		v[i].begin = (uint64_t)oid_index(oids[i]) << shift;
		v[i].end = MIN(end, v[i].begin + round_up(sizes[i], SCAN_BYTES));
	}
	free(oids);
	free(sizes);
	*ret = v;
	*ret_count = count;
	return 0;
}

struct scan {
	const struct inode *inode;
	uint64_t from;
	void (*entry)(void *arg, uint64_t index, uint32_t owner);
	void *arg;
};

static void scan_answered(struct batch_slot *slot, void *arg)
{
	struct scan *s = arg;

	if (slot->req.result == 0)
		map_bytes_scan(s->inode, slot->tag, slot->memory, slot->req.length, s->from,
		               s->entry, s->arg);
	else if (slot->req.result != -ENOENT)
		batch_fail(slot);
}

static void extent_scan(struct batch *batch, const struct inode *inode, uint32_t shift,
                        uint64_t begin, uint64_t end)
{
	uint64_t pos = begin & ~(uint64_t)(SCAN_BYTES - 1);

	for (; pos < end && !batch_failed(batch); pos += SCAN_BYTES) {
		struct batch_slot *slot = batch_take(batch, ROUTE_PRIMARY, MSG_OBJ_READ);

		slot->tag = pos;
		slot->req.pool = POOL_META;
		slot->req.oid = oid_inode(inode->info.id, (uint32_t)(pos >> shift));
		slot->req.offset = pos & ((1ull << shift) - 1);
		slot->req.length = MIN((uint64_t)SCAN_BYTES, end - pos);
		slot->req.rx = slot->memory;
		batch_submit(slot);
	}
}

int volume_map_scan(struct sf_cluster *cluster, const struct inode *inode, uint64_t from,
                    void (*entry)(void *arg, uint64_t index, uint32_t owner), void *arg)
{
	struct scan s = {.inode = inode, .from = from, .entry = entry, .arg = arg};
	struct map_extent *extents;
	uint32_t shift = 0;
	struct batch batch;
	size_t count;
	int err = inode_part_shift(cluster, &shift);

	if (err < 0 || from >= volume_objects(inode->info.size_bytes, inode->info.object_shift))
		return err;
	err = map_extents_read(cluster, inode, &extents, &count);
	if (err < 0)
		return err;
	batch_init(&batch, cluster, SCAN_WINDOW, SCAN_BYTES, scan_answered, &s);
	for (size_t i = 0; i < count; i++)
		extent_scan(&batch, inode, shift, MAX(extents[i].begin, inode_map_pos(from)),
		            extents[i].end);
	free(extents);
	return batch_fini(&batch);
}

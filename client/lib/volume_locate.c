/* SPDX-License-Identifier: Apache-2.0 */

/* Where the objects of a volume are, and whose they are. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/map_view.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"
#include "lib/place/place.h"

enum { LOCATE_MS = 2000 };

static int owner_of(struct sf_cluster *cluster, const struct inode *inode, uint64_t index,
                    uint32_t *ret)
{
	uint64_t pos = inode_map_pos(index);
	struct request req;
	uint8_t bytes[4];
	uint32_t shift;
	int err = inode_part_shift(cluster, &shift);

	if (err < 0)
		return err;
	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_READ);
	req.pool = POOL_META;
	req.oid = oid_inode(inode->info.id, (uint32_t)(pos >> shift));
	req.offset = pos & ((1ull << shift) - 1);
	req.length = sizeof(bytes);
	req.rx = bytes;
	err = call_request(cluster, &req);
	request_fini(&req);
	*ret = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
	if (err || *ret == 0)
		*ret = inode->info.id;
	return err;
}

static void shard_answered(struct batch_slot *slot, void *arg)
{
	struct sf_object_location *l = arg;
	struct sf_shard_location *shard = &l->shards[slot->tag];
	const struct msg *reply = slot->req.reply;

	if (slot->req.result < 0 || !reply || reply->entry_count == 0)
		return;
	const struct shard_entry *e = &reply->entries[0];
	uint32_t dead = e->pending ? ENTRY_PENDING_TOMBSTONE : ENTRY_TOMBSTONE;
	shard->version = e->pending ? e->pending : e->version;
	shard->present = !(e->flags & dead);
	l->exists |= shard->present;
}

/* Asks every slot's disk for its shard, all at once. */
static void shards_ask(struct sf_cluster *cluster, struct sf_object_location *l)
{
	struct batch batch;

	batch_init(&batch, cluster, MAX_SHARDS, 0, shard_answered, l);
	for (uint32_t i = 0; i < l->shard_count; i++) {
		struct batch_slot *slot;

		if (!l->shards[i].up)
			continue;
		slot = batch_take(&batch, ROUTE_NODE, MSG_SHARD_STAT);
		slot->tag = i;
		slot->req.addr = l->shards[i].address;
		slot->req.port = l->shards[i].port;
		slot->req.pool = l->pool;
		slot->req.pg = l->pg;
		slot->req.oid = l->oid;
		slot->req.shard = i;
		slot->req.disk = l->shards[i].disk;
		slot->req.timeout_ms = LOCATE_MS;
		slot->req.keep_reply = true;
		batch_submit(slot);
	}
	batch_fini(&batch);
}

static void slots_fill(const struct map *map, const struct map_pool *pool,
                       struct sf_object_location *l)
{
	uint64_t disks[MAX_SHARDS];

	place_pg(map, pool, l->pg, disks);
	l->shard_count = pool->k + pool->m;
	l->primary = ~0u;
	for (uint32_t i = 0; i < l->shard_count; i++) {
		struct sf_shard_location *s = &l->shards[i];
		const struct map_disk *disk =
			disks[i] == NO_DISK ? NULL : map_find_disk(map, disks[i]);
		const struct map_node *node = disk ? map_find_node(map, disk->node) : NULL;

		s->shard = i;
		if (!node)
			continue;
		s->node = node->id;
		s->disk = disk->id;
		memcpy(s->address, node->addr, sizeof(s->address));
		s->port = node->port;
		s->up = map_disk_up(map, disk);
		if (s->up && l->primary == ~0u)
			l->primary = i;
	}
}

/* The object's id and pool. */
static int object_find(struct sf_cluster *cluster, const char *name, const char *tag, uint64_t index,
                       struct sf_object_location *l)
{
	struct inode inode;
	uint32_t owner;
	int err = volume_find_tag(cluster, name, tag, &inode);

	if (err < 0)
		return err;
	l->pool = POOL_META;
	l->oid = oid_inode(inode.info.id, 0);
	if (index == ~0ull)
		return 0;
	if (index >= volume_objects(inode.info.size_bytes, inode.info.object_shift))
		return error_set(-EINVAL, "the volume has no object of this number");
	err = owner_of(cluster, &inode, index, &owner);
	if (err < 0)
		return err;
	l->pool = inode.info.pool;
	l->oid = oid_data(owner, (uint32_t)index);
	return 0;
}

static int locate(const struct map *map, struct sf_object_location *l)
{
	const struct map_pool *pool = map ? map_find_pool(map, l->pool) : NULL;

	if (!pool)
		return error_set(-ENOENT, "the cluster's map has no pool %u", l->pool);
	l->pg = place_pg_of(pool, l->oid);
	slots_fill(map, pool, l);
	return 0;
}

int sf_snapshot_locate(struct sf_cluster *cluster, const char *name, const char *tag,
                       uint64_t index, struct sf_object_location *ret)
{
	struct sf_object_location l = {0};
	struct map *map;
	int err = object_find(cluster, name, tag, index, &l);

	if (!err)
		err = cluster_map_refetch(cluster);
	if (err < 0)
		return err;
	map = cluster_map_copy(cluster);
	err = locate(map, &l);
	map_unref(map);
	if (err < 0)
		return err;
	shards_ask(cluster, &l);
	*ret = l;
	return 0;
}

int sf_volume_locate(struct sf_cluster *cluster, const char *name, uint64_t index,
                     struct sf_object_location *ret)
{
	return sf_snapshot_locate(cluster, name, NULL, index, ret);
}

/* ---- Through the epochs ---- */

static bool same_places(const struct sf_object_location *a, const struct sf_object_location *b)
{
	if (a->shard_count != b->shard_count)
		return false;
	for (uint32_t i = 0; i < a->shard_count; i++)
		if (a->shards[i].disk != b->shards[i].disk || a->shards[i].up != b->shards[i].up)
			return false;
	return true;
}

int sf_object_track(struct sf_cluster *cluster, const char *name, const char *tag, uint64_t index,
                    sf_track track, void *arg)
{
	struct sf_object_location before = {0}, now = {0};
	struct sf_map *newest;
	uint32_t last;
	int err = object_find(cluster, name, tag, index, &now);

	if (!err)
		err = sf_map_get(cluster, 0, &newest);
	if (err < 0)
		return err;
	last = newest->epoch;
	sf_map_free(newest);
	for (uint32_t epoch = 1; epoch <= last; epoch++) {
		struct map *map;
		err = map_ask(cluster, MSG_GET_MAP, epoch, &map);
		if (err == -ENOENT)
			continue; /* not kept */
		if (err < 0)
			return err;
		memset(now.shards, 0, sizeof(now.shards));
		/* The pool may be younger. */
		if (locate(map, &now) == 0 && !same_places(&before, &now)) {
			track(arg, epoch, map->changed_s, &now);
			before = now;
		}
		map_unref(map);
	}
	return 0;
}

/* ---- Map and inode ---- */

struct map_rows {
	struct sf_map_entry *v;
	size_t count, capacity;
};

static void map_row(void *arg, uint64_t index, uint32_t owner)
{
	struct map_rows *rows = arg;

	if (rows->count == rows->capacity) {
		rows->capacity = rows->capacity ? 2 * rows->capacity : 256;
		rows->v = xrealloc(rows->v, rows->capacity * sizeof(*rows->v));
	}
	rows->v[rows->count++] = (struct sf_map_entry){.index = index, .owner = owner};
}

static int by_index(const void *a, const void *b)
{
	const struct sf_map_entry *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

int sf_volume_map(struct sf_cluster *cluster, const char *name, const char *tag,
                  struct sf_map_entry **ret, size_t *ret_count)
{
	struct map_rows rows = {0};
	struct inode inode;
	int err = volume_find_tag(cluster, name, tag, &inode);

	if (!err)
		err = volume_map_scan(cluster, &inode, 0, map_row, &rows);
	if (err < 0) {
		free(rows.v);
		return err;
	}
	if (rows.count)
		qsort(rows.v, rows.count, sizeof(*rows.v), by_index);
	*ret = rows.v;
	*ret_count = rows.count;
	return 0;
}

int sf_inode_dump(struct sf_cluster *cluster, const char *name, const char *tag, char **ret)
{
	char redundancy[16], *text;
	struct inode n;
	int err = volume_find_tag(cluster, name, tag, &n);

	if (err < 0)
		return err;
	sf_redundancy_format(n.info.redundancy, redundancy);
	if (asprintf(&text,
	             "name: %s\ntag: %s\nvdi_id: %x\nsnapshot_id: %u\nparent_vdi_id: %x\nflags: %x\n"
	             "size: %" PRIu64 "\nredundancy: %s\npool: %u\nblock_size_shift: %u\n"
	             "create_time: %" PRIu64 "\nchange_time: %" PRIu64 "\npredecessor: %x\n"
	             "successor: %x\nfamily: %016" PRIx64 "\ncreator: %016" PRIx64 "\norigin: %016" PRIx64
	             "\nfrom_pool: %u\ngeneration: %u\n",
	             n.info.name, n.info.tag, n.info.id, n.info.snapshot_id, n.info.parent_id, n.flags,
	             n.info.size_bytes, redundancy, n.info.pool, n.info.object_shift, n.info.created_s, n.changed_s,
	             n.predecessor, n.successor, n.family, n.creator, n.origin, n.from_pool, n.generation) < 0)
		return error_set(-ENOMEM, "no memory");
	*ret = text;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { CHECK_WINDOW = 8, LOCATE_MS = 2000 };

/* ---- Check ---- */

struct check {
	struct batch batch;
	struct sf_check_result result;
	uint32_t pool, flags;
	uint64_t total;
	sf_progress progress;
	void *arg;
	int err;
	char why[ERROR_TEXT_LEN];
};

static void check_answered(struct batch_slot *slot, void *arg)
{
	struct check *c = arg;
	struct sf_check_result *r = &c->result;
	const struct request *req = &slot->req;

	r->objects++;
	if (req->reply) {
		r->shards += req->reply->check.shards;
		r->missing += req->reply->check.missing;
		r->damaged += req->reply->check.damaged;
		r->stale += req->reply->check.stale;
		r->repaired += req->reply->check.repaired;
		r->leftover += req->reply->check.leftover;
		r->undecided_objects += req->reply->check.undecided;
		r->absent_objects += req->result == 0 && !req->reply->check.shards;
	}
	if (req->result == -EIO || req->result == -ENOENT) {
		r->lost_objects++;
	} else if (req->result < 0) {
		c->err = req->result;
		memcpy(c->why, req->why, sizeof(c->why));
	}
	if (c->progress)
		c->progress(c->arg, r->objects, c->total);
}

static void check_add(struct check *c, uint32_t pool, uint64_t oid)
{
	struct batch_slot *slot = batch_take(&c->batch, ROUTE_PRIMARY, MSG_OBJ_CHECK);

	slot->req.pool = pool;
	slot->req.oid = oid;
	slot->req.flags = c->flags;
	slot->req.keep_reply = true;
	batch_submit(slot);
}

struct owners {
	uint64_t *oids;
	size_t count, capacity;
};

static void owners_add(void *arg, uint64_t index, uint32_t owner)
{
	struct owners *o = arg;

	if (o->count == o->capacity) {
		o->capacity = o->capacity ? 2 * o->capacity : 256;
		o->oids = xrealloc(o->oids, o->capacity * sizeof(o->oids[0]));
	}
	o->oids[o->count++] = oid_data(owner, (uint32_t)index);
}

/* The header's object, and those of the map in which something was ever written. */
static void check_add_inode(struct check *c, const struct inode *inode, uint32_t shift,
                            const struct owners *o)
{
	uint64_t end =
		inode_map_pos(volume_objects(inode->info.size_bytes, inode->info.object_shift));
	uint32_t count = (uint32_t)((end - 1) >> shift) + 1;
	bool *used = xcalloc(count, sizeof(*used));

	used[0] = true;
	for (size_t i = 0; i < o->count; i++)
		used[inode_map_pos(oid_index(o->oids[i])) >> shift] = true;
	/* The total first: from the first answer on it is read by the I/O thread. */
	for (uint32_t part = 0; part < count; part++)
		c->total += used[part];
	for (uint32_t part = 0; part < count; part++)
		if (used[part])
			check_add(c, POOL_META, oid_inode(inode->info.id, part));
	free(used);
}

int sf_snapshot_check(struct sf_cluster *cluster, const char *name, const char *tag, bool repair,
                      struct sf_check_result *ret, sf_progress progress, void *arg)
{
	struct check c = {.flags = repair ? MSG_F_REPAIR : 0, .progress = progress, .arg = arg};
	struct owners o = {0};
	struct inode inode;
	uint32_t shift;
	int err = volume_find_tag(cluster, name, tag, &inode);

	if (!err)
		err = inode_part_shift(cluster, &shift);
	if (!err)
		err = volume_map_scan(cluster, &inode, 0, owners_add, &o);
	if (err < 0) {
		free(o.oids);
		return err;
	}
	c.total = o.count;
	batch_init(&c.batch, cluster, CHECK_WINDOW, 0, check_answered, &c);
	check_add_inode(&c, &inode, shift, &o);
	for (size_t i = 0; i < o.count && !c.err; i++)
		check_add(&c, inode.info.pool, o.oids[i]);
	batch_fini(&c.batch);
	free(o.oids);
	*ret = c.result;
	return c.err ? error_set(c.err, "%s", c.why) : 0;
}

int sf_volume_check(struct sf_cluster *cluster, const char *name, bool repair,
                    struct sf_check_result *ret, sf_progress progress, void *arg)
{
	return sf_snapshot_check(cluster, name, NULL, repair, ret, progress, arg);
}

/* ---- Locate ---- */

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
	shard->version =
		reply->entries[0].pending ? reply->entries[0].pending : reply->entries[0].version;
	shard->present = !(reply->entries[0].flags & (ENTRY_TOMBSTONE | ENTRY_PENDING_TOMBSTONE));
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

int sf_snapshot_locate(struct sf_cluster *cluster, const char *name, const char *tag,
                       uint64_t index, struct sf_object_location *ret)
{
	struct sf_object_location l = {0};
	const struct map_pool *pool;
	struct inode inode;
	struct map *map;
	uint32_t owner;
	int err = volume_find_tag(cluster, name, tag, &inode);

	if (err < 0)
		return err;
	l.pool = POOL_META;
	l.oid = oid_inode(inode.info.id, 0);
	if (index != ~0ull) {
		if (index >= volume_objects(inode.info.size_bytes, inode.info.object_shift))
			return error_set(-EINVAL, "the volume has no object of this number");
		err = owner_of(cluster, &inode, index, &owner);
		if (err < 0)
			return err;
		l.pool = inode.info.pool;
		l.oid = oid_data(owner, (uint32_t)index);
	}
	err = cluster_map_refetch(cluster);
	if (err < 0)
		return err;
	map = cluster_map_copy(cluster);
	pool = map ? map_find_pool(map, l.pool) : NULL;
	if (!pool) {
		map_unref(map);
		return error_set(-EIO, "the cluster's map has no pool %u", l.pool);
	}
	l.pg = place_pg_of(pool, l.oid);
	slots_fill(map, pool, &l);
	map_unref(map);
	shards_ask(cluster, &l);
	*ret = l;
	return 0;
}

int sf_volume_locate(struct sf_cluster *cluster, const char *name, uint64_t index,
                     struct sf_object_location *ret)
{
	return sf_snapshot_locate(cluster, name, NULL, index, ret);
}

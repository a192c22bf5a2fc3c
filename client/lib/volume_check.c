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

enum { CHECK_WINDOW = 8 };

/* ---- Check ---- */

struct check {
	struct batch batch;
	struct sf_check_result result;
	uint32_t pool, flags;
	uint64_t total;
	sf_progress progress;
	void *arg;
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
	if (req->result == -EIO || req->result == -ENOENT)
		r->lost_objects++;
	else if (req->result < 0)
		batch_fail(slot);
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
	for (uint32_t part = 0; part < count && !batch_failed(&c->batch); part++)
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
	for (size_t i = 0; i < o.count && !batch_failed(&c.batch); i++)
		check_add(&c, inode.info.pool, o.oids[i]);
	err = batch_fini(&c.batch);
	free(o.oids);
	*ret = c.result;
	return err;
}

int sf_volume_check(struct sf_cluster *cluster, const char *name, bool repair,
                    struct sf_check_result *ret, sf_progress progress, void *arg)
{
	return sf_snapshot_check(cluster, name, NULL, repair, ret, progress, arg);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/volume_delete.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/attr.h"
#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/family.h"
#include "client/lib/lock_visit.h"
#include "client/lib/meta_object.h"
#include "client/lib/volume_dir.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { DELETE_WINDOW = 32 };

static void deletion_answered(struct batch_slot *slot, void *arg)
{
	(void)arg;
	if (slot->req.result < 0 && slot->req.result != -ENOENT)
		batch_fail(slot);
}

static void deletion_add(struct batch *batch, uint32_t pool, uint64_t oid)
{
	struct batch_slot *slot = batch_take(batch, ROUTE_PRIMARY, MSG_OBJ_DELETE);

	slot->req.pool = pool;
	slot->req.oid = oid;
	batch_submit(slot);
}

int objects_delete(struct sf_cluster *cluster, uint32_t pool, const uint64_t *oids, size_t count)
{
	struct batch batch;

	batch_init(&batch, cluster, DELETE_WINDOW, 0, deletion_answered, NULL);
	for (size_t i = 0; i < count && !batch_failed(&batch); i++)
		deletion_add(&batch, pool, oids[i]);
	return batch_fini(&batch);
}

struct owned {
	uint32_t volume;
	uint64_t *oids;
	size_t count, capacity;
};

static void owned_add(void *arg, uint64_t index, uint32_t owner)
{
	struct owned *o = arg;

	if (owner != o->volume)
		return; /* an ancestor's */
	if (o->count == o->capacity) {
		o->capacity = o->capacity ? 2 * o->capacity : 256;
		o->oids = xrealloc(o->oids, o->capacity * sizeof(o->oids[0]));
	}
	o->oids[o->count++] = oid_data(owner, (uint32_t)index);
}

/* What the map shows, and then what is there all the same: a write that was cut off may have left
 * objects that no map shows, and the id may be given to another volume. */
static int data_delete(struct sf_cluster *cluster, const struct inode *inode)
{
	struct owned o = {.volume = inode->info.id};
	uint64_t *oids = NULL;
	size_t count = 0;
	int err = volume_map_scan(cluster, inode, 0, owned_add, &o);

	if (!err)
		err = objects_delete(cluster, inode->info.pool, o.oids, o.count);
	free(o.oids);
	if (!err)
		err = objects_list(cluster, inode->info.pool, oid_data(o.volume, 0),
		                   oid_data(o.volume, UINT32_MAX), &oids, NULL, &count);
	if (!err)
		err = objects_delete(cluster, inode->info.pool, oids, count);
	free(oids);
	return err;
}

static int map_parts_delete(struct sf_cluster *cluster, const struct inode *inode)
{
	struct map_extent *extents;
	uint32_t shift = 0;
	size_t count;
	int err = inode_part_shift(cluster, &shift);

	if (!err)
		err = map_extents_read(cluster, inode, &extents, &count);
	if (err < 0)
		return err;
	for (size_t i = 0; i < count && !err; i++)
		for (uint64_t part = MAX(extents[i].begin >> shift, 1ull);
		     !err && part << shift < extents[i].end; part++)
			err = inode_remove(cluster, inode->info.id, (uint32_t)part);
	free(extents);
	return err;
}

/* Gives the rest of the first inode object back: only the header is kept. */
static int header_alone(struct sf_cluster *cluster, const struct inode *inode)
{
	struct request req;
	uint32_t shift;
	int err = inode_part_shift(cluster, &shift);

	if (!err)
		err = inode_write(cluster, inode);
	if (err)
		return err;
	request_init(&req, ROUTE_PRIMARY, MSG_OBJ_ZERO);
	req.pool = POOL_META;
	req.oid = oid_inode(inode->info.id, 0);
	req.offset = INODE_HEADER_LEN;
	req.length = (1ull << shift) - INODE_HEADER_LEN;
	err = call_request(cluster, &req);
	request_fini(&req);
	return err;
}

static int id_taken(struct sf_cluster *cluster, uint32_t id, bool *ret)
{
	struct inode inode;
	int err = inode_read(cluster, id, &inode);

	*ret = err == 0 || err == -EILSEQ;
	return err == -ENOENT || err == -EILSEQ ? 0 : err;
}

static uint32_t id_before(uint32_t id)
{
	return id > 1 ? id - 1 : VOLUME_ID_MASK;
}

/* -ESTALE: the id is another's by now. */
static int header_remove(struct sf_cluster *cluster, const struct inode *inode)
{
	uint64_t oid = oid_inode(inode->info.id, 0), version;
	uint8_t bytes[INODE_HEADER_LEN];
	struct inode now;
	int err = meta_read(cluster, oid, 0, bytes, sizeof(bytes), &version);

	if (err < 0 || version == 0)
		return err;
	if (inode_decode(bytes, &now) < 0 || now.creator != inode->creator)
		return -ESTALE;
	return meta_remove(cluster, oid, version);
}

/* Removes the end of a probe chain: this header, and the INODE_DELETED ones in front of it. */
static int chain_trim(struct sf_cluster *cluster, struct inode inode)
{
	bool taken;
	int err = 0;

	while (!err) {
		uint32_t id = inode.info.id;

		err = header_remove(cluster, &inode);
		if (!err)
			err = id_taken(cluster, volume_id_next(id), &taken);
		if (err)
			return err == -ESTALE ? 0 : err;
		if (taken) {
			/* Somebody went past just now: put it back. Who finds it taken has filled
			 * the hole. */
			inode.flags = INODE_DELETED;
			err = inode_create(cluster, &inode);
			return err == -EEXIST ? 0 : err;
		}
		if (inode_read(cluster, id_before(id), &inode) < 0 ||
		    !(inode.flags & INODE_DELETED) || (inode.flags & INODE_GHOST))
			return 0;
	}
	return err;
}

/* One that is valid only because this one names it must not depend on that any more. Somebody with its
 * name's lock may change it at the same time. */
static int successor_settle(struct sf_cluster *cluster, const struct inode *inode)
{
	uint64_t oid = oid_inode(inode->successor, 0), version;
	uint8_t bytes[INODE_HEADER_LEN];
	struct inode next;
	int err = inode->successor ? -ESTALE : 0;

	while (err == -ESTALE) {
		err = meta_read(cluster, oid, 0, bytes, sizeof(bytes), &version);
		if (err < 0 || version == 0 || inode_decode(bytes, &next) < 0 ||
		    !(next.flags & INODE_PENDING) || next.predecessor != inode->info.id)
			return err;
		next.flags &= ~(uint32_t)(INODE_PENDING | INODE_CONVERT);
		inode_encode(&next, bytes);
		err = meta_swap(cluster, oid, bytes, sizeof(bytes), version, fence_of_thread(), &version);
	}
	return err;
}

int inode_retire(struct sf_cluster *cluster, struct inode *inode, bool ghost)
{
	bool next_taken = false;
	int err = successor_settle(cluster, inode);

	if (!err)
		err = map_parts_delete(cluster, inode);

	if (!err && !ghost)
		err = id_taken(cluster, volume_id_next(inode->info.id), &next_taken);
	if (err)
		return err;
	if (!ghost && !next_taken)
		return chain_trim(cluster, *inode);
	inode->flags = INODE_DELETED | (ghost ? INODE_GHOST : 0);
	return header_alone(cluster, inode);
}

int volume_forget_name(struct sf_cluster *cluster, const char *name)
{
	struct inode inode;
	int err = volume_find_alive(cluster, name, &inode);

	return err == -ENOENT ? volume_attr_remove(cluster, name) : err;
}

/* Others may need its objects, or it those of others. */
static bool has_relatives(const struct inode *inode)
{
	return (inode->flags & INODE_SHARED) || inode->info.parent_id || inode->predecessor;
}

int volume_delete_finish(struct sf_cluster *cluster, struct inode *inode)
{
	int err = 0;

	if (has_relatives(inode)) {
		err = family_delete(cluster, inode);
	} else {
		if (!(inode->flags & INODE_DELETING)) {
			inode->flags |= INODE_DELETING;
			err = inode_write(cluster, inode);
		}
		if (!err)
			err = data_delete(cluster, inode);
		if (!err && inode->info.snapshot_id == 0)
			err = volume_forget_name(cluster, inode->info.name);
		if (!err)
			err = inode_retire(cluster, inode, false);
	}
	return err;
}

/* The removal of a chain's end may have been cut off, too. */
static int chain_end_trim(struct sf_cluster *cluster, uint32_t first)
{
	struct inode inode, last = {0};
	uint32_t id = first;
	int err;

	while ((err = inode_read(cluster, id, &inode)) == 0 || err == -EILSEQ) {
		last = err ? (struct inode){0} : inode;
		id = volume_id_next(id);
	}
	if (err != -ENOENT)
		return err;
	return (last.flags & INODE_DELETED) && !(last.flags & INODE_GHOST) ? chain_trim(cluster, last) : 0;
}

static int snapshots_sweep(struct sf_cluster *cluster, const char *name)
{
	struct inode *v;
	size_t count;
	bool there;
	int err = volume_find_all(cluster, name, &v, &count);

	if (err < 0)
		return err;
	for (size_t i = 0; i < count && !err; i++) {
		if (!(v[i].flags & INODE_DELETING) || !v[i].info.snapshot_id)
			continue;
		err = inode_refresh(cluster, &v[i], &there);
		if (!err && there)
			err = volume_delete_finish(cluster, &v[i]);
		if (err == -EBUSY) /* somebody is at it */
			err = 0;
	}
	free(v);
	return err;
}

/* And what else of this name was cut off, which nobody may ever ask for again. */
static int volume_delete(struct sf_cluster *cluster, const char *name)
{
	struct inode inode;
	uint32_t number;
	int found = volume_find(cluster, name, &inode), err = found;

	if (!found)
		err = volume_delete_finish(cluster, &inode);
	if (!err || err == -ENOENT)
		err = volume_name_prepare(cluster, name, NULL, &number);
	if (!err)
		err = snapshots_sweep(cluster, name);
	if (!err)
		err = chain_end_trim(cluster, volume_id_of_name(name));
	if (!err && found)
		err = error_set(found, "there is no volume of this name");
	return err;
}

int sf_volume_delete(struct sf_cluster *cluster, const char *name)
{
	struct lock_scope scope;
	int err = lock_scope_begin(cluster, name, "delete", false, &scope);

	if (err == 0)
		err = volume_delete(cluster, name);
	lock_scope_end(&scope);
	return err;
}

int sf_snapshot_delete(struct sf_cluster *cluster, const char *name, const char *tag)
{
	struct lock_scope scope;
	struct inode inode;
	int err;

	if (!tag)
		return sf_volume_delete(cluster, name);
	/* A snapshot is not what a writer writes to. */
	err = lock_scope_begin(cluster, name, "delete", true, &scope);
	if (err == 0)
		err = volume_find_tag_left(cluster, name, tag, &inode);
	if (err == 0) {
		inode.flags |= INODE_DELETING;
		err = inode_write(cluster, &inode);
	}
	lock_scope_end(&scope);
	/* Nor does that writer have to wait while the objects are deleted: the family has a lock of
	 * its own. */
	return err ? err : volume_delete_finish(cluster, &inode);
}

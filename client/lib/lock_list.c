/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/fence.h"
#include "client/lib/lock_watch.h"
#include "client/lib/meta_object.h"
#include "client/lib/volume_dir.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { LIST_WINDOW = 16 };

struct lock_listing {
	struct sf_lock *v;
	size_t count;
};

static void lock_of_record(const struct lock_record *r, struct sf_lock *ret)
{
	*ret = (struct sf_lock){
		.process = r->pid,
		.since_s = r->since_s,
		.lease_ms = r->lease_ms,
		.released = r->flags & LOCK_REVOKED,
	};
	memcpy(ret->volume, r->volume, sizeof(ret->volume));
	memcpy(ret->host, r->host, sizeof(ret->host));
	memcpy(ret->purpose, r->purpose, sizeof(ret->purpose));
}

static void lock_answered(struct batch_slot *slot, void *arg)
{
	struct lock_listing *l = arg;
	struct lock_record r;

	if (slot->req.result < 0 && slot->req.result != -ENOENT)
		batch_fail(slot);
	else if (slot->req.result == 0 && !(slot->req.reply_flags & MSG_F_ABSENT) &&
	         lock_record_decode(slot->memory, &r) == 0 && r.volume[0] != '\001' &&
	         !(r.flags & LOCK_LEFT))
		lock_of_record(&r, &l->v[l->count++]);
}

static int lock_compare(const void *a, const void *b)
{
	const struct sf_lock *x = a, *y = b;

	return strcmp(x->volume, y->volume);
}

int sf_lock_list(struct sf_cluster *cluster, struct sf_lock **ret, size_t *ret_count)
{
	struct lock_listing l = {0};
	struct batch batch;
	uint64_t *oids;
	size_t count;
	int err = objects_list(cluster, POOL_META, oid_of_name_first(OID_TYPE_LOCK),
	                       oid_of_name_last(OID_TYPE_LOCK), &oids, NULL, &count);

	if (err < 0)
		return err;
	l.v = xcalloc(count + 1, sizeof(l.v[0]));
	batch_init(&batch, cluster, LIST_WINDOW, LOCK_RECORD_LEN, lock_answered, &l);
	for (size_t i = 0; i < count && !batch_failed(&batch); i++) {
		struct batch_slot *slot = batch_take(&batch, ROUTE_PRIMARY, MSG_OBJ_READ);

		slot->req.pool = POOL_META;
		slot->req.oid = oids[i];
		slot->req.length = LOCK_RECORD_LEN;
		slot->req.rx = slot->memory;
		batch_submit(slot);
	}
	err = batch_fini(&batch);
	free(oids);
	if (err < 0) {
		free(l.v);
		return err;
	}
	qsort(l.v, l.count, sizeof(l.v[0]), lock_compare);
	*ret = l.v;
	*ret_count = l.count;
	return 0;
}

static int lock_mark(const struct lock_watch *w, uint32_t flag)
{
	uint8_t bytes[LOCK_RECORD_LEN];
	struct lock_record r = w->record;
	uint64_t version;

	r.flags |= flag;
	lock_record_encode(&r, bytes);
	return meta_swap(w->cluster, w->oid, bytes, sizeof(bytes), w->version, NULL, &version);
}

/* A holder that lives loses it at its next renewal and stops; from then on nothing changes there,
 * and a lease later nobody can be writing under it. */
int sf_lock_break(struct sf_cluster *cluster, const char *volume)
{
	struct lock_watch w;
	uint64_t holder = 0;
	int err;

	lock_watch_init(&w, cluster, volume);
	while ((err = lock_watch_look(&w)) == 0) {
		bool left = !w.version || (w.readable && (w.record.flags & LOCK_LEFT));

		if (left && !holder)
			return error_set(-ENOENT, "it is not locked");
		if (left || (holder && w.readable && w.record.holder != holder))
			return 0; /* let go; maybe another has it by now */
		if (w.readable)
			holder = w.record.holder;
		if (w.dead || w.expired)
			err = w.readable ? lock_mark(&w, LOCK_LEFT) : meta_remove(cluster, w.oid, w.version);
		else if (w.readable && !(w.record.flags & LOCK_REVOKED))
			err = lock_mark(&w, LOCK_REVOKED);
		if (err == 0 && (w.dead || w.expired))
			return 0;
		if (err < 0 && err != -ESTALE)
			return err;
		lock_watch_pause(&w);
	}
	return err;
}

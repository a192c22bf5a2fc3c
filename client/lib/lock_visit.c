/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/lock_visit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock_watch.h"
#include "client/lib/meta_object.h"
#include "client/lib/volume_lock.h"
#include "lib/base/mem.h"

/* ---- The holder, on the I/O thread ---- */

void lock_visit_end(struct lock *lock)
{
	if (!lock->asking)
		return;
	lock->asking = lock->granting = lock->visited = lock->expelling = false;
	lock_pace(lock, false);
	lock->over(lock->arg);
}

void lock_visit_look(struct lock *lock)
{
	const struct lock_record *r = &lock->record;

	if (r->visit == VISIT_ASKED && !lock->asked) {
		lock->expelling = true;
	} else if (r->visit == VISIT_ASKED && !lock->asking) {
		lock->asking = true;
		lock->asked(lock->arg);
	} else if (r->visit == VISIT_NONE) {
		lock_visit_end(lock); /* it is done, or has given up waiting */
	}
}

void lock_visit_grant(struct lock *lock)
{
	lock->granting = lock->asking;
	lock_pace(lock, true);
}

void lock_visit_written(struct lock *lock)
{
	if (lock->record.visit == VISIT_GRANTED && lock->granting) {
		lock->granting = false;
		lock->visited = true;
		lock->granted_ms = fence_now_ms();
	}
	if (lock->record.visit == VISIT_NONE)
		lock_visit_look(lock);
}

void lock_visit_tick(struct lock *lock, uint64_t now_ms)
{
	if (lock->visited && now_ms >= lock->granted_ms + lock->record.lease_ms)
		lock->expelling = true;
	if (lock->expelling) {
		lock->record.visit = VISIT_NONE;
		lock->record.guest = 0;
		lock_renew(lock);
		lock->expelling = lock->asking;
	} else if (lock->granting && lock->record.visit == VISIT_ASKED) {
		lock->record.visit = VISIT_GRANTED;
		lock->record.flags |= lock->unsettled ? LOCK_UNSETTLED : 0;
		lock_renew(lock);
	}
}

/* ---- The guest ---- */

struct guest {
	struct sf_cluster *cluster;
	struct lock_watch watch;
	uint64_t id;
	struct fence fence;
	char name[SF_NAME_MAX + 1];
};

static int guest_write(struct guest *g, uint64_t id, enum lock_visit visit)
{
	uint8_t bytes[LOCK_RECORD_LEN];
	struct lock_record r = g->watch.record;
	uint64_t version;

	r.guest = id;
	r.visit = visit;
	lock_record_encode(&r, bytes);
	return meta_swap(g->cluster, g->watch.oid, bytes, sizeof(bytes), g->watch.version, NULL,
	                 &version);
}

/* -EAGAIN: nobody has the lock any more. */
static int guest_look(struct guest *g)
{
	int err = lock_watch_look(&g->watch);

	if (err == 0 && (!g->watch.readable || g->watch.dead || g->watch.expired))
		return -EAGAIN;
	return err;
}

static int guest_ask(struct guest *g)
{
	uint64_t until = fence_now_ms() + 3ull * g->cluster->lease_ms;
	int err;

	while ((err = guest_look(g)) == 0) {
		if (g->watch.record.visit != VISIT_NONE && fence_now_ms() > until)
			return lock_refuse(&g->watch.record);
		if (g->watch.record.visit == VISIT_NONE)
			err = guest_write(g, g->id, VISIT_ASKED);
		else if (g->watch.record.guest == g->id)
			return 0;
		if (err < 0 && err != -ESTALE)
			return err;
		if (g->watch.record.visit != VISIT_NONE)
			lock_watch_pause(&g->watch);
	}
	return err;
}

static int guest_wait(struct guest *g)
{
	uint64_t holder = g->watch.record.holder, asked = fence_now_ms();
	int err;

	for (;; lock_watch_pause(&g->watch)) {
		uint64_t now = fence_now_ms();

		err = guest_look(g);
		if (err < 0)
			return err;
		if (g->watch.record.holder != holder)
			return -EAGAIN;
		if (g->watch.record.guest != g->id)
			return lock_refuse(&g->watch.record);
		if (g->watch.record.visit == VISIT_GRANTED)
			break;
		asked = now;
	}
	g->fence = (struct fence){.final = true,
	                          .until_ms = asked + g->watch.record.lease_ms * 3ull / 4};
	return 0;
}

static void guest_leave(struct guest *g)
{
	for (int tries = 0; tries < 10; tries++) {
		if (lock_watch_look(&g->watch) < 0 || !g->watch.readable ||
		    g->watch.record.guest != g->id ||
		    guest_write(g, 0, VISIT_NONE) != -ESTALE)
			return;
	}
}

static int guest_begin(struct sf_cluster *cluster, const char *name, struct guest **ret)
{
	struct guest *g = xcalloc(1, sizeof(*g));
	int err;

	g->cluster = cluster;
	g->id = cluster_random(cluster) | 1;
	snprintf(g->name, sizeof(g->name), "%s", name);
	lock_watch_init(&g->watch, cluster, g->name);
	err = guest_ask(g);
	if (err == 0) {
		err = guest_wait(g);
		if (err < 0)
			guest_leave(g);
	}
	if (err < 0) {
		free(g);
		return err;
	}
	*ret = g;
	return 0;
}

/* ---- Scopes ---- */

int lock_scope_begin(struct sf_cluster *cluster, const char *name, const char *purpose, bool visit,
                     struct lock_scope *ret)
{
	int err;

	*ret = (struct lock_scope){.outer = fence_of_thread()};
	do {
		/* A guest need not wait until the holder is known to live: it is answered, or
		 * finds the lock expired. */
		err = visit ? guest_begin(cluster, name, &ret->guest) : -EAGAIN;
		if (err == -EAGAIN)
			err = volume_lock(cluster, name, purpose, &ret->lock);
		if (err == -EBUSY && visit)
			err = guest_begin(cluster, name, &ret->guest);
	} while (err == -EAGAIN);
	if (err < 0)
		return err;
	fence_set_thread(ret->lock ? &ret->lock->fence : &ret->guest->fence);
	if (ret->guest && (ret->guest->watch.record.flags & LOCK_UNSETTLED))
		err = volume_lock_settle(cluster, name);
	if (err < 0)
		lock_scope_end(ret);
	return err;
}

void lock_scope_end(struct lock_scope *scope)
{
	char why[ERROR_TEXT_LEN];

	if (!scope->lock && !scope->guest)
		return;
	snprintf(why, sizeof(why), "%s", sf_error());
	fence_set_thread(NULL);
	lock_release(scope->lock);
	if (scope->guest)
		guest_leave(scope->guest);
	free(scope->guest);
	fence_set_thread(scope->outer);
	*scope = (struct lock_scope){0};
	error_set(0, "%s", why);
}

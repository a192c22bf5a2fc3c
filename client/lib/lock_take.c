/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock.h"
#include "client/lib/lock_watch.h"
#include "client/lib/meta_object.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/* ---- Watching ---- */

void lock_watch_init(struct lock_watch *w, struct sf_cluster *cluster, const char *name)
{
	*w = (struct lock_watch){.cluster = cluster, .name = name,
	                         .oid = oid_of_name(OID_TYPE_LOCK, name)};
}

void lock_watch_pause(const struct lock_watch *w)
{
	uint32_t ms = MAX(w->cluster->lease_ms / 50, 5u);
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&ts, NULL);
}

int lock_watch_look(struct lock_watch *w)
{
	uint8_t bytes[LOCK_RECORD_LEN];
	struct lock_record r = {0};
	uint64_t version;
	int err = meta_read(w->cluster, w->oid, 0, bytes, sizeof(bytes), &version);

	if (err < 0)
		return err;
	w->readable = version && lock_record_decode(bytes, &r) == 0;
	if (w->readable && strcmp(r.volume, w->name) != 0)
		return error_set(-EBUSY, "its lock has the number of that of '%s', which is locked",
		                 r.volume);
	w->moved = w->seen && version && (r.holder == w->record.holder && r.seq != w->record.seq);
	if (!w->seen || version != w->version)
		w->since_ms = fence_now_ms();
	w->seen = true;
	w->version = version;
	w->record = r;
	/* By the holder's own lease: it may have been started with another than ours. */
	w->expired = version && fence_now_ms() >= w->since_ms + MAX(r.lease_ms, w->cluster->lease_ms);
	w->dead = w->readable && lock_record_is_dead(&r);
	return 0;
}

/* ---- Taking ---- */

int lock_refuse(const struct lock_record *r)
{
	char since[32] = "?";
	time_t t = (time_t)r->since_s;
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
	return error_set(-EBUSY, "it is locked by %.60s, process %u (%.40s), since %s", r->host, r->pid,
	                 r->purpose, since);
}

static struct lock *lock_create(struct sf_cluster *cluster, const char *name, const char *purpose)
{
	struct lock *lock = xcalloc(1, sizeof(*lock));
	struct lock_record *r = &lock->record;

	lock->cluster = cluster;
	lock->oid = oid_of_name(OID_TYPE_LOCK, name);
	lock_record_sign(r);
	r->holder = cluster_random(cluster) | 1;
	r->since_s = (uint64_t)time(NULL);
	r->lease_ms = cluster->lease_ms;
	snprintf(r->volume, sizeof(r->volume), "%s", name);
	snprintf(r->purpose, sizeof(r->purpose), "%s", purpose);
	return lock;
}

/* Ours if it is at the version that was seen. */
static int lock_seize(struct lock *lock, uint64_t version)
{
	uint64_t sent = fence_now_ms();
	int err;

	lock->record.seq++;
	lock_record_encode(&lock->record, lock->bytes);
	err = meta_swap(lock->cluster, lock->oid, lock->bytes, sizeof(lock->bytes), version, NULL,
	                &lock->version);
	if (err < 0)
		return err;
	lock->renewed_ms = sent;
	lock->fence.until_ms = sent + lock->record.lease_ms * 3ull / 4;
	return 0;
}

static int lock_contend(struct lock *lock, struct lock_watch *w)
{
	int err;

	while ((err = lock_watch_look(w)) == 0) {
		bool ours = w->readable && w->record.holder == lock->record.holder;

		/* Ours: an earlier try had arrived after all. */
		if (ours || !w->version || w->dead || w->expired) {
			lock->seized |= w->version && !ours;
			err = lock_seize(lock, w->version);
		} else if (w->moved) {
			return lock_refuse(&w->record);
		} else {
			err = -EAGAIN;
		}
		if (err == 0 || (err != -EAGAIN && err != -ESTALE))
			return err;
		if (err == -EAGAIN)
			lock_watch_pause(w);
	}
	return err;
}

int lock_take(struct sf_cluster *cluster, const char *name, const char *purpose,
              struct lock **ret)
{
	/* Taking a lock is no work under another. */
	const struct fence *fence = fence_of_thread();
	struct lock *lock = lock_create(cluster, name, purpose);
	struct lock_watch watch;
	int err;

	fence_set_thread(NULL);
	lock_watch_init(&watch, cluster, name);
	err = lock_contend(lock, &watch);
	fence_set_thread(fence);
	if (err < 0) {
		free(lock);
		return err;
	}
	lock_start(lock);
	*ret = lock;
	return 0;
}

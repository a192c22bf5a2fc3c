/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/cluster.h"
#include "client/lib/conn.h"
#include "client/lib/error.h"
#include "client/lib/lock_visit.h"
#include "client/lib/meta_object.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

uint64_t fence_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static _Thread_local const struct fence *thread_fence;

const struct fence *fence_of_thread(void)
{
	return thread_fence;
}

void fence_set_thread(const struct fence *fence)
{
	thread_fence = fence;
}

uint32_t lock_lease_ms(const struct sf_cluster *cluster)
{
	return cluster->lease_ms;
}

/* ---- Held, on the I/O thread ---- */

static void lock_lose(struct lock *lock, const char *why)
{
	lock->fence.lost = true;
	snprintf(lock->fence.why, sizeof(lock->fence.why), "%s", why);
	lock_cut(lock);
	ev_timer_stop(lock->cluster->loop, &lock->timer);
	lock_visit_end(lock);
}

static bool conn_carries(const struct conn *conn, const struct fence *fence)
{
	const struct list *lists[] = {&conn->tx, &conn->sent};

	for (int i = 0; i < 2; i++)
		list_each (it, lists[i])
			if (list_item(it, struct request, link)->fence == fence)
				return true;
	return false;
}

void lock_cut(struct lock *lock)
{
	bool again = true;

	lock->cut = true;
	while (again) {
		again = false;
		list_each (it, &lock->cluster->conns) {
			struct conn *conn = list_item(it, struct conn, link);

			if (!conn_carries(conn, &lock->fence))
				continue;
			conn_fail(conn, "the volume's lock was not renewed in time");
			again = true;
			break;
		}
	}
}

static void lock_submit(struct lock *lock, enum lock_state state, enum msg_type type,
                        void (*done)(struct request *))
{
	struct request *req = &lock->req;

	assert(lock->state == LOCK_IDLE);
	lock->state = state;
	request_init(req, ROUTE_PRIMARY, type);
	req->pool = POOL_META;
	req->oid = lock->oid;
	req->done = done;
	req->arg = lock;
}

/* What stands there is the record of another, or none. */
static void lock_examine(struct lock *lock, const struct lock_record *r)
{
	if (!r || r->holder != lock->record.holder) {
		lock_lose(lock, r ? "another has it now" : "it was removed");
		return;
	}
	if (r->flags & LOCK_REVOKED) {
		lock_lose(lock, "an operator took it back");
		return;
	}
	lock->record.guest = r->guest;
	lock->record.visit = r->visit;
	lock_visit_look(lock);
}

/* The lock may be gone afterwards. */
static void lock_rest(struct lock *lock)
{
	if (lock->state != LOCK_IDLE)
		return;
	pthread_mutex_lock(&lock->mutex);
	lock->idle = true;
	pthread_cond_signal(&lock->cond);
	pthread_mutex_unlock(&lock->mutex);
}

static void lock_looked(struct request *req)
{
	struct lock *lock = req->arg;
	struct lock_record r;
	bool there = req->result == 0 && !(req->reply_flags & MSG_F_ABSENT);
	bool changed = there && req->reply_version != lock->version;

	lock->state = LOCK_IDLE;
	if (req->result == 0 && there) {
		there = lock_record_decode(lock->bytes, &r) == 0;
		if (there && r.holder == lock->record.holder)
			lock->version = req->reply_version;
	}
	if (req->result == 0 && (!there || changed) && !lock->fence.lost && !lock->stopping)
		lock_examine(lock, there ? &r : NULL);
	request_fini(req);
	lock_rest(lock);
}

static void lock_look(struct lock *lock)
{
	lock_submit(lock, LOCK_LOOKING, MSG_OBJ_READ, lock_looked);
	lock->req.rx = lock->bytes;
	lock->req.length = sizeof(lock->bytes);
	request_submit(lock->cluster, &lock->req);
}

static void lock_renewed(struct request *req)
{
	struct lock *lock = req->arg;
	bool done = req->result == 0;
	/* It was repeated and is done, or was changed by another: what stands there says it. */
	bool look = req->result == -ESTALE || (done && !req->reply_version);

	if (done) {
		lock->renewed_ms = lock->sent_ms;
		lock->fence.until_ms = lock->sent_ms + lock->record.lease_ms * 3ull / 4;
		lock->cut = false;
		if (req->reply_version)
			lock->version = req->reply_version;
	}
	lock->state = LOCK_IDLE;
	request_fini(req);
	if (done && !lock->stopping)
		lock_visit_written(lock);
	if (look && !lock->fence.lost && !lock->stopping)
		lock_look(lock);
	lock_rest(lock);
}

void lock_renew(struct lock *lock)
{
	struct request *req = &lock->req;

	lock->record.seq++;
	lock->sent_ms = fence_now_ms();
	lock_record_encode(&lock->record, lock->bytes);
	lock_submit(lock, LOCK_RENEWING, MSG_OBJ_WRITE, lock_renewed);
	req->flags = MSG_F_IF;
	req->base = lock->version;
	req->tx = lock->bytes;
	req->tx_len = sizeof(lock->bytes);
	request_submit(lock->cluster, req);
}

static void lock_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct lock *lock = timer->data;
	uint64_t now = fence_now_ms();

	(void)loop, (void)events;
	if (now >= lock->fence.until_ms && !lock->cut)
		lock_cut(lock);
	if (lock->state != LOCK_IDLE)
		return;
	lock_visit_tick(lock, now);
	if (lock->state != LOCK_IDLE)
		return;
	if (now >= lock->renewed_ms + lock->record.lease_ms / 3)
		lock_renew(lock);
	else
		lock_look(lock);
}

void lock_pace(struct lock *lock, bool fast)
{
	double period = lock->record.lease_ms / 1000.0 / (fast ? 200 : 10);

	if (lock->fence.lost || lock->timer.repeat == period)
		return;
	lock->timer.repeat = period;
	ev_timer_again(lock->cluster->loop, &lock->timer);
}

static void lock_start_io(struct sf_cluster *cluster, void *arg)
{
	struct lock *lock = arg;

	(void)cluster;
	ev_timer_init(&lock->timer, lock_tick, 0, 0);
	lock->timer.data = lock;
	lock_pace(lock, false);
}

void lock_start(struct lock *lock)
{
	pthread_mutex_init(&lock->mutex, NULL);
	pthread_cond_init(&lock->cond, NULL);
	cluster_run(lock->cluster, lock_start_io, lock);
}

static void lock_stop_io(struct sf_cluster *cluster, void *arg)
{
	struct lock *lock = arg;

	ev_timer_stop(cluster->loop, &lock->timer);
	pthread_mutex_lock(&lock->mutex);
	lock->stopping = true;
	lock->idle = lock->state == LOCK_IDLE;
	pthread_mutex_unlock(&lock->mutex);
}

static int lock_give(struct lock *lock)
{
	if (!lock->unsettled)
		return meta_remove(lock->cluster, lock->oid, lock->version);
	lock->record.flags |= LOCK_LEFT;
	lock_record_encode(&lock->record, lock->bytes);
	return meta_swap(lock->cluster, lock->oid, lock->bytes, sizeof(lock->bytes), lock->version,
	                 NULL, &lock->version);
}

/* Leaves it to nobody else's patience. Not ours any more: nothing to do. */
static void lock_give_back(struct lock *lock)
{
	struct lock_record r;
	uint64_t version;

	for (int tries = 0; tries < 5; tries++) {
		if (lock_give(lock) != -ESTALE)
			return;
		if (meta_read(lock->cluster, lock->oid, 0, lock->bytes, sizeof(lock->bytes),
		              &version) < 0 ||
		    !version || lock_record_decode(lock->bytes, &r) < 0 ||
		    r.holder != lock->record.holder)
			return;
		lock->version = version;
	}
}

/* A guest that was let in is not to meet another writer. */
static void lock_wait_for_guest(struct lock *lock)
{
	struct timespec pause = {.tv_nsec = MIN(lock->record.lease_ms / 50, 900u) * 1000000L};
	struct lock_record r;
	uint64_t version;

	while (lock->record.visit == VISIT_GRANTED && !lock->fence.lost &&
	       fence_now_ms() < lock->renewed_ms + lock->record.lease_ms) {
		if (meta_read(lock->cluster, lock->oid, 0, lock->bytes, sizeof(lock->bytes),
		              &version) < 0 ||
		    !version || lock_record_decode(lock->bytes, &r) < 0 ||
		    r.holder != lock->record.holder || r.visit == VISIT_NONE)
			return;
		nanosleep(&pause, NULL);
	}
}

void lock_release(struct lock *lock)
{
	/* Giving a lock back is no work under another. */
	const struct fence *fence = fence_of_thread();
	char why[ERROR_TEXT_LEN];

	if (!lock)
		return;
	fence_set_thread(NULL);
	cluster_run(lock->cluster, lock_stop_io, lock);
	pthread_mutex_lock(&lock->mutex);
	while (!lock->idle)
		pthread_cond_wait(&lock->cond, &lock->mutex);
	pthread_mutex_unlock(&lock->mutex);
	snprintf(why, sizeof(why), "%s", sf_error());
	lock_wait_for_guest(lock);
	lock_give_back(lock);
	fence_set_thread(fence);
	error_set(0, "%s", why); /* whoever releases it may have something to say */
	pthread_cond_destroy(&lock->cond);
	pthread_mutex_destroy(&lock->mutex);
	free(lock);
}

struct lock_question {
	struct lock *lock;
	bool open;
};

static void lock_check_io(struct sf_cluster *cluster, void *arg)
{
	struct lock_question *q = arg;

	(void)cluster;
	q->open = fence_is_open(&q->lock->fence);
}

int lock_check(struct lock *lock)
{
	struct lock_question q = {.lock = lock};

	cluster_run(lock->cluster, lock_check_io, &q);
	return q.open ? 0 : error_set(-ENOLCK, "the volume's lock was lost");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "client/lib/cluster.h"
#include "client/lib/conn.h"

/* What a cluster handle's loop does whatever it waits with (cluster.c: libev). */

struct run_task {
	struct task task;
	struct sf_cluster *cluster;
	void (*fn)(struct sf_cluster *, void *);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void run_task_run(struct task *task)
{
	struct run_task *r = container_of(task, struct run_task, task);

	r->fn(r->cluster, r->arg);
	pthread_mutex_lock(&r->lock);
	r->done = true;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
}

void cluster_run(struct sf_cluster *cluster, void (*fn)(struct sf_cluster *, void *arg), void *arg)
{
	struct run_task r = {
		.task.run = run_task_run,
		.cluster = cluster,
		.fn = fn,
		.arg = arg,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};

	assert(!cluster_is_io_thread(cluster));
	cluster_post(cluster, &r.task);
	pthread_mutex_lock(&r.lock);
	while (!r.done)
		pthread_cond_wait(&r.cond, &r.lock);
	pthread_mutex_unlock(&r.lock);
}

static void draw_random(struct sf_cluster *c, void *arg)
{
	*(uint64_t *)arg = prng_next(&c->prng);
}

uint64_t cluster_random(struct sf_cluster *cluster)
{
	uint64_t value;

	cluster_run(cluster, draw_random, &value);
	return value;
}

void cluster_run_ready(struct sf_cluster *c)
{
	for (struct list *it; (it = list_pop(&c->ready));) {
		struct task *task = list_item(it, struct task, link);

		task->run(task);
	}
	while (!list_empty(&c->dirty))
		conn_flush(list_item(c->dirty.next, struct conn, dirty));
}

/* One that is due; the list may look different afterwards. */
static bool dispatch_due(struct sf_cluster *c, uint64_t now)
{
	list_each (it, &c->delayed) {
		struct request *req = list_item(it, struct request, link);

		if (req->not_before_ms > now && req->deadline_ms > now)
			continue;
		list_remove(&req->link);
		req->state = REQ_IDLE;
		request_dispatch(req);
		return true;
	}
	return false;
}

static bool check_list(struct list *requests, uint64_t now)
{
	list_each (it, requests) {
		if (request_check_time(list_item(it, struct request, link), now))
			return true;
	}
	return false;
}

static bool check_times(struct sf_cluster *c, uint64_t now)
{
	if (check_list(&c->admission, now))
		return true;
	list_each (it, &c->conns) {
		struct conn *conn = list_item(it, struct conn, link);

		if (conn_check_time(conn, now) || check_list(&conn->tx, now) ||
		    check_list(&conn->sent, now))
			return true;
	}
	return false;
}

void cluster_tick(struct sf_cluster *c)
{
	uint64_t now = cluster_now_ms();

	while (dispatch_due(c, now))
		;
	now = cluster_now_ms(); /* not before what was begun just now */
	while (check_times(c, now))
		;
}

double cluster_tick_s(const struct sf_cluster *c)
{
	return !list_empty(&c->delayed) ? TICK_BUSY_S : c->active ? TICK_SLOW_S : 0;
}

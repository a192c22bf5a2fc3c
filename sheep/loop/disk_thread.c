/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/disk_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"
#include "sheep/store/store.h"

struct disk_thread {
	struct list gathered; /* the reactor's: added, not yet kicked */
	struct completions *completions;
	uint64_t disk;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list queue;
	uint64_t adopt; /* cluster to stamp; 0: none */
	bool sleeping, stop, leaving;
	/* ---- */
	struct store *store;
	bool told_failed;
};

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void thread_tell(struct disk_thread *t, enum notice_type type, int result)
{
	struct notice *n = xcalloc(1, sizeof(*n));
	struct list one;

	n->type = type;
	n->disk = t->disk;
	n->result = result;
	list_init(&one);
	list_push(&one, &n->link);
	completions_post(t->completions, &t->completions->notices, &one);
}

/* Waits for work, at most wait_ms. The lock is held. */
static void thread_sleep(struct disk_thread *t, uint32_t wait_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	t->sleeping = true;
	while (list_empty(&t->queue) && !t->adopt && !t->stop)
		if (pthread_cond_timedwait(&t->wake, &t->lock, &until) == ETIMEDOUT)
			break;
	t->sleeping = false;
}

static void thread_work(struct disk_thread *t, struct list *jobs, uint64_t adopt)
{
	if (!list_empty(jobs)) {
		store_execute(t->store, jobs);
		completions_post(t->completions, &t->completions->disk, jobs);
	}
	if (adopt)
		thread_tell(t, NOTICE_ADOPTED, store_adopt(t->store, adopt));
}

/* Background work fails too. */
static void thread_tell_failure(struct disk_thread *t)
{
	if (t->told_failed || !store_failed(t->store))
		return;
	t->told_failed = true;
	thread_tell(t, NOTICE_FAILED, 0);
}

static void *thread_main(void *arg)
{
	struct disk_thread *t = arg;
	uint32_t wait_ms = 0;

	for (;;) {
		struct list jobs;
		list_init(&jobs);
		pthread_mutex_lock(&t->lock);
		if (list_empty(&t->queue) && !t->adopt && !t->stop && wait_ms)
			thread_sleep(t, wait_ms);
		list_splice(&jobs, &t->queue);
		uint64_t adopt = t->adopt;
		t->adopt = 0;
		bool stop = t->stop && list_empty(&jobs) && !adopt;
		pthread_mutex_unlock(&t->lock);
		if (stop)
			break;
		if (!list_empty(&jobs) || adopt) {
			thread_work(t, &jobs, adopt);
			wait_ms = 0;
		} else if (store_failed(t->store) || !store_idle(t->store, clock_ms(), &wait_ms)) {
			wait_ms = wait_ms ? wait_ms : 1000;
		} else {
			wait_ms = 0;
		}
		thread_tell_failure(t);
	}
	store_close(t->store);
	if (t->leaving)
		thread_tell(t, NOTICE_CLOSED, 0);
	return NULL;
}

struct disk_thread *disk_thread_start(struct store *store, struct completions *completions)
{
	struct disk_thread *t = xcalloc(1, sizeof(*t));
	pthread_condattr_t attr;

	t->store = store;
	t->completions = completions;
	t->disk = store_identity(store).disk;
	list_init(&t->gathered);
	list_init(&t->queue);
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&t->thread, NULL, thread_main, t) == 0)
		return t;
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
	return NULL;
}

uint64_t disk_thread_disk(const struct disk_thread *t)
{
	return t->disk;
}

void disk_thread_add(struct disk_thread *t, struct disk_job *job)
{
	list_push(&t->gathered, &job->link);
}

void disk_thread_kick(struct disk_thread *t)
{
	bool wake;

	if (list_empty(&t->gathered))
		return;
	pthread_mutex_lock(&t->lock);
	list_splice(&t->queue, &t->gathered);
	wake = t->sleeping;
	t->sleeping = false;
	pthread_mutex_unlock(&t->lock);
	if (wake)
		pthread_cond_signal(&t->wake);
}

void disk_thread_adopt(struct disk_thread *t, uint64_t cluster)
{
	disk_thread_kick(t);
	pthread_mutex_lock(&t->lock);
	t->adopt = cluster;
	pthread_mutex_unlock(&t->lock);
	pthread_cond_signal(&t->wake);
}

void disk_thread_leave(struct disk_thread *t)
{
	disk_thread_kick(t);
	pthread_mutex_lock(&t->lock);
	t->stop = t->leaving = true;
	pthread_mutex_unlock(&t->lock);
	pthread_cond_signal(&t->wake);
}

void disk_thread_stop(struct disk_thread *t)
{
	if (!t)
		return;
	disk_thread_kick(t);
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_mutex_unlock(&t->lock);
	pthread_cond_signal(&t->wake);
	pthread_join(t->thread, NULL);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->wake);
	free(t);
}

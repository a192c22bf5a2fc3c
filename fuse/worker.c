/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "fuse/memory.h"

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	STAILQ_HEAD(, job) jobs;
	bool stopping;
	unsigned count;
	pthread_t threads[];
};

static void *worker_main(void *arg)
{
	struct workers *w = arg;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (STAILQ_EMPTY(&w->jobs) && !w->stopping)
			pthread_cond_wait(&w->cond, &w->lock);
		job = STAILQ_FIRST(&w->jobs);
		if (!job)
			break;
		STAILQ_REMOVE_HEAD(&w->jobs, link);
		pthread_mutex_unlock(&w->lock);
		job->run(job);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

struct workers *workers_create(unsigned threads)
{
	struct workers *w = memory_zeroed(sizeof(*w) + threads * sizeof(w->threads[0]));

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	STAILQ_INIT(&w->jobs);
	while (w->count < threads &&
	       pthread_create(&w->threads[w->count], NULL, worker_main, w) == 0)
		w->count++;
	if (w->count > 0)
		return w;
	workers_destroy(w);
	return NULL;
}

void workers_post(struct workers *w, struct job *job)
{
	pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->jobs, job, link);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void workers_destroy(struct workers *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

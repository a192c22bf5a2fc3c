/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/compute_pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum { COMPUTE_MIN_BYTES = 512 << 10 };

struct compute_pool {
	struct completions *completions;
	uint32_t count;
	pthread_t *threads;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct list queue;
	bool stop;
};

static void *compute_main(void *arg)
{
	struct compute_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct list *l = list_pop(&pool->queue);
		if (!l && pool->stop)
			break;
		if (!l) {
			pthread_cond_wait(&pool->wake, &pool->lock);
			continue;
		}
		pthread_mutex_unlock(&pool->lock);
		struct compute_job *job = list_item(l, struct compute_job, link);
		struct list one;
		job->run(job);
		list_init(&one);
		list_push(&one, &job->link);
		completions_post(pool->completions, &pool->completions->compute, &one);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct compute_pool *compute_pool_create(uint32_t threads, struct completions *completions)
{
	struct compute_pool *pool = xcalloc(1, sizeof(*pool));

	pool->completions = completions;
	list_init(&pool->queue);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	pool->threads = xcalloc(threads + 1, sizeof(*pool->threads));
	for (; pool->count < threads; pool->count++)
		if (pthread_create(&pool->threads[pool->count], NULL, compute_main, pool) != 0)
			break; /* fewer will do */
	return pool;
}

void compute_pool_destroy(struct compute_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (uint32_t i = 0; i < pool->count; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->wake);
	free(pool->threads);
	free(pool);
}

bool compute_pool_submit(struct compute_pool *pool, struct compute_job *job)
{
	if (!pool->count || job->cost_bytes < COMPUTE_MIN_BYTES)
		return false;
	pthread_mutex_lock(&pool->lock);
	list_push(&pool->queue, &job->link);
	pthread_cond_signal(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	return true;
}

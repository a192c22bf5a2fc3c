/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/completions.h"

void completions_init(struct completions *c, struct ev_loop *loop,
                      void (*arrived)(struct ev_loop *, ev_async *, int), void *arg)
{
	pthread_mutex_init(&c->lock, NULL);
	c->loop = loop;
	c->awake = false;
	list_init(&c->disk);
	list_init(&c->compute);
	list_init(&c->notices);
	ev_async_init(&c->wake, arrived);
	c->wake.data = arg;
	ev_async_start(loop, &c->wake);
}

void completions_fini(struct completions *c)
{
	ev_async_stop(c->loop, &c->wake);
	pthread_mutex_destroy(&c->lock);
}

void completions_post(struct completions *c, struct list *to, struct list *jobs)
{
	bool wake;

	if (list_empty(jobs))
		return;
	pthread_mutex_lock(&c->lock);
	list_splice(to, jobs);
	wake = !c->awake;
	c->awake = true;
	pthread_mutex_unlock(&c->lock);
	if (wake)
		ev_async_send(c->loop, &c->wake);
}

void completions_take(struct completions *c, struct list *disk, struct list *compute,
                      struct list *notices)
{
	list_init(disk);
	list_init(compute);
	list_init(notices);
	pthread_mutex_lock(&c->lock);
	list_splice(disk, &c->disk);
	list_splice(compute, &c->compute);
	list_splice(notices, &c->notices);
	c->awake = false;
	pthread_mutex_unlock(&c->lock);
}

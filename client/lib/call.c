/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/cluster.h"
#include "lib/base/mem.h"

struct call {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void call_done(struct request *req)
{
	struct call *call = req->arg;

	pthread_mutex_lock(&call->lock);
	call->done = true;
	pthread_cond_signal(&call->cond);
	pthread_mutex_unlock(&call->lock);
}

int call_request(struct sf_cluster *cluster, struct request *req)
{
	struct call call = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};

	assert(!cluster_is_io_thread(cluster));
	req->done = call_done;
	req->arg = &call;
	request_submit(cluster, req);
	pthread_mutex_lock(&call.lock);
	while (!call.done)
		pthread_cond_wait(&call.cond, &call.lock);
	pthread_mutex_unlock(&call.lock);
	return req->result < 0 ? error_set(req->result, "%s", req->why) : req->result;
}

static void slot_free(struct batch_slot *slot)
{
	struct batch *b = slot->batch;

	request_fini(&slot->req);
	pthread_mutex_lock(&b->lock);
	list_push_front(&b->free, &slot->link);
	b->busy--;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
}

static void slot_done(struct request *req)
{
	struct batch_slot *slot = req->arg;

	slot->batch->done(slot, slot->batch->arg);
	slot_free(slot);
}

void batch_init(struct batch *b, struct sf_cluster *cluster, uint32_t window, uint32_t memory_bytes,
                void (*done)(struct batch_slot *, void *), void *arg)
{
	assert(!cluster_is_io_thread(cluster));
	*b = (struct batch){.cluster = cluster, .done = done, .arg = arg, .count = window};
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->cond, NULL);
	list_init(&b->free);
	b->slots = xcalloc(window, sizeof(*b->slots));
	for (uint32_t i = 0; i < window; i++) {
		b->slots[i].batch = b;
		if (memory_bytes)
			b->slots[i].memory = xmalloc(memory_bytes);
		list_push(&b->free, &b->slots[i].link);
	}
}

struct batch_slot *batch_take(struct batch *b, enum request_route route, enum msg_type type)
{
	struct batch_slot *slot;

	pthread_mutex_lock(&b->lock);
	while (list_empty(&b->free))
		pthread_cond_wait(&b->cond, &b->lock);
	slot = list_item(list_pop(&b->free), struct batch_slot, link);
	b->busy++;
	pthread_mutex_unlock(&b->lock);
	request_init(&slot->req, route, type);
	slot->req.done = slot_done;
	slot->req.arg = slot;
	return slot;
}

void batch_submit(struct batch_slot *slot)
{
	if (batch_failed(slot->batch))
		slot_free(slot);
	else
		request_submit(slot->batch->cluster, &slot->req);
}

void batch_fail(struct batch_slot *slot)
{
	struct batch *b = slot->batch;

	pthread_mutex_lock(&b->lock);
	if (!b->err) {
		b->err = slot->req.result;
		memcpy(b->why, slot->req.why, sizeof(b->why));
	}
	pthread_mutex_unlock(&b->lock);
}

bool batch_failed(struct batch *b)
{
	bool failed;

	pthread_mutex_lock(&b->lock);
	failed = b->err != 0;
	pthread_mutex_unlock(&b->lock);
	return failed;
}

void batch_wait(struct batch *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->busy > 0)
		pthread_cond_wait(&b->cond, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

int batch_fini(struct batch *b)
{
	batch_wait(b);
	for (uint32_t i = 0; i < b->count; i++)
		free(b->slots[i].memory);
	free(b->slots);
	pthread_cond_destroy(&b->cond);
	pthread_mutex_destroy(&b->lock);
	return b->err ? error_set(b->err, "%s", b->why) : 0;
}

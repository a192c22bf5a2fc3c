/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The time a disk takes. Jobs are carried out in batches, in order; a batch with a durable job
 * ends with a sync, and only then are its jobs answered (group commit). Reads may overtake the
 * batch at work.
 */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/cover.h"
#include "tests/sim/sim_node.h"

enum { BATCH_MAX = 32 };

struct disk_queue {
	uint32_t node, disk;
	struct list waiting; /* struct disk_job.link */
	struct list batch;   /* being carried out */
	uint32_t waiting_count, peak;
	bool busy;
	bool sync; /* at the end of this batch */
};

/* An entry of the world's queue for a disk: one overtaking read, or the batch. */
struct disk_turn {
	struct disk_queue *q;
	uint32_t node, life;
	struct disk_job *job; /* NULL: the batch */
};

struct disk_queue *disk_queue_create(uint32_t node, uint32_t disk)
{
	struct disk_queue *q = xcalloc(1, sizeof(*q));

	q->node = node;
	q->disk = disk;
	list_init(&q->waiting);
	list_init(&q->batch);
	return q;
}

void disk_queue_destroy(struct disk_queue *q)
{
	free(q);
}

uint32_t disk_queue_peak(const struct disk_queue *q)
{
	return q->peak;
}

static struct sim_disk *queue_disk(struct world *w, const struct disk_queue *q)
{
	return &w->nodes[q->node]->disks[q->disk];
}

static void turn_after(struct world *w, struct disk_queue *q, uint64_t delay, world_run *run,
                       struct disk_job *job)
{
	struct disk_turn *t = xmalloc(sizeof(*t));

	*t = (struct disk_turn){q, q->node, sim_node_life(w, q->node), job};
	world_after(w, delay, run, t, free);
}

static void job_answer(struct world *w, struct disk_queue *q, struct disk_job *job)
{
	struct event ev = {.type = EV_DISK_DONE, .disk_job = job};

	w->stats.disk_jobs++;
	world_note(w, job->disk, job->req->type, job->reply->result ^ job->reply->version);
	sim_node_event(w, q->node, &ev);
}

static void job_execute(struct world *w, struct disk_queue *q, struct disk_job *job)
{
	struct cover_job before;

	if (job->req->type == MSG_PG_LIST && w->profile.list_page)
		job->req->length = MIN(job->req->length, (uint64_t)w->profile.list_page);
	cover_job_before(w, q->node, q->disk, job, &before);
	sim_disk_execute(queue_disk(w, q), job);
	cover_job_after(w, q->node, q->disk, job, &before);
}

/* How long the disk takes for what takes that long when it is well. */
static uint64_t disk_time(struct world *w, const struct disk_queue *q, uint64_t us)
{
	const struct sim_disk *d = queue_disk(w, q);

	return d->slow_until_us > w->now_us ? us * d->slow_factor : us;
}

static void batch_start(struct world *w, struct disk_queue *q);

static void batch_done(struct world *w, void *arg)
{
	struct disk_turn *t = arg;
	struct disk_queue *q = t->q;
	struct list *item;

	if (sim_node_defer(w, t->node, batch_done, t, free))
		return;
	if (sim_node_is_life(w, t->node, t->life)) {
		uint32_t life = t->life;

		/* What nobody waits for may become durable all the same. */
		if ((q->sync || draw_below(w, 4) == 0) && !queue_disk(w, q)->failed)
			sim_disk_sync(queue_disk(w, q));
		while (sim_node_is_life(w, t->node, life) && (item = list_pop(&q->batch)))
			job_answer(w, q, list_item(item, struct disk_job, link));
		if (sim_node_is_life(w, t->node, life)) {
			q->busy = false;
			batch_start(w, q);
		}
	}
	free(t);
}

static void batch_start(struct world *w, struct disk_queue *q)
{
	uint64_t delay = 0;

	if (q->busy || list_empty(&q->waiting))
		return;
	q->sync = false;
	for (uint32_t i = 0; i < BATCH_MAX && !list_empty(&q->waiting); i++) {
		struct disk_job *job = list_item(list_pop(&q->waiting), struct disk_job, link);

		q->waiting_count--;
		job_execute(w, q, job);
		q->sync |= sim_disk_request_durable(job->req->type);
		delay += draw_skewed(w, w->profile.disk_min_us, w->profile.disk_max_us);
		list_push(&q->batch, &job->link);
	}
	q->busy = true;
	if (q->sync)
		delay += draw_between(w, w->profile.sync_us / 2, w->profile.sync_us);
	turn_after(w, q, disk_time(w, q, delay), batch_done, NULL);
}

static void overtake_done(struct world *w, void *arg)
{
	struct disk_turn *t = arg;

	if (sim_node_defer(w, t->node, overtake_done, t, free))
		return;
	if (sim_node_is_life(w, t->node, t->life))
		job_answer(w, t->q, t->job);
	free(t);
}

void disk_queue_add(struct world *w, struct disk_queue *q, struct disk_job *job)
{
	if (w->profile.reads_overtake && job->req->type == MSG_SHARD_READ && draw_below(w, 2)) {
		job_execute(w, q, job);
		turn_after(w, q,
		           disk_time(w, q,
		                     draw_skewed(w, w->profile.disk_min_us,
		                                 w->profile.disk_max_us)),
		           overtake_done, job);
		return;
	}
	list_push(&q->waiting, &job->link);
	q->peak = MAX(q->peak, ++q->waiting_count);
	batch_start(w, q);
}

void disk_queue_crash(struct world *w, struct disk_queue *q)
{
	struct sim_disk *d = queue_disk(w, q);
	uint32_t unsynced = sim_disk_unsynced(d), kept = draw_below(w, unsynced + 1);

	w->stats.fault[FAULT_UNSYNCED_LOST] += kept < unsynced;
	w->stats.fault[FAULT_UNSYNCED_TORN] += kept && kept < unsynced;
	sim_disk_crash(d, kept);
	list_init(&q->waiting);
	list_init(&q->batch);
	q->waiting_count = 0;
	q->busy = false;
}

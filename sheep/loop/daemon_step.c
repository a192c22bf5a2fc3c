/* SPDX-License-Identifier: Apache-2.0 */

/* What the node wants done, carried out. */
#include <stdio.h>
#include <time.h>

#include "sheep/loop/daemon_state.h"
#include "lib/base/clock.h"
#include "sheep/loop/system.h"

enum { DISK_ROUNDS = 2 }; /* of disks without threads, before the reactor looks elsewhere */

void daemon_stop(struct daemon *d, int status, const char *why)
{
	if (d->stopping)
		return;
	log_info(d->log, "stopping: %s", why);
	system_notify("STOPPING=1", why);
	d->stopping = true;
	d->exit_status = status;
	snprintf(d->stop_why, sizeof(d->stop_why), "%s", why);
	if (d->joined)
		ev_timer_start(d->loop, &d->linger);
	else
		ev_break(d->loop, EVBREAK_ALL);
}

static void effect_reply(struct daemon *d, uint64_t conn, struct msg *msg)
{
	if (!node_may_answer(d->node, msg, clock_boottime_ms())) {
		payload_fini(&msg->payload);
		msg->result = RES_AGAIN;
	}
	net_reply_client(d->net, conn, msg);
}

static void effect_compute(struct daemon *d, struct compute_job *job)
{
	if (compute_pool_submit(d->compute, job))
		return;
	job->run(job);
	list_push(&d->computed, &job->link);
}

void daemon_adopt(struct daemon *d, uint64_t cluster)
{
	d->info.cluster = cluster;
	if (d->adopting) /* formatted again meanwhile: when that one is through */
		return;
	d->adopt_result = 0;
	d->adopting_cluster = cluster;
	d->adopting = disks_adopt(d->disks, cluster);
}

static void effect_run(struct daemon *d, struct effect *fx)
{
	switch (fx->type) {
	case EFF_SEND:
		net_send_peer(d->net, fx->to, fx->msg);
		break;
	case EFF_REPLY:
		effect_reply(d, fx->to, fx->msg);
		break;
	case EFF_DISK:
		disks_add(d->disks, fx->disk_job);
		break;
	case EFF_COMPUTE:
		effect_compute(d, fx->compute_job);
		break;
	case EFF_PROPOSE:
		d->driver->propose(d->member, fx->expected_cluster, fx->expected_epoch, fx->map);
		map_unref(fx->map);
		break;
	case EFF_ADOPT:
		daemon_adopt(d, fx->cluster);
		break;
	case EFF_PLUG:
		disks_plug(d->disks, fx->text, fx->cluster);
		break;
	case EFF_UNPLUG:
		disks_unplug(d->disks, fx->to, &d->info);
		d->announce = true;
		break;
	case EFF_LOG_LEVEL:
		d->options.set_log_level(d->options.log, fx->status);
		break;
	case EFF_EXIT:
		daemon_stop(d, fx->status, fx->text);
		break;
	}
}

static void daemon_step_once(struct daemon *d, struct event *ev)
{
	ev->now_ms = clock_boottime_ms();
	ev->wall_s = time(NULL);
	d->fx.count = 0;
	ev_idle_start(d->loop, &d->unsent);
	node_step(d->node, ev, &d->fx);
	for (uint32_t i = 0; i < d->fx.count; i++)
		effect_run(d, &d->fx.v[i]);
}

void daemon_step(struct daemon *d, struct event ev)
{
	struct list *l;

	daemon_step_once(d, &ev);
	while ((l = list_pop(&d->computed))) {
		struct event done = {.type = EV_COMPUTE_DONE,
		                     .compute_job = list_item(l, struct compute_job, link)};
		daemon_step_once(d, &done);
	}
}

/* What a finished job gives rise to may be for another disk of ours, so this goes on, but not
 * without a look at the sockets and the clock in between. False: there may be more. */
static bool run_disks(struct daemon *d)
{
	struct list finished, *l;

	for (uint32_t round = 0; round < DISK_ROUNDS; round++) {
		if (!disks_run(d->disks, &finished))
			return true;
		while ((l = list_pop(&finished)))
			daemon_step(d, (struct event){
					       .type = EV_DISK_DONE,
					       .disk_job = list_item(l, struct disk_job, link)});
	}
	return false;
}

/* What leaves may let in more (a client that was held back), whose steps then find `unsent`
 * started again. */
void daemon_before_wait(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct daemon *d = w->data;

	(void)revents;
	bool all_run = run_disks(d);
	ev_idle_stop(loop, &d->unsent);
	if (!all_run)
		ev_idle_start(loop, &d->unsent);
	disks_kick(d->disks);
	net_flush(d->net);
}

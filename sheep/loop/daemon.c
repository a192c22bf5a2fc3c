/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/daemon.h"

#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/tls/key.h"
#include "sheep/loop/daemon_state.h"
#include "sheep/loop/system.h"

enum {
	TICK_MS = 50,
	LEAVE_MS = 3000, /* an orderly leave waits this long for its epoch */
	LINGER_MS = 200, /* for last answers to reach their clients */
	JOIN_MS = 10000, /* a start that is no member by then has failed */
	POOL_BUSY_BYTES = 96 << 20, /* idle payload memory kept while there is work, */
	POOL_IDLE_BYTES = 16 << 20, /* and after QUIET_TICKS without any */
	QUIET_TICKS = 40,
};

/* ---- Events ---- */

static void on_client_msg(void *arg, uint64_t conn, struct msg *msg)
{
	daemon_step(arg, (struct event){.type = EV_CLIENT_MSG, .from = conn, .msg = msg});
}

static void on_client_lost(void *arg, uint64_t conn)
{
	daemon_step(arg, (struct event){.type = EV_CLIENT_LOST, .from = conn});
}

static void on_peer_msg(void *arg, uint64_t node, struct msg *msg)
{
	daemon_step(arg, (struct event){.type = EV_PEER_MSG, .from = node, .msg = msg});
}

static void on_peer_lost(void *arg, uint64_t node)
{
	daemon_step(arg, (struct event){.type = EV_PEER_LOST, .from = node});
}

static bool on_hello(void *arg, const struct msg *hello, char why[256])
{
	struct daemon *d = arg;

	if (!hello->cluster || !d->info.cluster || hello->cluster == d->info.cluster)
		return true;
	snprintf(why, 256, "it belongs to another cluster");
	return false;
}

static void on_map(void *arg, struct map *map)
{
	struct daemon *d = arg;

	for (uint32_t i = 0; i < map->node_count; i++)
		if (map->nodes[i].id != d->info.id)
			net_set_peer(d->net, map->nodes[i].id, map->nodes[i].addr,
			             map->nodes[i].port);
	daemon_step(d, (struct event){.type = EV_MAP, .map = map});
	net_set_cluster(d->net, map->cluster, map->epoch);
	log_info(d->log, "epoch %u: %u nodes", map->epoch, map->node_count);
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	daemon_step(arg, (struct event){.type = EV_LIVE, .live = nodes, .live_count = count});
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct daemon *d = arg;

	daemon_step(d, (struct event){.type = EV_LEASE, .lease_until_ms = proven_ms + lease_ms});
	if (!d->joined && !d->stopping) { /* daemon_create waits for this */
		d->joined = true;
		ev_break(d->loop, EVBREAK_ALL);
	}
}

static void on_proposed(void *arg, int result)
{
	daemon_step(arg, (struct event){.type = EV_PROPOSED, .result = result});
}

static void on_member_failed(void *arg, const char *why)
{
	daemon_stop(arg, 1, why);
}

static void on_adopted(struct daemon *d, const struct notice *n)
{
	if (n->result < 0) {
		log_error(d->log, "disk %016llx: %s", (unsigned long long)n->disk,
		          sf_strerror(n->result));
		d->adopt_result = n->result;
	}
	if (--d->adopting)
		return;
	if (d->adopt_result == 0 && d->adopting_cluster != d->info.cluster) {
		daemon_adopt(d, d->info.cluster);
		return;
	}
	if (d->adopt_result == 0)
		d->adopt_result = d->driver->update(d->member, &d->info);
	daemon_step(d, (struct event){.type = EV_ADOPTED, .result = d->adopt_result});
}

static void on_plugged(struct daemon *d, struct notice *n)
{
	struct event ev;

	disks_plugged(d->disks, n, &d->info, &ev);
	d->announce = d->announce || ev.result == 0;
	daemon_step(d, ev);
}

static void take_notices(struct daemon *d, struct list *notices)
{
	struct list *l;

	while ((l = list_pop(notices))) {
		struct notice *n = list_item(l, struct notice, link);
		switch (n->type) {
		case NOTICE_ADOPTED:
			on_adopted(d, n);
			break;
		case NOTICE_FAILED:
			daemon_step(d, (struct event){.type = EV_DISK_LOST, .from = n->disk});
			break;
		case NOTICE_PLUGGED:
			on_plugged(d, n);
			continue;
		case NOTICE_CLOSED:
			disks_closed(d->disks, n->disk);
			break;
		}
		free(n);
	}
}

static void on_completions(struct ev_loop *loop, ev_async *w, int revents)
{
	struct daemon *d = w->data;
	struct list disk, compute, notices;
	struct list *l;

	(void)loop, (void)revents;
	completions_take(&d->completions, &disk, &compute, &notices);
	while ((l = list_pop(&disk)))
		daemon_step(d, (struct event){.type = EV_DISK_DONE,
		                              .disk_job = list_item(l, struct disk_job, link)});
	while ((l = list_pop(&compute)))
		daemon_step(d,
		            (struct event){.type = EV_COMPUTE_DONE,
		                           .compute_job = list_item(l, struct compute_job, link)});
	take_notices(d, &notices);
}

/* Fresh pages cost more than the copy into them, so buffers are kept while there is work. */
static void pool_adjust(struct daemon *d)
{
	d->quiet_ticks = buf_pool_used_bytes(d->pool) ? 0 : d->quiet_ticks + 1;
	if (d->quiet_ticks == 0)
		buf_pool_keep(d->pool, POOL_BUSY_BYTES);
	else if (d->quiet_ticks == QUIET_TICKS)
		buf_pool_keep(d->pool, POOL_IDLE_BYTES);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	struct daemon *d = w->data;

	daemon_step(d, (struct event){.type = EV_TICK});
	if (d->announce && !d->adopting) {
		d->announce = false;
		d->driver->update(d->member, &d->info);
	}
	disks_idle(d->disks, clock_boottime_ms());
	pool_adjust(d);
}

static void on_leave_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	/* The map could not be changed: too few are left to decide, or the last one has left. All that was acknowledged
	 * is on the disks. */
	daemon_stop(w->data, 0, "asked to stop, but the cluster's map could not be told (is there a quorum?); the others "
	                        "will notice that this node is gone");
}

static void on_linger(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)w, (void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static void on_join_timeout(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	daemon_stop(w->data, 1, "did not become a member in time");
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = w->data;

	(void)revents;
	if (!d->joined) /* nobody knows of it */
		daemon_stop(d, 0, "asked to stop before it had become a member");
	if (ev_is_active(&d->leave)) /* asked twice: at once */
		daemon_stop(d, 0, "asked to stop twice");
	ev_timer_start(loop, &d->leave);
	daemon_step(d, (struct event){.type = EV_STOP});
}

/* Keys change node by node: first all accept the new one, then it comes first everywhere, then the
 * old one goes. */
static void on_hangup(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = w->data;
	struct keys keys;
	char text[512];

	(void)loop, (void)revents;
	if (!d->options.keys)
		return;
	if (keys_read(d->options.key_file, &keys, text) < 0) {
		log_error(d->log, "%s; the keys stay as they were", text);
		return;
	}
	net_set_keys(d->net, &keys);
	log_info(d->log, "%u keys read again; connections made from now on use %s", keys.count, keys.v[0].id);
	keys_wipe(&keys);
}

/* ---- Start and end ---- */

static void fill_info(struct daemon *d)
{
	const struct daemon_options *o = &d->options;

	d->info.id = o->node_id;
	d->info.incarnation = system_random_id(clock_boottime_ms() ^ (uint64_t)getpid() << 40);
	d->info.port = o->port;
	d->info.zone = o->zone;
	d->info.gateway = o->gateway;
	snprintf(d->info.addr, sizeof(d->info.addr), "%s", o->my_addr);
}

static int open_net(struct daemon *d, char text[DAEMON_TEXT_LEN])
{
	struct net_options no = {
		.bind_addr = d->options.bind_addr,
		.port = d->options.port,
		.io_addr = d->options.io_addr,
		.io_port = d->options.io_port,
		.keys = d->options.keys,
		.node = d->info.id,
		.pool = d->pool,
		.log = d->log,
		.loop = d->loop,
	};
	struct net_callbacks cb = {
		.arg = d,
		.client_msg = on_client_msg,
		.client_lost = on_client_lost,
		.peer_msg = on_peer_msg,
		.peer_lost = on_peer_lost,
		.accept_hello = on_hello,
	};
	char why[512] = "";
	int rc = net_create(&no, &cb, &d->net, why);

	if (rc < 0)
		snprintf(text, DAEMON_TEXT_LEN, "%s", why);
	else
		d->info.port = d->options.io_addr ? d->options.io_port : net_port(d->net);
	return rc;
}

static int open_member(struct daemon *d, char text[DAEMON_TEXT_LEN])
{
	struct member_callbacks cb = {
		.arg = d,
		.map = on_map,
		.live = on_live,
		.lease = on_lease,
		.proposed = on_proposed,
		.failed = on_member_failed,
	};
	const char *spec;
	char why[512] = "";

	d->driver = member_driver_find(d->options.cluster, &spec);
	if (!d->driver) {
		snprintf(text, DAEMON_TEXT_LEN,
		         "-c %.300s: the drivers are local[:DIR], zookeeper:HOST:PORT,... and corosync[:CLUSTER]",
		         d->options.cluster);
		return -EINVAL;
	}
	char with_dir[PATH_MAX + 512];
	if (d->driver->keeps_maps) {
		snprintf(with_dir, sizeof(with_dir), "%.400s,dir=%s/maps", spec ? spec : "",
		         d->options.meta_dir);
		spec = with_dir;
	}
	int rc = d->driver->create(spec, &d->info, d->loop, d->log, &cb, &d->member, why);
	if (rc == 0)
		rc = d->driver->join(d->member, why);
	if (rc < 0)
		snprintf(text, DAEMON_TEXT_LEN, "%s", why);
	return rc;
}

static void open_node(struct daemon *d)
{
	struct node_config config = {
		.info = d->info,
		.version = d->options.version,
		.log = d->log,
		.pool = d->pool,
		.recovery_max = d->options.recovery_max,
		.recovery_interval_ms = d->options.recovery_interval_ms,
	};

	disks_config(d->disks, &config);
	d->node = node_create(&config);
}

static void on_unsent(struct ev_loop *loop, ev_idle *w, int revents)
{
	(void)loop, (void)w, (void)revents;
}

static void start_watchers(struct daemon *d)
{
	ev_timer_init(&d->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
	ev_timer_init(&d->leave, on_leave_timeout, LEAVE_MS / 1000., 0.);
	ev_timer_init(&d->linger, on_linger, LINGER_MS / 1000., 0.);
	ev_timer_init(&d->join, on_join_timeout, JOIN_MS / 1000., 0.);
	ev_prepare_init(&d->before_wait, daemon_before_wait);
	ev_signal_init(&d->term, on_signal, SIGTERM);
	ev_signal_init(&d->intr, on_signal, SIGINT);
	ev_signal_init(&d->hup, on_hangup, SIGHUP);
	d->tick.data = d->leave.data = d->before_wait.data = d->term.data = d->intr.data = d;
	d->linger.data = d->join.data = d->hup.data = d;
	ev_timer_start(d->loop, &d->tick);
	ev_prepare_start(d->loop, &d->before_wait);
	ev_signal_start(d->loop, &d->term);
	ev_signal_start(d->loop, &d->intr);
	ev_signal_start(d->loop, &d->hup);
}

/* A start counts as made once the driver has shown us the maps and proved that we are a member. */
static int wait_joined(struct daemon *d, char text[DAEMON_TEXT_LEN])
{
	if (!d->driver->waits)
		ev_timer_start(d->loop, &d->join);
	ev_run(d->loop, 0);
	ev_timer_stop(d->loop, &d->join);
	if (d->joined)
		return 0;
	memcpy(text, d->stop_why, DAEMON_TEXT_LEN);
	return d->exit_status ? -EINVAL : -ECANCELED;
}

int daemon_create(const struct daemon_options *options, struct daemon **ret,
                  char text[DAEMON_TEXT_LEN])
{
	struct daemon *d = xcalloc(1, sizeof(*d));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int rc;

	d->options = *options;
	d->log = options->log;
	d->loop = ev_loop_new(EVFLAG_AUTO);
	d->pool = buf_pool_create(POOL_BUSY_BYTES);
	list_init(&d->computed);
	effects_init(&d->fx);
	completions_init(&d->completions, d->loop, on_completions, d);
	d->compute = compute_pool_create(cores > 0 ? cores / 4 : 0, &d->completions);
	ev_idle_init(&d->unsent, on_unsent);
	fill_info(d);
	rc = disks_open(&d->options, &d->info, &d->completions, &d->disks, text);
	if (rc == 0)
		rc = open_net(d, text);
	if (rc == 0) {
		open_node(d);
		rc = open_member(d, text);
	}
	if (rc == 0) {
		start_watchers(d);
		rc = wait_joined(d, text);
	}
	if (rc < 0) {
		daemon_destroy(d);
		return rc;
	}
	*ret = d;
	return 0;
}

int daemon_run(struct daemon *d)
{
	ev_run(d->loop, 0);
	return d->exit_status;
}

/* What came back after the node was told its last: the jobs are the node's to free. */
static void discard_completions(struct daemon *d)
{
	struct list disk, compute, notices;
	struct list *l;

	completions_take(&d->completions, &disk, &compute, &notices);
	while ((l = list_pop(&notices)))
		free(list_item(l, struct notice, link));
}

void daemon_destroy(struct daemon *d)
{
	if (!d)
		return;
	/* Leave first: the others take over while our disks are being closed. */
	if (d->member) {
		d->driver->leave(d->member);
		d->driver->destroy(d->member);
	}
	net_destroy(d->net);
	disks_close(d->disks);
	compute_pool_destroy(d->compute);
	discard_completions(d);
	node_destroy(d->node);
	completions_fini(&d->completions);
	effects_fini(&d->fx);
	buf_pool_destroy(d->pool);
	/* libev's handlers outlive the loop that they write to. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	ev_loop_destroy(d->loop);
	free(d);
}

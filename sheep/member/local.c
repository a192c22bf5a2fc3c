/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/dir.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/member/local_live.h"
#include "sheep/member/local_register.h"
#include "sheep/member/member.h"

/*
 * Membership on one machine, through a directory (-c local[:DIR]):
 *
 *   DIR/maps/   the register (local_register.h)
 *   DIR/live/   the live set (local_live.h)
 *
 * Two clusters on a machine use two directories. DIR holds the cluster's map and must outlive a restart of the machine, so the
 * default is not under /run or /tmp.
 *
 * A look at both takes place every POLL_MS and whenever inotify tells of a change: newer maps are delivered
 * first, then the live set, and then only a lease, which counts from before the look. So a process that was stopped has no
 * lease until it has seen what it missed.
 */
#define LOCAL_DIR "/var/lib/sheepfold/local"
enum {
	POLL_MS = 100,
	AGAIN_MS = 5, /* a dying process closes its files before its locks are gone */
	LEASE_MS = 1000,
	TAKEN_MS = 2000, /* the same node's former process may still be on its way out */
};

struct member {
	struct member_callbacks callbacks;
	struct ev_loop *loop;
	const struct log *log;
	struct node_info self;
	char dir[PATH_MAX];
	struct local_register reg;
	struct local_live live;
	bool joined;
	bool live_due; /* changed, and not delivered yet */
	bool proposed; /* an outcome is to be delivered */
	int proposed_result;
	int inotify_fd;
	ev_timer poll, again;
	ev_prepare soon; /* never started: fed to look at once, from the loop */
	ev_io inotify;
};

static void member_leave(struct member *m)
{
	if (!m->joined)
		return;
	m->joined = false;
	ev_timer_stop(m->loop, &m->poll);
	ev_timer_stop(m->loop, &m->again);
	ev_io_stop(m->loop, &m->inotify);
	ev_clear_pending(m->loop, &m->soon);
	local_live_leave(&m->live);
}

static void member_fail(struct member *m, const char *what, int err)
{
	char why[sizeof(m->dir) + 256];

	member_leave(m);
	snprintf(why, sizeof(why), "%s in %s: %s", what, m->dir, sf_strerror(err));
	m->callbacks.failed(m->callbacks.arg, why);
}

/* ---- Looking ----------------------------------------------------------------------------------- */

/* Delivers every newer map. False: the driver has failed or left. */
static bool look_at_maps(struct member *m)
{
	struct map *map;
	int got;

	while ((got = local_register_next(&m->reg, &map)) > 0) {
		m->callbacks.map(m->callbacks.arg, map);
		map_unref(map);
		if (!m->joined)
			return false;
	}
	if (got < 0)
		member_fail(m, "the map register cannot be read", got);
	return got == 0;
}

static void deliver_live(struct member *m)
{
	struct node_info *nodes = xcalloc(m->live.count + 1, sizeof(*nodes));
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->live.count; i++) {
		/* Two processes of one node: the one before is about to end. */
		if (count > 0 && nodes[count - 1].id == m->live.files[i].id)
			continue;
		nodes[count++] = m->live.files[i].info;
	}
	m->live_due = false;
	m->callbacks.live(m->callbacks.arg, nodes, count);
	free(nodes);
}

static bool look_at_nodes(struct member *m)
{
	int changed = local_live_poll(&m->live);

	if (changed >= 0 && !local_live_has_self(&m->live)) {
		int err = local_live_announce(&m->live, &m->self);

		log_warn(m->log, "this node's announcement in %s was gone: made again", m->dir);
		changed = err ? err : local_live_poll(&m->live) < 0 ? -EIO : 1;
	}
	if (changed < 0) {
		member_fail(m, "the live set cannot be read", changed);
		return false;
	}
	if (changed || m->live_due)
		deliver_live(m);
	return m->joined;
}

static void look(struct member *m)
{
	uint64_t begun = clock_boottime_ms();

	if (!look_at_maps(m))
		return;
	if (m->proposed) {
		m->proposed = false;
		m->callbacks.proposed(m->callbacks.arg, m->proposed_result);
	}
	if (m->joined && look_at_nodes(m) && local_live_has_self(&m->live))
		m->callbacks.lease(m->callbacks.arg, begun, LEASE_MS);
}

static void on_poll(struct ev_loop *loop, ev_timer *w, int revents)
{
	look(w->data);
}

static void on_soon(struct ev_loop *loop, ev_prepare *w, int revents)
{
	look(w->data);
}

static void on_inotify(struct ev_loop *loop, ev_io *w, int revents)
{
	char events[16 << 10] __attribute__((aligned(8)));
	struct member *m = w->data;

	/* Which file it was does not matter: a look is cheap. */
	while (read(m->inotify_fd, events, sizeof(events)) > 0)
		;
	if (!ev_is_active(&m->again)) {
		ev_timer_set(&m->again, AGAIN_MS / 1000.0, 0.0);
		ev_timer_start(loop, &m->again);
	}
	look(m);
}

/* ---- The driver's face ------------------------------------------------------------------------- */

static void member_destroy(struct member *m)
{
	if (!m)
		return;
	member_leave(m);
	local_live_close(&m->live);
	local_register_close(&m->reg);
	if (m->inotify_fd >= 0)
		close(m->inotify_fd);
	free(m);
}

static int own_dir_make(const char *spec)
{
	/* Only our own default gets its parent made. */
	int err = spec ? 0 : dir_make("/var/lib/sheepfold", 0755);

	return err ? err : dir_make(spec ? spec : LOCAL_DIR, 0700);
}

/* Changes are noticed sooner with it; without it the polls do. */
static void inotify_open(struct member *m)
{
	char path[sizeof(m->dir) + 8];

	m->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (m->inotify_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s/maps", m->dir);
	(void)inotify_add_watch(m->inotify_fd, path, IN_CREATE);
	snprintf(path, sizeof(path), "%s/live", m->dir);
	(void)inotify_add_watch(m->inotify_fd, path, IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE);
}

static int dirs_open(struct member *m, const char *spec)
{
	char path[sizeof(m->dir) + 8];
	int err = own_dir_make(spec);

	if (err)
		return err;
	if (!realpath(spec ? spec : LOCAL_DIR, m->dir))
		return -errno;
	snprintf(path, sizeof(path), "%s/maps", m->dir);
	if (strlen(path) >= sizeof(m->reg.dir))
		return -ENAMETOOLONG;
	err = local_register_open(&m->reg, path, m->self.id);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/live", m->dir);
	return local_live_open(&m->live, path, &m->self);
}

static int member_create(const char *spec, const struct node_info *self, struct ev_loop *loop,
                         const struct log *log, const struct member_callbacks *callbacks,
                         struct member **ret, char text[512])
{
	struct member *m = xcalloc(1, sizeof(*m));
	int err;

	if (spec && !*spec)
		spec = NULL;
	m->callbacks = *callbacks;
	m->loop = loop;
	m->log = log;
	m->self = *self;
	m->reg.dir_fd = m->live.dir_fd = m->live.own_fd = m->inotify_fd = -1;
	ev_timer_init(&m->poll, on_poll, POLL_MS / 1000.0, POLL_MS / 1000.0);
	ev_timer_init(&m->again, on_poll, 0.0, 0.0);
	ev_prepare_init(&m->soon, on_soon);
	m->poll.data = m->again.data = m->soon.data = m->inotify.data = m;
	err = dirs_open(m, spec);
	if (err) {
		snprintf(text, 512, "the cluster directory %s cannot be used: %s (choose one with -c local:DIR)",
		         spec ? spec : LOCAL_DIR, sf_strerror(err));
		member_destroy(m);
		return err;
	}
	inotify_open(m);
	*ret = m;
	return 0;
}

/* Waits for a former process of this node to be gone. */
static int join_alone(struct member *m)
{
	uint64_t end = clock_boottime_ms() + TAKEN_MS;
	struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
	int err;

	for (;;) {
		err = local_live_poll(&m->live);
		if (err < 0)
			return err;
		if (!local_live_id_taken(&m->live))
			return 0;
		if (clock_boottime_ms() > end)
			return -SF_EINUSE;
		nanosleep(&nap, NULL);
	}
}

/* Two that start at the same moment both find themselves alone before: at least one of them sees
 * the other now, and whoever does gives way. */
static int announce_alone(struct member *m)
{
	int err = local_live_announce(&m->live, &m->self);

	if (!err && local_live_poll(&m->live) < 0)
		err = -EIO;
	if (!err && local_live_id_taken(&m->live))
		err = -SF_EINUSE;
	if (err)
		local_live_leave(&m->live);
	return err;
}

/* What precedes the last format is history and delivered to nobody. */
static int skip_history(struct member *m)
{
	struct local_register start = m->reg, before = m->reg;
	struct map *map;
	int got;

	while ((got = local_register_next(&m->reg, &map)) > 0) {
		if (map->epoch == 1)
			start = before;
		before = m->reg;
		map_unref(map);
	}
	m->reg = start;
	return got;
}

static int member_join(struct member *m, char text[512])
{
	int err = skip_history(m);

	if (err) {
		snprintf(text, 512, "the map register in %.300s cannot be read: %s", m->dir, sf_strerror(err));
		return err;
	}
	err = join_alone(m);
	if (!err)
		err = announce_alone(m);
	if (err == -SF_EINUSE) {
		snprintf(text, 512, "a daemon with this node's id is running already (is META_DIR a copy?)");
		return err;
	}
	if (err) {
		snprintf(text, 512, "cannot announce this node in %.300s: %s", m->dir, sf_strerror(err));
		return err;
	}
	m->joined = true;
	m->live_due = true;
	ev_timer_start(m->loop, &m->poll);
	if (m->inotify_fd >= 0) {
		ev_io_init(&m->inotify, on_inotify, m->inotify_fd, EV_READ);
		ev_io_start(m->loop, &m->inotify);
	}
	ev_feed_event(m->loop, &m->soon, EV_CUSTOM);
	return 0;
}

static void member_propose(struct member *m, uint64_t expected_cluster, uint32_t expected_epoch,
                           const struct map *map)
{
	if (!m->joined)
		return; /* it left, or failed: nothing of it may win any more */
	m->proposed_result = local_register_propose(&m->reg, expected_cluster, expected_epoch, map);
	m->proposed = true;
	ev_feed_event(m->loop, &m->soon, EV_CUSTOM);
}

static int member_update(struct member *m, const struct node_info *self)
{
	m->self = *self;
	if (!m->joined)
		return 0;
	ev_feed_event(m->loop, &m->soon, EV_CUSTOM);
	return local_live_announce(&m->live, &m->self);
}

const struct member_driver member_local = {
	.name = "local",
	.create = member_create,
	.join = member_join,
	.propose = member_propose,
	.update = member_update,
	.leave = member_leave,
	.destroy = member_destroy,
};

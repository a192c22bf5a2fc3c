/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The driver for one machine: a directory (register.h) and one lock file per daemon.
 *
 *   node.%016x        what the daemon announces; replaced by rename
 *   node.%016x.lock   locked for the daemon's life: the kernel lets go when the process dies
 *
 * Every POLL_MS: newer maps are delivered first; then, if our own lock still stands, the lease is renewed from the
 * moment before the look; then all lock files are tried. So a process that was stopped has no lease until it has
 * seen what happened meanwhile.
 */
#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/member/member.h"
#include "sheep/member/register.h"

enum { POLL_MS = 100, LEASE_MS = 1000, DIR_LEN = 3500, LOCAL_MAX_NODES = 1024 };
#define DEFAULT_DIR "/run/sheepfold/local"

struct member {
	char dir[DIR_LEN];
	struct node_info self;
	struct ev_loop *loop;
	const struct log *log;
	struct member_callbacks cb;
	ev_timer poll;
	ev_timer answer;          /* the outcome of a proposal, told from the loop */
	int proposal_result;
	int register_fd, own_fd;  /* own_fd: our locked file; -1 before join */
	struct register_pos seen; /* newest map delivered */
	struct node_info *live;
	uint32_t live_count;
	bool live_told, failed;
};

static uint64_t boottime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void local_fail(struct member *m, const char *what, int err)
{
	char why[DIR_LEN + 256];

	if (m->failed)
		return;
	m->failed = true;
	ev_timer_stop(m->loop, &m->poll);
	snprintf(why, sizeof(why), "%s in %s: %s", what, m->dir, sf_strerror(err));
	m->cb.failed(m->cb.arg, why);
}

/* ---- The register ---- */

static bool deliver_maps(struct member *m)
{
	struct register_pos now;
	int rc = register_current(m->dir, &now);

	if (rc < 0) {
		local_fail(m, "cannot read the register's `current`", rc);
		return false;
	}
	if (now.cluster != m->seen.cluster)
		m->seen = (struct register_pos){now.cluster, 0};
	while (m->seen.epoch < now.epoch) {
		struct register_pos next = {now.cluster, m->seen.epoch + 1};
		struct map *map;
		rc = register_map(m->dir, next, &map);
		if (rc == -ENOENT)
			return true; /* formatted over under our eyes: the next look sees the new cluster */
		if (rc < 0) {
			local_fail(m, "cannot read a map of the register", rc);
			return false;
		}
		m->seen = next;
		m->cb.map(m->cb.arg, map);
		map_unref(map);
	}
	return true;
}

static void local_propose(struct member *m, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map)
{
	struct register_pos expected = {expected_cluster, expected_epoch};

	m->proposal_result = register_propose(m->dir, m->register_fd, expected, map);
	ev_timer_start(m->loop, &m->answer);
}

static void on_answer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct member *m = w->data;

	(void)loop, (void)revents;
	/* The map first: whoever proposed it acts on it at once. */
	if (!deliver_maps(m))
		return;
	m->cb.proposed(m->cb.arg, m->proposal_result);
}

/* ---- The live set ---- */

static void lock_path(const struct member *m, uint64_t id, char path[DIR_LEN + 64])
{
	snprintf(path, DIR_LEN + 64, "%s/node.%016llx.lock", m->dir, (unsigned long long)id);
}

/* Whether the path still names the file that fd has open. */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Tries another daemon's lock. A dead one's files are removed while we hold it. */
static bool node_is_alive(const struct member *m, uint64_t id)
{
	char path[DIR_LEN + 64], info[DIR_LEN + 64];
	bool alive = false;

	lock_path(m, id, path);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		alive = errno == EWOULDBLOCK;
	} else if (same_file(fd, path)) {
		snprintf(info, sizeof(info), "%s/node.%016llx", m->dir, (unsigned long long)id);
		unlink(info);
		unlink(path);
	}
	close(fd);
	return alive;
}

static bool read_info(const struct member *m, uint64_t id, struct node_info *ret)
{
	char name[32];
	uint8_t *p;
	size_t len;

	snprintf(name, sizeof(name), "node.%016llx", (unsigned long long)id);
	if (checked_file_read(m->dir, name, &p, &len) < 0)
		return false; /* about to be written */
	int rc = node_info_decode(p, len, ret);
	free(p);
	return rc == 0 && ret->id == id;
}

static int info_compare(const void *a, const void *b)
{
	const struct node_info *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t gather_live(struct member *m, struct node_info *out)
{
	unsigned long long id;
	uint32_t count = 0;
	DIR *d = opendir(m->dir);

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d)) && count < LOCAL_MAX_NODES;) {
		char tail[8] = "";
		if (sscanf(e->d_name, "node.%16llx%7s", &id, tail) != 2 || strcmp(tail, ".lock"))
			continue;
		if (id == m->self.id ? m->own_fd < 0 : !node_is_alive(m, id))
			continue;
		if (read_info(m, id, &out[count]))
			count++;
	}
	closedir(d);
	qsort(out, count, sizeof(*out), info_compare);
	return count;
}

static bool same_live(const struct member *m, const struct node_info *live, uint32_t count)
{
	return m->live_told && count == m->live_count && (!count || !memcmp(live, m->live, count * sizeof(*live)));
}

static void tell_live(struct member *m)
{
	/* Zeroed: compared as bytes. */
	struct node_info *live = xcalloc(LOCAL_MAX_NODES, sizeof(*live));
	uint32_t count = gather_live(m, live);

	if (same_live(m, live, count)) {
		free(live);
		return;
	}
	free(m->live);
	m->live = xrealloc(live, (count + 1) * sizeof(*live));
	m->live_count = count;
	m->live_told = true;
	m->cb.live(m->cb.arg, m->live, count);
}

static bool own_lock_stands(struct member *m)
{
	char path[DIR_LEN + 64];

	lock_path(m, m->self.id, path);
	if (m->own_fd >= 0 && same_file(m->own_fd, path))
		return true;
	local_fail(m, "somebody removed our lock file", -ENOENT);
	return false;
}

static void look(struct member *m)
{
	uint64_t proven_ms = boottime_ms();

	if (m->own_fd < 0 || m->failed || !deliver_maps(m) || !own_lock_stands(m))
		return;
	tell_live(m);
	m->cb.lease(m->cb.arg, proven_ms, LEASE_MS);
}

static void on_poll(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)revents;
	look(w->data);
}

/* ---- Joining and leaving ---- */

static int local_announce(struct member *m)
{
	char name[32];
	uint8_t *p;
	size_t len;

	snprintf(name, sizeof(name), "node.%016llx", (unsigned long long)m->self.id);
	node_info_encode(&m->self, &p, &len);
	int rc = checked_file_write(m->dir, name, p, len);
	free(p);
	return rc;
}

/* Our own lock; another daemon may be looking at (and removing) what a dead predecessor left. */
static int take_own_lock(struct member *m)
{
	char path[DIR_LEN + 64];

	lock_path(m, m->self.id, path);
	for (int i = 0; i < 100; i++) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && same_file(fd, path)) {
			m->own_fd = fd;
			return 0;
		}
		close(fd);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	return -SF_EINUSE;
}

static int local_join(struct member *m, char text[512])
{
	int rc = take_own_lock(m);

	if (rc == 0)
		rc = local_announce(m);
	if (rc < 0) {
		snprintf(text, 512, "cannot join in %.300s: %s", m->dir,
		         rc == -SF_EINUSE ? "a daemon with this node id is running" : sf_strerror(rc));
		return rc;
	}
	ev_timer_start(m->loop, &m->poll);
	return 0;
}

static int local_update(struct member *m, const struct node_info *self)
{
	m->self = *self;
	return local_announce(m);
}

static void local_leave(struct member *m)
{
	char path[DIR_LEN + 64];

	ev_timer_stop(m->loop, &m->poll);
	ev_timer_stop(m->loop, &m->answer);
	if (m->own_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s/node.%016llx", m->dir, (unsigned long long)m->self.id);
	unlink(path);
	lock_path(m, m->self.id, path);
	unlink(path);
	close(m->own_fd);
	m->own_fd = -1;
}

static void local_destroy(struct member *m)
{
	if (!m)
		return;
	local_leave(m);
	if (m->register_fd >= 0)
		close(m->register_fd);
	free(m->live);
	free(m);
}

static int local_create(const char *spec, const struct node_info *self, struct ev_loop *loop, const struct log *log,
                        const struct member_callbacks *callbacks, struct member **ret, char text[512])
{
	struct member *m = xcalloc(1, sizeof(*m));

	snprintf(m->dir, sizeof(m->dir), "%s", spec && *spec ? spec : DEFAULT_DIR);
	m->self = *self;
	m->loop = loop;
	m->log = log;
	m->cb = *callbacks;
	m->own_fd = -1;
	ev_timer_init(&m->poll, on_poll, 0., POLL_MS / 1000.);
	ev_timer_init(&m->answer, on_answer, 0., 0.);
	m->poll.data = m->answer.data = m;
	m->register_fd = register_open(m->dir);
	if (m->register_fd < 0) {
		snprintf(text, 512, "-c local: cannot use directory %.300s: %s", m->dir, sf_strerror(m->register_fd));
		int rc = m->register_fd;
		free(m);
		return rc;
	}
	*ret = m;
	return 0;
}

const struct member_driver member_local = {
	.name = "local",
	.create = local_create,
	.join = local_join,
	.propose = local_propose,
	.update = local_update,
	.leave = local_leave,
	.destroy = local_destroy,
};

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_MEMBER_ACTOR_H
#define SF_TESTS_MEMBER_ACTOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/member/member.h"

/*
 * Each actor is a process of its own, as in life, but for the one that looks on: the test itself.
 */
enum { PATIENCE_MS = 10000, MAX_MAPS = 512, STOPPED_MS = 200 };

struct actor {
	struct ev_loop *loop;
	struct member *member;
	struct node_info info;
	struct map *maps[MAX_MAPS];
	uint32_t map_count;
	uint32_t live_count, leases, proposals;
	uint64_t live[64], live_cluster[64];
	int proposed;
	char failed[600];
	int tell_fd; /* events are also written here, one byte each */
};

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void tell(struct actor *a, char what)
{
	if (a->tell_fd >= 0 && write(a->tell_fd, &what, 1) != 1)
		_exit(3);
}

static inline void on_map(void *arg, struct map *map)
{
	struct actor *a = arg;

	a->maps[a->map_count++ % MAX_MAPS] = map_ref(map);
	tell(a, 'M');
}

static inline void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct actor *a = arg;

	a->live_count = count;
	for (uint32_t i = 0; i < count && i < 64; i++) {
		a->live[i] = nodes[i].id;
		a->live_cluster[i] = nodes[i].cluster;
	}
	tell(a, 'V');
}

static inline void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct actor *a = arg;

	a->leases++;
	/* One that was on its way when the process was stopped still counts from before. */
	tell(a, now_ms() - proven_ms < STOPPED_MS / 2 ? 'L' : 'l');
}

static inline void on_proposed(void *arg, int result)
{
	struct actor *a = arg;

	a->proposed = result;
	a->proposals++;
}

static inline void on_failed(void *arg, const char *why)
{
	snprintf(((struct actor *)arg)->failed, 600, "%s", why);
}

static inline int actor_try_open(struct actor *a, const char *dir, uint64_t id, char text[512])
{
	struct member_callbacks cb = {a, on_map, on_live, on_lease, on_proposed, on_failed};
	static uint64_t incarnations;
	int err;

	memset(a, 0, sizeof(*a));
	a->tell_fd = -1;
	a->loop = ev_loop_new(EVFLAG_AUTO);
	a->info = (struct node_info){.id = id, .incarnation = (uint64_t)getpid() << 20 | ++incarnations,
	                             .addr = "127.0.0.1", .port = 7000, .disk_count = 1};
	a->info.disks[0].id = id + 1000;
	a->info.disks[0].weight = 1;
	err = member_local.create(dir, &a->info, a->loop, NULL, &cb, &a->member, text);
	if (!err)
		err = member_local.join(a->member, text);
	return err;
}

static inline void actor_open(struct actor *a, const char *dir, uint64_t id)
{
	char text[512] = "";
	int err = actor_try_open(a, dir, id, text);

	if (err)
		fprintf(stderr, "%s\n", text);
	assert_int_equal(err, 0);
}

static inline void actor_close(struct actor *a)
{
	member_local.leave(a->member);
	member_local.destroy(a->member);
	for (uint32_t i = 0; i < a->map_count && i < MAX_MAPS; i++)
		map_unref(a->maps[i]);
	ev_loop_destroy(a->loop);
}

#define WAIT_FOR(a, condition)                                                                     \
	do {                                                                                       \
		uint64_t end_ = now_ms() + PATIENCE_MS;                                            \
		while (!(condition)) {                                                             \
			assert_true(now_ms() < end_);                                              \
			ev_run((a)->loop, EVRUN_ONCE);                                             \
		}                                                                                  \
	} while (0)

static inline bool sees(const struct actor *a, uint64_t id)
{
	for (uint32_t i = 0; i < a->live_count; i++) {
		if (a->live[i] == id)
			return true;
	}
	return false;
}

static inline struct map *first_map(uint64_t cluster)
{
	static struct node_info nodes[3];
	struct format_options o = {.cluster = cluster, .now_s = 1, .k = 1, .m = 2, .object_shift = 22,
	                           .grace_ms = 1000};
	char text[FORMAT_TEXT_LEN];
	struct map *map;

	for (uint32_t i = 0; i < 3; i++) {
		nodes[i] = (struct node_info){.id = i + 1, .incarnation = 1, .port = (uint16_t)(7000 + i),
		                              .addr = "127.0.0.1", .zone = i, .disk_count = 1};
		nodes[i].disks[0].id = i + 1001;
		nodes[i].disks[0].weight = 1;
	}
	assert_int_equal(map_format(&o, nodes, 3, &map, text), 0);
	return map;
}

/* A map whose grace period tells who made it. */
static inline struct map *next_map(const struct map *map, uint32_t mark)
{
	struct map_event ev = {.type = MAP_EV_GRACE, .now_s = 2, .grace_ms = mark};
	struct map *next = map_apply(map, &ev);

	assert_non_null(next);
	assert_int_equal(next->epoch, map->epoch + 1);
	return next;
}

static inline const struct map *newest(const struct actor *a)
{
	return a->map_count ? a->maps[(a->map_count - 1) % MAX_MAPS] : NULL;
}

static inline int propose(struct actor *a, uint64_t cluster, uint32_t epoch, struct map *map)
{
	uint32_t before = a->proposals;

	member_local.propose(a->member, cluster, epoch, map);
	map_unref(map);
	assert_int_equal(a->proposals, before); /* never from inside the call */
	WAIT_FOR(a, a->proposals == before + 1);
	return a->proposed;
}

/* Proposes the map after the newest one seen. */
static inline int propose_next(struct actor *a, uint32_t mark)
{
	const struct map *m = newest(a);

	return propose(a, m->cluster, m->epoch, next_map(m, mark));
}

/* ---- Directories and processes ------------------------------------------------------------------ */

static inline int dir_setup(void **state)
{
	char *dir = xstrdup("/tmp/member_local_test.XXXXXX");

	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static inline int dir_teardown(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

static inline uint32_t files_in(const char *dir, const char *sub)
{
	char path[200];
	uint32_t n = 0;
	struct dirent *d;
	DIR *list;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	list = opendir(path);
	assert_non_null(list);
	while ((d = readdir(list)) != NULL)
		n += d->d_name[0] != '.';
	closedir(list);
	return n;
}

/* A process that is a member until it is killed; it tells of its events through *ret_fd. */
static inline pid_t member_process(const char *dir, uint64_t id, int *ret_fd)
{
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static struct actor a;
		char text[512];

		close(fd[0]);
		if (actor_try_open(&a, dir, id, text))
			_exit(2);
		a.tell_fd = fd[1];
		ev_run(a.loop, 0);
		_exit(0);
	}
	close(fd[1]);
	*ret_fd = fd[0];
	return pid;
}

/* The status it ended with. */
static inline int reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline char read_event(int fd)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
	return c;
}

#endif

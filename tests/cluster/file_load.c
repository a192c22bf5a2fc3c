/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/cluster/model.h"

/*
 * usage: file_load [-d] [-n THREADS] [-t SECONDS] [-r SEED] FILE
 * Reads, writes, punches holes and calls fsync at random on a file of fixed size that reads as zeros
 * in the beginning, and checks every byte it reads against a model; at the end all of them. Any
 * error fails it. -d: O_DIRECT. Prints its counts as JSON.
 */
enum { PIECE_MAX = 1 << 20, PIECE_ALIGN = 4096, THREADS_MAX = 64 };

struct load {
	int fd;
	uint64_t size;
	time_t end;
	pthread_mutex_t lock; /* of the model and what follows */
	struct model model;
	bool failed, buffered;
	unsigned long reads, writes, holes, syncs;
	long longest_ms;
};
struct thread {
	struct load *load;
	pthread_t thread;
	unsigned seed;
	uint8_t *data;
	uint32_t *low;
};

static void fail(struct load *l, const char *what, const char *why)
{
	pthread_mutex_lock(&l->lock);
	if (!l->failed)
		fprintf(stderr, "%s: %s\n", what, why);
	l->failed = true;
	pthread_mutex_unlock(&l->lock);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Mostly small ones, mostly in the first quarter, so that they meet. */
static void draw_range(struct thread *t, uint64_t *ret_offset, uint64_t *ret_len)
{
	uint64_t size = t->load->size, pages;
	unsigned kind = (unsigned)rand_r(&t->seed) % 8;
	uint64_t max = kind < 5 ? 1 : kind < 7 ? 16 : PIECE_MAX / PIECE_ALIGN;
	uint64_t len = 1 + (uint64_t)rand_r(&t->seed) % max;

	pages = (rand_r(&t->seed) % 4 ? size / 4 : size) / PIECE_ALIGN;
	if (len > pages)
		len = pages;
	*ret_offset = (uint64_t)rand_r(&t->seed) % (pages - len + 1) * PIECE_ALIGN;
	*ret_len = len * PIECE_ALIGN;
}

static bool changed_since(const struct load *l, uint64_t first, uint64_t count, uint32_t generation)
{
	for (uint64_t i = first; i < first + count; i++)
		if (l->model.issued[i] > generation)
			return true;
	return false;
}

static bool do_read(struct thread *t, uint64_t offset, uint64_t len)
{
	struct load *l = t->load;
	uint64_t first = offset / SECTOR, count = len / SECTOR;
	enum model_wrong how;
	char why[160];
	int64_t wrong;
	uint32_t generation;
	ssize_t n;

	pthread_mutex_lock(&l->lock);
	/* The kernel copies to and from its pages without a lock: a sector that is being written
	 * may be read torn. */
	if (model_busy(&l->model, first, count)) {
		pthread_mutex_unlock(&l->lock);
		return true;
	}
	model_read_begin(&l->model, first, count, t->low);
	generation = l->model.generation;
	pthread_mutex_unlock(&l->lock);
	n = pread(l->fd, t->data, len, (off_t)offset);
	if (n != (ssize_t)len) {
		fail(l, "read", n < 0 ? strerror(errno) : "too short");
		return false;
	}
	pthread_mutex_lock(&l->lock);
	wrong = model_read_end(&l->model, first, count, t->low, t->data, &how, why);
	/* What began meanwhile may have been seen in part. */
	if (wrong >= 0 && l->buffered && changed_since(l, first, count, generation))
		wrong = -1;
	l->reads++;
	pthread_mutex_unlock(&l->lock);
	if (wrong >= 0)
		fail(l, "wrong bytes", why);
	return wrong < 0;
}

static bool do_change(struct thread *t, uint64_t offset, uint64_t len, bool hole)
{
	struct load *l = t->load;
	uint64_t first = offset / SECTOR, count = len / SECTOR;
	uint32_t generation;
	ssize_t n;

	pthread_mutex_lock(&l->lock);
	if (model_busy(&l->model, first, count)) {
		pthread_mutex_unlock(&l->lock);
		return true;
	}
	generation = model_change_begin(&l->model, first, count, hole ? NULL : t->data);
	pthread_mutex_unlock(&l->lock);
	if (hole)
		n = fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		              (off_t)len) == 0
		            ? (ssize_t)len
		            : -1;
	else
		n = pwrite(l->fd, t->data, len, (off_t)offset);
	if (n != (ssize_t)len)
		fail(l, hole ? "punch a hole" : "write", n < 0 ? strerror(errno) : "too short");
	pthread_mutex_lock(&l->lock);
	model_change_end(&l->model, first, count, generation, n == (ssize_t)len);
	if (hole)
		l->holes++;
	else
		l->writes++;
	pthread_mutex_unlock(&l->lock);
	return n == (ssize_t)len;
}

static bool do_sync(struct thread *t)
{
	struct load *l = t->load;

	if (fdatasync(l->fd) < 0) {
		fail(l, "fdatasync", strerror(errno));
		return false;
	}
	pthread_mutex_lock(&l->lock);
	l->syncs++;
	pthread_mutex_unlock(&l->lock);
	return true;
}

static void *thread_run(void *arg)
{
	struct thread *t = arg;
	struct load *l = t->load;
	bool fine = true;

	while (fine && !l->failed && time(NULL) < l->end) {
		uint64_t offset, len;
		int dice = rand_r(&t->seed) % 100;
		long begin = now_ms(), took;

		draw_range(t, &offset, &len);
		if (dice < 45)
			fine = do_read(t, offset, len);
		else if (dice < 94)
			fine = do_change(t, offset, len, false);
		else if (dice < 98)
			fine = do_change(t, offset, len, true);
		else
			fine = do_sync(t);
		took = now_ms() - begin;
		pthread_mutex_lock(&l->lock);
		if (took > l->longest_ms)
			l->longest_ms = took;
		pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

static bool check_all(struct thread *t)
{
	struct load *l = t->load;
	bool fine = true;

	/* Not from the kernel's pages. */
	if (fsync(l->fd) < 0 || posix_fadvise(l->fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		fail(l, "fsync", strerror(errno));
	for (uint64_t at = 0; fine && at < l->size; at += PIECE_MAX)
		fine = do_read(t, at, l->size - at < PIECE_MAX ? l->size - at : PIECE_MAX);
	return fine;
}

static void thread_init(struct thread *t, struct load *l, unsigned seed)
{
	t->load = l;
	t->seed = seed;
	t->data = aligned_alloc(PIECE_ALIGN, PIECE_MAX);
	t->low = calloc(PIECE_MAX / SECTOR, sizeof(t->low[0]));
	if (!t->data || !t->low)
		abort();
}

static void run(struct load *l, struct thread *threads, int count, unsigned seed)
{
	for (int i = 0; i < count; i++) {
		thread_init(&threads[i], l, seed + (unsigned)i);
		if (pthread_create(&threads[i].thread, NULL, thread_run, &threads[i]) != 0)
			abort();
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i].thread, NULL);
	if (!l->failed)
		check_all(&threads[0]);
	for (int i = 0; i < count; i++) {
		free(threads[i].data);
		free(threads[i].low);
	}
}

int main(int argc, char **argv)
{
	struct thread threads[THREADS_MAX];
	struct load l = {.lock = PTHREAD_MUTEX_INITIALIZER};
	int c, count = 8, flags = O_RDWR, seconds = 10;
	unsigned seed = 1;
	struct stat st;

	while ((c = getopt(argc, argv, "dn:t:r:")) != -1) {
		if (c == 'd')
			flags |= O_DIRECT;
		else if (c == 'n')
			count = atoi(optarg);
		else if (c == 't')
			seconds = atoi(optarg);
		else if (c == 'r')
			seed = (unsigned)atoi(optarg);
		else
			return 64;
	}
	if (optind + 1 != argc || count < 1 || count > THREADS_MAX)
		return 64;
	l.fd = open(argv[optind], flags | O_CLOEXEC);
	if (l.fd < 0 || fstat(l.fd, &st) < 0) {
		fprintf(stderr, "%s: %s\n", argv[optind], strerror(errno));
		return 1;
	}
	l.buffered = !(flags & O_DIRECT);
	l.size = (uint64_t)st.st_size / PIECE_ALIGN * PIECE_ALIGN;
	l.end = time(NULL) + seconds;
	model_init(&l.model, seed, l.size / SECTOR);
	run(&l, threads, count, seed);
	if (close(l.fd) < 0)
		fail(&l, "close", strerror(errno));
	model_fini(&l.model);
	printf("{\"reads\": %lu, \"writes\": %lu, \"holes\": %lu, \"syncs\": %lu, \"longest_ms\": %ld}\n",
	       l.reads, l.writes, l.holes, l.syncs, l.longest_ms);
	return l.failed;
}

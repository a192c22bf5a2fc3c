/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A verified workload: random writes, reads and discards of 512 bytes to 1 MiB on one volume, several in flight, every read
 * checked against a model of what the volume may hold (model.h). At the end the whole volume is read and checked.
 *
 * Driven over stdin, one word a line: "stats" prints the counts now; "stop" (or end of file) ends the work.
 * "reset" too, and the longest waits count from now;
 * "pause" waits until nothing is in flight and prints the counts; "go" resumes. Each answer is one line of JSON.
 * Exit code: 0 all was right, 1 something read was wrong, 2 an operation failed (it counts as "maybe"; -e allows any
 * failure, -f those for want of space).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/sheepfold.h"
#include "tests/cluster/model.h"

enum { MAX_SECTORS = (1 << 20) / SECTOR, MAX_SLOTS = 64, SCAN_SECTORS = 2048 };

enum op { OP_READ, OP_WRITE, OP_DISCARD, OP_COUNT };

struct work;
struct slot {
	struct work *work;
	bool used;
	enum op op;
	uint64_t first, count;
	uint32_t generation;
	struct timespec since;
	uint32_t low[MAX_SECTORS];
	uint8_t *data;
};

struct work {
	struct sf_cluster *cluster;
	struct sf_volume *volume;
	struct model model;
	uint64_t random;
	uint32_t slot_count, seconds, delay_us;
	bool errors_allowed, full_allowed;

	pthread_mutex_t lock; /* guards all below, the model too */
	pthread_cond_t changed;
	struct slot slots[MAX_SLOTS];
	uint32_t in_flight;
	bool stopping, paused;
	uint64_t done[OP_COUNT], failed, full, wrong[MODEL_WRONGS];
	double longest_s, longest_op_s;
	struct timespec last_done;
};

static uint64_t random_next(struct work *w, uint64_t limit)
{
	w->random ^= w->random << 13; /* xorshift64 (Marsaglia 2003) */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 11) % limit;
}

static double seconds_since(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
}

static uint64_t wrong_count(const struct work *w)
{
	return w->wrong[MODEL_LOST] + w->wrong[MODEL_STALE] + w->wrong[MODEL_CORRUPT];
}

/* Of one operation, those that still wait too. */
static double longest_op_s(const struct work *w)
{
	double longest = w->longest_op_s;

	for (uint32_t i = 0; i < w->slot_count; i++) {
		double s = w->slots[i].used ? seconds_since(&w->slots[i].since) : 0;

		if (s > longest)
			longest = s;
	}
	return longest;
}

static void print_stats(const struct work *w)
{
	printf("{\"reads\": %" PRIu64 ", \"writes\": %" PRIu64 ", \"discards\": %" PRIu64
	       ", \"failed\": %" PRIu64 ", \"full\": %" PRIu64 ", \"wrong\": %" PRIu64
	       ", \"lost\": %" PRIu64 ", \"stale\": %" PRIu64 ", \"corrupt\": %" PRIu64
	       ", \"retries\": %" PRIu64 ", \"in_flight\": %u, "
	       "\"longest_gap_s\": %.2f, \"longest_op_s\": %.2f}\n",
	       w->done[OP_READ], w->done[OP_WRITE], w->done[OP_DISCARD], w->failed, w->full,
	       wrong_count(w), w->wrong[MODEL_LOST], w->wrong[MODEL_STALE],
	       w->wrong[MODEL_CORRUPT], sf_retries(w->cluster), w->in_flight, w->longest_s,
	       longest_op_s(w));
	fflush(stdout);
}

/* The longest time in which nothing at all was finished. */
static void note_progress(struct work *w)
{
	double gap = seconds_since(&w->last_done);

	if (gap > w->longest_s)
		w->longest_s = gap;
	clock_gettime(CLOCK_MONOTONIC, &w->last_done);
}

static void report_wrong(struct work *w, int64_t sector, enum model_wrong how, const char *why)
{
	w->wrong[how]++;
	if (wrong_count(w) <= 16)
		fprintf(stderr, "workload: sector %" PRId64 " (offset %" PRId64 "): %s\n", sector,
		        sector * SECTOR, why);
}

static void slot_done(void *arg, int result)
{
	struct slot *s = arg;
	struct work *w = s->work;
	enum model_wrong how = MODEL_LOST;
	char why[160];
	int64_t bad = -1;
	double took = seconds_since(&s->since);

	pthread_mutex_lock(&w->lock);
	if (s->op != OP_READ)
		model_change_end(&w->model, s->first, s->count, s->generation, result >= 0);
	else if (result >= 0)
		bad = model_read_end(&w->model, s->first, s->count, s->low, s->data, &how,
		                     why);
	if (bad >= 0)
		report_wrong(w, bad, how, why);
	if (took > w->longest_op_s)
		w->longest_op_s = took;
	if (result == -ENOSPC && w->full_allowed) {
		w->full++;
	} else if (result < 0) {
		w->failed++;
		if (!w->errors_allowed)
			fprintf(stderr,
			        "workload: operation %d of %" PRIu64 " bytes at %" PRIu64
			        " failed: %s\n",
			        s->op, s->count * SECTOR, s->first * SECTOR, strerror(-result));
	} else {
		w->done[s->op]++;
		note_progress(w);
	}
	s->used = false;
	w->in_flight--;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static struct slot *slot_free(struct work *w)
{
	for (uint32_t i = 0; i < w->slot_count; i++)
		if (!w->slots[i].used)
			return &w->slots[i];
	return NULL;
}

/* Mostly small, some up to 1 MiB; some begin where an object does. */
static void choose_range(struct work *w, struct slot *s)
{
	uint64_t limit = w->model.sectors < MAX_SECTORS ? w->model.sectors : MAX_SECTORS;
	uint64_t shape = random_next(w, 10);

	s->count = 1 + random_next(w, shape < 6 ? 16 : shape < 9 ? 256 : limit);
	if (s->count > limit)
		s->count = limit;
	s->first = random_next(w, w->model.sectors - s->count + 1);
	if (shape % 4 == 0)
		s->first &= ~(uint64_t)(8192 - 1);
}

static enum op choose_op(struct work *w)
{
	uint64_t n = random_next(w, 20);

	return n < 9 ? OP_READ : n < 19 ? OP_WRITE : OP_DISCARD;
}

/* With the lock held; returns with it held. */
static void slot_start(struct work *w, struct slot *s)
{
	uint64_t len, offset;

	s->op = choose_op(w);
	choose_range(w, s);
	if (s->op != OP_READ && model_busy(&w->model, s->first, s->count))
		s->op = OP_READ;
	if (s->op == OP_READ)
		model_read_begin(&w->model, s->first, s->count, s->low);
	else
		s->generation = model_change_begin(&w->model, s->first, s->count,
		                                   s->op == OP_WRITE ? s->data : NULL);
	clock_gettime(CLOCK_MONOTONIC, &s->since);
	s->used = true;
	w->in_flight++;
	len = s->count * SECTOR;
	offset = s->first * SECTOR;
	pthread_mutex_unlock(&w->lock);
	if (s->op == OP_READ)
		sf_read_async(w->volume, s->data, len, offset, slot_done, s);
	else if (s->op == OP_WRITE)
		sf_write_async(w->volume, s->data, len, offset, slot_done, s);
	else
		sf_discard_async(w->volume, len, offset, slot_done, s);
	pthread_mutex_lock(&w->lock);
}

static void work_run(struct work *w)
{
	pthread_mutex_lock(&w->lock);
	clock_gettime(CLOCK_MONOTONIC, &w->last_done);
	while (!w->stopping && wrong_count(w) == 0 && (w->errors_allowed || w->failed == 0)) {
		struct slot *s = w->paused ? NULL : slot_free(w);

		if (s == NULL) {
			pthread_cond_wait(&w->changed, &w->lock);
			continue;
		}
		slot_start(w, s);
		if (w->delay_us > 0) {
			struct timespec t = {0, (long)w->delay_us * 1000};

			pthread_mutex_unlock(&w->lock);
			nanosleep(&t, NULL);
			pthread_mutex_lock(&w->lock);
		}
	}
	while (w->in_flight > 0)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* Reads all of the volume against the model. */
static int verify_all(struct work *w)
{
	uint32_t *low = calloc(SCAN_SECTORS, sizeof(*low));
	uint8_t *data = malloc((size_t)SCAN_SECTORS * SECTOR);
	char why[160];
	enum model_wrong how = MODEL_LOST;
	int err = 0;

	for (uint64_t at = 0; at < w->model.sectors && err >= 0; at += SCAN_SECTORS) {
		uint64_t left = w->model.sectors - at,
			 n = left < SCAN_SECTORS ? left : SCAN_SECTORS;
		int64_t bad;

		model_read_begin(&w->model, at, n, low);
		err = sf_read(w->volume, data, n * SECTOR, at * SECTOR);
		if (err < 0) {
			fprintf(stderr, "workload: reading at %" PRIu64 " failed: %s\n",
			        at * SECTOR, strerror(-err));
			w->failed++;
			break;
		}
		bad = model_read_end(&w->model, at, n, low, data, &how, why);
		if (bad >= 0)
			report_wrong(w, bad, how, why);
	}
	free(low);
	free(data);
	return err < 0 ? err : 0;
}

static void command(struct work *w, const char *word)
{
	pthread_mutex_lock(&w->lock);
	if (strcmp(word, "stop") == 0) {
		w->stopping = true;
	} else if (strcmp(word, "pause") == 0) {
		w->paused = true;
		while (w->in_flight > 0)
			pthread_cond_wait(&w->changed, &w->lock);
		print_stats(w);
	} else if (strcmp(word, "go") == 0) {
		w->paused = false;
		clock_gettime(CLOCK_MONOTONIC, &w->last_done);
		w->longest_s = 0;
		print_stats(w);
	} else if (strcmp(word, "reset") == 0) {
		clock_gettime(CLOCK_MONOTONIC, &w->last_done);
		w->longest_s = w->longest_op_s = 0;
		print_stats(w);
	} else {
		print_stats(w);
	}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void *listen_stdin(void *arg)
{
	struct work *w = arg;
	char line[64];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		command(w, line);
	}
	command(w, "stop");
	return NULL;
}

static void slots_init(struct work *w)
{
	for (uint32_t i = 0; i < w->slot_count; i++) {
		w->slots[i].work = w;
		w->slots[i].data = malloc((size_t)MAX_SECTORS * SECTOR);
	}
}

static void slots_fini(struct work *w)
{
	for (uint32_t i = 0; i < w->slot_count; i++)
		free(w->slots[i].data);
}

static void usage(void)
{
	fputs("usage: workload [-a ADDRESS] [-p PORT] [-n IN-FLIGHT] [-s SEED] [-d DELAY-US] [-T TIMEOUT-MS] [-e] [-L]\n"
	      "                [-f] [-m MODEL-FILE] [-v] VOLUME\n"
	      "-m: load the model from there if the file exists, and save it at the end; -v: only verify; -L: with the volume's lock\n",
	      stderr);
	exit(64);
}

struct plan {
	struct sf_options options;
	const char *volume, *model_path;
	uint64_t seed;
	bool verify_only, locked;
};

static bool parse(int argc, char **argv, struct plan *p, struct work *w)
{
	int c;

	while ((c = getopt(argc, argv, "a:p:n:s:d:T:efm:vL")) != -1) {
		switch (c) {
		case 'a':
			p->options.address = optarg;
			break;
		case 'p':
			p->options.port = (uint16_t)atoi(optarg);
			break;
		case 'n':
			w->slot_count = (uint32_t)atoi(optarg);
			break;
		case 's':
			p->seed = strtoull(optarg, NULL, 0);
			break;
		case 'd':
			w->delay_us = (uint32_t)atoi(optarg);
			break;
		case 'T':
			p->options.timeout_ms = (uint32_t)atoi(optarg);
			break;
		case 'e':
			w->errors_allowed = true;
			break;
		case 'f':
			w->full_allowed = true;
			break;
		case 'm':
			p->model_path = optarg;
			break;
		case 'L':
			p->locked = true;
			break;
		case 'v':
			p->verify_only = true;
			break;
		default:
			return false;
		}
	}
	if (optind + 1 != argc || w->slot_count == 0 || w->slot_count > MAX_SLOTS)
		return false;
	p->volume = argv[optind];
	return true;
}

static int model_prepare(struct work *w, const struct plan *p)
{
	struct sf_volume_info info;
	FILE *f = p->model_path != NULL ? fopen(p->model_path, "rb") : NULL;

	sf_volume_get_info(w->volume, &info);
	if (f == NULL) {
		model_init(&w->model, p->seed, info.size_bytes / SECTOR);
		return 0;
	}
	fclose(f);
	return model_load(&w->model, p->model_path);
}

static int work_all(struct work *w, const struct plan *p)
{
	pthread_t listener;

	slots_init(w);
	if (!p->verify_only) {
		pthread_create(&listener, NULL, listen_stdin, w);
		work_run(w);
	}
	if (wrong_count(w) == 0)
		verify_all(w);
	print_stats(w);
	if (p->model_path != NULL && !p->verify_only && model_save(&w->model, p->model_path) < 0)
		fprintf(stderr, "workload: cannot save the model in %s\n", p->model_path);
	if (!p->verify_only) {
		pthread_cancel(listener);
		pthread_join(listener, NULL);
	}
	slots_fini(w);
	if (wrong_count(w) > 0)
		return 1;
	return w->failed > 0 && !w->errors_allowed ? 2 : 0;
}

int main(int argc, char **argv)
{
	static struct work w = {.slot_count = 4};
	struct plan p = {.seed = 1};
	int status;

	if (!parse(argc, argv, &p, &w))
		usage();
	w.random = p.seed * 0x9e3779b97f4a7c15ull | 1;
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.changed, NULL);
	if (sf_connect(&p.options, &w.cluster) < 0 ||
	    (p.locked ? sf_volume_open_write(w.cluster, p.volume, "workload", &w.volume)
	              : sf_volume_open(w.cluster, p.volume, &w.volume)) < 0) {
		fprintf(stderr, "workload: %s\n", sf_error());
		return 2;
	}
	if (model_prepare(&w, &p) < 0) {
		fprintf(stderr, "workload: %s is not a model\n", p.model_path);
		return 2;
	}
	status = work_all(&w, &p);
	model_fini(&w.model);
	sf_volume_close(w.volume);
	sf_disconnect(w.cluster);
	return status;
}

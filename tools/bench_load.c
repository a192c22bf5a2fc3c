/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The load of tools/bench: reads or writes one volume through libsheepfold and prints one line of JSON.
 *
 * Each slot of the window runs on its own: it takes the next request of its stream, and starts the one after from the
 * completion. So the I/O thread of the library does all the work, and no second thread costs a hand-off.
 * Everything read is compared with what was written (tools/bench_data.h).
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "include/sheepfold.h"
#include "tools/bench_data.h"

enum { MAX_STREAMS = 64, MAX_WINDOW = 256 };
enum { FIRST = 0, REWRITTEN = 1 }; /* generations of a block */

enum mode {
	SEQ_WRITE,
	SEQ_READ,
	RAND_WRITE,
	RAND_READ,
	OBJ_WRITE,
	OBJ_READ,
	MODE_COUNT,
};
static const char *const MODE_NAMES[MODE_COUNT] = {
	"seq-write", "seq-read", "rand-write", "rand-read", "object-write", "object-read",
};

struct stream {
	_Atomic uint64_t next; /* request to start next */
	uint64_t end;
};

struct run {
	enum mode mode;
	struct sf_volume *volume;
	struct bench_data *data;
	uint64_t request_bytes, object_bytes;
	uint64_t block_count; /* of the volume, for the random modes */
	uint64_t stride;      /* of the permutation */
	uint64_t deadline_ns; /* 0: none */
	uint64_t *rewritten;  /* bitmap, for reading back; NULL: nothing was */
	struct stream *streams;
	uint32_t *latency_us; /* by request number */
	uint64_t latency_max;

	_Atomic uint64_t done, mismatches, data_ns;
	_Atomic int error;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	uint32_t slots_left; /* under lock */
};

struct slot {
	struct run *run;
	struct stream *stream;
	uint64_t request, started_ns;
	uint8_t *buf;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static bool is_write(enum mode mode)
{
	return mode == SEQ_WRITE || mode == RAND_WRITE || mode == OBJ_WRITE;
}

/* A permutation of the blocks, so that no block has two writes under way. */
static uint64_t random_block(const struct run *r, uint64_t i)
{
	return (uint64_t)(((unsigned __int128)i * r->stride + r->stride / 3) % r->block_count);
}

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t c = a % b;

		a = b;
		b = c;
	}
	return a;
}

static uint64_t offset_of(const struct run *r, uint64_t request)
{
	switch (r->mode) {
	case RAND_WRITE:
	case RAND_READ:
		return random_block(r, request % r->block_count) * BENCH_BLOCK;
	case OBJ_WRITE:
	case OBJ_READ:
		return request * r->object_bytes;
	default:
		return request * r->request_bytes;
	}
}

static uint32_t generation_of(const struct run *r, uint64_t block)
{
	if (r->mode == RAND_WRITE)
		return REWRITTEN;
	if (r->rewritten != NULL && (r->rewritten[block / 64] >> block % 64 & 1))
		return REWRITTEN;
	return FIRST;
}

static void fill(struct slot *s, uint64_t offset)
{
	for (uint64_t at = 0; at < s->run->request_bytes; at += BENCH_BLOCK) {
		uint64_t block = (offset + at) / BENCH_BLOCK;

		bench_data_fill(s->run->data, block, generation_of(s->run, block), s->buf + at);
	}
}

static void check(struct slot *s, uint64_t offset)
{
	for (uint64_t at = 0; at < s->run->request_bytes; at += BENCH_BLOCK) {
		uint64_t block = (offset + at) / BENCH_BLOCK;
		uint32_t generation = generation_of(s->run, block);

		if (bench_data_matches(s->run->data, block, generation, s->buf + at))
			continue;
		if (atomic_fetch_add(&s->run->mismatches, 1) < 8)
			fprintf(stderr, "bench_load: wrong data at offset %" PRIu64 "\n",
			        offset + at);
	}
}

static void slot_leave(struct slot *s)
{
	struct run *r = s->run;

	pthread_mutex_lock(&r->lock);
	if (--r->slots_left == 0)
		pthread_cond_signal(&r->idle);
	pthread_mutex_unlock(&r->lock);
}

static void slot_done(void *arg, int result);

static void slot_next(struct slot *s)
{
	struct run *r = s->run;
	uint64_t offset, before;

	if (r->error != 0 || (r->deadline_ns != 0 && now_ns(CLOCK_MONOTONIC) >= r->deadline_ns)) {
		slot_leave(s);
		return;
	}
	s->request = atomic_fetch_add(&s->stream->next, 1);
	if (s->request >= s->stream->end) {
		atomic_fetch_sub(&s->stream->next, 1);
		slot_leave(s);
		return;
	}
	offset = offset_of(r, s->request);
	if (is_write(r->mode)) {
		before = now_ns(CLOCK_THREAD_CPUTIME_ID);
		fill(s, offset);
		atomic_fetch_add(&r->data_ns, now_ns(CLOCK_THREAD_CPUTIME_ID) - before);
		s->started_ns = now_ns(CLOCK_MONOTONIC);
		sf_write_async(r->volume, s->buf, r->request_bytes, offset, slot_done, s);
	} else {
		s->started_ns = now_ns(CLOCK_MONOTONIC);
		sf_read_async(r->volume, s->buf, r->request_bytes, offset, slot_done, s);
	}
}

static void slot_done(void *arg, int result)
{
	struct slot *s = arg;
	struct run *r = s->run;
	uint64_t took_us = (now_ns(CLOCK_MONOTONIC) - s->started_ns) / 1000, before, nth;

	if (result < 0) {
		atomic_store(&r->error, result);
		slot_leave(s);
		return;
	}
	nth = atomic_fetch_add(&r->done, 1);
	if (nth < r->latency_max)
		r->latency_us[nth] = took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
	if (!is_write(r->mode)) {
		before = now_ns(CLOCK_THREAD_CPUTIME_ID);
		check(s, offset_of(r, s->request));
		atomic_fetch_add(&r->data_ns, now_ns(CLOCK_THREAD_CPUTIME_ID) - before);
	}
	slot_next(s);
}

struct plan {
	enum mode mode;
	const char *volume, *address;
	uint16_t port;
	uint32_t streams, window; /* window: requests under way per stream */
	uint64_t bytes;           /* the part of the volume that is used */
	uint64_t request_bytes, count, rewritten, seed;
	double seconds;
};

static void run_slots(struct run *r, const struct plan *p)
{
	uint32_t count = p->streams * p->window;
	struct slot *slots = calloc(count, sizeof(*slots));

	r->slots_left = count;
	for (uint32_t i = 0; i < count; i++) {
		slots[i].run = r;
		slots[i].stream = &r->streams[i % p->streams];
		slots[i].buf = aligned_alloc(4096, r->request_bytes);
		memset(slots[i].buf, 0xa5, r->request_bytes);
	}
	for (uint32_t i = 0; i < count; i++)
		slot_next(&slots[i]);
	pthread_mutex_lock(&r->lock);
	while (r->slots_left > 0)
		pthread_cond_wait(&r->idle, &r->lock);
	pthread_mutex_unlock(&r->lock);
	for (uint32_t i = 0; i < count; i++)
		free(slots[i].buf);
	free(slots);
}

static void split_streams(struct run *r, const struct plan *p)
{
	uint64_t total = p->count != 0 ? p->count : p->bytes / p->request_bytes;

	r->streams = calloc(p->streams, sizeof(*r->streams));
	for (uint32_t i = 0; i < p->streams; i++) {
		r->streams[i].next = total * i / p->streams;
		r->streams[i].end = total * (i + 1) / p->streams;
	}
	r->latency_max = total;
	r->latency_us = malloc(total * sizeof(*r->latency_us) + 1);
}

static void mark_rewritten(struct run *r, uint64_t count)
{
	r->rewritten = calloc(r->block_count / 64 + 1, sizeof(uint64_t));
	for (uint64_t i = 0; i < count && i < r->block_count; i++) {
		uint64_t block = random_block(r, i);

		r->rewritten[block / 64] |= 1ull << block % 64;
	}
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(const struct run *r, uint64_t n, double p)
{
	return n == 0 ? 0 : r->latency_us[(uint64_t)((double)(n - 1) * p)];
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_result(struct run *r, const struct plan *p, double seconds, double cpu)
{
	uint64_t n = r->done, counted = n < r->latency_max ? n : r->latency_max;
	double bytes = (double)n * (double)r->request_bytes;

	qsort(r->latency_us, counted, sizeof(*r->latency_us), compare_u32);
	printf("{\"mode\": \"%s\", \"streams\": %u, \"in_flight\": %u, \"request_bytes\": %" PRIu64
	       ", \"requests\": %" PRIu64 ", \"bytes\": %.0f, \"seconds\": %.4f, \"mib_s\": %.1f, "
	       "\"ops_s\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"client_cpu_s\": %.4f, "
	       "\"data_cpu_s\": %.4f, \"mismatches\": %" PRIu64 "}\n",
	       MODE_NAMES[r->mode], p->streams, p->streams * p->window, r->request_bytes, n, bytes,
	       seconds, bytes / 1048576 / seconds, (double)n / seconds, percentile(r, counted, 0.5),
	       percentile(r, counted, 0.99), cpu, (double)r->data_ns / 1e9,
	       (uint64_t)r->mismatches);
}

static void run_prepare(struct run *r, const struct plan *p)
{
	struct sf_volume_info info;

	sf_volume_get_info(r->volume, &info);
	r->mode = p->mode;
	r->object_bytes = 1ull << info.object_shift;
	r->request_bytes = p->request_bytes;
	r->block_count = p->bytes / BENCH_BLOCK;
	r->stride = (uint64_t)((double)r->block_count * 0.6180339887) | 1;
	while (greatest_common_divisor(r->stride, r->block_count) != 1)
		r->stride += 2;
	r->data = bench_data_create(p->seed ^ info.id);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
	if (p->rewritten > 0)
		mark_rewritten(r, p->rewritten);
	split_streams(r, p);
}

static void run_fini(struct run *r)
{
	bench_data_destroy(r->data);
	free(r->rewritten);
	free(r->streams);
	free(r->latency_us);
}

static int run_plan(struct sf_cluster *cluster, const struct plan *p)
{
	struct run r = {0};
	double cpu;
	uint64_t start;
	int err = sf_volume_open(cluster, p->volume, &r.volume);

	if (err < 0) {
		fprintf(stderr, "bench_load: %s\n", sf_error());
		return 1;
	}
	run_prepare(&r, p);
	cpu = cpu_seconds();
	start = now_ns(CLOCK_MONOTONIC);
	if (p->seconds > 0)
		r.deadline_ns = start + (uint64_t)(p->seconds * 1e9);
	run_slots(&r, p);
	err = sf_flush(r.volume);
	print_result(&r, p, (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9, cpu_seconds() - cpu);
	if (r.error != 0 || err < 0)
		fprintf(stderr, "bench_load: %s failed: %s\n", MODE_NAMES[p->mode],
		        strerror(r.error != 0 ? -r.error : -err));
	if (r.error != 0 || r.mismatches != 0)
		err = -1;
	sf_volume_close(r.volume);
	run_fini(&r);
	return err < 0;
}

static void usage(void)
{
	fputs("usage: bench_load MODE VOLUME [-a ADDRESS] [-p PORT] [-s STREAMS] [-w WINDOW] [-b BYTES]\n"
	      "                  [-r REQUEST-BYTES] [-n REQUESTS] [-t SECONDS] [-g REWRITTEN] [-S SEED]\n"
	      "MODE: seq-write seq-read rand-write rand-read object-write object-read\n"
	      "-w: requests under way per stream; -g: so many random writes were done before\n",
	      stderr);
	exit(64);
}

static bool parse(int argc, char **argv, struct plan *p)
{
	int c;

	while ((c = getopt(argc, argv, "a:p:s:w:b:r:n:t:g:S:")) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (c) {
		case 'a':
			p->address = optarg;
			break;
		case 'p':
			p->port = (uint16_t)number;
			break;
		case 's':
			p->streams = (uint32_t)number;
			break;
		case 'w':
			p->window = (uint32_t)number;
			break;
		case 'b':
			p->bytes = number;
			break;
		case 'r':
			p->request_bytes = number;
			break;
		case 'n':
			p->count = number;
			break;
		case 't':
			p->seconds = strtod(optarg, NULL);
			break;
		case 'g':
			p->rewritten = number;
			break;
		case 'S':
			p->seed = number;
			break;
		default:
			return false;
		}
	}
	if (optind + 2 != argc)
		return false;
	for (p->mode = 0; p->mode < MODE_COUNT; p->mode++)
		if (strcmp(argv[optind], MODE_NAMES[p->mode]) == 0)
			break;
	p->volume = argv[optind + 1];
	return p->mode < MODE_COUNT && p->streams > 0 && p->streams <= MAX_STREAMS &&
	       p->window > 0 && p->window <= MAX_WINDOW && p->request_bytes > 0 &&
	       p->request_bytes % BENCH_BLOCK == 0 && p->bytes >= BENCH_BLOCK;
}

int main(int argc, char **argv)
{
	struct plan p = {.streams = 1, .window = 16, .request_bytes = 4096, .bytes = 1 << 30};
	struct sf_options options = {0};
	struct sf_cluster *cluster;
	int status;

	if (!parse(argc, argv, &p))
		usage();
	options.address = p.address;
	options.port = p.port;
	if (sf_connect(&options, &cluster) < 0) {
		fprintf(stderr, "bench_load: %s\n", sf_error());
		return 2;
	}
	status = run_plan(cluster, &p);
	sf_disconnect(cluster);
	return status;
}

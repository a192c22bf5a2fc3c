/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Until when was anybody served? One thread for each of the volume's first objects writes it and reads it, again and again, each
 * with one request under way: those whose daemon cannot be reached wait, the others go on asking theirs.
 *
 * Each line on stdin is answered by the moments (CLOCK_MONOTONIC, seconds) at which the last read that was answered and the last
 * write that was acknowledged had been asked for (a busy machine makes answers late, but it makes nobody answer before being
 * asked), and by how many there were. At end of file it ends, when all requests have been answered.
 * Exit code: 1 when a read gave less than what had been acknowledged before, 2 when something failed.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/sheepfold.h"

enum { OBJECTS = 32, OBJECT_BYTES = 4 << 20, BYTES = 4096 };

static struct sf_volume *volume;
static atomic_bool over;
static atomic_uint failed, wrong;

static struct {
	pthread_mutex_t lock;
	double read_s, write_s;
	uint64_t reads, writes;
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void answered(double *last_s, uint64_t *count, double asked_s)
{
	pthread_mutex_lock(&last.lock);
	if (*last_s < asked_s)
		*last_s = asked_s;
	++*count;
	pthread_mutex_unlock(&last.lock);
}

static bool failure(const char *what, uint64_t object)
{
	fprintf(stderr, "askers: %s of object %" PRIu64 ": %s\n", what, object, sf_error());
	failed++;
	return false;
}

/* The only one who writes there: what was acknowledged last is what a read gives. */
static bool ask_once(uint64_t object, uint64_t n)
{
	uint64_t data[BYTES / sizeof(n)] = {n}, got[BYTES / sizeof(n)];
	double asked_s = now_s();

	if (sf_write(volume, data, sizeof(data), object * OBJECT_BYTES) < 0)
		return failure("write", object);
	answered(&last.write_s, &last.writes, asked_s);
	asked_s = now_s();
	if (sf_read(volume, got, sizeof(got), object * OBJECT_BYTES) < 0)
		return failure("read", object);
	answered(&last.read_s, &last.reads, asked_s);
	if (got[0] != n) {
		fprintf(stderr, "askers: object %" PRIu64 ": %" PRIu64 " was acknowledged, %" PRIu64 " is read\n", object, n,
		        got[0]);
		wrong++;
		return false;
	}
	return true;
}

static void *ask(void *arg)
{
	uint64_t object = (uintptr_t)arg, n = 0;

	while (!over && ask_once(object, ++n))
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	return NULL;
}

static void tell(void)
{
	pthread_mutex_lock(&last.lock);
	printf("{\"read\": %.6f, \"write\": %.6f, \"reads\": %" PRIu64 ", \"writes\": %" PRIu64 "}\n", last.read_s,
	       last.write_s, last.reads, last.writes);
	pthread_mutex_unlock(&last.lock);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sf_options options = {.timeout_ms = 120000};
	struct sf_cluster *cluster;
	pthread_t threads[OBJECTS];
	char line[64];

	if (argc != 4) {
		fputs("usage: askers ADDRESS PORT VOLUME\n", stderr);
		return 64;
	}
	options.address = argv[1];
	options.port = (uint16_t)atoi(argv[2]);
	if (sf_connect(&options, &cluster) < 0 || sf_volume_open(cluster, argv[3], &volume) < 0) {
		fprintf(stderr, "askers: %s\n", sf_error());
		return 2;
	}
	for (uintptr_t i = 0; i < OBJECTS; i++)
		pthread_create(&threads[i], NULL, ask, (void *)i);
	while (fgets(line, sizeof(line), stdin))
		tell();
	over = true;
	for (uint32_t i = 0; i < OBJECTS; i++)
		pthread_join(threads[i], NULL);
	sf_volume_close(volume);
	sf_disconnect(cluster);
	return wrong ? 1 : failed ? 2 : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "include/sheepfold.h"

/*
 * Creates volumes v000000, v000001, ... of 1 GiB, several at once; for tools/bench, since a process
 * for each would be most of the time.
 */
enum { THREADS = 16 };

struct creation {
	struct sf_cluster *cluster;
	unsigned count;
	atomic_uint next, failed;
};

static void *create_main(void *arg)
{
	struct creation *c = arg;
	struct sf_volume_options options = {.size_bytes = 1 << 30};
	char name[32];
	unsigned i;

	while ((i = atomic_fetch_add(&c->next, 1)) < c->count) {
		snprintf(name, sizeof(name), "v%06u", i);
		if (sf_volume_create(c->cluster, name, &options) == 0)
			continue;
		fprintf(stderr, "bench_create: %s: %s\n", name, sf_error());
		atomic_fetch_add(&c->failed, 1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sf_options options = {.address = "localhost"};
	struct creation c = {0};
	pthread_t threads[THREADS];

	if (argc != 3) {
		fprintf(stderr, "usage: bench_create PORT COUNT\n");
		return 64;
	}
	options.port = (uint16_t)atoi(argv[1]);
	c.count = (unsigned)atoi(argv[2]);
	if (sf_connect(&options, &c.cluster) < 0) {
		fprintf(stderr, "bench_create: %s\n", sf_error());
		return 2;
	}
	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, create_main, &c) != 0)
			abort();
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	sf_disconnect(c.cluster);
	return c.failed > 0;
}

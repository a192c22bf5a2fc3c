/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/runner.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/math.h"
#include "tests/sim/shrink.h"

enum { JOBS_MAX = 16 };

/* One process and its share of the seeds; memory that outlives it. */
struct worker {
	pid_t pid;
	uint64_t seed; /* at work on this one */
	bool died;     /* at it; another process looks why */
	uint64_t failed;
	struct sim_stats stats;
	struct scenario_result result;
};

uint32_t runner_jobs(void)
{
	return MIN(MAX(sysconf(_SC_NPROCESSORS_ONLN), 1l), 2l);
}

static void seed_failed(const struct runner *r, struct worker *wk, const char *why)
{
	struct scenario_options options = r->options;

	wk->failed++;
	printf("seed %" PRIu64 ": %s\n", wk->seed, why);
	fflush(stdout);
	options.seed = wk->seed;
	if (r->shrink)
		shrink_run(&options);
	fflush(stdout);
}

static void seed_run(const struct runner *r, struct worker *wk)
{
	struct scenario_options options = r->options;

	options.seed = wk->seed;
	scenario_run(&options, &wk->result);
	stats_add(&wk->stats, &wk->result.stats);
	if (wk->result.failed)
		seed_failed(r, wk, wk->result.why);
}

static void worker_run(struct runner *r, struct worker *wk)
{
	if (wk->died) {
		wk->died = false;
		seed_failed(r, wk, "the process died: an assertion, or worse");
		wk->seed += r->jobs;
	}
	/* Memory is used again by the next seed: it need not go back in between. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	r->options.pool = buf_pool_create(128 << 20);
	for (; wk->seed <= r->last; wk->seed += r->jobs)
		seed_run(r, wk);
	fflush(stdout);
	_exit(0);
}

static void worker_start(struct runner *r, struct worker *wk)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		worker_run(r, wk);
	wk->pid = pid; /* by the parent only: the struct is shared */
}

static struct worker *worker_of(struct worker *workers, uint32_t count, pid_t pid)
{
	for (uint32_t i = 0; i < count; i++)
		if (workers[i].pid == pid)
			return &workers[i];
	return NULL;
}

int runner_run(struct runner *r)
{
	size_t size = JOBS_MAX * sizeof(struct worker);
	struct worker *workers = mmap(NULL, size, PROT_READ | PROT_WRITE,
	                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	if (workers == MAP_FAILED)
		return -errno;
	r->jobs = MIN(MAX(r->jobs, 1u), (uint32_t)JOBS_MAX);
	for (uint32_t i = 0; i < r->jobs; i++) {
		workers[i].seed = r->first + i;
		worker_start(r, &workers[i]);
	}
	while ((pid = waitpid(-1, &status, 0)) > 0) {
		struct worker *wk = worker_of(workers, r->jobs, pid);

		if (!wk || status == 0)
			continue;
		wk->died = true;
		worker_start(r, wk);
	}
	for (uint32_t i = 0; i < r->jobs; i++) {
		r->failed += workers[i].failed;
		stats_add(&r->stats, &workers[i].stats);
	}
	munmap(workers, size);
	return 0;
}

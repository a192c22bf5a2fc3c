/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/math.h"

enum { SALTS = 10, TIME_LIMIT_S = 60 };

struct shrink {
	struct scenario_options *options;
	struct scenario_result *result; /* of the last try; shared with its process */
	time_t until;
	uint32_t tries;
	bool wrong; /* the first failure: something was wrong, not just never finished */
};

/* Whether it fails. */
static bool try(struct shrink *s, const struct scenario_options *options)
{
	int status = 0;
	pid_t child;

	s->tries++;
	s->result->fault_count = 0;
	s->result->why[0] = 0;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(2);
		scenario_run(options, s->result);
		_exit(s->result->failed);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

/* Wrong, or (false) not finished within its time. */
static bool is_wrong(const struct scenario_result *r)
{
	static const char *const late[] = {"after healing", "scrub", "final reads", "the cluster"};

	for (uint32_t i = 0; i < ARRAY_LEN(late); i++)
		if (!strncmp(r->why, late[i], strlen(late[i])))
			return false;
	return true;
}

/* Without these too, in some course. Keeps what fails in the same way. */
static bool drop(struct shrink *s, uint64_t faults)
{
	struct scenario_options less = *s->options;
	uint64_t salt = less.salt;

	less.dropped |= faults;
	for (uint32_t i = 0; i < SALTS && time(NULL) < s->until; i++) {
		less.salt = i ? salt + i : salt;
		if (try(s, &less) && is_wrong(s->result) == s->wrong) {
			*s->options = less;
			return true;
		}
	}
	return false;
}

static uint64_t idle_faults(const struct scenario_result *r)
{
	uint64_t idle = 0;

	for (uint32_t i = 0; i < r->fault_count; i++)
		if (!r->faults[i].happened)
			idle |= 1ull << i;
	return idle;
}

static void drop_all(struct shrink *s, uint32_t count)
{
	for (uint32_t chunk = 32; chunk; chunk /= 2) {
		for (uint32_t at = 0; at < count; at += chunk) {
			uint64_t faults = (chunk == 64 ? UINT64_MAX : (1ull << chunk) - 1) << at;

			if (faults & ~s->options->dropped)
				drop(s, faults);
		}
	}
}

static void print(const struct shrink *s)
{
	const struct scenario_options *o = s->options;
	const struct scenario_result *r = s->result;

	printf("  smallest after %u tries: sim --seeds %" PRIu64 " --salt %" PRIu64
	       " --drop %" PRIx64 "%s --trace\n",
	       s->tries, o->seed, o->salt, o->dropped, o->volumes ? " --volumes" : "");
	printf("  %s\n", r->why[0] ? r->why : "an assertion fails");
	for (uint32_t i = 0; i < r->fault_count; i++)
		if (!(o->dropped & 1ull << i) && r->faults[i].happened)
			printf("  fault %u at %.3f s of the work: %s\n", i,
			       r->faults[i].at_us / 1e6, r->faults[i].text);
}

void shrink_run(struct scenario_options *options)
{
	struct shrink s = {.options = options, .until = time(NULL) + TIME_LIMIT_S};
	uint32_t count;

	s.result = mmap(NULL, sizeof(*s.result), PROT_READ | PROT_WRITE,
	                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.result == MAP_FAILED)
		return;
	if (!try(&s, options)) {
		printf("  it does not fail again\n");
	} else {
		count = s.result->fault_count ? s.result->fault_count : FAULTS_MAX;
		s.wrong = is_wrong(s.result);
		drop(&s, idle_faults(s.result));
		drop_all(&s, count);
		try(&s, options);
		print(&s);
	}
	munmap(s.result, sizeof(*s.result));
}

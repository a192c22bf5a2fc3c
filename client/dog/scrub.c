/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/json.h"
#include "client/dog/recover.h"
#include "client/dog/text.h"

enum { POLL_MS = 200, WAIT_MAX_S = 7 * 24 * 3600 };

static unsigned long long ull(uint64_t n)
{
	return (unsigned long long)n;
}

const char *scrub_interval_text(uint32_t seconds, char text[32])
{
	if (seconds % 86400 == 0)
		snprintf(text, 32, "%u day%s", seconds / 86400, seconds == 86400 ? "" : "s");
	else if (seconds % 3600 == 0)
		snprintf(text, 32, "%u h", seconds / 3600);
	else
		snprintf(text, 32, "%u s", seconds);
	return text;
}

static uint64_t scrub_found(const struct sf_scrub *s)
{
	return s->missing + s->damaged + s->stale + s->leftover + s->wrong;
}

/* One line. */
void scrub_print(const struct sf_status *status)
{
	const struct sf_scrub *s = &status->scrub;
	char when[TEXT_TIME_LEN];

	printf("Scrub: ");
	if (s->interval_s == SF_SCRUB_NEVER)
		printf("switched off, ");
	if (s->running)
		printf("%s on %u node%s, ", s->pgs_due ? "under way" : "ending", s->running,
		       s->running == 1 ? "" : "s");
	if (s->pgs_due)
		printf("%u placement groups due, ", s->pgs_due);
	if (s->oldest_s && !s->pgs_never)
		printf("all verified since %s, ", text_time(s->oldest_s, false, when));
	else if (s->newest_s)
		printf("last at %s, ", text_time(s->newest_s, false, when));
	printf("%llu bad parts found and %llu repaired since the daemons started",
	       ull(scrub_found(s)), ull(s->repaired));
	if (s->undecided)
		printf(", %llu objects undecided", ull(s->undecided));
	printf("\n");
}

static void details_print(const struct sf_status *status)
{
	const struct sf_scrub *s = &status->scrub;
	char text[32], when[TEXT_TIME_LEN];

	if (s->interval_s == SF_SCRUB_NEVER)
		printf("Interval: never by itself\n");
	else
		printf("Interval: %s\n", scrub_interval_text(s->interval_s, text));
	printf("Running on: %u node%s\n", s->running, s->running == 1 ? "" : "s");
	printf("Placement groups: %u, %u due now, %u not verified since their daemon started\n",
	       status->pgs_total, s->pgs_due, s->pgs_never);
	if (s->oldest_s)
		printf("Verified longest ago: %s\n", text_time(s->oldest_s, false, when));
	if (s->newest_s)
		printf("Verified last: %s\n", text_time(s->newest_s, false, when));
	printf("Objects verified since the daemons started: %llu\n", ull(s->objects));
	printf("Parts found: %llu missing, %llu damaged, %llu stale, %llu wrong, %llu left over; %llu "
	       "repaired\n",
	       ull(s->missing), ull(s->damaged), ull(s->stale), ull(s->wrong), ull(s->leftover),
	       ull(s->repaired));
	printf("Objects whose parts contradict each other: %llu%s\n", ull(s->undecided),
	       s->undecided ? " (dog cluster recover list)" : "");
	if (s->behind)
		fprintf(stderr, "%u node%s no answer, or an old one.\n", s->behind,
		        s->behind == 1 ? " gave" : "s gave");
}

json_t *json_scrub(const struct sf_scrub *s)
{
	json_t *interval =
		s->interval_s == SF_SCRUB_NEVER ? json_null() : json_integer(s->interval_s);

	return json_pack(
		"{s:o, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"interval_s", interval, "running", (int)s->running, "behind", (int)s->behind, "due",
		(int)s->pgs_due, "never", (int)s->pgs_never, "oldest", (json_int_t)s->oldest_s,
		"newest", (json_int_t)s->newest_s, "objects", (json_int_t)s->objects, "missing",
		(json_int_t)s->missing, "damaged", (json_int_t)s->damaged, "stale",
		(json_int_t)s->stale, "wrong", (json_int_t)s->wrong, "left_over",
		(json_int_t)s->leftover, "repaired", (json_int_t)s->repaired, "undecided",
		(json_int_t)s->undecided);
}

static int details_show(struct dog *dog, const struct sf_status *status)
{
	const struct sf_scrub *s = &status->scrub;

	if (dog->json)
		return json_print(json_scrub(s));
	if (dog->raw)
		printf("%u %u %u %u %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu\n",
		       s->interval_s == SF_SCRUB_NEVER ? 0 : s->interval_s, s->running, s->pgs_due,
		       s->pgs_never, ull(s->oldest_s), ull(s->newest_s), ull(s->objects),
		       ull(s->missing), ull(s->damaged), ull(s->stale), ull(s->wrong),
		       ull(s->leftover), ull(s->repaired), ull(s->undecided));
	else
		details_print(status);
	return DOG_OK;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool scrub_is_over(const struct sf_status *s)
{
	return !s->scrub.running && !s->scrub.pgs_due && !s->scrub.behind && !s->pgs_peering &&
	       s->objects_missing == s->objects_blocked;
}

/* Until all that is due was verified, and repaired. */
static int scrub_wait(struct dog *dog, uint64_t wait_s)
{
	uint64_t end = now_ms() + wait_s * 1000;
	struct sf_status *status;
	int code;

	for (;;) {
		int err = sf_status_get(dog->cluster, &status);
		bool late = now_ms() >= end;

		if (err < 0 && late)
			return dog_fail(err, "get the cluster's status");
		if (err == 0 && (late || scrub_is_over(status)))
			break;
		if (err == 0)
			sf_status_free(status);
		usleep(POLL_MS * 1000);
	}
	code = details_show(dog, status);
	if (!code && !scrub_is_over(status)) {
		fprintf(stderr, "The scrub goes on.\n");
		code = DOG_FAILED;
	} else if (!code && status->scrub.undecided) {
		code = DOG_FAILED;
	}
	sf_status_free(status);
	return code;
}

static int scrub_status(struct dog *dog)
{
	struct sf_status *status;
	int err = sf_status_get(dog->cluster, &status), code;

	if (err < 0)
		return dog_fail(err, "get the cluster's status");
	code = details_show(dog, status);
	sf_status_free(status);
	return code;
}

int cluster_scrub(struct dog *dog, int argc, char **argv)
{
	const char *wait = option_get(dog, "wait"), *what = argc ? argv[0] : "status";
	bool start = strcmp(what, "start") == 0;
	uint64_t wait_s = 0;
	int code, err;

	if (!start && strcmp(what, "status") != 0)
		return dog_usage("dog cluster scrub takes start or status");
	if (wait && text_parse_number(wait, WAIT_MAX_S, &wait_s) < 0)
		return dog_usage("'%.40s' is no number of seconds", wait);
	code = dog_connect(dog);
	if (code)
		return code;
	if (start) {
		err = sf_scrub_start(dog->cluster);
		if (err < 0)
			return dog_fail(err, "start a scrub");
		if (!wait) {
			printf("Every placement group is verified now, one after the other.\n");
			return DOG_OK;
		}
	}
	return wait ? scrub_wait(dog, wait_s) : scrub_status(dog);
}

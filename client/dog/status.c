/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/recover.h"
#include "client/dog/text.h"

enum { POLL_MS = 200, WAIT_MAX_S = 7 * 24 * 3600, DISKS_SHOWN = 4 };

static unsigned long long ull(uint64_t n)
{
	return (unsigned long long)n;
}

/* ", 3 recovering" for what there is. */
static void part_print(uint32_t count, const char *what)
{
	if (count > 0)
		printf(", %u %s", count, what);
}

static void objects_print(const struct sf_status *s)
{
	bool any = false;

	printf("Objects by the failures they survive:\n");
	for (uint32_t r = SF_MAX_REDUNDANCY; r-- > 0;) {
		if (s->objects_by_redundancy[r] == 0)
			continue;
		any = true;
		if (r == 0)
			printf("    none    %llu\n", ull(s->objects_by_redundancy[r]));
		else
			printf("    %-4u    %llu\n", r, ull(s->objects_by_redundancy[r]));
	}
	if (s->objects_unfound > s->objects_lost)
		printf("    unfound %llu\n", ull(s->objects_unfound - s->objects_lost));
	if (s->objects_lost > 0)
		printf("    lost    %llu\n", ull(s->objects_lost));
	if (!any && s->objects_unfound == 0)
		printf("    there are no objects\n");
	if (any && s->objects_unfound == 0)
		printf("    Any object survives %u more failure%s.\n", s->min_redundancy,
		       s->min_redundancy == 1 ? "" : "s");
}

static void recovery_print(const struct sf_status *s)
{
	char rate[TEXT_SIZE_LEN], bytes[TEXT_SIZE_LEN], left[TEXT_SIZE_LEN];

	if (s->objects_missing == 0) {
		printf("Recovery: %s\n",
		       s->health == SF_HEALTH_OK ? "nothing to rebuild" : "none under way");
		return;
	}
	printf("Recovery: %llu objects to rebuild, %s; %llu done; %s/s", ull(s->objects_missing),
	       text_size(s->bytes_missing, false, bytes), ull(s->recovered_objects),
	       text_size(s->recovery_rate_bytes_s, false, rate));
	if (s->recovery_eta_s != ~0ull)
		printf("; %s left", text_span(s->recovery_eta_s, left));
	if (s->objects_blocked > 0)
		printf("; %llu wait for room on their disks", ull(s->objects_blocked));
	printf("\n");
}

/* The first few by name, with the disks that they wait for. */
static void troubles_print(const struct sf_status *s, const struct sf_map *map)
{
	uint64_t all = s->objects_unfound + s->scrub.undecided + s->pgs_down;

	if (s->troubles.count == 0)
		return;
	printf("In need of help:\n");
	for (size_t i = 0; i < s->troubles.count; i++) {
		const struct sf_trouble *t = &s->troubles.v[i];

		printf("    ");
		trouble_print(t);
		for (uint32_t d = 0; d < t->disk_count && d < DISKS_SHOWN; d++) {
			printf("%s", d ? ", " : "; waits for ");
			disk_print(s, map, t->disks[d]);
		}
		if (t->disk_count > DISKS_SHOWN)
			printf(" and %u more", t->disk_count - DISKS_SHOWN);
		printf("\n");
	}
	if (all > s->troubles.count)
		printf("    and %llu more: dog cluster recover list shows all\n",
		       ull(all - s->troubles.count));
}

static void status_print(const struct sf_status *s, const struct sf_map *map)
{
	char used[TEXT_SIZE_LEN], size[TEXT_SIZE_LEN];

	printf("Health: %s\n", sf_health_word(s->health));
	if (*s->advice)
		printf("Advice: %s\n", s->advice);
	printf("Nodes: %u, %u up", s->nodes_total, s->nodes_up);
	part_print(s->nodes_total - s->nodes_up, "down");
	part_print(s->nodes_out, "out");
	part_print(s->nodes_silent, "silent");
	part_print(s->nodes_draining, "draining");
	part_print(s->nodes_maintenance, "in maintenance");
	printf("\nDisks: %u, %u up", s->disks_total, s->disks_up);
	part_print(s->disks_failed, "failed");
	part_print(s->disks_out, "out");
	part_print(s->disks_lost, "given up");
	part_print(s->disks_leaving, "leaving");
	part_print(s->bad_disk_count, "not opened");
	printf("\n");
	if (s->health == SF_HEALTH_UNFORMATTED)
		return;
	if (s->min_live_extra == 0)
		printf("Writes: allowed with no part to spare (dog cluster set min-live k+1 ends this)\n");
	printf("Space: %s used of %s\n", text_size(s->used_bytes, false, used),
	       text_size(s->size_bytes, false, size));
	printf("Epoch: %u\n", s->epoch);
	printf("Placement groups: %u, %u clean", s->pgs_total, s->pgs_clean);
	part_print(s->pgs_recovering, "recovering");
	part_print(s->pgs_degraded, "degraded");
	part_print(s->pgs_peering, "peering");
	part_print(s->pgs_halted, "halted");
	part_print(s->pgs_down, "down");
	printf("\n");
	objects_print(s);
	recovery_print(s);
	scrub_print(s);
	troubles_print(s, map);
}

static void status_print_all(struct dog *dog, const struct sf_status *s)
{
	struct sf_map *map;

	if (sf_map_get(dog->cluster, 0, &map) < 0)
		map = NULL;
	status_print(s, map);
	sf_map_free(map);
}

/* For scripts: one line. */
static void status_print_raw(const struct sf_status *s)
{
	printf("%s %u %u %u %u %u %llu %llu %llu\n", sf_health_word(s->health), s->epoch,
	       s->nodes_total, s->nodes_up, s->pgs_total, s->pgs_clean, ull(s->objects_missing),
	       ull(s->objects_unfound), ull(s->recovery_rate_bytes_s));
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The last status, after health was OK or the time was over. */
static int status_wait(struct dog *dog, uint64_t wait_s, struct sf_status **ret)
{
	uint64_t end = now_ms() + wait_s * 1000;

	for (;;) {
		int err = sf_status_get(dog->cluster, ret);

		if (err < 0 && now_ms() >= end)
			return err;
		if (err == 0) {
			if ((*ret)->health == SF_HEALTH_OK || now_ms() >= end)
				return 0;
			sf_status_free(*ret);
		}
		usleep(POLL_MS * 1000);
	}
}

static int status_show(struct dog *dog, int argc, char **argv)
{
	const char *wait = option_get(dog, "wait");
	struct sf_status *status;
	uint64_t wait_s = 0;
	int code, err;

	if (wait && text_parse_number(wait, WAIT_MAX_S, &wait_s) < 0)
		return dog_usage("'%.40s' is no number of seconds", wait);
	code = dog_connect(dog);
	if (code)
		return code;
	err = wait ? status_wait(dog, wait_s, &status) : sf_status_get(dog->cluster, &status);
	if (err < 0)
		return dog_fail(err, "get the cluster's status");
	if (dog->json)
		code = json_print(json_status(status));
	else if (dog->raw)
		status_print_raw(status);
	else
		status_print_all(dog, status);
	if (wait && !code && status->health != SF_HEALTH_OK)
		code = DOG_FAILED;
	sf_status_free(status);
	return code;
}

static const struct dog_verb verbs[] = {
	{"status",
         "",
         "health, redundancy left, recovery, and what to do next",
         0,
         0,
         status_show,
         {{'w', "wait", "SECONDS",
           "return as soon as health is OK; exit code 1 when the time is over"}}},
	{0},
};
const struct dog_noun dog_status = {"status", "How the cluster is:", verbs};

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/node_view.h"
#include "client/dog/text.h"

enum {
	REFRESH_MS = 500,
	STUCK_TURNS = 20, /* refreshes without a rebuild before it is said that none will come */
};

static double percent_of(uint64_t done, uint64_t total)
{
	return total ? (double)done * 100 / (double)total : 100;
}

/* ---- Once ---- */

static const struct sf_node_progress *progress_of(const struct sf_status *status, uint64_t node)
{
	for (uint32_t i = 0; i < status->node_count; i++)
		if (status->nodes[i].node == node && status->nodes[i].recovering)
			return &status->nodes[i];
	return NULL;
}

static int recovery_list(struct dog *dog, const struct node_view *view,
                         const struct sf_status *status)
{
	json_t *list = json_array(), *value;
	char row[TEXT_ROW_LEN];

	if (!dog->raw && !dog->json)
		printf("Nodes In Recovery:\n  Id   Host:Port         V-Nodes       Zone       Progress\n");
	for (uint32_t i = 0; i < view->count; i++) {
		const struct sf_node_progress *p = progress_of(status, view->living[i]->id);

		if (!p)
			continue;
		if (dog->json) {
			value = json_node(i, view->living[i]);
			json_object_set_new(value, "objects_done",
			                    json_integer((json_int_t)p->done));
			json_object_set_new(value, "objects_total",
			                    json_integer((json_int_t)p->total));
			json_array_append_new(list, value);
			continue;
		}
		text_recovery_row(i, view->living[i], percent_of(p->done, p->total), dog->raw, row);
		printf("%s\n", row);
	}
	if (dog->json)
		return json_print(list);
	json_decref(list);
	return DOG_OK;
}

/* ---- Until it is done ---- */

static void follow_print(const struct sf_status *s)
{
	uint64_t total = s->recovered_objects + s->objects_missing;
	char rate[TEXT_SIZE_LEN], left[TEXT_SIZE_LEN];
	bool terminal = isatty(STDOUT_FILENO);

	printf("%s%5.1f%%  %llu of %llu objects  %s/s", terminal ? "\r" : "",
	       percent_of(s->recovered_objects, total), (unsigned long long)s->recovered_objects,
	       (unsigned long long)total, text_size(s->recovery_rate_bytes_s, false, rate));
	if (s->recovery_eta_s != ~0ull)
		printf("  %s left", text_span(s->recovery_eta_s, left));
	else
		printf("  time left unknown");
	printf("%s", terminal ? "\033[K" : "\n");
	fflush(stdout);
}

static bool is_over(const struct sf_status *s)
{
	return s->health == SF_HEALTH_OK || s->health == SF_HEALTH_UNFORMATTED;
}

/* Nothing rebuilds, and nothing will by itself: neither under way nor waiting for the grace period.
 */
static bool is_stuck(const struct sf_status *s)
{
	return s->health != SF_HEALTH_RECOVERING && s->nodes_waiting == 0;
}

static int follow_end(const struct sf_status *s, uint64_t objects)
{
	if (isatty(STDOUT_FILENO))
		printf("\r\033[K");
	if (!is_over(s)) {
		fprintf(stderr, "Nothing is being rebuilt, and the cluster is %s: %s\n",
		        sf_health_word(s->health), s->advice);
		return DOG_FAILED;
	}
	if (objects > 0)
		printf("Recovery is done: %llu objects rebuilt.\n", (unsigned long long)objects);
	else
		printf("Nothing is recovering.\n");
	return DOG_OK;
}

static int recovery_follow(struct dog *dog)
{
	struct sf_status *status;
	uint64_t objects = 0;
	unsigned stuck = 0;
	int err, code;

	for (;;) {
		err = sf_status_get(dog->cluster, &status);
		if (err < 0)
			return dog_fail(err, "get the state of recovery");
		stuck = is_stuck(status) ? stuck + 1 : 0;
		if (is_over(status) || stuck >= STUCK_TURNS) {
			code = follow_end(status, objects);
			sf_status_free(status);
			return code;
		}
		if (status->recovered_objects + status->objects_missing > objects)
			objects = status->recovered_objects + status->objects_missing;
		follow_print(status);
		sf_status_free(status);
		usleep(REFRESH_MS * 1000);
	}
}

/* ---- Its pace ---- */

static int throttle_set(struct dog *dog, int argc, char **argv)
{
	struct sf_throttle set;
	uint64_t max, interval;
	int code, err;

	if (argc != 3 || text_parse_number(argv[1], 256, &max) < 0 || max == 0 ||
	    text_parse_number(argv[2], 3600000, &interval) < 0)
		return dog_usage("dog node recovery set-throttle takes MAX (1 to 256 objects) and INTERVAL "
		                 "(0 to 3600000 ms)");
	code = dog_connect(dog);
	if (code)
		return code;
	set = (struct sf_throttle){(uint32_t)max, (uint32_t)interval};
	err = sf_node_throttle(dog->cluster, sf_home_node(dog->cluster), &set, NULL);
	return err < 0 ? dog_fail(err, "set the pace of recovery") : DOG_OK;
}

static int throttle_get(struct dog *dog, int argc, const char *verb)
{
	struct sf_throttle now;
	int code, err;

	if (argc != 1)
		return dog_usage("dog node recovery %s takes no more", verb);
	code = dog_connect(dog);
	if (code)
		return code;
	err = sf_node_throttle(dog->cluster, sf_home_node(dog->cluster), NULL, &now);
	if (err < 0)
		return dog_fail(err, "get the pace of recovery");
	if (dog->json)
		return json_print(json_pack("{s:i, s:i}", "max", (int)now.max, "interval_ms",
		                            (int)now.interval_ms));
	printf(dog->raw ? "%u %u\n" : "max: %u, interval: %u ms\n", now.max, now.interval_ms);
	return DOG_OK;
}

int node_recovery(struct dog *dog, int argc, char **argv)
{
	struct sf_status *status;
	struct node_view view;
	int code, err;

	if (argc > 0 && strcmp(argv[0], "set-throttle") == 0)
		return throttle_set(dog, argc, argv);
	if (argc > 0 && strcmp(argv[0], "get-throttle") == 0)
		return throttle_get(dog, argc, argv[0]);
	if (argc > 1 || (argc == 1 && strcmp(argv[0], "info") != 0))
		return dog_usage("dog node recovery takes info, set-throttle, get-throttle, or nothing");
	code = node_view_get(dog, &view);
	if (code)
		return code;
	if (option_get(dog, "progress")) {
		node_view_fini(&view);
		return recovery_follow(dog);
	}
	err = sf_status_get(dog->cluster, &status);
	if (err < 0) {
		node_view_fini(&view);
		return dog_fail(err, "get the state of recovery");
	}
	code = recovery_list(dog, &view, status);
	sf_status_free(status);
	node_view_fini(&view);
	return code;
}

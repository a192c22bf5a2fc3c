/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/check.h"
#include "client/dog/cluster_snapshot.h"
#include "client/dog/dog.h"
#include "client/dog/json.h"
#include "client/dog/node_view.h"
#include "client/dog/recover.h"
#include "client/dog/text.h"
#include "client/dog/vdi.h"

/* ---- format ---- */

static int format_options(struct dog *dog, struct sf_format_options *o)
{
	const char *copies = option_get(dog, "copies"),
		   *shift = option_get(dog, "block_size_shift");
	const char *grace = option_get(dog, "grace"), *store = option_get(dog, "store");
	uint64_t n;

	if (copies && sf_redundancy_parse(copies, &o->redundancy) < 0)
		return dog_usage("%s", sf_error());
	if (store && strcmp(store, "plain") != 0)
		return dog_usage("'%.40s' is no store; there is one, plain", store);
	if (shift) {
		if (text_parse_number(shift, 63, &n) < 0 || n == 0)
			return dog_usage("'%.40s' is no block size shift; 22 makes objects of 4 MiB",
			                 shift);
		o->object_shift = (uint32_t)n;
	}
	if (grace && (text_parse_duration_ms(grace, &o->grace_ms) < 0 || o->grace_ms == 0))
		return dog_usage("'%.40s' is no time: give 500ms, 10s, 5m, 2h", grace);
	o->same_node_ok = option_get(dog, "same-node") != NULL;
	o->force = option_get(dog, "force") != NULL;
	return 0;
}

/* Asks before it wipes a cluster. 0: go on. */
static int format_confirm(struct dog *dog, struct sf_format_options *o)
{
	struct sf_map *map;
	char answer[16];
	bool formatted;
	int err = sf_map_get(dog->cluster, 0, &map);

	if (err < 0)
		return dog_fail(err, "look at the cluster");
	formatted = map->formatted;
	sf_map_free(map);
	if (!formatted || o->force)
		return 0;
	printf("The cluster is formatted already. All its volumes will be lost. Are you sure you want to "
	       "continue? [yes/no]: ");
	fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0) {
		fprintf(stderr, "Nothing was changed.\n");
		return DOG_FAILED;
	}
	o->force = true;
	return 0;
}

static int cluster_format(struct dog *dog, int argc, char **argv)
{
	struct sf_format_options o = {0};
	char *warning = NULL;
	int code = format_options(dog, &o), err;

	if (!code)
		code = dog_connect(dog);
	if (!code)
		code = format_confirm(dog, &o);
	if (code)
		return code;
	err = sf_format(dog->cluster, &o, &warning);
	if (err < 0)
		return dog_fail(err, "format the cluster");
	printf("using backend plain store\n");
	if (*warning)
		fprintf(stderr, "Warning: %s\n", warning);
	free(warning);
	return DOG_OK;
}

/* ---- info ---- */

static const char *status_sentence(const struct sf_map *map, enum sf_health health)
{
	if (!map->formatted)
		return "Waiting for cluster to be formatted";
	if (map->shutting_down)
		return "System is shutting down";
	if (health == SF_HEALTH_HALTED)
		return "IO has halted as there are not enough living nodes";
	return map->recovery_enabled ? "running, auto-recovery enabled"
	                             : "running, auto-recovery disabled";
}

static enum sf_health health_get(struct dog *dog)
{
	struct sf_status *status;
	enum sf_health health;

	if (sf_status_get(dog->cluster, &status) < 0)
		return SF_HEALTH_OK;
	health = status->health;
	sf_status_free(status);
	return health;
}

static void info_pools(const struct sf_map *map)
{
	char copies[32];

	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct sf_pool *p = &map->pools[i];

		sf_redundancy_format(p->redundancy, copies);
		printf("Pool %u: redundancy %s, %u placement groups, block size shift %u\n", p->id,
		       copies, p->pg_count, p->object_shift);
	}
	printf("Grace period: %u.%u s\n", map->grace_ms / 1000, map->grace_ms % 1000 / 100);
	if (map->scrub_interval_s == SF_SCRUB_NEVER)
		printf("Scrub: never by itself\n");
	else
		printf("Scrub: every %s\n", scrub_interval_text(map->scrub_interval_s, copies));
	if (map->min_live_extra == 1)
		printf("Writes need: k+1 parts alive\n");
}

static void info_epoch(const struct dog *dog, const struct sf_map *map)
{
	char when[TEXT_TIME_LEN], *nodes = text_epoch_nodes(map);

	printf(dog->raw ? "%s %u %s\n" : "%s %6u %s\n", text_time(map->changed_s, dog->raw, when),
	       map->epoch, nodes);
	free(nodes);
}

/* Newest first, back to the oldest that the cluster still keeps. */
static void info_epochs(struct dog *dog, const struct sf_map *newest, json_t *list)
{
	for (uint32_t epoch = newest->epoch; epoch > 0; epoch--) {
		struct sf_map *old;

		if (epoch == newest->epoch) {
			if (list)
				json_array_append_new(list, json_map(newest));
			else
				info_epoch(dog, newest);
			continue;
		}
		if (sf_map_get(dog->cluster, epoch, &old) < 0)
			return;
		if (list)
			json_array_append_new(list, json_map(old));
		else
			info_epoch(dog, old);
		sf_map_free(old);
	}
}

static int info_json(struct dog *dog, const struct sf_map *map, const char *sentence)
{
	json_t *epochs = json_array(), *value;

	if (map->formatted)
		info_epochs(dog, map, epochs);
	value = json_map(map);
	json_object_set_new(value, "status", json_string(sentence));
	json_object_set_new(value, "epochs", epochs);
	return json_print(value);
}

static int cluster_info(struct dog *dog, int argc, char **argv)
{
	const char *sentence;
	struct sf_map *map;
	char created[64];
	time_t t;
	int code = dog_connect(dog), err;

	if (code)
		return code;
	err = sf_map_get(dog->cluster, 0, &map);
	if (err < 0)
		return dog_fail(err, "get the cluster's state");
	sentence = status_sentence(map, map->formatted ? health_get(dog) : SF_HEALTH_UNFORMATTED);
	if (dog->json) {
		code = info_json(dog, map, sentence);
		sf_map_free(map);
		return code;
	}
	printf(dog->raw ? "%s\n" : "Cluster status: %s\n", sentence);
	if (map->formatted) {
		t = (time_t)map->created_s;
		if (dog->raw)
			printf("%llu\n", (unsigned long long)map->created_s);
		else
			printf("\nCluster created at %s\n", ctime_r(&t, created) ? created : "?\n");
		if (map->min_live_extra != 1 && !dog->raw)
			printf("Writes need: k+%u parts alive%s\n\n", map->min_live_extra,
			       map->min_live_extra ? "" : ", none to spare (min-live k)");
		if (dog->verbose && !dog->raw) {
			info_pools(map);
			putchar('\n');
		}
		if (!dog->raw)
			printf("Epoch Time           Version [Host:Port:V-Nodes,,,]\n");
		info_epochs(dog, map, NULL);
	}
	sf_map_free(map);
	return DOG_OK;
}

/* ---- The others ---- */

static int cluster_shutdown(struct dog *dog, int argc, char **argv)
{
	int code = dog_connect(dog), err;

	if (code)
		return code;
	err = sf_shutdown(dog->cluster);
	return err < 0 ? dog_fail(err, "shut the cluster down") : DOG_OK;
}

static int set_grace(struct dog *dog, const char *value)
{
	uint32_t ms;
	int code, err;

	if (text_parse_duration_ms(value, &ms) < 0 || ms == 0)
		return dog_usage("'%.40s' is no time: give 500ms, 10s, 5m, 2h", value);
	code = dog_connect(dog);
	if (code)
		return code;
	err = sf_set_grace(dog->cluster, ms);
	return err < 0 ? dog_fail(err, "set the grace period") : DOG_OK;
}

/* "k", "k+1", ... */
static int set_min_live(struct dog *dog, const char *value)
{
	uint64_t extra = 0;
	int code, err;

	if (value[0] != 'k' ||
	    (value[1] && (value[1] != '+' || text_parse_number(value + 2, 16, &extra) < 0)))
		return dog_usage(
			"'%.40s' is no number of parts: give k, k+1 (the default), k+2, ...",
			value);
	code = dog_connect(dog);
	if (code)
		return code;
	err = sf_set_min_live(dog->cluster, (uint32_t)extra);
	if (err < 0)
		return dog_fail(err, "set the number of parts that writes need");
	if (extra == 0)
		fprintf(stderr,
		        "Warning: writes are now acknowledged when only as many parts as are needed to read "
		        "them are alive.\nWhat is written then is lost with the next disk that dies. "
		        "dog cluster set min-live k+1 ends this.\n");
	return DOG_OK;
}

static int set_scrub(struct dog *dog, const char *value)
{
	bool never = strcmp(value, "never") == 0;
	uint32_t ms = 0;
	int code, err;

	if (!never && (text_parse_duration_ms(value, &ms) < 0 || ms < 1000))
		return dog_usage("'%.40s' is no interval: give 14d, 12h or never", value);
	code = dog_connect(dog);
	if (code)
		return code;
	err = sf_scrub_set_interval(dog->cluster, never ? SF_SCRUB_NEVER : ms / 1000);
	return err < 0 ? dog_fail(err, "set the scrub's interval") : DOG_OK;
}

static int cluster_set(struct dog *dog, int argc, char **argv)
{
	if (strcmp(argv[0], "grace") == 0)
		return set_grace(dog, argv[1]);
	if (strcmp(argv[0], "min-live") == 0)
		return set_min_live(dog, argv[1]);
	if (strcmp(argv[0], "scrub") == 0)
		return set_scrub(dog, argv[1]);
	return dog_usage("'%.40s' is no setting of a cluster; there are: grace, min-live, scrub",
	                 argv[0]);
}

/* What belongs to no volume is told, not removed: somebody should ask why. */
static int orphans_tell(struct dog *dog)
{
	struct sf_orphan *v;
	size_t count;
	int err = sf_orphans_get(dog->cluster, &v, &count);

	if (err < 0)
		return dog_fail(err, "look for objects of no volume");
	if (count)
		fprintf(stderr, "%zu objects belong to no volume; the first is %016llx in pool %u\n",
		        count, (unsigned long long)v[0].oid, v[0].pool);
	free(v);
	return count ? DOG_FAILED : DOG_OK;
}

static int leftovers_clear(struct dog *dog)
{
	size_t cleared;
	int err = sf_leftovers_clear(dog->cluster, &cleared);

	if (err < 0)
		return dog_fail(err, "clear away what was cut off");
	if (cleared)
		fprintf(stderr, "what %zu interrupted command%s left is cleared away\n", cleared,
		        cleared == 1 ? "" : "s");
	return DOG_OK;
}

static int cluster_check(struct dog *dog, int argc, char **argv)
{
	struct sf_volume_info *list;
	json_t *results = dog->json ? json_array() : NULL;
	size_t count;
	int code = dog_connect(dog), err, worst = DOG_OK;

	if (code)
		return code;
	err = sf_volume_list(dog->cluster, &list, &count);
	if (err < 0)
		return dog_fail(err, "list the volumes");
	for (size_t i = 0; i < count; i++) {
		code = check_volume(dog, list[i].name, list[i].snapshot_id ? list[i].tag : NULL,
			                    true, results);
		worst = code ? code : worst;
	}
	free(list);
	code = leftovers_clear(dog);
	worst = code ? code : worst;
	code = orphans_tell(dog);
	worst = code ? code : worst;
	if (results && json_print(results))
		worst = DOG_SYSTEM;
	return worst;
}

static const struct dog_verb verbs[] = {
	{"format",
         "",
         "make a new cluster of all living nodes; what they held is lost",
         0,
         0,
         cluster_format,
         {{'c', "copies", "COPIES|K:M", "default redundancy: copies, or data:parity strips (3)"},
          {'b', "store", "STORE", "accepted for compatibility: plain"},
          {'z', "block_size_shift", "SHIFT", "objects of 2^SHIFT bytes (22)"},
          {0, "grace", "TIME",
           "how long a node may be away before its data are rebuilt: 10s, 5m (10m)"},
          {0, "same-node", NULL, "parts of one object may share a node when there are too few"},
          {'f', "force", NULL, "do not ask before a formatted cluster is wiped"}}},
	{"info", "", "status, and the nodes of every epoch", 0, 0, cluster_info, {{0}}},
	{"shutdown", "", "stop all nodes in order", 0, 0, cluster_shutdown, {{0}}},
	{"recover",
         "enable|disable|list|force",
         "rebuild or not; list what is down or lost; give up disks that are gone for good",
         1,
         1,
         cluster_recover,
         {{'f', "force", NULL, "with force: do not ask before disks are given up"}}},
	{"reweight", "", "the disks' weights follow their capacities again", 0, 0, cluster_reweight, {{0}}},
	{"check", "", "verify and repair every volume", 0, 0, cluster_check, {{0}}},
	{"snapshot",
         "save TAG DIR | list DIR | show TAG DIR | load TAG DIR",
         "all volumes into a directory of this machine, each content once; and back",
         2,
         3,
         cluster_snapshot,
         {{0}}},
	{"scrub",
         "[status|start]",
         "how far the verification of all data is, what it found; start one now",
         0,
         1,
         cluster_scrub,
         {{'w', "wait", "SECONDS",
           "until all that is due was verified; exit code 1 when the time is over"}}},
	{"set",
         "grace TIME | min-live k[+N] | scrub TIME|never",
         "how long a node may be away before its data are rebuilt (10s, 5m); how many parts must "
         "be alive for writes (k+1); how often all data are verified (14d)",
         2,
         2,
         cluster_set,
         {{0}}},
	{"alter-copy",
         "",
         "move all volumes to another redundancy",
         0,
         0,
         cluster_alter_copy,
         {{'c', "copies", "COPIES|K:M", "the new redundancy"}}},
	{0},
};
const struct dog_noun dog_cluster = {"cluster", "The cluster as a whole:", verbs};

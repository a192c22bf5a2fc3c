/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/check.h"

#include <stdio.h>

#include "client/dog/json.h"
#include "client/dog/progress.h"

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;

	p->total = total;
	progress_update(p, done);
}

static void counts_print(const struct sf_check_result *r)
{
	printf("%llu objects, %llu shards: %llu missing, %llu damaged, %llu stale, %llu left over; "
	       "%llu repaired\n",
	       (unsigned long long)r->objects, (unsigned long long)r->shards,
	       (unsigned long long)r->missing, (unsigned long long)r->damaged,
	       (unsigned long long)r->stale, (unsigned long long)r->leftover,
	       (unsigned long long)r->repaired);
	if (r->absent_objects)
		printf("%llu objects were written once and read as zeros: discarded, or given up\n",
		       (unsigned long long)r->absent_objects);
}

/* With -e nothing is repaired: only told. */
static int verdict(const char *name, const struct sf_check_result *r, bool repair, bool quiet)
{
	uint64_t found = r->missing + r->damaged + r->stale + r->leftover;

	if (r->lost_objects > 0) {
		fprintf(stderr, "%s: %llu object%s cannot be read or repaired\n", name,
		        (unsigned long long)r->lost_objects, r->lost_objects == 1 ? "" : "s");
		return DOG_FAILED;
	}
	if (r->undecided_objects > 0) {
		fprintf(stderr,
		        "%s: the parts of %llu object%s contradict each other, see dog cluster recover "
		        "list\n",
		        name, (unsigned long long)r->undecided_objects,
		        r->undecided_objects == 1 ? "" : "s");
		return DOG_FAILED;
	}
	if (found > r->repaired) {
		fprintf(stderr, "%s: %llu shard%s left missing, damaged or stale\n", name,
		        (unsigned long long)(found - r->repaired),
		        found - r->repaired == 1 ? " is" : "s are");
		return DOG_FAILED;
	}
	if (!repair && !quiet)
		printf("%s is fine, no object is missing.\n", name);
	return DOG_OK;
}

int check_volume(struct dog *dog, const char *name, const char *tag, bool repair,
                 json_t *results)
{
	struct sf_check_result r = {0};
	struct progress p;
	json_t *value;
	int err;

	if (repair && !results)
		printf("fix vdi %s\n", name);
	fflush(stdout);
	progress_begin(&p, 0, false);
	err = sf_snapshot_check(dog->cluster, name, tag, repair, &r, on_progress, &p);
	progress_end(&p);
	if (err < 0)
		return dog_fail(err, "check VDI %s", name);
	if (results) {
		value = json_check(&r);
		json_object_set_new(value, "name", json_string(name));
		json_object_set_new(value, "tag", json_string(tag ? tag : ""));
		json_array_append_new(results, value);
	} else if (r.missing || r.damaged || r.stale || r.leftover || dog->verbose) {
		counts_print(&r);
	}
	if (repair && !results)
		printf("finish check&repair %s\n", name);
	return verdict(name, &r, repair, results != NULL);
}

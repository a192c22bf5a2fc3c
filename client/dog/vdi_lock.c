/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/dog/json.h"
#include "client/dog/text.h"
#include "client/dog/vdi.h"

static void lock_print(const struct dog *dog, const struct sf_lock *l)
{
	char since[TEXT_TIME_LEN];

	printf(dog->raw ? "%s %s %u %s %s\n" : "%-20s %-16s %8u  %-19s  %s", l->volume, l->host,
	       l->process, text_time(l->since_s, dog->raw, since), l->purpose);
	if (!dog->raw)
		printf("%s\n", l->released ? " (taken back)" : "");
}

static json_t *lock_json(const struct sf_lock *l)
{
	json_t *name = json_string(l->volume);

	return json_pack("{s:o, s:s, s:i, s:I, s:s, s:i, s:b}", "name", name ? name : json_null(),
	                 "host", l->host, "process", (int)l->process, "since",
	                 (json_int_t)l->since_s, "purpose", l->purpose, "lease_ms",
	                 (int)l->lease_ms, "taken_back", l->released);
}

static int lock_list(struct dog *dog)
{
	struct sf_lock *locks;
	json_t *values;
	size_t count;
	int code = dog_connect(dog), err;

	if (code)
		return code;
	err = sf_lock_list(dog->cluster, &locks, &count);
	if (err < 0)
		return dog_fail(err, "list the locks");
	values = json_array();
	if (!dog->raw && !dog->json)
		printf("Name                 Host                  PID  Since                For\n");
	for (size_t i = 0; i < count; i++) {
		if (dog->json)
			json_array_append_new(values, lock_json(&locks[i]));
		else
			lock_print(dog, &locks[i]);
	}
	free(locks);
	if (dog->json)
		return json_print(values);
	json_decref(values);
	return DOG_OK;
}

static int lock_unlock(struct dog *dog, const char *name)
{
	int code = vdi_name_check(name), err;

	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	err = sf_lock_break(dog->cluster, name);
	return err < 0 ? dog_fail(err, "unlock VDI %s", name) : DOG_OK;
}

int vdi_lock(struct dog *dog, int argc, char **argv)
{
	if (strcmp(argv[0], "list") == 0 && argc == 1)
		return lock_list(dog);
	if (strcmp(argv[0], "unlock") == 0 && argc == 2)
		return lock_unlock(dog, argv[1]);
	return dog_usage("dog vdi lock takes list, or unlock and a VDI's name");
}

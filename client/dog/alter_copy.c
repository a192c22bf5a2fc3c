/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/dog/progress.h"
#include "client/dog/vdi.h"

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;

	p->total = total;
	progress_update(p, done);
}

static int redundancy_option(struct dog *dog, struct sf_redundancy *ret)
{
	const char *text = option_get(dog, "copies");

	if (!text)
		return dog_usage("the new redundancy is missing: -c COPIES|K:M");
	if (sf_redundancy_parse(text, ret) < 0)
		return dog_usage("%s", sf_error());
	/* Ctrl-C: the volume is as before, and nothing is left lying. */
	dog_catch_interrupt(dog);
	return dog_connect(dog);
}

static int convert(struct dog *dog, const char *name, struct sf_redundancy redundancy)
{
	struct progress p;
	int err;

	progress_begin(&p, 0, false);
	err = sf_volume_alter_copy(dog->cluster, name, redundancy, dog->stop, on_progress, &p);
	progress_end(&p);
	return err < 0 ? vdi_fail(err, "convert", name) : DOG_OK;
}

int vdi_alter_copy(struct dog *dog, int argc, char **argv)
{
	struct sf_redundancy redundancy;
	int code = vdi_name_check(argv[0]);

	if (!code)
		code = redundancy_option(dog, &redundancy);
	return code ? code : convert(dog, argv[0], redundancy);
}

/* All volumes, one after the other; one that cannot be converted does not stop the others. */
int cluster_alter_copy(struct dog *dog, int argc, char **argv)
{
	struct sf_redundancy redundancy;
	struct sf_volume_info *list;
	size_t count;
	int code = redundancy_option(dog, &redundancy), err, one;

	if (code)
		return code;
	err = sf_volume_list(dog->cluster, &list, &count);
	if (err < 0)
		return dog_fail(err, "list the VDIs");
	for (size_t i = 0; i < count && !*dog->stop; i++) {
		if (list[i].snapshot_id)
			continue;
		one = convert(dog, list[i].name, redundancy);
		code = code ? code : one;
	}
	free(list);
	return code;
}

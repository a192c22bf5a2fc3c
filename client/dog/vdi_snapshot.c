/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/dog/vdi.h"

int vdi_tag_fail(int err, const char *what, const char *name, const char *tag)
{
	if (err == -ENOENT && !tag)
		return vdi_fail(err, what, name);
	return dog_fail(err, "%s VDI %s%s%s", what, name, tag ? " snapshot " : "", tag ? tag : "");
}

/* The volume's name is all right and there is a tag. */
static int tag_option(struct dog *dog, const char *name, const char **ret)
{
	int code = vdi_name_check(name);

	*ret = option_get(dog, "snapshot");
	if (!code && !*ret)
		code = dog_usage("dog vdi %s needs a snapshot: -s TAG", dog->verb->name);
	return code ? code : dog_connect(dog);
}

int vdi_snapshot(struct dog *dog, int argc, char **argv)
{
	struct sf_volume_info info;
	const char *tag;
	int code = tag_option(dog, argv[0], &tag), err;

	if (code)
		return code;
	err = sf_snapshot_create(dog->cluster, argv[0], tag);
	if (err < 0)
		return err == -ENOENT ? vdi_fail(err, "create snapshot for", argv[0])
		                      : dog_fail(err, "create snapshot for VDI %s", argv[0]);
	if (dog->verbose && sf_volume_stat(dog->cluster, argv[0], &info) == 0)
		printf("new VID: %x\n", info.id);
	return DOG_OK;
}

int vdi_clone(struct dog *dog, int argc, char **argv)
{
	const char *tag;
	uint32_t flags = 0;
	int code, err;

	if (option_get(dog, "no-share"))
		flags |= SF_CLONE_COPY;
	if (option_get(dog, "prealloc"))
		flags |= SF_CLONE_COPY | SF_CLONE_PREALLOCATE;
	if (flags)
		dog_catch_interrupt(dog);
	code = tag_option(dog, argv[0], &tag);
	if (!code)
		code = vdi_name_check(argv[1]);
	if (code)
		return code;
	err = sf_volume_clone(dog->cluster, argv[0], tag, argv[1], flags);
	if (err == -EEXIST)
		return vdi_fail(err, "create", argv[1]);
	return err < 0 ? vdi_tag_fail(err, "clone", argv[0], tag) : DOG_OK;
}

int vdi_rollback(struct dog *dog, int argc, char **argv)
{
	const char *tag;
	int code = tag_option(dog, argv[0], &tag), err;

	if (code)
		return code;
	err = sf_snapshot_rollback(dog->cluster, argv[0], tag);
	return err < 0 ? vdi_tag_fail(err, "roll back", argv[0], tag) : DOG_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/json.h"
#include "client/dog/stream.h"
#include "client/dog/vdi.h"

static int attr_fail(int err, const char *what, char **argv)
{
	return dog_fail(err, "%s attribute '%s' of VDI %s", what, argv[1], argv[0]);
}

static int attr_set_input(struct dog *dog, char **argv, bool exclusive)
{
	uint8_t *value = malloc(SF_ATTR_VALUE_MAX + 1);
	int64_t len;
	int err;

	if (!value)
		return DOG_SYSTEM;
	/* Or as much as shows that it is too much. */
	len = stream_read(STDIN_FILENO, value, SF_ATTR_VALUE_MAX + 1);
	if (len < 0) {
		fprintf(stderr, "Failed to read standard input: %s\n", strerror((int)-len));
		free(value);
		return DOG_SYSTEM;
	}
	err = sf_attr_set(dog->cluster, argv[0], argv[1], value, (size_t)len, exclusive);
	free(value);
	return err < 0 ? attr_fail(err, "set", argv) : DOG_OK;
}

int vdi_setattr(struct dog *dog, int argc, char **argv)
{
	bool drop = option_get(dog, "delete") != NULL, exclusive = option_get(dog, "exclusive");
	int code = vdi_name_check(argv[0]), err;

	if (!code && drop && (exclusive || argc > 2))
		code = dog_usage("-d takes no value, and no -x");
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	if (drop) {
		err = sf_attr_delete(dog->cluster, argv[0], argv[1]);
		return err < 0 ? attr_fail(err, "delete", argv) : DOG_OK;
	}
	if (argc < 3)
		return attr_set_input(dog, argv, exclusive);
	err = sf_attr_set(dog->cluster, argv[0], argv[1], argv[2], strlen(argv[2]), exclusive);
	return err < 0 ? attr_fail(err, "set", argv) : DOG_OK;
}

static int attr_list(struct dog *dog, const char *name)
{
	struct sf_attr *list;
	json_t *values;
	size_t count;
	int err = sf_attr_list(dog->cluster, name, &list, &count);

	if (err < 0)
		return dog_fail(err, "list the attributes of VDI %s", name);
	values = json_array();
	for (size_t i = 0; i < count; i++) {
		if (dog->json)
			json_array_append_new(values, json_pack("{s:s, s:I}", "key", list[i].key, "length",
			                                        (json_int_t)list[i].value_len));
		else
			printf("%s\n", list[i].key);
	}
	free(list);
	if (dog->json)
		return json_print(values);
	json_decref(values);
	return DOG_OK;
}

int vdi_getattr(struct dog *dog, int argc, char **argv)
{
	int code = vdi_name_check(argv[0]), err;
	void *value;
	size_t len;

	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	if (argc < 2)
		return attr_list(dog, argv[0]);
	err = sf_attr_get(dog->cluster, argv[0], argv[1], &value, &len);
	if (err < 0)
		return attr_fail(err, "get", argv);
	/* As it is: values are bytes. */
	fwrite(value, 1, len, stdout);
	free(value);
	return DOG_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/attr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/error.h"
#include "client/lib/meta_object.h"
#include "client/lib/volume_dir.h"
#include "lib/base/mem.h"

enum { FIRST_READ = 16 << 10, SWAP_TRIES = 100 };

static int attrs_take(const uint8_t *bytes, uint64_t len, const char *volume, struct attrs *ret)
{
	if (attrs_decode(bytes, len, ret) < 0)
		return error_set(-EILSEQ, "the volume's attributes are damaged");
	if (strcmp(ret->volume, volume) == 0)
		return 0;
	error_set(-EBUSY, "its attributes have the number of those of '%s'", ret->volume);
	attrs_fini(ret);
	return -EBUSY;
}

/* version 0: it has none. */
static int attrs_read(struct sf_cluster *cluster, const char *volume, struct attrs *ret,
                      uint64_t *ret_version)
{
	uint64_t oid = oid_of_name(OID_TYPE_ATTR, volume), version, again;
	uint8_t *bytes = xcalloc(1, ATTRS_LEN_MAX);
	int err;

	do {
		struct attrs probe;

		err = meta_read(cluster, oid, 0, bytes, FIRST_READ, &version);
		again = version;
		if (err < 0 || version == 0)
			break;
		if (attrs_decode(bytes, FIRST_READ, &probe) == 0)
			attrs_fini(&probe);
		else
			err = meta_read(cluster, oid, 0, bytes, ATTRS_LEN_MAX, &again);
	} while (err == 0 && again != version); /* it was changed between the two reads */
	*ret = (struct attrs){0};
	snprintf(ret->volume, sizeof(ret->volume), "%s", volume);
	if (err == 0 && version)
		err = attrs_take(bytes, ATTRS_LEN_MAX, volume, ret);
	free(bytes);
	*ret_version = version;
	return err;
}

static int attrs_write(struct sf_cluster *cluster, const struct attrs *attrs, uint64_t version)
{
	uint64_t oid = oid_of_name(OID_TYPE_ATTR, attrs->volume), len = attrs_len(attrs);
	uint8_t *bytes;
	int err;

	if (attrs->count == 0)
		return version ? meta_remove(cluster, oid, version) : 0;
	if (len > ATTRS_LEN_MAX)
		return error_set(-ENOSPC, "all attributes of a volume take %d KiB at most",
		                 ATTRS_LEN_MAX >> 10);
	bytes = xcalloc(1, len);
	attrs_encode(attrs, bytes);
	err = meta_swap(cluster, oid, bytes, (uint32_t)len, version, NULL, &version);
	free(bytes);
	return err;
}

static int volume_must_be(struct sf_cluster *cluster, const char *volume)
{
	struct inode inode;
	int err = volume_find(cluster, volume, &inode);

	if (err == 0 && (inode.flags & INODE_DELETING))
		return error_set(-ENOENT, "the volume is being deleted");
	return err;
}

static int key_check(const char *key, size_t value_len)
{
	size_t len = strlen(key);

	if (len == 0 || len > SF_ATTR_KEY_MAX)
		return error_set(-EINVAL, "an attribute's name has 1 to %d bytes", SF_ATTR_KEY_MAX);
	if (value_len > SF_ATTR_VALUE_MAX)
		return error_set(-EINVAL, "an attribute has at most %d KiB",
		                 SF_ATTR_VALUE_MAX >> 10);
	return 0;
}

/* Whether the change may be made to what is there; makes it. */
static int attrs_change(struct attrs *attrs, const char *key, const void *value, size_t len,
                        bool exclusive)
{
	const struct attr *old = attrs_find(attrs, key);

	if (old && exclusive)
		return error_set(-EEXIST, "the attribute exists already");
	if (!old && !value)
		return error_set(-ENOENT, "it has no attribute of this name");
	if (value)
		attrs_put(attrs, key, value, len);
	else
		attrs_drop(attrs, key);
	return 0;
}

/* value NULL: away with it. */
static int attr_change(struct sf_cluster *cluster, const char *volume, const char *key,
                       const void *value, size_t len, bool exclusive)
{
	int err = key_check(key, len);

	if (err == 0)
		err = volume_must_be(cluster, volume);
	if (err < 0)
		return err;
	err = -ESTALE;
	for (int i = 0; i < SWAP_TRIES && err == -ESTALE; i++) {
		struct attrs attrs;
		uint64_t version;

		err = attrs_read(cluster, volume, &attrs, &version);
		if (err < 0)
			return err;
		err = attrs_change(&attrs, key, value, len, exclusive);
		if (err == 0)
			err = attrs_write(cluster, &attrs, version);
		attrs_fini(&attrs);
	}
	/* Deleted meanwhile: the deletion may not have seen what was just written. */
	if (err == 0 && volume_must_be(cluster, volume) == -ENOENT) {
		(void)volume_attr_remove(cluster, volume);
		return error_set(-ENOENT, "the volume was deleted");
	}
	return err;
}

int sf_attr_set(struct sf_cluster *cluster, const char *volume, const char *key, const void *value,
                size_t len, bool exclusive)
{
	return attr_change(cluster, volume, key, value ? value : "", len, exclusive);
}

int sf_attr_delete(struct sf_cluster *cluster, const char *volume, const char *key)
{
	return attr_change(cluster, volume, key, NULL, 0, false);
}

static int attrs_of_volume(struct sf_cluster *cluster, const char *volume, struct attrs *ret)
{
	uint64_t version;
	int err = volume_must_be(cluster, volume);

	return err < 0 ? err : attrs_read(cluster, volume, ret, &version);
}

int sf_attr_get(struct sf_cluster *cluster, const char *volume, const char *key, void **ret,
                size_t *ret_len)
{
	const struct attr *a;
	struct attrs attrs;
	int err = attrs_of_volume(cluster, volume, &attrs);

	if (err < 0)
		return err;
	a = attrs_find(&attrs, key);
	if (a) {
		*ret = xmemdup(a->value, (size_t)a->value_len + 1);
		*ret_len = a->value_len;
	}
	attrs_fini(&attrs);
	return a ? 0 : error_set(-ENOENT, "it has no attribute of this name");
}

int sf_attr_list(struct sf_cluster *cluster, const char *volume, struct sf_attr **ret,
                 size_t *ret_count)
{
	struct attrs attrs;
	int err = attrs_of_volume(cluster, volume, &attrs);

	if (err < 0)
		return err;
	*ret = xcalloc((size_t)attrs.count + 1, sizeof((*ret)[0]));
	*ret_count = attrs.count;
	for (uint32_t i = 0; i < attrs.count; i++) {
		memcpy((*ret)[i].key, attrs.v[i].key, attrs.v[i].key_len);
		(*ret)[i].value_len = attrs.v[i].value_len;
	}
	attrs_fini(&attrs);
	return 0;
}

int volume_attr_remove(struct sf_cluster *cluster, const char *name)
{
	struct attrs attrs;
	uint64_t version;
	int err;

	do {
		err = attrs_read(cluster, name, &attrs, &version);
		if (err == -EBUSY) /* another volume's */
			return 0;
		if (err == 0)
			attrs_fini(&attrs);
		if ((err == 0 || err == -EILSEQ) && version)
			err = meta_remove(cluster, oid_of_name(OID_TYPE_ATTR, name), version);
	} while (err == -ESTALE);
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/volume.h"

/* Names that were written into vdi/mount, or with -o all every one. A name stays when its volume is
 * deleted, and shows the next of that name. */

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **exposed_find(const struct mount *m, const char *name)
{
	if (m->exposed_count == 0)
		return NULL;
	return bsearch(&name, m->exposed, m->exposed_count, sizeof(name), compare);
}

bool exposed_has(const struct mount *m, const char *name)
{
	return m->options->all || exposed_find(m, name);
}

int exposed_add(struct mount *m, const char *name)
{
	char **grown;
	int err = -EEXIST;

	pthread_mutex_lock(&m->lock);
	if (!exposed_find(m, name)) {
		grown = realloc(m->exposed, (m->exposed_count + 1) * sizeof(grown[0]));
		if (!grown)
			abort();
		m->exposed = grown;
		grown[m->exposed_count++] = memory_text(name);
		qsort(grown, m->exposed_count, sizeof(grown[0]), compare);
		err = 0;
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

static bool is_open(struct mount *m, const char *name)
{
	struct volume *v;

	for (unsigned i = 0; i < VOLUME_BUCKETS; i++)
		LIST_FOREACH(v, &m->volumes[i], link)
	if (v->readers + v->writers > 0 && strcmp(v->name, name) == 0)
		return true;
	return false;
}

int exposed_remove(struct mount *m, const char *name)
{
	char **at;
	int err = 0;

	pthread_mutex_lock(&m->lock);
	at = exposed_find(m, name);
	if (!at) {
		err = -ENOENT;
	} else if (is_open(m, name)) {
		err = -EBUSY;
	} else {
		free(*at);
		m->exposed_count--;
		memmove(at, at + 1, (size_t)(m->exposed + m->exposed_count - at) * sizeof(*at));
	}
	pthread_mutex_unlock(&m->lock);
	return err;
}

char *exposed_text(struct mount *m)
{
	size_t size = 1;
	char *text, *at;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->exposed_count; i++)
		size += strlen(m->exposed[i]) + 1;
	at = text = memory_zeroed(size);
	for (size_t i = 0; i < m->exposed_count; i++) {
		at = stpcpy(at, m->exposed[i]);
		*at++ = '\n';
	}
	pthread_mutex_unlock(&m->lock);
	return text;
}

/* NULL: no name of a file. */
static char *file_name(const struct sf_volume_info *info)
{
	char name[2 * SF_NAME_MAX + 2], *at = stpcpy(name, info->name);

	if (info->snapshot_id) {
		/* One without a tag goes by its number. */
		if (*info->tag)
			strcpy(stpcpy(at, "@"), info->tag);
		else
			sprintf(at, "@%u", info->snapshot_id);
	}
	if (strlen(name) > SF_NAME_MAX || strchr(name, '/') || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return NULL;
	return memory_text(name);
}

int exposed_list(struct mount *m, char ***ret)
{
	struct sf_volume_info *list;
	size_t count, n = 0;
	char **names;
	int err = sf_volume_list(m->cluster, &list, &count);

	if (err < 0)
		return err;
	names = memory_zeroed((count + 1) * sizeof(names[0]));
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < count; i++) {
		char *name = file_name(&list[i]);

		if (name && exposed_has(m, name))
			names[n++] = name;
		else
			free(name);
	}
	pthread_mutex_unlock(&m->lock);
	free(list);
	*ret = names;
	return 0;
}

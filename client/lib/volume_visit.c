/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock_visit.h"
#include "client/lib/volume.h"
#include "client/lib/volume_dir.h"

void volume_quieted(struct sf_volume *v)
{
	if (v->pausing && volume_is_quiet(v))
		lock_visit_grant(v->lock);
}

void volume_pause(void *arg)
{
	struct sf_volume *v = arg;

	v->pausing = true;
	volume_quieted(v);
}

/* The same size or another, the same objects or others; but if there is none, nothing can be
 * written any more. */
static void volume_resume(struct task *task)
{
	struct sf_volume *v = container_of(task, struct sf_volume, resume);
	const struct sf_volume_info *info = &v->fresh.info;
	uint32_t part_shift = v->map.part_shift;

	if (v->fresh_err == 0) {
		volmap_fini(&v->map);
		volmap_init(&v->map, v->cluster, info->id, part_shift,
		            volume_objects(info->size_bytes, info->object_shift));
		v->map.fence = v->fence;
		pthread_mutex_lock(&v->info_lock);
		v->info = *info;
		pthread_mutex_unlock(&v->info_lock);
	} else {
		v->lock->fence.lost = true;
		snprintf(v->lock->fence.why, sizeof(v->lock->fence.why),
		         "the volume was changed and cannot be read again");
	}
	v->pausing = false;
	volume_release_held(v);
}

static void *reader_main(void *arg)
{
	struct sf_volume *v = arg;

	v->fresh_err = volume_find_alive(v->cluster, v->info.name, &v->fresh);
	v->resume.run = volume_resume;
	cluster_post(v->cluster, &v->resume);
	return NULL;
}

void volume_visit_over(void *arg)
{
	struct sf_volume *v = arg;

	if (v->has_reader)
		pthread_join(v->reader, NULL); /* of an earlier visit: ended long ago */
	v->has_reader = pthread_create(&v->reader, NULL, reader_main, v) == 0;
	if (v->has_reader)
		return;
	v->fresh_err = -ENOMEM;
	volume_resume(&v->resume);
}

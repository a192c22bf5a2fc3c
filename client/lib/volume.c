/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/volume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/inode.h"
#include "client/lib/lock.h"
#include "client/lib/lock_visit.h"
#include "client/lib/volume_dir.h"
#include "client/lib/volume_lock.h"
#include "lib/base/mem.h"

int volume_open_inode(struct sf_cluster *cluster, const struct inode *inode, struct sf_volume **ret)
{
	struct sf_volume *v;
	uint32_t shift;
	int err = inode_part_shift(cluster, &shift);

	if (err < 0)
		return err;
	v = xcalloc(1, sizeof(*v));
	v->cluster = cluster;
	v->info = inode->info;
	list_init(&v->ordered);
	list_init(&v->copies);
	list_init(&v->held);
	pthread_mutex_init(&v->info_lock, NULL);
	volmap_init(&v->map, cluster, inode->info.id, shift,
	            volume_objects(inode->info.size_bytes, inode->info.object_shift));
	v->fence = v->map.fence = fence_of_thread();
	*ret = v;
	return 0;
}

int sf_volume_open(struct sf_cluster *cluster, const char *name, struct sf_volume **ret)
{
	struct inode inode;
	int err = volume_find_alive(cluster, name, &inode);

	return err < 0 ? err : volume_open_inode(cluster, &inode, ret);
}

int sf_snapshot_open(struct sf_cluster *cluster, const char *name, const char *tag,
                     struct sf_volume **ret)
{
	struct inode inode;
	int err = volume_find_tag(cluster, name, tag, &inode);

	return err < 0 ? err : volume_open_inode(cluster, &inode, ret);
}

static void volume_let_guests_in(struct sf_cluster *cluster, void *arg)
{
	struct sf_volume *volume = arg;

	(void)cluster;
	volume->lock->arg = volume;
	volume->lock->over = volume_visit_over;
	volume->lock->asked = volume_pause;
}

int sf_volume_open_write(struct sf_cluster *cluster, const char *name, const char *purpose,
                         struct sf_volume **ret)
{
	struct lock *lock;
	int err = volume_lock(cluster, name, purpose, &lock);

	if (err < 0)
		return err;
	err = sf_volume_open(cluster, name, ret);
	if (err < 0) {
		lock_release(lock);
		return err;
	}
	(*ret)->lock = lock;
	(*ret)->fence = (*ret)->map.fence = &lock->fence;
	cluster_run(cluster, volume_let_guests_in, *ret);
	return 0;
}

/* Nobody is let in between the last operation and the end: its visit would outlive the volume. */
static void volume_let_nobody_in(struct sf_cluster *cluster, void *arg)
{
	struct sf_volume *volume = arg;

	(void)cluster;
	volume->lock->asked = NULL;
}

int sf_volume_close(struct sf_volume *volume)
{
	int err;

	if (!volume)
		return 0;
	if (volume->lock)
		cluster_run(volume->cluster, volume_let_nobody_in, volume);
	err = volume_drain(volume);
	lock_release(volume->lock);
	if (volume->has_reader)
		pthread_join(volume->reader, NULL);
	volmap_fini(&volume->map);
	pthread_mutex_destroy(&volume->info_lock);
	free(volume);
	return err;
}

void sf_volume_get_info(struct sf_volume *volume, struct sf_volume_info *ret)
{
	pthread_mutex_lock(&volume->info_lock);
	*ret = volume->info;
	pthread_mutex_unlock(&volume->info_lock);
}

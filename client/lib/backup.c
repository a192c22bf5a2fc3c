/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/backup_format.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/map_diff.h"
#include "client/lib/volume.h"
#include "client/lib/volume_dir.h"
#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

enum { AHEAD = 8, TRIM = 4096 };

/* ---- Reading ahead ---- */

struct ahead {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct ahead_slot {
		struct ahead *ahead;
		bool busy;
		int result;
		char why[ERROR_TEXT_LEN];
		uint64_t length;
		uint8_t *bytes;
	} slots[AHEAD];
};

static void slot_read(void *arg, int result)
{
	struct ahead_slot *slot = arg;

	pthread_mutex_lock(&slot->ahead->lock);
	slot->busy = false;
	slot->result = result;
	if (result < 0)
		snprintf(slot->why, sizeof(slot->why), "%s", sf_error());
	pthread_cond_signal(&slot->ahead->cond);
	pthread_mutex_unlock(&slot->ahead->lock);
}

static int slot_wait(struct ahead_slot *slot)
{
	pthread_mutex_lock(&slot->ahead->lock);
	while (slot->busy)
		pthread_cond_wait(&slot->ahead->cond, &slot->ahead->lock);
	pthread_mutex_unlock(&slot->ahead->lock);
	return slot->result < 0 ? error_set(slot->result, "%s", slot->why) : 0;
}

static void ahead_init(struct ahead *a, uint32_t object_shift)
{
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->cond, NULL);
	for (int i = 0; i < AHEAD; i++)
		a->slots[i] = (struct ahead_slot){
			.ahead = a, .bytes = xmalloc((size_t)1 << object_shift)};
}

static void ahead_fini(struct ahead *a)
{
	for (int i = 0; i < AHEAD; i++) {
		(void)slot_wait(&a->slots[i]);
		free(a->slots[i].bytes);
	}
	pthread_cond_destroy(&a->cond);
	pthread_mutex_destroy(&a->lock);
}

/* ---- Writing the stream ---- */

struct backup {
	struct sf_volume *volume;
	bool differential;
	sf_stream_write write;
	void *arg;
	uint32_t crc;
	uint64_t number;
};

static int stream_put(struct backup *b, const void *data, size_t len)
{
	int err = b->write(b->arg, data, len);

	return err < 0 ? error_set(err, "cannot write the backup: %s", strerror(-err)) : 0;
}

static int record_put(struct backup *b, enum backup_kind kind, uint64_t index, uint64_t offset,
                      const uint8_t *bytes, uint64_t length)
{
	struct backup_record r = {
		.kind = kind,
		.number = b->number++,
		.index = index,
		.offset = offset,
		.length = length,
		.payload_crc = length ? crc32c(0, bytes, length) : 0,
	};
	uint8_t head[BACKUP_RECORD_LEN];
	int err;

	backup_record_encode(&r, head, &b->crc);
	err = stream_put(b, head, sizeof(head));
	if (!err && length)
		err = stream_put(b, bytes, length);
	return err;
}

static bool is_zero(const uint8_t *bytes, uint64_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static int object_put(struct backup *b, uint64_t index, const uint8_t *bytes, uint64_t length)
{
	uint64_t begin = 0, end = length;

	while (begin < end && is_zero(bytes + begin, MIN((uint64_t)TRIM, end - begin)))
		begin += MIN((uint64_t)TRIM, end - begin);
	while (end > begin && is_zero(bytes + (end - 1) / TRIM * TRIM, end - (end - 1) / TRIM * TRIM))
		end = (end - 1) / TRIM * TRIM;
	if (begin < end)
		return record_put(b, BACKUP_DATA, index, begin, bytes + begin, end - begin);
	return b->differential ? record_put(b, BACKUP_ZEROS, index, 0, NULL, 0) : 0;
}

static void slot_start(struct backup *b, struct ahead_slot *slot, const struct map_entry *e)
{
	const struct sf_volume_info *info = &b->volume->info;
	uint64_t begin = e->index << info->object_shift;

	slot->length = begin >= info->size_bytes
	                       ? 0
	                       : MIN(info->size_bytes - begin, 1ull << info->object_shift);
	slot->result = 0;
	if (!e->owner || !slot->length)
		return;
	slot->busy = true;
	sf_read_async(b->volume, slot->bytes, slot->length, begin, slot_read, slot);
}

static int objects_put(struct backup *b, const struct map_entries *diff, sf_progress progress,
                       void *arg)
{
	struct ahead a;
	size_t next = 0;
	int err = 0;

	ahead_init(&a, b->volume->info.object_shift);
	for (size_t i = 0; i < diff->count && !err; i++) {
		struct ahead_slot *slot = &a.slots[i % AHEAD];

		for (; next < diff->count && next < i + AHEAD; next++)
			slot_start(b, &a.slots[next % AHEAD], &diff->v[next]);
		err = slot_wait(slot);
		if (!err && !slot->length)
			continue; /* behind the end: it was cut off there */
		if (!err && diff->v[i].owner)
			err = object_put(b, diff->v[i].index, slot->bytes, slot->length);
		else if (!err)
			err = record_put(b, BACKUP_ZEROS, diff->v[i].index, 0, NULL, 0);
		if (progress)
			progress(arg, i + 1, diff->count);
	}
	ahead_fini(&a);
	return err ? err : record_put(b, BACKUP_END, b->number + 1, 0, NULL, 0);
}

static int head_put(struct backup *b, const struct inode *to, const struct inode *base)
{
	struct backup_head h = {
		.flags = b->differential ? BACKUP_DIFFERENTIAL : 0,
		.object_shift = to->info.object_shift,
		.size_bytes = to->info.size_bytes,
		.redundancy = to->info.redundancy,
		.taken_s = to->changed_s,
		.identity = inode_identity(to),
	};
	uint8_t bytes[BACKUP_HEAD_LEN];

	memcpy(h.volume, to->info.name, sizeof(h.volume));
	memcpy(h.tag, to->info.tag, sizeof(h.tag));
	if (b->differential) {
		memcpy(h.base, base->info.tag, sizeof(h.base));
		h.base_taken_s = base->changed_s;
		h.base_identity = inode_identity(base);
	}
	backup_head_encode(&h, bytes, &b->crc);
	return stream_put(b, bytes, sizeof(bytes));
}

/* After its map was read: of one that is being deleted it may have been half of it. */
static int still_there(struct sf_cluster *cluster, const struct inode *snapshot)
{
	struct inode now = *snapshot;
	bool there;
	int err = inode_refresh(cluster, &now, &there);

	if (!err && (!there || (now.flags & INODE_DELETING)))
		err = error_set(-ESTALE, "snapshot '%.60s' was deleted", snapshot->info.tag);
	return err;
}

int sf_backup(struct sf_cluster *cluster, const char *name, const char *tag, const char *base_tag,
              sf_stream_write write, void *write_arg, sf_progress progress, void *progress_arg)
{
	struct backup b = {.write = write, .arg = write_arg, .differential = base_tag != NULL};
	struct map_entries to_entries = {0}, base_entries = {0}, diff = {0};
	struct inode to, base = {0};
	int err = tag ? volume_find_tag(cluster, name, tag, &to)
	              : error_set(-EINVAL, "only a snapshot can be backed up");

	if (!err && base_tag)
		err = volume_find_tag(cluster, name, base_tag, &base);
	if (!err && base_tag && base.info.snapshot_id >= to.info.snapshot_id)
		err = error_set(-EINVAL, "the snapshot it is based on is not older");
	if (!err)
		err = map_entries_read(cluster, &to, &to_entries);
	if (!err)
		err = still_there(cluster, &to);
	if (!err && base_tag)
		err = map_entries_read(cluster, &base, &base_entries);
	if (!err && base_tag)
		err = still_there(cluster, &base);
	if (!err)
		err = volume_open_inode(cluster, &to, &b.volume);
	if (!err) {
		map_diff(&to_entries, &base_entries, &diff);
		err = head_put(&b, &to, &base);
		if (!err)
			err = objects_put(&b, &diff, progress, progress_arg);
		sf_volume_close(b.volume);
	}
	free(to_entries.v);
	free(base_entries.v);
	free(diff.v);
	return err;
}

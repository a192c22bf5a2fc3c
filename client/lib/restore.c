/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/backup_format.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/lock_visit.h"
#include "client/lib/snapshot.h"
#include "client/lib/volume.h"
#include "client/lib/volume_delete.h"
#include "client/lib/volume_dir.h"
#include "lib/base/crc32c.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/*
 * Restoring writes to an inode that is pending: nobody sees it before the end of the stream was
 * verified; cut off before that, it is cleared away by whoever works on this name next.
 */
struct restore {
	struct sf_cluster *cluster;
	sf_stream_read read;
	void *arg;
	struct backup_head head;
	uint32_t crc;
	uint64_t number; /* of the next record */
	struct sf_volume *volume;
	uint8_t *bytes;
};

static int damaged(const char *what)
{
	return error_set(-EILSEQ, "the backup is damaged: %s", what);
}

static int stream_get(struct restore *r, void *data, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = r->read(r->arg, (uint8_t *)data + got, len - got);

		if (n < 0)
			return n == -EINTR ? error_set(-EINTR, "interrupted")
			                   : error_set((int)n, "cannot read the backup: %s",
			                               strerror((int)-n));
		if (n == 0)
			return damaged("it ends too early");
		got += (size_t)n;
	}
	return 0;
}

static int head_get(struct restore *r)
{
	uint8_t bytes[BACKUP_HEAD_LEN];
	const struct backup_head *h = &r->head;
	int err = stream_get(r, bytes, sizeof(bytes));

	if (err < 0)
		return err;
	if (memcmp(bytes, "SFbackup", 8) != 0)
		return error_set(-EINVAL, "this is no backup");
	if (backup_head_decode(bytes, &r->head, &r->crc) < 0)
		return damaged("its head, or it is of another version");
	if (h->object_shift < OBJECT_SHIFT_MIN || h->object_shift > OBJECT_SHIFT_MAX ||
	    h->size_bytes == 0 ||
	    h->size_bytes > (uint64_t)1 << (VOLUME_MAX_OBJECTS_SHIFT + h->object_shift) ||
	    *volume_name_fault(h->tag))
		return damaged("its head");
	return 0;
}

/* What its fields say is possible. */
static bool record_is_sane(const struct restore *r, const struct backup_record *rec)
{
	uint64_t size = 1ull << r->head.object_shift, begin;

	if (rec->number != r->number)
		return false;
	if (rec->kind == BACKUP_END)
		return rec->index == rec->number + 1 && rec->length == 0;
	if (rec->index >= volume_objects(r->head.size_bytes, r->head.object_shift))
		return false;
	begin = rec->index << r->head.object_shift;
	if (rec->kind == BACKUP_ZEROS)
		return rec->length == 0;
	return rec->length > 0 &&
	       range_fits(rec->offset, rec->length, MIN(size, r->head.size_bytes - begin));
}

static int object_restore(struct restore *r, const struct backup_record *rec)
{
	uint64_t begin = rec->index << r->head.object_shift;
	uint64_t len = MIN(r->head.size_bytes - begin, 1ull << r->head.object_shift);

	if (rec->kind == BACKUP_ZEROS)
		return sf_discard(r->volume, len, begin);
	memset(r->bytes, 0, rec->offset);
	memset(r->bytes + rec->offset + rec->length, 0, len - rec->offset - rec->length);
	/* The whole object: what the base has in it must not shine through. */
	return sf_write(r->volume, r->bytes, len, begin);
}

static int record_get(struct restore *r, struct backup_record *rec)
{
	uint8_t head[BACKUP_RECORD_LEN];
	int err = stream_get(r, head, sizeof(head));

	if (err < 0)
		return err;
	if (backup_record_decode(head, rec, &r->crc) < 0 || !record_is_sane(r, rec))
		return damaged("a record is not what it was");
	r->number++;
	if (rec->length == 0)
		return 0;
	err = stream_get(r, r->bytes + rec->offset, rec->length);
	if (!err && crc32c(0, r->bytes + rec->offset, rec->length) != rec->payload_crc)
		err = damaged("an object is not what it was");
	return err;
}

static int objects_get(struct restore *r, sf_progress progress, void *arg)
{
	struct backup_record rec = {0};
	uint8_t more;
	int err = 0;

	while (!err && rec.kind != BACKUP_END) {
		err = record_get(r, &rec);
		if (!err && rec.kind != BACKUP_END)
			err = object_restore(r, &rec);
		if (progress)
			progress(arg, r->number, 0);
	}
	if (!err && r->read(r->arg, &more, 1) > 0)
		err = damaged("something follows its end");
	return err;
}

/* ---- The inode ---- */

static int inode_for_full(struct restore *r, const char *name, struct inode *ret)
{
	struct sf_volume_options o = {
		.redundancy = r->head.redundancy, .object_shift = r->head.object_shift};
	struct inode in = {.flags = INODE_PENDING};
	int err;

	if (volume_find_alive(r->cluster, name, ret) == 0)
		return error_set(-EEXIST, "a volume of this name exists already");
	err = pool_choose(r->cluster, &o, &in.info);
	if (err < 0)
		return err;
	snprintf(in.info.name, sizeof(in.info.name), "%s", name);
	in.info.size_bytes = r->head.size_bytes;
	in.info.created_s = in.changed_s = (uint64_t)time(NULL);
	err = inode_place(r->cluster, &in, false);
	*ret = in;
	return err;
}

/* Of another size than the base: what is cut off by it must not come back when it grows. */
static int inode_for_differential(struct restore *r, const char *name, const char *tag,
                                  struct inode *old, struct inode *ret)
{
	struct inode base;
	int err = volume_find_tag(r->cluster, name, tag ? tag : r->head.base, &base);

	if (err < 0)
		return err;
	if (inode_identity(&base) != r->head.base_identity ||
	    base.info.object_shift != r->head.object_shift)
		return error_set(-EINVAL, "snapshot '%.60s' is not the one that the backup is based on",
		                 base.info.tag);
	err = volume_find_replaced(r->cluster, name, old);
	if (err < 0)
		return err;
	base.info.size_bytes = r->head.size_bytes;
	return inode_derive(r->cluster, &base, name, old->info.id, ret);
}

static int restore_fill(struct restore *r, const struct inode *inode, sf_progress progress,
                        void *arg)
{
	int err = volume_open_inode(r->cluster, inode, &r->volume), closed;

	if (err < 0)
		return err;
	r->bytes = xmalloc((size_t)1 << r->head.object_shift);
	err = objects_get(r, progress, arg);
	free(r->bytes);
	closed = sf_volume_close(r->volume);
	return err ? err : closed;
}

static int restore_run(struct restore *r, const char *name, const char *tag, sf_progress progress,
                       void *arg)
{
	bool differential = r->head.flags & BACKUP_DIFFERENTIAL;
	const char *kept = tag && !differential ? tag : r->head.tag;
	struct inode old = {0}, next;
	uint32_t number;
	int err = snapshot_tag_check(kept);

	if (!err)
		err = volume_name_prepare(r->cluster, name, kept, &number);
	if (!err)
		err = differential ? inode_for_differential(r, name, tag, &old, &next)
		                   : inode_for_full(r, name, &next);
	if (err < 0)
		return err;
	err = restore_fill(r, &next, progress, arg);
	if (err < 0) {
		char why[ERROR_TEXT_LEN];

		snprintf(why, sizeof(why), "%s", sf_error());
		(void)volume_delete_finish(r->cluster, &next);
		return error_set(err, "%s", why);
	}
	if (old.info.id) {
		err = volume_replace(r->cluster, &old, &next);
	} else {
		next.flags &= ~(uint32_t)INODE_PENDING;
		err = inode_write(r->cluster, &next);
	}
	return err ? err : snapshot_create(r->cluster, name, kept, r->head.identity);
}

int sf_restore(struct sf_cluster *cluster, const char *name, const char *tag, sf_stream_read read,
               void *read_arg, sf_progress progress, void *progress_arg)
{
	struct restore r = {.cluster = cluster, .read = read, .arg = read_arg};
	const char *fault = volume_name_fault(name);
	struct lock_scope scope = {0};
	int err = *fault ? error_set(-EINVAL, "%s", fault) : head_get(&r);

	if (!err)
		err = lock_scope_begin(cluster, name, "restore", false, &scope);
	if (!err)
		err = restore_run(&r, name, tag, progress, progress_arg);
	lock_scope_end(&scope);
	return err;
}

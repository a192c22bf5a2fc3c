/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/owner_check.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/volume.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

void owner_check_free(struct owner_check *check)
{
	request_fini(&check->req);
	free(check->bytes);
	free(check);
}

static void check_read(struct owner_check *check, uint64_t pos, uint32_t len,
                       void (*done)(struct request *))
{
	const struct volmap *map = &check->volume->map;
	struct request *req = &check->req;

	request_init(req, ROUTE_PRIMARY, MSG_OBJ_READ);
	req->pool = POOL_META;
	req->oid = oid_inode(map->volume, (uint32_t)(pos >> map->part_shift));
	req->offset = pos & ((1ull << map->part_shift) - 1);
	req->length = len;
	req->rx = check->bytes;
	req->done = done;
	req->arg = check;
	request_submit(check->volume->cluster, req);
}

/* After the entry: what is cut off a dying volume's map must not be taken for a discard. */
static void header_read(struct request *req)
{
	struct owner_check *check = req->arg;
	struct inode inode;

	if (req->result < 0)
		check->done(check, req->result, 0);
	else if ((req->reply_flags & MSG_F_ABSENT) || inode_decode(check->bytes, &inode) < 0 ||
	         (inode.flags & (INODE_DELETING | INODE_DELETED)))
		check->done(check, -ESTALE, 0);
	else
		check->done(check, 0, check->owner);
}

static void entry_read(struct request *req)
{
	struct owner_check *check = req->arg;
	uint32_t owner;

	if (req->result < 0) {
		check->done(check, req->result, 0);
		return;
	}
	memcpy(&owner, check->bytes, sizeof(owner));
	check->owner = le32toh(owner) & VOLUME_ID_MASK;
	request_fini(req);
	check_read(check, 0, INODE_HEADER_LEN, header_read);
}

void owner_check_start(struct sf_volume *volume, uint64_t index,
                       void (*done)(struct owner_check *, int, uint32_t), void *arg)
{
	struct owner_check *check = xcalloc(1, sizeof(*check));

	check->volume = volume;
	check->bytes = xmalloc(INODE_HEADER_LEN);
	check->done = done;
	check->arg = arg;
	check_read(check, inode_map_pos(index), sizeof(uint32_t), entry_read);
}

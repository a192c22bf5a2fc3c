/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/meta_object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

enum { OID_TYPE_SHIFT = 60 };

uint64_t oid_of_name_first(uint32_t type)
{
	return (uint64_t)type << OID_TYPE_SHIFT;
}

uint64_t oid_of_name_last(uint32_t type)
{
	return oid_of_name_first(type + 1) - 1;
}

uint64_t oid_of_name(uint32_t type, const char *name)
{
	return oid_of_name_first(type) | hash_bytes(name, strlen(name)) >> 4;
}

static void meta_request(struct request *req, enum msg_type type, uint64_t oid)
{
	request_init(req, ROUTE_PRIMARY, type);
	req->pool = POOL_META;
	req->oid = oid;
}

/* Goes through only if it is at that version. */
static void meta_request_if(struct request *req, enum msg_type type, uint64_t oid, uint64_t version)
{
	meta_request(req, type, oid);
	req->flags = MSG_F_IF;
	req->base = version;
}

int meta_read(struct sf_cluster *cluster, uint64_t oid, uint64_t offset, void *bytes, uint32_t len,
              uint64_t *ret_version)
{
	struct request req;
	int err;

	meta_request(&req, MSG_OBJ_READ, oid);
	req.offset = offset;
	req.length = len;
	req.rx = bytes;
	err = call_request(cluster, &req);
	if (err == 0)
		*ret_version = req.reply_flags & MSG_F_ABSENT ? 0 : req.reply_version;
	request_fini(&req);
	return err;
}

/* A change that was repeated is acknowledged without its version: it is what stands there, if
 * that is what was written. */
static int swap_version(struct sf_cluster *cluster, uint64_t oid, const void *bytes, uint32_t len,
                        uint64_t *ret_version)
{
	uint8_t *back = xmalloc(len);
	int err = meta_read(cluster, oid, 0, back, len, ret_version);

	if (!err && (*ret_version == 0 || memcmp(back, bytes, len) != 0))
		err = error_set(-ESTALE, "somebody else changed it");
	free(back);
	return err;
}

int meta_swap(struct sf_cluster *cluster, uint64_t oid, const void *bytes, uint32_t len,
              uint64_t version, const struct fence *fence, uint64_t *ret_version)
{
	struct request req;
	int err;

	meta_request_if(&req, MSG_OBJ_WRITE, oid, version);
	req.tx = bytes;
	req.tx_len = len;
	req.fence = fence;
	err = call_request(cluster, &req);
	*ret_version = req.reply_version;
	request_fini(&req);
	if (err == 0 && *ret_version == 0)
		err = swap_version(cluster, oid, bytes, len, ret_version);
	return err;
}

int meta_remove(struct sf_cluster *cluster, uint64_t oid, uint64_t version)
{
	struct request req;
	int err;

	meta_request_if(&req, MSG_OBJ_DELETE, oid, version);
	err = call_request(cluster, &req);
	request_fini(&req);
	return err == -ENOENT ? 0 : err;
}

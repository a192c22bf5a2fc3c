/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"
#include "lib/wire/sheepfold.pb-c.h"

/* A change of the map needs a proposal, perhaps several; a format stamps every disk. */
enum { ADMIN_MS = 30000 };

static char *reply_text(const struct msg *reply)
{
	char *text;

	if (!reply || reply->blob_len == 0)
		return NULL;
	text = xmalloc(reply->blob_len + 1);
	memcpy(text, reply->blob, reply->blob_len);
	text[reply->blob_len] = '\0';
	return text;
}

int admin_call(struct sf_cluster *cluster, const Sf__AdminRequest *what, struct admin *a)
{
	size_t len = sf__admin_request__get_packed_size(what);
	uint8_t *blob = xmalloc(len);
	struct request req;
	int err;

	sf__admin_request__pack(what, blob);
	request_init(&req, a->addr ? ROUTE_NODE : ROUTE_ANY, MSG_ADMIN);
	req.addr = a->addr;
	req.port = a->port;
	req.blob = blob;
	req.blob_len = (uint32_t)len;
	req.keep_reply = true;
	req.timeout_ms = req.try_ms = ADMIN_MS;
	err = call_request(cluster, &req);
	a->text = reply_text(req.reply);
	a->length = req.reply_length;
	request_fini(&req);
	free(blob);
	if (err < 0 && a->text)
		error_set(err, "%s", a->text);
	return err;
}

int admin_simple(struct sf_cluster *cluster, const Sf__AdminRequest *what)
{
	struct admin a = {0};
	int err = admin_call(cluster, what, &a);

	free(a.text);
	return err;
}

int sf_format(struct sf_cluster *cluster, const struct sf_format_options *options,
              char **ret_warning)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;
	struct admin a = {0};
	int err;

	what.verb = SF__ADMIN_REQUEST__VERB__FORMAT;
	what.k = options->redundancy.data ? options->redundancy.data : 1;
	what.m = options->redundancy.data ? options->redundancy.parity : 2;
	what.object_shift = options->object_shift;
	what.same_node_ok = options->same_node_ok;
	what.grace_ms = options->grace_ms;
	what.force = options->force;
	err = admin_call(cluster, &what, &a);
	if (!err)
		err = cluster_map_refetch(cluster);
	if (!err && ret_warning)
		*ret_warning = a.text ? a.text : xstrdup("");
	else
		free(a.text);
	return err;
}

int sf_shutdown(struct sf_cluster *cluster)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;
	int err;

	what.verb = SF__ADMIN_REQUEST__VERB__SHUTDOWN;
	err = admin_simple(cluster, &what);
	/* The daemon may be gone before its answer is, and so are all others then. */
	return err == -ENOTCONN ? 0 : err;
}

int sf_set_recovery(struct sf_cluster *cluster, bool enabled)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__RECOVERY;
	what.enable = enabled;
	return admin_simple(cluster, &what);
}

int sf_set_grace(struct sf_cluster *cluster, uint32_t grace_ms)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__GRACE;
	what.grace_ms = grace_ms;
	return admin_simple(cluster, &what);
}

int sf_set_min_live(struct sf_cluster *cluster, uint32_t extra)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__MIN_LIVE;
	what.min_live_extra = extra;
	return admin_simple(cluster, &what);
}

int sf_scrub_set_interval(struct sf_cluster *cluster, uint32_t interval_s)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__SCRUB;
	what.scrub_interval_s = interval_s;
	return admin_simple(cluster, &what);
}

int sf_scrub_start(struct sf_cluster *cluster)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__SCRUB;
	what.scrub_now = true;
	return admin_simple(cluster, &what);
}

int sf_give_up(struct sf_cluster *cluster, uint32_t epoch, const uint64_t *disks, uint32_t count)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__LOST;
	what.epoch = epoch;
	what.disks = (uint64_t *)(uintptr_t)disks; /* only read */
	what.n_disks = count;
	return admin_simple(cluster, &what);
}

int admin_to_node(struct sf_cluster *cluster, uint64_t node, const Sf__AdminRequest *what,
                  uint64_t *ret_length)
{
	struct map *map = node ? cluster_map_copy(cluster) : NULL;
	const struct map_node *n = map ? map_find_node(map, node) : NULL;
	bool formatted = map != NULL; /* else: the one that we are connected to */
	char addr[ADDR_LEN];
	struct admin a = {0};
	int err;

	if (n) {
		memcpy(addr, n->addr, sizeof(addr));
		a.addr = addr;
		a.port = n->port;
	}
	map_unref(map);
	if (node && !a.port && formatted)
		return error_set(-ENOENT, "there is no such node");
	err = admin_call(cluster, what, &a);
	free(a.text);
	if (!err && ret_length)
		*ret_length = a.length;
	return err;
}

int sf_node_kill(struct sf_cluster *cluster, uint64_t node)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	struct map *map = cluster_map_copy(cluster);
	bool known = map && map_find_node(map, node);

	map_unref(map);
	if (!known)
		return error_set(-ENOENT, "there is no such node");
	what.verb = SF__ADMIN_REQUEST__VERB__KILL;
	return admin_to_node(cluster, node, &what, NULL);
}

int admin_pool(struct sf_cluster *cluster, struct sf_redundancy redundancy, uint32_t object_shift,
               uint32_t *ret_pool)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;
	struct admin a = {0};
	int err;

	what.verb = SF__ADMIN_REQUEST__VERB__POOL;
	what.k = redundancy.data;
	what.m = redundancy.parity;
	what.object_shift = object_shift;
	err = admin_call(cluster, &what, &a);
	free(a.text);
	if (!err)
		err = cluster_map_refetch(cluster);
	if (err)
		return err;
	*ret_pool = (uint32_t)a.length;
	return 0;
}

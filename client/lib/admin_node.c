/* SPDX-License-Identifier: Apache-2.0 */

/* What operators do with single nodes and disks. */
#include <errno.h>

#include "client/lib/admin.h"
#include "client/lib/error.h"

int sf_node_drain(struct sf_cluster *cluster, uint64_t node, bool on)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__DRAIN;
	what.node = node;
	what.on = on;
	return admin_simple(cluster, &what);
}

int sf_node_maintenance(struct sf_cluster *cluster, uint64_t node, bool on)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__MAINTENANCE;
	what.node = node;
	what.on = on;
	return admin_simple(cluster, &what);
}

int sf_set_weights(struct sf_cluster *cluster, const uint64_t *disks, const uint32_t *weights,
                   uint32_t count)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__WEIGHTS;
	what.disks = (uint64_t *)(uintptr_t)disks; /* only read */
	what.n_disks = count;
	what.weights = (uint32_t *)(uintptr_t)weights;
	what.n_weights = count;
	return admin_simple(cluster, &what);
}

int sf_disk_plug(struct sf_cluster *cluster, uint64_t node, const char *path)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__PLUG;
	what.path = (char *)(uintptr_t)path;
	return admin_to_node(cluster, node, &what, NULL);
}

int sf_disk_unplug(struct sf_cluster *cluster, uint64_t node, const char *path, uint64_t disk,
                   bool now)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;

	what.verb = SF__ADMIN_REQUEST__VERB__UNPLUG;
	what.path = (char *)(uintptr_t)(path ? path : "");
	what.disk = path ? 0 : disk;
	what.force = now;
	return admin_to_node(cluster, node, &what, NULL);
}

int sf_node_log_level(struct sf_cluster *cluster, uint64_t node, int level)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;
	uint64_t now;
	int err;

	what.verb = SF__ADMIN_REQUEST__VERB__LOG_LEVEL;
	what.level = (uint32_t)(level + 1);
	err = admin_to_node(cluster, node, &what, &now);
	return err < 0 ? err : (int)(now & 0xff);
}

int sf_node_throttle(struct sf_cluster *cluster, uint64_t node, const struct sf_throttle *set,
                     struct sf_throttle *ret)
{
	Sf__AdminRequest what = SF__ADMIN_REQUEST__INIT;
	uint64_t now;
	int err;

	what.verb = SF__ADMIN_REQUEST__VERB__THROTTLE;
	what.on = set != NULL;
	what.recovery_max = set ? set->max : 0;
	what.interval_ms = set ? set->interval_ms : 0;
	err = admin_to_node(cluster, node, &what, &now);
	if (err < 0)
		return err;
	if (ret)
		*ret = (struct sf_throttle){(uint32_t)(now >> 32), (uint32_t)now};
	return 0;
}

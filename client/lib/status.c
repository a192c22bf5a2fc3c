/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/lib/call.h"
#include "client/lib/cluster.h"
#include "client/lib/error.h"
#include "client/lib/health.h"
#include "client/lib/trouble.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"

enum { STATUS_MS = 2000, STATUS_WINDOW = 64, BAD_DISKS_MAX = 4096 };

struct gathering {
	const struct map *map;
	struct sf_status *status;
};

/* A peer's figures are only numbers: sums may not wrap. */
static void add64(uint64_t *sum, uint64_t n)
{
	*sum = n > UINT64_MAX - *sum ? UINT64_MAX : *sum + n;
}
static void add32(uint32_t *sum, uint32_t n)
{
	*sum = n > UINT32_MAX - *sum ? UINT32_MAX : *sum + n;
}

static void merge_disk(struct sf_status *s, const Sf__NodeStatus__Disk *in)
{
	for (uint32_t i = 0; i < s->disk_count; i++) {
		struct sf_disk *d = &s->disks[i];

		if (d->id != in->id)
			continue;
		d->known = true;
		snprintf(d->path, sizeof(d->path), "%s", in->path ? in->path : "");
		d->size_bytes = in->size_bytes;
		d->used_bytes = in->used_bytes;
		d->avail_bytes = in->avail_bytes;
		d->live_bytes = in->live_bytes;
		d->checksum_errors = in->checksum_errors;
		d->shards = in->shards;
		d->failed |= in->failed;
		add64(&s->size_bytes, in->size_bytes);
		add64(&s->used_bytes, in->used_bytes);
		add64(&s->avail_bytes, in->avail_bytes);
	}
}

static void merge_pgs(struct sf_status *s, const Sf__NodeStatus__PgCounts *in)
{
	add32(&s->pgs_clean, in->clean);
	add32(&s->pgs_degraded, in->degraded);
	add32(&s->pgs_recovering, in->recovering);
	add32(&s->pgs_peering, in->peering);
	add32(&s->pgs_halted, in->halted);
	add32(&s->pgs_down, in->down);
}

static void merge_scrub(struct sf_scrub *s, const Sf__NodeStatus__Scrub *in)
{
	s->running += in->running;
	add32(&s->pgs_due, in->pgs_due);
	add32(&s->pgs_never, in->pgs_never);
	if (in->oldest_s && (!s->oldest_s || in->oldest_s < s->oldest_s))
		s->oldest_s = in->oldest_s;
	s->newest_s = MAX(s->newest_s, in->newest_s);
	add64(&s->objects, in->objects);
	add64(&s->missing, in->found_missing);
	add64(&s->damaged, in->found_damaged);
	add64(&s->stale, in->found_stale);
	add64(&s->leftover, in->found_leftover);
	add64(&s->wrong, in->found_wrong);
	add64(&s->repaired, in->repaired);
	add64(&s->undecided, in->undecided);
}

static void take_requests(struct sf_requests *r, const Sf__NodeStatus__Requests *in)
{
	if (!in)
		return;
	*r = (struct sf_requests){
		.active = in->active,
		.total = in->total,
		.write = in->write,
		.read = in->read,
		.remove = in->remove,
		.flush = in->flush,
		.bytes_written = in->bytes_written,
		.bytes_read = in->bytes_read,
	};
}

/* What does not open is known by its path; so is the disk of the map that it is, or was. */
static void take_bad_disk(struct sf_status *s, uint64_t node, const Sf__NodeStatus__BadDisk *in)
{
	struct sf_bad_disk *bad;

	if (s->bad_disk_count >= BAD_DISKS_MAX)
		return;
	s->bad_disks = xrealloc(s->bad_disks, (s->bad_disk_count + 1) * sizeof(*bad));
	bad = &s->bad_disks[s->bad_disk_count++];
	*bad = (struct sf_bad_disk){.node = node, .disk = in->id};
	snprintf(bad->path, sizeof(bad->path), "%s", in->path);
	snprintf(bad->why, sizeof(bad->why), "%s", in->why);
	for (uint32_t i = 0; i < s->disk_count && in->id; i++)
		if (s->disks[i].id == in->id && !s->disks[i].known)
			snprintf(s->disks[i].path, sizeof(s->disks[i].path), "%s", in->path);
}

static void merge_node(struct sf_status *s, const Sf__NodeStatus *in,
                       struct sf_node_progress *progress)
{
	for (size_t i = 0; i < in->n_disks; i++)
		merge_disk(s, in->disks[i]);
	if (in->pgs)
		merge_pgs(s, in->pgs);
	for (size_t i = 0; i < in->n_objects_by_redundancy; i++)
		add64(&s->objects_by_redundancy[MIN(i, (size_t)SF_MAX_REDUNDANCY - 1)],
		      in->objects_by_redundancy[i]);
	add64(&s->objects_unfound, in->objects_unfound);
	add64(&s->objects_lost, in->objects_lost);
	if (in->scrub)
		merge_scrub(&s->scrub, in->scrub);
	s->scrub.behind += in->epoch < s->epoch;
	for (size_t i = 0; i < in->n_troubles; i++)
		trouble_take_some(&s->troubles, in->troubles[i]);
	add64(&s->objects_missing, in->objects_missing);
	add64(&s->bytes_missing, in->bytes_missing);
	add64(&s->objects_blocked, in->objects_blocked);
	add64(&s->recovered_objects, in->recovered_objects);
	add64(&s->recovered_bytes, in->recovered_bytes);
	add64(&s->recovery_rate_bytes_s, in->recovery_rate_bytes_s);
	s->recovery_running_ms = MAX(s->recovery_running_ms, in->recovery_started_ms_ago);
	for (size_t i = 0; i < in->n_bad_disks; i++)
		take_bad_disk(s, progress->node, in->bad_disks[i]);
	progress->known = true;
	take_requests(&progress->client, in->client);
	take_requests(&progress->peer, in->peer);
	progress->recovering = in->objects_missing > 0;
	progress->done = progress->recovering ? in->recovered_objects : 0;
	progress->total = progress->done;
	add64(&progress->total, in->objects_missing);
}

static void status_answered(struct batch_slot *slot, void *arg)
{
	struct gathering *g = arg;
	const struct msg *reply = slot->req.reply;
	Sf__NodeStatus *in = NULL;

	if (slot->req.result == 0)
		in = sf__node_status__unpack(NULL, reply->blob_len, reply->blob);
	if (!in) {
		g->status->nodes_silent++;
		g->status->scrub.behind++;
		return;
	}
	merge_node(g->status, in, &g->status->nodes[slot->tag]);
	sf__node_status__free_unpacked(in, NULL);
}

static void gather(struct sf_cluster *cluster, struct gathering *g)
{
	struct batch batch;

	batch_init(&batch, cluster, STATUS_WINDOW, 0, status_answered, g);
	for (uint32_t i = 0; i < g->map->node_count; i++) {
		const struct map_node *n = &g->map->nodes[i];
		struct batch_slot *slot;

		g->status->nodes[i].node = n->id;
		if (!(n->flags & NODE_UP))
			continue;
		slot = batch_take(&batch, ROUTE_NODE, MSG_STATUS);
		slot->tag = i;
		slot->req.addr = n->addr;
		slot->req.port = n->port;
		slot->req.timeout_ms = STATUS_MS;
		slot->req.keep_reply = true;
		batch_submit(slot);
	}
	batch_fini(&batch);
}

static void fill_disks(struct sf_status *s, const struct map *map)
{
	s->disk_count = map->disk_count;
	s->disks = xcalloc(map->disk_count, sizeof(s->disks[0]));
	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *d = &map->disks[i];

		s->disks[i] = (struct sf_disk){
			.id = d->id,
			.node = d->node,
			.weight = d->weight,
			.up = map_disk_up(map, d),
			.failed = d->flags & DISK_FAILED,
			.lost = d->flags & DISK_LOST,
			.leaving = d->flags & DISK_LEAVING,
		};
	}
}

static struct sf_status *status_unformatted(struct sf_cluster *cluster)
{
	struct sf_status *s = xcalloc(1, sizeof(*s));
	struct sf_map *map;

	s->health = SF_HEALTH_UNFORMATTED;
	s->recovery_eta_s = ~0ull;
	snprintf(s->advice, sizeof(s->advice),
	         "The cluster is not formatted yet: dog cluster format does that.");
	if (sf_map_get(cluster, 0, &map) == 0) {
		s->nodes_total = s->nodes_up = map->node_count;
		for (uint32_t i = 0; i < map->node_count; i++)
			s->disks_total += map->nodes[i].disk_count;
		s->disks_up = s->disks_total;
		sf_map_free(map);
	}
	return s;
}

int sf_status_get(struct sf_cluster *cluster, struct sf_status **ret)
{
	int err = cluster_map_refetch(cluster);
	struct gathering g;
	struct map *map;

	if (err == -ENODEV) {
		*ret = status_unformatted(cluster);
		return 0;
	}
	if (err < 0)
		return err;
	map = cluster_map_copy(cluster);
	g = (struct gathering){.map = map, .status = xcalloc(1, sizeof(*g.status))};
	health_count_map(g.status, map);
	fill_disks(g.status, map);
	g.status->node_count = map->node_count;
	g.status->nodes = xcalloc(map->node_count, sizeof(g.status->nodes[0]));
	g.status->min_live_extra = map->min_live_extra;
	g.status->scrub.interval_s =
		map->scrub_interval_s ? map->scrub_interval_s : SCRUB_DEFAULT_S;
	gather(cluster, &g);
	trouble_take_leaderless(&g.status->troubles, map, DOWN_SHOWN);
	troubles_name(cluster, map, &g.status->troubles);
	g.status->troubles.epoch = map->epoch;
	health_judge(g.status, map, (uint64_t)time(NULL));
	map_unref(map);
	*ret = g.status;
	return 0;
}

void sf_status_free(struct sf_status *status)
{
	if (!status)
		return;
	troubles_fini(&status->troubles);
	free(status->disks);
	free(status->bad_disks);
	free(status->nodes);
	free(status);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* What a node knows: of itself, and of the PGs it is primary of. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/wire/sheepfold.pb-c.h"
#include "sheep/core/core.h"
#include "sheep/core/trouble.h"

enum { UNFOUND_SHOWN = 100 };

static void count_state(const struct node *node, const struct pg *pg, Sf__NodeStatus__PgCounts *c)
{
	uint32_t live = __builtin_popcountll(pg->live);

	c->total++;
	if (pg->state == PG_DOWN || live < pg->k)
		c->down++;
	else if (pg->state != PG_ACTIVE)
		c->peering++;
	else if (live < pg_min_live(node, pg))
		c->halted++;
	else if (pg->missing.count)
		c->recovering++;
	else if (live < pg->n)
		c->degraded++;
	else
		c->clean++;
}

static void count_missing(struct node *node, struct pg *pg, Sf__NodeStatus *s)
{
	uint32_t cursor = 0, unfound = 0;

	for (struct hnode *h = NULL; (h = htab_walk(&pg->missing, &cursor, h));) {
		const struct missing *m = container_of(h, struct missing, by_oid);
		if (m->unfound) {
			s->objects_unfound++;
			unfound++;
			if (s->n_unfound_oids < UNFOUND_SHOWN)
				s->unfound_oids[s->n_unfound_oids++] = m->oid;
			continue;
		}
		if (m->tombstone)
			continue;
		s->objects_by_redundancy[missing_redundancy(m)]++;
		s->objects_missing++;
		s->objects_blocked += m->full;
		s->bytes_missing += m->size * __builtin_popcountll(m->need);
	}
	if (unfound && pg_heard_all(node, pg))
		s->objects_lost += unfound;
}

static void count_pgs(struct node *node, Sf__NodeStatus *s)
{
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++) {
			struct pg *pg = node->pools[i].pgs[j].pg;
			if (!pg)
				continue;
			uint32_t live = __builtin_popcountll(pg->live);
			uint64_t before = s->objects_missing + s->objects_unfound;
			count_state(node, pg, s->pgs);
			count_missing(node, pg, s);
			uint64_t whole = pg->object_count -
			                 (s->objects_missing + s->objects_unfound - before);
			if (pg->state == PG_ACTIVE && pg->object_count && live >= pg->k)
				s->objects_by_redundancy[live - pg->k] += whole;
		}
}

static void fill_disk(const struct node *node, uint32_t i, Sf__NodeStatus__Disk *d)
{
	const struct disk_state *st = &node->disks[i];

	sf__node_status__disk__init(d);
	d->id = st->id;
	d->path = st->path;
	d->size_bytes = st->usage.size_bytes;
	d->used_bytes = st->usage.used_bytes;
	d->live_bytes = st->usage.live_bytes;
	d->avail_bytes = st->usage.avail_bytes;
	d->failed = st->failed;
	d->shards = st->usage.shards;
	d->checksum_errors = st->usage.checksum_errors;
	d->repaired = st->repaired;
}

static void fill_activity(struct node *node, Sf__NodeStatus *s)
{
	s->node = node->config.info.id;
	s->epoch = node->map ? node->map->epoch : 0;
	s->version = node->config.version ? (char *)node->config.version : (char *)"";
	s->uptime_ms = node->now - node->started_ms;
	s->recovered_objects = node->stat.recovered_objects;
	s->recovered_bytes = node->stat.recovered_bytes;
	s->recovery_rate_bytes_s = node->stat.rate;
	s->recovery_started_ms_ago =
		node->stat.recovery_started ? node->now - node->stat.recovery_started + 1 : 0;
	s->client_ops = node->stat.ops;
	s->client_bytes_written = node->stat.written;
	s->client_bytes_read = node->stat.read;
	s->client_inflight = node->client_ops;
	s->pool_bytes = buf_pool_used_bytes(node->config.pool);
}

void req_stat_count(struct req_stat *s, const struct msg *req)
{
	s->total++;
	switch (req->type) {
	case MSG_OBJ_WRITE:
	case MSG_OBJ_ZERO:
	case MSG_SHARD_PREPARE:
	case MSG_SHARD_PUSH:
		s->write++;
		s->bytes_written += payload_len(&req->payload);
		break;
	case MSG_OBJ_READ:
	case MSG_SHARD_READ:
		s->read++;
		break;
	case MSG_OBJ_DELETE:
	case MSG_SHARD_REMOVE:
		s->remove++;
		break;
	default:
		break;
	}
}

static void fill_requests(Sf__NodeStatus__Requests *r, const struct req_stat *s)
{
	sf__node_status__requests__init(r);
	r->active = s->active;
	r->total = s->total;
	r->write = s->write;
	r->read = s->read;
	r->remove = s->remove;
	r->bytes_written = s->bytes_written;
	r->bytes_read = s->bytes_read;
}

static void fill_bad_disks(const struct node *node, Sf__NodeStatus *s, Sf__NodeStatus__BadDisk *bad,
                           Sf__NodeStatus__BadDisk **list)
{
	for (uint32_t i = 0; i < node->bad_disk_count; i++) {
		sf__node_status__bad_disk__init(&bad[i]);
		bad[i].path = (char *)node->bad_disks[i].path;
		bad[i].why = (char *)node->bad_disks[i].why;
		bad[i].id = node->bad_disks[i].id;
		list[i] = &bad[i];
	}
	s->bad_disks = list;
	s->n_bad_disks = node->bad_disk_count;
}

static void fill_scrub(struct node *node, Sf__NodeStatus__Scrub *s)
{
	const struct scrub_stat *stat = scrub_stat(node);

	s->running = scrub_is_running(node);
	s->objects = stat->objects;
	s->found_missing = stat->missing;
	s->found_damaged = stat->damaged;
	s->found_stale = stat->stale;
	s->found_leftover = stat->leftover;
	s->found_wrong = stat->wrong;
	s->repaired = stat->repaired;
	s->undecided = node->contradiction_count;
	for (uint32_t i = 0; i < node->pool_count; i++)
		for (uint32_t j = 0; j < node->pools[i].pg_count; j++) {
			const struct pg_slot *slot = &node->pools[i].pgs[j];
			uint64_t done = slot->scrub.done_s;
			if (!slot->pg)
				continue;
			s->pgs_due += scrub_is_due(node, slot);
			s->pgs_never += !done;
			s->newest_s = MAX(s->newest_s, done);
			if (done && (!s->oldest_s || done < s->oldest_s))
				s->oldest_s = done;
		}
}

void status_handle(struct node *node, uint64_t conn, struct msg *msg)
{
	struct msg *reply = msg_create_reply(msg, RES_OK);
	Sf__NodeStatus s = SF__NODE_STATUS__INIT;
	Sf__NodeStatus__PgCounts pgs = SF__NODE_STATUS__PG_COUNTS__INIT;
	Sf__NodeStatus__Disk *disks = xcalloc(node->config.info.disk_count + 1, sizeof(*disks));
	Sf__NodeStatus__Disk **list = xcalloc(node->config.info.disk_count + 1, sizeof(*list));
	Sf__NodeStatus__Scrub scrub = SF__NODE_STATUS__SCRUB__INIT;
	Sf__NodeStatus__BadDisk *bad = xcalloc(node->bad_disk_count + 1, sizeof(*bad));
	Sf__NodeStatus__BadDisk **bad_list = xcalloc(node->bad_disk_count + 1, sizeof(*bad_list));
	Sf__NodeStatus__Requests client, peer;
	struct troubles troubles = {.max = TROUBLES_IN_STATUS, .max_down = DOWN_IN_STATUS};
	struct msg from = {.flags = MSG_F_FIRST};
	uint64_t by_redundancy[MAX_PARITY + 1] = {0}, unfound[UNFOUND_SHOWN];

	s.pgs = &pgs;
	s.objects_by_redundancy = by_redundancy;
	s.n_objects_by_redundancy = MAX_PARITY + 1;
	s.unfound_oids = unfound;
	count_pgs(node, &s);
	fill_activity(node, &s);
	fill_scrub(node, &scrub);
	s.scrub = &scrub;
	node->stat.client.active = node->client_ops;
	node->stat.client.bytes_written = node->stat.written;
	node->stat.client.bytes_read = node->stat.read;
	fill_requests(&client, &node->stat.client);
	fill_requests(&peer, &node->stat.peer);
	s.client = &client;
	s.peer = &peer;
	fill_bad_disks(node, &s, bad, bad_list);
	troubles_list(node, &from, &troubles);
	s.troubles = troubles.v;
	s.n_troubles = troubles.count;
	for (uint32_t i = 0; i < node->config.info.disk_count; i++) {
		fill_disk(node, i, &disks[i]);
		list[i] = &disks[i];
	}
	s.disks = list;
	s.n_disks = node->config.info.disk_count;
	reply->blob_len = sf__node_status__get_packed_size(&s);
	reply->blob = xmalloc(reply->blob_len);
	sf__node_status__pack(&s, reply->blob);
	troubles_fini(&troubles);
	free(list);
	free(disks);
	free(bad_list);
	free(bad);
	node_reply(node, conn, reply);
	msg_destroy(msg);
}

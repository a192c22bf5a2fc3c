/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/json.h"

#include <stdio.h>

#include "client/dog/dog.h"
#include "client/dog/recover.h"

static json_t *hex(uint64_t id)
{
	char text[20];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	return json_string(text);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *redundancy(struct sf_redundancy r)
{
	char text[16];

	sf_redundancy_format(r, text);
	return json_string(text);
}

/* Names are bytes; JSON is UTF-8. What is not becomes null rather than nothing. */
static json_t *name_value(const char *name)
{
	json_t *value = json_string(name);

	return value ? value : json_null();
}

json_t *json_volume(const struct sf_volume_info *info)
{
	char id[8];

	snprintf(id, sizeof(id), "%x", info->id & 0xffffff);
	return json_pack("{s:o, s:s, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:i}", "name",
	                 name_value(info->name), "id", id, "tag", name_value(info->tag), "snapshot",
	                 (int)info->snapshot_id, "size", number(info->size_bytes), "used",
	                 number(info->used_bytes), "shared", number(info->shared_bytes), "created",
	                 number(info->created_s), "redundancy", redundancy(info->redundancy),
	                 "block_size_shift", (int)info->object_shift, "pool", (int)info->pool);
}

json_t *json_node(uint32_t id, const struct sf_node *n)
{
	return json_pack("{s:i, s:o, s:s, s:i, s:o, s:i, s:b, s:b, s:b, s:b, s:b, s:i}", "id", (int)id,
	                 "node", hex(n->id), "address", n->address, "port", (int)n->port, "zone",
	                 number(n->zone), "v_nodes", (int)n->weight, "up", n->up, "out", n->out,
	                 "gateway", n->gateway, "draining", n->draining, "maintenance",
	                 n->maintenance, "disks", (int)n->disk_count);
}

json_t *json_disk(const struct sf_disk *d)
{
	json_t *value = json_pack("{s:o, s:o, s:b, s:b, s:b, s:b, s:b, s:o}", "disk", hex(d->id), "node",
	                          hex(d->node), "up", d->up, "failed", d->failed, "lost", d->lost,
	                          "leaving", d->leaving,
	                          "known", d->known, "weight", number(d->weight));

	if (d->known)
		json_object_update_new(
			value,
			json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "path", name_value(d->path),
		                  "size", number(d->size_bytes), "used", number(d->used_bytes),
		                  "avail", number(d->avail_bytes), "live", number(d->live_bytes),
		                  "checksum_errors", number(d->checksum_errors), "parts",
		                  number(d->shards)));
	return value;
}

static json_t *map_pools(const struct sf_map *map)
{
	json_t *pools = json_array();

	for (uint32_t i = 0; i < map->pool_count; i++) {
		const struct sf_pool *p = &map->pools[i];

		json_array_append_new(pools, json_pack("{s:i, s:o, s:i, s:i}", "pool", (int)p->id,
		                                       "redundancy", redundancy(p->redundancy),
		                                       "placement_groups", (int)p->pg_count,
		                                       "block_size_shift", (int)p->object_shift));
	}
	return pools;
}

json_t *json_map(const struct sf_map *map)
{
	json_t *nodes = json_array();

	for (uint32_t i = 0; i < map->node_count; i++)
		json_array_append_new(nodes, json_node(i, &map->nodes[i]));
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o}",
	                 "formatted", map->formatted, "epoch", number(map->epoch), "cluster",
	                 hex(map->cluster_id), "created", number(map->created_s), "changed",
	                 number(map->changed_s), "recovery_enabled", map->recovery_enabled,
	                 "shutting_down", map->shutting_down, "grace_ms", number(map->grace_ms),
	                 "nodes", nodes, "pools", map_pools(map), "min_live_extra",
	                 number(map->min_live_extra), "scrub_interval_s",
	                 map->scrub_interval_s == SF_SCRUB_NEVER ? json_null()
	                                                         : number(map->scrub_interval_s));
}

static json_t *status_redundancy(const struct sf_status *s)
{
	json_t *levels = json_array();
	uint32_t top = 0;

	for (uint32_t r = 0; r < SF_MAX_REDUNDANCY; r++)
		if (s->objects_by_redundancy[r] > 0)
			top = r + 1;
	for (uint32_t r = 0; r < top; r++)
		json_array_append_new(levels, number(s->objects_by_redundancy[r]));
	return levels;
}

static json_t *status_recovery(const struct sf_status *s)
{
	json_t *eta = s->recovery_eta_s == ~0ull ? json_null() : number(s->recovery_eta_s);

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "objects_missing",
	                 number(s->objects_missing), "objects_blocked", number(s->objects_blocked),
	                 "bytes_missing", number(s->bytes_missing), "recovered_objects",
	                 number(s->recovered_objects), "recovered_bytes",
	                 number(s->recovered_bytes), "rate_bytes_s",
	                 number(s->recovery_rate_bytes_s), "running_ms",
	                 number(s->recovery_running_ms), "eta_s", eta);
}

static json_t *bad_disks(const struct sf_status *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->bad_disk_count; i++) {
		const struct sf_bad_disk *b = &s->bad_disks[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "node", hex(b->node),
		                                      "disk", b->disk ? hex(b->disk) : json_null(),
		                                      "path", name_value(b->path), "why",
		                                      name_value(b->why)));
	}
	return list;
}

json_t *json_status(const struct sf_status *s)
{
	json_t *disks = json_array();

	for (uint32_t i = 0; i < s->disk_count; i++)
		json_array_append_new(disks, json_disk(&s->disks[i]));
	return json_pack(
		"{s:s, s:s, s:o, s:{s:i, s:i, s:i, s:i, s:i, s:i}, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:o, s:o},"
		" s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i}, s:{s:o, s:o, s:o, s:i}, s:o,"
		" s:{s:o, s:o, s:o}, s:o, s:o, s:i}",
		"health", sf_health_word(s->health), "advice", s->advice, "epoch", number(s->epoch),
		"nodes", "total", (int)s->nodes_total, "up", (int)s->nodes_up, "out",
		(int)s->nodes_out, "silent", (int)s->nodes_silent, "draining", (int)s->nodes_draining, "maintenance",
		(int)s->nodes_maintenance, "disks", "total",
		(int)s->disks_total, "up", (int)s->disks_up, "failed", (int)s->disks_failed, "out",
		(int)s->disks_out, "given_up", (int)s->disks_lost, "leaving", (int)s->disks_leaving,
		"not_opened", bad_disks(s), "list", disks,
		"placement_groups", "total", (int)s->pgs_total, "clean", (int)s->pgs_clean,
		"degraded", (int)s->pgs_degraded, "recovering", (int)s->pgs_recovering, "peering",
		(int)s->pgs_peering, "halted", (int)s->pgs_halted, "down", (int)s->pgs_down,
		"objects", "by_remaining_redundancy", status_redundancy(s), "unfound",
		number(s->objects_unfound), "lost", number(s->objects_lost), "min_redundancy",
		(int)s->min_redundancy, "recovery", status_recovery(s), "space", "size",
		number(s->size_bytes), "used", number(s->used_bytes), "avail",
		number(s->avail_bytes), "scrub", json_scrub(&s->scrub), "troubles",
		json_troubles(&s->troubles), "min_live_extra", (int)s->min_live_extra);
}

json_t *json_location(const struct sf_object_location *l)
{
	json_t *shards = json_array();

	for (uint32_t i = 0; i < l->shard_count; i++) {
		const struct sf_shard_location *s = &l->shards[i];

		json_array_append_new(
			shards, json_pack("{s:i, s:o, s:o, s:s, s:i, s:b, s:b, s:o}", "shard",
		                          (int)s->shard, "node", hex(s->node), "disk", hex(s->disk),
		                          "address", s->address, "port", (int)s->port, "up", s->up,
		                          "present", s->present, "version", number(s->version)));
	}
	return json_pack("{s:o, s:i, s:i, s:b, s:o, s:o}", "object", hex(l->oid), "pool",
	                 (int)l->pool, "placement_group", (int)l->pg, "exists", l->exists,
	                 "primary", l->primary == ~0u ? json_null() : number(l->primary), "shards",
	                 shards);
}

json_t *json_check(const struct sf_check_result *r)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "objects",
	                 number(r->objects), "shards", number(r->shards), "missing",
	                 number(r->missing), "damaged", number(r->damaged), "stale",
	                 number(r->stale), "repaired", number(r->repaired), "lost_objects",
	                 number(r->lost_objects), "left_over", number(r->leftover),
	                 "undecided_objects", number(r->undecided_objects), "absent_objects",
	                 number(r->absent_objects));
}

int json_print(json_t *value)
{
	if (!value || json_dumpf(value, stdout, JSON_INDENT(2)) != 0) {
		fprintf(stderr, "Failed to print JSON\n");
		json_decref(value);
		return DOG_SYSTEM;
	}
	putchar('\n');
	json_decref(value);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE_LEN = 32, TIME_LEN = 40, ADDRESS_LEN = SF_ADDR_LEN + 12 };

/* ---- Values ---- */

static const char *size_text(uint64_t bytes, char text[SIZE_LEN])
{
	static const char *const units[] = {"MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / (1 << 20);
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, SIZE_LEN, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static const char *time_text(uint64_t seconds, const char *format, char text[TIME_LEN])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(text, TIME_LEN, format, &tm) == 0)
		snprintf(text, TIME_LEN, "%llu", (unsigned long long)seconds);
	return text;
}

static const char *address_text(const struct sf_node *node, char text[ADDRESS_LEN])
{
	bool v6 = strchr(node->address, ':') != NULL;

	snprintf(text, ADDRESS_LEN, "%s%s%s:%u", v6 ? "[" : "", node->address, v6 ? "]" : "",
	         node->port);
	return text;
}

/* ---- cluster info ---- */

static const char *status_sentence(struct sf_cluster *cluster, const struct sf_map *map)
{
	struct sf_status *status;
	enum sf_health health = SF_HEALTH_OK;

	if (!map->formatted)
		return "Waiting for cluster to be formatted";
	if (map->shutting_down)
		return "System is shutting down";
	if (sf_status_get(cluster, &status) == 0) {
		health = status->health;
		sf_status_free(status);
	}
	if (health == SF_HEALTH_HALTED)
		return "IO has halted as there are not enough living nodes";
	return map->recovery_enabled ? "running, auto-recovery enabled"
	                             : "running, auto-recovery disabled";
}

static void epoch_print(FILE *out, const struct sf_map *map)
{
	char when[TIME_LEN], address[ADDRESS_LEN];
	const char *between = "";

	fprintf(out, "%s %6u [", time_text(map->changed_s, "%Y-%m-%d %H:%M:%S", when), map->epoch);
	for (uint32_t i = 0; i < map->node_count; i++) {
		if (!map->nodes[i].up)
			continue;
		fprintf(out, "%s%s:%u", between, address_text(&map->nodes[i], address),
		        map->nodes[i].weight);
		between = ", ";
	}
	fputs("]\n", out);
}

static void epochs_print(FILE *out, struct sf_cluster *cluster, const struct sf_map *newest)
{
	struct sf_map *old;

	epoch_print(out, newest);
	for (uint32_t epoch = newest->epoch - 1; epoch > 0; epoch--) {
		if (sf_map_get(cluster, epoch, &old) < 0)
			return; /* the cluster keeps no older ones */
		epoch_print(out, old);
		sf_map_free(old);
	}
}

int text_cluster_info(struct sf_cluster *cluster, char **ret)
{
	struct sf_map *map;
	char created[64];
	time_t t;
	size_t len;
	FILE *out;
	int err = sf_map_get(cluster, 0, &map);

	if (err < 0)
		return err;
	out = open_memstream(ret, &len);
	if (!out)
		abort();
	fprintf(out, "Cluster status: %s\n", status_sentence(cluster, map));
	if (map->formatted) {
		t = (time_t)map->created_s;
		fprintf(out, "\nCluster created at %s\n", ctime_r(&t, created) ? created : "?\n");
		if (map->min_live_extra != 1)
			fprintf(out, "Writes need: k+%u parts alive%s\n\n", map->min_live_extra,
			        map->min_live_extra ? "" : ", none to spare (min-live k)");
		fputs("Epoch Time           Version [Host:Port:V-Nodes,,,]\n", out);
		epochs_print(out, cluster, map);
	}
	fclose(out);
	sf_map_free(map);
	return 0;
}

/* ---- node list, node info ---- */

int text_node_list(struct sf_cluster *cluster, char **ret)
{
	char address[ADDRESS_LEN];
	struct sf_map *map;
	size_t len;
	FILE *out;
	uint32_t id = 0;
	int err = sf_map_get(cluster, 0, &map);

	if (err < 0)
		return err;
	out = open_memstream(ret, &len);
	if (!out)
		abort();
	fputs("  Id   Host:Port         V-Nodes       Zone\n", out);
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct sf_node *n = &map->nodes[i];

		if (n->up)
			fprintf(out, "%4u   %-20s\t%3u%11u\n", id++, address_text(n, address),
			        n->weight, n->zone);
	}
	fclose(out);
	sf_map_free(map);
	return 0;
}

struct space {
	uint64_t size, used, avail;
};

static void space_print(FILE *out, const char *label, const struct space *s)
{
	unsigned percent = s->size ? (unsigned)((double)s->used * 100 / (double)s->size) : 0;
	char size[SIZE_LEN], used[SIZE_LEN], avail[SIZE_LEN];

	fprintf(out, "%s\t%s\t%s\t%s\t%3u%%\n", label, size_text(s->size, size),
	        size_text(s->used, used), size_text(s->avail, avail), percent);
}

static void spaces_print(FILE *out, const struct sf_map *map, const struct sf_status *status)
{
	struct space total = {0};
	uint32_t id = 0;
	char label[16];

	for (uint32_t i = 0; i < map->node_count; i++) {
		struct space s = {0};

		if (!map->nodes[i].up)
			continue;
		for (uint32_t d = 0; d < status->disk_count; d++) {
			const struct sf_disk *disk = &status->disks[d];

			if (disk->node != map->nodes[i].id || !disk->known)
				continue;
			s.size += disk->size_bytes;
			s.used += disk->used_bytes;
			s.avail += disk->avail_bytes;
		}
		total.size += s.size;
		total.used += s.used;
		total.avail += s.avail;
		snprintf(label, sizeof(label), "%2u", id++);
		space_print(out, label, &s);
	}
	space_print(out, "Total", &total);
}

static int volumes_size(struct sf_cluster *cluster, uint64_t *ret)
{
	struct sf_volume_info *list;
	size_t count;
	int err = sf_volume_list(cluster, &list, &count);

	*ret = 0;
	if (err < 0)
		return err;
	for (size_t i = 0; i < count; i++)
		*ret += list[i].size_bytes;
	free(list);
	return 0;
}

int text_node_info(struct sf_cluster *cluster, char **ret)
{
	struct sf_status *status;
	struct sf_map *map;
	uint64_t volumes = 0;
	char text[SIZE_LEN];
	size_t len;
	FILE *out;
	int err = sf_map_get(cluster, 0, &map);

	if (err < 0)
		return err;
	err = sf_status_get(cluster, &status);
	if (err < 0) {
		sf_map_free(map);
		return err;
	}
	if (map->formatted)
		err = volumes_size(cluster, &volumes);
	if (!err) {
		out = open_memstream(ret, &len);
		if (!out)
			abort();
		fputs("Id\tSize\tUsed\tAvail\tUse%\n", out);
		spaces_print(out, map, status);
		fprintf(out, "\nTotal virtual image size\t%s\n", size_text(volumes, text));
		fclose(out);
	}
	sf_status_free(status);
	sf_map_free(map);
	return err;
}

/* ---- vdi list ---- */

static void volume_print(FILE *out, const struct sf_volume_info *info)
{
	char size[SIZE_LEN], used[SIZE_LEN], shared[SIZE_LEN], when[TIME_LEN], copies[16];
	char kind = info->snapshot_id ? 's' : info->clone ? 'c' : ' ';

	sf_redundancy_format(info->redundancy, copies);
	fprintf(out, "%c %-8s %5d %7s %7s %7s %s  %7x %6s %13s %3d\n", kind, info->name,
	        (int)info->snapshot_id, size_text(info->size_bytes, size),
	        size_text(info->used_bytes, used), size_text(info->shared_bytes, shared),
	        time_text(info->created_s, "%Y-%m-%d %H:%M", when), info->id, copies, info->tag,
	        (int)info->object_shift);
}

int text_vdi_list(struct sf_cluster *cluster, char **ret)
{
	struct sf_volume_info *list;
	size_t count, len;
	FILE *out;
	int err = sf_volume_list(cluster, &list, &count);

	if (err < 0)
		return err;
	out = open_memstream(ret, &len);
	if (!out)
		abort();
	fputs("  Name        Id    Size    Used  Shared    Creation time   VDI id  Copies  Tag   "
	      "Block Size Shift\n",
	      out);
	for (size_t i = 0; i < count; i++)
		volume_print(out, &list[i]);
	fclose(out);
	free(list);
	return 0;
}

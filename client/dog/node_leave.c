/* SPDX-License-Identifier: Apache-2.0 */

/* dog node drain, undrain and maintenance; what md unplug shares with them. */
#include "client/dog/node_leave.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/dog/json.h"
#include "client/dog/progress.h"
#include "client/dog/text.h"

enum { POLL_MS = 300, WAIT_MAX_S = 7 * 24 * 3600 };

bool leaver_has(const struct leaver *l, const struct sf_disk *disk)
{
	return l->disk ? disk->id == l->disk : disk->node == l->node->id;
}

static bool takes_data(const struct sf_map *map, const struct sf_disk *disk)
{
	for (uint32_t i = 0; i < map->node_count; i++)
		if (map->nodes[i].id == disk->node)
			return disk->up && disk->known && !disk->leaving && !map->nodes[i].draining &&
			       !map->nodes[i].out && !map->nodes[i].gateway;
	return false;
}

void leaver_room_get(const struct sf_status *status, const struct sf_map *map,
                     const struct leaver *l, struct leaver_room *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < status->disk_count; i++) {
		const struct sf_disk *d = &status->disks[i];

		if (leaver_has(l, d)) {
			ret->bytes += d->live_bytes;
			ret->parts += d->shards;
		} else if (takes_data(map, d)) {
			ret->avail += d->avail_bytes;
		}
	}
	/* Placement by hash does not fill all disks alike. */
	ret->fits = ret->bytes <= ret->avail / 10 * 9;
}

bool leaver_is_empty(const struct sf_status *s, const struct leaver *l)
{
	for (uint32_t i = 0; i < s->disk_count; i++)
		if (leaver_has(l, &s->disks[i]) && s->disks[i].up && s->disks[i].shards > 0)
			return false;
	return s->pgs_clean >= s->pgs_total && s->objects_missing == 0 && s->nodes_silent == 0 &&
	       s->scrub.behind == 0;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t parts_left(const struct sf_status *s, const struct leaver *l)
{
	uint64_t parts = 0;

	for (uint32_t i = 0; i < s->disk_count; i++)
		if (leaver_has(l, &s->disks[i]))
			parts += s->disks[i].shards;
	return parts;
}

int leaver_wait(struct dog *dog, const struct leaver *l, uint64_t wait_s)
{
	uint64_t end = now_ms() + wait_s * 1000, all = 0;
	struct progress bar = {0};
	struct sf_status *s;

	for (;;) {
		int err = sf_status_get(dog->cluster, &s);
		bool empty = err == 0 && leaver_is_empty(s, l);
		uint64_t left = err == 0 ? parts_left(s, l) : 0;

		if (err == 0)
			sf_status_free(s);
		if (left > all) {
			all = left;
			progress_begin(&bar, all, false);
		}
		if (all)
			progress_update(&bar, all - left);
		if (empty || now_ms() >= end) {
			progress_end(&bar);
			if (empty)
				return DOG_OK;
			fprintf(stderr, "The time is over, and %llu parts are still there.\n",
			        (unsigned long long)left);
			return DOG_FAILED;
		}
		usleep(POLL_MS * 1000);
	}
}

/* ---- drain ---- */

static const char *name_of(const struct sf_node *node, char text[TEXT_ADDR_LEN])
{
	return text_address(node->address, node->port, text);
}

static int drain_refuse_full(const struct leaver_room *room, const char *name)
{
	char bytes[TEXT_SIZE_LEN], avail[TEXT_SIZE_LEN];

	fprintf(stderr,
	        "Failed to drain %s: it holds %s and the others have room for %s; add disks or delete "
	        "volumes first, or give -f\n",
	        name, text_size(room->bytes, false, bytes), text_size(room->avail, false, avail));
	return DOG_FULL;
}

static int drain_tell(const struct dog *dog, const struct sf_node *node,
                      const struct leaver_room *room)
{
	char bytes[TEXT_SIZE_LEN], name[TEXT_ADDR_LEN];

	if (dog->json)
		return json_print(json_pack("{s:s, s:i, s:I, s:I, s:b}", "address", node->address,
		                            "port", (int)node->port, "parts",
		                            (json_int_t)room->parts, "bytes",
		                            (json_int_t)room->bytes, "up", node->up));
	if (dog->raw)
		printf("%s %llu %llu\n", name_of(node, name), (unsigned long long)room->parts,
		       (unsigned long long)room->bytes);
	else if (!node->up)
		printf("%s is down; it leaves the cluster once all is rebuilt without it.\n",
		       name_of(node, name));
	else
		printf("%s is being drained: %s in %llu parts move to other nodes.\n"
		       "It is empty when dog node list says \"drained\"; it may be stopped then, and leaves the "
		       "cluster.\n",
		       name_of(node, name), text_size(room->bytes, false, bytes),
		       (unsigned long long)room->parts);
	return DOG_OK;
}

static int drain_node(struct dog *dog, const struct node_view *view, const struct sf_node *node,
                      uint64_t wait_s)
{
	struct leaver l = {.node = node};
	struct leaver_room room;
	struct sf_status *status;
	char name[TEXT_ADDR_LEN];
	int err = sf_status_get(dog->cluster, &status);

	if (err < 0)
		return dog_fail(err, "get the disks' state");
	leaver_room_get(status, view->map, &l, &room);
	sf_status_free(status);
	if (!room.fits && !option_get(dog, "force"))
		return drain_refuse_full(&room, name_of(node, name));
	err = sf_node_drain(dog->cluster, node->id, true);
	if (err < 0)
		return dog_fail(err, "drain %s", name_of(node, name));
	int code = drain_tell(dog, node, &room);
	return code || !wait_s ? code : leaver_wait(dog, &l, wait_s);
}

static int with_node(struct dog *dog, const char *text, struct node_view *view,
                     const struct sf_node **ret)
{
	int code = node_view_get(dog, view);

	if (code)
		return code;
	code = node_pick(view, text, ret);
	if (code)
		node_view_fini(view);
	return code;
}

int node_drain(struct dog *dog, int argc, char **argv)
{
	const char *wait = option_get(dog, "wait");
	const struct sf_node *node;
	struct node_view view;
	uint64_t wait_s = 0;
	int code;

	if (wait && text_parse_number(wait, WAIT_MAX_S, &wait_s) < 0)
		return dog_usage("'%.40s' is no number of seconds", wait);
	code = with_node(dog, argv[0], &view, &node);
	if (code)
		return code;
	code = drain_node(dog, &view, node, wait_s);
	node_view_fini(&view);
	return code;
}

int node_undrain(struct dog *dog, int argc, char **argv)
{
	const struct sf_node *node;
	struct node_view view;
	int code = with_node(dog, argv[0], &view, &node), err;

	if (code)
		return code;
	err = sf_node_drain(dog->cluster, node->id, false);
	node_view_fini(&view);
	return err < 0 ? dog_fail(err, "undrain %s", argv[0]) : DOG_OK;
}

/* ---- maintenance ---- */

int node_maintenance(struct dog *dog, int argc, char **argv)
{
	bool on = strcmp(argv[1], "on") == 0;
	const struct sf_node *node;
	struct node_view view;
	int code, err;

	if (!on && strcmp(argv[1], "off") != 0)
		return dog_usage("'%.40s' is neither on nor off", argv[1]);
	code = with_node(dog, argv[0], &view, &node);
	if (code)
		return code;
	err = sf_node_maintenance(dog->cluster, node->id, on);
	node_view_fini(&view);
	return err < 0 ? dog_fail(err, "change the maintenance mode of %s", argv[0]) : DOG_OK;
}

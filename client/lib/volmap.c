/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/volmap.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/inode.h"
#include "lib/base/mem.h"
#include "lib/place/map.h"

/* Page p covers the bytes [p, p + 1) * VOLMAP_PAGE_BYTES of the inode's linear space, so that no
 * page crosses objects; the header takes the first entries' place in page 0. */
static uint64_t page_of(uint64_t index)
{
	return inode_map_pos(index) / VOLMAP_PAGE_BYTES;
}
static uint32_t entry_of(uint64_t index)
{
	return (uint32_t)(inode_map_pos(index) % VOLMAP_PAGE_BYTES / 4);
}

static bool bit_get(const struct volmap_page *p, uint32_t i)
{
	return p->unsafe[i / 64] >> (i % 64) & 1;
}
static void bit_set(struct volmap_page *p, uint32_t i)
{
	p->unsafe[i / 64] |= 1ull << (i % 64);
}
static void bit_clear(struct volmap_page *p, uint32_t i)
{
	p->unsafe[i / 64] &= ~(1ull << (i % 64));
}

void volmap_init(struct volmap *map, struct sf_cluster *cluster, uint32_t volume,
                 uint32_t part_shift, uint64_t objects)
{
	*map = (struct volmap){.cluster = cluster, .volume = volume, .part_shift = part_shift};
	map->page_count = objects ? page_of(objects - 1) + 1 : 0;
	map->pages = xcalloc(map->page_count, sizeof(map->pages[0]));
	map->run_values = xmalloc(VOLMAP_PAGE_BYTES);
	list_init(&map->dirty);
	list_init(&map->waiters);
}

void volmap_fini(struct volmap *map)
{
	assert(!map->run_page && list_empty(&map->waiters));
	for (uint64_t i = 0; i < map->page_count; i++)
		free(map->pages[i]);
	free(map->pages);
	free(map->run_values);
}

/* ---- Loading ---- */

/* Entries are volume ids. Anything else is damage, and must not become part of an object's id. */
static bool page_is_sane(const struct volmap_page *page)
{
	uint32_t first = page == page->map->pages[0] ? INODE_HEADER_LEN / 4 : 0;

	for (uint32_t i = first; i < VOLMAP_PAGE_ENTRIES; i++)
		if (le32toh(page->entries[i]) > VOLUME_ID_MASK)
			return false;
	return true;
}

static void page_loaded(struct request *req)
{
	struct volmap_page *page = req->arg;
	struct list loads;
	int err = req->result;

	request_fini(req);
	if (!err && !page_is_sane(page)) {
		err = -EIO;
		snprintf(page->load.why, sizeof(page->load.why), "the volume's map is damaged");
	}
	list_init(&loads);
	list_splice(&loads, &page->loads);
	page->loaded = err == 0;
	for (struct list *it; (it = list_pop(&loads));) {
		struct volmap_load *load = list_item(it, struct volmap_load, link);

		load->done(load, err, page->load.why);
	}
}

static void page_fetch(struct volmap *map, uint64_t number)
{
	struct volmap_page *page = map->pages[number];
	uint64_t pos = number * VOLMAP_PAGE_BYTES;
	struct request *req = &page->load;

	request_init(req, ROUTE_PRIMARY, MSG_OBJ_READ);
	req->pool = POOL_META;
	req->oid = oid_inode(map->volume, (uint32_t)(pos >> map->part_shift));
	req->offset = pos & ((1ull << map->part_shift) - 1);
	req->length = VOLMAP_PAGE_BYTES;
	req->rx = page->entries;
	req->done = page_loaded;
	req->arg = page;
	request_submit(map->cluster, req);
}

bool volmap_load(struct volmap *map, uint64_t index, struct volmap_load *load)
{
	uint64_t number = page_of(index);
	struct volmap_page *page;
	bool fetch;

	assert(number < map->page_count);
	page = map->pages[number];
	if (page && page->loaded)
		return true;
	if (!page) {
		page = map->pages[number] = xcalloc(1, sizeof(*page));
		page->map = map;
		list_init(&page->dirty);
		list_init(&page->loads);
	}
	/* A fetch that failed is tried again by whoever comes next. */
	fetch = list_empty(&page->loads);
	list_push(&page->loads, &load->link);
	if (fetch)
		page_fetch(map, number);
	return false;
}

uint32_t volmap_owner(const struct volmap *map, uint64_t index)
{
	return le32toh(map->pages[page_of(index)]->entries[entry_of(index)]);
}

bool volmap_is_vouched(const struct volmap *map, uint64_t index)
{
	return map->pages[page_of(index)]->vouched;
}

void volmap_vouch(struct volmap *map, uint64_t index)
{
	map->pages[page_of(index)]->vouched = true;
}

/* ---- Changing ---- */

bool volmap_find_run(const struct volmap_page *page, uint32_t own, uint32_t *ret_first,
                     uint32_t *ret_count)
{
	uint32_t first = 0, last, i;

	while (first < VOLMAP_PAGE_ENTRIES && !bit_get(page, first))
		first += page->unsafe[first / 64] >> (first % 64) ? 1 : 64 - first % 64;
	if (first >= VOLMAP_PAGE_ENTRIES)
		return false;
	/* Own entries in between are written again as they are. Others' are not: they may change
	 * meanwhile. */
	for (i = last = first; i < VOLMAP_PAGE_ENTRIES; i++) {
		if (bit_get(page, i))
			last = i;
		else if (le32toh(page->entries[i]) != own)
			break;
	}
	*ret_first = first;
	*ret_count = last - first + 1;
	return true;
}

static void run_start(struct volmap *map);

/* Entries that still are what was written are durable now. After a failure they are taken back. */
static void run_settle(struct volmap *map, struct volmap_page *page, int err)
{
	bool more = false;

	for (uint32_t i = 0; i < map->run_count; i++) {
		uint32_t at = map->run_first + i;

		if (!bit_get(page, at) || page->entries[at] != map->run_values[i])
			continue;
		bit_clear(page, at);
		if (err)
			page->entries[at] = 0;
	}
	for (uint32_t i = 0; i < VOLMAP_PAGE_ENTRIES / 64 && !more; i++)
		more = page->unsafe[i] != 0;
	if (!more)
		list_remove(&page->dirty);
}

static void run_done(struct request *req)
{
	struct volmap *map = req->arg;
	struct volmap_page *page = map->run_page;
	uint64_t number = 0;
	struct list settled;
	int err = req->result;

	request_fini(req);
	while (map->pages[number] != page)
		number++;
	run_settle(map, page, err);
	map->run_page = NULL;
	list_init(&settled);
	list_each_safe (it, &map->waiters) {
		struct volmap_waiter *w = list_item(it, struct volmap_waiter, link);
		uint32_t at = entry_of(w->index);

		if (page_of(w->index) != number || at < map->run_first ||
		    at >= map->run_first + map->run_count || bit_get(page, at))
			continue;
		list_remove(&w->link);
		list_push(&settled, &w->link);
	}
	/* The next run first: whoever is called now may have to wait for it. */
	run_start(map);
	for (struct list *it; (it = list_pop(&settled));) {
		struct volmap_waiter *w = list_item(it, struct volmap_waiter, link);

		w->done(w, err, map->write.why);
	}
}

static void run_start(struct volmap *map)
{
	struct volmap_page *page;
	struct request *req = &map->write;
	uint64_t pos, number = 0;
	char why[ERROR_TEXT_LEN];

	if (map->run_page || list_empty(&map->dirty))
		return;
	page = list_item(map->dirty.next, struct volmap_page, dirty);
	if (!volmap_find_run(page, map->volume, &map->run_first, &map->run_count))
		return;
	while (map->pages[number] != page)
		number++;
	map->run_page = page;
	memcpy(map->run_values, page->entries + map->run_first, 4 * (size_t)map->run_count);
	pos = number * VOLMAP_PAGE_BYTES + 4 * (uint64_t)map->run_first;
	memcpy(why, req->why,
	       sizeof(why)); /* of the run before, whose waiters are still to be called */
	request_init(req, ROUTE_PRIMARY, MSG_OBJ_WRITE);
	memcpy(req->why, why, sizeof(why));
	req->fence = map->fence;
	req->pool = POOL_META;
	req->oid = oid_inode(map->volume, (uint32_t)(pos >> map->part_shift));
	req->offset = pos & ((1ull << map->part_shift) - 1);
	req->tx = map->run_values;
	req->tx_len = 4 * map->run_count;
	req->done = run_done;
	req->arg = map;
	request_submit(map->cluster, req);
}

bool volmap_set(struct volmap *map, uint64_t index, uint32_t owner, struct volmap_waiter *waiter)
{
	struct volmap_page *page = map->pages[page_of(index)];
	uint32_t at = entry_of(index), value = htole32(owner);

	assert(page && page->loaded);
	if (page->entries[at] == value && !bit_get(page, at))
		return true;
	page->entries[at] = value;
	bit_set(page, at);
	if (list_empty(&page->dirty))
		list_push(&map->dirty, &page->dirty);
	waiter->index = index;
	list_push(&map->waiters, &waiter->link);
	run_start(map);
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_VOLMAP_H
#define SF_CLIENT_VOLMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/request.h"
#include "lib/base/list.h"

/*
 * The map of an open volume: which volume id owns each data object. Read in pages when first
 * needed, changed in memory at once, written in runs: all changes next to each other go into one
 * write, one write at a time. So that a stream of new objects costs few of them.
 *
 * On the I/O thread only.
 */
enum { VOLMAP_PAGE_BYTES = 64 << 10, VOLMAP_PAGE_ENTRIES = VOLMAP_PAGE_BYTES / 4 };

struct volmap_page {
	struct list dirty; /* in volmap->dirty while some entry is not durable */
	struct list loads; /* struct volmap_load */
	bool loaded;
	bool vouched; /* the volume was seen alive after this was loaded */
	struct request load;
	struct volmap *map;
	uint64_t unsafe[VOLMAP_PAGE_ENTRIES / 64]; /* bit set: not durable as it stands here */
	uint32_t entries[VOLMAP_PAGE_ENTRIES];     /* as on the wire: little-endian */
};

/* Someone who waits for a page, or for an entry to be durable. */
struct volmap_load {
	struct list link;
	void (*done)(struct volmap_load *load, int err, const char *why);
};
struct volmap_waiter {
	struct list link;
	uint64_t index;
	void (*done)(struct volmap_waiter *waiter, int err, const char *why);
};

struct volmap {
	struct sf_cluster *cluster;
	uint32_t volume;
	uint32_t part_shift; /* object size of the metadata pool */
	const struct fence *fence; /* of what is written; NULL: none */
	uint64_t page_count;
	struct volmap_page **pages;
	struct list dirty, waiters;
	/* The write under way: entries [run_first, run_first + run_count) of run_page. */
	struct request write;
	struct volmap_page *run_page;
	uint32_t run_first, run_count;
	uint32_t *run_values;
};

void volmap_init(struct volmap *map, struct sf_cluster *cluster, uint32_t volume,
                 uint32_t part_shift, uint64_t objects);
/* Nothing may be under way. */
void volmap_fini(struct volmap *map);

/* True: the entry can be asked for. False: it is being fetched, load->done will be called. */
bool volmap_load(struct volmap *map, uint64_t index, struct volmap_load *load);
/* 0: not allocated. */
uint32_t volmap_owner(const struct volmap *map, uint64_t index);
/* Of what is loaded: a map that is read while its volume is being deleted has zeros where there were
 * entries. Who has the volume's lock need not ask. */
bool volmap_is_vouched(const struct volmap *map, uint64_t index);
void volmap_vouch(struct volmap *map, uint64_t index);
/* True when the entry has this value durably; otherwise it is being made so, waiter->done will be
 * called. */
bool volmap_set(struct volmap *map, uint64_t index, uint32_t owner, struct volmap_waiter *waiter);

/* The longest run to write next: from the first entry marked unsafe to the last one that is reached
 * over unsafe entries and over such as have the value `own`. False: none. */
bool volmap_find_run(const struct volmap_page *page, uint32_t own, uint32_t *ret_first,
                     uint32_t *ret_count);

#endif

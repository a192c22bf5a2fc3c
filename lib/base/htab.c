/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/htab.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum { HTAB_FIRST_SLOTS = 16 };

void htab_init(struct htab *t)
{
	*t = (struct htab){0};
}

void htab_fini(struct htab *t)
{
	free(t->slots);
	htab_init(t);
}

static void slot_push(struct htab *t, struct hnode *n)
{
	struct hnode **slot = &t->slots[n->hash & t->mask];

	n->next = *slot;
	*slot = n;
}

static void htab_grow(struct htab *t)
{
	struct htab old = *t;
	size_t slots = old.slots ? 2 * ((size_t)old.mask + 1) : HTAB_FIRST_SLOTS;

	t->slots = xcalloc(slots, sizeof(*t->slots));
	t->mask = (uint32_t)(slots - 1);
	for (size_t i = 0; old.slots && i <= old.mask; i++) {
		for (struct hnode *n = old.slots[i], *next; n; n = next) {
			next = n->next;
			slot_push(t, n);
		}
	}
	free(old.slots);
}

void htab_insert(struct htab *t, struct hnode *n, uint64_t hash)
{
	if (!t->slots || (t->count > t->mask && t->mask < UINT32_MAX / 2))
		htab_grow(t);
	n->hash = hash;
	slot_push(t, n);
	t->count++;
}

void htab_remove(struct htab *t, struct hnode *n)
{
	struct hnode **link;

	assert(t->count > 0);
	link = &t->slots[n->hash & t->mask];
	while (*link != n) {
		assert(*link);
		link = &(*link)->next;
	}
	*link = n->next;
	n->next = NULL;
	t->count--;
}

static struct hnode *chain_find(struct hnode *n, uint64_t hash)
{
	while (n && n->hash != hash)
		n = n->next;
	return n;
}

struct hnode *htab_first(const struct htab *t, uint64_t hash)
{
	return t->slots ? chain_find(t->slots[hash & t->mask], hash) : NULL;
}

struct hnode *htab_next(const struct hnode *n)
{
	return chain_find(n->next, n->hash);
}

struct hnode *htab_walk(const struct htab *t, uint32_t *cursor, struct hnode *prev)
{
	if (prev && prev->next)
		return prev->next;
	if (!t->slots)
		return NULL;
	/* The cursor is the next slot to look at. */
	while (*cursor <= t->mask) {
		struct hnode *n = t->slots[(*cursor)++];

		if (n)
			return n;
	}
	return NULL;
}

uint64_t hash_bytes(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

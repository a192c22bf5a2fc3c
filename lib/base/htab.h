/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_HTAB_H
#define SF_BASE_HTAB_H

#include <stddef.h>
#include <stdint.h>

/*
 * Intrusive hash table with chaining that grows by doubling. The caller hashes and compares:
 * find the chain with htab_first/htab_next (same hash), check the key, use container_of.
 * Iteration order depends on hashes and insertions only, so it repeats in a simulation.
 */
struct hnode {
	struct hnode *next;
	uint64_t hash;
};
struct htab {
	struct hnode **slots;
	uint32_t mask;
	uint32_t count;
};

void htab_init(struct htab *t);
void htab_fini(struct htab *t); /* frees the table, not the items */
void htab_insert(struct htab *t, struct hnode *n, uint64_t hash);
void htab_remove(struct htab *t, struct hnode *n);
/* First / next node with exactly this hash, or NULL. */
struct hnode *htab_first(const struct htab *t, uint64_t hash);
struct hnode *htab_next(const struct hnode *n);
/* Walks all: start with cursor = 0 and prev = NULL; NULL at the end. No insertion during a walk;
 * the node returned may be removed only after its successor was fetched. */
struct hnode *htab_walk(const struct htab *t, uint32_t *cursor, struct hnode *prev);

/* 64-bit finaliser of good quality (splitmix64). */
static inline uint64_t hash64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}
/* FNV-1a, 64 bit. */
uint64_t hash_bytes(const void *data, size_t len);

#endif

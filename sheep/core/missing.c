/* SPDX-License-Identifier: Apache-2.0 */

/* Objects of a PG of which some slot lacks its shard, queued by how many more failures they
 * survive. */
#include <stdlib.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/core/core.h"

struct missing *missing_find(struct pg *pg, uint64_t oid)
{
	for (struct hnode *h = htab_first(&pg->missing, hash64(oid)); h; h = htab_next(h)) {
		struct missing *m = container_of(h, struct missing, by_oid);
		if (m->oid == oid)
			return m;
	}
	return NULL;
}

struct missing *missing_add(struct node *node, struct pg *pg, uint64_t oid, uint64_t version)
{
	struct missing *m = xcalloc(1, sizeof(*m));

	m->pg = pg;
	m->oid = oid;
	m->version = version;
	m->size = ec_part_size(pg->k, 1u << pg->conf->object_shift);
	list_init(&m->queue);
	list_init(&m->waiting);
	htab_insert(&pg->missing, &m->by_oid, hash64(oid));
	for (uint32_t i = 0; i < pg->n; i++)
		m->source[i] = i; /* members begin with the slots */
	pg->clean = pg->clean_sent = false;
	return m;
}

/* Peering let it stand because enough shards were there, and some proved to be damaged. If it was never
 * acknowledged the version before it stands, which may well be whole. */
bool missing_is_in_doubt(const struct missing *m)
{
	return m->unfound && m->unstable && !m->held;
}

uint32_t missing_redundancy(const struct missing *m)
{
	uint32_t have = __builtin_popcountll(m->have);

	if (m->tombstone)
		return m->pg->n - m->pg->k;
	return have > m->pg->k ? have - m->pg->k : 0;
}

void missing_requeue(struct node *node, struct missing *m)
{
	list_remove(&m->queue);
	m->unfound = !m->tombstone && (uint32_t)__builtin_popcountll(m->have) < m->pg->k;
	if (missing_is_in_doubt(m) ||
	    (m->unfound && m->pg->state == PG_ACTIVE && peering_lacks_holders(node, m->pg)))
		membership_peer_anew(node);
	if (m->running || m->unfound || m->held || !m->need || m->pg->state != PG_ACTIVE)
		return;
	if (m->need == m->accept)
		list_push(&node->accepting, &m->queue);
	else
		list_push(&node->recover[missing_redundancy(m)], &m->queue);
}

bool missing_is_from(const struct missing *m, struct req_id req)
{
	return m->unstable && req.client && m->req.client == req.client && m->req.seq == req.seq;
}

void missing_stable(struct node *node, struct missing *m)
{
	struct log_entry e = {m->version, m->oid, m->req};

	m->unstable = false;
	pg_add_request(m->pg, &e, RES_OK);
	if (--m->pg->unstable_count)
		return;
	m->pg->commit_cap = UINT64_MAX;
	pg_advance_commit(node, m->pg);
}

void missing_free(struct node *node, struct missing *m)
{
	struct pg *pg = m->pg;
	struct list waiting;
	struct list *l;

	list_init(&waiting);
	list_splice(&waiting, &m->waiting);
	list_remove(&m->queue);
	htab_remove(&pg->missing, &m->by_oid);
	if (m->unstable)
		missing_stable(node, m);
	free(m);
	while ((l = list_pop(&waiting)))
		op_start(node, list_item(l, struct op, link));
}

void missing_mark_slot(struct node *node, struct pg *pg, uint64_t oid, uint64_t version,
                       uint32_t slot)
{
	struct missing *m = missing_find(pg, oid);
	struct disk_state *own = node_disk(node, pg->slot_disk[slot]);

	if (!m) {
		m = missing_add(node, pg, oid, version);
		m->have = pg->live;
	}
	m->have &= ~slot_bit(slot);
	m->accept &= ~slot_bit(slot);
	m->need |= slot_bit(slot) & pg->live;
	if (own)
		own->repaired++;
	missing_requeue(node, m);
}

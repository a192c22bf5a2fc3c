/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_cs.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_node.h"

static struct cs_engine *engine(const struct world *w)
{
	return sim_member_engine(w);
}

/* ---- Items and events ---- */

void cs_item_unref(struct cs_item *item)
{
	if (item && --item->refs == 0)
		free(item);
}

static struct cs_item *item_create(enum cs_item_type type, uint32_t machine, struct cs_id id, const uint8_t *bytes,
                                   size_t len)
{
	struct cs_item *item = xcalloc(1, sizeof(*item) + len);

	item->refs = 1;
	item->type = type;
	item->machine = machine;
	item->id = id;
	item->len = len;
	if (len)
		memcpy(item->bytes, bytes, len);
	return item;
}

void cs_event_free(struct cs_event *e)
{
	cs_item_unref(e->item);
	free(e);
}

static void events_drop(struct cs_machine *m)
{
	for (struct cs_event *e; (e = m->first);) {
		m->first = e->next;
		cs_event_free(e);
	}
	m->last = &m->first;
}

static bool id_equal(struct cs_id a, struct cs_id b)
{
	return a.node == b.node && a.pid == b.pid;
}

static uint32_t member_index(const struct cs_machine *m, struct cs_id id)
{
	uint32_t i = 0;

	while (i < m->member_count && !id_equal(m->members[i], id))
		i++;
	return i;
}

/* A process hears nothing before it has seen itself join. */
static void event_add(struct world *w, uint32_t machine, enum cs_event_type type, const struct cs_id *dead,
                      struct cs_item *item)
{
	struct cs_machine *m = &engine(w)->machines[machine];
	struct cs_event *e;

	if (!m->process.pid || member_index(m, m->process) == m->member_count)
		return;
	e = xcalloc(1, sizeof(*e));
	e->type = type;
	e->ring = m->ring->id;
	e->member_count = m->member_count;
	memcpy(e->members, m->members, m->member_count * sizeof(m->members[0]));
	if (dead)
		e->dead[e->dead_count++] = *dead;
	if (item) {
		e->item = item;
		item->refs++;
	}
	*m->last = e;
	m->last = &e->next;
	cs_client_wake(w, machine);
}

/* ---- One ring's order ---- */

static void receive_one(struct world *w, uint32_t machine)
{
	struct cs_machine *m = &engine(w)->machines[machine];
	struct cs_item *item = m->ring->items[m->received++];
	uint32_t at = member_index(m, item->id);

	switch (item->type) {
	case ITEM_MESSAGE:
		event_add(w, machine, EVENT_MESSAGE, NULL, item);
		break;
	case ITEM_JOINED:
		if (at < m->member_count || m->member_count == CS_IDS_MAX)
			break;
		m->members[m->member_count++] = item->id;
		event_add(w, machine, EVENT_VIEW, NULL, NULL);
		if (id_equal(item->id, m->process))
			event_add(w, machine, EVENT_RING, NULL, NULL); /* it has asked for that */
		break;
	case ITEM_LEFT:
	case ITEM_ENDED:
		if (at == m->member_count)
			break;
		m->members[at] = m->members[--m->member_count];
		event_add(w, machine, EVENT_VIEW, item->type == ITEM_LEFT ? &item->id : NULL, NULL);
		break;
	}
}

static void receive_until(struct world *w, uint32_t machine, uint32_t count)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	while (m->received < count)
		receive_one(w, machine);
}

static uint64_t totem_delay(struct world *w)
{
	return draw_skewed(w, 50, 20 * SIM_MS);
}

static void receives(struct world *w, void *arg);

static void receive_soon(struct world *w, struct cs_machine *m)
{
	if (m->receiving || !m->ring || m->received >= m->ring->count)
		return;
	m->receiving = true;
	world_after(w, totem_delay(w), receives, m, NULL);
}

static void receives(struct world *w, void *arg)
{
	struct cs_machine *m = arg;
	uint32_t machine = (uint32_t)(m - engine(w)->machines);

	m->receiving = false;
	if (!m->ring || m->received >= m->ring->count)
		return;
	if (!cs_machine_is_stuck(w, machine))
		receive_until(w, machine,
		              m->received + 1 + (uint32_t)draw_below(w, m->ring->count - m->received));
	receive_soon(w, m);
}

/* Takes the reference. */
static void ring_add(struct world *w, struct cs_ring *ring, struct cs_item *item)
{
	if (ring->count == ring->capacity) {
		ring->capacity = ring->capacity ? 2 * ring->capacity : 64;
		ring->items = xrealloc(ring->items, ring->capacity * sizeof(*ring->items));
	}
	ring->items[ring->count++] = item;
	for (uint32_t i = 0; i < SIM_MAX_NODES; i++)
		if (ring->members & 1u << i)
			receive_soon(w, &engine(w)->machines[i]);
}

/* ---- Sending: when the token comes ---- */

static void sends(struct world *w, void *arg);

static void send_soon(struct world *w, struct cs_machine *m)
{
	if (m->sending || !m->out_count)
		return;
	m->sending = true;
	world_after(w, totem_delay(w), sends, m, NULL);
}

static void sends(struct world *w, void *arg)
{
	struct cs_machine *m = arg;
	uint32_t count = (uint32_t)draw_between(w, 1, 8);

	m->sending = false;
	if (!m->ring || cs_machine_is_stuck(w, (uint32_t)(m - engine(w)->machines)))
		count = 0;
	for (; count && m->out_count; count--) {
		struct cs_item *item = m->out[0];

		memmove(m->out, m->out + 1, --m->out_count * sizeof(*m->out));
		ring_add(w, m->ring, item);
	}
	send_soon(w, m);
}

/* Takes the reference. */
static void out_add(struct world *w, struct cs_machine *m, struct cs_item *item)
{
	m->out = xrealloc(m->out, (m->out_count + 1) * sizeof(*m->out));
	m->out[m->out_count++] = item;
	send_soon(w, m);
}

void cs_process_send(struct world *w, uint32_t machine, const uint8_t *bytes, size_t len)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	if (m->up && m->process.pid)
		out_add(w, m, item_create(ITEM_MESSAGE, machine, m->process, bytes, len));
}

void cs_process_join(struct world *w, uint32_t machine, struct cs_id id)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	events_drop(m);
	m->process = id;
	out_add(w, m, item_create(ITEM_JOINED, machine, id, NULL, 0));
}

void cs_process_leave(struct world *w, uint32_t machine, bool in_order)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	if (!m->process.pid)
		return;
	if (m->up)
		out_add(w, m, item_create(in_order ? ITEM_LEFT : ITEM_ENDED, machine, m->process, NULL, 0));
	events_drop(m);
	m->process = (struct cs_id){0};
}

/* ---- Rings ---- */

static void ring_free(struct cs_ring *ring)
{
	for (uint32_t i = 0; i < ring->count; i++)
		cs_item_unref(ring->items[i]);
	free(ring->items);
	free(ring);
}

static void empty_rings_free(struct cs_engine *e)
{
	for (struct cs_ring **at = &e->rings; *at;) {
		struct cs_ring *ring = *at;

		if (ring->members) {
			at = &ring->next;
			continue;
		}
		*at = ring->next;
		ring_free(ring);
	}
}

/* Those of `sub` leave their ring together: all receive what any of them has. What they had sent beyond that is `again`. */
static void leave_ring(struct world *w, struct cs_ring *old, uint32_t sub, struct cs_ring *again)
{
	struct cs_engine *e = engine(w);
	uint32_t most = 0;

	for (uint32_t i = 0; i < w->node_count; i++)
		if (sub & 1u << i)
			most = MAX(most, e->machines[i].received);
	for (uint32_t i = 0; i < w->node_count; i++)
		if (sub & 1u << i)
			receive_until(w, i, most);
	for (uint32_t k = most; k < old->count; k++)
		if (sub & 1u << old->items[k]->machine) {
			old->items[k]->refs++;
			ring_add(w, again, old->items[k]);
		}
	old->members &= ~sub;
}

static void enter_ring(struct world *w, uint32_t machine, struct cs_ring *ring, uint32_t together)
{
	struct cs_machine *m = &engine(w)->machines[machine];
	bool left = false;

	m->ring = ring;
	m->received = 0;
	event_add(w, machine, EVENT_RING, NULL, NULL);
	for (uint32_t i = 0; i < m->member_count;) {
		if (together & 1u << (m->members[i].node - 1)) {
			i++;
			continue;
		}
		m->members[i] = m->members[--m->member_count];
		left = true;
	}
	if (left)
		event_add(w, machine, EVENT_VIEW, NULL, NULL);
}

static void ring_form(struct world *w, uint32_t set)
{
	struct cs_engine *e = engine(w);
	struct cs_ring *ring = xcalloc(1, sizeof(*ring)), *again = xcalloc(1, sizeof(*again));
	uint32_t together[SIM_MAX_NODES];

	ring->id = hash64(++e->ring_count);
	e->changed_us = w->now_us;
	for (uint32_t i = 0; i < w->node_count; i++)
		together[i] = (e->machines[i].ring ? e->machines[i].ring->members : 1u << i) & set;
	for (struct cs_ring *old = e->rings; old; old = old->next)
		if (old->members & set)
			leave_ring(w, old, old->members & set, again);
	world_trace(w, "cs: ring of %x", set);
	for (uint32_t i = 0; i < w->node_count; i++)
		if (set & 1u << i)
			enter_ring(w, i, ring, together[i]);
	ring->members = set;
	ring->next = e->rings;
	e->rings = ring;
	empty_rings_free(e);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct cs_machine *m = &e->machines[i];

		if ((set & 1u << i) && m->process.pid && member_index(m, m->process) < m->member_count)
			ring_add(w, ring, item_create(ITEM_JOINED, i, m->process, NULL, 0));
	}
	for (uint32_t k = 0; k < again->count; k++) {
		again->items[k]->refs++;
		ring_add(w, ring, again->items[k]);
	}
	ring_free(again);
	for (uint32_t i = 0; i < w->node_count; i++)
		if (set & 1u << i)
			send_soon(w, &e->machines[i]);
}

/* ---- Who hears whom ---- */

bool cs_machine_is_stuck(const struct world *w, uint32_t machine)
{
	return w->now_us < engine(w)->machines[machine].stuck_until_us;
}

uint32_t cs_machine_ring_size(const struct world *w, uint32_t machine)
{
	const struct cs_machine *m = &engine(w)->machines[machine];

	return m->ring ? (uint32_t)__builtin_popcount(m->ring->members) : 0;
}

static bool hear(const struct world *w, uint32_t i, uint32_t j)
{
	const struct cs_machine *a = &engine(w)->machines[i], *b = &engine(w)->machines[j];

	return a->up && b->up &&
	       (i == j || (!cs_machine_is_stuck(w, i) && !cs_machine_is_stuck(w, j) && a->side == b->side &&
	                   sim_net_reaches(w, i, j) && sim_net_reaches(w, j, i)));
}

static bool all_hear(const struct world *w, uint32_t set)
{
	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t j = 0; j <= i; j++)
			if ((set & 1u << i) && (set & 1u << j) && !hear(w, i, j))
				return false;
	return true;
}

/* Into parts in which everybody hears everybody. */
static void ring_break(struct world *w, uint32_t rest)
{
	while (rest) {
		uint32_t first = (uint32_t)draw_below(w, w->node_count), set = 0;

		for (uint32_t k = 0; k < w->node_count; k++) {
			uint32_t i = (first + k) % w->node_count;

			if ((rest & 1u << i) && all_hear(w, set | 1u << i))
				set |= 1u << i;
		}
		if (!set) /* they are down */
			return;
		rest &= ~set;
		ring_form(w, set);
	}
}

static void rings_mind(struct world *w)
{
	struct cs_engine *e = engine(w);
	struct cs_ring *broken = NULL;

	for (struct cs_ring *r = e->rings; r; r = r->next) {
		if (!r->lost && all_hear(w, r->members))
			r->broken_us = 0;
		else if (!r->broken_us)
			r->broken_us = w->now_us;
		else if (w->now_us > r->broken_us + e->token_ms * SIM_MS)
			broken = r;
	}
	if (broken) {
		ring_break(w, broken->members);
		return;
	}
	for (struct cs_ring *a = e->rings; a; a = a->next)
		for (struct cs_ring *b = a->next; b; b = b->next)
			if (!a->broken_us && !b->broken_us && all_hear(w, a->members | b->members) &&
			    draw_below(w, 2)) {
				ring_form(w, a->members | b->members);
				return;
			}
}

static void totem_tick(struct world *w, void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < w->node_count; i++)
		if (w->nodes[i]->state == NODE_GONE)
			cs_machine_down(w, i);
	rings_mind(w);
	world_after(w, draw_between(w, 20, 100) * SIM_MS, totem_tick, NULL, NULL);
}

void cs_machine_up(struct world *w, uint32_t machine)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	if (m->up)
		return;
	m->up = true;
	m->reign++;
	m->stuck_until_us = 0;
	ring_form(w, 1u << machine);
}

void cs_machine_down(struct world *w, uint32_t machine)
{
	struct cs_machine *m = &engine(w)->machines[machine];

	if (!m->up)
		return;
	m->up = false;
	if (m->ring->members == 1u << machine) {
		m->ring->members = 0;
		empty_rings_free(engine(w));
	} else {
		m->ring->members &= ~(1u << machine);
		m->ring->lost = true;
		engine(w)->changed_us = w->now_us;
	}
	m->ring = NULL;
	m->process = (struct cs_id){0};
	m->member_count = 0;
	while (m->out_count)
		cs_item_unref(m->out[--m->out_count]);
	events_drop(m);
}

/* ---- Faults ---- */

static void machine_returns(struct world *w, void *arg)
{
	struct cs_machine *m = arg;
	uint32_t machine = (uint32_t)(m - engine(w)->machines);

	if (w->nodes[machine]->life && w->nodes[machine]->state != NODE_GONE)
		cs_machine_up(w, machine);
}

static void sides_end(struct world *w, void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < w->node_count; i++)
		engine(w)->machines[i].side = 0;
}

static void fault(struct world *w, void *arg)
{
	struct cs_engine *e = engine(w);
	uint32_t i = (uint32_t)draw_below(w, w->node_count);
	struct cs_machine *m = &e->machines[i];
	uint64_t away = draw_skewed(w, 20 * SIM_MS, 6 * SIM_SECOND);

	(void)arg;
	if (!e->faults)
		return;
	switch (m->up ? draw_below(w, 5) : 5) {
	case 0:
		world_trace(w, "cs: the Corosync of n%u ends for %llu ms", i, (unsigned long long)(away / SIM_MS));
		if (m->process.pid && !cs_machine_is_stuck(w, i) && draw_below(w, 2))
			ring_add(w, m->ring, item_create(ITEM_ENDED, i, m->process, NULL, 0));
		cs_machine_down(w, i);
		world_after(w, away, machine_returns, m, NULL);
		break;
	case 1:
		world_trace(w, "cs: the Corosync of n%u stands still for %llu ms", i,
		            (unsigned long long)(away / SIM_MS));
		m->stuck_until_us = w->now_us + away;
		break;
	case 2:
		world_trace(w, "cs: the rings' network falls apart for %llu ms", (unsigned long long)(away / SIM_MS));
		for (i = 0; i < w->node_count; i++)
			e->machines[i].side = (uint32_t)draw_below(w, 3) / 2;
		world_after(w, away, sides_end, NULL, NULL);
		break;
	case 3:
		world_trace(w, "cs: n%u has lost the token", i);
		ring_break(w, m->ring->members);
		break;
	case 4:
		/* For a moment some hear the token late. */
		world_trace(w, "cs: n%u is alone for a moment", i);
		if (m->ring->members & ~(1u << i)) {
			uint32_t others = m->ring->members & ~(1u << i);
			ring_form(w, 1u << i);
			ring_break(w, others);
		}
		break;
	default:
		break;
	}
	world_after(w, draw_skewed(w, 200 * SIM_MS, 8 * SIM_SECOND), fault, NULL, NULL);
}

void cs_totem_start_faults(struct world *w)
{
	engine(w)->faults = true;
	world_after(w, draw_below(w, 4 * SIM_SECOND), fault, NULL, NULL);
}

void cs_totem_heal(struct world *w)
{
	struct cs_engine *e = engine(w);

	e->faults = false;
	sides_end(w, NULL);
	for (uint32_t i = 0; i < w->node_count; i++) {
		e->machines[i].stuck_until_us = MIN(e->machines[i].stuck_until_us, w->now_us);
		machine_returns(w, &e->machines[i]);
	}
}

void cs_totem_start(struct world *w, struct cs_engine *e)
{
	for (uint32_t i = 0; i < SIM_MAX_NODES; i++)
		e->machines[i].last = &e->machines[i].first;
	world_after(w, draw_below(w, 100 * SIM_MS), totem_tick, NULL, NULL);
}

void cs_totem_destroy(struct cs_engine *e)
{
	for (uint32_t i = 0; i < SIM_MAX_NODES; i++) {
		struct cs_machine *m = &e->machines[i];

		while (m->out_count)
			cs_item_unref(m->out[--m->out_count]);
		free(m->out);
		events_drop(m);
	}
	for (struct cs_ring *r; (r = e->rings);) {
		e->rings = r->next;
		ring_free(r);
	}
}

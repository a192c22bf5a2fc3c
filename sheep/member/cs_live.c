/* SPDX-License-Identifier: Apache-2.0 */

/* Beats, leases, and who is live. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/cs_state.h"

enum { LINGER_MS = CS_LEASE_MS + 200 }; /* clocks run a little differently */

/* ---- Who has gone ---- */

static void linger_remove(struct cs_logic *l, uint32_t i)
{
	l->lingers[i] = l->lingers[--l->linger_count];
	l->live_due = true;
}

void cs_live_left(struct cs_logic *l, const struct cs_peer *p, bool dead)
{
	l->live_due = true;
	if (dead || !p->has_info || l->linger_count == CS_MEMBERS_MAX)
		return;
	l->lingers = xrealloc(l->lingers, (l->linger_count + 1) * sizeof(*l->lingers));
	l->lingers[l->linger_count++] = (struct cs_linger){.id = p->id, .info = p->info};
}

/* A process before us on this machine may have been in the last active view, or none of those here. */
static void hold_begin(struct cs_logic *l)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < l->peer_count; i++)
		if (l->peers[i].told)
			last = MAX(last, l->peers[i].state.ballot);
	if (l->active_ballot < last || (!l->active_ballot && l->frozen.promised))
		l->hold_until = l->now + LINGER_MS;
	l->active_ballot = l->ballot;
}

/* Whatever they had proven, they had before this. */
void cs_live_active(struct cs_logic *l)
{
	for (uint32_t i = 0; i < l->linger_count; i++)
		if (!l->lingers[i].until_ms)
			l->lingers[i].until_ms = l->now + LINGER_MS;
	hold_begin(l);
	l->live_due = true;
}

/* Back in the group, or started anew: the process before is gone for sure. */
static bool is_back(const struct cs_logic *l, const struct cs_linger *g)
{
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (l->peers[i].has_info && l->peers[i].info.id == g->info.id)
			return true;
	return false;
}

static void lingers_expire(struct cs_logic *l)
{
	for (uint32_t i = 0; i < l->linger_count;)
		if (is_back(l, &l->lingers[i]) ||
		    (l->lingers[i].until_ms && l->now >= l->lingers[i].until_ms))
			linger_remove(l, i);
		else
			i++;
}

/* ---- The live set ---- */

void cs_live_info(struct cs_logic *l, struct cs_peer *p, const uint8_t *data, size_t len)
{
	struct node_info info;

	if (node_info_decode(data, len, &info) < 0)
		return;
	if (p->has_info && !memcmp(&p->info, &info, sizeof(info)))
		return;
	p->has_info = true;
	p->info = info;
	l->live_due = true;
}

void cs_live_deliver(struct cs_logic *l)
{
	struct node_info *nodes = xcalloc(l->peer_count + l->linger_count + 1, sizeof(*nodes));
	uint32_t count = 0;

	l->live_due = false;
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (l->peers[i].has_info && !l->peers[i].foreign)
			nodes[count++] = l->peers[i].info;
	for (uint32_t i = 0; i < l->linger_count; i++)
		nodes[count++] = l->lingers[i].info;
	l->config.callbacks.live(l->config.callbacks.arg, nodes, count);
	free(nodes);
}

/* ---- Beats ---- */

static int heard_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y;
}

/* The last of our beats that more than half have heard. */
static uint64_t proven_beat(const struct cs_logic *l)
{
	uint64_t *heard = xcalloc(l->peer_count + 1, sizeof(*heard)), result = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < l->peer_count; i++) {
		const struct cs_peer *p = &l->peers[i];

		if (p->foreign || (i && p->id.node == l->peers[i - 1].id.node))
			continue;
		heard[count++] = p->heard;
	}
	qsort(heard, count, sizeof(*heard), heard_compare);
	if (2 * count > l->nodes)
		result = heard[l->nodes / 2];
	free(heard);
	return result;
}

void cs_live_beat(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m)
{
	struct cs_id us = l->config.id;
	uint64_t beat;

	if (m->ballot != l->ballot || l->phase != CS_ACTIVE)
		return;
	cs_decide_told(l, m->committed);
	p->beat = m->beat;
	if (p->id.node == us.node && p->id.pid == us.pid)
		p->heard = m->beat;
	for (uint32_t i = 0; i < m->echo_count; i++)
		if (m->echoes[i].node == us.node && m->echoes[i].pid == us.pid)
			p->heard = MAX(p->heard, m->echoes[i].beat);
	beat = proven_beat(l);
	if (!beat || l->beat - beat >= CS_BEATS_KEPT || !cs_caught_up(l) || l->recovering || !l->quorate)
		return;
	if (l->live_due)
		cs_live_deliver(l);
	if (!l->failed && l->now >= l->hold_until)
		l->config.callbacks.lease(l->config.callbacks.arg, l->beat_at[beat % CS_BEATS_KEPT],
		                          CS_LEASE_MS);
}

static void beat_send(struct cs_logic *l)
{
	struct cs_echo *echoes = xcalloc(l->peer_count + 1, sizeof(*echoes));
	struct cs_msg m = {.type = CS_BEAT,
	                   .ballot = l->ballot,
	                   .beat = ++l->beat,
	                   .committed = l->decided,
	                   .echoes = echoes};

	for (uint32_t i = 0; i < l->peer_count && i < CS_ECHO_MAX; i++)
		echoes[m.echo_count++] = (struct cs_echo){l->peers[i].id.node, l->peers[i].id.pid,
		                                          l->peers[i].beat};
	l->beat_at[l->beat % CS_BEATS_KEPT] = l->now;
	l->beat_ms = l->now;
	cs_send(l, &m);
	free(echoes);
}

void cs_live_run(struct cs_logic *l)
{
	if (l->phase != CS_ACTIVE)
		return;
	lingers_expire(l);
	if (l->live_due && cs_caught_up(l))
		cs_live_deliver(l);
	if (l->now >= l->beat_ms + CS_BEAT_MS)
		beat_send(l);
}

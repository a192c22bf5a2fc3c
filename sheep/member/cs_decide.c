/* SPDX-License-Identifier: Apache-2.0 */

/* The register: promises, proposals, and catching up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/cs_state.h"

enum { WANT_MS = 300, MAPS_AT_ONCE = 64 };

/* ---- Promises ---- */

/* It has forgotten what it had promised, or is new; maybe it has got some of the maps since. */
static bool is_empty(const struct cs_peer *p)
{
	return !p->state.promised;
}

/* Before the first map: promises alone are no register. Who has not told yet may have one. */
static bool nobody_has_maps(const struct cs_logic *l)
{
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (!l->peers[i].told || l->peers[i].state.reg)
			return false;
	return true;
}

/* Its word counts: it has not forgotten anything. */
static bool has_told(const struct cs_logic *l, const struct cs_peer *p)
{
	return p->told && !p->foreign && (!is_empty(p) || nobody_has_maps(l));
}

/* Likewise what we say ourselves: a promise would count like those of the others, who may have promised on top of one that we
 * do not know of any more. As soon as we have the maps we accept like everybody. */
static bool has_forgotten(const struct cs_logic *l)
{
	return !l->frozen.promised && !nobody_has_maps(l);
}

static bool has_promised(const struct cs_logic *l, const struct cs_peer *p)
{
	(void)l;
	return p->ready && !p->foreign;
}

static bool has_acked(const struct cs_logic *l, const struct cs_peer *p)
{
	(void)l;
	return p->acked && !p->foreign;
}

/* The register that most of those who have one have; whoever has another does not belong here. */
static void foreigners_find(struct cs_logic *l)
{
	uint64_t most = 0;
	uint32_t best = 0;

	for (uint32_t i = 0; i < l->peer_count; i++) {
		uint64_t reg = l->peers[i].told ? l->peers[i].state.reg : 0;
		uint32_t count = 0;

		for (uint32_t j = 0; reg && j < l->peer_count; j++)
			count += l->peers[j].told && l->peers[j].state.reg == reg;
		if (count > best || (count == best && reg > most)) {
			best = count;
			most = reg;
		}
	}
	for (uint32_t i = 0; i < l->peer_count; i++)
		l->peers[i].foreign = l->peers[i].told && l->peers[i].state.reg &&
		                      l->peers[i].state.reg != most;
	if (l->reg && most != l->reg && 2 * best > l->nodes)
		cs_fail(l, "the maps in this directory are of another cluster than those of the Corosync group");
}

static int vote_save(struct cs_logic *l)
{
	int err = l->config.ops.vote_save(l->config.ops.arg, &l->vote);

	if (err)
		cs_fail(l, "the vote cannot be kept: %s", sf_strerror(err));
	return err;
}

static void pending_drop(struct cs_logic *l)
{
	free(l->pending.data);
	memset(&l->pending, 0, sizeof(l->pending));
	for (uint32_t i = 0; i < l->peer_count; i++)
		l->peers[i].acked = false;
}

void cs_decide_over(struct cs_logic *l)
{
	pending_drop(l);
	l->recovering = false;
	l->decided = l->committed;
}

/* Told in one order: all compute the same ballot at the same place. */
void cs_decide_gathered(struct cs_logic *l)
{
	uint64_t ballot = 0;

	foreigners_find(l);
	if (l->failed || !cs_majority(l, has_told))
		return;
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (l->peers[i].told && !l->peers[i].foreign)
			ballot = MAX(ballot, l->peers[i].state.promised);
	if (++ballot <= l->ballot)
		return;
	l->ballot = ballot;
	l->phase = CS_PROMISED;
	cs_decide_over(l);
	for (uint32_t i = 0; i < l->peer_count; i++) {
		l->peers[i].ready = l->peers[i].late = false;
		l->peers[i].beat = l->peers[i].heard = 0;
	}
	if (has_forgotten(l))
		return;
	l->vote.promised = ballot;
	if (vote_save(l) == 0)
		cs_ready_say(l);
}

/* Now that we know all that was decided. */
static void promise_late(struct cs_logic *l)
{
	if (l->failed || l->vote.promised >= l->ballot || !cs_caught_up(l))
		return;
	l->vote.promised = l->ballot;
	if (vote_save(l) == 0)
		cs_ready_say(l);
}

/* What was accepted last may have won. Who has it first proposes it again. */
static void recover(struct cs_logic *l)
{
	const struct cs_peer *holder = NULL;

	for (uint32_t i = 0; i < l->peer_count; i++) {
		const struct cs_peer *p = &l->peers[i];

		if (has_promised(l, p) && p->state.accepted_seq == l->decided + 1 &&
		    p->state.accepted_ballot &&
		    (!holder || p->state.accepted_ballot > holder->state.accepted_ballot))
			holder = p;
	}
	if (!holder)
		return;
	l->recovering = true;
	l->recover_nonce = holder->state.accepted_nonce;
	if (holder->id.node != l->config.id.node || holder->id.pid != l->config.id.pid)
		return;
	struct cs_msg m = {.type = CS_PROPOSE,
	                   .ballot = l->ballot,
	                   .seq = l->decided + 1,
	                   .nonce = l->recover_nonce,
	                   .data = l->vote.data,
	                   .len = l->vote.len};
	cs_send(l, &m);
}

void cs_decide_ready(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m)
{
	if (m->ballot != l->ballot || l->phase < CS_PROMISED || p->ready)
		return;
	p->ready = true;
	p->late = l->phase == CS_ACTIVE;
	if (p->late)
		return;
	p->state.accepted_ballot = m->accepted_ballot;
	p->state.accepted_seq = m->accepted_seq;
	p->state.accepted_nonce = m->accepted_nonce;
	p->state.committed = m->committed;
	if (!cs_majority(l, has_promised))
		return;
	l->phase = CS_ACTIVE;
	l->decided = 0; /* the same for all, also for who knows of one more */
	for (uint32_t i = 0; i < l->peer_count; i++)
		if (has_promised(l, &l->peers[i]))
			l->decided = MAX(l->decided, l->peers[i].state.committed);
	log_info(l->config.log, "Corosync: %u of %u nodes agree; ballot %llu, %u maps", l->peer_count,
	         l->nodes, (unsigned long long)l->ballot, l->decided);
	recover(l);
	cs_live_active(l);
	promise_late(l);
}

/* ---- Proposals ---- */

static void own_over(struct cs_logic *l, int result)
{
	free(l->own.data);
	memset(&l->own, 0, sizeof(l->own));
	l->config.callbacks.proposed(l->config.callbacks.arg, result);
}

void cs_deliver(struct cs_logic *l, struct map *map)
{
	int err = l->config.ops.map_save(l->config.ops.arg, l->committed + 1, map);

	if (err) {
		cs_fail(l, "a map cannot be kept: %s", sf_strerror(err));
		return;
	}
	/* Whom this map calls down, and who may have a lease: in the order in which it happened. */
	if (l->live_due && l->phase == CS_ACTIVE)
		cs_live_deliver(l);
	l->committed++;
	l->cluster = map->cluster;
	l->epoch = map->epoch;
	if (!l->reg)
		l->reg = map->cluster;
	l->config.callbacks.map(l->config.callbacks.arg, map);
}

static void refused(struct cs_logic *l, const struct cs_msg *m)
{
	if (l->own.on && l->own.ballot == l->ballot && l->own.nonce == m->nonce)
		own_over(l, -SF_EAGAIN);
}

static void accept(struct cs_logic *l)
{
	struct cs_msg ack = {.type = CS_ACK,
	                     .ballot = l->ballot,
	                     .seq = l->pending.seq,
	                     .nonce = l->pending.nonce};

	if (!cs_caught_up(l))
		return; /* we do not know what it follows */
	if (l->vote.ballot == l->ballot && l->vote.seq == l->pending.seq &&
	    cs_nonce(l->vote.data, l->vote.len) != l->pending.nonce)
		return; /* one for a number and a ballot */
	free(l->vote.data);
	l->vote.promised = l->vote.ballot = l->ballot;
	l->vote.seq = l->pending.seq;
	l->vote.data = xmemdup(l->pending.data, l->pending.len);
	l->vote.len = l->pending.len;
	if (vote_save(l) == 0)
		cs_send(l, &ack);
}

void cs_decide_proposed(struct cs_logic *l, const struct cs_msg *m)
{
	if (m->ballot != l->ballot || l->phase != CS_ACTIVE)
		return;
	if (l->pending.on && l->pending.nonce == m->nonce && l->pending.seq == m->seq)
		return;
	if (l->pending.on || m->seq != l->decided + 1 ||
	    (l->recovering && m->nonce != l->recover_nonce) || m->len == 0) {
		refused(l, m);
		return;
	}
	pending_drop(l);
	l->pending = (struct cs_pending){.on = true,
	                                 .nonce = m->nonce,
	                                 .seq = m->seq,
	                                 .data = xmemdup(m->data, m->len),
	                                 .len = m->len};
	accept(l);
}

static void win(struct cs_logic *l)
{
	struct cs_pending won = l->pending;
	struct map *map = NULL;
	int err;

	memset(&l->pending, 0, sizeof(l->pending));
	pending_drop(l);
	l->recovering = false;
	l->decided = won.seq;
	if (l->committed + 1 == won.seq) {
		err = map_decode(won.data, won.len, &map);
		if (err)
			cs_fail(l, "a map that won cannot be read: %s", sf_strerror(err));
		else
			cs_deliver(l, map);
		map_unref(map);
	}
	free(won.data);
	if (!l->failed && l->own.on && l->own.nonce == won.nonce)
		own_over(l, 0);
}

void cs_decide_acked(struct cs_logic *l, struct cs_peer *p, const struct cs_msg *m)
{
	if (m->ballot != l->ballot || l->phase != CS_ACTIVE || !l->pending.on ||
	    m->seq != l->pending.seq || m->nonce != l->pending.nonce)
		return;
	p->acked = true;
	if (cs_majority(l, has_acked))
		win(l);
}

void cs_logic_propose(struct cs_logic *l, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map)
{
	size_t len;

	free(l->own.data);
	memset(&l->own, 0, sizeof(l->own));
	l->own.on = true;
	l->own.expected_cluster = expected_cluster;
	l->own.expected_epoch = expected_epoch;
	map_encode(map, &l->own.data, &len);
	l->own.len = (uint32_t)len;
	l->own.nonce = cs_nonce(l->own.data, l->own.len);
}

/* Once all that went before is settled. */
static void own_try(struct cs_logic *l)
{
	struct cs_msg m = {.type = CS_PROPOSE,
	                   .ballot = l->ballot,
	                   .seq = l->decided + 1,
	                   .nonce = l->own.nonce,
	                   .data = l->own.data,
	                   .len = l->own.len};

	if (!l->own.on || !l->quorate || l->own.ballot == l->ballot || l->recovering || l->pending.on ||
	    l->committed != l->decided)
		return;
	if (l->own.len > CS_DATA_MAX || l->own.expected_cluster != l->cluster ||
	    l->own.expected_epoch != l->epoch) {
		own_over(l, -SF_EAGAIN);
		return;
	}
	l->own.ballot = l->ballot;
	cs_send(l, &m);
}

/* ---- Catching up ---- */

/* The first of the others that had all maps when the view became active. */
static bool answers_wishes(const struct cs_logic *l, const struct cs_peer *asker)
{
	uint32_t most = 0;

	for (uint32_t i = 0; i < l->peer_count; i++) {
		const struct cs_peer *p = &l->peers[i];

		if (p != asker && has_promised(l, p) && !p->late)
			most = MAX(most, p->state.committed);
	}
	for (uint32_t i = 0; i < l->peer_count; i++) {
		const struct cs_peer *p = &l->peers[i];

		if (p != asker && has_promised(l, p) && !p->late && p->state.committed == most)
			return p->id.node == l->config.id.node && p->id.pid == l->config.id.pid;
	}
	return false;
}

void cs_decide_wanted(struct cs_logic *l, const struct cs_peer *p, const struct cs_msg *m)
{
	if (l->phase != CS_ACTIVE || !answers_wishes(l, p))
		return;
	for (uint32_t seq = m->committed + 1; seq <= l->committed && seq <= m->committed + MAPS_AT_ONCE; seq++) {
		struct cs_msg answer = {.type = CS_MAP, .seq = seq};
		struct map *map;
		uint8_t *data;
		size_t len;
		int err = l->config.ops.map_load(l->config.ops.arg, seq, &map);

		if (err) {
			cs_fail(l, "map %u cannot be read: %s", seq, sf_strerror(err));
			return;
		}
		map_encode(map, &data, &len);
		map_unref(map);
		answer.data = data;
		answer.len = (uint32_t)len;
		cs_send(l, &answer);
		free(data);
	}
}

void cs_decide_map(struct cs_logic *l, const struct cs_msg *m)
{
	uint64_t nonce = cs_nonce(m->data, m->len);
	struct map *map = NULL;

	if (l->phase != CS_ACTIVE || m->seq != l->committed + 1 || m->seq > l->decided)
		return;
	if (map_decode(m->data, m->len, &map) < 0)
		return;
	cs_deliver(l, map);
	map_unref(map);
	if (l->failed)
		return;
	if (l->own.on && l->own.nonce == nonce)
		own_over(l, 0);
	l->wanted_ms = 0;
	promise_late(l);
	if (!l->failed && l->pending.on && cs_caught_up(l))
		accept(l);
}

/* Who hears all in the order knows it before; who missed something learns here that it did. */
void cs_decide_told(struct cs_logic *l, uint32_t decided)
{
	if (decided <= l->decided)
		return;
	pending_drop(l);
	l->recovering = false;
	l->decided = decided;
	l->own.ballot = 0; /* what became of it shows in the maps */
}

void cs_decide_run(struct cs_logic *l)
{
	struct cs_msg want = {.type = CS_WANT, .committed = l->committed};

	if (l->phase != CS_ACTIVE)
		return;
	if (!cs_caught_up(l) && l->now >= l->wanted_ms + WANT_MS) {
		l->wanted_ms = l->now;
		cs_send(l, &want);
	}
	own_try(l);
}

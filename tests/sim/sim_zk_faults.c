/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/math.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_zk.h"

static struct zk_ensemble *ensemble(const struct world *w)
{
	return sim_member_engine(w);
}

/* ---- Leaders, sessions, faults ---- */

static uint32_t counting(const struct zk_ensemble *e)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->server_count; i++)
		n += zk_server_counts(&e->servers[i]);
	return n;
}

static void elected(struct world *w, void *arg)
{
	struct zk_ensemble *e = ensemble(w);
	uint32_t leader = UINT32_MAX;

	(void)arg;
	e->electing = false;
	if (counting(e) * 2 <= e->server_count)
		return;
	for (uint32_t i = 0; i < e->server_count; i++)
		if (zk_server_counts(&e->servers[i]) &&
		    (leader == UINT32_MAX || e->servers[i].applied > e->servers[leader].applied))
			leader = i;
	e->leader = leader;
	e->quorum = true;
	world_trace(w, "zk: server %u leads", leader);
	for (uint64_t i = 0; i < e->session_count; i++)
		e->sessions[i].touched_us = w->now_us;
	/* Who leads has every committed transaction; the others follow by and by. */
	for (uint32_t i = 0; i < e->server_count; i++)
		if (zk_server_counts(&e->servers[i]) && (i == leader || draw_below(w, 2)))
			zk_server_apply(w, i, e->zxid);
}

/* After any change: is there a leader with a majority? */
static void quorum_look(struct world *w)
{
	struct zk_ensemble *e = ensemble(w);

	if (e->quorum && counting(e) * 2 > e->server_count && zk_server_counts(&e->servers[e->leader]))
		return;
	if (e->quorum) {
		e->quorum = false;
		/* They notice, and send their clients away. */
		for (uint32_t i = 0; i < e->server_count; i++)
			if (zk_server_counts(&e->servers[i]))
				zk_server_drop_conns(w, i);
	}
	if (!e->electing && counting(e) * 2 > e->server_count) {
		e->electing = true;
		world_after(w, draw_between(w, 20, 1500) * SIM_MS, elected, NULL, NULL);
	}
}

static void server_back(struct world *w, uint32_t i)
{
	struct zk_ensemble *e = ensemble(w);

	/* Who was cut off notices now at the latest, and begins anew. */
	zk_server_drop_conns(w, i);
	e->servers[i].up = true;
	e->servers[i].cut = false;
	e->servers[i].reign++;
	if (e->quorum)
		zk_server_apply(w, i, e->zxid);
	quorum_look(w);
}

static void server_returns(struct world *w, void *arg)
{
	struct zk_server *s = arg;

	if (!zk_server_counts(s))
		server_back(w, (uint32_t)(s - ensemble(w)->servers));
}

static void server_dies(struct world *w, uint32_t i)
{
	struct zk_ensemble *e = ensemble(w);

	zk_server_drop_conns(w, i);
	e->servers[i].up = false;
	e->servers[i].reign++;
	for (uint64_t s = 0; s < e->session_count; s++)
		e->sessions[s].pending_us[i] = 0;
	quorum_look(w);
}

static void cut_noticed(struct world *w, void *arg)
{
	struct zk_server *s = arg;

	if (s->cut)
		zk_server_drop_conns(w, (uint32_t)(s - ensemble(w)->servers));
}

static void fault(struct world *w, void *arg)
{
	struct zk_ensemble *e = ensemble(w);
	uint32_t i = (uint32_t)draw_below(w, e->server_count);
	struct zk_server *s = &e->servers[i];
	uint64_t away = draw_skewed(w, 50 * SIM_MS, 6 * SIM_SECOND);

	(void)arg;
	if (!e->faults)
		return;
	if (draw_below(w, 3) == 0)
		s = &e->servers[i = e->leader];
	switch (draw_below(w, 5)) {
	case 0:
		world_trace(w, "zk: server %u dies for %llu ms", i, (unsigned long long)(away / SIM_MS));
		server_dies(w, i);
		world_after(w, away, server_returns, s, NULL);
		break;
	case 1:
		world_trace(w, "zk: server %u is cut off for %llu ms", i, (unsigned long long)(away / SIM_MS));
		s->cut = true;
		s->reign++;
		quorum_look(w);
		world_after(w, draw_below(w, 2 * SIM_SECOND), cut_noticed, s, NULL);
		world_after(w, away, server_returns, s, NULL);
		break;
	case 2:
		world_trace(w, "zk: server %u resets its connections", i);
		zk_server_drop_conns(w, i);
		break;
	case 3:
		if (draw_below(w, 3))
			break;
		world_trace(w, "zk: all servers die for %llu ms", (unsigned long long)(away / SIM_MS));
		for (i = 0; i < e->server_count; i++) {
			server_dies(w, i);
			world_after(w, away + draw_below(w, SIM_SECOND), server_returns, &e->servers[i], NULL);
		}
		break;
	default:
		world_trace(w, "zk: the leader steps down");
		e->servers[e->leader].reign++;
		e->quorum = false;
		for (i = 0; i < e->server_count; i++)
			if (zk_server_counts(&e->servers[i]))
				zk_server_drop_conns(w, i);
		quorum_look(w);
		break;
	}
	world_after(w, draw_skewed(w, 200 * SIM_MS, 8 * SIM_SECOND), fault, NULL, NULL);
}

/* Followers pass on who was heard; the leader ends the sessions of those who were not. */
void zk_ensemble_tick(struct world *w, void *arg)
{
	struct zk_ensemble *e = ensemble(w);

	(void)arg;
	for (uint64_t s = 0; e->quorum && s < e->session_count; s++) {
		struct zk_session *x = &e->sessions[s];

		for (uint32_t i = 0; i < e->server_count; i++) {
			if (x->pending_us[i] && zk_server_counts(&e->servers[i]))
				x->touched_us = w->now_us;
			if (zk_server_counts(&e->servers[i]))
				x->pending_us[i] = 0;
		}
		if (x->open && w->now_us > x->touched_us + w->profile.session_ms * SIM_MS) {
			world_trace(w, "zk: session %llu expires", (unsigned long long)s + 1);
			for (uint32_t i = 0; i < w->node_count; i++)
				zk_client_check_expired(w, i, s + 1);
			zk_session_end(w, s + 1);
		}
	}
	world_after(w, w->profile.session_ms * SIM_MS / 20, zk_ensemble_tick, NULL, NULL);
}

void zk_ensemble_start_faults(struct world *w)
{
	ensemble(w)->faults = true;
	world_after(w, draw_below(w, 4 * SIM_SECOND), fault, NULL, NULL);
}

void zk_ensemble_heal(struct world *w)
{
	struct zk_ensemble *e = ensemble(w);

	e->faults = false;
	for (uint32_t i = 0; i < e->server_count; i++)
		if (!zk_server_counts(&e->servers[i]))
			server_back(w, i);
}

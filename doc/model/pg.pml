/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One object of one placement group, its N slots, and every map, crash and loss of messages there can be
 * within the bounds below. The names are those of sheep/core; doc/consistency.md tells the protocol.
 *
 * What is modelled, and how
 *
 *   slot       a disk: committed and pending version, record of activation and clean, the PG's log. Node and
 *              disk are one. A lost disk is replaced by an empty one, which was no slot of earlier intervals.
 *   epoch      each map is an interval of its own; any set of slots may be up in the next. A node learns of
 *              a map when its primary asks it (PG_QUERY), or starts to peer, and not earlier: to know sooner is
 *              the same as to be sent less.
 *   primary    one per epoch, at the lowest slot that is up. It may go on in its old interval as long as
 *              it has not heard of a newer one. A crash needs no step of its own: it is the same as to do nothing until
 *              the next map, which forgets all that was in memory. What a power cut takes from a *disk* has
 *              one (CRASH): commit points that came without a durable request.
 *   message    a broadcast is the set of slots it has not reached yet (todo). A slot takes it as long as it
 *              knows no newer map, whatever became of the sender: messages are late, lost, or out of order.
 *              An answer that is lost is the same as a primary that does no more.
 *   client     R requests, sent by clients of their own and repeated without end until answered. Each
 *              appends its number to the object: a chain tells exactly what was applied, how often, and in which
 *              order.
 *
 * Other objects of the PG appear as one choice: their undecided versions may hold the commit point of
 * PG_ACTIVATE down.
 *
 * Claims (assertions): what was read or acknowledged once is in all that is read later, in that order; no
 * request is applied twice; a slot that is written to has the base; the whole PG up can always decide.
 */

#ifndef N
#define N 3    /* slots */
#endif
#ifndef K
#define K 2    /* shards that make an object */
#endif
#ifndef EPOCHS
#define EPOCHS 4
#endif
#ifndef WRITES
#define WRITES 1    /* versions a primary gives out in one epoch */
#endif
#ifndef REQUESTS
#define REQUESTS 2    /* at most 2 */
#endif
#ifndef LOSSES
#define LOSSES 1    /* disks lost for good */
#endif
#ifndef MIN_UP
#define MIN_UP 1    /* fewest slots up in a map */
#endif
#ifndef COMMITS
#define COMMITS 1    /* 0: PG_COMMIT never arrives, and no other object holds the commit point down */
#endif
#define MIN_LIVE (K + 1 < N -> K + 1 : N)

#define ALL ((1 << N) - 1)
#define VERSIONS (EPOCHS * WRITES + 1)
#define BASE 1    /* the version everybody has in the beginning */
#define version_make(e, c) (((e) - 1) * WRITES + (c) + 1)
#define version_epoch(v) ((v) <= 1 -> 1 : ((v) - 2) / WRITES + 1)

#define UP4(m) has(m, 0), has(m, 1), has(m, 2), has(m, 3)
#define bit(i) (1 << (i))
#define has(set, i) (((set) >> (i)) & 1)
#define count(set) (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))
#define lowest(set) (((set) & 1) -> 0 : (((set) & 2) -> 1 : (((set) & 4) -> 2 : 3)))
#define max(a, b) ((a) > (b) -> (a) : (b))

/* Chains: what an object consists of. */
#define extends(c, old) ((old) == 0 || (c) == (old) || ((old) == 1 && (c) == 3) || ((old) == 2 && (c) == 4))
#define contains(c, r) ((r) == 0 -> ((c) == 1 || (c) >= 3) : (c) >= 2)
#define append(c, r) ((c) == 0 -> (r) + 1 : ((c) == 1 -> 3 : 4))
#define up_to(c, r) ((c) == 3 && (r) == 0 -> 1 : ((c) == 4 && (r) == 1 -> 2 : (c)))

/* Deliberate bugs, one at a time: the number in $BUG when the checker runs. Each breaks a claim. */
hidden byte bug;
#define NO_PROMISE 1        /* PG_QUERY is answered, and older primaries still served */
#define ACK_EARLY 2         /* k + 1 slots have it, not all that are up */
#define FORWARD_SHORT 3     /* k - 1 shards are enough to stand */
#define DROP_OLD 4          /* PREPARE drops the committed version */
#define NO_ROLLBACK 5       /* what was rejected stays on its slots */
#define FORGET_REQUEST 6    /* a new primary takes nobody's log */
#define ONE_INTERVAL 7      /* whoever is up now is enough, whatever happened before */
#define BELOW_MIN 8         /* fewer than k + 1 slots may decide and be written to */
#define NO_LEASE 9          /* nobody waits for the leases of those who are down */
#define OWN_INTERVAL 10     /* only the version's own interval may have made it stable */
#define NO_STOOD 11         /* what is rolled forward is not accepted anew */
#define FORWARD_COMMITTED 12    /* an unstable version is pushed as a committed one */
#define COMMIT_UNSTABLE 13  /* the commit point passes versions that are not on all slots yet */
#define COMMIT_BELOW 14     /* it passes what is pending below one */
#define FORWARD_NO_BASE 15  /* what an unstable version is based on is dropped for it, if still pending */
#define DROP_PENDING_LOG 16 /* PG_ACTIVATE spares no entry whose version is undecided */
#define TRUST_LOGS 17       /* whatever a log says counts */

/* ---- The world ---- */

byte epoch = 1;
byte live[EPOCHS + 1];
byte losses;

/* Slots: what their disks hold. */
byte committed[N], pending[N];
byte committed_stood[N], stood[N];    /* the epoch in which each was last accepted */
byte before[N], before_stood[N];    /* what committed falls back to in a power cut; 0: nothing */
byte activated[N], clean[N];
byte log[N * REQUESTS];    /* version of each request; 0: none */
#ifdef POWER_CUTS
byte cuts;
#endif
byte born[N];    /* first epoch of this disk */
byte known[N];    /* newest map the node has: the promise */

/* Primaries, by epoch. */
mtype = {QUERY, ROLLBACK, LEASE, ACTIVATE, PREPARE, FORWARD, PUSH, CLEAN, ACTIVE, DOWN};
byte state[EPOCHS + 1];
byte todo[EPOCHS + 1];    /* slots that the broadcast under way has not reached */
bool gone[EPOCHS + 1];    /* the node went on to a newer map */
byte stands[EPOCHS + 1];    /* the object's version */
byte need[EPOCHS + 1];    /* slots that lack it */
bool unstable[EPOCHS + 1], held[EPOCHS + 1];    /* struct missing */
byte undo[EPOCHS + 1], drop[EPOCHS + 1];    /* slots whose pending version, or all, is taken back */
byte done[(EPOCHS + 1) * REQUESTS];    /* pg->requests: version */
byte base[EPOCHS + 1];    /* of an unstable version: newest committed one of its holders */
byte again[EPOCHS + 1];    /* the request of the unstable version, + 1 */
byte commit[EPOCHS + 1];    /* of PG_ACTIVATE */
byte cleaned[EPOCHS + 1];    /* clean epoch known; of PG_ACTIVATE */
byte writing[EPOCHS + 1];    /* version being prepared */
byte request[EPOCHS + 1];    /* whose it is */

/* What clients were told. */
byte chain[VERSIONS + 1];
byte seen;    /* every read from now on extends it */
bool issued;    /* the first request was sent: the second may come, too */
byte served = 1;    /* newest epoch whose primary has waited for the leases of those who are down */

hidden byte below[N];    /* enum undo_kind: pending and superseded, or to be decided later */
hidden byte at, rank;
hidden byte v, x, j, f, heard, having, newest, refused[VERSIONS + 1];
hidden byte ok, is_committed, lacks;

#define DONE(e, r) done[(e) * REQUESTS + (r)]
#define LOG(i, r) log[(i) * REQUESTS + (r)]
#define holds(i, v) (committed[i] == (v) || pending[i] == (v))
#define stood_of(i, v) (pending[i] == (v) -> stood[i] : committed_stood[i])
#define newest_of(i) (pending[i] -> pending[i] : committed[i])

/* The primary may answer clients: nobody waited for its lease to end, and it has no newer map. */
#define may_serve(e) (bug == NO_LEASE || (e) >= served || has(live[served], lowest(live[e])))

/* ---- Time passes over primaries ---- */

inline forget(e)
{
	todo[e] = 0; stands[e] = 0; need[e] = 0; unstable[e] = 0; held[e] = 0;
	undo[e] = 0; drop[e] = 0; again[e] = 0; base[e] = 0; commit[e] = 0; cleaned[e] = 0; writing[e] = 0; request[e] = 0;
	x = 0;
	do
	:: x < REQUESTS -> DONE(e, x) = 0; x++
	:: else -> break
	od
}

/* A primary that is gone, with no message under way that anybody would still take: nothing is left of it. */
inline tidy()
{
	f = 1;
	do
	:: f < epoch ->
		j = 0; having = 0;
		do
		:: j < N -> having = having | (has(todo[f], j) && known[j] == f -> bit(j) : 0); j++
		:: else -> break
		od;
		if
		:: gone[f] -> todo[f] = having
		:: else
		fi;
		if
		:: gone[f] && (!having || state[f] == QUERY) -> state[f] = 0; forget(f)
		:: else
		fi;
		f++
	:: else -> break
	od;
	/* Nor is anything left of a version that nobody has. */
	v = BASE + 1;
	do
	:: v <= VERSIONS ->
		having = 0; j = 0;
		do
		:: j < N -> having = having || holds(j, v) || before[j] == v; j++
		:: else -> break
		od;
		f = 1;
		do
		:: f <= epoch -> having = having || stands[f] == v || writing[f] == v; f++
		:: else -> break
		od;
		chain[v] = (having -> chain[v] : 0);
		v++
	:: else -> break
	od;
	f = 0; having = 0; j = 0; x = 0; v = 0
}

/* Node i goes on to map e. */
inline take_map(i, e)
{
	f = 1;
	do
	:: f < e ->
		gone[f] = gone[f] || lowest(live[f]) == i;
		f++
	:: else -> break
	od;
	known[i] = e;
	tidy()
}

/* Node i crashes. */
inline stop_primary(i)
{
	f = 1;
	do
	:: f <= epoch -> gone[f] = gone[f] || lowest(live[f]) == i; f++
	:: else -> break
	od;
	tidy()
}

/*
 * The new map's primary hears everybody at the same moment. Nothing is lost by that: what an older primary
 * still does to slots that were not asked yet, it may as well do before.
 */
inline peer_at_once()
{
	f = 1;
	do
	:: f < epoch -> gone[f] = true; f++
	:: else -> break
	od;
	j = 0;
	do
	:: j < N -> known[j] = (has(live[epoch], j) -> epoch : known[j]); j++
	:: else -> break
	od;
	tidy();
	peer(epoch)
}

/* ---- Peering: resolve.c ---- */

/* Some heard slot of epoch q lacks the version, or has not accepted it since; since 0: q wrote it. */
inline epoch_lacks(q, ver, since)
{
	lacks = false; j = 0;
	do
	:: j < N ->
		if
		:: has(live[q] & heard, j) && born[j] <= q && holds(j, ver) ->
			lacks = lacks || (stood_of(j, ver) < since && bug != NO_STOOD)
		:: has(live[q] & heard, j) && born[j] <= q && !holds(j, ver) ->
			lacks = lacks || since > 0 || activated[j] >= version_epoch(ver)
		:: else
		fi;
		j++
	:: else -> break
	od
}

/* Nobody can have seen it: in each interval in which it could have become stable some heard slot lacks it. */
inline never_stable(e, ver)
{
	epoch_lacks(version_epoch(ver), ver, 0);
	ok = lacks;
	f = (bug == OWN_INTERVAL -> e : version_epoch(ver) + 1);
	do
	:: f < e ->
		if
		:: count(live[f]) >= MIN_LIVE -> epoch_lacks(f, ver, f); ok = ok && lacks
		:: else
		fi;
		f++
	:: else -> break
	od;
	lacks = ok
}

#define ENOUGH (bug == FORWARD_SHORT -> K - 1 : K)

inline find_holders(ver)
{
	having = 0; rank = 0; is_committed = false; j = 0;
	do
	:: j < N ->
		if
		:: has(heard, j) && holds(j, ver) ->
			having = having | bit(j);
			rank = max(rank, stood_of(j, ver));
			is_committed = is_committed || committed[j] == ver
		:: else
		fi;
		j++
	:: else -> break
	od
}

inline reject(e, ver)
{
	refused[ver] = 1; j = 0;
	do
	:: j < N ->
		if
		:: has(heard, j) && pending[j] == ver -> undo[e] = undo[e] | bit(j)
		:: has(heard, j) && committed[j] == ver -> drop[e] = drop[e] | bit(j)
		:: else
		fi;
		j++
	:: else -> break
	od
}

inline judge(e)
{
	lacks = false;
	if
	:: version_epoch(v) < cleaned[e] && !is_committed -> epoch_lacks(cleaned[e], v, 0)
	:: else
	fi;
	if
	:: lacks -> reject(e, v)
	:: else ->
		if
		:: is_committed || count(having) >= ENOUGH -> stands[e] = v
		:: else ->
			never_stable(e, v);
			if
			:: lacks -> reject(e, v)
			:: else -> stands[e] = v; held[e] = 1
			fi
		fi
	fi
}

inline note_below_clear()
{
	j = 0;
	do
	:: j < N -> below[j] = 0; j++
	:: else -> break
	od;
	j = 0;
	do
	:: j <= VERSIONS -> refused[j] = 0; j++
	:: else -> break
	od
}

/*
 * What is still pending below a version that was acknowledged is over. Below one that may yet be taken back it may
 * still be needed, and must not become committed by the commit point.
 */
inline note_pending_below(e)
{
	j = 0;
	do
	:: j < N ->
		if
		:: has(heard, j) && pending[j] > stands[e] && stands[e] && !has(undo[e], j) ->
			/* A higher number, accepted longer ago. */
			refused[pending[j]] = 1; undo[e] = undo[e] | bit(j)
		:: has(heard, j) && pending[j] && pending[j] < stands[e] ->
			below[j] = pending[j];
			if
			:: bug == COMMIT_BELOW
			:: bug != COMMIT_BELOW && is_committed -> undo[e] = undo[e] | bit(j)
			:: bug != COMMIT_BELOW && !is_committed -> commit[e] = (commit[e] < pending[j] -> commit[e] : pending[j] - 1)
			fi
		:: else
		fi;
		j++
	:: else -> break
	od
}

/* The version that stands. */
inline decide(e)
{
	stands[e] = 0; held[e] = 0; unstable[e] = 0;
	note_below_clear();
	at = EPOCHS;
	do
	:: at > 0 && !stands[e] ->
		v = VERSIONS;
		do
		:: v > 0 ->
			find_holders(v);
			if
			:: having && rank == at && !refused[v] ->
				judge(e);
				if
				:: stands[e] -> break
				:: else
				fi
			:: else
			fi;
			v--
		:: else -> break
		od;
		at--
	:: else -> break
	od;
	if
	:: v == 0 -> is_committed = true
	:: else
	fi;
	find_need(e);
	held[e] = held[e] || (!is_committed && count(live[e]) < MIN_LIVE && bug != BELOW_MIN);
	/* Too few shards of a committed version: unfound. */
	held[e] = held[e] || (stands[e] && count(having) < K);
	unstable[e] = !is_committed && (need[e] || held[e]);
	commit[e] = (unstable[e] -> stands[e] - 1 : stands[e]);
	note_pending_below(e);
	base[e] = 0; j = 0;
	do
	:: j < N -> base[e] = (unstable[e] && has(having, j) -> max(base[e], committed[j]) : base[e]); j++
	:: else -> break
	od;
	/* With everybody up there is nobody to wait for. */
	assert(!(held[e] && heard == ALL));
}

inline find_need(e)
{
	need[e] = 0; j = 0;
	do
	:: j < N ->
		if
		:: stands[e] && has(live[e], j) && (!holds(j, stands[e]) || (!is_committed && bug != NO_STOOD)) ->
			/* Who has an unstable version accepts it anew. */
			need[e] = need[e] | bit(j)
		:: else
		fi;
		j++
	:: else -> break
	od
}

/* Whether an entry of slot i's log, version ver, tells of a change that was acknowledged. */
#define change_counts(i, ver) \
	(!refused[ver] && (bug == TRUST_LOGS || committed[i] >= (ver) || \
	 (activated[i] == newest && (version_epoch(ver) >= newest || below[i] != (ver)))))

/* peering.c: peering_merge_logs. A version that may yet be taken back counts once it is stable. */
inline merge_logs(e)
{
	newest = 0; j = 0;
	do
	:: j < N -> newest = (has(heard, j) -> max(newest, activated[j]) : newest); j++
	:: else -> break
	od;
	again[e] = 0;
	j = (bug == FORGET_REQUEST -> N : 0);
	do
	:: j < N ->
		x = 0;
		do
		:: x < REQUESTS ->
			f = LOG(j, x);
			if
			:: has(heard, j) && f && unstable[e] && f == stands[e] -> again[e] = x + 1
			:: has(heard, j) && f && !(unstable[e] && f == stands[e]) && change_counts(j, f) ->
				DONE(e, x) = max(DONE(e, x), f)
			:: else
			fi;
			x++
		:: else -> break
		od;
		j++
	:: else -> break
	od
}

/* Of every earlier interval since the PG was clean somebody is heard. */
inline intervals_known(e)
{
	ok = true;
	f = (bug == ONE_INTERVAL -> e : cleaned[e]);
	do
	:: f < e ->
		lacks = true; j = 0;
		do
		:: j < N ->
			if
			:: has(live[f] & heard, j) && born[j] <= f -> lacks = false
			:: else
			fi;
			j++
		:: else -> break
		od;
		ok = ok && (count(live[f]) < MIN_LIVE || !lacks);
		f++
	:: else -> break
	od
}

/* Everybody who is up has answered. */
inline peer(e)
{
	heard = live[e];
	cleaned[e] = 0; j = 0;
	do
	:: j < N -> cleaned[e] = (has(heard, j) -> max(cleaned[e], clean[j]) : cleaned[e]); j++
	:: else -> break
	od;
	cleaned[e] = max(cleaned[e], 1);
	intervals_known(e);
	if
	:: !ok -> state[e] = DOWN; forget(e)
	:: else ->
		decide(e);
		merge_logs(e);
		undo[e] = (bug == NO_ROLLBACK -> 0 : undo[e]);
		drop[e] = (bug == NO_ROLLBACK -> 0 : drop[e]);
		todo[e] = undo[e] | drop[e];
		state[e] = (todo[e] -> ROLLBACK : LEASE)
	fi;
	printf("%d: version %d stands; down %d, need %d%d%d%d, unstable %d, held %d, undo %d%d%d%d, requests %d %d\n", e,
	       stands[e], state[e] == DOWN, UP4(need[e]), unstable[e], held[e], UP4(todo[e]), DONE(e, 0), DONE(e, REQUESTS - 1));
	at = 0; rank = 0;
	v = 0; x = 0; j = 0; f = 0; heard = 0; having = 0; newest = 0; ok = 0; is_committed = 0; lacks = 0
}

/* ---- What a slot does: disk_job.h ---- */

#define ACCEPTED(e) (bug == NO_STOOD -> version_epoch(stands[e]) : e)

inline commit_up_to(i, point)
{
	if
	:: pending[i] && pending[i] <= point ->
		committed[i] = pending[i]; pending[i] = 0;
		committed_stood[i] = stood[i]; stood[i] = 0
	:: else
	fi
}

inline forget_version(i, ver)
{
	x = 0;
	do
	:: x < REQUESTS -> LOG(i, x) = (LOG(i, x) == ver -> 0 : LOG(i, x)); x++
	:: else -> break
	od
}

inline slot_rollback(e, i)
{
	if
	:: has(drop[e], i) ->
		forget_version(i, pending[i]);
		committed[i] = 0; pending[i] = 0; committed_stood[i] = 0; stood[i] = 0
	:: else ->
		forget_version(i, pending[i]);
		pending[i] = 0; stood[i] = 0
	fi
}

inline slot_activate(e, i)
{
	activated[i] = max(activated[i], e);
	clean[i] = max(clean[i], cleaned[e]);
	commit_up_to(i, commit[e]);
	x = 0;
	do
	:: x < REQUESTS ->
		if
		:: bug == DROP_PENDING_LOG -> LOG(i, x) = DONE(e, x)
		:: else ->
			/* Of own entries only that of the pending version stays: it may still be decided either way. */
			LOG(i, x) = (DONE(e, x) || LOG(i, x) != pending[i] -> DONE(e, x) : LOG(i, x))
		fi;
		x++
	:: else -> break
	od
}

inline slot_prepare(e, i)
{
	commit_up_to(i, stands[e]);
	assert(newest_of(i) == stands[e]);    /* the base */
	commit_up_to(i, stands[e]);
	pending[i] = writing[e]; stood[i] = e;
	committed[i] = (bug == DROP_OLD -> 0 : committed[i]);
	LOG(i, request[e]) = writing[e]
}

/* An unstable version on a slot that lacks it. */

inline slot_forward(e, i)
{
	if
	:: pending[i] && pending[i] == base[e] && bug != FORWARD_NO_BASE ->
		committed[i] = base[e]; committed_stood[i] = stood[i]
	:: pending[i] && (pending[i] != base[e] || bug == FORWARD_NO_BASE) && pending[i] != stands[e] ->
		forget_version(i, pending[i])
	:: else
	fi;
	pending[i] = stands[e]; stood[i] = ACCEPTED(e);
	if
	:: bug == FORWARD_COMMITTED -> commit_up_to(i, stands[e])
	:: else
	fi;
	if
	:: again[e] -> LOG(i, again[e] - 1) = stands[e]
	:: else
	fi
}

inline slot_push(e, i)
{
	assert(pending[i] <= stands[e]);
	if
	:: pending[i] && pending[i] != stands[e] -> forget_version(i, pending[i])
	:: else
	fi;
	committed[i] = stands[e]; pending[i] = 0; committed_stood[i] = ACCEPTED(e); stood[i] = 0
}

/* ---- A message reaches slot i ---- */

inline deliver(e, i)
{
	todo[e] = todo[e] & ~bit(i);
	before[i] = 0; before_stood[i] = 0;
	printf("%d: %e reaches slot %d\n", e, state[e], i);
	if
	:: state[e] == ROLLBACK -> slot_rollback(e, i)
	:: state[e] == ACTIVATE -> slot_activate(e, i)
	:: state[e] == PREPARE -> slot_prepare(e, i)
	:: state[e] == FORWARD -> slot_forward(e, i)
	:: state[e] == PUSH -> slot_push(e, i)
	:: state[e] == CLEAN ->
		clean[i] = e;
		commit_up_to(i, stands[e])
	fi;
	if
	:: !todo[e] && !gone[e] -> answered(e)
	:: else
	fi;
	tidy()
}

inline stable(e)
{
	unstable[e] = 0;
	if
	:: again[e] -> DONE(e, again[e] - 1) = stands[e]
	:: else
	fi;
	again[e] = 0; base[e] = 0
}

/* All slots have answered. */
inline answered(e)
{
	if
	:: state[e] == ROLLBACK -> state[e] = LEASE; undo[e] = 0; drop[e] = 0
	:: state[e] == ACTIVATE -> state[e] = ACTIVE; commit[e] = 0
	:: state[e] == PREPARE ->
		stands[e] = writing[e];
		DONE(e, request[e]) = writing[e];
		state[e] = ACTIVE; request[e] = 0
	:: state[e] == FORWARD -> need[e] = 0; stable(e); state[e] = ACTIVE
	:: state[e] == PUSH -> need[e] = 0; state[e] = ACTIVE
	:: state[e] == CLEAN -> cleaned[e] = e; state[e] = ACTIVE
	fi
}

/* ---- The game ---- */

#define whole(e) (!need[e] && !unstable[e] && !held[e])
#define deliverable(e, i) (state[e] && state[e] != QUERY && has(todo[e], i) && known[i] == (e))
#define askable(i) (state[epoch] == QUERY && !gone[epoch] && has(todo[epoch], i))
#define serves(e) (state[e] == ACTIVE && !gone[e])
#define readable(e, i) (has(live[e], i) && known[i] == (e) && newest_of(i) == stands[e])

#if N == 4
#define EACH_SLOT(X, e) X(e, 0) X(e, 1) X(e, 2) X(e, 3)
#else
#define EACH_SLOT(X, e) X(e, 0) X(e, 1) X(e, 2)
#endif
#if EPOCHS == 5
#define EACH_EPOCH(X) X(1) X(2) X(3) X(4) X(5)
#define EACH(X) EACH_SLOT(X, 1) EACH_SLOT(X, 2) EACH_SLOT(X, 3) EACH_SLOT(X, 4) EACH_SLOT(X, 5)
#elif EPOCHS == 4
#define EACH_EPOCH(X) X(1) X(2) X(3) X(4)
#define EACH(X) EACH_SLOT(X, 1) EACH_SLOT(X, 2) EACH_SLOT(X, 3) EACH_SLOT(X, 4)
#else
#define EACH_EPOCH(X) X(1) X(2) X(3)
#define EACH(X) EACH_SLOT(X, 1) EACH_SLOT(X, 2) EACH_SLOT(X, 3)
#endif

#define PICK_DELIVERY(E, I) :: deliverable(E, I) -> e = E; i = I
#define PICK_QUESTION(E, I) :: askable(I) -> i = I
#define PICK_ACTIVATION(E) :: state[E] == LEASE && !gone[E] -> e = E
#define PICK_SERVING(E) :: serves(E) -> e = E
#define PICK_COMMIT(E, I) \
	:: COMMITS && epoch < EPOCHS && serves(E) && !unstable[E] && !held[E] && has(live[E], I) && known[I] == E && \
	   pending[I] && pending[I] <= stands[E] -> e = E; i = I
#define PICK_CRASH(E, I) :: cuts < POWER_CUTS && before[I] -> i = I
#define enough_live(e) (count(live[e]) >= MIN_LIVE || bug == BELOW_MIN)
#define writable(e) (serves(e) && whole(e) && enough_live(e) && writing[e] < version_make(e, WRITES))
#define PICK_REQUEST(E) \
	:: writable(E) && !DONE(E, 0) -> e = E; r = 0 \
	:: writable(E) && REQUESTS > 1 && issued && !DONE(E, 1) -> e = E; r = 1
#define PICK_BROADCAST(E) :: state[E] && !gone[E] && todo[E] -> e = E
#define PICK_RECOVERY(E) :: serves(E) && need[E] && !held[E] -> e = E
#define PICK_CLEAN(E) :: epoch < EPOCHS && serves(E) && live[E] == ALL && whole(E) && cleaned[E] < E -> e = E
#define PICK_SLOT(E, I) :: i = I

/* Who is up in the next map. */
#define UP(set) :: count(set) >= MIN_UP -> i = set
/* Slots that a broadcast reaches. */
#define REACHED(set) :: ((set) & ~todo[e]) == 0 -> i = set
#define REACHED_3 REACHED(0) REACHED(1) REACHED(2) REACHED(3) REACHED(4) REACHED(5) REACHED(6) REACHED(7)
#define UP_3 UP(1) UP(2) UP(3) UP(4) UP(5) UP(6) UP(7)
#if N == 4
#define EACH_SET UP_3 UP(8) UP(9) UP(10) UP(11) UP(12) UP(13) UP(14) UP(15)
#define EACH_SUBSET REACHED_3 REACHED(8) REACHED(9) REACHED(10) REACHED(11) REACHED(12) REACHED(13) \
	REACHED(14) REACHED(15)
#else
#define EACH_SET UP_3
#define EACH_SUBSET REACHED_3
#endif

inline new_map()
{
	if
	EACH_SET
	fi;
	epoch++;
	live[epoch] = i;
	i = 0
}

inline lose_disk(i)
{
	losses++;
	committed[i] = 0; pending[i] = 0; before[i] = 0; committed_stood[i] = 0; stood[i] = 0; before_stood[i] = 0; activated[i] = 0; clean[i] = 0;
	x = 0;
	do
	:: x < REQUESTS -> LOG(i, x) = 0; x++
	:: else -> break
	od;
	born[i] = epoch;
	take_map(i, epoch);
	x = 0
}

inline client_write(e, r)
{
	writing[e] = (writing[e] -> writing[e] + 1 : version_make(e, 1));
	assert(!contains(chain[stands[e]], r));    /* applied once */
	chain[writing[e]] = append(chain[stands[e]], r);
	printf("%d: request %d becomes version %d\n", e, r, writing[e]);
	request[e] = r;
	issued = true;
	if
	:: epoch < EPOCHS -> todo[e] = live[e]; state[e] = PREPARE
	:: else -> chain[writing[e]] = 0; request[e] = 0    /* nobody comes after to see what became of it */
	fi
}

/* Primary e answers: that chain is the object, or was when it was answered. */
inline expose(c)
{
	assert(extends(c, seen) || extends(seen, c));    /* nothing seen is lost or out of order */
	seen = (extends(c, seen) -> c : seen)
}

/*
 * Whatever clients can learn now they learn at once: to be told more makes the claims only stronger. A read
 * needs k shards of one version from slots that still answer this primary. A write that is done, now or in an earlier
 * interval, is acknowledged whenever its client asks (again).
 */
inline observe(e)
{
	if
	:: serves(e) && !unstable[e] && !held[e] && may_serve(e) ->
		having = 0; j = 0;
		do
		:: j < N -> having = having | (readable(e, j) -> bit(j) : 0); j++
		:: else -> break
		od;
		if
		:: !stands[e] || count(having) >= K ->
			assert(extends(chain[stands[e]], seen));
			seen = chain[stands[e]]
		:: else
		fi;
		x = 0;
		do
		:: x < REQUESTS ->
			if
			:: DONE(e, x) && !need[e] ->
				assert(contains(chain[stands[e]], x));    /* told "done": it is */
				expose(up_to(chain[stands[e]], x))
			:: else
			fi;
			x++
		:: else -> break
		od
	:: else
	fi
}

inline clients()
{
	v = 1;
	do
	:: v <= epoch -> observe(v); v++
	:: else -> break
	od;
	having = 0; j = 0; x = 0; v = 0
}

/* All that is left of the broadcast reaches these slots; the answers of the others never come. */
inline broadcast(e, set)
{
	if
	:: bug == ACK_EARLY && state[e] == PREPARE && count(set) >= MIN_LIVE -> expose(chain[writing[e]])
	:: else
	fi;
	r = 0;
	do
	:: r < N ->
		if
		:: has(set, r) -> deliver(e, r)
		:: else
		fi;
		r++
	:: else -> break
	od;
	r = 0;
	if
	:: todo[e] -> gone[e] = true; tidy()
	:: else
	fi
}

inline start(p)
{
	printf("%d: slot %d is primary and asks\n", epoch, p);
	state[epoch] = QUERY; todo[epoch] = live[epoch];
	take_map(p, epoch)
}

inline ask(i)
{
	todo[epoch] = todo[epoch] & ~bit(i);
	printf("%d: slot %d promises (committed %d, pending %d, stood %d, log %d %d)\n", epoch, i, committed[i], pending[i], stood[i],
	       LOG(i, 0), LOG(i, REQUESTS - 1));
	if
	:: bug == NO_PROMISE
	:: else -> take_map(i, epoch)
	fi;
	if
	:: !todo[epoch] -> peer(epoch)
	:: else
	fi
}

init {
	byte e, i, r;

	d_step {
		c_code { bug = getenv("BUG") ? atoi(getenv("BUG")) : 0; };
		live[1] = ALL;
		do
		:: i < N ->
			committed[i] = BASE; committed_stood[i] = 1; activated[i] = 1; clean[i] = 1; born[i] = 1; known[i] = 1;
			i++
		:: else -> break
		od;
		state[1] = ACTIVE; stands[1] = BASE; cleaned[1] = 1;
		i = 0
	}
end:
	do
	:: atomic {
		epoch < EPOCHS -> new_map();
		printf("map %d: up %d%d%d%d\n", epoch, UP4(live[epoch]));
#ifndef LATE
		d_step { peer_at_once(); clients() }
#endif
	}
	:: atomic {
		epoch < EPOCHS && losses < LOSSES -> new_map();
		if EACH_SLOT(PICK_SLOT, 0) fi;
		printf("map %d: up %d%d%d%d, the disk of slot %d is lost\n", epoch, UP4(live[epoch]), i);
		d_step {
			lose_disk(i); i = 0;
#ifndef LATE
			peer_at_once();
#endif
			clients()
		}
	}
#ifdef LATE
	:: d_step {
		!state[epoch] && !gone[epoch] ->
		i = lowest(live[epoch]); start(i); i = 0; clients()
	}
	/* PG_QUERY: with the answer goes the promise. */
	:: atomic {
		if EACH_SLOT(PICK_QUESTION, 0) fi;
		d_step { ask(i); i = 0; clients() }
	}
	:: atomic {
		if EACH(PICK_DELIVERY) fi;
		d_step { deliver(e, i); e = 0; i = 0; clients() }
	}
#else
	:: atomic {
		if EACH_EPOCH(PICK_BROADCAST) fi;
		if
		:: epoch == EPOCHS -> i = todo[e]    /* nobody comes after to see anything else */
		:: else -> if EACH_SUBSET fi
		fi;
		d_step { broadcast(e, i); e = 0; i = 0; clients() }
	}
#endif
	/* PG_ACTIVATE, once who is down has no lease any more. Other objects may hold the commit point down. */
	:: atomic {
		if EACH_EPOCH(PICK_ACTIVATION) fi;
		if
		:: skip
		:: COMMITS && epoch < EPOCHS -> commit[e] = 0
		fi;
		d_step {
			commit[e] = (bug == COMMIT_UNSTABLE -> stands[e] : commit[e]);
			printf("%d: activation, commit point %d\n", e, commit[e]);
			served = max(served, e);
			todo[e] = live[e]; state[e] = ACTIVATE;
			e = 0
		}
	}
	/* PG_COMMIT is not durable. */
	:: atomic {
		if EACH(PICK_COMMIT) fi;
		d_step {
			printf("%d: COMMIT %d reaches slot %d\n", e, stands[e], i);
#ifdef POWER_CUTS
			before_stood[i] = (before[i] -> before_stood[i] : committed_stood[i]);
			before[i] = (before[i] -> before[i] : committed[i]);
#endif
			commit_up_to(i, stands[e]);
			e = 0; i = 0; clients()
		}
	}
#ifdef POWER_CUTS
	:: atomic {
		if EACH_SLOT(PICK_CRASH, 0) fi;
		d_step {
			printf("power cut at slot %d: %d is pending again\n", i, committed[i]);
			cuts++;
			pending[i] = committed[i]; committed[i] = before[i]; before[i] = 0;
			stood[i] = committed_stood[i]; committed_stood[i] = before_stood[i]; before_stood[i] = 0;
			stop_primary(i);
			i = 0
		}
	}
#endif
	:: atomic {
		if EACH_EPOCH(PICK_REQUEST) fi;
		d_step { client_write(e, r); e = 0; r = 0 }
	}
	/* Recovery. */
	:: atomic {
		if EACH_EPOCH(PICK_RECOVERY) fi;
		d_step {
			todo[e] = need[e];
			state[e] = (unstable[e] -> FORWARD : PUSH);
			e = 0
		}
	}
	:: atomic {
		if EACH_EPOCH(PICK_CLEAN) fi;
		d_step { todo[e] = ALL; state[e] = CLEAN; e = 0 }
	}
	od
}

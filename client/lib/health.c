/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/math.h"

const char *sf_health_word(enum sf_health health)
{
	switch (health) {
	case SF_HEALTH_OK:
		return "OK";
	case SF_HEALTH_RECOVERING:
		return "RECOVERING";
	case SF_HEALTH_DEGRADED:
		return "DEGRADED";
	case SF_HEALTH_HALTED:
		return "HALTED";
	case SF_HEALTH_LOST:
		return "LOST";
	case SF_HEALTH_UNFORMATTED:
		return "UNFORMATTED";
	}
	return "?";
}

void health_count_map(struct sf_status *s, const struct map *map)
{
	s->epoch = map->epoch;
	s->nodes_total = map->node_count;
	for (uint32_t i = 0; i < map->node_count; i++) {
		s->nodes_up += !!(map->nodes[i].flags & NODE_UP);
		s->nodes_out += !!(map->nodes[i].flags & NODE_OUT);
		s->nodes_waiting += !(map->nodes[i].flags &
		                      (NODE_UP | NODE_OUT | NODE_DRAIN | NODE_MAINTENANCE));
		s->nodes_draining += !!(map->nodes[i].flags & NODE_DRAIN);
		s->nodes_maintenance += !!(map->nodes[i].flags & NODE_MAINTENANCE);
	}
	s->disks_total = map->disk_count;
	for (uint32_t i = 0; i < map->disk_count; i++) {
		const struct map_disk *d = &map->disks[i];
		const struct map_node *node = map_find_node(map, d->node);

		s->disks_up += map_disk_up(map, d);
		if (d->flags & DISK_LOST) {
			s->disks_lost++;
			continue;
		}
		if (d->flags & DISK_LEAVING) {
			s->disks_leaving++;
			continue;
		}
		s->disks_failed += !!(d->flags & DISK_FAILED);
		s->disks_out += (d->flags & DISK_FAILED) || (node && (node->flags & NODE_OUT));
	}
	for (uint32_t i = 0; i < map->pool_count; i++)
		s->pgs_total += map->pools[i].pg_count;
}

/* PGs of which no primary speaks: without one they are down, with silent or changing ones they are
 * not known. */
static void count_unreported(struct sf_status *s)
{
	uint64_t reported = (uint64_t)s->pgs_clean + s->pgs_degraded + s->pgs_recovering +
	                    s->pgs_peering + s->pgs_halted + s->pgs_down;
	uint32_t unreported = reported < s->pgs_total ? s->pgs_total - (uint32_t)reported : 0;

	if (s->nodes_silent > 0 || s->nodes_up == s->nodes_total)
		s->pgs_peering += unreported;
	else
		s->pgs_down += unreported;
}

static enum sf_health judge(const struct sf_status *s, const struct map *map)
{
	bool clean = s->pgs_clean >= s->pgs_total && s->objects_missing == 0;
	bool rebuilding = s->objects_missing > s->objects_blocked ||
	                  (s->pgs_recovering > 0 && s->objects_blocked == 0);

	if (s->objects_unfound > 0)
		return SF_HEALTH_LOST;
	if (s->pgs_down > 0 || s->pgs_halted > 0)
		return SF_HEALTH_HALTED;
	if (clean && s->nodes_silent == 0)
		return SF_HEALTH_OK;
	if (map->flags & MAP_RECOVERY_DISABLED)
		return SF_HEALTH_DEGRADED;
	return rebuilding || s->pgs_peering > 0 ? SF_HEALTH_RECOVERING : SF_HEALTH_DEGRADED;
}

/* ---- Advice ---- */

struct text {
	char *out;
	size_t size, len;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A sentence that does not fit is left out as a whole. */
static void say(struct text *t, const char *fmt, ...)
{
	char sentence[256];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	len = strlen(sentence);
	if (t->len + len + 2 > t->size)
		return;
	if (t->len > 0)
		t->out[t->len++] = ' ';
	memcpy(t->out + t->len, sentence, len + 1);
	t->len += len;
}

/* "45 s", "12 min", "3 h" */
static const char *span_text(uint64_t seconds, char text[24])
{
	if (seconds < 120)
		snprintf(text, 24, "%u s", (unsigned)seconds);
	else if (seconds < 7200)
		snprintf(text, 24, "%u min", (unsigned)(seconds / 60));
	else
		snprintf(text, 24, "%u h", (unsigned)MIN(seconds / 3600, (uint64_t)999999));
	return text;
}

/* How long until the first node that is down and not out becomes so; false: there is none. */
static bool grace_left(const struct map *map, uint64_t now_s, uint32_t *ret_waiting,
                       uint64_t *ret_s)
{
	uint64_t grace_s = div_up(map->grace_ms, 1000), best = UINT64_MAX;
	uint32_t waiting = 0;

	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct map_node *n = &map->nodes[i];
		uint64_t away = now_s > n->down_since_s ? now_s - n->down_since_s : 0;

		if (n->flags & (NODE_UP | NODE_OUT | NODE_DRAIN | NODE_MAINTENANCE))
			continue;
		waiting++;
		best = MIN(best, away < grace_s ? grace_s - away : 0);
	}
	*ret_waiting = waiting;
	*ret_s = best;
	return waiting > 0;
}

/* The first few nodes that have none of these flags. */
static const char *down_list(const struct map *map, uint32_t without, char *text, size_t size)
{
	size_t len = 0;
	uint32_t more = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct map_node *n = &map->nodes[i];

		if (n->flags & without)
			continue;
		if (len > 90) {
			more++;
			continue;
		}
		len += (size_t)snprintf(text + len, size - len, "%s%s:%u", len ? ", " : "", n->addr,
		                        n->port);
	}
	if (more > 0)
		snprintf(text + len, size - len, " and %u more", more);
	return text;
}

static void advise_down(struct text *t, const struct sf_status *s, const struct map *map,
                        uint64_t now_s)
{
	uint32_t waiting, down = s->nodes_total - s->nodes_up;
	char names[256], span[24];
	uint64_t left;

	if (down == 0)
		return;
	down_list(map, NODE_UP, names, sizeof(names));
	if (s->health == SF_HEALTH_LOST || s->pgs_down > 0) {
		say(t, "%u node%s down (%.200s): start %s again.", down,
		    down == 1 ? " is" : "s are", names, down == 1 ? "it" : "them");
		return;
	}
	if (!grace_left(map, now_s, &waiting, &left))
		return;
	down_list(map, NODE_UP | NODE_OUT | NODE_DRAIN | NODE_MAINTENANCE, names, sizeof(names));
	if (left == 0)
		say(t,
		    "%u node%s down (%.150s) and the grace period is over; rebuilding is about to begin.",
		    waiting, waiting == 1 ? " is" : "s are", names);
	else
		say(t,
		    "%u node%s down (%.150s); the grace period ends in %s, then %s data are rebuilt elsewhere. "
		    "Start %s again before that to avoid it.",
		    waiting, waiting == 1 ? " is" : "s are", names, span_text(left, span),
		    waiting == 1 ? "its" : "their", waiting == 1 ? "it" : "them");
}

/* "127.0.0.1:7001 /disks/b" of the first that failed; "" when there is no more than an id. */
static const char *failed_name(const struct sf_status *s, const struct map *map, char *text, size_t size)
{
	text[0] = '\0';
	for (uint32_t i = 0; i < s->disk_count; i++) {
		const struct sf_disk *d = &s->disks[i];
		const struct map_node *n = map_find_node(map, d->node);

		if (!d->failed || d->lost || d->leaving || !n)
			continue;
		snprintf(text, size, " (%s%s:%u %.60s)", s->disks_failed > 1 ? "the first: " : "",
		         n->addr, n->port, *d->path ? d->path : "");
		if (!*d->path)
			text[strlen(text) - 2] = ')', text[strlen(text) - 1] = '\0';
		break;
	}
	return text;
}

/* What operators have begun, and what they have to do. */
static void advise_operations(struct text *t, const struct sf_status *s, const struct map *map)
{
	uint32_t leaving = 0, away = 0, back = 0;
	char name[200];

	if (s->disks_failed > 0)
		say(t, "%u disk%s failed%s: replace %s and plug the new one in, or dog node md unplug %s.",
		    s->disks_failed, s->disks_failed == 1 ? " has" : "s have",
		    failed_name(s, map, name, sizeof(name)), s->disks_failed == 1 ? "it" : "them",
		    s->disks_failed == 1 ? "it" : "them");
	for (uint32_t i = 0; i < s->bad_disk_count; i++)
		if (!s->bad_disks[i].disk)
			say(t, "%.80s is not used: %.100s.", s->bad_disks[i].path, s->bad_disks[i].why);
	for (uint32_t i = 0; i < map->node_count; i++) {
		uint32_t flags = map->nodes[i].flags;

		leaving += (flags & NODE_DRAIN) && !(flags & NODE_UP);
		away += (flags & NODE_MAINTENANCE) && !(flags & (NODE_UP | NODE_DRAIN));
		back += (flags & NODE_MAINTENANCE) && (flags & NODE_UP);
	}
	if (leaving > 0)
		say(t, "%u drained node%s down and leave%s the cluster once all is rebuilt without it.",
		    leaving, leaving == 1 ? " is" : "s are", leaving == 1 ? "s" : "");
	if (away > 0)
		say(t, "%u node%s down for maintenance: nothing is rebuilt elsewhere until dog node maintenance "
		       "ends that.", away, away == 1 ? " is" : "s are");
	if (back > 0)
		say(t, "%u node%s in maintenance mode and up: dog node maintenance ID off ends that.", back,
		    back == 1 ? " is" : "s are");
}

static void advise_room(struct text *t, const struct sf_status *s)
{
	uint32_t known = 0, full = 0;

	if (s->objects_blocked > 0)
		say(t,
		    "%llu objects cannot be rebuilt: the disks that should take them have no room.",
		    (unsigned long long)s->objects_blocked);

	for (uint32_t i = 0; i < s->disk_count; i++) {
		const struct sf_disk *d = &s->disks[i];

		if (!d->known || d->failed)
			continue;
		known++;
		full += d->avail_bytes < d->size_bytes / 20;
	}
	if (full > 0)
		say(t, "%u of %u disks %s nearly full: delete volumes or add disks.", full, known,
		    full == 1 ? "is" : "are");
}

static void advise(struct sf_status *s, const struct map *map, uint64_t now_s)
{
	struct text t = {.out = s->advice, .size = sizeof(s->advice)};
	char span[24];

	s->advice[0] = '\0';
	if (s->objects_unfound > 0)
		say(&t, "%llu object%s cannot be read: too few of their parts can be reached.",
		    (unsigned long long)s->objects_unfound, s->objects_unfound == 1 ? "" : "s");
	if (s->objects_lost > 0)
		say(&t,
		    "%llu of them are lost for good: delete or overwrite them, or restore the volumes from a "
		    "backup.",
		    (unsigned long long)s->objects_lost);
	if (s->scrub.undecided > 0)
		say(&t, "The parts of %llu object%s contradict each other: restore the volume%s.",
		    (unsigned long long)s->scrub.undecided, s->scrub.undecided == 1 ? "" : "s",
		    s->scrub.undecided == 1 ? "" : "s");
	if (s->pgs_down > 0)
		say(&t,
		    "I/O to %u of %u placement groups has stopped: too few of their disks are up.",
		    s->pgs_down, s->pgs_total);
	if (s->pgs_halted > 0)
		say(&t,
		    "Writes to %u of %u placement groups wait: too few of their disks are up to keep them "
		    "safely.",
		    s->pgs_halted, s->pgs_total);
	advise_down(&t, s, map, now_s);
	if (s->health == SF_HEALTH_LOST && s->nodes_up == s->nodes_total &&
	    s->objects_unfound > s->objects_lost)
		say(&t, "Bring disks that failed back, or restore the volumes from a backup.");
	if (s->pgs_down > 0 || s->objects_unfound > s->objects_lost)
		say(&t,
		    "If disks are gone for good, dog cluster recover force says what giving them up would "
		    "cost.");
	if (s->nodes_silent > 0)
		say(&t, "%u node%s up but did not answer: see %s log.", s->nodes_silent,
		    s->nodes_silent == 1 ? " is" : "s are", s->nodes_silent == 1 ? "its" : "their");
	advise_operations(&t, s, map);
	if ((map->flags & MAP_RECOVERY_DISABLED) && s->health != SF_HEALTH_OK)
		say(&t, "Recovery is disabled: dog cluster recover enable starts it.");
	else if (s->health == SF_HEALTH_RECOVERING && s->recovery_eta_s != ~0ull &&
	         s->objects_missing > 0)
		say(&t, "Full redundancy is back in about %s.",
		    span_text(MAX(s->recovery_eta_s, 1ull), span));
	else if (s->health == SF_HEALTH_DEGRADED && s->nodes_up == s->nodes_total &&
	         s->disks_failed == 0)
		say(&t, "Too few nodes or disks for the redundancy asked for: add some.");
	else if (s->health == SF_HEALTH_DEGRADED && s->nodes_out > 0 && t.len == 0)
		say(&t,
		    "%u node%s out and too few are left for the redundancy asked for: start %s again, or add "
		    "others.",
		    s->nodes_out, s->nodes_out == 1 ? " is" : "s are",
		    s->nodes_out == 1 ? "it" : "them");
	advise_room(&t, s);
}

static uint32_t min_redundancy(const struct sf_status *s)
{
	for (uint32_t r = 0; r < SF_MAX_REDUNDANCY; r++)
		if (s->objects_by_redundancy[r] > 0)
			return r;
	return SF_MAX_REDUNDANCY - 1;
}

void health_judge(struct sf_status *s, const struct map *map, uint64_t now_s)
{
	count_unreported(s);
	s->min_redundancy = min_redundancy(s);
	/* A rate over the last seconds is not known at once: until then, the mean since the
	 * beginning. */
	if (s->recovery_rate_bytes_s == 0 && s->recovery_running_ms >= 100)
		s->recovery_rate_bytes_s = (uint64_t)((double)s->recovered_bytes * 1000 /
		                                      (double)s->recovery_running_ms);
	s->recovery_eta_s = ~0ull;
	if (s->bytes_missing == 0)
		s->recovery_eta_s = 0;
	else if (s->objects_blocked == 0 && s->recovery_rate_bytes_s > 0)
		s->recovery_eta_s = div_up(s->bytes_missing, s->recovery_rate_bytes_s);
	s->health = judge(s, map);
	advise(s, map, now_s);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/place/place.h"
#include "tests/sim/scenario_draw.h"
#include "tests/sim/sim_member.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/workload.h"

static void say(struct scenario_result *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct scenario_result *r, const char *fmt, ...)
{
	size_t len = strlen(r->why);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why + len, sizeof(r->why) - len, fmt, ap);
	va_end(ap);
}

/* What every disk holds of an object. */
static void dump_object(struct scenario *s, const struct sim_object *o)
{
	struct world *w = s->w;
	uint32_t pg = place_pg_of(map_find_pool(sim_member_map(w), o->pool), o->oid);

	say(s->result, "\n  oid %llx pg %u.%u:", (unsigned long long)o->oid, o->pool, pg);
	for (uint32_t i = 0; i < w->node_count; i++) {
		for (uint32_t d = 0; d < w->nodes[i]->info.disk_count; d++) {
			const struct disk_pg *held =
				sim_disk_pg(&w->nodes[i]->disks[d], o->pool, pg);

			for (uint32_t j = 0; held && j < held->shard_count; j++)
				if (held->shards[j].oid == o->oid)
					say(s->result, " n%u.%u shard %u at %llx pending %llx%s%s;",
					    i, d, held->shards[j].number,
					    (unsigned long long)held->shards[j].committed.version,
					    (unsigned long long)held->shards[j].pending.version,
					    held->shards[j].committed.tombstone ? " tombstone" : "",
					    held->shards[j].committed.damaged ? " damaged" : "");
		}
	}
}

void scenario_tell(struct scenario *s)
{
	struct world *w = s->w;
	struct scenario_result *r = s->result;
	const struct map *map = sim_member_map(w);

	say(r, "%s\n  at %.3f s, epoch %u, %u nodes, %u:%u", w->failure, w->now_us / 1e6,
	    map ? map->epoch : 0, w->node_count, s->format.k, s->format.m);
	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct sim_node *n = w->nodes[i];
		const struct map *seen = n->core ? node_map(n->core) : NULL;

		say(r, "\n  n%u %s epoch %u%s", i,
		    n->state == NODE_GONE  ? "gone"
		    : n->state == NODE_OFF ? "off"
		                           : "running",
		    seen ? seen->epoch : 0,
		    n->core && !node_is_quiet(n->core) ? ", not at rest" : "");
	}
	for (uint32_t i = 0; i < w->client_count; i++) {
		char text[OP_TEXT_LEN + 100];

		if (sim_client_idle(w, i))
			continue;
		sim_client_text(w, i, text, sizeof(text));
		say(r, "\n  %s", text);
		dump_object(s, sim_client_object(w, i));
	}
}

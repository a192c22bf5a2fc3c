/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "client/lib/health.h"

enum { NODES = 7, PGS = 64, NOW = 1700000000, GRACE_S = 600 };

/* A clean cluster of seven nodes, to be hurt. */
struct world {
	struct map map;
	struct map_node nodes[NODES];
	struct map_disk disks[NODES];
	struct map_pool pool;
	struct sf_status status;
};

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	for (uint32_t i = 0; i < NODES; i++) {
		w->nodes[i] = (struct map_node){
			.id = 10 + i, .port = (uint16_t)(7000 + i), .flags = NODE_UP};
		strcpy(w->nodes[i].addr, "127.0.0.1");
		w->disks[i] = (struct map_disk){.id = 100 + i, .node = 10 + i, .weight = 1};
	}
	w->pool = (struct map_pool){.id = POOL_DATA, .k = 4, .m = 2, .pg_count = PGS};
	w->map = (struct map){.refs = 1,
	                      .epoch = 5,
	                      .grace_ms = GRACE_S * 1000,
	                      .node_count = NODES,
	                      .disk_count = NODES,
	                      .pool_count = 1,
	                      .nodes = w->nodes,
	                      .disks = w->disks,
	                      .pools = &w->pool};
	w->status.objects_by_redundancy[2] = 1000;
	w->status.pgs_clean = PGS;
}

static void down(struct world *w, uint32_t node, uint64_t seconds_ago)
{
	w->nodes[node].flags &= ~(uint32_t)NODE_UP;
	w->nodes[node].down_since_s = NOW - seconds_ago;
}

static const struct sf_status *judge(struct world *w)
{
	health_count_map(&w->status, &w->map);
	health_judge(&w->status, &w->map, NOW);
	return &w->status;
}

static void expect(struct world *w, enum sf_health health, const char *advice_part)
{
	const struct sf_status *s = judge(w);

	if (s->health != health || !strstr(s->advice, advice_part))
		print_error("%s: %s\n", sf_health_word(s->health), s->advice);
	assert_int_equal(s->health, health);
	assert_non_null(strstr(s->advice, advice_part));
	assert_true(strlen(s->advice) < sizeof(s->advice));
}

static void all_clean_is_ok_and_needs_no_advice(void **state)
{
	struct world w;

	world_init(&w);
	expect(&w, SF_HEALTH_OK, "");
	assert_string_equal(w.status.advice, "");
	assert_int_equal(w.status.min_redundancy, 2);
	assert_int_equal(w.status.recovery_eta_s, 0);
	assert_int_equal(w.status.nodes_up, NODES);
	assert_int_equal(w.status.disks_up, NODES);
	assert_int_equal(w.status.pgs_total, PGS);
}

static void disks_given_up_are_not_failures_to_mend(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 1000);
	w.nodes[2].flags |= NODE_OUT;
	w.disks[2].flags = DISK_FAILED | DISK_LOST;
	expect(&w, SF_HEALTH_OK, "");
	assert_int_equal(w.status.disks_lost, 1);
	assert_int_equal(w.status.disks_failed, 0);
	assert_null(strstr(w.status.advice, "replace"));
}

static void what_is_lost_and_what_can_be_given_up_is_told(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 1000);
	w.status.objects_unfound = 3;
	expect(&w, SF_HEALTH_LOST, "dog cluster recover force");
	world_init(&w);
	w.status.objects_unfound = w.status.objects_lost = 3;
	expect(&w, SF_HEALTH_LOST, "3 of them are lost for good: delete or overwrite them");
	assert_null(strstr(w.status.advice, "recover force"));
	world_init(&w);
	w.status.scrub.undecided = 1;
	expect(&w, SF_HEALTH_OK, "The parts of 1 object contradict each other");
}

static void a_node_in_its_grace_period_is_told_with_the_time_left(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 120);
	w.status.pgs_clean = 20;
	w.status.pgs_degraded = 44;
	expect(&w, SF_HEALTH_DEGRADED,
	       "1 node is down (127.0.0.1:7002); the grace period ends in 8 min");
}

static void the_first_grace_period_to_end_counts(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 10);
	down(&w, 3, 590);
	w.status.pgs_clean = 0;
	w.status.pgs_degraded = PGS;
	expect(&w, SF_HEALTH_DEGRADED,
	       "2 nodes are down (127.0.0.1:7002, 127.0.0.1:7003); the grace period ends in 10 s");
}

static void rebuilding_says_when_it_is_done(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 700);
	w.nodes[2].flags |= NODE_OUT;
	w.status.pgs_clean = 20;
	w.status.pgs_recovering = 44;
	w.status.objects_missing = 500;
	w.status.bytes_missing = 90 << 20;
	w.status.recovery_rate_bytes_s = 2 << 20;
	expect(&w, SF_HEALTH_RECOVERING, "Full redundancy is back in about 45 s");
	assert_int_equal(w.status.recovery_eta_s, 45);
	assert_int_equal(w.status.nodes_out, 1);
}

static void an_unknown_rate_gives_no_time(void **state)
{
	struct world w;

	world_init(&w);
	w.status.pgs_clean = 20;
	w.status.pgs_recovering = 44;
	w.status.objects_missing = 500;
	w.status.bytes_missing = 90 << 20;
	expect(&w, SF_HEALTH_RECOVERING, "");
	assert_true(w.status.recovery_eta_s == ~0ull);
	assert_null(strstr(w.status.advice, "about"));
}

static void disabled_recovery_is_said_with_its_remedy(void **state)
{
	struct world w;

	world_init(&w);
	w.map.flags = MAP_RECOVERY_DISABLED;
	w.status.pgs_clean = 20;
	w.status.pgs_recovering = 44;
	w.status.objects_missing = 500;
	expect(&w, SF_HEALTH_DEGRADED, "dog cluster recover enable");
}

static void halted_says_which_daemons_to_start(void **state)
{
	struct world w;

	world_init(&w);
	for (uint32_t i = 0; i < 3; i++)
		down(&w, i, 5);
	w.status.pgs_clean = 0;
	w.status.pgs_degraded = 30;
	w.status.pgs_halted = 24;
	w.status.pgs_down = 10;
	expect(&w, SF_HEALTH_HALTED, "I/O to 10 of 64 placement groups has stopped");
	assert_non_null(strstr(w.status.advice, "Writes to 24 of 64 placement groups wait"));
	assert_non_null(strstr(w.status.advice, "start them again"));
}

static void writes_that_wait_are_told_with_the_grace_period(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 2, 590);
	w.status.pgs_clean = 40;
	w.status.pgs_halted = 24;
	expect(&w, SF_HEALTH_HALTED, "the grace period ends in 10 s");
}

static void a_rate_not_known_yet_is_the_mean_so_far(void **state)
{
	struct world w;

	world_init(&w);
	w.status.pgs_clean = 20;
	w.status.pgs_recovering = 44;
	w.status.objects_missing = 500;
	w.status.bytes_missing = 10 << 20;
	w.status.recovered_bytes = 2 << 20;
	w.status.recovery_running_ms = 500;
	expect(&w, SF_HEALTH_RECOVERING, "in about 3 s");
}

static void groups_that_nobody_reports_are_down(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 0, 1);
	w.status.pgs_clean = 60;
	expect(&w, SF_HEALTH_HALTED, "I/O to 4 of 64");
	assert_int_equal(w.status.pgs_down, 4);
}

static void groups_that_nobody_reports_with_all_nodes_up_are_peering(void **state)
{
	struct world w;

	world_init(&w);
	w.status.pgs_clean = 60;
	expect(&w, SF_HEALTH_RECOVERING, "");
	assert_int_equal(w.status.pgs_peering, 4);
}

static void groups_of_a_silent_node_are_not_known(void **state)
{
	struct world w;

	world_init(&w);
	w.status.pgs_clean = 60;
	w.status.nodes_silent = 1;
	expect(&w, SF_HEALTH_RECOVERING, "1 node is up but did not answer");
	assert_int_equal(w.status.pgs_down, 0);
}

static void unfound_objects_outrank_everything(void **state)
{
	struct world w;

	world_init(&w);
	w.status.objects_unfound = 3;
	w.status.pgs_clean = 61;
	w.status.pgs_halted = 3;
	down(&w, 6, 5);
	expect(&w, SF_HEALTH_LOST, "3 objects cannot be read");
}

static void failed_and_full_disks_are_told(void **state)
{
	struct sf_disk disks[2] = {{.known = true, .size_bytes = 1000, .avail_bytes = 10},
	                           {.known = true, .size_bytes = 1000, .avail_bytes = 900}};
	struct world w;

	world_init(&w);
	w.disks[3].flags = DISK_FAILED;
	w.status.disks = disks;
	w.status.disk_count = 2;
	expect(&w, SF_HEALTH_OK, "1 disk has failed: replace it and plug the new one in, or dog node md unplug it. 1 of 2 disks is nearly full");
}

static void too_few_nodes_is_told(void **state)
{
	struct world w;

	world_init(&w);
	down(&w, 0, 9000);
	w.nodes[0].flags |= NODE_OUT;
	w.status.pgs_clean = 0;
	w.status.pgs_degraded = PGS;
	w.status.objects_missing = 0;
	expect(&w, SF_HEALTH_DEGRADED, "too few are left for the redundancy asked for");
}

static void many_dead_nodes_do_not_overflow_the_advice(void **state)
{
	struct world w;

	world_init(&w);
	for (uint32_t i = 0; i < NODES; i++) {
		down(&w, i, 5);
		memset(w.nodes[i].addr, 'a', ADDR_LEN - 1);
	}
	w.status.pgs_clean = 0;
	w.status.objects_unfound = ~0ull;
	expect(&w, SF_HEALTH_LOST, "cannot be read");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_clean_is_ok_and_needs_no_advice),
		cmocka_unit_test(disks_given_up_are_not_failures_to_mend),
		cmocka_unit_test(what_is_lost_and_what_can_be_given_up_is_told),
		cmocka_unit_test(a_node_in_its_grace_period_is_told_with_the_time_left),
		cmocka_unit_test(the_first_grace_period_to_end_counts),
		cmocka_unit_test(rebuilding_says_when_it_is_done),
		cmocka_unit_test(an_unknown_rate_gives_no_time),
		cmocka_unit_test(disabled_recovery_is_said_with_its_remedy),
		cmocka_unit_test(halted_says_which_daemons_to_start),
		cmocka_unit_test(writes_that_wait_are_told_with_the_grace_period),
		cmocka_unit_test(a_rate_not_known_yet_is_the_mean_so_far),
		cmocka_unit_test(groups_that_nobody_reports_are_down),
		cmocka_unit_test(groups_that_nobody_reports_with_all_nodes_up_are_peering),
		cmocka_unit_test(groups_of_a_silent_node_are_not_known),
		cmocka_unit_test(unfound_objects_outrank_everything),
		cmocka_unit_test(failed_and_full_disks_are_told),
		cmocka_unit_test(too_few_nodes_is_told),
		cmocka_unit_test(many_dead_nodes_do_not_overflow_the_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

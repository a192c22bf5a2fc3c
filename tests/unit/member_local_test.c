/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/member_actor.h"

static void test_a_lone_node_lives_and_has_a_lease_and_no_map(void **state)
{
	static struct actor a;

	actor_open(&a, *state, 1);
	assert_int_equal(a.leases + a.live_count, 0); /* nothing from inside join */
	WAIT_FOR(&a, a.leases >= 3);
	assert_int_equal(a.live_count, 1);
	assert_int_equal(a.map_count, 0);
	actor_close(&a);
	assert_int_equal(files_in(*state, "live"), 0);
}

static void test_a_proposal_needs_the_epoch_it_was_made_from(void **state)
{
	static struct actor a;

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(propose(&a, 7, 1, first_map(7)), -SF_EAGAIN); /* the register is empty */
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	WAIT_FOR(&a, a.map_count == 1);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), -SF_EAGAIN);
	assert_int_equal(propose(&a, 8, 1, next_map(newest(&a), 2)), -SF_EAGAIN);
	assert_int_equal(propose_next(&a, 2), 0);
	WAIT_FOR(&a, a.map_count == 2);
	assert_int_equal(propose(&a, 7, 1, next_map(a.maps[0], 3)), -SF_EAGAIN);
	assert_int_equal(a.map_count, 2);
	actor_close(&a);
}

static void test_every_epoch_is_delivered_in_order_also_to_latecomers(void **state)
{
	static struct actor a, b, c;

	actor_open(&a, *state, 1);
	actor_open(&b, *state, 2);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	for (uint32_t e = 1; e < 20; e++) {
		WAIT_FOR(&a, a.map_count == e);
		assert_int_equal(propose_next(&a, 1000 + e), 0);
	}
	actor_open(&c, *state, 3);
	WAIT_FOR(&b, b.map_count == 20);
	WAIT_FOR(&c, c.map_count == 20 && c.leases);
	for (uint32_t e = 1; e <= 20; e++) {
		assert_int_equal(b.maps[e - 1]->epoch, e);
		assert_int_equal(c.maps[e - 1]->epoch, e);
		assert_int_equal(b.maps[e - 1]->grace_ms, c.maps[e - 1]->grace_ms);
	}
	actor_close(&a);
	actor_close(&b);
	actor_close(&c);
}

static void test_a_new_format_replaces_the_cluster_and_hides_its_history(void **state)
{
	static struct actor a, b;

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	WAIT_FOR(&a, a.map_count == 1);
	assert_int_equal(propose_next(&a, 5), 0);
	WAIT_FOR(&a, a.map_count == 2);
	assert_int_equal(propose(&a, 7, 2, first_map(9)), 0);
	WAIT_FOR(&a, a.map_count == 3);
	assert_int_equal(newest(&a)->cluster, 9);
	assert_int_equal(propose_next(&a, 6), 0);
	actor_open(&b, *state, 2);
	WAIT_FOR(&b, b.map_count == 2 && b.leases);
	assert_int_equal(b.maps[0]->cluster, 9);
	assert_int_equal(b.maps[0]->epoch, 1);
	assert_int_equal(b.maps[1]->epoch, 2);
	actor_close(&a);
	actor_close(&b);
}

/* Proposes against whatever is newest until `last` is reached; writes its wins into won[]. Exits with 0 if every epoch
 * was delivered to it, in order. */
static void race(const char *dir, uint64_t id, uint32_t last, volatile uint32_t *won)
{
	static struct actor a;
	char text[512];

	if (actor_try_open(&a, dir, id, text))
		_exit(2);
	while (!a.leases)
		ev_run(a.loop, EVRUN_ONCE);
	while (newest(&a)->epoch < last) {
		uint32_t epoch = newest(&a)->epoch;

		if (propose_next(&a, epoch * 100 + (uint32_t)id) == 0)
			won[epoch + 1]++;
		while (newest(&a)->epoch <= epoch)
			ev_run(a.loop, EVRUN_ONCE);
	}
	for (uint32_t i = 0; i < a.map_count; i++)
		if (a.maps[i]->epoch != i + 1)
			_exit(4);
	_exit(a.map_count >= last ? 0 : 5);
}

static void test_exactly_one_of_many_processes_wins_each_epoch_and_all_see_it(void **state)
{
	enum { RACERS = 4, LAST = 40 };
	static struct actor a;
	pid_t pid[RACERS];
	uint32_t *won = mmap(NULL, RACERS * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(won, MAP_FAILED);
	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	for (uint32_t i = 0; i < RACERS; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			race(*state, 10 + i, LAST, won + i * 1024);
	}
	WAIT_FOR(&a, a.map_count >= LAST);
	for (uint32_t i = 0; i < RACERS; i++)
		assert_int_equal(reap(pid[i]), 0);
	for (uint32_t e = 2; e <= LAST; e++) {
		uint32_t winners = 0, who = 0;

		for (uint32_t i = 0; i < RACERS; i++) {
			winners += won[i * 1024 + e];
			if (won[i * 1024 + e])
				who = 10 + i;
		}
		assert_int_equal(winners, 1);
		assert_int_equal(a.maps[e - 1]->epoch, e);
		assert_int_equal(a.maps[e - 1]->grace_ms, (e - 1) * 100 + who);
	}
	munmap(won, RACERS * 4096);
	actor_close(&a);
}

static void test_a_killed_process_leaves_the_live_set_within_a_second(void **state)
{
	static struct actor a;
	uint64_t killed, longest = 0;
	pid_t pid;
	int fd;

	actor_open(&a, *state, 1);
	for (uint32_t i = 0; i < 5; i++) {
		pid = member_process(*state, 2, &fd);
		WAIT_FOR(&a, sees(&a, 2));
		killed = now_ms();
		kill(pid, SIGKILL);
		WAIT_FOR(&a, !sees(&a, 2));
		longest = now_ms() - killed > longest ? now_ms() - killed : longest;
		reap(pid);
		close(fd);
	}
	print_message("noticed within %llu ms\n", (unsigned long long)longest);
	assert_true(longest < 500);
	assert_int_equal(files_in(*state, "live"), 1);
	actor_close(&a);
}

static void test_stale_announcements_are_removed(void **state)
{
	static struct actor a;
	char c;
	pid_t pid;
	int fd;

	pid = member_process(*state, 2, &fd);
	while ((c = read_event(fd)) != 'L')
		;
	kill(pid, SIGKILL);
	reap(pid);
	close(fd);
	assert_int_equal(files_in(*state, "live"), 1);
	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(a.live_count, 1);
	assert_int_equal(files_in(*state, "live"), 1);
	actor_close(&a);
}

static void test_a_node_that_leaves_is_gone_at_once(void **state)
{
	static struct actor a, b;

	actor_open(&a, *state, 1);
	actor_open(&b, *state, 2);
	WAIT_FOR(&a, sees(&a, 2) && a.leases);
	member_local.leave(b.member);
	WAIT_FOR(&a, !sees(&a, 2));
	actor_close(&b);
	actor_close(&a);
}

static void test_a_changed_announcement_is_seen_without_a_gap(void **state)
{
	static struct actor a, b;

	actor_open(&a, *state, 1);
	actor_open(&b, *state, 2);
	WAIT_FOR(&a, a.live_count == 2);
	b.info.cluster = 77;
	assert_int_equal(member_local.update(b.member, &b.info), 0);
	while (a.live_cluster[1] != 77) {
		ev_run(a.loop, EVRUN_ONCE);
		assert_int_equal(a.live_count, 2);
	}
	WAIT_FOR(&b, b.leases && b.live_count == 2);
	actor_close(&b);
	actor_close(&a);
}

static void test_an_announcement_taken_away_is_made_again(void **state)
{
	static struct actor a;
	char command[200];
	uint32_t leases;

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	snprintf(command, sizeof(command), "rm %s/live/node.*", (char *)*state);
	assert_int_equal(system(command), 0);
	leases = a.leases;
	WAIT_FOR(&a, a.leases > leases + 2);
	assert_true(sees(&a, 1));
	actor_close(&a);
}

static void test_a_stopped_process_sees_new_maps_before_it_gets_a_lease(void **state)
{
	static struct actor a;
	pid_t pid;
	int fd, flags;
	char c;

	actor_open(&a, *state, 1);
	pid = member_process(*state, 2, &fd);
	WAIT_FOR(&a, sees(&a, 2));
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	while ((c = read_event(fd)) != 'M')
		;
	for (uint32_t i = 0; i < 5; i++) {
		int status;

		while ((c = read_event(fd)) != 'L')
			;
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		flags = fcntl(fd, F_GETFL);
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		while (read(fd, &c, 1) == 1) /* what it did before it was stopped */
			;
		fcntl(fd, F_SETFL, flags);
		assert_int_equal(propose_next(&a, 100 + i), 0);
		WAIT_FOR(&a, a.map_count == i + 2);
		usleep(STOPPED_MS * 1000);
		assert_true(sees(&a, 2)); /* stopped is not dead */
		kill(pid, SIGCONT);
		while ((c = read_event(fd)) != 'M')
			assert_int_not_equal(c, 'L');
	}
	kill(pid, SIGKILL);
	reap(pid);
	close(fd);
	actor_close(&a);
}

static void test_the_same_node_twice_is_refused(void **state)
{
	static struct actor a, b;
	char text[512] = "";

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(actor_try_open(&b, *state, 1, text), -SF_EINUSE);
	assert_non_null(strstr(text, "running already"));
	actor_close(&b);
	WAIT_FOR(&a, a.leases > 2 && a.live_count == 1);
	actor_close(&a);
}

/* Joins when go_fd is closed, tells how it went, and stays until until_fd is. */
static void join_at_once(const char *dir, int go_fd, int tell_fd, int until_fd)
{
	static struct actor a;
	char text[512], c;

	if (read(go_fd, &c, 1) != 0)
		_exit(3);
	c = actor_try_open(&a, dir, 1, text) ? 'n' : 'y';
	if (write(tell_fd, &c, 1) != 1)
		_exit(3);
	_exit(read(until_fd, &c, 1) == 0 ? 0 : 4);
}

static void test_of_one_node_starting_twice_at_the_same_moment_one_at_most_stays(void **state)
{
	static struct actor a;
	char command[200];

	actor_open(&a, *state, 2);
	actor_close(&a);
	/* Many strange files make a look at the directory take long. */
	snprintf(command, sizeof(command), "cd %s/live && seq -f x%%g 5000 | xargs touch", (char *)*state);
	assert_int_equal(system(command), 0);
	for (uint32_t round = 0; round < 2; round++) {
		int go[2], told[2], until[2];
		pid_t pid[2];
		uint32_t joined = 0;

		assert_true(pipe(go) == 0 && pipe(told) == 0 && pipe(until) == 0);
		for (uint32_t i = 0; i < 2; i++) {
			pid[i] = fork();
			assert_true(pid[i] >= 0);
			if (pid[i] == 0) {
				close(go[1]), close(until[1]);
				join_at_once(*state, go[0], told[1], until[0]);
			}
		}
		close(go[1]);
		for (uint32_t i = 0; i < 2; i++)
			joined += read_event(told[0]) == 'y';
		assert_true(joined <= 1);
		close(until[1]);
		for (uint32_t i = 0; i < 2; i++)
			assert_int_equal(reap(pid[i]), 0);
		close(go[0]), close(until[0]), close(told[0]), close(told[1]);
	}
}

static void test_two_clusters_in_two_directories_know_nothing_of_each_other(void **state)
{
	static struct actor a, b;
	char dir_a[100], dir_b[100];

	snprintf(dir_a, sizeof(dir_a), "%s/a", (char *)*state);
	snprintf(dir_b, sizeof(dir_b), "%s/b", (char *)*state);
	actor_open(&a, dir_a, 1);
	actor_open(&b, dir_b, 1); /* even with the same id */
	WAIT_FOR(&a, a.leases);
	WAIT_FOR(&b, b.leases);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	assert_int_equal(propose(&b, 0, 0, first_map(9)), 0);
	WAIT_FOR(&a, a.map_count == 1);
	assert_int_equal(propose_next(&a, 5), 0);
	WAIT_FOR(&a, a.map_count == 2 && a.leases > 5);
	WAIT_FOR(&b, b.map_count == 1 && b.leases > 5);
	assert_int_equal(newest(&a)->cluster, 7);
	assert_int_equal(newest(&b)->cluster, 9);
	assert_int_equal(b.map_count, 1);
	assert_true(a.live_count == 1 && b.live_count == 1);
	actor_close(&a);
	assert_int_equal(files_in(dir_b, "live"), 1);
	actor_close(&b);
}

static void test_a_node_that_left_proposes_nothing(void **state)
{
	static struct actor a;
	struct map *map = first_map(7);

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	member_local.leave(a.member);
	member_local.propose(a.member, 0, 0, map);
	map_unref(map);
	assert_int_equal(files_in(*state, "maps"), 0);
	actor_close(&a);
}

static void test_a_damaged_map_is_refused_in_words(void **state)
{
	static struct actor a, b;
	char path[200], text[512] = "";
	int fd;

	actor_open(&a, *state, 1);
	WAIT_FOR(&a, a.leases);
	assert_int_equal(propose(&a, 0, 0, first_map(7)), 0);
	snprintf(path, sizeof(path), "%s/maps/map.00000002", (char *)*state);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "not a map, but long enough to be one", 36), 36);
	close(fd);
	WAIT_FOR(&a, a.failed[0]);
	assert_non_null(strstr(a.failed, "map register"));
	assert_int_not_equal(actor_try_open(&b, *state, 2, text), 0);
	assert_non_null(strstr(text, "map register"));
	actor_close(&b);
	actor_close(&a);
}

static void test_drivers_are_found_by_the_first_word(void **state)
{
	const char *spec = "x";

	assert_ptr_equal(member_driver_find("local", &spec), &member_local);
	assert_null(spec);
	assert_ptr_equal(member_driver_find("local:/a:b", &spec), &member_local);
	assert_string_equal(spec, "/a:b");
	assert_null(member_driver_find("loca", &spec));
	assert_null(member_driver_find("locals:x", &spec));
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, dir_setup, dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drivers_are_found_by_the_first_word),
		WITH_DIR(test_a_lone_node_lives_and_has_a_lease_and_no_map),
		WITH_DIR(test_a_proposal_needs_the_epoch_it_was_made_from),
		WITH_DIR(test_every_epoch_is_delivered_in_order_also_to_latecomers),
		WITH_DIR(test_a_new_format_replaces_the_cluster_and_hides_its_history),
		WITH_DIR(test_exactly_one_of_many_processes_wins_each_epoch_and_all_see_it),
		WITH_DIR(test_a_killed_process_leaves_the_live_set_within_a_second),
		WITH_DIR(test_stale_announcements_are_removed),
		WITH_DIR(test_a_node_that_leaves_is_gone_at_once),
		WITH_DIR(test_a_changed_announcement_is_seen_without_a_gap),
		WITH_DIR(test_an_announcement_taken_away_is_made_again),
		WITH_DIR(test_a_stopped_process_sees_new_maps_before_it_gets_a_lease),
		WITH_DIR(test_the_same_node_twice_is_refused),
		WITH_DIR(test_of_one_node_starting_twice_at_the_same_moment_one_at_most_stays),
		WITH_DIR(test_two_clusters_in_two_directories_know_nothing_of_each_other),
		WITH_DIR(test_a_node_that_left_proposes_nothing),
		WITH_DIR(test_a_damaged_map_is_refused_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/member_actor.h"

#include <sys/stat.h>

#include "sheep/member/local_register.h"

static struct local_register *reg_open(const char *dir, uint64_t node)
{
	struct local_register *r = xcalloc(1, sizeof(*r));

	assert_int_equal(local_register_open(r, dir, node), 0);
	return r;
}

static void reg_close(struct local_register *r)
{
	local_register_close(r);
	free(r);
}

/* Everything there is; the newest of it, or NULL. A negative result goes to *ret_err. */
static struct map *read_all(struct local_register *r, int *ret_err)
{
	struct map *map, *newest = NULL;
	int got;

	while ((got = local_register_next(r, &map)) > 0) {
		if (newest)
			map_unref(newest);
		newest = map;
	}
	*ret_err = got;
	return newest;
}

static void expect_newest(const char *dir, uint64_t cluster, uint32_t epoch)
{
	struct local_register *r = reg_open(dir, 99);
	int err;
	struct map *map = read_all(r, &err);

	assert_int_equal(err, 0);
	assert_non_null(map);
	assert_true(map->cluster == cluster);
	assert_int_equal(map->epoch, epoch);
	map_unref(map);
	reg_close(r);
}

static int format(struct local_register *r, uint64_t cluster)
{
	struct map *map = first_map(cluster);
	int rc = local_register_propose(r, r->cluster, r->epoch, map);

	map_unref(map);
	return rc;
}

/* Proposes the map after the newest, which the register must be about to read. */
static int advance(struct local_register *r, uint32_t mark)
{
	int rc;
	struct map *map = read_all(r, &rc), *next;

	assert_int_equal(rc, 0);
	assert_non_null(map);
	next = next_map(map, mark);
	rc = local_register_propose(r, map->cluster, map->epoch, next);
	map_unref(map);
	map_unref(next);
	return rc;
}

/* Epochs 1 to `last` of a cluster, as files 1 to `last`. */
static void fill(const char *dir, uint64_t cluster, uint32_t last)
{
	struct local_register *r = reg_open(dir, 1);
	struct map *map;
	int rc;

	assert_int_equal(format(r, cluster), 0);
	assert_int_equal(local_register_next(r, &map), 1);
	for (uint32_t e = 2; e <= last; e++) {
		struct map *next = next_map(map, e);

		assert_int_equal(local_register_propose(r, cluster, e - 1, next), 0);
		map_unref(map);
		map_unref(next);
		map = read_all(r, &rc);
		assert_int_equal(rc, 0);
	}
	map_unref(map);
	reg_close(r);
}

static uint32_t file_count(const char *dir)
{
	return files_in(dir, ".");
}

static uint8_t *slurp(const char *dir, const char *name, size_t *ret_len)
{
	char path[300];
	struct stat st;
	uint8_t *data;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	data = xmalloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	close(fd);
	*ret_len = (size_t)st.st_size;
	return data;
}

static void spill(const char *dir, const char *name, const uint8_t *data, size_t len)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void an_empty_register_holds_nothing(void **state)
{
	struct local_register *r = reg_open(*state, 1);
	struct map *map;

	assert_int_equal(local_register_next(r, &map), 0);
	assert_int_equal(local_register_next(r, &map), 0);
	reg_close(r);
}

static void what_won_is_there_for_everybody_and_after_a_restart(void **state)
{
	struct local_register *a = reg_open(*state, 1), *b = reg_open(*state, 2);
	struct map *map;

	assert_int_equal(format(a, 7), 0);
	assert_int_equal(a->seq, 0); /* the winner too learns of it by reading */
	assert_int_equal(local_register_next(a, &map), 1);
	map_unref(map);
	assert_int_equal(local_register_next(b, &map), 1);
	assert_int_equal(map->epoch, 1);
	map_unref(map);
	assert_int_equal(local_register_next(b, &map), 0);
	reg_close(a);
	reg_close(b);
	expect_newest(*state, 7, 1);
	assert_int_equal(file_count(*state), 1); /* nothing but the map itself */
}

static void a_proposal_made_from_another_epoch_or_cluster_loses(void **state)
{
	struct local_register *r = reg_open(*state, 1);
	struct map *map, *next;
	int rc;

	map = first_map(7);
	assert_int_equal(local_register_propose(r, 7, 1, map), -SF_EAGAIN); /* nothing there yet */
	map_unref(map);
	assert_int_equal(format(r, 7), 0);
	map = read_all(r, &rc);
	next = next_map(map, 1);
	assert_int_equal(local_register_propose(r, 0, 0, next), -SF_EAGAIN);
	assert_int_equal(local_register_propose(r, 8, 1, next), -SF_EAGAIN);
	assert_int_equal(local_register_propose(r, 7, 2, next), -SF_EAGAIN);
	assert_int_equal(local_register_propose(r, 7, 1, next), 0);
	assert_int_equal(local_register_propose(r, 7, 1, next), -SF_EAGAIN); /* its own won meanwhile */
	map_unref(map);
	map_unref(next);
	reg_close(r);
	expect_newest(*state, 7, 2);
	assert_int_equal(file_count(*state), 2);
}

static void a_proposer_that_has_not_seen_the_newest_map_loses(void **state)
{
	struct local_register *late = reg_open(*state, 2), *r;
	struct map *map, *next;
	int rc;

	fill(*state, 7, 1);
	map = read_all(late, &rc);
	next = next_map(map, 2);
	r = reg_open(*state, 1);
	assert_int_equal(advance(r, 5), 0);
	reg_close(r);
	assert_int_equal(local_register_propose(late, 7, 1, next), -SF_EAGAIN);
	map_unref(map);
	map = read_all(late, &rc);
	assert_int_equal(map->epoch, 2);
	assert_int_equal(map->grace_ms, 5);
	map_unref(map);
	map_unref(next);
	reg_close(late);
	late = reg_open(*state, 2);
	assert_int_equal(advance(late, 6), 0);
	reg_close(late);
	expect_newest(*state, 7, 3);
}

static void a_format_anew_ends_the_cluster_before(void **state)
{
	struct local_register *r = reg_open(*state, 1), *old = reg_open(*state, 2);
	struct map *map, *next;
	int rc;

	fill(*state, 7, 3);
	map = read_all(old, &rc);
	next = next_map(map, 4);
	map_unref(read_all(r, &rc));
	assert_int_equal(format(r, 9), 0);
	assert_int_equal(local_register_propose(old, 7, 3, next), -SF_EAGAIN);
	map_unref(map);
	map_unref(next);
	map = read_all(old, &rc);
	assert_int_equal(rc, 0);
	assert_true(map->cluster == 9 && map->epoch == 1);
	map_unref(map);
	assert_int_equal(advance(r, 1), 0);
	reg_close(r);
	reg_close(old);
	expect_newest(*state, 9, 2);
}

/* A proposer killed between making its map the next and removing the name it was written under. */
static void what_won_is_not_touched_by_the_next_proposal_of_its_killed_author(void **state)
{
	struct local_register *r;
	uint8_t *before, *after;
	size_t len, now_len;
	char map[300], tmp[300];

	fill(*state, 7, 2);
	before = slurp(*state, "map.00000002", &len);
	snprintf(map, sizeof(map), "%s/map.00000002", (char *)*state);
	snprintf(tmp, sizeof(tmp), "%s/tmp.%016x", (char *)*state, 1);
	assert_int_equal(link(map, tmp), 0);
	r = reg_open(*state, 1);
	assert_int_equal(advance(r, 3), 0);
	after = slurp(*state, "map.00000002", &now_len);
	assert_int_equal(now_len, len);
	assert_memory_equal(before, after, len);
	free(before);
	free(after);
	reg_close(r);
	expect_newest(*state, 7, 3);
	assert_int_equal(file_count(*state), 3);
}

static void a_proposal_half_written_by_a_killed_process_is_nobodys_map(void **state)
{
	struct local_register *r;
	char name[40];

	fill(*state, 7, 1);
	snprintf(name, sizeof(name), "tmp.%016x", 1);
	spill(*state, name, (const uint8_t *)"SFmp half of a map, longer than the next one is", 40);
	expect_newest(*state, 7, 1);
	r = reg_open(*state, 1);
	assert_int_equal(advance(r, 3), 0);
	reg_close(r);
	expect_newest(*state, 7, 2);
	assert_int_equal(file_count(*state), 2);
}

/* Whether reading all of the directory fails as it should for a damaged file. */
static bool damage_is_found(const char *dir)
{
	struct local_register *r = reg_open(dir, 99);
	int err;
	struct map *map = read_all(r, &err);

	if (map)
		map_unref(map);
	assert_true(r->seq <= 2); /* nothing behind the damage was delivered */
	reg_close(r);
	return err == -SF_ECORRUPT || err == -SF_EFORMAT;
}

static void any_byte_changed_or_missing_in_a_map_is_found(void **state)
{
	uint8_t *data;
	size_t len;

	fill(*state, 7, 3);
	data = slurp(*state, "map.00000002", &len);
	for (size_t i = 0; i < len; i++) {
		data[i] ^= (uint8_t)(1u << (i % 8));
		spill(*state, "map.00000002", data, len);
		assert_true(damage_is_found(*state));
		data[i] ^= (uint8_t)(1u << (i % 8));
		spill(*state, "map.00000002", data, i);
		assert_true(damage_is_found(*state));
	}
	data[len] = 0;
	spill(*state, "map.00000002", data, len + 1);
	assert_true(damage_is_found(*state));
	spill(*state, "map.00000002", data, len);
	expect_newest(*state, 7, 3);
	free(data);
}

static void a_map_in_the_wrong_place_is_refused(void **state)
{
	char other[200];
	uint8_t *data;
	size_t len;

	fill(*state, 7, 1);
	snprintf(other, sizeof(other), "%s/other", (char *)*state);
	fill(other, 9, 3);
	data = slurp(other, "map.00000002", &len); /* another cluster's epoch 2 */
	spill(*state, "map.00000002", data, len);
	assert_true(damage_is_found(*state));
	free(data);
	data = slurp(*state, "map.00000001", &len); /* this cluster's epoch 1 under another number */
	spill(*state, "map.00000002", data, len);
	assert_true(damage_is_found(*state));
	free(data);
}

static void shell(const char *format_text, const char *dir)
{
	char command[500];

	snprintf(command, sizeof(command), format_text, dir, dir, dir);
	assert_int_equal(system(command), 0);
}

static void a_register_taken_away_is_noticed(void **state)
{
	static const char *const ways[] = {
		"rm %s/r/map.00000002",
		"rm -r %s/r",
		"mv %s/r %s/r.old",
		"mv %s/r %s/r.old && mkdir %s/r",
	};
	char dir[200];

	snprintf(dir, sizeof(dir), "%s/r", (char *)*state);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct local_register *r;
		struct map *map;
		int err;

		fill(dir, 7, 2);
		r = reg_open(dir, 1);
		map_unref(read_all(r, &err));
		assert_int_equal(err, 0);
		shell(ways[i], *state);
		assert_true(local_register_next(r, &map) < 0);
		reg_close(r);
		shell("rm -rf %s/r %s/r.old", *state);
	}
}

static void a_directory_that_cannot_be_made_is_an_error(void **state)
{
	struct local_register *r = xcalloc(1, sizeof(*r));
	char dir[200];

	snprintf(dir, sizeof(dir), "%s/no/where", (char *)*state);
	assert_int_equal(local_register_open(r, dir, 1), -ENOENT);
	local_register_close(r);
	spill(*state, "file", (const uint8_t *)"x", 1);
	snprintf(dir, sizeof(dir), "%s/file", (char *)*state);
	assert_int_equal(local_register_open(r, dir, 1), -ENOTDIR);
	reg_close(r);
}

/* ---- Many processes ---- */

/* Proposes until `last` is there; counts its wins per epoch. */
static void contend(const char *dir, uint32_t id, uint32_t last, volatile uint32_t *won)
{
	struct local_register *r = reg_open(dir, id);
	struct map *map = NULL, *next;
	int rc;

	for (;;) {
		struct map *newest = read_all(r, &rc);

		if (rc < 0 || (!newest && !map))
			_exit(2);
		if (newest) {
			if (map)
				map_unref(map);
			map = newest;
		}
		if (map->epoch >= last)
			_exit(0);
		next = next_map(map, map->epoch * 100 + id);
		rc = local_register_propose(r, map->cluster, map->epoch, next);
		if (rc == 0)
			won[map->epoch + 1]++;
		else if (rc != -SF_EAGAIN)
			_exit(3);
		map_unref(next);
	}
}

static void one_of_many_proposers_wins_each_epoch(void **state)
{
	enum { PROPOSERS = 4, LAST = 51 };
	uint32_t *won = mmap(NULL, PROPOSERS * 4096, PROT_READ | PROT_WRITE,
	                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct local_register *r;
	pid_t pid[PROPOSERS];
	struct map *map;
	int status;

	assert_ptr_not_equal(won, MAP_FAILED);
	fill(*state, 7, 1);
	for (uint32_t i = 0; i < PROPOSERS; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i] == 0)
			contend(*state, 10 + i, LAST, won + i * 1024);
	}
	for (uint32_t i = 0; i < PROPOSERS; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	r = reg_open(*state, 1);
	for (uint32_t e = 1; e <= LAST; e++) {
		uint32_t winners = 0;

		assert_int_equal(local_register_next(r, &map), 1);
		assert_int_equal(map->epoch, e);
		for (uint32_t i = 0; e > 1 && i < PROPOSERS; i++) {
			winners += won[i * 1024 + e];
			if (map->grace_ms == (e - 1) * 100 + 10 + i)
				assert_int_equal(won[i * 1024 + e], 1);
		}
		assert_int_equal(winners, e > 1);
		map_unref(map);
	}
	assert_int_equal(local_register_next(r, &map), 0);
	reg_close(r);
	assert_int_equal(file_count(*state), LAST);
	munmap(won, PROPOSERS * 4096);
}

static void proposers_killed_at_any_moment_leave_the_register_whole(void **state)
{
	enum { ROUNDS = 12 };
	struct local_register *r = reg_open(*state, 1);
	uint32_t *won = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t epoch = 1;

	assert_ptr_not_equal(won, MAP_FAILED);
	fill(*state, 7, 1);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t end = now_ms() + PATIENCE_MS;
		uint32_t start = epoch;
		struct map *map;
		pid_t pid = fork();
		int err;

		assert_true(pid >= 0);
		if (pid == 0)
			contend(*state, 2, 1 << 17, won); /* the same node each time */
		while (epoch < start + 2 + i % 3) {
			assert_true(now_ms() < end);
			map = read_all(r, &err);
			assert_int_equal(err, 0);
			if (!map)
				continue;
			epoch = map->epoch;
			map_unref(map);
		}
		kill(pid, SIGKILL);
		reap(pid);
		map = read_all(r, &err);
		assert_int_equal(err, 0);
		if (map) {
			epoch = map->epoch;
			map_unref(map);
		}
	}
	reg_close(r);
	r = reg_open(*state, 2);
	assert_int_equal(advance(r, 1), 0);
	reg_close(r);
	expect_newest(*state, 7, epoch + 1);
	assert_int_equal(file_count(*state), epoch + 1);
	munmap(won, 1 << 20);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, dir_setup, dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_DIR(an_empty_register_holds_nothing),
		WITH_DIR(what_won_is_there_for_everybody_and_after_a_restart),
		WITH_DIR(a_proposal_made_from_another_epoch_or_cluster_loses),
		WITH_DIR(a_proposer_that_has_not_seen_the_newest_map_loses),
		WITH_DIR(a_format_anew_ends_the_cluster_before),
		WITH_DIR(what_won_is_not_touched_by_the_next_proposal_of_its_killed_author),
		WITH_DIR(a_proposal_half_written_by_a_killed_process_is_nobodys_map),
		WITH_DIR(any_byte_changed_or_missing_in_a_map_is_found),
		WITH_DIR(a_map_in_the_wrong_place_is_refused),
		WITH_DIR(a_register_taken_away_is_noticed),
		WITH_DIR(a_directory_that_cannot_be_made_is_an_error),
		WITH_DIR(one_of_many_proposers_wins_each_epoch),
		WITH_DIR(proposers_killed_at_any_moment_leave_the_register_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "tests/unit/store_fixture.h"

static int open_again(struct fixture *f, struct store **st, char text[STORE_TEXT_LEN])
{
	text[0] = 0;
	return store_open(&f->opt, st, text);
}

static void touch(struct fixture *f, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	assert_true(fd >= 0);
	close(fd);
}

static void a_fresh_directory_becomes_a_store_and_stays_that_one(void **state)
{
	struct fixture *f = *state;

	touch(f, "sheep.log");
	touch(f, "node");
	fixture_open(f);
	struct store_identity id = store_identity(f->st);
	assert_true(id.fresh);
	assert_int_equal(id.disk, 0x1234);
	assert_int_equal(id.node, 7);
	assert_int_equal(id.cluster, 0);
	f->opt.new_disk_id = 0x9999;
	fixture_reopen(f);
	id = store_identity(f->st);
	assert_false(id.fresh);
	assert_int_equal(id.disk, 0x1234);
}

static void a_directory_that_is_missing_is_made(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->dir), 0);
	fixture_open(f);
	assert_true(store_identity(f->st).fresh);
}

static void a_directory_in_use_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_LEN];
	struct store *other = NULL;

	fixture_open(f);
	assert_int_equal(open_again(f, &other, text), -SF_EINUSE);
	assert_non_null(strstr(text, f->dir));
	assert_null(other);
}

static void disks_of_other_nodes_and_clusters_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_LEN];

	fixture_open(f);
	assert_int_equal(store_adopt(f->st, 77), 0);
	fixture_close(f);
	f->opt.node = 8;
	assert_int_equal(open_again(f, &f->st, text), -SF_EFOREIGN);
	assert_non_null(strstr(text, f->dir));
	f->opt.node = 7;
	f->opt.cluster = 78;
	assert_int_equal(open_again(f, &f->st, text), -SF_EFOREIGN);
	f->opt.cluster = 77;
	fixture_open(f);
	assert_int_equal(store_identity(f->st).cluster, 77);
}

static void a_directory_with_other_peoples_files_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_LEN];

	touch(f, "holiday.jpg");
	assert_int_equal(open_again(f, &f->st, text), -SF_EFOREIGN);
	assert_non_null(strstr(text, "holiday.jpg"));
}

static void segments_without_a_superblock_are_not_overwritten(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_LEN], path[512];

	fixture_open(f);
	do_prepare(f, 1, 1, 0, 0, RANGE_DATA, 0, 100, 1);
	fixture_close(f);
	snprintf(path, sizeof(path), "%s/superblock", f->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/superblock.1", f->dir);
	unlink(path);
	assert_int_equal(open_again(f, &f->st, text), -SF_ECORRUPT);
}

static void a_disk_too_small_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[STORE_TEXT_LEN];

	f->opt.size_bytes = 16 << 20;
	assert_int_equal(open_again(f, &f->st, text), -ENOSPC);
}

static void adopting_keeps_the_data_of_a_store_without_a_cluster_and_drops_anothers(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	fixture_open(f);
	do_prepare(f, 1, 1, 0, 0, RANGE_DATA, 0, 100, 1);
	assert_int_equal(store_adopt(f->st, 5), 0);
	assert_true(reads_as(f, 1, 0, 100, 1));
	assert_int_equal(store_adopt(f->st, 6), 0);
	assert_int_equal(do_stat(f, 1, &e), RES_NOENT);
	assert_int_equal(do_usage(f).shards, 0);
	assert_int_equal(do_prepare(f, 2, 1, 0, 0, RANGE_DATA, 0, 100, 2), RES_OK);
	fixture_crash(f);
	fixture_open(f);
	assert_int_equal(store_identity(f->st).cluster, 6);
	assert_int_equal(do_stat(f, 1, &e), RES_NOENT);
	assert_true(reads_as(f, 2, 0, 100, 2));
	fixture_close(f);
	fixture_drop_index(f);
	fixture_open(f);
	assert_int_equal(do_stat(f, 1, &e), RES_NOENT);
	assert_true(reads_as(f, 2, 0, 100, 2));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_fresh_directory_becomes_a_store_and_stays_that_one),
		T(a_directory_that_is_missing_is_made),
		T(a_directory_in_use_is_refused_by_name),
		T(disks_of_other_nodes_and_clusters_are_refused),
		T(a_directory_with_other_peoples_files_is_refused),
		T(segments_without_a_superblock_are_not_overwritten),
		T(a_disk_too_small_is_refused),
		T(adopting_keeps_the_data_of_a_store_without_a_cluster_and_drops_anothers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

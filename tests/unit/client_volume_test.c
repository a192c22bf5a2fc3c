/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/lib/inode.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "tests/unit/client_fixture.h"

enum { MIB = 1 << 20 };

static int create(struct fixture *t, const char *name, uint64_t size)
{
	struct sf_volume_options o = {.size_bytes = size};

	return sf_volume_create(t->cluster, name, &o);
}

static uint32_t id_of(struct fixture *t, const char *name)
{
	struct sf_volume_info info;
	int err = sf_volume_stat(t->cluster, name, &info);

	return err < 0 ? 0 : info.id;
}

/* Puts a volume of another name where `name` belongs. */
static void occupy(struct fixture *t, uint32_t id, const char *by, uint32_t flags)
{
	struct inode in = {.flags = flags};
	uint8_t bytes[INODE_HEADER_LEN];

	snprintf(in.info.name, sizeof(in.info.name), "%s", by);
	in.info.id = id;
	in.info.size_bytes = MIB;
	in.info.redundancy = (struct sf_redundancy){2, 1};
	in.info.object_shift = 20;
	in.info.pool = POOL_DATA;
	inode_encode(&in, bytes);
	fake_put(&t->fake, POOL_META, oid_inode(id, 0), 0, bytes, sizeof(bytes));
}

static void a_new_volume_has_the_names_id_and_the_clusters_redundancy(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info info;

	assert_int_equal(create(t, "test", 12 * MIB), 0);
	assert_int_equal(sf_volume_stat(t->cluster, "test", &info), 0);
	assert_int_equal(info.id, 0x7c2b25);
	assert_int_equal(info.size_bytes, 12 * MIB);
	assert_int_equal(info.redundancy.data, 2);
	assert_int_equal(info.redundancy.parity, 1);
	assert_int_equal(info.object_shift, 20);
	assert_int_equal(info.used_bytes, 0);
}

static void a_name_is_given_once(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(create(t, "test", MIB), -EEXIST);
	assert_int_equal(create(t, "", MIB), -EINVAL);
	assert_int_equal(create(t, "x", 0), -EINVAL);
	assert_int_equal(create(t, "x", UINT64_MAX), -EINVAL);
}

static void names_that_collide_probe_upward(void **state)
{
	struct fixture *t = *state;

	occupy(t, 0x7c2b25, "other", 0);
	occupy(t, 0x7c2b26, "third", 0);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b27);
	assert_int_equal(create(t, "test", MIB), -EEXIST);
}

static void a_damaged_inode_hides_nobody(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info *list;
	size_t count;

	fake_put(&t->fake, POOL_META, oid_inode(0x7c2b25, 0), 0, "rubbish", 7);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b26);
	assert_int_equal(sf_volume_list(t->cluster, &list, &count), 0);
	assert_int_equal(count, 1);
	free(list);
}

static void deleting_gives_everything_back_and_the_id_too(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;
	uint8_t *data = xcalloc(1, 6 * MIB);

	assert_int_equal(create(t, "test", 12 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_write(v, data, 6 * MIB, 3 * MIB + 5), 0);
	sf_volume_close(v);
	free(data);
	/* An object that no map shows: a write that was cut off. */
	fake_put(&t->fake, POOL_DATA, oid_data(0x7c2b25, 11), 0, "x", 1);
	fake_put(&t->fake, POOL_DATA, oid_data(0x7c2b24, 3), 0, "x", 1);
	fake_put(&t->fake, POOL_DATA, oid_data(0x7c2b26, 0), 0, "x", 1);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 2);
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), -ENOENT);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b25);
}

static void a_deleted_volume_leaves_no_hole_in_front_of_others(void **state)
{
	struct fixture *t = *state;

	occupy(t, 0x7c2b25, "other", 0);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b26);
	/* "other" is found by its header where it is, so delete that by hand as sf_volume_delete
	 * would. */
	occupy(t, 0x7c2b25, "other", INODE_DELETED);
	assert_int_equal(id_of(t, "test"), 0x7c2b26);
	assert_int_equal(create(t, "test", MIB), -EEXIST);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	/* The end of the chain is gone, and so is the record that kept it together. */
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
}

static void deleting_in_front_of_another_leaves_a_record(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(create(t, "test", MIB), 0);
	occupy(t, 0x7c2b26, "next", 0);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_true(fake_has(&t->fake, POOL_META, oid_inode(0x7c2b25, 0)));
	assert_int_equal(id_of(t, "test"), 0);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b27);
}

static void an_interrupted_deletion_is_finished_by_create(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;

	occupy(t, 0x7c2b25, "test", INODE_DELETING);
	fake_put(&t->fake, POOL_DATA, oid_data(0x7c2b25, 0), 0, "old", 3);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), -ENOENT);
	assert_int_equal(create(t, "test", MIB), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 0);
	assert_int_equal(id_of(t, "test"), 0x7c2b25);
}

static void an_interrupted_deletion_is_finished_by_delete(void **state)
{
	struct fixture *t = *state;

	occupy(t, 0x7c2b25, "test", INODE_DELETING);
	fake_put(&t->fake, POOL_DATA, oid_data(0x7c2b25, 0), 0, "old", 3);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA) + fake_count(&t->fake, POOL_META), 0);
}

static void the_list_is_sorted_and_counts_what_is_used(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info *list;
	struct sf_volume *v;
	char name[16];
	size_t count;

	for (int i = 39; i >= 0; i--) {
		snprintf(name, sizeof(name), "vol%02d", i);
		assert_int_equal(create(t, name, 5 * MIB), 0);
	}
	assert_int_equal(sf_volume_open(t->cluster, "vol07", &v), 0);
	assert_int_equal(sf_write(v, "x", 1, 0), 0);
	assert_int_equal(sf_write(v, "x", 1, 5 * MIB - 1), 0);
	sf_volume_close(v);
	assert_int_equal(sf_volume_list(t->cluster, &list, &count), 0);
	assert_int_equal(count, 40);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "vol%02d", i);
		assert_string_equal(list[i].name, name);
		assert_int_equal(list[i].used_bytes, i == 7 ? 2 * MIB : 0);
	}
	free(list);
}

static void the_map_of_a_large_volume_spans_inode_objects(void **state)
{
	struct fixture *t = *state;
	uint64_t far = 5ull << 40; /* 5 TiB in objects of 1 MiB: entry 5 Mi, beyond 4 MiB of map */
	struct sf_volume_info info;
	struct sf_volume *v;
	char back[4];

	assert_int_equal(create(t, "big", far + 10 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "big", &v), 0);
	assert_int_equal(sf_write(v, "far", 4, far - 2), 0);
	assert_int_equal(sf_read(v, back, 4, far - 2), 0);
	assert_string_equal(back, "far");
	sf_volume_close(v);
	assert_true(fake_has(&t->fake, POOL_META, oid_inode(volume_id_of_name("big"), 5)));
	assert_int_equal(sf_volume_stat(t->cluster, "big", &info), 0);
	assert_int_equal(info.used_bytes, 2 * MIB);
	assert_int_equal(sf_volume_delete(t->cluster, "big"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA) + fake_count(&t->fake, POOL_META), 0);
}

static void shrinking_and_growing_again_shows_zeros(void **state)
{
	struct fixture *t = *state;
	uint8_t *data = xmalloc(4 * MIB), *zeros = xcalloc(1, 4 * MIB);
	struct sf_volume *v;

	memset(data, 0x5a, 4 * MIB);
	assert_int_equal(create(t, "test", 4 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_write(v, data, 4 * MIB, 0), 0);
	sf_volume_close(v);
	assert_int_equal(sf_volume_resize(t->cluster, "test", MIB + 100), 0);
	assert_int_equal(sf_volume_resize(t->cluster, "test", 0), -EINVAL);
	assert_int_equal(sf_volume_resize(t->cluster, "none", MIB), -ENOENT);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 2);
	assert_int_equal(sf_volume_resize(t->cluster, "test", 4 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	memset(data + MIB + 100, 0, 3 * MIB - 100);
	assert_int_equal(sf_read(v, zeros, 4 * MIB, 0), 0);
	assert_memory_equal(zeros, data, 4 * MIB);
	sf_volume_close(v);
	free(data);
	free(zeros);
}

/* Not an object at a time, of which there would be 67 millions. */
static void shrinking_a_huge_volume_asks_for_what_is_there(void **state)
{
	struct fixture *t = *state;
	const uint64_t tib = 1ull << 40;
	struct sf_volume *v;
	char back[4] = "";

	assert_int_equal(create(t, "huge", 64 * tib), 0);
	assert_int_equal(sf_volume_open(t->cluster, "huge", &v), 0);
	assert_int_equal(sf_write(v, "near", 4, 100), 0);
	assert_int_equal(sf_write(v, "far", 3, 60 * tib), 0);
	sf_volume_close(v);
	/* Of a write that was cut off before the map showed it. */
	fake_put(&t->fake, POOL_DATA, oid_data(id_of(t, "huge"), (uint32_t)(50 * tib / MIB)), 0, "old", 3);
	assert_int_equal(sf_volume_resize(t->cluster, "huge", 102), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 1);
	assert_int_equal(fake_count(&t->fake, POOL_META), 1);
	assert_int_equal(sf_volume_resize(t->cluster, "huge", 64 * tib), 0);
	assert_int_equal(sf_volume_open(t->cluster, "huge", &v), 0);
	assert_int_equal(sf_read(v, back, 4, 100), 0);
	assert_memory_equal(back, "ne\0\0", 4);
	assert_int_equal(sf_read(v, back, 3, 50 * tib), 0);
	assert_int_equal(back[0], 0);
	assert_int_equal(sf_read(v, back, 3, 60 * tib), 0);
	assert_int_equal(back[0], 0);
	sf_volume_close(v);
}

static void check_asks_for_every_object_and_the_inode(void **state)
{
	struct fixture *t = *state;
	struct sf_check_result r;
	struct sf_volume *v;
	uint8_t *data = xcalloc(1, 3 * MIB);

	assert_int_equal(create(t, "test", 12 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_write(v, data, 3 * MIB, 2 * MIB), 0);
	sf_volume_close(v);
	free(data);
	assert_int_equal(sf_volume_check(t->cluster, "test", true, &r, NULL, NULL), 0);
	assert_int_equal(r.objects, 4);
	assert_int_equal(r.shards, 3 * 3 + 3);
	assert_int_equal(r.lost_objects, 0);
}

static void objects_of_no_volume_are_found_and_no_others(void **state)
{
	struct fixture *t = *state;
	struct sf_orphan *v;
	struct sf_volume *volume;
	size_t count;

	assert_int_equal(create(t, "test", 12 * MIB), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &volume), 0);
	assert_int_equal(sf_write(volume, "x", 1, 2 * MIB), 0);
	assert_int_equal(sf_volume_close(volume), 0);
	assert_int_equal(sf_orphans_get(t->cluster, &v, &count), 0);
	assert_int_equal(count, 0);
	free(v);
	/* A damaged inode is one, too. */
	fake_put(&t->fake, POOL_META, oid_inode(volume_id_of_name("test"), 0), 40, "damage", 6);
	fake_put(&t->fake, POOL_DATA, oid_data(volume_id_of_name("gone"), 7), 0, "y", 1);
	assert_int_equal(sf_orphans_get(t->cluster, &v, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(v[0].oid, oid_data(volume_id_of_name("gone"), 7));
	assert_int_equal(v[0].pool, POOL_DATA);
	free(v);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_new_volume_has_the_names_id_and_the_clusters_redundancy),
		CASE(a_name_is_given_once),
		CASE(names_that_collide_probe_upward),
		CASE(a_damaged_inode_hides_nobody),
		CASE(deleting_gives_everything_back_and_the_id_too),
		CASE(a_deleted_volume_leaves_no_hole_in_front_of_others),
		CASE(deleting_in_front_of_another_leaves_a_record),
		CASE(an_interrupted_deletion_is_finished_by_create),
		CASE(an_interrupted_deletion_is_finished_by_delete),
		CASE(the_list_is_sorted_and_counts_what_is_used),
		CASE(the_map_of_a_large_volume_spans_inode_objects),
		CASE(shrinking_and_growing_again_shows_zeros),
		CASE(shrinking_a_huge_volume_asks_for_what_is_there),
		CASE(check_asks_for_every_object_and_the_inode),
		CASE(objects_of_no_volume_are_found_and_no_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

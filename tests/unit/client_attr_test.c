/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/lib/attr.h"
#include "client/lib/meta_object.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "tests/unit/client_fixture.h"

enum { MIB = 1 << 20 };

static int setup(void **state)
{
	struct fixture *t = fixture_create(0);

	fixture_make_volume(t, "test", MIB);
	*state = t;
	return 0;
}

static int set(struct fixture *t, const char *key, const char *value, bool exclusive)
{
	return sf_attr_set(t->cluster, "test", key, value, strlen(value), exclusive);
}

static void assert_value(struct fixture *t, const char *key, const char *value)
{
	void *got;
	size_t len;

	assert_int_equal(sf_attr_get(t->cluster, "test", key, &got, &len), 0);
	assert_int_equal(len, strlen(value));
	assert_memory_equal(got, value, len);
	free(got);
}

static void what_was_set_is_got_until_it_is_deleted(void **state)
{
	struct fixture *t = *state;
	void *got;
	size_t len;

	assert_int_equal(sf_attr_get(t->cluster, "test", "k", &got, &len), -ENOENT);
	assert_int_equal(set(t, "k", "one", false), 0);
	assert_int_equal(set(t, "j", "", false), 0);
	assert_value(t, "k", "one");
	assert_value(t, "j", "");
	assert_int_equal(set(t, "k", "two and more", false), 0);
	assert_value(t, "k", "two and more");
	assert_int_equal(sf_attr_delete(t->cluster, "test", "k"), 0);
	assert_int_equal(sf_attr_get(t->cluster, "test", "k", &got, &len), -ENOENT);
	assert_int_equal(sf_attr_delete(t->cluster, "test", "k"), -ENOENT);
	assert_int_equal(sf_attr_delete(t->cluster, "test", "j"), 0);
	/* Nothing is left of them. */
	assert_false(fake_has(&t->fake, POOL_META, oid_of_name(OID_TYPE_ATTR, "test")));
	assert_int_equal(sf_attr_set(t->cluster, "none", "k", "v", 1, false), -ENOENT);
}

static void an_exclusive_one_is_set_once(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(set(t, "k", "one", true), 0);
	assert_int_equal(set(t, "k", "two", true), -EEXIST);
	assert_value(t, "k", "one");
}

static void limits_are_kept_and_large_values_come_back(void **state)
{
	struct fixture *t = *state;
	char key[300], name[16], *value = xcalloc(1, SF_ATTR_VALUE_MAX + 2);
	struct sf_attr *list;
	size_t count;
	int err = 0;

	memset(value, 'v', SF_ATTR_VALUE_MAX + 1);
	assert_int_equal(set(t, "k", value, false), -EINVAL);
	value[SF_ATTR_VALUE_MAX] = '\0';
	for (int i = 0; i < 8 && !err; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		value[0] = (char)('0' + i);
		err = set(t, name, value, false);
		assert_int_equal(err, i < 7 ? 0 : -ENOSPC);
	}
	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		value[0] = (char)('0' + i);
		assert_value(t, name, value);
	}
	free(value);
	assert_int_equal(sf_attr_list(t->cluster, "test", &list, &count), 0);
	assert_int_equal(count, 7);
	assert_string_equal(list[3].key, "k3");
	assert_int_equal(list[3].value_len, SF_ATTR_VALUE_MAX);
	free(list);
	memset(key, 'k', sizeof(key));
	key[256] = '\0';
	assert_int_equal(set(t, key, "v", false), -EINVAL);
	assert_int_equal(set(t, "", "v", false), -EINVAL);
}

static void they_go_with_the_volume(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_options v = {.size_bytes = MIB};
	void *got;
	size_t len;

	assert_int_equal(set(t, "k", "one", false), 0);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
	assert_int_equal(sf_volume_create(t->cluster, "test", &v), 0);
	assert_int_equal(sf_attr_get(t->cluster, "test", "k", &got, &len), -ENOENT);
}

struct racer {
	struct fixture *t;
	int index, won;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	char key[16];

	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "own%d.%d", r->index, i);
		assert_int_equal(set(r->t, key, "x", false), 0);
		snprintf(key, sizeof(key), "common%d", i);
		r->won += set(r->t, key, "x", true) == 0;
	}
	return NULL;
}

static void many_setters_lose_nothing_and_one_wins_each(void **state)
{
	struct racer racers[4];
	pthread_t threads[4];
	struct sf_attr *list;
	size_t count;
	int won = 0;

	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){.t = *state, .index = i};
		pthread_create(&threads[i], NULL, race, &racers[i]);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		won += racers[i].won;
	}
	assert_int_equal(won, 10);
	assert_int_equal(sf_attr_list(racers[0].t->cluster, "test", &list, &count), 0);
	assert_int_equal(count, 50);
	free(list);
}

/* Whatever it is, it does not crash, and what is taken is whole. */
static void damaged_bytes_are_refused(void **state)
{
	struct attrs a = {.volume = "v"}, b;
	uint8_t bytes[1024], bad[1024];
	struct prng prng;
	uint64_t len;

	(void)state;
	attrs_put(&a, "key", "value", 5);
	attrs_put(&a, "another", "", 0);
	len = attrs_len(&a);
	attrs_encode(&a, bytes);
	assert_int_equal(attrs_decode(bytes, len, &b), 0);
	assert_int_equal(b.count, 2);
	attrs_fini(&b);
	for (uint64_t cut = 0; cut < len; cut++)
		assert_true(attrs_decode(bytes, cut, &b) < 0);
	prng_init(&prng, 5);
	for (int i = 0; i < 20000; i++) {
		memcpy(bad, bytes, len);
		bad[prng_below(&prng, len)] ^= (uint8_t)(1u << prng_below(&prng, 8));
		assert_true(attrs_decode(bad, len, &b) < 0);
	}
	attrs_fini(&a);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_set_is_got_until_it_is_deleted),
		CASE(an_exclusive_one_is_set_once),
		CASE(limits_are_kept_and_large_values_come_back),
		CASE(they_go_with_the_volume),
		CASE(many_setters_lose_nothing_and_one_wins_each),
		cmocka_unit_test(damaged_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/crc32c.h"
#include "lib/base/dir.h"
#include "lib/base/err.h"
#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"

/* RFC 3720, appendix B.4. */
static void crc32c_gives_the_known_answers(void **state)
{
	uint8_t data[32];

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	for (int i = 0; i < 32; i++)
		data[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x113fdb5c);
	assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void crc32c_continues_from_the_result_so_far(void **state)
{
	uint8_t data[300];
	struct prng p;
	uint32_t whole;

	prng_init(&p, 1);
	prng_fill(&p, data, sizeof(data));
	whole = crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++)
		assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut),
		                 whole);
}

static void crc32c_of_zeros_is_that_of_zeros_in_memory(void **state)
{
	static const size_t lens[] = {0, 1, 7, 4095, 4096, 4097, 65535, 65536, 65537, 200000};
	uint8_t *zeros = xcalloc(1, 200000);

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_int_equal(crc32c_zeros(lens[i]), crc32c(0, zeros, lens[i]));
		assert_int_equal(crc32c_add_zeros(0xe3069283, lens[i]),
		                 crc32c(0xe3069283, zeros, lens[i]));
	}
	free(zeros);
}

/* The reference implementation's outputs for the state 1, 2, 3, 4. */
static void prng_gives_the_reference_sequence(void **state)
{
	static const uint64_t want[] = {
		11520,
		0,
		1509978240,
		1215971899390074240u,
		1216172134540287360u,
		607988272756665600u,
	};
	struct prng p = {{1, 2, 3, 4}};

	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(prng_next(&p), want[i]);
}

/* A simulation's seed must mean the same in every build, for ever. */
static void prng_repeats_by_seed(void **state)
{
	struct prng p, q;
	int same = 0;

	prng_init(&p, 0);
	/* splitmix64 from 0 */
	assert_int_equal(p.s[0], 0xe220a8397b1dcdafu);
	assert_int_equal(p.s[1], 0x6e789e6aa1b965f4u);
	assert_int_equal(p.s[2], 0x06c45d188009454fu);
	assert_int_equal(p.s[3], 0xf88bb8a8724c81ecu);
	assert_int_equal(prng_next(&p), 0x99ec5f36cb75f2b4u);

	prng_init(&p, 42);
	prng_init(&q, 42);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(prng_next(&p), prng_next(&q));
	prng_init(&q, 43);
	for (int i = 0; i < 1000; i++)
		same += prng_next(&p) == prng_next(&q);
	assert_int_equal(same, 0);
}

static void prng_below_is_even_and_below(void **state)
{
	uint32_t seen[10] = {0};
	struct prng p;

	prng_init(&p, 7);
	for (int i = 0; i < 100000; i++) {
		uint64_t r = prng_below(&p, 10);

		assert_true(r < 10);
		seen[r]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(seen[i], 9600, 10400);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(prng_below(&p, 1), 0);
		assert_true(prng_below(&p, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
	}
}

static void prng_fill_fills_exactly_and_repeatably(void **state)
{
	uint8_t a[64], b[64];
	struct prng p;

	for (size_t len = 0; len < sizeof(a); len++) {
		memset(a, 0, sizeof(a));
		prng_init(&p, 3);
		prng_fill(&p, a, len);
		prng_init(&p, 3);
		prng_fill(&p, b, sizeof(b));
		assert_memory_equal(a, b, len);
		for (size_t i = len; i < sizeof(a); i++)
			assert_int_equal(a[i], 0);
	}
}

struct item {
	struct hnode node;
	uint64_t key;
	bool seen;
};

static struct item *item_find(struct htab *t, uint64_t key, uint64_t hash)
{
	for (struct hnode *n = htab_first(t, hash); n; n = htab_next(n)) {
		struct item *it = container_of(n, struct item, node);

		assert_int_equal(n->hash, hash);
		if (it->key == key)
			return it;
	}
	return NULL;
}

enum { ITEMS = 5000 };

static void htab_finds_what_was_inserted_and_nothing_else(void **state)
{
	struct item *items = xcalloc(ITEMS, sizeof(*items));
	struct htab t;

	htab_init(&t);
	assert_null(htab_first(&t, 0));
	for (uint64_t i = 0; i < ITEMS; i++) {
		items[i].key = i;
		htab_insert(&t, &items[i].node, hash64(i));
	}
	assert_int_equal(t.count, ITEMS);
	assert_true(t.mask + 1 >= ITEMS);
	for (uint64_t i = 0; i < ITEMS; i += 2)
		htab_remove(&t, &items[i].node);
	assert_int_equal(t.count, ITEMS / 2);
	for (uint64_t i = 0; i < 2 * ITEMS; i++) {
		struct item *it = item_find(&t, i, hash64(i));

		if (i < ITEMS && i % 2)
			assert_ptr_equal(it, &items[i]);
		else
			assert_null(it);
	}
	htab_fini(&t);
	free(items);
}

static void htab_keeps_items_of_equal_hash_apart(void **state)
{
	struct item items[40] = {0};
	struct htab t;

	htab_init(&t);
	for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
		items[i].key = i;
		/* Three hashes, two of which share a slot for long. */
		htab_insert(&t, &items[i].node, i % 3 * (UINT64_C(1) << 40) + i % 2);
	}
	for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
		uint64_t hash = i % 3 * (UINT64_C(1) << 40) + i % 2;

		assert_ptr_equal(item_find(&t, i, hash), &items[i]);
		htab_remove(&t, &items[i].node);
		assert_null(item_find(&t, i, hash));
	}
	assert_int_equal(t.count, 0);
	htab_fini(&t);
}

static void htab_walk_meets_each_item_once_and_allows_removal(void **state)
{
	struct item *items = xcalloc(ITEMS, sizeof(*items));
	struct hnode *n, *next;
	uint32_t cursor = 0, met = 0;
	struct htab t;

	htab_init(&t);
	assert_null(htab_walk(&t, &cursor, NULL));
	for (uint64_t i = 0; i < ITEMS; i++)
		htab_insert(&t, &items[i].node, hash64(i));
	cursor = 0;
	for (n = htab_walk(&t, &cursor, NULL); n; n = next) {
		struct item *it = container_of(n, struct item, node);

		assert_false(it->seen);
		it->seen = true;
		met++;
		next = htab_walk(&t, &cursor, n);
		htab_remove(&t, n);
	}
	assert_int_equal(met, ITEMS);
	assert_int_equal(t.count, 0);
	htab_fini(&t);
	free(items);
}

static void hash_bytes_is_fnv1a(void **state)
{
	assert_int_equal(hash_bytes("", 0), 0xcbf29ce484222325u);
	assert_int_equal(hash_bytes("a", 1), 0xaf63dc4c8601ec8cu);
	assert_int_equal(hash_bytes("foobar", 6), 0x85944171f73967e8u);
}

static void math_does_not_overflow(void **state)
{
	assert_int_equal(div_up(0, 3), 0);
	assert_int_equal(div_up(7, 3), 3);
	assert_true(div_up(UINT64_MAX, 2) == UINT64_C(1) << 63);
	assert_int_equal(round_up(4097, 4096), 8192);
	assert_int_equal(round_up(4096, 4096), 4096);
	assert_true(range_fits(0, 0, 0));
	assert_true(range_fits(3, 7, 10));
	assert_false(range_fits(4, 7, 10));
	assert_false(range_fits(11, 0, 10));
	assert_false(range_fits(1, UINT64_MAX, 10));
	assert_false(range_fits(UINT64_MAX, 1, UINT64_MAX));
	assert_true(range_fits(UINT64_MAX, 0, UINT64_MAX));
}

static void every_error_has_a_text(void **state)
{
	assert_string_equal(sf_strerror(-SF_EFULL), "no space left but the reserve");
	assert_string_equal(sf_strerror(-SF_ECORRUPT), "stored data does not match its checksum");
	assert_string_equal(sf_strerror(-ENOENT), "No such file or directory");
	assert_string_equal(sf_strerror(-999999), "unknown error");
	assert_string_equal(sf_strerror(5), "unknown error");
	assert_string_equal(sf_strerror(INT_MIN), "unknown error");
}

struct lines {
	int count;
	char last[2048];
};

static void line_keep(void *arg, enum log_level level, const char *line)
{
	struct lines *l = arg;

	(void)level;
	l->count++;
	assert_true(strlen(line) < sizeof(l->last));
	strcpy(l->last, line);
}

static void log_filters_by_level_and_keeps_to_one_line(void **state)
{
	struct lines l = {0};
	struct log log = {.level = LOG_LV_INFO, .write = line_keep, .arg = &l};
	const struct log *none = NULL;
	char *big = xmalloc(100001);

	log_error(none, "dropped");
	log_debug(none, "dropped");
	log_debug(&log, "dropped");
	assert_int_equal(l.count, 0);
	log_info(&log, "disk %d: %s", 3, "a\nb");
	assert_int_equal(l.count, 1);
	assert_string_equal(l.last, "disk 3: a b");
	memset(big, 'x', 100000);
	big[100000] = 0;
	log_error(&log, "%s", big);
	assert_int_equal(l.count, 2);
	assert_true(strlen(l.last) > 500);
	free(big);
}

struct link {
	struct list list;
	int value;
};

static void list_keeps_order_through_splice_and_removal(void **state)
{
	struct link links[6];
	struct list a, b;
	int want = 0;

	list_init(&a);
	list_init(&b);
	for (int i = 0; i < 6; i++) {
		links[i].value = i;
		list_push(i < 3 ? &a : &b, &links[i].list);
	}
	list_splice(&a, &b);
	assert_true(list_empty(&b));
	list_splice(&a, &b);
	list_each_safe (it, &a) {
		struct link *l = list_item(it, struct link, list);

		assert_int_equal(l->value, want++);
		if (l->value % 2)
			list_remove(it);
	}
	assert_int_equal(want, 6);
	list_remove(&links[1].list); /* again: harmless */
	assert_ptr_equal(list_pop(&a), &links[0].list);
	list_push_front(&a, &links[5].list);
	assert_ptr_equal(list_pop(&a), &links[5].list);
	assert_ptr_equal(list_pop(&a), &links[2].list);
	assert_ptr_equal(list_pop(&a), &links[4].list);
	assert_null(list_pop(&a));
}

static void mem_handles_nothing(void **state)
{
	char *s = xstrdup("");
	void *p = xmalloc(0);

	assert_string_equal(s, "");
	assert_non_null(p);
	assert_null(xmemdup("x", 0));
	p = xrealloc(p, 0);
	assert_non_null(p);
	free(p);
	p = xcalloc(0, 8);
	assert_non_null(p);
	free(p);
	free(s);
}

static void dir_make_makes_one_directory_and_says_what_is_wrong(void **state)
{
	char root[] = "/tmp/sheepfold-dir-XXXXXX", path[64];

	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/a/b", root);
	assert_int_equal(dir_make(path, 0700), -ENOENT);
	assert_int_equal(dir_sync(path), -ENOENT);
	path[strlen(root) + 2] = '\0';
	assert_int_equal(dir_make(path, 0700), 0);
	assert_int_equal(dir_make(path, 0700), 0);
	assert_int_equal(dir_sync(path), 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_gives_the_known_answers),
		cmocka_unit_test(crc32c_continues_from_the_result_so_far),
		cmocka_unit_test(crc32c_of_zeros_is_that_of_zeros_in_memory),
		cmocka_unit_test(prng_gives_the_reference_sequence),
		cmocka_unit_test(prng_repeats_by_seed),
		cmocka_unit_test(prng_below_is_even_and_below),
		cmocka_unit_test(prng_fill_fills_exactly_and_repeatably),
		cmocka_unit_test(htab_finds_what_was_inserted_and_nothing_else),
		cmocka_unit_test(htab_keeps_items_of_equal_hash_apart),
		cmocka_unit_test(htab_walk_meets_each_item_once_and_allows_removal),
		cmocka_unit_test(hash_bytes_is_fnv1a),
		cmocka_unit_test(math_does_not_overflow),
		cmocka_unit_test(every_error_has_a_text),
		cmocka_unit_test(log_filters_by_level_and_keeps_to_one_line),
		cmocka_unit_test(list_keeps_order_through_splice_and_removal),
		cmocka_unit_test(mem_handles_nothing),
		cmocka_unit_test(dir_make_makes_one_directory_and_says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

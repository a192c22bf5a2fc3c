/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/lib/volmap.h"
#include "client/lib/volume.h"
#include "lib/base/mem.h"

enum { OWN = 0x123456 };

static void mark(struct volmap_page *p, uint32_t i)
{
	p->unsafe[i / 64] |= 1ull << (i % 64);
	p->entries[i] = htole32(OWN);
}

static void expect_run(const struct volmap_page *p, uint32_t first, uint32_t count)
{
	uint32_t f, c;

	assert_true(volmap_find_run(p, OWN, &f, &c));
	assert_int_equal(f, first);
	assert_int_equal(c, count);
}

static void nothing_changed_is_no_run(void **state)
{
	struct volmap_page *p = xcalloc(1, sizeof(*p));
	uint32_t f, c;

	assert_false(volmap_find_run(p, OWN, &f, &c));
	free(p);
}

static void neighbours_make_one_run_wherever_they_are(void **state)
{
	static const uint32_t firsts[] = {0, 1, 62, 63, 64, 100, VOLMAP_PAGE_ENTRIES - 3};

	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		struct volmap_page *p = xcalloc(1, sizeof(*p));

		for (uint32_t k = 0; k < 3; k++)
			mark(p, firsts[i] + k);
		expect_run(p, firsts[i], 3);
		free(p);
	}
}

static void a_run_goes_on_over_own_entries_and_ends_at_others(void **state)
{
	struct volmap_page *p = xcalloc(1, sizeof(*p));

	mark(p, 10);
	p->entries[11] = p->entries[12] = htole32(OWN); /* durable already */
	mark(p, 13);
	p->entries[14] = htole32(OWN); /* nothing changed behind it: not written again */
	mark(p, 16);                   /* 15 is empty: another client may fill it */
	expect_run(p, 10, 4);
	free(p);
}

static void a_full_page_is_one_run(void **state)
{
	struct volmap_page *p = xcalloc(1, sizeof(*p));

	for (uint32_t i = 0; i < VOLMAP_PAGE_ENTRIES; i++)
		mark(p, i);
	expect_run(p, 0, VOLMAP_PAGE_ENTRIES);
	free(p);
}

static void expect_piece(uint64_t off, uint64_t len, uint64_t index, uint32_t at, uint32_t n)
{
	struct piece p = piece_first(off, len, 22);

	assert_int_equal(p.index, index);
	assert_int_equal(p.offset, at);
	assert_int_equal(p.length, n);
}

static void operations_are_cut_at_object_boundaries(void **state)
{
	const uint32_t mib4 = 4 << 20;

	expect_piece(0, 1, 0, 0, 1);
	expect_piece(0, 1ull << 40, 0, 0, mib4);
	expect_piece(mib4 - 1, 10, 0, mib4 - 1, 1);
	expect_piece(mib4, 10, 1, 0, 10);
	expect_piece((1ull << 54) - 3, 3, (1ull << 32) - 1, mib4 - 3, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_changed_is_no_run),
		cmocka_unit_test(neighbours_make_one_run_wherever_they_are),
		cmocka_unit_test(a_run_goes_on_over_own_entries_and_ends_at_others),
		cmocka_unit_test(a_full_page_is_one_run),
		cmocka_unit_test(operations_are_cut_at_object_boundaries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

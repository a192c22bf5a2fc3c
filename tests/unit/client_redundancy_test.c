/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "include/sheepfold.h"

static void copies_and_strips_parse_and_print_alike(void **state)
{
	static const struct {
		const char *text;
		uint32_t data, parity;
	} cases[] = {{"1", 1, 0},   {"3", 1, 2},   {"17", 1, 16},
	             {"4:2", 4, 2}, {"2:1", 2, 1}, {"32:16", 32, 16}};
	char text[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sf_redundancy r = {0};

		assert_int_equal(sf_redundancy_parse(cases[i].text, &r), 0);
		assert_int_equal(r.data, cases[i].data);
		assert_int_equal(r.parity, cases[i].parity);
		sf_redundancy_format(r, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void anything_else_is_refused_with_a_sentence(void **state)
{
	static const char *const bad[] = {"",
	                                  "0",
	                                  "18",
	                                  "4:",
	                                  ":2",
	                                  "4:0",
	                                  "1:1",
	                                  "33:2",
	                                  "4:17",
	                                  "4:2:2",
	                                  "-3",
	                                  " 3",
	                                  "3 ",
	                                  "4;2",
	                                  "03",
	                                  "4:2x",
	                                  "99999999999999999999",
	                                  "4294967297"};
	struct sf_redundancy r = {7, 7};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(sf_redundancy_parse(bad[i], &r), -EINVAL);
		assert_string_not_equal(sf_error(), "");
		assert_int_equal(r.data, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_and_strips_parse_and_print_alike),
		cmocka_unit_test(anything_else_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

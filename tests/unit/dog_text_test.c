/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "client/dog/text.h"

enum { MIB = 1 << 20 };

static void sizes_on_the_command_line_take_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"4096", 4096},
	            {"4K", 4096},
	            {"4m", 4 * MIB},
	            {"1G", 1ull << 30},
	            {"2T", 2ull << 40},
	            {"1P", 1ull << 50},
	            {"0", 0},
	            {"18446744073709551615", UINT64_MAX},
	            {"16383P", 16383ull << 50}};
	static const char *const bad[] = {"",
	                                  "M",
	                                  "-1",
	                                  "+1",
	                                  "1.5G",
	                                  "4MB",
	                                  "4 M",
	                                  " 4",
	                                  "1E",
	                                  "0x10",
	                                  "18446744073709551616",
	                                  "16384P",
	                                  "99999999999999999999"};
	uint64_t v = 0;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(text_parse_size(good[i].text, &v), 0);
		assert_true(v == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_parse_size(bad[i], &v), -EINVAL);
}

static void durations_take_units(void **state)
{
	uint32_t ms = 0;

	assert_int_equal(text_parse_duration_ms("500ms", &ms), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(text_parse_duration_ms("10s", &ms), 0);
	assert_int_equal(ms, 10000);
	assert_int_equal(text_parse_duration_ms("10", &ms), 0);
	assert_int_equal(ms, 10000);
	assert_int_equal(text_parse_duration_ms("5m", &ms), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(text_parse_duration_ms("1193h", &ms), 0);
	assert_int_equal(text_parse_duration_ms("1194h", &ms), -EINVAL);
	assert_int_equal(text_parse_duration_ms("14d", &ms), 0);
	assert_int_equal(ms, 14u * 86400000u);
	assert_int_equal(text_parse_duration_ms("50d", &ms), -EINVAL);
	assert_int_equal(text_parse_duration_ms("2w", &ms), -EINVAL);
	assert_int_equal(text_parse_duration_ms("s", &ms), -EINVAL);
}

static void expect_size(uint64_t bytes, const char *want)
{
	char text[TEXT_SIZE_LEN];

	assert_string_equal(text_size(bytes, false, text), want);
}

static void sizes_read_as_users_know_them(void **state)
{
	char text[TEXT_SIZE_LEN];

	expect_size(0, "0.0 MB");
	expect_size(4096, "0.0 MB");
	expect_size(4 * MIB, "4.0 MB");
	expect_size(12 * MIB, "12 MB");
	expect_size(1023ull * MIB, "1023 MB");
	expect_size(1024ull * MIB, "1.0 GB");
	expect_size(10ull << 30, "10 GB");
	expect_size(3ull << 39, "1.5 TB");
	expect_size(7ull << 50, "7.0 PB");
	assert_string_equal(text_size(12 * MIB, true, text), "12582912");
}

static struct sf_volume_info volume(void)
{
	struct sf_volume_info i = {.id = 0x7c2b25,
	                           .snapshot_id = 1,
	                           .size_bytes = 12 * MIB,
	                           .used_bytes = 4 * MIB,
	                           .created_s = 1795366920,
	                           .object_shift = 22};

	strcpy(i.name, "test");
	strcpy(i.tag, "snap1");
	i.redundancy = (struct sf_redundancy){1, 2};
	return i;
}

static void volumes_are_listed_in_the_known_columns(void **state)
{
	struct sf_volume_info i = volume();
	char row[TEXT_ROW_LEN];

	text_vdi_row(&i, false, row);
	assert_string_equal(
		row,
		"s test         1   12 MB  4.0 MB  0.0 MB 2026-11-22 17:02   7c2b25      3         snap1  22");
	i.snapshot_id = 0;
	i.tag[0] = '\0';
	i.id = 0x7c2b26;
	i.used_bytes = 0;
	i.shared_bytes = 4 * MIB;
	i.created_s += 180;
	i.redundancy = (struct sf_redundancy){4, 2};
	text_vdi_row(&i, false, row);
	assert_string_equal(
		row,
		"  test         0   12 MB  0.0 MB  4.0 MB 2026-11-22 17:05   7c2b26    4:2                22");
	i.created_s = 1795366920;
	text_vdi_row(&i, true, row);
	assert_string_equal(row, "= test 0 12582912 0 4194304 1795366920 7c2b26 4:2  22");
	i.clone = true;
	text_vdi_row(&i, true, row);
	assert_int_equal(row[0], 'c');
}

static void white_space_in_raw_names_is_escaped(void **state)
{
	struct sf_volume_info i = volume();
	char row[TEXT_ROW_LEN];

	strcpy(i.name, "a b\tc");
	strcpy(i.tag, "a b");
	text_vdi_row(&i, true, row);
	assert_ptr_equal(strstr(row, "s a\\ b\\\tc 1 "), row);
	assert_non_null(strstr(row, " a\\ b 22"));
	/* The longest one, all of it white space, fits. */
	memset(i.name, ' ', SF_NAME_MAX);
	i.name[SF_NAME_MAX] = '\0';
	memset(i.tag, ' ', SF_NAME_MAX);
	text_vdi_row(&i, true, row);
	assert_string_equal(row + strlen(row) - 3, " 22");
}

static struct sf_node node(uint16_t port)
{
	struct sf_node n = {.port = port, .weight = 128, .up = true};

	strcpy(n.address, "127.0.0.1");
	return n;
}

static void nodes_are_listed_in_the_known_columns(void **state)
{
	struct sf_node n = node(7000);
	char row[TEXT_ROW_LEN];

	text_node_row(0, &n, false, row);
	assert_string_equal(row, "   0   127.0.0.1:7000      \t128          0");
	text_node_row(0, &n, true, row);
	assert_string_equal(row, "0 127.0.0.1:7000 128 0");
	text_recovery_row(0, &n, 42, false, row);
	assert_string_equal(row, "   0   127.0.0.1:7000      128          0       42.0%");
}

static void space_is_listed_in_the_known_columns(void **state)
{
	char row[TEXT_ROW_LEN];

	text_space_row(" 0", 10ull << 30, 12 * MIB, 10ull << 30, NULL, false, row);
	assert_string_equal(row, " 0\t10 GB\t12 MB\t10 GB\t  0%");
	text_space_row("Total", 30ull << 30, 15ull << 30, 15ull << 30, NULL, false, row);
	assert_string_equal(row, "Total\t30 GB\t15 GB\t15 GB\t 50%");
	text_space_row(" 1", 4096, 1024, 3072, "/data/1", true, row);
	assert_string_equal(row, "1 4096 1024 3072 25% /data/1");
	text_space_row(" 1", 0, 0, 0, "?", false, row);
	assert_string_equal(row, " 1\t0.0 MB\t0.0 MB\t0.0 MB\t  0%\t?");
}

static void an_epoch_lists_the_nodes_that_are_up(void **state)
{
	struct sf_node nodes[] = {node(7000), node(7001), node(7002)};
	struct sf_map map = {.node_count = 3, .nodes = nodes};
	char *text;

	nodes[0].up = false;
	text = text_epoch_nodes(&map);
	assert_string_equal(text, "[127.0.0.1:7001:128, 127.0.0.1:7002:128]");
	free(text);
	map.node_count = 0;
	text = text_epoch_nodes(&map);
	assert_string_equal(text, "[]");
	free(text);
}

static void ipv6_addresses_get_brackets(void **state)
{
	char text[TEXT_ADDR_LEN];

	assert_string_equal(text_address("::1", 7000, text), "[::1]:7000");
}

static int utc(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_on_the_command_line_take_units),
		cmocka_unit_test(durations_take_units),
		cmocka_unit_test(sizes_read_as_users_know_them),
		cmocka_unit_test(volumes_are_listed_in_the_known_columns),
		cmocka_unit_test(white_space_in_raw_names_is_escaped),
		cmocka_unit_test(nodes_are_listed_in_the_known_columns),
		cmocka_unit_test(space_is_listed_in_the_known_columns),
		cmocka_unit_test(an_epoch_lists_the_nodes_that_are_up),
		cmocka_unit_test(ipv6_addresses_get_brackets),
	};

	return cmocka_run_group_tests(tests, utc, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "client/lib/inode.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/prng.h"

static struct inode sample(void)
{
	struct inode in = {
		.flags = INODE_DELETING, .changed_s = 1795366920, .creator = 0x1122334455667788};

	strcpy(in.info.name, "test");
	strcpy(in.info.tag, "snap1");
	in.info.id = 0x7c2b25;
	in.info.snapshot_id = 1;
	in.info.parent_id = 0x7c2b24;
	in.info.size_bytes = 12 << 20;
	in.info.created_s = 1795366900;
	in.info.redundancy = (struct sf_redundancy){4, 2};
	in.info.object_shift = 22;
	in.info.pool = 2;
	return in;
}

static void reseal(uint8_t *bytes)
{
	uint32_t crc = crc32c(0, bytes + 12, INODE_HEADER_LEN - 12);

	for (int i = 0; i < 4; i++)
		bytes[8 + i] = (uint8_t)(crc >> (8 * i));
}

static void a_header_comes_back_as_it_was(void **state)
{
	struct inode in = sample(), out;
	uint8_t bytes[INODE_HEADER_LEN];

	inode_encode(&in, bytes);
	memset(&out, 0, sizeof(out));
	assert_int_equal(inode_decode(bytes, &out), 0);
	assert_memory_equal(&in, &out, sizeof(in));
}

static void a_header_has_the_documented_bytes(void **state)
{
	static const uint8_t want[] = {'S', 'F', 'i', 'n', 'o', 'd', 'e', '1'};
	struct inode in = sample();
	uint8_t bytes[INODE_HEADER_LEN];

	inode_encode(&in, bytes);
	assert_memory_equal(bytes, want, sizeof(want));
	assert_int_equal(bytes[20], 0x25);
	assert_int_equal(bytes[22], 0x7c);
	assert_int_equal(bytes[48], 4);
	assert_int_equal(bytes[60], 22);
	assert_string_equal((char *)bytes + 80, "test");
	assert_string_equal((char *)bytes + 336, "snap1");
}

static void the_longest_name_fits(void **state)
{
	struct inode in = sample(), out;
	uint8_t bytes[INODE_HEADER_LEN];

	memset(in.info.name, 'n', SF_NAME_MAX);
	inode_encode(&in, bytes);
	assert_int_equal(inode_decode(bytes, &out), 0);
	assert_int_equal(strlen(out.info.name), SF_NAME_MAX);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct inode in = sample(), out;
	uint8_t bytes[INODE_HEADER_LEN];

	inode_encode(&in, bytes);
	for (uint32_t bit = 0; bit < 8 * INODE_HEADER_LEN; bit += 7) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(inode_decode(bytes, &out) < 0);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(inode_decode(bytes, &out), 0);
}

static void refuse_with(uint32_t at, uint8_t value)
{
	struct inode in = sample(), out = {.flags = 77};
	uint8_t bytes[INODE_HEADER_LEN];

	inode_encode(&in, bytes);
	bytes[at] = value;
	reseal(bytes);
	assert_int_equal(inode_decode(bytes, &out), -SF_EFORMAT);
	assert_int_equal(out.flags, 77);
}

static void values_that_no_volume_can_have_are_refused_even_when_sealed(void **state)
{
	refuse_with(12, 2);    /* version */
	refuse_with(23, 1);    /* id beyond 24 bits */
	refuse_with(31, 0xff); /* size */
	refuse_with(48, 0);    /* k = 0 */
	refuse_with(48, 33);   /* k */
	refuse_with(52, 17);   /* m */
	refuse_with(60, 63);   /* object shift: a shift by it would be undefined */
	refuse_with(60, 3);
	refuse_with(67, 1);         /* parent beyond 24 bits */
	refuse_with(80, 0);         /* no name */
	refuse_with(80 + 255, 'x'); /* name without end */
	refuse_with(336 + 255, 'x');
}

static void random_bytes_are_refused(void **state)
{
	uint8_t bytes[INODE_HEADER_LEN];
	struct inode out;
	struct prng prng;

	prng_init(&prng, 7);
	for (int i = 0; i < 300; i++) {
		prng_fill(&prng, bytes, sizeof(bytes));
		if (i % 2) {
			memcpy(bytes, "SFinode1", 8);
			reseal(bytes);
		}
		if (inode_decode(bytes, &out) == 0)
			assert_in_range(out.info.object_shift, OBJECT_SHIFT_MIN, OBJECT_SHIFT_MAX);
	}
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(inode_decode(bytes, &out), -SF_EFORMAT);
}

static void volume_ids_are_those_that_users_know(void **state)
{
	assert_int_equal(volume_id_of_name("test"), 0x7c2b25);
	assert_int_equal(volume_id_next(0x7c2b25), 0x7c2b26);
	assert_int_equal(volume_id_next(0xffffff), 1);
	assert_int_equal(volume_id_next(0xfffffe), 0xffffff);
}

static void object_ids_keep_type_volume_and_index_apart(void **state)
{
	uint64_t data = oid_data(0x7c2b25, 5), inode = oid_inode(0xffffff, 0xffffffff);

	assert_int_equal(data, 0x007c2b2500000005);
	assert_int_equal(inode, 0x80ffffffffffffff);
	assert_false(oid_is_inode(data));
	assert_true(oid_is_inode(inode));
	assert_int_equal(oid_volume(inode), 0xffffff);
	assert_int_equal(oid_index(data), 5);
}

static void a_volume_counts_its_last_short_object(void **state)
{
	assert_int_equal(volume_objects(1, 22), 1);
	assert_int_equal(volume_objects(4 << 20, 22), 1);
	assert_int_equal(volume_objects((4 << 20) + 1, 22), 2);
	assert_int_equal(volume_objects(1ull << 54, 22), 1ull << 32);
}

static void bad_names_are_told(void **state)
{
	char name[SF_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	name[SF_NAME_MAX + 1] = '\0';
	assert_string_not_equal(volume_name_fault(name), "");
	name[SF_NAME_MAX] = '\0';
	assert_string_equal(volume_name_fault(name), "");
	assert_string_not_equal(volume_name_fault(""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_comes_back_as_it_was),
		cmocka_unit_test(a_header_has_the_documented_bytes),
		cmocka_unit_test(the_longest_name_fits),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(values_that_no_volume_can_have_are_refused_even_when_sealed),
		cmocka_unit_test(random_bytes_are_refused),
		cmocka_unit_test(volume_ids_are_those_that_users_know),
		cmocka_unit_test(object_ids_keep_type_volume_and_index_apart),
		cmocka_unit_test(a_volume_counts_its_last_short_object),
		cmocka_unit_test(bad_names_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

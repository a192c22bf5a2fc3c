/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/wire_random.h"

static void every_type_and_result_has_a_name(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(all_types); i++)
		assert_memory_equal(msg_type_name(all_types[i]), "MSG_", 4);
	assert_string_equal(msg_type_name(MSG_PG_COMMIT), "MSG_PG_COMMIT");
	assert_string_equal(msg_type_name(0), "?");
	for (uint32_t r = RES_OK; r <= RES_CORRUPT; r++)
		assert_string_not_equal(wire_result_text(r), "unknown result");
	assert_string_equal(wire_result_text(RES_NOENT), "no such object");
	assert_string_equal(wire_result_text(UINT32_MAX), "unknown result");
}

static void a_reply_answers_its_request(void **state)
{
	struct msg *req = msg_create(MSG_OBJ_STAT), *reply;

	req->id = 5;
	req->epoch = 3;
	req->oid = 1;
	reply = msg_create_reply(req, RES_NOENT);
	assert_true(reply->reply);
	assert_int_equal(reply->type, MSG_OBJ_STAT);
	assert_int_equal(reply->id, 5);
	assert_int_equal(reply->result, RES_NOENT);
	assert_int_equal(reply->oid, 0);
	assert_int_equal(reply->epoch, 0);
	msg_destroy(req);
	msg_destroy(reply);
	msg_destroy(NULL);
}

static void a_clone_is_equal_and_outlives_its_original(void **state)
{
	struct prng p;

	prng_init(&p, 6);
	for (int i = 0; i < 300; i++) {
		struct msg *m = msg_create(MSG_PING), *first, *second;

		msg_randomise(m, &p, all_types[prng_below(&p, ARRAY_LEN(all_types))]);
		first = msg_clone(m);
		second = msg_clone(first);
		msg_assert_same(m, first);
		if (m->payload.count > 0)
			assert_ptr_equal(m->payload.v[0].buf, first->payload.v[0].buf);
		msg_destroy(first);
		msg_assert_same(m, second);
		msg_destroy(m);
		msg_destroy(second);
	}
}

static void a_finished_message_owns_nothing(void **state)
{
	struct prng p;
	struct msg m;

	prng_init(&p, 8);
	msg_randomise(&m, &p, MSG_PG_LIST);
	msg_fini(&m);
	assert_null(m.entries);
	assert_null(m.log);
	assert_null(m.blob);
	assert_int_equal(m.entry_count + m.log_count + m.blob_len + m.payload.count, 0);
	msg_fini(&m);
	assert_int_equal(msg_memory_bytes(&m), sizeof(m));
}

static void memory_counts_whole_buffers_once(void **state)
{
	struct buf *buf = buf_get(NULL, 1 << 20);
	struct slice a = slice_make(buf, 0, 100), b = slice_make(buf, 5000, 100);
	struct slice hole = slice_make(NULL, 0, 1 << 22);
	struct msg m;

	msg_init(&m, MSG_OBJ_WRITE);
	m.blob_len = 1000;
	m.blob = xmalloc(1000);
	m.log_count = 3;
	m.log = xcalloc(3, sizeof(m.log[0]));
	payload_add(&m.payload, &a);
	payload_add(&m.payload, &hole);
	payload_add(&m.payload, &b);
	assert_int_equal(msg_memory_bytes(&m),
	                 sizeof(m) + 1000 + 3 * sizeof(m.log[0]) + buf->capacity);
	msg_fini(&m);
	buf_unref(buf);
}

static void versions_order_by_epoch_then_counter(void **state)
{
	assert_true(version_make(2, 0) > version_make(1, (1ull << 40) - 1));
	assert_true(version_make(2, 2) > version_make(2, 1));
	assert_int_equal(version_epoch(version_make(0xffffff, (1ull << 40) - 1)), 0xffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_and_result_has_a_name),
		cmocka_unit_test(a_reply_answers_its_request),
		cmocka_unit_test(a_clone_is_equal_and_outlives_its_original),
		cmocka_unit_test(a_finished_message_owns_nothing),
		cmocka_unit_test(memory_counts_whole_buffers_once),
		cmocka_unit_test(versions_order_by_epoch_then_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

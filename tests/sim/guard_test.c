/* SPDX-License-Identifier: Apache-2.0 */

/* What operators and peers may ask of a node is bounded, and what it tells them is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "sheep/core/trouble.h"
#include "tests/sim/rig.h"
#include "tests/sim/sim_node.h"

enum { LATE_MS = 10 * 24 * 3600 * 1000 };

/* A varint field that no request has, so often. */
static struct msg *admin_of_unknown_fields(uint32_t count)
{
	static const uint8_t field[] = {0xc0, 0x3e, 0x01}; /* of number 1000, with value 1 */
	struct msg *m = msg_create(MSG_ADMIN);

	m->blob_len = count * sizeof(field);
	m->blob = xmalloc(m->blob_len);
	for (uint32_t i = 0; i < count; i++)
		memcpy(m->blob + i * sizeof(field), field, sizeof(field));
	return m;
}

static uint32_t ask(struct rig *r, struct msg *m)
{
	r->w->operator_result = UINT32_MAX;
	sim_node_operator_msg(r->w, 0, m);
	return r->w->operator_result;
}

static void a_request_of_an_operator_that_is_too_long_is_refused(void **state)
{
	struct rig r = {0};

	rig_init(&r, 1, 1, LATE_MS);
	assert_int_equal(ask(&r, admin_of_unknown_fields(100000)), RES_INVALID);
	assert_true(list_empty(&r.w->nodes[0]->core->admin));
	rig_fini(&r);
}

static void only_so_many_requests_of_operators_wait(void **state)
{
	struct rig r = {0};
	uint32_t waiting = 0, refused = 0;

	rig_init(&r, 1, 1, LATE_MS);
	for (uint32_t i = 0; i < 200; i++)
		refused += ask(&r, admin_of_unknown_fields(100)) == RES_AGAIN;
	list_each (l, &r.w->nodes[0]->core->admin)
		waiting++;
	assert_int_equal(waiting + refused, 200);
	assert_in_range(waiting, 1, 100);
	rig_fini(&r);
}

static void the_object_with_the_least_id_is_listed_too(void **state)
{
	struct rig r = {0};
	struct msg from = {.flags = MSG_F_FIRST};
	struct troubles t = {.max = 10, .max_down = 10};

	rig_init(&r, 1, 1, LATE_MS);
	for (uint32_t i = 0; i < RIG_NODES && !t.count; i++) {
		struct node *node = r.w->nodes[i]->core;
		struct pg *pg = node_find_pg(node, r.object->pool, r.object->pg);
		if (!pg)
			continue;
		trouble_note(node, pg, 0, 1);
		troubles_list(node, &from, &t);
	}
	assert_int_equal(t.count, 1);
	assert_int_equal(t.v[0]->oid, 0);
	troubles_fini(&t);
	rig_fini(&r);
}

/* A slow peer may answer a process that is no more, on the connection of the one that followed. */
static void the_next_life_of_a_node_uses_other_call_ids(void **state)
{
	struct rig r = {0};
	uint64_t before, after;

	rig_init(&r, 1, 1, LATE_MS);
	before = r.w->nodes[0]->core->next_call;
	sim_node_crash(r.w, 0);
	sim_node_start(r.w, 0);
	rig_run_until_clean(&r);
	after = r.w->nodes[0]->core->next_call;
	assert_true(before != 0 && after != 0);
	assert_true(before > after ? before - after > 1u << 19 : after - before > 1u << 19);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_of_an_operator_that_is_too_long_is_refused),
		cmocka_unit_test(only_so_many_requests_of_operators_wait),
		cmocka_unit_test(the_object_with_the_least_id_is_listed_too),
		cmocka_unit_test(the_next_life_of_a_node_uses_other_call_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "tests/unit/client_fixture.h"

struct fixture *fixture_create(uint32_t lease_ms)
{
	struct fixture *t = xcalloc(1, sizeof(*t));
	struct sf_options o = {.address = "127.0.0.1", .timeout_ms = 20000, .lease_ms = lease_ms};

	fake_start(&t->fake, 2, 1);
	o.port = t->fake.nodes[0].port;
	assert_int_equal(sf_connect(&o, &t->cluster), 0);
	prng_init(&t->prng, 1);
	return t;
}

void fixture_make_volume(struct fixture *t, const char *name, uint64_t size_bytes)
{
	struct sf_volume_options v = {.size_bytes = size_bytes};

	assert_int_equal(sf_volume_create(t->cluster, name, &v), 0);
}

int fixture_setup(void **state)
{
	*state = fixture_create(0);
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *t = *state;

	sf_disconnect(t->cluster);
	fake_stop(&t->fake);
	free(t);
	return 0;
}

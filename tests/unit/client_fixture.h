/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_CLIENT_FIXTURE_H
#define SF_TESTS_CLIENT_FIXTURE_H

#include "include/sheepfold.h"
#include "lib/base/prng.h"
#include "tests/unit/client_fake.h"

/* A fake cluster of 2:1, and a handle on it. */
struct fixture {
	struct fake fake;
	struct sf_cluster *cluster;
	struct prng prng;
};

/* lease_ms: of locks; 0: as usual. */
struct fixture *fixture_create(uint32_t lease_ms);
void fixture_make_volume(struct fixture *t, const char *name, uint64_t size_bytes);

/* For cmocka. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

#endif

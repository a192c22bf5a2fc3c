/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_ADMIN_H
#define SF_CLIENT_ADMIN_H

#include <stdint.h>

#include "include/sheepfold.h"
#include "lib/wire/sheepfold.pb-c.h"

/* One request of an operator. Waits. */
struct admin {
	const char *addr; /* NULL: any daemon */
	uint16_t port;
	uint64_t length; /* of the reply */
	char *text;      /* of the reply; NULL: none. The caller's, also on failure, where sf_error() has it too */
};
int admin_call(struct sf_cluster *cluster, const Sf__AdminRequest *what, struct admin *a);
int admin_simple(struct sf_cluster *cluster, const Sf__AdminRequest *what);
/* To that node; node 0: to any. *ret_length may be NULL. */
int admin_to_node(struct sf_cluster *cluster, uint64_t node, const Sf__AdminRequest *what,
                  uint64_t *ret_length);
/* The id of a pool with this redundancy and object size, made unless there is one. Waits. */
int admin_pool(struct sf_cluster *cluster, struct sf_redundancy redundancy, uint32_t object_shift,
               uint32_t *ret_pool);

#endif

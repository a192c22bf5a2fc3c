/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_MEMBER_H
#define SF_MEMBER_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"
#include "lib/place/map.h"

struct ev_loop;

/*
 * A membership driver: a live set, a register for the map, and quorum. No more. Drivers run in
 * the reactor; callbacks come from its event loop, never from inside a call below.
 */
struct member_callbacks {
	void *arg;
	/* Every epoch, in order, without gaps; at start all that the register still holds,
	 * oldest first. map is borrowed. */
	void (*map)(void *arg, struct map *map);
	/* The whole live set, whenever it changed. */
	void (*live)(void *arg, const struct node_info *nodes, uint32_t count);
	/* This node may serve for lease_ms from the moment the driver last proved its
	 * membership, proven_ms (CLOCK_BOOTTIME, ms). At most MEMBER_LEASE_MAX_MS: the core waits
	 * that long for the leases of others. */
	void (*lease)(void *arg, uint64_t proven_ms, uint32_t lease_ms);
	/* The outcome of a proposal: 0, -SF_EAGAIN (another map won), or an error. */
	void (*proposed)(void *arg, int result);
	/* The driver can go on no longer; the daemon stops. why: one line. */
	void (*failed)(void *arg, const char *why);
};

enum { MEMBER_LEASE_MAX_MS = 1000 };
struct member;

/* One table per driver; the first word of `-c` chooses it. */
struct member_driver {
	const char *name; /* "local" */
	/* Its service may be away when a daemon starts (a cold start of all machines): the start then
	 * waits, and the driver says so in the log. */
	bool waits;
	/* It keeps the register on each machine: `,dir=META_DIR/maps` is added to spec. */
	bool keeps_maps;
	/* spec: what follows the first colon of -c, or NULL. self is copied. One line in text on
	 * failure. */
	int (*create)(const char *spec, const struct node_info *self, struct ev_loop *loop, const struct log *log,
	              const struct member_callbacks *callbacks, struct member **ret, char text[512]);
	/* Enters the live set and starts the callbacks. */
	int (*join)(struct member *member, char text[512]);
	/* Compare-and-swap: the register must hold expected_epoch of expected_cluster (0, 0:
	 * nothing). One at a time. */
	void (*propose)(struct member *member, uint64_t expected_cluster, uint32_t expected_epoch, const struct map *map);
	/* This node's announcement changed (cluster adopted). */
	int (*update)(struct member *member, const struct node_info *self);
	/* Leaves the live set at once. */
	void (*leave)(struct member *member);
	void (*destroy)(struct member *member); /* NULL is fine */
};

extern const struct member_driver member_local, member_zookeeper, member_corosync;
/* By the first word of a -c argument ("local:/dir"); sets *ret_spec to what follows the colon or
 * NULL. NULL: unknown. */
const struct member_driver *member_driver_find(const char *option, const char **ret_spec);

#endif

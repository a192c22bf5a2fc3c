/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_ZK_SPEC_H
#define SF_MEMBER_ZK_SPEC_H

#include <stdint.h>

#include "sheep/member/zk_logic.h"

/* What follows "zookeeper:" in -c: HOST[:PORT],...[/CLUSTER][,timeout=MS][,auth-file=PATH]. */
enum {
	ZK_MAX_HOSTS = 16,
	ZK_HOST_LEN = 256,
	ZK_AUTH_LEN = 256,
	ZK_ADDRESSES_LEN = 4096,
	ZK_DEFAULT_PORT = 2181,
	ZK_DEFAULT_TIMEOUT_MS = 3000,
};
struct zk_spec {
	uint32_t host_count;
	struct {
		char name[ZK_HOST_LEN];
		uint16_t port;
	} hosts[ZK_MAX_HOSTS];
	char root[ZK_ROOT_LEN]; /* "/CLUSTER" */
	uint32_t timeout_ms;
	char auth_file[ZK_HOST_LEN]; /* empty: none */
	char auth[ZK_AUTH_LEN];      /* "USER:PASSWORD", read from it */
};

/* spec may be NULL. 0, or negative and one line in text. */
int zk_spec_parse(const char *spec, struct zk_spec *ret, char text[512]);
/* The first line of auth_file. */
int zk_spec_read_auth(struct zk_spec *s, char text[512]);
/* Numeric addresses as libzookeeper wants them, so that the reactor never waits for a name server but here. */
int zk_spec_resolve(const struct zk_spec *s, char ret[ZK_ADDRESSES_LEN], char text[512]);

#endif

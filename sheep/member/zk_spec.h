/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_ZK_SPEC_H
#define SF_MEMBER_ZK_SPEC_H

#include <stdint.h>

/* What follows "zookeeper:" of -c: HOST:PORT[,HOST:PORT...][/CLUSTER][,timeout=MS][,auth=FILE] */
enum { ZK_HOSTS_LEN = 1024, ZK_BASE_LEN = 256, ZK_FILE_LEN = 1024 };
enum { ZK_TIMEOUT_MS = 4000, ZK_TIMEOUT_MIN_MS = 300, ZK_TIMEOUT_MAX_MS = 60000 };
struct zk_spec {
	char hosts[ZK_HOSTS_LEN]; /* as the client library wants them */
	char base[ZK_BASE_LEN];   /* "/sheepfold/CLUSTER" */
	uint32_t timeout_ms;
	char auth_file[ZK_FILE_LEN]; /* "": none. Its first line is USER:PASSWORD */
};
/* spec NULL: nothing followed. One line in text on failure, -EINVAL. */
int zk_spec_parse(const char *spec, struct zk_spec *ret, char text[512]);

#endif

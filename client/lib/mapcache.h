/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_MAPCACHE_H
#define SF_CLIENT_MAPCACHE_H

#include <stdint.h>

struct sf_cluster;

/* The map a cluster handle routes by, and the daemons it knows (client/lib/cluster.h). */

/* Rebuilds the list of daemons from map and seeds. On the I/O thread, or before it runs. */
void mapcache_set_endpoints(struct sf_cluster *cluster);
/* This daemon answered: it is asked first from now on. */
void mapcache_set_home(struct sf_cluster *cluster, const char *addr, uint16_t port);

/* Fetches the newest map and adopts it. From any thread but the I/O thread. -ENODEV: not formatted.
 */
int mapcache_fetch(struct sf_cluster *cluster, uint32_t timeout_ms);

#endif

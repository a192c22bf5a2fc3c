/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_TROUBLE_H
#define SF_CLIENT_TROUBLE_H

#include "include/sheepfold.h"
#include "lib/place/map.h"
#include "lib/wire/sheepfold.pb-c.h"

/* Adds what a daemon reported, unless there are `max` already. */
void trouble_take(struct sf_troubles *list, const Sf__Trouble *in, size_t max);
enum { TROUBLES_SHOWN = 10, DOWN_SHOWN = 4 };
/* Likewise for `status`: not only placement groups. */
void trouble_take_some(struct sf_troubles *list, const Sf__Trouble *in);
/* PGs of which no disk is up: nobody reports them. */
void trouble_take_leaderless(struct sf_troubles *list, const struct map *map, size_t max);
/* Sorts, and looks up which volume and which range each object is; what cannot be looked up now
 * stays without a name. Waits: not for the I/O thread. */
void troubles_name(struct sf_cluster *cluster, const struct map *map, struct sf_troubles *list);
void troubles_fini(struct sf_troubles *list);

#endif

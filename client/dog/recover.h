/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_RECOVER_H
#define SF_DOG_RECOVER_H

#include <jansson.h>

#include "client/dog/dog.h"

/* dog cluster recover enable|disable|list|force */
int cluster_recover(struct dog *dog, int argc, char **argv);
/* dog cluster scrub status|start */
int cluster_scrub(struct dog *dog, int argc, char **argv);

/* One trouble in one line, without newline: which object or placement group, and why. */
void trouble_print(const struct sf_trouble *t);
/* "127.0.0.1:7003 disk 0123456789abcdef" */
void disk_print(const struct sf_status *status, const struct sf_map *map, uint64_t disk);
json_t *json_troubles(const struct sf_troubles *list);
json_t *json_scrub(const struct sf_scrub *s);
/* "7 of 9 placement groups ..." in one line for `dog status`, and all of it for `dog cluster
 * scrub`. */
void scrub_print(const struct sf_status *s);
/* "14 days", "12 h" */
const char *scrub_interval_text(uint32_t seconds, char text[32]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_JSON_H
#define SF_DOG_JSON_H

#include <jansson.h>

#include "include/sheepfold.h"

/* What --json prints. Ids of 64 bits are hexadecimal strings: not every reader of JSON has
 * integers. */

json_t *json_volume(const struct sf_volume_info *info);
json_t *json_node(uint32_t id, const struct sf_node *node);
json_t *json_disk(const struct sf_disk *disk);
json_t *json_map(const struct sf_map *map);
json_t *json_status(const struct sf_status *status);
json_t *json_location(const struct sf_object_location *location);
json_t *json_check(const struct sf_check_result *result);

/* Prints and frees it. 0, or an exit code. */
int json_print(json_t *value);

#endif

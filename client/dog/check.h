/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_CHECK_H
#define SF_DOG_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "client/dog/dog.h"

/* Checks (and repairs) one volume, or its snapshot, and says what was found; to results, as JSON, unless that is
 * NULL. DOG_OK when nothing is left damaged. */
int check_volume(struct dog *dog, const char *name, const char *tag, bool repair,
                 json_t *results);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/member.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/math.h"

static const struct member_driver *const drivers[] = {&member_local, &member_zookeeper, &member_corosync};

const struct member_driver *member_driver_find(const char *option, const char **ret_spec)
{
	size_t len = strcspn(option, ":");

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
		if (strlen(drivers[i]->name) != len || strncmp(drivers[i]->name, option, len) != 0)
			continue;
		*ret_spec = option[len] == ':' ? option + len + 1 : NULL;
		return drivers[i];
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/member.h"

#include <stddef.h>
#include <string.h>

const struct member_driver *member_driver_find(const char *option, const char **ret_spec)
{
	static const struct member_driver *const drivers[] = {&member_local};
	size_t len = strcspn(option, ":");

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strlen(drivers[i]->name) != len || strncmp(drivers[i]->name, option, len))
			continue;
		*ret_spec = option[len] ? option + len + 1 : NULL;
		return drivers[i];
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "include/sheepfold.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

const char *sf_version(void)
{
	return PACKAGE_VERSION;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/err.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

const char *sf_strerror(int err)
{
	const char *text;

	switch (err) {
#define X(name, code, text)                                                                        \
	case -name:                                                                                \
		return text;
		SF_ERR_TABLE(X)
#undef X
	}
	/* strerrordesc_np: unlike strerror, static text from any thread. */
	text = err <= 0 && err > INT_MIN ? strerrordesc_np(-err) : NULL;
	return text ? text : "unknown error";
}

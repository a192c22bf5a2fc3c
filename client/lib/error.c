/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "include/sheepfold.h"
#include "lib/wire/msg.h"

static _Thread_local char error_text[ERROR_TEXT_LEN];

int error_set(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error_text, sizeof(error_text), fmt, ap);
	va_end(ap);
	return err;
}

void error_clear(void)
{
	error_text[0] = '\0';
}

const char *sf_error(void)
{
	return error_text;
}

int error_of_result(uint32_t result)
{
	switch (result) {
	case RES_OK:
		return 0;
	case RES_NOENT:
		return -ENOENT;
	case RES_EXISTS:
		return -EEXIST;
	case RES_NOSPACE:
		return -ENOSPC;
	case RES_INVALID:
		return -EINVAL;
	case RES_NOT_FORMATTED:
		return -ENODEV;
	case RES_CHANGED:
		return -ESTALE;
	case RES_DENIED:
		return -EPERM;
	default:
		return -EIO;
	}
}

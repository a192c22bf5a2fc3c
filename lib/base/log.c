/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <stdio.h>

enum { LOG_LINE_MAX = 1024 };

void log_vwrite(const struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];

	if (!log || !log->write || level > log->level)
		return;
	if (vsnprintf(line, sizeof(line), fmt, ap) < 0)
		return;
	/* Text from peers and users must not be able to forge a second line. */
	for (char *c = line; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	log->write(log->arg, level, line);
}

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vwrite(log, level, fmt, ap);
	va_end(ap);
}

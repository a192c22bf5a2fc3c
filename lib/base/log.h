/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_LOG_H
#define SF_BASE_LOG_H

#include <stdarg.h>

/*
 * Where a room's log lines go. Rooms get a struct log by pointer; there is no global one,
 * so that a simulation gives each node its own. Library code for users (client/lib) never logs.
 */
enum log_level { LOG_LV_ERROR, LOG_LV_WARN, LOG_LV_INFO, LOG_LV_DEBUG };

struct log {
	enum log_level level;
	void (*write)(void *arg, enum log_level level, const char *line); /* line has no newline */
	void *arg;
};

/* NULL log: dropped. */
void log_vwrite(const struct log *log, enum log_level level, const char *fmt, va_list ap);
void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_write(log, LOG_LV_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_write(log, LOG_LV_WARN, __VA_ARGS__)
#define log_info(log, ...) log_write(log, LOG_LV_INFO, __VA_ARGS__)
#define log_debug(to, ...)                                                                         \
	do {                                                                                       \
		const struct log *log_to_ = (to);                                                  \
		if (log_to_ && log_to_->level >= LOG_LV_DEBUG)                                     \
			log_write(log_to_, LOG_LV_DEBUG, __VA_ARGS__);                             \
	} while (0)

#endif

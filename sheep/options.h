/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SHEEP_OPTIONS_H
#define SF_SHEEP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/log.h"

/* The command line of sheep(8). Strings point into argv. */
enum { OPTIONS_MAX_DISKS = 128, OPTIONS_TEXT_LEN = 512 };

enum log_sink { LOG_TO_FILE, LOG_TO_STDOUT, LOG_TO_SYSLOG };

struct options {
	const char *meta_dir;
	const char *disk_dirs[OPTIONS_MAX_DISKS]; /* those after META_DIR */
	uint32_t disk_count;
	const char *cluster, *bind_addr, *my_addr, *pidfile, *key_file;
	const char *io_addr; /* -i: NULL: none */
	uint16_t port, io_port; /* io_port 0: as port */
	bool has_zone;
	uint32_t zone;
	uint32_t weight, recovery_max, recovery_interval_ms;
	bool gateway, foreground, nosync;
	enum log_level log_level;
	enum log_sink log_sink;
	const char *log_dir; /* NULL: META_DIR */
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD };

/* OPTIONS_DONE: help or version was printed. OPTIONS_BAD: text has one line. Cuts up argv's
 * strings. */
enum options_result options_parse(int argc, char **argv, struct options *ret,
                                  char text[OPTIONS_TEXT_LEN]);

#endif

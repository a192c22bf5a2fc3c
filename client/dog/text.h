/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_TEXT_H
#define SF_DOG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/sheepfold.h"

/* How numbers, sizes, times and rows look, as people and scripts know them. Pure. */

/* "4M", "1T", "4096": powers of 1024. -EINVAL for anything else, or more than 2^64 - 1. */
int text_parse_size(const char *text, uint64_t *ret);
/* Decimal digits, at most max. */
int text_parse_number(const char *text, uint64_t max, uint64_t *ret);
/* "10s", "500ms", "5m", "2h"; no unit: seconds. */
int text_parse_duration_ms(const char *text, uint32_t *ret);

enum {
	TEXT_SIZE_LEN = 32,
	TEXT_TIME_LEN = 40,
	TEXT_ADDR_LEN = SF_ADDR_LEN + 12,
	TEXT_ROW_LEN = 1280
};

/* "4.0 MB", "12 MB", "1.5 TB": one decimal below 10, never below MB. raw: bytes. */
const char *text_size(uint64_t bytes, bool raw, char text[TEXT_SIZE_LEN]);
/* "2026-11-22 17:02:09", local time. raw: seconds. */
const char *text_time(uint64_t seconds, bool raw, char text[TEXT_TIME_LEN]);
/* "127.0.0.1:7000", "[::1]:7000" */
const char *text_address(const char *address, uint16_t port, char text[TEXT_ADDR_LEN]);
/* "12 s", "3:05 min", "2:10 h" */
const char *text_span(uint64_t seconds, char text[TEXT_SIZE_LEN]);

/* One line of `vdi list`, without newline. */
void text_vdi_row(const struct sf_volume_info *info, bool raw, char row[TEXT_ROW_LEN]);
/* One line of `node list`. */
void text_node_row(uint32_t id, const struct sf_node *node, bool raw, char row[TEXT_ROW_LEN]);
/* One line of `node recovery`. */
void text_recovery_row(uint32_t id, const struct sf_node *node, double percent, bool raw,
                       char row[TEXT_ROW_LEN]);
/* One line of `node info` (path NULL) or `node md info`; label: "%2d" of an id, or "Total". */
void text_space_row(const char *label, uint64_t size, uint64_t used, uint64_t avail,
                    const char *path, bool raw, char row[TEXT_ROW_LEN]);
/* What `cluster info` says after the time and version of an epoch: "[HOST:PORT:V-NODES, ...]",
 * malloc'ed. */
char *text_epoch_nodes(const struct sf_map *map);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Reading ---- */

/* Digits at the start of text; *ret_rest is what follows. */
static int digits_parse(const char *text, uint64_t max, uint64_t *ret, const char **ret_rest)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (value > (max - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	if (p == text)
		return -EINVAL;
	*ret = value;
	*ret_rest = p;
	return 0;
}

int text_parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	const char *rest;
	uint64_t value;

	if (digits_parse(text, max, &value, &rest) < 0 || *rest != '\0')
		return -EINVAL;
	*ret = value;
	return 0;
}

int text_parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGTP";
	const char *rest, *unit;
	uint64_t value;
	unsigned shift = 0;

	if (digits_parse(text, UINT64_MAX, &value, &rest) < 0)
		return -EINVAL;
	if (*rest != '\0') {
		unit = strchr(units, *rest >= 'a' && *rest <= 'z' ? *rest - 'a' + 'A' : *rest);
		if (!unit || rest[1] != '\0')
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -EINVAL;
	*ret = value << shift;
	return 0;
}

int text_parse_duration_ms(const char *text, uint32_t *ret)
{
	static const struct {
		const char *unit;
		uint32_t ms;
	} units[] = {{"", 1000},   {"ms", 1},      {"s", 1000},
	             {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	const char *rest;
	uint64_t value;

	if (digits_parse(text, UINT32_MAX, &value, &rest) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].unit) != 0)
			continue;
		if (value > UINT32_MAX / units[i].ms)
			return -EINVAL;
		*ret = (uint32_t)value * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

/* ---- Values ---- */

const char *text_size(uint64_t bytes, bool raw, char text[TEXT_SIZE_LEN])
{
	static const char *const units[] = {"MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / (1 << 20);
	size_t unit = 0;

	if (raw) {
		snprintf(text, TEXT_SIZE_LEN, "%llu", (unsigned long long)bytes);
		return text;
	}
	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, TEXT_SIZE_LEN, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static const char *time_format(uint64_t seconds, bool raw, const char *format,
                               char text[TEXT_TIME_LEN])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (raw || !localtime_r(&t, &tm) || strftime(text, TEXT_TIME_LEN, format, &tm) == 0)
		snprintf(text, TEXT_TIME_LEN, "%llu", (unsigned long long)seconds);
	return text;
}

const char *text_time(uint64_t seconds, bool raw, char text[TEXT_TIME_LEN])
{
	return time_format(seconds, raw, "%Y-%m-%d %H:%M:%S", text);
}

const char *text_address(const char *address, uint16_t port, char text[TEXT_ADDR_LEN])
{
	bool v6 = strchr(address, ':') != NULL;

	snprintf(text, TEXT_ADDR_LEN, "%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "", port);
	return text;
}

const char *text_span(uint64_t s, char text[TEXT_SIZE_LEN])
{
	if (s < 60)
		snprintf(text, TEXT_SIZE_LEN, "%u s", (unsigned)s);
	else if (s < 3600)
		snprintf(text, TEXT_SIZE_LEN, "%u:%02u min", (unsigned)(s / 60),
		         (unsigned)(s % 60));
	else
		snprintf(text, TEXT_SIZE_LEN, "%llu:%02u h", (unsigned long long)(s / 3600),
		         (unsigned)(s % 3600 / 60));
	return text;
}

/* ---- Rows ---- */

/* Scripts split lines at spaces. */
static void name_escape(const char *name, char out[2 * SF_NAME_MAX + 2])
{
	for (; *name; name++) {
		if (*name == ' ' || *name == '\t' || *name == '\n' || *name == '\\')
			*out++ = '\\';
		*out++ = *name;
	}
	*out = '\0';
}

static char volume_kind(const struct sf_volume_info *info, bool raw)
{
	if (info->snapshot_id)
		return 's';
	if (info->clone)
		return 'c';
	return raw ? '=' : ' ';
}

void text_vdi_row(const struct sf_volume_info *info, bool raw, char row[TEXT_ROW_LEN])
{
	char size[TEXT_SIZE_LEN], used[TEXT_SIZE_LEN], shared[TEXT_SIZE_LEN], when[TEXT_TIME_LEN];
	char name[2 * SF_NAME_MAX + 2], tag[2 * SF_NAME_MAX + 2], copies[16];

	name_escape(info->name, name);
	name_escape(info->tag, tag);
	sf_redundancy_format(info->redundancy, copies);
	text_size(info->size_bytes, raw, size);
	text_size(info->used_bytes, raw, used);
	text_size(info->shared_bytes, raw, shared);
	time_format(info->created_s, raw, "%Y-%m-%d %H:%M", when);
	snprintf(row, TEXT_ROW_LEN,
	         raw ? "%c %s %d %s %s %s %s %x %s %s %d"
	             : "%c %-8s %5d %7s %7s %7s %s  %7x %6s %13s %3d",
	         volume_kind(info, raw), raw ? name : info->name, (int)info->snapshot_id, size,
	         used, shared, when, info->id, copies, raw ? tag : info->tag, (int)info->object_shift);
}

void text_node_row(uint32_t id, const struct sf_node *node, bool raw, char row[TEXT_ROW_LEN])
{
	char address[TEXT_ADDR_LEN];

	text_address(node->address, node->port, address);
	snprintf(row, TEXT_ROW_LEN, raw ? "%u %s %u %u" : "%4u   %-20s\t%3u%11u", id, address,
	         node->weight, node->zone);
}

void text_recovery_row(uint32_t id, const struct sf_node *node, double percent, bool raw,
                       char row[TEXT_ROW_LEN])
{
	char address[TEXT_ADDR_LEN];

	text_address(node->address, node->port, address);
	snprintf(row, TEXT_ROW_LEN, raw ? "%u %s %u %u %.1f" : "%4u   %-20s%3u%11u%11.1f%%", id,
	         address, node->weight, node->zone, percent);
}

void text_space_row(const char *label, uint64_t size, uint64_t used, uint64_t avail,
                    const char *path, bool raw, char row[TEXT_ROW_LEN])
{
	char s[TEXT_SIZE_LEN], u[TEXT_SIZE_LEN], a[TEXT_SIZE_LEN];
	unsigned percent = size ? (unsigned)((double)used * 100 / (double)size) : 0;

	while (raw && *label == ' ')
		label++;
	snprintf(row, TEXT_ROW_LEN, raw ? "%s %s %s %s %u%%%s%s" : "%s\t%s\t%s\t%s\t%3u%%%s%s",
	         label, text_size(size, raw, s), text_size(used, raw, u), text_size(avail, raw, a),
	         percent,
	         !path ? ""
	         : raw ? " "
	               : "\t",
	         path ? path : "");
}

char *text_epoch_nodes(const struct sf_map *map)
{
	size_t size = 3 + map->node_count * (TEXT_ADDR_LEN + 16), len = 1;
	char *text = malloc(size), address[TEXT_ADDR_LEN];

	if (!text)
		abort();
	text[0] = '[';
	for (uint32_t i = 0; i < map->node_count; i++) {
		const struct sf_node *n = &map->nodes[i];

		if (!n->up)
			continue;
		len += (size_t)snprintf(text + len, size - len, "%s%s:%u", len > 1 ? ", " : "",
		                        text_address(n->address, n->port, address), n->weight);
	}
	snprintf(text + len, size - len, "]");
	return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "client/lib/error.h"
#include "include/sheepfold.h"
#include "lib/place/map.h"

/* Decimal without sign or leading zero, at most `max`; moves *text past it. */
static int number_parse(const char **text, uint32_t max, uint32_t *ret)
{
	const char *p = *text;
	uint32_t value = 0;

	if (*p < '1' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint32_t)(*p - '0');
		if (value > max)
			return -EINVAL;
	}
	*text = p;
	*ret = value;
	return 0;
}

int sf_redundancy_parse(const char *text, struct sf_redundancy *ret)
{
	const char *p = text;
	uint32_t first, parity;

	if (number_parse(&p, MAX_SHARDS, &first) < 0)
		goto bad;
	if (*p == '\0') {
		if (first > MAX_PARITY + 1)
			return error_set(-EINVAL, "'%s': at most %d copies", text, MAX_PARITY + 1);
		*ret = (struct sf_redundancy){.data = 1, .parity = first - 1};
		return 0;
	}
	if (*p++ != ':' || number_parse(&p, MAX_SHARDS, &parity) < 0 || *p != '\0')
		goto bad;
	if (first < 2 || first > MAX_DATA || parity > MAX_PARITY)
		return error_set(-EINVAL, "'%s': data strips are 2 to %d, parity strips 1 to %d",
		                 text, MAX_DATA, MAX_PARITY);
	*ret = (struct sf_redundancy){.data = first, .parity = parity};
	return 0;
bad:
	return error_set(-EINVAL, "'%.40s' is no redundancy: give copies (3) or data:parity (4:2)",
	                 text);
}

void sf_redundancy_format(struct sf_redundancy r, char text[16])
{
	/* Bounded, so that no value from a peer can be cut off in the middle. */
	unsigned data = r.data % 10000, parity = r.parity % 10000;

	if (r.data == 1)
		snprintf(text, 16, "%u", parity + 1);
	else
		snprintf(text, 16, "%u:%u", data, parity);
}

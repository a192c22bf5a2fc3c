/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_CS_DISK_H
#define SF_MEMBER_CS_DISK_H

#include <limits.h>

#include "sheep/member/cs_logic.h"
#include "sheep/member/local_register.h"

/*
 * What the Corosync driver keeps on each machine: DIR/map.* as in local_register.h, where it is the only one to write, and
 * DIR/vote: what it has promised and accepted (cs_logic.h), checksummed, replaced by rename.
 */
struct cs_disk {
	struct local_register reg;
	char vote[PATH_MAX];
};

/* vote: zeros when there is none. 0 or a negative error. */
int cs_disk_open(struct cs_disk *d, const char *dir, uint64_t node, struct cs_vote *ret_vote);
void cs_disk_close(struct cs_disk *d);
int cs_disk_vote_save(struct cs_disk *d, const struct cs_vote *vote);
/* The register stands before `map`. */
int cs_disk_map_save(struct cs_disk *d, const struct map *map);
int cs_disk_map_load(const struct cs_disk *d, uint32_t seq, struct map **ret);

#endif

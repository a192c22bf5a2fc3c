/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_TROUBLE_H
#define SF_CORE_TROUBLE_H

#include "lib/wire/sheepfold.pb-c.h"
#include "sheep/core/core.h"

/* Troubles as messages, for status.c and trouble.c. */
enum { TROUBLES_PAGE = 512, TROUBLES_IN_STATUS = 10, DOWN_IN_STATUS = 4 };

struct troubles {
	Sf__Trouble **v;
	uint32_t count, max;
	uint32_t down, max_down; /* of these: whole PGs */
};
/* At most t->max behind the cursor (pool pg oid, or MSG_F_FIRST) of the PGs this node leads. */
void troubles_list(struct node *node, const struct msg *from, struct troubles *t);
void troubles_fini(struct troubles *t);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CORE_ADMIN_H
#define SF_CORE_ADMIN_H

#include "lib/wire/sheepfold.pb-c.h"
#include "sheep/core/core.h"

/* An operator's request that was not answered yet. */
struct admin_wait {
	struct list link; /* node->admin, in the order they came */
	uint64_t conn;    /* 0: the asker is gone */
	struct msg *req;
	Sf__AdminRequest *ask;
	bool proposed;
	bool local;      /* waits for something else than a change of the map */
	uint64_t length; /* of the reply; POOL: its id, once proposed */
	uint64_t disk;   /* UNPLUG: which */
	char text[FORMAT_TEXT_LEN];
};

/* Both end it. */
void admin_answer(struct node *node, struct admin_wait *w, uint32_t result);
void admin_refuse(struct node *node, struct admin_wait *w, uint32_t result, const char *why);

#endif

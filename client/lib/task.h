/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_TASK_H
#define SF_CLIENT_TASK_H

#include "lib/base/list.h"

/* Something to run once on a cluster handle's I/O thread. Embedded in what it is about. */
struct task {
	struct list link;
	void (*run)(struct task *task);
};

#endif

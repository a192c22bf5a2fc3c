/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_DIR_H
#define SF_BASE_DIR_H

#include <sys/types.h>

/* Makes the directory if there is none, durably: what is kept in it later is not lost with it in a
 * power cut. The one above must be there. 0 or -errno. */
int dir_make(const char *path, mode_t mode);
/* Makes what was created, renamed or removed in it durable. 0 or -errno. */
int dir_sync(const char *path);

#endif

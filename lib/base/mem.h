/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_MEM_H
#define SF_BASE_MEM_H

#include <stddef.h>

/* Allocation that does not fail: prints one line and aborts. Bounds are checked
 * long before: no caller passes a size that a peer or a user chose unlimited. */
void *xcalloc(size_t count, size_t size);
void *xmalloc(size_t size);
void *xrealloc(void *ptr, size_t size);
char *xstrdup(const char *s);
void *xmemdup(const void *data, size_t len); /* NULL for len 0 */

#endif

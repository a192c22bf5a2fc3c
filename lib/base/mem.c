/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_check(void *ptr, size_t count, size_t size)
{
	if (!ptr) {
		fprintf(stderr, "out of memory: %zu x %zu bytes\n", count, size);
		abort();
	}
	return ptr;
}

void *xcalloc(size_t count, size_t size)
{
	/* malloc(0) may give NULL: never ask for nothing. */
	if (count == 0 || size == 0)
		count = size = 1;
	return mem_check(calloc(count, size), count, size);
}

void *xmalloc(size_t size)
{
	if (size == 0)
		size = 1;
	return mem_check(malloc(size), 1, size);
}

void *xrealloc(void *ptr, size_t size)
{
	if (size == 0)
		size = 1;
	return mem_check(realloc(ptr, size), 1, size);
}

char *xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

void *xmemdup(const void *data, size_t len)
{
	if (len == 0)
		return NULL;
	return memcpy(xmalloc(len), data, len);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	PAGE = 4096,
	SMALL_MAX = 64 << 10, /* malloc serves these without asking the kernel */
	KEPT_BYTES = 96 << 20,
};

void *memory_zeroed(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

char *memory_text(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	return copy;
}

void memory_init(struct memory *m, size_t large)
{
	*m = (struct memory){.large = large};
	pthread_mutex_init(&m->lock, NULL);
}

void memory_fini(struct memory *m)
{
	for (struct memory_piece *p; (p = m->free);) {
		m->free = p->next;
		free(p);
	}
	pthread_mutex_destroy(&m->lock);
}

static uint8_t *memory_large(struct memory *m)
{
	struct memory_piece *p;

	pthread_mutex_lock(&m->lock);
	p = m->free;
	if (p) {
		m->free = p->next;
		m->free_count--;
	}
	pthread_mutex_unlock(&m->lock);
	if (p)
		return (uint8_t *)p + MEMORY_FRONT;
	p = aligned_alloc(PAGE, MEMORY_FRONT + m->large);
	if (p)
		(void)madvise(p, MEMORY_FRONT + m->large, MADV_HUGEPAGE); /* a hint */
	return p ? (uint8_t *)p + MEMORY_FRONT : NULL;
}

uint8_t *memory_take(struct memory *m, size_t size, size_t *ret_capacity)
{
	uint8_t *data;

	assert(size <= m->large);
	*ret_capacity = size <= SMALL_MAX ? SMALL_MAX : m->large;
	data = size <= SMALL_MAX ? malloc(SMALL_MAX) : memory_large(m);
	if (!data)
		abort();
	return data;
}

void memory_give(struct memory *m, uint8_t *data, size_t capacity)
{
	struct memory_piece *p;
	bool keep;

	if (!data)
		return;
	if (capacity < m->large) {
		free(data);
		return;
	}
	p = (struct memory_piece *)(data - MEMORY_FRONT);
	pthread_mutex_lock(&m->lock);
	keep = (m->free_count + 1) * m->large <= KEPT_BYTES;
	if (keep) {
		p->next = m->free;
		m->free = p;
		m->free_count++;
	}
	pthread_mutex_unlock(&m->lock);
	if (!keep)
		free(p);
}

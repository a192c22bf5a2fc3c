/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_FUSE_MEMORY_H
#define SF_FUSE_MEMORY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* Small things: never NULL, the program ends when there is no memory. */
void *memory_zeroed(size_t size);
char *memory_text(const char *text);

/*
 * Data of requests. Large pieces are kept and used again: fresh pages cost more than the copy into
 * them. From any thread.
 * Before a large piece there are MEMORY_FRONT bytes that are its holder's too.
 */
enum { MEMORY_FRONT = 4096 };
struct memory_piece {
	struct memory_piece *next;
};
struct memory {
	pthread_mutex_t lock;
	size_t large; /* bytes of a large piece */
	struct memory_piece *free;
	unsigned free_count;
};
void memory_init(struct memory *m, size_t large);
void memory_fini(struct memory *m);
/* At least size bytes, which is at most `large`; *ret_capacity is what to give back. */
uint8_t *memory_take(struct memory *m, size_t size, size_t *ret_capacity);
void memory_give(struct memory *m, uint8_t *data, size_t capacity);

#endif

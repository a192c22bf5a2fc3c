/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base/crc32c.h"
#include "lib/base/list.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/* Under AddressSanitizer idle buffers are poisoned: touching one after its last unref is reported. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUF_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define BUF_POISON 1
#endif
#ifdef BUF_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(ptr, len) ((void)(ptr), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, len) ((void)(ptr), (void)(len))
#endif

/*
 * Size classes: 4K 8K 12K 16K 24K 32K 48K ... 12M 16M, the powers of two and the steps halfway
 * between, so that beyond 8 KiB at most a third of a buffer is unused.
 */
enum {
	CLASS_MAX = 24,
	MAP_MIN = 128 << 10, /* from here by mmap, so that a freed one leaves the process */
	HUGE_PAGE = 2 << 20, /* from here on huge pages: 512 times fewer faults */
};

/* The checksums lie behind the header, never among the data pages. */
struct buf_owned {
	struct buf buf;
	struct list in_class; /* while idle: same class, last used first (its cache is warm) */
	struct list in_idle;  /* while idle: all classes, last used first */
	uint32_t size_class;
	uint32_t crc[];
};

struct buf_pool {
	size_t keep_bytes;
	size_t idle_bytes;
	size_t used_bytes;
	struct list idle;
	struct list classes[CLASS_MAX];
};

static uint32_t class_find(uint32_t len, uint32_t *ret_capacity)
{
	uint32_t step = BUF_ALIGN, size_class = 0;

	for (;; step *= 2) {
		if (len <= step)
			break;
		size_class++;
		if (step == BUF_ALIGN)
			continue; /* 6 KiB would not be aligned */
		if (len <= step / 2 * 3) {
			step = step / 2 * 3;
			break;
		}
		size_class++;
	}
	assert(size_class < CLASS_MAX);
	*ret_capacity = step;
	return size_class;
}

/* Maps with start on a boundary of huge pages: maps too much and gives back both ends. */
static uint8_t *data_map(size_t size)
{
	size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0, head;
	uint8_t *p = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (slack) {
		head = round_up((uintptr_t)p, HUGE_PAGE) - (uintptr_t)p;
		if (head > 0)
			munmap(p, head);
		p += head;
		if (slack > head)
			munmap(p + size, slack - head);
		/* Only a hint. */
		(void)madvise(p, size, MADV_HUGEPAGE);
	}
	return p;
}

static uint8_t *data_alloc(size_t size)
{
	uint8_t *p = size >= MAP_MIN ? data_map(size) : aligned_alloc(BUF_ALIGN, size);

	if (!p)
		abort();
	return p;
}

static void data_free(uint8_t *data, size_t size)
{
	ASAN_UNPOISON_MEMORY_REGION(data, size);
	if (size < MAP_MIN)
		free(data);
	else
		munmap(data, size);
}

struct buf_pool *buf_pool_create(size_t keep_bytes)
{
	struct buf_pool *pool = xcalloc(1, sizeof(*pool));

	pool->keep_bytes = keep_bytes;
	list_init(&pool->idle);
	for (uint32_t i = 0; i < CLASS_MAX; i++)
		list_init(&pool->classes[i]);
	return pool;
}

static struct buf_owned *buf_create(struct buf_pool *pool, uint32_t size_class, uint32_t capacity)
{
	struct buf_owned *o = xmalloc(sizeof(*o) + block_count(capacity) * sizeof(o->crc[0]));

	o->size_class = size_class;
	o->buf = (struct buf){
		.capacity = capacity,
		.crc = o->crc,
		.data = data_alloc(capacity),
		.pool = pool,
	};
	return o;
}

static void buf_destroy(struct buf_owned *o)
{
	data_free(o->buf.data, o->buf.capacity);
	free(o);
}

static void idle_remove(struct buf_pool *pool, struct buf_owned *o)
{
	list_remove(&o->in_class);
	list_remove(&o->in_idle);
	pool->idle_bytes -= o->buf.capacity;
}

/* Frees what was idle longest, so that the pool's memory follows the sizes in use now. */
static void idle_trim(struct buf_pool *pool, size_t limit)
{
	while (pool->idle_bytes > limit) {
		struct buf_owned *o = list_item(pool->idle.prev, struct buf_owned, in_idle);

		idle_remove(pool, o);
		buf_destroy(o);
	}
}

void buf_pool_destroy(struct buf_pool *pool)
{
	if (!pool)
		return;
	assert(pool->used_bytes == 0);
	idle_trim(pool, 0);
	assert(list_empty(&pool->idle));
	free(pool);
}

void buf_pool_keep(struct buf_pool *pool, size_t keep_bytes)
{
	pool->keep_bytes = keep_bytes;
	idle_trim(pool, keep_bytes);
}

size_t buf_pool_used_bytes(const struct buf_pool *pool)
{
	return pool->used_bytes;
}

struct buf *buf_get(struct buf_pool *pool, uint32_t len)
{
	struct buf_owned *o;
	uint32_t size_class, capacity;

	assert(len > 0 && len <= BUF_MAX);
	size_class = class_find(len, &capacity);
	if (pool && !list_empty(&pool->classes[size_class])) {
		o = list_item(pool->classes[size_class].next, struct buf_owned, in_class);
		idle_remove(pool, o);
		ASAN_UNPOISON_MEMORY_REGION(o->buf.data, o->buf.capacity);
	} else {
		o = buf_create(pool, size_class, capacity);
	}
	if (pool)
		pool->used_bytes += capacity;
	o->buf.refs = 1;
	o->buf.len = len;
	o->buf.crc_valid = false;
	return &o->buf;
}

struct buf *buf_ref(struct buf *buf)
{
	assert(buf->refs > 0 && buf->refs < UINT32_MAX);
	buf->refs++;
	return buf;
}

void buf_unref(struct buf *buf)
{
	struct buf_owned *o;
	struct buf_pool *pool;

	if (!buf)
		return;
	assert(buf->refs > 0 && buf->len <= buf->capacity);
	if (--buf->refs > 0)
		return;
	o = container_of(buf, struct buf_owned, buf);
	pool = buf->pool;
	if (pool) {
		assert(pool->used_bytes >= buf->capacity);
		pool->used_bytes -= buf->capacity;
	}
	if (!pool || buf->capacity > pool->keep_bytes) {
		buf_destroy(o);
		return;
	}
	ASAN_POISON_MEMORY_REGION(buf->data, buf->capacity);
	list_push_front(&pool->classes[o->size_class], &o->in_class);
	list_push_front(&pool->idle, &o->in_idle);
	pool->idle_bytes += buf->capacity;
	idle_trim(pool, pool->keep_bytes);
}

void buf_seal(struct buf *buf)
{
	if (buf->crc_valid)
		return;
	for (uint32_t i = 0, off = 0; off < buf->len; i++, off += CRC_BLOCK)
		buf->crc[i] = crc32c(0, buf->data + off, MIN(buf->len - off, (uint32_t)CRC_BLOCK));
	buf->crc_valid = true;
}

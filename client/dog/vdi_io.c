/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/vdi_io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/dog/dog.h"
#include "client/dog/progress.h"
#include "client/dog/stream.h"

enum {
	RING_MAX = 16,
	WRITE_BYTES = 64 << 20, /* under way at once */
	READ_BYTES = 32 << 20,  /* fewer: what stays in the cache is copied out faster */
	PIECES_MIN = 4,
	PIPE_BYTES = 1 << 20,
};

struct piece {
	struct ring *ring;
	uint8_t *data;
	uint64_t offset, len;
	bool busy;
	int result;
	char why[256];
};

/* Pieces are used in turn. `lock` guards busy and result of each. */
struct ring {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct piece pieces[RING_MAX];
	uint32_t count;
	uint8_t *memory;
	size_t memory_bytes;
	uint64_t object_size;
};

static int ring_init(struct ring *r, struct sf_volume *volume, uint64_t bytes)
{
	struct sf_volume_info info;
	uint64_t count;

	sf_volume_get_info(volume, &info);
	memset(r, 0, sizeof(*r));
	r->object_size = 1ull << info.object_shift;
	count = bytes / r->object_size;
	r->count = count < PIECES_MIN ? PIECES_MIN : count > RING_MAX ? RING_MAX : (uint32_t)count;
	r->memory_bytes = r->count * r->object_size;
	r->memory = mmap(NULL, r->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                 -1, 0);
	if (r->memory == MAP_FAILED)
		return -errno;
	(void)madvise(r->memory, r->memory_bytes, MADV_HUGEPAGE); /* fewer page faults; a hint */
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->cond, NULL);
	for (uint32_t i = 0; i < r->count; i++) {
		r->pieces[i].ring = r;
		r->pieces[i].data = r->memory + i * r->object_size;
	}
	return 0;
}

static void ring_fini(struct ring *r)
{
	munmap(r->memory, r->memory_bytes);
	pthread_cond_destroy(&r->cond);
	pthread_mutex_destroy(&r->lock);
}

static void piece_done(void *arg, int result)
{
	struct piece *p = arg;

	pthread_mutex_lock(&p->ring->lock);
	p->busy = false;
	p->result = result;
	if (result < 0)
		snprintf(p->why, sizeof(p->why), "%s", sf_error());
	pthread_cond_signal(&p->ring->cond);
	pthread_mutex_unlock(&p->ring->lock);
}

/* Waits until nothing is under way on the piece. */
static int piece_wait(struct piece *p)
{
	int result;

	pthread_mutex_lock(&p->ring->lock);
	while (p->busy)
		pthread_cond_wait(&p->ring->cond, &p->ring->lock);
	result = p->result;
	pthread_mutex_unlock(&p->ring->lock);
	return result;
}

/* Waits for all pieces; the first that failed. */
static struct piece *ring_drain(struct ring *r)
{
	struct piece *failed = NULL;

	for (uint32_t i = 0; i < r->count; i++)
		if (piece_wait(&r->pieces[i]) < 0 && !failed)
			failed = &r->pieces[i];
	return failed;
}

static int piece_report(const struct piece *p, const char *what, const char *name)
{
	fprintf(stderr, "Failed to %s VDI %s at offset %llu: %s\n", what, name,
	        (unsigned long long)p->offset, p->why);
	return p->result == -ENOSPC ? DOG_FULL : DOG_FAILED;
}

/* Up to the end of the object that `offset` is in. */
static uint64_t piece_len(const struct ring *r, uint64_t offset, uint64_t left)
{
	uint64_t room = r->object_size - offset % r->object_size;

	return left < room ? left : room;
}

static void widen_pipe(int fd)
{
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* not a pipe: nothing happens */
}

/* ---- Writing ---- */

static uint64_t input_size(uint64_t room)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < room)
		return (uint64_t)st.st_size;
	return room;
}

struct writing {
	struct sf_volume *volume;
	const char *name;
	struct ring ring;
	struct progress progress;
	uint64_t begin, offset, left;
	bool ended; /* the input did */
};

/* Fills one piece and sends it off. An exit code. */
static int write_one(struct writing *w, struct piece *p)
{
	int64_t got;

	if (piece_wait(p) < 0)
		return DOG_FAILED; /* told by whoever drains */
	p->offset = w->offset;
	p->len = piece_len(&w->ring, w->offset, w->left);
	got = stream_read(STDIN_FILENO, p->data, p->len);
	if (got < 0) {
		fprintf(stderr, "Failed to read standard input: %s\n", strerror((int)-got));
		return DOG_SYSTEM;
	}
	w->ended = (uint64_t)got < p->len;
	if (got == 0)
		return DOG_OK;
	p->len = (uint64_t)got;
	p->busy = true;
	sf_write_async(w->volume, p->data, p->len, p->offset, piece_done, p);
	w->offset += p->len;
	w->left -= p->len;
	progress_update(&w->progress, w->offset - w->begin);
	return DOG_OK;
}

/* Whether there is input left that found no room. */
static bool input_remains(void)
{
	uint8_t byte;

	return stream_read(STDIN_FILENO, &byte, 1) == 1;
}

static int write_all(struct writing *w, bool bounded)
{
	struct piece *failed;
	int code = DOG_OK;

	for (uint32_t i = 0; w->left > 0 && !w->ended && code == DOG_OK;
	     i = (i + 1) % w->ring.count)
		code = write_one(w, &w->ring.pieces[i]);
	failed = ring_drain(&w->ring);
	progress_end(&w->progress);
	if (failed)
		return piece_report(failed, "write", w->name);
	if (code)
		return code;
	if (bounded && w->left > 0) {
		fprintf(stderr, "Failed to write VDI %s: standard input ended %llu bytes early\n",
		        w->name, (unsigned long long)w->left);
		return DOG_FAILED;
	}
	if (!bounded && w->left == 0 && input_remains()) {
		fprintf(stderr,
		        "Failed to write VDI %s: there is more input than room; the VDI ends at %llu\n",
		        w->name, (unsigned long long)w->offset);
		return DOG_FAILED;
	}
	return DOG_OK;
}

int vdi_io_write(struct sf_volume *volume, const char *name, uint64_t offset, uint64_t len)
{
	struct writing w = {.volume = volume, .name = name, .begin = offset, .offset = offset};
	struct sf_volume_info info;
	bool bounded = len != UINT64_MAX;
	int code, err = ring_init(&w.ring, volume, WRITE_BYTES);

	if (err < 0) {
		fprintf(stderr, "Failed to get memory: %s\n", strerror(-err));
		return DOG_SYSTEM;
	}
	sf_volume_get_info(volume, &info);
	w.left = bounded ? len : info.size_bytes - offset;
	widen_pipe(STDIN_FILENO);
	progress_begin(&w.progress, bounded ? len : input_size(w.left), true);
	code = write_all(&w, bounded);
	ring_fini(&w.ring);
	return code;
}

/* ---- Reading ---- */

static void read_start(struct sf_volume *volume, struct ring *r, struct piece *p, uint64_t *offset,
                       uint64_t end)
{
	p->offset = *offset;
	p->len = piece_len(r, *offset, end - *offset);
	p->busy = true;
	*offset += p->len;
	sf_read_async(volume, p->data, p->len, p->offset, piece_done, p);
}

/* Pieces come back in any order and leave in theirs. */
static int read_all(struct sf_volume *volume, struct ring *r, uint64_t offset, uint64_t end,
                    struct progress *progress)
{
	uint64_t next = offset, out = offset;
	uint32_t ahead = 0;
	int err;

	for (uint32_t i = 0; out < end; i = (i + 1) % r->count) {
		struct piece *p = &r->pieces[i];

		while (ahead < r->count && next < end)
			read_start(volume, r, &r->pieces[(i + ahead++) % r->count], &next, end);
		if (piece_wait(p) < 0)
			return DOG_FAILED; /* told by whoever drains */
		err = stream_write(STDOUT_FILENO, p->data, p->len);
		if (err < 0) {
			fprintf(stderr, "Failed to write to standard output: %s\n", strerror(-err));
			return DOG_SYSTEM;
		}
		out += p->len;
		ahead--;
		progress_update(progress, out - offset);
	}
	return DOG_OK;
}

int vdi_io_read(struct sf_volume *volume, const char *name, uint64_t offset, uint64_t len)
{
	struct sf_volume_info info;
	struct progress progress;
	struct piece *failed;
	struct ring ring;
	int code, err = ring_init(&ring, volume, READ_BYTES);

	if (err < 0) {
		fprintf(stderr, "Failed to get memory: %s\n", strerror(-err));
		return DOG_SYSTEM;
	}
	sf_volume_get_info(volume, &info);
	if (len == UINT64_MAX)
		len = info.size_bytes - offset;
	widen_pipe(STDOUT_FILENO);
	progress_begin(&progress, len, true);
	code = read_all(volume, &ring, offset, offset + len, &progress);
	failed = ring_drain(&ring);
	progress_end(&progress);
	if (failed && code != DOG_SYSTEM)
		code = piece_report(failed, "read", name);
	ring_fini(&ring);
	return code;
}

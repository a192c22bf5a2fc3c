/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cluster/model.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes of a sector: this, then words that follow from it. */
struct sector_head {
	uint64_t seed, sector, generation;
};
enum { HEAD_WORDS = sizeof(struct sector_head) / 8, WORDS = SECTOR / 8 };

static void *grab(uint64_t count, size_t size)
{
	void *p = calloc(count, size);

	assert(p != NULL);
	return p;
}

void model_init(struct model *m, uint64_t seed, uint64_t sectors)
{
	m->seed = seed;
	m->sectors = sectors;
	m->generation = 0;
	m->low = grab(sectors, sizeof(*m->low));
	m->issued = grab(sectors, sizeof(*m->issued));
	m->discarded = grab(sectors, sizeof(*m->discarded));
	m->busy = grab(sectors, 1);
}

void model_fini(struct model *m)
{
	free(m->low);
	free(m->issued);
	free(m->discarded);
	free(m->busy);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void sector_fill(const struct model *m, uint64_t sector, uint32_t generation, uint8_t *dst)
{
	struct sector_head head = {m->seed, sector, generation};
	uint64_t words[WORDS], x = mix(m->seed ^ mix(sector) ^ generation);

	memcpy(words, &head, sizeof(head));
	for (uint32_t i = HEAD_WORDS; i < WORDS; i++)
		words[i] = x += x << 7 ^ 0x9e3779b97f4a7c15ull;
	memcpy(dst, words, SECTOR);
}

bool model_busy(const struct model *m, uint64_t first, uint64_t count)
{
	return memchr(m->busy + first, 1, count) != NULL;
}

uint32_t model_change_begin(struct model *m, uint64_t first, uint64_t count, uint8_t *data)
{
	uint32_t generation = ++m->generation;

	assert(!model_busy(m, first, count) && generation != 0);
	memset(m->busy + first, 1, count);
	for (uint64_t i = 0; i < count; i++) {
		m->issued[first + i] = generation;
		if (data != NULL)
			sector_fill(m, first + i, generation, data + i * SECTOR);
		else
			m->discarded[first + i] = generation;
	}
	return generation;
}

void model_change_end(struct model *m, uint64_t first, uint64_t count, uint32_t generation,
                      bool done)
{
	memset(m->busy + first, 0, count);
	for (uint64_t i = 0; done && i < count; i++)
		m->low[first + i] = generation;
}

void model_read_begin(const struct model *m, uint64_t first, uint64_t count, uint32_t *low)
{
	memcpy(low, m->low + first, count * sizeof(*low));
}

static bool all_zeros(const uint8_t *data)
{
	return data[0] == 0 && memcmp(data, data + 1, SECTOR - 1) == 0;
}

static bool sector_right(struct model *m, uint64_t sector, uint32_t low, const uint8_t *data,
                         enum model_wrong *how, char why[160])
{
	struct sector_head head;
	uint8_t want[SECTOR];

	if (all_zeros(data)) {
		if (m->discarded[sector] >= low)
			return true;
		*how = MODEL_LOST;
		snprintf(why, 160, "zeros, but generation %u was acknowledged", low);
		return false;
	}
	*how = MODEL_CORRUPT;
	memcpy(&head, data, sizeof(head));
	if (head.seed != m->seed || head.sector != sector) {
		snprintf(why, 160, "not this sector's bytes (seed %" PRIx64 ", sector %" PRIu64 ")",
		         head.seed, head.sector);
		return false;
	}
	if (head.generation < low || head.generation > m->issued[sector]) {
		if (head.generation < low)
			*how = MODEL_STALE;
		snprintf(why, 160, "generation %" PRIu64 ", but %u to %u are possible",
		         head.generation, low, m->issued[sector]);
		return false;
	}
	sector_fill(m, sector, (uint32_t)head.generation, want);
	if (memcmp(want, data, SECTOR) != 0) {
		snprintf(why, 160, "damaged bytes of generation %" PRIu64, head.generation);
		return false;
	}
	if (m->low[sector] < head.generation)
		m->low[sector] = (uint32_t)head.generation;
	return true;
}

int64_t model_read_end(struct model *m, uint64_t first, uint64_t count, const uint32_t *low,
                       const uint8_t *data, enum model_wrong *ret_how, char why[160])
{
	for (uint64_t i = 0; i < count; i++)
		if (!sector_right(m, first + i, low[i], data + i * SECTOR, ret_how, why))
			return (int64_t)(first + i);
	return -1;
}

struct file_head {
	uint64_t seed, sectors, generation;
};

static bool arrays_pass(const struct model *m, FILE *f,
                        size_t (*pass)(void *, size_t, size_t, FILE *))
{
	return pass(m->low, sizeof(*m->low), m->sectors, f) == m->sectors &&
	       pass(m->issued, sizeof(*m->issued), m->sectors, f) == m->sectors &&
	       pass(m->discarded, sizeof(*m->discarded), m->sectors, f) == m->sectors;
}

static size_t write_array(void *p, size_t size, size_t count, FILE *f)
{
	return fwrite(p, size, count, f);
}

int model_save(const struct model *m, const char *path)
{
	struct file_head head = {m->seed, m->sectors, m->generation};
	FILE *f = fopen(path, "wb");
	bool ok;

	if (f == NULL)
		return -errno;
	ok = fwrite(&head, sizeof(head), 1, f) == 1 && arrays_pass(m, f, write_array);
	return fclose(f) == 0 && ok ? 0 : -EIO;
}

int model_load(struct model *m, const char *path)
{
	struct file_head head;
	FILE *f = fopen(path, "rb");
	bool ok;

	if (f == NULL)
		return -errno;
	if (fread(&head, sizeof(head), 1, f) != 1 || head.sectors == 0 ||
	    head.sectors > 1ull << 32) {
		fclose(f);
		return -EINVAL;
	}
	model_init(m, head.seed, head.sectors);
	m->generation = (uint32_t)head.generation;
	ok = arrays_pass(m, f, fread);
	fclose(f);
	if (!ok)
		model_fini(m);
	return ok ? 0 : -EINVAL;
}

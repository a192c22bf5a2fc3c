/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/lib/backup_format.h"
#include "include/sheepfold.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "lib/base/prng.h"
#include "tests/unit/client_fake.h"

enum { MIB = 1 << 20, SIZE = 4 * MIB + 5000 };

struct stream {
	uint8_t *bytes;
	size_t len, at, fail_at;
};

struct fixture {
	struct fake fake;
	struct sf_cluster *cluster;
	struct stream full, diff;
	uint8_t *a, *b; /* what the snapshots hold */
};

static int stream_put(void *arg, const void *data, size_t len)
{
	struct stream *s = arg;

	if (s->fail_at && s->len + len > s->fail_at)
		return -EPIPE;
	s->bytes = xrealloc(s->bytes, s->len + len);
	memcpy(s->bytes + s->len, data, len);
	s->len += len;
	return 0;
}

static ssize_t stream_get(void *arg, void *data, size_t len)
{
	struct stream *s = arg;
	size_t n = MIN(MIN(len, s->len - s->at), (size_t)70000);

	if (s->fail_at && s->at >= s->fail_at)
		return -EINTR;
	memcpy(data, s->bytes + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

static int restore(struct fixture *t, const char *name, const char *tag, struct stream *s)
{
	s->at = 0;
	return sf_restore(t->cluster, name, tag, stream_get, s, NULL, NULL);
}

static void put(struct fixture *t, uint8_t *model, uint64_t offset, uint64_t len)
{
	struct sf_volume *v;
	struct prng prng;

	prng_init(&prng, offset + len);
	prng_fill(&prng, model + offset, len);
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "test", &v), 0);
	assert_int_equal(sf_write(v, model + offset, len, offset), 0);
	sf_volume_close(v);
}

static int setup(void **state)
{
	struct fixture *t = xcalloc(1, sizeof(*t));
	struct sf_options o = {.address = "127.0.0.1", .timeout_ms = 20000};
	struct sf_volume_options options = {.size_bytes = SIZE};
	struct sf_volume *v;

	fake_start(&t->fake, 2, 1);
	o.port = t->fake.nodes[0].port;
	assert_int_equal(sf_connect(&o, &t->cluster), 0);
	assert_int_equal(sf_volume_create(t->cluster, "test", &options), 0);
	t->a = xcalloc(1, SIZE);
	t->b = xcalloc(1, SIZE);
	put(t, t->a, 100, 9000);
	put(t, t->a, MIB - 10, 20);
	put(t, t->a, SIZE - 7, 7);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "A"), 0);
	memcpy(t->b, t->a, SIZE);
	put(t, t->b, 2 * MIB + 5, 3000);
	put(t, t->b, 200, 10);
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "test", &v), 0);
	assert_int_equal(sf_discard(v, MIB, MIB), 0);
	memset(t->b + MIB, 0, MIB);
	sf_volume_close(v);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "B"), 0);
	assert_int_equal(sf_backup(t->cluster, "test", "A", NULL, stream_put, &t->full, NULL, NULL),
	                 0);
	assert_int_equal(sf_backup(t->cluster, "test", "B", "A", stream_put, &t->diff, NULL, NULL),
	                 0);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *t = *state;

	sf_disconnect(t->cluster);
	fake_stop(&t->fake);
	free(t->full.bytes);
	free(t->diff.bytes);
	free(t->a);
	free(t->b);
	free(t);
	return 0;
}

static void assert_content(struct fixture *t, const char *name, const char *tag,
                           const uint8_t *model)
{
	uint8_t *back = xmalloc(SIZE);
	struct sf_volume *v;

	assert_int_equal(sf_snapshot_open(t->cluster, name, tag, &v), 0);
	assert_int_equal(sf_read(v, back, SIZE, 0), 0);
	assert_memory_equal(back, model, SIZE);
	sf_volume_close(v);
	free(back);
}

static void full_and_differential_bring_everything_back(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info info;

	/* Sparse: one object from end to end, bits of others. */
	assert_true(t->full.len < MIB + (64 << 10));
	assert_int_equal(restore(t, "copy", NULL, &t->full), 0);
	assert_content(t, "copy", NULL, t->a);
	assert_content(t, "copy", "A", t->a);
	assert_int_equal(restore(t, "copy", NULL, &t->full), -EEXIST);
	assert_int_equal(restore(t, "copy", "A", &t->diff), 0);
	assert_content(t, "copy", NULL, t->b);
	assert_content(t, "copy", "A", t->a);
	assert_content(t, "copy", "B", t->b);
	assert_int_equal(sf_volume_stat(t->cluster, "copy", &info), 0);
	assert_int_equal(info.size_bytes, SIZE);
	assert_int_equal(info.object_shift, 20);
}

static void a_differential_one_needs_its_base(void **state)
{
	struct fixture *t = *state;

	assert_int_equal(restore(t, "copy", NULL, &t->diff), -ENOENT);
	assert_int_equal(restore(t, "copy", "first", &t->full), 0);
	assert_int_equal(restore(t, "copy", NULL, &t->diff), -ENOENT); /* its tag is another here */
	assert_int_equal(sf_snapshot_create(t->cluster, "copy", "A"), 0);
	assert_int_equal(restore(t, "copy", "A", &t->diff), -EINVAL); /* not what it was based on */
	assert_content(t, "copy", NULL, t->a);
	assert_int_equal(restore(t, "copy", "first", &t->diff), 0);
	assert_content(t, "copy", NULL, t->b);
	assert_int_equal(
		sf_backup(t->cluster, "test", "A", "B", stream_put, &t->full, NULL, NULL), -EINVAL);
}

/* Nothing of it is to be seen, and nothing is left. */
static void assert_nothing(struct fixture *t, uint32_t data, uint32_t meta)
{
	struct sf_volume *v;

	assert_int_equal(sf_volume_open(t->cluster, "copy", &v), -ENOENT);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), data);
	assert_int_equal(fake_count(&t->fake, POOL_META), meta);
}

static void what_ends_too_early_is_refused_wherever_it_ends(void **state)
{
	struct fixture *t = *state;
	uint32_t data = fake_count(&t->fake, POOL_DATA), meta = fake_count(&t->fake, POOL_META);
	size_t len = t->full.len;

	for (size_t cut = 0; cut < len; cut += cut < 1200 || len - cut < 200 ? 37 : 30001) {
		t->full.len = cut;
		assert_int_equal(restore(t, "copy", NULL, &t->full), -EILSEQ);
		assert_nothing(t, data, meta);
	}
	t->full.len = len - 1;
	assert_int_equal(restore(t, "copy", NULL, &t->full), -EILSEQ);
	t->full.len = len;
	stream_put(&t->full, "x", 1);
	assert_int_equal(restore(t, "copy", NULL, &t->full), -EILSEQ);
	assert_nothing(t, data, meta);
}

static void any_flipped_bit_is_noticed(void **state)
{
	struct fixture *t = *state;
	uint32_t data = fake_count(&t->fake, POOL_DATA), meta = fake_count(&t->fake, POOL_META);
	struct prng prng;

	prng_init(&prng, 3);
	for (int i = 0; i < 100; i++) {
		size_t at = i < 30 ? prng_below(&prng, BACKUP_HEAD_LEN + 100)
		                    : prng_below(&prng, t->full.len);
		uint8_t bit = (uint8_t)(1u << prng_below(&prng, 8));
		int err;

		t->full.bytes[at] ^= bit;
		err = restore(t, "copy", NULL, &t->full);
		assert_true(err == -EILSEQ || (err == -EINVAL && at < 8));
		assert_nothing(t, data, meta);
		t->full.bytes[at] ^= bit;
	}
	assert_int_equal(restore(t, "copy", NULL, &t->full), 0);
	assert_content(t, "copy", NULL, t->a);
}

/* Record by record: the chain of checksums vouches for the order. */
static void records_cannot_be_left_out_or_moved(void **state)
{
	struct fixture *t = *state;
	struct stream s = {0};
	uint64_t first = BACKUP_RECORD_LEN;
	struct backup_record r;
	uint32_t crc;
	struct backup_head h;

	assert_int_equal(backup_head_decode(t->full.bytes, &h, &crc), 0);
	assert_int_equal(backup_record_decode(t->full.bytes + BACKUP_HEAD_LEN, &r, &crc), 0);
	first += r.length;
	stream_put(&s, t->full.bytes, BACKUP_HEAD_LEN);
	stream_put(&s, t->full.bytes + BACKUP_HEAD_LEN + first, t->full.len - BACKUP_HEAD_LEN - first);
	assert_int_equal(restore(t, "copy", NULL, &s), -EILSEQ);
	free(s.bytes);
}

static void a_failed_differential_leaves_the_volume_as_it_was(void **state)
{
	struct fixture *t = *state;
	uint32_t data, meta;

	assert_int_equal(restore(t, "copy", NULL, &t->full), 0);
	data = fake_count(&t->fake, POOL_DATA);
	meta = fake_count(&t->fake, POOL_META);
	t->diff.bytes[t->diff.len - 1] ^= 1;
	assert_int_equal(restore(t, "copy", "A", &t->diff), -EILSEQ);
	t->diff.bytes[t->diff.len - 1] ^= 1;
	t->diff.fail_at = 2000;
	assert_int_equal(restore(t, "copy", "A", &t->diff), -EINTR);
	t->diff.fail_at = 0;
	assert_content(t, "copy", NULL, t->a);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), data);
	assert_int_equal(fake_count(&t->fake, POOL_META), meta);
	assert_int_equal(restore(t, "copy", "A", &t->diff), 0);
	assert_content(t, "copy", NULL, t->b);
}

static void a_reader_that_goes_away_ends_the_backup(void **state)
{
	struct fixture *t = *state;
	struct stream s = {.fail_at = 3000};

	assert_int_equal(sf_backup(t->cluster, "test", "A", NULL, stream_put, &s, NULL, NULL),
	                 -EPIPE);
	free(s.bytes);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(full_and_differential_bring_everything_back),
		CASE(a_differential_one_needs_its_base),
		CASE(what_ends_too_early_is_refused_wherever_it_ends),
		CASE(any_flipped_bit_is_noticed),
		CASE(records_cannot_be_left_out_or_moved),
		CASE(a_failed_differential_leaves_the_volume_as_it_was),
		CASE(a_reader_that_goes_away_ends_the_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

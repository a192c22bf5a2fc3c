/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/store/record.h"
#include "tests/unit/store_fixture.h"

/* Bits flip in each kind of file. Whatever a store gives afterwards is right, or it says that it
 * cannot. */
enum { OBJECTS = 12, LEN = 100000 };

static void flip(const char *path, off_t off)
{
	uint8_t b;
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, off), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, off), 1);
	close(fd);
}

static void segment_path(struct fixture *f, uint32_t number, char path[512])
{
	snprintf(path, 512, "%s/seg-%08x.log", f->dir, number);
}

static uint64_t seed_of(uint64_t oid)
{
	return oid * 2;
}

/* Objects 1..OBJECTS, one batch each: 4 KiB of descriptor and the payload. */
static void fill(struct fixture *f)
{
	f->opt.segment_bytes = 8 << 20;
	fixture_open(f);
	for (uint64_t oid = 1; oid <= OBJECTS; oid++)
		assert_int_equal(do_prepare(f, oid, oid, 0, 0, RANGE_DATA, 0, LEN, seed_of(oid)),
		                 RES_OK);
	do_commit(f, OBJECTS);
}

static off_t batch_start(uint64_t oid)
{
	return (off_t)(oid - 1) * (4096 + (LEN + 4095) / 4096 * 4096);
}

static uint32_t intact(struct fixture *f)
{
	uint8_t *got = xmalloc(LEN);
	uint32_t good = 0;

	for (uint64_t oid = 1; oid <= OBJECTS; oid++) {
		uint32_t result = do_read(f, oid, 0, LEN, got);
		assert_true(result == RES_OK || result == RES_CORRUPT || result == RES_NOENT);
		if (result == RES_OK)
			assert_true(reads_as(f, oid, 0, LEN, seed_of(oid)));
		good += result == RES_OK;
	}
	free(got);
	return good;
}

static void a_flipped_payload_bit_is_reported_and_remembered_and_a_push_heals_it(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;
	uint8_t got[4096];
	char path[512];

	fill(f);
	segment_path(f, 1, path);
	flip(path, batch_start(3) + 4096 + 70000);
	assert_int_equal(do_read(f, 3, 66000, 4096, got), RES_CORRUPT);
	assert_int_equal(do_read(f, 3, 100, 4096, got), RES_OK); /* another block */
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
	assert_int_equal(e.flags, ENTRY_DAMAGED);
	fixture_reopen(f);
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
	assert_int_equal(e.flags, ENTRY_DAMAGED);
	assert_int_equal(do_usage(f).checksum_errors, 1);
	assert_int_equal(intact(f), OBJECTS - 1);
	struct disk_job *job = job_make(f, MSG_SHARD_PUSH, 3);
	job->req->version = 3;
	job_range(f, job, RANGE_DATA, 0, LEN, seed_of(3));
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_OK);
	job_destroy(job);
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
	assert_int_equal(e.flags, 0);
	assert_int_equal(intact(f), OBJECTS);
}

static void xor_onto_a_damaged_block_is_refused_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;
	char path[512];

	fill(f);
	segment_path(f, 1, path);
	flip(path, batch_start(3) + 4096 + 10);
	assert_int_equal(do_prepare(f, 3, 50, 3, 0, RANGE_XOR, 0, 100, 1), RES_CORRUPT);
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
	assert_int_equal(e.pending, 0);
	assert_int_equal(e.flags, ENTRY_DAMAGED);
}

static void a_damaged_descriptor_costs_a_rebuild_only_what_it_described(void **state)
{
	struct fixture *f = *state;
	char path[512];

	fill(f);
	fixture_close(f);
	segment_path(f, 1, path);
	for (int i = 0; i < 2; i++) {
		flip(path, batch_start(4) + (i ? 100 : 30)); /* its record; its header */
		fixture_drop_index(f);
		fixture_open(f);
		assert_int_equal(intact(f), OBJECTS - 1);
		assert_true(do_usage(f).checksum_errors > 0);
		fixture_close(f);
	}
}

static void a_change_onto_a_lost_one_is_marked_damaged_after_a_rebuild(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;
	uint8_t got[100];
	char path[512];

	fill(f);
	assert_int_equal(do_prepare(f, 4, 50, 4, 0, RANGE_DATA, 0, 100, 1), RES_OK);
	fixture_close(f);
	segment_path(f, 1, path);
	flip(path, batch_start(4) + 100);
	fixture_drop_index(f);
	fixture_open(f);
	assert_int_equal(do_stat(f, 4, &e), RES_OK);
	assert_int_equal(e.version, 4);
	assert_int_equal(e.pending, 50);
	assert_int_equal(e.flags, ENTRY_DAMAGED);
	assert_int_equal(do_read(f, 4, 0, 100, got), RES_CORRUPT);
}

static void damage_moves_along_with_compaction_and_is_never_made_good(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;
	uint8_t got[4096];
	char path[512];
	struct stat sb;

	f->opt.segment_bytes = 1 << 20;
	f->opt.size_bytes = 24 << 20;
	fixture_open(f);
	for (uint64_t oid = 1; oid <= OBJECTS; oid++)
		do_prepare(f, oid, oid, 0, 0, RANGE_DATA, 0, LEN, seed_of(oid));
	do_commit(f, OBJECTS);
	segment_path(f, 1, path);
	flip(path, batch_start(3) + 4096 + 10);
	/* The first segment dies but for object 3, and goes. */
	for (uint64_t oid = 1; oid <= OBJECTS; oid++)
		if (oid != 3)
			do_prepare(f, oid, 100 + oid, oid, SHARD_DELETE, 0, 0, 0, 0);
	do_commit(f, 1000);
	for (uint64_t oid = 100; oid < 110; oid++)
		do_prepare(f, oid, oid * 10, 0, 0, RANGE_DATA, 0, LEN, 1);
	fixture_idle(f, 20000);
	assert_int_not_equal(stat(path, &sb), 0);
	assert_int_equal(do_read(f, 3, 0, 4096, got), RES_CORRUPT);
	assert_int_equal(do_stat(f, 3, &e), RES_OK);
	assert_int_equal(e.flags, ENTRY_DAMAGED);
}

static void one_damaged_superblock_is_made_good_from_the_other(void **state)
{
	struct fixture *f = *state;
	char path[512], text[STORE_TEXT_LEN];

	fill(f);
	fixture_close(f);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/superblock%s", f->dir, i ? ".1" : "");
		flip(path, 40);
		fixture_open(f);
		assert_int_equal(store_identity(f->st).disk, 0x1234);
		assert_int_equal(intact(f), OBJECTS);
		fixture_close(f);
	}
	snprintf(path, sizeof(path), "%s/superblock", f->dir);
	flip(path, 40);
	snprintf(path, sizeof(path), "%s/superblock.1", f->dir);
	flip(path, 40);
	assert_int_equal(store_open(&f->opt, &f->st, text), -SF_ECORRUPT);
}

static void a_damaged_index_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	char path[512];
	struct stat sb;

	fill(f);
	fixture_close(f);
	snprintf(path, sizeof(path), "%s/index/data.mdb", f->dir);
	/* Both meta pages. */
	flip(path, 17);
	flip(path, 4096 + 17);
	fixture_open(f);
	assert_int_equal(intact(f), OBJECTS);
	fixture_close(f);
	/* Values: everything behind the first pages, one bit in each KiB of the upper halves, where
	 * LMDB keeps data. */
	assert_int_equal(stat(path, &sb), 0);
	for (off_t at = 2 * 4096; at < sb.st_size; at += 4096)
		flip(path, at + 4000);
	fixture_open(f);
	intact(f); /* whoever meets the damage says RES_IO at worst */
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(intact(f), OBJECTS);
	fixture_close(f);
	/* Cut short. */
	assert_int_equal(truncate(path, 10000), 0);
	fixture_open(f);
	assert_int_equal(intact(f), OBJECTS);
}

static void an_index_that_keeps_killing_its_reader_is_rebuilt(void **state)
{
	struct fixture *f = *state;
	struct shard_entry e;

	fill(f);
	fixture_close(f);
	for (int i = 0; i < 4; i++) {
		fixture_open(f);
		/* Pending again only after a rebuild: the commit point was never in the log. */
		assert_int_equal(do_stat(f, 3, &e), RES_OK);
		assert_int_equal(e.pending, i < 3 ? 0 : 3);
		fixture_crash(f);
	}
}

static void a_vanished_segment_is_damage_of_its_shards_only(void **state)
{
	struct fixture *f = *state;
	char path[512];

	f->opt.segment_bytes = 512 << 10;
	f->opt.size_bytes = 24 << 20;
	fixture_open(f);
	for (uint64_t oid = 1; oid <= OBJECTS; oid++)
		do_prepare(f, oid, oid, 0, 0, RANGE_DATA, 0, LEN, seed_of(oid));
	fixture_close(f);
	segment_path(f, 2, path);
	assert_int_equal(unlink(path), 0);
	fixture_open(f);
	uint32_t good = intact(f);
	assert_true(good < OBJECTS && good > OBJECTS / 2);
}

enum { FORGED_OID = 666 };

/* A block that has all that a batch of the log has which creates an object, but for what nobody outside
 * the store knows. */
static void batch_forge(uint8_t block[LOG_BLOCK], uint64_t disk)
{
	struct batch_header h = {
		.disk = disk, .segment = 1, .records = 1, .lsn = 1, .desc_len = LOG_BLOCK, .blocks = 1};
	struct record r = {.type = REC_PREPARE,
	                   .key = {.pool = 1, .pg = 1, .oid = FORGED_OID},
	                   .version = 5,
	                   .orig_lsn = 1,
	                   .first_lsn = 1};
	struct bytes_out o = bytes_out(block + BATCH_HEADER_LEN, LOG_BLOCK - BATCH_HEADER_LEN);

	memset(block, 0, LOG_BLOCK);
	record_encode(&r, 0, &o);
	h.body_len = (uint32_t)(o.p - block) - BATCH_HEADER_LEN;
	batch_header_encode(&h, block);
}

/* Whether the object is there after a client wrote such a block and its own batch was damaged. */
static bool forged_batch_counts(struct fixture *f)
{
	struct shard_entry e;
	char path[512];

	fixture_open(f);
	struct disk_job *job = job_prepare(f, 1, 1, 0);
	job_range(f, job, RANGE_DATA, 0, LOG_BLOCK, 2);
	batch_forge(job->req->payload.v[0].buf->data, f->opt.new_disk_id);
	job_run(f, job);
	assert_int_equal(job->reply->result, RES_OK);
	job_destroy(job);
	fixture_crash(f);
	fixture_drop_index(f);
	segment_path(f, 1, path);
	flip(path, BATCH_HEADER_LEN + 20);
	fixture_open(f);
	return do_stat(f, FORGED_OID, &e) == RES_OK;
}

static void what_a_client_wrote_does_not_pass_for_a_batch_of_the_log(void **state)
{
	assert_false(forged_batch_counts(*state));
}

/* As on disks made before there was a salt; it also shows that the forgery above is a good one. */
static void without_a_salt_it_would(void **state)
{
	struct fixture *f = *state;

	f->opt.new_salt = 0;
	assert_true(forged_batch_counts(f));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_flipped_payload_bit_is_reported_and_remembered_and_a_push_heals_it),
		T(xor_onto_a_damaged_block_is_refused_and_changes_nothing),
		T(a_damaged_descriptor_costs_a_rebuild_only_what_it_described),
		T(a_change_onto_a_lost_one_is_marked_damaged_after_a_rebuild),
		T(damage_moves_along_with_compaction_and_is_never_made_good),
		T(one_damaged_superblock_is_made_good_from_the_other),
		T(a_damaged_index_is_rebuilt),
		T(an_index_that_keeps_killing_its_reader_is_rebuilt),
		T(a_vanished_segment_is_damage_of_its_shards_only),
		T(what_a_client_wrote_does_not_pass_for_a_batch_of_the_log),
		T(without_a_salt_it_would),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

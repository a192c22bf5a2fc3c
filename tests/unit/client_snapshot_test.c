/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "client/lib/meta_object.h"
#include "include/sheepfold.h"
#include "lib/base/mem.h"
#include "tests/unit/client_fixture.h"

enum { MIB = 1 << 20, LEASE_MS = 1200 };

static int setup(void **state)
{
	struct fixture *t = fixture_create(LEASE_MS);

	fixture_make_volume(t, "test", 4 * MIB + 100);
	*state = t;
	return 0;
}

static void put(struct fixture *t, const char *name, uint64_t offset, const char *text)
{
	struct sf_volume *v;

	assert_int_equal(sf_volume_open_write(t->cluster, name, "test", &v), 0);
	assert_int_equal(sf_write(v, text, strlen(text), offset), 0);
	assert_int_equal(sf_volume_close(v), 0);
}

static void assert_text(struct fixture *t, const char *name, const char *tag, uint64_t offset,
                        const char *text)
{
	char back[64] = "";
	struct sf_volume *v;

	assert_int_equal(sf_snapshot_open(t->cluster, name, tag, &v), 0);
	assert_int_equal(sf_read(v, back, strlen(text), offset), 0);
	assert_memory_equal(back, text, strlen(text));
	assert_int_equal(sf_volume_close(v), 0);
}

static void assert_space(struct fixture *t, const char *name, const char *tag, uint64_t used,
                         uint64_t shared)
{
	struct sf_volume_info info;

	assert_int_equal(sf_snapshot_stat(t->cluster, name, tag, &info), 0);
	assert_int_equal(info.used_bytes / MIB, used);
	assert_int_equal(info.shared_bytes / MIB, shared);
}

static void a_snapshot_keeps_the_id_and_what_was_there(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info info, snap;
	struct sf_volume *v;

	put(t, "test", 10, "old");
	put(t, "test", 2 * MIB, "same");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_snapshot_stat(t->cluster, "test", "one", &snap), 0);
	assert_int_equal(sf_volume_stat(t->cluster, "test", &info), 0);
	assert_int_equal(snap.id, 0x7c2b25);
	assert_int_equal(snap.snapshot_id, 1);
	assert_int_equal(info.id, 0x7c2b26);
	assert_int_equal(info.parent_id, 0x7c2b25);
	assert_false(info.clone);
	assert_space(t, "test", "one", 2, 0);
	assert_space(t, "test", NULL, 0, 2);
	put(t, "test", 12, "new");
	assert_text(t, "test", NULL, 10, "olnew");
	assert_text(t, "test", "one", 10, "old\0\0");
	assert_text(t, "test", "1", 10, "old\0\0");
	assert_text(t, "test", NULL, 2 * MIB, "same");
	assert_space(t, "test", NULL, 1, 1);
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "one", &v), 0);
	assert_int_equal(sf_write(v, "x", 1, 0), -EROFS);
	sf_volume_close(v);
}

static void tags_are_unique_and_no_numbers(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;

	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), -EEXIST);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "12"), -EINVAL);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", ""), -EINVAL);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "o\ne"), -EINVAL);
	assert_int_equal(sf_snapshot_create(t->cluster, "none", "one"), -ENOENT);
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "two", &v), -ENOENT);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "two"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "3", &v), 0);
	sf_volume_close(v);
}

static void a_reader_of_a_deleted_snapshot_is_told(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *seen, *fresh;
	char back[4] = "";

	put(t, "test", 100, "old");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "two"), 0);
	put(t, "test", 100, "new");
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "one", &seen), 0);
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "one", &fresh), 0);
	assert_int_equal(sf_read(seen, back, 3, 100), 0);
	assert_string_equal(back, "old");
	assert_int_equal(sf_read(seen, back, 3, 2 * MIB), 0); /* nothing was ever there */
	assert_int_equal(back[0], 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "two"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_read(seen, back, 3, 100), -ESTALE);
	assert_int_equal(sf_read(fresh, back, 3, 100), -ESTALE); /* the map is gone, too */
	sf_volume_close(seen);
	sf_volume_close(fresh);
}

static void note(void *arg, int result)
{
	__atomic_store_n((int *)arg, result ? result : 1, __ATOMIC_RELEASE);
}

/* Or it would be undone if the client died now: the map still shows the snapshot's object. */
static void a_discard_is_done_when_the_map_shows_the_copy(void **state)
{
	struct fixture *t = *state;
	int written = 0, discarded = 0;
	struct sf_volume *v;
	char back[4] = "";

	put(t, "test", 100, "old");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_read(v, back, 3, 100), 0);
	t->fake.meta_again = true;
	sf_write_async(v, "new", 3, 8192, note, &written);
	sf_discard_async(v, 4096, 0, note, &discarded);
	/* Both have reached the object. */
	for (int i = 0; i < 1000 && back[0] != 0; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
		assert_int_equal(sf_read(v, back, 3, 100), 0);
	}
	assert_int_equal(back[0], 0);
	assert_int_equal(__atomic_load_n(&written, __ATOMIC_ACQUIRE), 0);
	assert_int_equal(__atomic_load_n(&discarded, __ATOMIC_ACQUIRE), 0);
	t->fake.meta_again = false;
	assert_int_equal(sf_flush(v), 0);
	assert_int_equal(written, 1);
	assert_int_equal(discarded, 1);
	assert_int_equal(sf_volume_close(v), 0);
}

static void ignore(void *arg, int result)
{
	(void)arg;
	assert_int_equal(result, 0);
}

static void concurrent_changes_of_one_shared_object_all_count(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;
	char data[64], back[64];

	for (int i = 0; i < 64; i++)
		data[i] = (char)('a' + i % 26);
	put(t, "test", MIB, "before");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "test", &v), 0);
	for (int i = 0; i < 64; i++)
		sf_write_async(v, data + i, 1, MIB + 1000 * (uint64_t)(i + 1),
		               ignore, NULL);
	assert_int_equal(sf_flush(v), 0);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(sf_read(v, back, 1, MIB + 1000 * (uint64_t)(i + 1)), 0);
		assert_int_equal(back[0], data[i]);
	}
	sf_volume_close(v);
	assert_text(t, "test", NULL, MIB, "before");
}

static void discarding_what_is_a_snapshots_leaves_it_there(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;

	put(t, "test", 0, "first");
	put(t, "test", MIB, "second");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "test", &v), 0);
	assert_int_equal(sf_discard(v, MIB, 0), 0);
	assert_int_equal(sf_discard(v, 3, MIB), 0);
	sf_volume_close(v);
	assert_text(t, "test", NULL, 0, "\0\0\0\0\0");
	assert_text(t, "test", NULL, MIB, "\0\0\0ond");
	assert_text(t, "test", "one", 0, "first");
	assert_text(t, "test", "one", MIB, "second");
	assert_space(t, "test", NULL, 1, 0);
}

static void a_clone_is_a_volume_of_its_own(void **state)
{
	struct fixture *t = *state;
	struct sf_volume_info info;

	put(t, "test", 0, "first");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "one", "copy", 0), 0);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "one", "copy", 0), -EEXIST);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "two", "other", 0), -ENOENT);
	assert_int_equal(sf_volume_stat(t->cluster, "copy", &info), 0);
	assert_true(info.clone);
	put(t, "copy", 2, "CLONE");
	assert_text(t, "copy", NULL, 0, "fiCLONE");
	assert_text(t, "test", NULL, 0, "first");
	assert_text(t, "test", "one", 0, "first");
	/* What the clone needs outlives the volume that it was made from. */
	put(t, "test", MIB, "second");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "two"), 0);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "two", "late", 0), 0);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "two"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_stat(t->cluster, "test", &info), -ENOENT);
	assert_text(t, "late", NULL, MIB, "second");
	assert_text(t, "late", NULL, 0, "first");
	assert_int_equal(sf_volume_delete(t->cluster, "late"), 0);
	assert_int_equal(sf_volume_delete(t->cluster, "copy"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 0);
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
}

static void a_copied_clone_shares_nothing(void **state)
{
	struct fixture *t = *state;

	put(t, "test", 0, "first");
	put(t, "test", 4 * MIB + 90, "last");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "one", "copy", SF_CLONE_COPY), 0);
	assert_space(t, "copy", NULL, 2, 0);
	assert_int_equal(sf_volume_clone(t->cluster, "test", "one", "full",
	                                 SF_CLONE_COPY | SF_CLONE_PREALLOCATE),
	                 0);
	assert_space(t, "full", NULL, 5, 0);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 7);
	assert_text(t, "copy", NULL, 4 * MIB + 90, "last");
	assert_text(t, "full", NULL, 0, "first");
}

static void a_rollback_brings_the_snapshot_back(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *v;

	put(t, "test", 0, "first");
	assert_int_equal(sf_attr_set(t->cluster, "test", "k", "v", 1, false), 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	put(t, "test", 0, "wrong");
	put(t, "test", MIB, "wrong");
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "a writer", &v), 0);
	assert_int_equal(sf_snapshot_rollback(t->cluster, "test", "one"), -EBUSY);
	sf_volume_close(v);
	assert_int_equal(sf_snapshot_rollback(t->cluster, "test", "none"), -ENOENT);
	assert_int_equal(sf_snapshot_rollback(t->cluster, "test", "one"), 0);
	assert_text(t, "test", NULL, 0, "first");
	assert_text(t, "test", NULL, MIB, "\0\0\0\0\0");
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 1);
	/* Attributes are the name's. */
	void *value;
	size_t len;
	assert_int_equal(sf_attr_get(t->cluster, "test", "k", &value, &len), 0);
	free(value);
	/* And one that has been deleted comes back. */
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(sf_snapshot_rollback(t->cluster, "test", "one"), 0);
	assert_text(t, "test", NULL, 0, "first");
}

/* Without the lock, with an old map: never zeros for what was there. */
static void a_reader_with_an_old_map_reads_what_is_there_or_is_told(void **state)
{
	struct fixture *t = *state;
	struct sf_volume *r, *v;
	char back[8] = "";

	put(t, "test", 0, "first");
	put(t, "test", MIB, "second");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_volume_open(t->cluster, "test", &r), 0);
	assert_int_equal(sf_read(r, back, 5, 0), 0);
	/* Copied, and the snapshot's object is gone. */
	put(t, "test", 0, "F");
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(sf_read(r, back, 5, 0), 0);
	assert_string_equal(back, "First");
	/* Discarded. */
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "x", &v), 0);
	assert_int_equal(sf_discard(v, MIB, MIB), 0);
	sf_volume_close(v);
	/* The whole volume was replaced. */
	assert_int_equal(sf_volume_alter_copy(t->cluster, "test", (struct sf_redundancy){1, 1}, NULL,
	                                      NULL, NULL),
	                 0);
	assert_int_equal(sf_read(r, back, 5, 0), -ESTALE);
	assert_int_equal(sf_volume_close(r), 0);
}

/* ---- Below a writer that goes on ---- */

struct writing {
	struct sf_volume *v;
	uint32_t next, done;
	volatile bool stop;
	int failed;
};

static void write_next(void *arg, int result)
{
	struct writing *w = arg;

	w->failed = w->failed ? w->failed : result;
	__atomic_fetch_add(&w->done, 1, __ATOMIC_RELEASE);
	if (w->stop || w->failed)
		return;
	w->next++;
	/* Increasing numbers, one after the other, at two places. */
	sf_write_async(w->v, &w->next, sizeof(w->next), w->next % 2 * MIB, write_next, w);
}

static void wait_writes(struct writing *w, uint32_t count)
{
	for (int i = 0; i < 1000 && __atomic_load_n(&w->done, __ATOMIC_ACQUIRE) < count; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_true(__atomic_load_n(&w->done, __ATOMIC_ACQUIRE) >= count);
}

static void a_snapshot_is_taken_below_a_writer(void **state)
{
	struct fixture *t = *state;
	struct writing w = {0};
	struct sf_volume_info before, info;
	uint32_t a, b, first;
	struct sf_volume *v;

	/* Ours looks at the lock in a tenth of a lease. */
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "a writer", &w.v), 0);
	sf_volume_get_info(w.v, &before);
	write_next(&w, 0);
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	first = __atomic_load_n(&w.done, __ATOMIC_ACQUIRE);
	wait_writes(&w, first + 20);
	w.stop = true;
	assert_int_equal(sf_flush(w.v), 0);
	assert_int_equal(w.failed, 0);
	assert_true(w.done > first);
	/* It writes to the volume that goes on. */
	sf_volume_get_info(w.v, &info);
	assert_int_not_equal(info.id, before.id);
	assert_int_equal(sf_volume_close(w.v), 0);
	/* The snapshot is of one moment: the two last numbers. */
	assert_int_equal(sf_snapshot_open(t->cluster, "test", "one", &v), 0);
	assert_int_equal(sf_read(v, &a, sizeof(a), 0), 0);
	assert_int_equal(sf_read(v, &b, sizeof(b), MIB), 0);
	assert_int_equal(a > b ? a - b : b - a, 1);
	assert_true((a > b ? a : b) <= first + 2);
	sf_volume_close(v);
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_read(v, &a, sizeof(a), w.next % 2 * MIB), 0);
	assert_int_equal(a, w.next);
	sf_volume_close(v);
}

static void a_volume_is_converted_below_a_writer(void **state)
{
	struct fixture *t = *state;
	struct writing w = {0};
	struct sf_volume_info info;
	struct sf_volume *v;
	uint32_t a;

	put(t, "test", 2 * MIB, "first");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	put(t, "test", 3 * MIB, "second");
	assert_int_equal(sf_volume_open_write(t->cluster, "test", "a writer", &w.v), 0);
	write_next(&w, 0);
	assert_int_equal(sf_volume_alter_copy(t->cluster, "test", (struct sf_redundancy){1, 1}, NULL,
	                                      NULL, NULL),
	                 0);
	wait_writes(&w, __atomic_load_n(&w.done, __ATOMIC_ACQUIRE) + 20);
	w.stop = true;
	assert_int_equal(sf_flush(w.v), 0);
	assert_int_equal(w.failed, 0);
	sf_volume_get_info(w.v, &info);
	assert_int_equal(info.redundancy.data, 1);
	assert_int_equal(sf_volume_close(w.v), 0);
	assert_text(t, "test", NULL, 2 * MIB, "first");
	assert_text(t, "test", NULL, 3 * MIB, "second");
	assert_text(t, "test", "one", 3 * MIB, "\0\0\0\0\0\0");
	assert_int_equal(sf_volume_open(t->cluster, "test", &v), 0);
	assert_int_equal(sf_read(v, &a, sizeof(a), w.next % 2 * MIB), 0);
	assert_int_equal(a, w.next);
	sf_volume_close(v);
	assert_space(t, "test", NULL, 4, 0);
	/* Nothing else is left: the snapshot's one object. */
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 1);
	assert_int_equal(sf_volume_delete(t->cluster, "test"), 0);
	assert_int_equal(sf_snapshot_delete(t->cluster, "test", "one"), 0);
	assert_int_equal(fake_count(&t->fake, POOL_DATA), 0);
	assert_int_equal(fake_count(&t->fake, info.pool), 0);
	assert_int_equal(fake_count(&t->fake, POOL_META), 0);
}

/* ---- Cut off after any number of changes ---- */

typedef int (*operation)(struct fixture *t);

static int do_snapshot(struct fixture *t)
{
	return sf_snapshot_create(t->cluster, "test", "two");
}
static int do_rollback(struct fixture *t)
{
	return sf_snapshot_rollback(t->cluster, "test", "one");
}
static int do_clone(struct fixture *t)
{
	return sf_volume_clone(t->cluster, "test", "one", "copy", 0);
}
static int do_convert(struct fixture *t)
{
	return sf_volume_alter_copy(t->cluster, "test", (struct sf_redundancy){1, 1}, NULL, NULL,
	                            NULL);
}
static int do_delete(struct fixture *t)
{
	return sf_volume_delete(t->cluster, "test");
}
static int do_delete_one(struct fixture *t)
{
	return sf_snapshot_delete(t->cluster, "test", "one");
}

static void prepare(struct fixture *t)
{
	struct sf_volume_options o = {.size_bytes = 4 * MIB};

	(void)sf_volume_create(t->cluster, "test", &o);
	put(t, "test", 0, "first");
	put(t, "test", MIB, "first");
	assert_int_equal(sf_snapshot_create(t->cluster, "test", "one"), 0);
	put(t, "test", 0, "later");
}

/* Either as it was or as it was to be: never in between, and the name always stands for a volume
 * unless that is being deleted. */
static void assert_before_or_after(struct fixture *t, operation op, bool done)
{
	struct sf_volume_info info;
	struct sf_volume *v;
	char first[6] = "";
	int err = sf_volume_open(t->cluster, "test", &v);

	if (op == do_delete) {
		assert_true(err == 0 || err == -ENOENT);
	} else {
		assert_int_equal(err, 0);
	}
	if (err == 0) {
		assert_int_equal(sf_read(v, first, 5, 0), 0);
		sf_volume_close(v);
		if (op == do_rollback && done)
			assert_string_equal(first, "first");
		else if (op != do_rollback)
			assert_string_equal(first, "later");
		else
			assert_true(!strcmp(first, "first") || !strcmp(first, "later"));
	}
	if (op != do_delete_one)
		assert_text(t, "test", "one", 0, "first");
	if (sf_volume_stat(t->cluster, "copy", &info) == 0)
		assert_text(t, "copy", NULL, 0, "first");
	else
		assert_false(op == do_clone && done);
}

static void clean(struct fixture *t)
{
	const char *tags[] = {"one", "two", "(being converted) 1", "(being converted) 2"};

	for (int i = 0; i < 4; i++) {
		int err = sf_snapshot_delete(t->cluster, "test", tags[i]);
		assert_true(err == 0 || err == -ENOENT);
	}
	(void)sf_volume_delete(t->cluster, "test");
	(void)sf_volume_delete(t->cluster, "copy");
}

/* Its process ends after so many changes, and nobody waits for its leases; whether it was done. */
static bool cut_off(struct fixture *t, operation op, uint32_t after)
{
	prepare(t);
	t->fake.cut_after = after;
	t->fake.cut = true;
	bool done = op(t) == 0 && t->fake.cut_after > 0;
	t->fake.cut = false;
	fake_drop(&t->fake, POOL_META, oid_of_name_first(OID_TYPE_LOCK),
	          oid_of_name_last(OID_TYPE_LOCK));
	return done;
}

static void cut_everywhere(struct fixture *t, operation op)
{
	bool done = false;
	size_t cleared, sum = 0;

	for (uint32_t i = 0; !done; i++) {
		done = cut_off(t, op, i / 2);
		assert_before_or_after(t, op, done);
		/* Done again, it is done, or was already; or nobody does it again. */
		if (!done && i % 2)
			(void)op(t);
		assert_int_equal(sf_leftovers_clear(t->cluster, &cleared), 0);
		assert_before_or_after(t, op, (done || i % 2) && op != do_delete && op != do_delete_one);
		sum += cleared;
		clean(t);
		assert_int_equal(fake_count(&t->fake, POOL_DATA), 0);
		assert_int_equal(fake_count(&t->fake, POOL_META), 0);
	}
	assert_true(sum);
}

static void a_snapshot_cut_off_anywhere_has_happened_or_not(void **state)
{
	cut_everywhere(*state, do_snapshot);
}
static void a_rollback_cut_off_anywhere_has_happened_or_not(void **state)
{
	cut_everywhere(*state, do_rollback);
}
static void a_conversion_cut_off_anywhere_has_happened_or_not(void **state)
{
	cut_everywhere(*state, do_convert);
}
static void a_clone_cut_off_anywhere_has_happened_or_not(void **state)
{
	cut_everywhere(*state, do_clone);
}
static void a_deletion_cut_off_anywhere_can_be_finished(void **state)
{
	cut_everywhere(*state, do_delete);
}
static void a_snapshots_deletion_cut_off_anywhere_can_be_finished(void **state)
{
	cut_everywhere(*state, do_delete_one);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_snapshot_keeps_the_id_and_what_was_there),
		CASE(tags_are_unique_and_no_numbers),
		CASE(a_reader_of_a_deleted_snapshot_is_told),
		CASE(a_discard_is_done_when_the_map_shows_the_copy),
		CASE(concurrent_changes_of_one_shared_object_all_count),
		CASE(discarding_what_is_a_snapshots_leaves_it_there),
		CASE(a_clone_is_a_volume_of_its_own),
		CASE(a_copied_clone_shares_nothing),
		CASE(a_rollback_brings_the_snapshot_back),
		CASE(a_reader_with_an_old_map_reads_what_is_there_or_is_told),
		CASE(a_snapshot_is_taken_below_a_writer),
		CASE(a_snapshot_cut_off_anywhere_has_happened_or_not),
		CASE(a_rollback_cut_off_anywhere_has_happened_or_not),
		CASE(a_volume_is_converted_below_a_writer),
		CASE(a_conversion_cut_off_anywhere_has_happened_or_not),
		CASE(a_clone_cut_off_anywhere_has_happened_or_not),
		CASE(a_deletion_cut_off_anywhere_can_be_finished),
		CASE(a_snapshots_deletion_cut_off_anywhere_can_be_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

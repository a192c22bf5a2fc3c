/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/store/state.h"
#include "tests/unit/store_powercut.h"
#include "tests/unit/store_world.h"

/*
 * One life of a disk, from its format to its wipe, in phases. A first run counts the calls to the
 * file system, those of the index's LMDB included. Then the same life is lived once for each call
 * and each fault: the call fails, or the power goes at it. Afterwards the disk comes up again and
 * holds every job that was answered, of the others nothing or the whole, and goes on working.
 *
 * STORE_FIRE_LONG=1: a longer life, and every call with every fault; SF_QUICK=1: of each kind of
 * call in each phase a few.
 */
enum fault {
	CUT_LOSE, CUT_RANDOM, CUT_PREFIX, CUT_KEEP, FAIL_EIO, FAIL_ENOSPC, FAIL_SHORT, FAULTS,
};
static const char *const fault_names[FAULTS] = {
	"cut, all unsynced lost", "cut, any of it lost", "cut, in order", "cut, nothing lost",
	"EIO", "ENOSPC", "short",
};

enum { KINDS_MAX = 200, CALLS_MAX = 60000, CLUSTER = 5, OTHER_CLUSTER = 6, REPORTS = 10 };

struct kind {
	const char *phase, *call;
	uint32_t seen;
	uint32_t hit[FAULTS], refused[FAULTS];
};

struct fire {
	struct world w; /* its model: without the batch under way */
	struct powercut pc;
	const char *phase;
	char disk[300], park[300];
	struct disk_job *twins[WORLD_JOBS]; /* of the batch under way */
	bool answered[WORLD_JOBS];
	uint32_t jobs;
	bool wiping;
	uint32_t differs; /* answers that the model does not give */

	struct kind kinds[KINDS_MAX];
	uint32_t kind_count;
	uint16_t calls[CALLS_MAX]; /* the kind of each call of the first run */
	uint32_t call_count;
	bool counting;
	uint32_t runs, wrong, scale;
};

static void on_call(void *arg, const char *call)
{
	struct fire *t = arg;
	uint32_t i = 0;

	if (!t->counting)
		return;
	while (i < t->kind_count &&
	       (strcmp(t->kinds[i].call, call) || strcmp(t->kinds[i].phase, t->phase)))
		i++;
	assert_true(i < KINDS_MAX && t->call_count < CALLS_MAX);
	if (i == t->kind_count)
		t->kinds[t->kind_count++] = (struct kind){.phase = t->phase, .call = call};
	t->kinds[i].seen++;
	t->calls[t->call_count++] = (uint16_t)i;
}

static bool in_trouble(const struct fire *t)
{
	return t->pc.off || t->jobs || (t->w.f->st && store_failed(t->w.f->st));
}

static void batch_forget(struct fire *t)
{
	for (uint32_t i = 0; i < t->jobs; i++)
		job_destroy(t->twins[i]);
	t->jobs = 0;
}

/* As a sound disk answers, or one that was not asked. */
static bool went_well(const struct fire *t, struct disk_job **jobs)
{
	for (uint32_t i = 0; i < t->jobs; i++) {
		uint32_t result = jobs[i]->reply->result;
		if (result == RES_IO || result == RES_NOSPACE || result == RES_CORRUPT)
			return false;
	}
	return !t->pc.off && !store_failed(t->w.f->st);
}

/* A batch that was not answered as a sound disk would stays under way. */
static void run_jobs(struct fire *t, struct disk_job **jobs, uint32_t count)
{
	struct world *w = &t->w;
	struct list list;

	list_init(&list);
	t->jobs = count;
	for (uint32_t i = 0; i < count; i++) {
		t->twins[i] = world_job_twin(jobs[i]);
		list_push(&list, &jobs[i]->link);
	}
	store_execute(w->f->st, &list);
	bool fine = went_well(t, jobs);
	for (uint32_t i = 0; i < count; i++) {
		list_remove(&jobs[i]->link);
		t->answered[i] = jobs[i]->reply->result == RES_OK;
		if (fine)
			model_execute(w->m, t->twins[i]);
		t->differs += fine && jobs[i]->reply->result != t->twins[i]->reply->result;
		job_destroy(jobs[i]);
	}
	if (fine)
		batch_forget(t);
}

static void run_batch(struct fire *t, uint32_t count)
{
	struct disk_job *jobs[WORLD_JOBS];

	if (in_trouble(t))
		return;
	for (uint32_t i = 0; i < count; i++)
		jobs[i] = world_job(&t->w);
	run_jobs(t, jobs, count);
}

/* Commit points need not survive: after a restart the disk is told them again. */
static void tell_commits(struct fire *t)
{
	struct disk_job *jobs[WORLD_PGS];

	for (uint32_t pg = 0; pg < WORLD_PGS; pg++) {
		jobs[pg] = job_make(t->w.f, MSG_PG_COMMIT, 0);
		jobs[pg]->req->pg = pg;
		jobs[pg]->req->commit = t->w.commit[pg];
	}
	run_jobs(t, jobs, WORLD_PGS);
}

static void run_batches(struct fire *t, const char *phase, uint32_t count)
{
	t->phase = phase;
	for (uint32_t i = 0; i < count * t->scale; i++)
		run_batch(t, 1 + i % 3);
}

/* False: it could not be opened. */
static bool come_up(struct fire *t, const char *phase)
{
	struct fixture *f = t->w.f;
	char text[STORE_TEXT_LEN] = "";

	t->phase = phase;
	f->opt.path = t->disk;
	return !store_open(&f->opt, &f->st, text);
}

static bool come_back(struct fire *t, const char *phase)
{
	if (!come_up(t, phase))
		return false;
	tell_commits(t);
	return true;
}

static void go_down(struct fire *t)
{
	store_abandon(t->w.f->st);
	t->w.f->st = NULL;
}

static void checkpoint(struct fire *t)
{
	t->phase = "index transaction";
	if (!in_trouble(t))
		store_checkpoint(t->w.f->st);
}

static void compact(struct fire *t)
{
	struct fixture *f = t->w.f;
	uint32_t wait;

	t->phase = "idle";
	for (uint32_t i = 0; i < 4 && !in_trouble(t); i++)
		store_idle(f->st, f->now_ms += 2000, &wait);
	t->phase = "compaction";
	/* Small segments that are full of descriptors are always worth it: no end to that. */
	for (uint32_t i = 0; i < 12 * t->scale && !in_trouble(t); i++)
		if (!store_compact_slice(f->st, f->now_ms += 20000, true))
			break;
}

static void damage_superblock(struct fire *t)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/superblock", t->disk);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	fputs("rot", file);
	fclose(file);
}

static void drop_index(struct fire *t)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/index", t->disk);
	powercut_watch_index(NULL);
	remove_tree(path);
	powercut_watch_index(&t->pc);
}

static void wipe(struct fire *t)
{
	if (in_trouble(t))
		return;
	t->phase = "wipe";
	t->wiping = true;
	if (store_adopt(t->w.f->st, OTHER_CLUSTER))
		return;
	t->wiping = false;
	model_destroy(t->w.m);
	t->w.m = model_create();
}

/* One life; it ends where something goes wrong. */
static void live(struct fire *t)
{
	if (!come_up(t, "format"))
		return;
	t->phase = "adopt";
	if (store_adopt(t->w.f->st, CLUSTER))
		return;
	run_batches(t, "write", 6);
	checkpoint(t);
	run_batches(t, "write", 14);
	compact(t);
	run_batches(t, "write", 4);
	if (in_trouble(t))
		return;
	go_down(t);
	if (!come_back(t, "replay"))
		return;
	run_batches(t, "write", 3);
	if (in_trouble(t))
		return;
	t->phase = "close";
	store_close(t->w.f->st);
	t->w.f->st = NULL;
	if (t->pc.off)
		return;
	damage_superblock(t);
	if (!come_back(t, "superblock repair"))
		return;
	run_batches(t, "write", 3);
	if (in_trouble(t))
		return;
	go_down(t);
	drop_index(t);
	if (!come_back(t, "index rebuild"))
		return;
	run_batches(t, "write", 3);
	wipe(t);
	run_batches(t, "write", 2);
}

static bool holds_now(struct fire *t)
{
	struct world *w = &t->w;
	struct model *before = w->m;

	w->m = model_clone(before);
	world_tell_commits(w);
	bool same = world_all_same(w);
	model_destroy(same ? before : w->m);
	if (!same)
		w->m = before;
	return same;
}

/* What was answered of the batch under way, and of the rest the first ones, each whole. */
static bool holds_what_was_answered(struct fire *t)
{
	struct model *before = t->w.m;

	for (uint32_t n = 0; n <= t->jobs; n++) {
		t->w.m = model_clone(before);
		for (uint32_t i = 0; i < t->jobs; i++)
			if (i < n || t->answered[i])
				model_execute(t->w.m, t->twins[i]);
		bool same = holds_now(t);
		model_destroy(same ? before : t->w.m);
		if (same)
			return true;
		t->w.m = before;
	}
	return false;
}

static bool wrong(struct fire *t, uint32_t call, enum fault fault, const char *what)
{
	const struct kind *k = &t->kinds[t->calls[call]];

	if (t->wrong++ < REPORTS)
		print_message("# call %u, %s in %s, %s: %s\n", call + 1, k->call, k->phase,
		              fault_names[fault], what);
	return false;
}

/* The wipe that was under way has happened, or not begun. */
static void settle_wipe(struct fire *t)
{
	if (!t->wiping)
		return;
	if (store_identity(t->w.f->st).cluster == OTHER_CLUSTER) {
		model_destroy(t->w.m);
		t->w.m = model_create();
	}
	t->wiping = false;
}

static bool works_again(struct fire *t)
{
	char text[STORE_TEXT_LEN] = "";

	t->w.f->opt.path = t->disk;
	if (store_open(&t->w.f->opt, &t->w.f->st, text)) {
		print_message("# %s\n", text);
		return false;
	}
	return true;
}

static void power_on(struct fire *t)
{
	powercut_watch_index(NULL);
	powercut_restore(&t->pc);
	powercut_watch_index(&t->pc);
}

static bool comes_through(struct fire *t, uint32_t call, enum fault fault)
{
	struct fixture *f = t->w.f;

	/* A read that failed or was short may have cost a shard: the disk says so, and the other
	 * slots rebuild it. */
	bool read_failed = fault == FAIL_EIO || fault == FAIL_SHORT;
	if (read_failed && f->st && !t->pc.off && !store_failed(f->st) &&
	    do_usage(f).checksum_errors)
		return true;
	/* Still in use after a fault: what is read must be right even now. */
	if (f->st && !t->pc.off && !store_failed(f->st) && !t->wiping &&
	    !holds_what_was_answered(t))
		return wrong(t, call, fault, "the running store holds something else");
	go_down(t);
	power_on(t);
	/* Half of them fall again while they come up. */
	if (call % 2) {
		t->pc.cut_at = 1 + prng_below(&t->pc.p, 40);
		if (!store_open(&f->opt, &f->st, NULL))
			go_down(t);
		power_on(t);
	}
	if (!works_again(t))
		return wrong(t, call, fault, "cannot be opened again");
	settle_wipe(t);
	if (!holds_what_was_answered(t))
		return wrong(t, call, fault, "holds something else");
	batch_forget(t);
	for (uint32_t i = 0; i < 3; i++)
		run_batch(t, 3);
	fixture_idle(f, 12000);
	if (t->differs)
		return wrong(t, call, fault, "was answered otherwise");
	if (in_trouble(t) || !holds_now(t))
		return wrong(t, call, fault, "does not work any more");
	return true;
}

static void begin(struct fire *t, uint64_t seed)
{
	struct fixture *f = t->w.f;

	snprintf(t->disk, sizeof(t->disk), "%s/disk", f->dir);
	snprintf(t->park, sizeof(t->park), "%s/park", f->dir);
	assert_int_equal(mkdir(t->park, 0755), 0);
	powercut_init(&t->pc, t->park, seed);
	t->pc.seen = on_call;
	t->pc.seen_arg = t;
	t->w.m = model_create();
	prng_init(&t->w.p, 3);
	memset(t->w.version, 0, sizeof(t->w.version));
	memset(t->w.commit, 0, sizeof(t->w.commit));
	f->now_ms = 1000;
	t->jobs = 0;
	t->wiping = false;
	t->differs = 0;
	t->w.region = t->scale > 1 ? 0 : 40000;
	f->opt.fs = &t->pc.ops;
	f->opt.nosync = f->opt.index_nosync = false;
	f->opt.size_bytes = 24 << 20;
	f->opt.segment_bytes = t->scale > 1 ? 256 << 10 : 128 << 10;
	powercut_watch_index(&t->pc);
}

static void end(struct fire *t)
{
	go_down(t);
	powercut_watch_index(NULL);
	batch_forget(t);
	model_destroy(t->w.m);
	powercut_fini(&t->pc);
	remove_tree(t->disk);
	remove_tree(t->park);
}

static void one_run(struct fire *t, uint32_t call, enum fault fault)
{
	static const enum powercut_policy policy[] = {POWERCUT_LOSE_ALL, POWERCUT_RANDOM,
	                                              POWERCUT_PREFIX, POWERCUT_KEEP_ALL};
	static const int errs[] = {-EIO, -ENOSPC, POWERCUT_SHORT};
	struct kind *k = &t->kinds[t->calls[call]];

	begin(t, call + 1);
	if (fault < FAIL_EIO) {
		t->pc.policy = policy[fault];
		t->pc.cut_at = call + 1;
	} else {
		t->pc.policy = call % 2 ? POWERCUT_LOSE_ALL : POWERCUT_RANDOM;
		t->pc.fail_at = call + 1;
		t->pc.fail_err = errs[fault - FAIL_EIO];
	}
	live(t);
	t->runs++;
	k->hit[fault] += t->pc.hit;
	t->pc.fail_at = 0;
	comes_through(t, call, fault);
	end(t);
}

static bool can_be_short(const char *call)
{
	return strstr(call, "pread") || strstr(call, "pwritev") || strstr(call, "index pages") ||
	       strstr(call, "index meta");
}

/* How many of each kind in each phase are tried with this fault. */
static uint32_t tried_of(enum fault fault, bool quick)
{
	if (getenv("STORE_FIRE_LONG"))
		return UINT32_MAX;
	if (quick)
		return fault == CUT_LOSE ? 2 : 1;
	return fault == CUT_LOSE || fault == FAIL_EIO ? 18 : 5;
}

static void all_runs(struct fire *t)
{
	bool quick = getenv("SF_QUICK") != NULL;

	for (enum fault fault = 0; fault < FAULTS; fault++) {
		uint32_t n[KINDS_MAX] = {0}, tried = tried_of(fault, quick);
		for (uint32_t c = 0; c < t->call_count; c++) {
			struct kind *k = &t->kinds[t->calls[c]];
			uint32_t i = n[t->calls[c]]++, step = MAX(1u, k->seen / tried);
			if ((i + fault) % step == step - 1 || k->seen <= tried)
				if (fault != FAIL_SHORT || can_be_short(k->call))
					one_run(t, c, fault);
		}
	}
}

static bool table_print(const struct fire *t)
{
	bool complete = true;

	for (uint32_t i = 0; i < t->kind_count; i++) {
		const struct kind *k = &t->kinds[i];
		uint32_t cut = 0;
		for (enum fault f = 0; f < FAIL_EIO; f++)
			cut += k->hit[f];
		print_message("# %-18s %-16s calls %4u  cut %4u  EIO %4u  ENOSPC %4u  short %4u\n",
		              k->phase, k->call, k->seen, cut, k->hit[FAIL_EIO],
		              k->hit[FAIL_ENOSPC], k->hit[FAIL_SHORT]);
		complete = complete && cut && k->hit[FAIL_EIO] && k->hit[FAIL_ENOSPC] &&
		           (k->hit[FAIL_SHORT] || !can_be_short(k->call));
	}
	return complete;
}

static const struct {
	const char *phase, *call;
} required[] = {
	{"format", "mkdir"}, {"format", "pwritev"}, {"format", "fsync"}, {"format", "rename"},
	{"adopt", "rename"}, {"write", "open"}, {"write", "pwritev"}, {"write", "fdatasync"},
	{"write", "fsync"}, {"write", "pread"}, {"write", "fallocate"},
	{"index transaction", "index pages"}, {"index transaction", "index fdatasync"},
	{"index transaction", "index meta"}, {"compaction", "pread"}, {"compaction", "pwritev"},
	{"compaction", "fdatasync"}, {"compaction", "index meta"}, {"compaction", "rename"},
	{"compaction", "fsync"}, {"compaction", "open"}, {"close", "index meta"},
	{"replay", "pread"}, {"replay", "unlink"}, {"replay", "index pread"},
	{"superblock repair", "rename"}, {"index rebuild", "index meta"},
	{"index rebuild", "pread"}, {"wipe", "unlink"}, {"wipe", "index unlink"},
	{"wipe", "index meta"}, {"wipe", "rename"},
};

static bool all_phases_seen(const struct fire *t)
{
	bool all = true;

	for (size_t r = 0; r < ARRAY_LEN(required); r++) {
		bool found = false;
		for (uint32_t i = 0; i < t->kind_count && !found; i++)
			found = !strcmp(t->kinds[i].phase, required[r].phase) &&
			        !strcmp(t->kinds[i].call, required[r].call);
		if (!found)
			print_message("# no %s in %s\n", required[r].call, required[r].phase);
		all = all && found;
	}
	return all;
}

static void whichever_call_fails_or_is_the_last_nothing_answered_is_lost(void **state)
{
	struct fire *t = xcalloc(1, sizeof(*t)); /* outlives a failing test */
	const char *call = getenv("STORE_FIRE_CALL"), *fault = getenv("STORE_FIRE_FAULT");

	t->w.f = *state;
	t->scale = getenv("STORE_FIRE_LONG") ? 4 : 1;
	begin(t, 1);
	t->counting = true;
	live(t);
	t->counting = false;
	assert_false(in_trouble(t));
	assert_true(holds_now(t));
	end(t);
	if (call && fault) {
		one_run(t, (uint32_t)atoi(call) - 1, (enum fault)atoi(fault));
		assert_int_equal(t->wrong, 0);
		free(t);
		return;
	}
	all_runs(t);
	bool complete = table_print(t);
	print_message("# %u calls, %u lives\n", t->call_count, t->runs);
	assert_int_equal(t->wrong, 0);
	assert_true(all_phases_seen(t));
	assert_true(complete);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			whichever_call_fails_or_is_the_last_nothing_answered_is_lost, fixture_setup,
			fixture_teardown),
	};
	if (!getenv("TMPDIR") && !access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

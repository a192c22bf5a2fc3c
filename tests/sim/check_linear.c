/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

/*
 * The search: walk the history's calls and returns in order of time. A call that the state allows
 * is taken as the next operation, if that (set of operations done, state) was not tried before,
 * and the walk starts over without it; at a return of an operation not yet taken nothing more can
 * be taken before it: the last choice is undone.
 */
enum { STEPS_MAX = 3000000 };

struct object_state {
	bool exists;
	bool vague; /* its version is not known: a change without an answer made it */
	uint64_t version;
	uint64_t cell[MAX_CELLS];
};

/* A call or a return in the walk. */
struct node_entry {
	struct node_entry *prev, *next;
	struct node_entry *answer; /* of a call; NULL for a return or an open operation */
	const struct op_record *op;
	uint64_t moment;
	uint32_t number;
};

struct choice {
	struct node_entry *call;
	struct object_state before;
};

struct search {
	uint32_t cell_count;
	uint32_t op_count, entry_count;
	struct node_entry *entries;
	struct node_entry head;
	uint64_t *done; /* bit set of operations taken */
	struct object_state state;
	uint32_t depth, deepest;
	struct choice *choices;
	const struct op_record *stuck; /* at the deepest point */
	uint64_t *tried;               /* hashes, open addressing; 0 is free */
	uint32_t tried_count, tried_mask;
	uint64_t steps;
};

static void state_change(struct object_state *s, const struct op_record *op)
{
	s->version = op->version;
	s->vague = op->version == 0;
}

/* A read says what the version is, unless it is known: then it must be that. */
static bool state_read(struct object_state *s, const struct op_record *op)
{
	for (uint32_t i = 0; i < op->count; i++)
		if (s->cell[op->first + i] != op->seen[i])
			return false;
	if (op->absent || !op->found || !s->exists)
		return op->absent != s->exists;
	if (!s->vague && s->version != op->found)
		return false;
	s->version = op->found;
	s->vague = false;
	return true;
}

static bool state_swap(struct object_state *s, const struct op_record *op)
{
	bool vague = s->exists && s->vague;
	bool holds = op->expect == (s->exists ? s->version : 0);

	if (op->refused || (op->ended == OP_OPEN && !holds && !vague))
		return !holds || vague;
	if (!holds && !vague)
		return false;
	s->exists = true;
	for (uint32_t i = 0; i < op->count; i++)
		s->cell[op->first + i] = op->stamp;
	state_change(s, op);
	return true;
}

static bool state_apply(struct object_state *s, const struct op_record *op)
{
	bool open = op->ended == OP_OPEN;

	if (op->failed)
		return true;
	switch (op->type) {
	case OP_READ:
		return open || state_read(s, op);
	case OP_STAT:
		return open || op->absent != s->exists;
	case OP_CHECK:
	case OP_LIST:
		return true;
	case OP_CREATE:
		if (op->refused || s->exists)
			return open || (op->refused && s->exists);
		/* fall through */
	case OP_WRITE:
		s->exists = true;
		for (uint32_t i = 0; i < op->count; i++)
			s->cell[op->first + i] = op->stamp;
		state_change(s, op);
		return true;
	case OP_SWAP:
		return state_swap(s, op);
	case OP_ZERO:
		if (s->exists)
			state_change(s, op);
		for (uint32_t i = 0; i < op->count; i++)
			s->cell[op->first + i] = 0;
		return true;
	case OP_DELETE:
		memset(s, 0, sizeof(*s));
		return true;
	}
	return false;
}

/* ZERO of all cells deletes: the same to a reader of bytes, but not of existence. */
static bool op_is_delete(const struct search *f, const struct op_record *op)
{
	return op->type == OP_ZERO && op->count == f->cell_count && !op->failed;
}

static uint64_t state_hash(const struct search *f)
{
	uint64_t h = hash64(f->state.exists + 2 * f->state.vague + 1000);

	h = hash64(h + hash64(f->state.version));

	for (uint32_t i = 0; i < f->cell_count; i++)
		h = hash64(h + hash64(f->state.cell[i] + i));
	for (uint32_t i = 0; i < (f->op_count + 63) / 64; i++)
		h = hash64(h + hash64(f->done[i]));
	return h | 1;
}

static void tried_grow(struct search *f)
{
	uint64_t *old = f->tried;
	uint32_t old_size = old ? f->tried_mask + 1 : 0, size = old_size ? old_size * 2 : 1024;

	f->tried = xcalloc(size, sizeof(*f->tried));
	f->tried_mask = size - 1;
	for (uint32_t i = 0; i < old_size; i++) {
		uint32_t at = old[i] & f->tried_mask;
		if (!old[i])
			continue;
		while (f->tried[at])
			at = (at + 1) & f->tried_mask;
		f->tried[at] = old[i];
	}
	free(old);
}

/* Remembers the configuration; false when it was there before. */
static bool tried_add(struct search *f, uint64_t hash)
{
	uint32_t at;

	if (!f->tried || f->tried_count * 2 > f->tried_mask)
		tried_grow(f);
	for (at = hash & f->tried_mask; f->tried[at]; at = (at + 1) & f->tried_mask)
		if (f->tried[at] == hash)
			return false;
	f->tried[at] = hash;
	f->tried_count++;
	return true;
}

static void entry_unlink(struct node_entry *e)
{
	e->prev->next = e->next;
	if (e->next)
		e->next->prev = e->prev;
}

static void entry_relink(struct node_entry *e)
{
	e->prev->next = e;
	if (e->next)
		e->next->prev = e;
}

static bool choice_make(struct search *f, struct node_entry *call)
{
	struct object_state before = f->state;
	bool ok = state_apply(&f->state, call->op);

	if (ok && op_is_delete(f, call->op))
		f->state.exists = false;
	f->done[call->number / 64] |= 1ull << (call->number % 64);
	if (!ok || !tried_add(f, state_hash(f))) {
		f->done[call->number / 64] &= ~(1ull << (call->number % 64));
		f->state = before;
		return false;
	}
	f->choices[f->depth++] = (struct choice){call, before};
	entry_unlink(call);
	if (call->answer)
		entry_unlink(call->answer);
	return true;
}

static struct node_entry *choice_undo(struct search *f)
{
	struct choice *c = &f->choices[--f->depth];

	f->state = c->before;
	f->done[c->call->number / 64] &= ~(1ull << (c->call->number % 64));
	if (c->call->answer)
		entry_relink(c->call->answer);
	entry_relink(c->call);
	return c->call->next;
}

static int search_run(struct search *f)
{
	struct node_entry *e = f->head.next;

	while (e) {
		if (++f->steps > STEPS_MAX)
			return 1;
		if (e->number != UINT32_MAX) {
			e = choice_make(f, e) ? f->head.next : e->next;
			continue;
		}
		if (f->depth >= f->deepest) {
			f->deepest = f->depth;
			f->stuck = e->op;
		}
		if (f->depth == 0)
			return -1;
		e = choice_undo(f);
	}
	return 0; /* only operations without an answer are left, if any */
}

static int entry_compare(const void *a, const void *b)
{
	const struct node_entry *x = a, *y = b;

	return x->moment < y->moment ? -1 : x->moment > y->moment;
}

static void search_init(struct search *f, const struct history *h, uint32_t object)
{
	f->entries = xcalloc(2 * h->count + 1, sizeof(*f->entries));
	for (uint32_t i = 0; i < h->count; i++) {
		const struct op_record *op = &h->v[i];

		if (op->object != object)
			continue;
		f->entries[f->entry_count++] =
			(struct node_entry){.op = op, .moment = op->began, .number = f->op_count++};
		if (op->ended != OP_OPEN)
			f->entries[f->entry_count++] = (struct node_entry){
				.op = op, .moment = op->ended, .number = UINT32_MAX};
	}
	qsort(f->entries, f->entry_count, sizeof(*f->entries), entry_compare);
	f->done = xcalloc(f->op_count / 64 + 1, sizeof(*f->done));
	f->choices = xcalloc(f->op_count + 1, sizeof(*f->choices));
	for (uint32_t i = 0; i < f->entry_count; i++) {
		struct node_entry *e = &f->entries[i];

		e->prev = i ? e - 1 : &f->head;
		e->next = i + 1 < f->entry_count ? e + 1 : NULL;
		for (uint32_t j = i + 1; e->number != UINT32_MAX && j < f->entry_count; j++)
			if (f->entries[j].op == e->op)
				e->answer = &f->entries[j];
	}
	f->head.next = f->entry_count ? f->entries : NULL;
}

int check_linear(const struct history *h, uint32_t object, uint32_t cell_count,
                 char why[CHECK_WHY_LEN])
{
	struct search f = {.cell_count = cell_count};
	int result;

	assert(cell_count <= MAX_CELLS);
	search_init(&f, h, object);
	result = search_run(&f);
	if (result < 0) {
		char text[OP_TEXT_LEN];

		op_record_text(f.stuck, text);
		snprintf(why, CHECK_WHY_LEN, "not linearizable: no order explains %.400s", text);
	}
	free(f.entries);
	free(f.done);
	free(f.choices);
	free(f.tried);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/lib_host.h"

#include <assert.h>
#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#include "client/lib/error.h"
#include "lib/base/mem.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

enum { STACK_BYTES = 256 << 10 };

struct routine {
	struct list link;
	struct host *host;
	ucontext_t context;
	uint8_t *stack;
	void *(*main)(void *arg);
	void *arg;
	const pthread_cond_t *waits; /* for this */
	bool over;
	struct routine *joiner;
	/* What is a thread's own in the library. */
	char error[ERROR_TEXT_LEN];
	const struct fence *fence;
};

struct timer {
	struct list link;
	ev_timer *ev;
	uint64_t turn; /* what was set for another is void */
};

struct host {
	struct list link;
	struct world *w;
	uint32_t client;
	bool dead;
	struct list routines, timers;
	struct lib_net *net;
	void (*main)(void *arg);
	void *arg;
};

/* The library's calls name no world. */
static struct world *world;
static struct list hosts;
static struct routine *running; /* NULL: the I/O thread, or nothing of the library */
static struct host *current;    /* whose I/O thread or thread it is */
static ucontext_t outside;
static uint64_t turns;

struct world *host_world(const struct host *h)
{
	return h->w;
}
uint32_t host_client(const struct host *h)
{
	return h->client;
}
bool host_is_alive(const struct host *h)
{
	return !h->dead;
}
struct lib_net *host_net(const struct host *h)
{
	return h->net;
}
bool lib_is_thread(void)
{
	return running != NULL;
}

/* ---- Threads ---- */

static void routine_leave(void)
{
	struct routine *r = running;

	snprintf(r->error, sizeof(r->error), "%s", sf_error());
	r->fence = fence_of_thread();
	swapcontext(&r->context, &outside);
}

/* What a process that is killed had allocated is lost with it. (Its leaks are other tests' matter.) */
static void leaks_ignore(bool yes)
{
#ifdef __SANITIZE_ADDRESS__
	yes ? __lsan_disable() : __lsan_enable();
#endif
	(void)yes;
}

static void routine_enter(struct world *w, void *arg)
{
	struct routine *r = arg;
	struct host *before = current;

	if (r->host->dead || r->over)
		return;
	assert(!running);
	world_note(w, 77, r->host->client, r->over);
	error_set(0, "%s", r->error);
	fence_set_thread(r->fence);
	running = r;
	current = r->host;
	leaks_ignore(true);
	swapcontext(&outside, &r->context);
	leaks_ignore(false);
	running = NULL;
	current = before;
	fence_set_thread(NULL);
	error_clear();
}

static void routine_main(void)
{
	struct routine *r = running;

	r->main(r->arg);
	r->over = true;
	if (r->joiner)
		world_after(world, 0, routine_enter, r->joiner, NULL);
	routine_leave();
	abort();
}

static struct routine *routine_create(struct host *h, void *(*main)(void *), void *arg)
{
	struct routine *r = xcalloc(1, sizeof(*r));

	r->host = h;
	r->main = main;
	r->arg = arg;
	r->stack = xmalloc(STACK_BYTES);
	getcontext(&r->context);
	r->context.uc_stack.ss_sp = r->stack;
	r->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&r->context, routine_main, 0);
	list_push(&h->routines, &r->link);
	world_after(h->w, 0, routine_enter, r, NULL);
	return r;
}

void lib_sleep_us(uint64_t us)
{
	assert(running);
	world_after(world, us, routine_enter, running, NULL);
	routine_leave();
}

/* ---- What the library calls (ld --wrap) ---- */

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_signal(pthread_cond_t *cond);
int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *), void *arg);
int __real_pthread_join(pthread_t id, void **ret);
int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __real_nanosleep(const struct timespec *ts, struct timespec *left);
time_t __real_time(time_t *ret);

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *), void *arg);
int __wrap_pthread_join(pthread_t id, void **ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_nanosleep(const struct timespec *ts, struct timespec *left);
time_t __wrap_time(time_t *ret);
void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *ev);
void __wrap_ev_timer_stop(struct ev_loop *loop, ev_timer *ev);

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!world)
		return __real_pthread_cond_wait(cond, mutex);
	assert(running);
	running->waits = cond;
	pthread_mutex_unlock(mutex);
	routine_leave();
	pthread_mutex_lock(mutex);
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	if (!world)
		return __real_pthread_cond_signal(cond);
	list_each (it, &current->routines) {
		struct routine *r = list_item(it, struct routine, link);

		if (r->waits != cond || r->over)
			continue;
		r->waits = NULL;
		world_after(world, 0, routine_enter, r, NULL);
	}
	return 0;
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*main)(void *), void *arg)
{
	if (!world)
		return __real_pthread_create(id, attr, main, arg);
	*id = (pthread_t)(uintptr_t)routine_create(current, main, arg);
	return 0;
}

int __wrap_pthread_join(pthread_t id, void **ret)
{
	struct routine *r = (struct routine *)(uintptr_t)id;

	if (!world)
		return __real_pthread_join(id, ret);
	while (!r->over) {
		assert(running);
		r->joiner = running;
		routine_leave();
	}
	return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	if (!world)
		return __real_clock_gettime(id, ts);
	ts->tv_sec = (time_t)(1000 + world->now_us / SIM_SECOND);
	ts->tv_nsec = (long)(world->now_us % SIM_SECOND * 1000);
	return 0;
}

int __wrap_nanosleep(const struct timespec *ts, struct timespec *left)
{
	if (!world)
		return __real_nanosleep(ts, left);
	lib_sleep_us((uint64_t)ts->tv_sec * SIM_SECOND + (uint64_t)ts->tv_nsec / 1000);
	return 0;
}

time_t __wrap_time(time_t *ret)
{
	return world ? (time_t)(SIM_WALL_START + world->now_us / SIM_SECOND) : __real_time(ret);
}

/* ---- Timers ---- */

struct firing {
	struct host *host;
	uint64_t turn;
};

static void timer_set(struct host *h, struct timer *t);

static void timer_fire(struct host *h, void *arg)
{
	const struct firing *f = arg;

	list_each (it, &h->timers) {
		struct timer *t = list_item(it, struct timer, link);

		if (t->turn != f->turn)
			continue;
		timer_set(h, t);
		t->ev->cb(NULL, t->ev, EV_TIMER); /* may stop it */
		return;
	}
}

static void timer_due(struct world *w, void *arg)
{
	struct firing *f = arg;

	(void)w;
	if (!f->host->dead)
		host_io(f->host, timer_fire, f);
	free(f);
}

static void timer_set(struct host *h, struct timer *t)
{
	struct firing *f = xcalloc(1, sizeof(*f));

	t->turn = ++turns;
	*f = (struct firing){h, t->turn};
	world_after(h->w, (uint64_t)(t->ev->repeat * 1e6), timer_due, f, free);
}

void __wrap_ev_timer_stop(struct ev_loop *loop, ev_timer *ev)
{
	(void)loop;
	list_each (it, &current->timers) {
		struct timer *t = list_item(it, struct timer, link);

		if (t->ev != ev)
			continue;
		list_remove(&t->link);
		free(t);
		return;
	}
}

void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *ev)
{
	struct timer *t = xcalloc(1, sizeof(*t));

	__wrap_ev_timer_stop(loop, ev);
	t->ev = ev;
	list_push(&current->timers, &t->link);
	timer_set(current, t);
}

/* ---- Processes ---- */

static void *host_main(void *arg)
{
	struct host *h = arg;

	h->main(h->arg);
	return NULL;
}

struct host *host_start(struct world *w, uint32_t client, void (*main)(void *arg), void *arg)
{
	struct host *h = xcalloc(1, sizeof(*h));

	assert(w == world);
	h->w = w;
	h->client = client;
	h->main = main;
	h->arg = arg;
	list_init(&h->routines);
	list_init(&h->timers);
	list_push(&hosts, &h->link);
	h->net = lib_net_create(h);
	routine_create(h, host_main, h);
	return h;
}

void host_kill(struct host *h)
{
	assert(!running || running->host != h);
	h->dead = true;
}

void host_io(struct host *h, void (*fn)(struct host *h, void *arg), void *arg)
{
	struct host *before = current;

	assert(!running && !h->dead);
	current = h;
	leaks_ignore(true);
	fn(h, arg);
	lib_net_settle(h);
	leaks_ignore(false);
	current = before;
}

void lib_open(struct world *w)
{
	assert(!world);
	world = w;
	list_init(&hosts);
}

/* What its threads had in hand is forgotten: their stacks know where it was. */
void lib_close(void)
{
	for (struct list *it; (it = list_pop(&hosts));) {
		struct host *h = list_item(it, struct host, link);

		for (struct list *r; (r = list_pop(&h->routines));) {
			free(list_item(r, struct routine, link)->stack);
			free(list_item(r, struct routine, link));
		}
		for (struct list *t; (t = list_pop(&h->timers));)
			free(list_item(t, struct timer, link));
		lib_net_destroy(h->net);
		free(h);
	}
	world = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/cluster.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "client/lib/conn.h"
#include "client/lib/error.h"
#include "client/lib/lock.h"
#include "client/lib/mapcache.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"

enum {
	DEFAULT_PORT = 7000,
	DEFAULT_TIMEOUT_MS = 60000,
	DEFAULT_WINDOW = 16,
	CONNECT_MS = 8000,
	ROUNDS_MAX = 64, /* of tasks before the sockets get their turn again */
};

uint64_t cluster_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool cluster_is_io_thread(const struct sf_cluster *cluster)
{
	return pthread_equal(pthread_self(), cluster->thread);
}

/* ---- Tasks ---- */

void cluster_post(struct sf_cluster *cluster, struct task *task)
{
	bool first;

	if (cluster_is_io_thread(cluster)) {
		list_push(&cluster->ready, &task->link);
		return;
	}
	pthread_mutex_lock(&cluster->lock);
	first = list_empty(&cluster->submitted);
	list_push(&cluster->submitted, &task->link);
	pthread_mutex_unlock(&cluster->lock);
	/* Whoever came before has woken the thread, and it takes all. */
	if (first)
		ev_async_send(cluster->loop, &cluster->wake);
}

/* ---- The loop ---- */

static bool take_submitted(struct sf_cluster *c)
{
	bool stopping;

	pthread_mutex_lock(&c->lock);
	list_splice(&c->ready, &c->submitted);
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return stopping;
}

static void ticker_adjust(struct sf_cluster *c)
{
	double want = cluster_tick_s(c);

	if (want == c->ticker_s)
		return;
	c->ticker_s = want;
	c->ticker.repeat = want;
	ev_timer_again(c->loop, &c->ticker); /* repeat 0 stops it */
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct sf_cluster *c = watcher->data;
	bool stopping = take_submitted(c);

	(void)events;
	for (int round = 0; round < ROUNDS_MAX; round++) {
		cluster_run_ready(c);
		if (list_empty(&c->ready))
			break;
	}
	if (!list_empty(&c->ready))
		ev_async_send(loop, &c->wake);
	else if (stopping && c->active == 0)
		ev_break(loop, EVBREAK_ALL);
	ticker_adjust(c);
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop, (void)watcher, (void)events; /* on_prepare does the work */
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop, (void)events;
	cluster_tick(watcher->data);
}

static void *thread_main(void *arg)
{
	struct sf_cluster *c = arg;

	ev_run(c->loop, 0);
	return NULL;
}

/* ---- Connect and disconnect ---- */

static void seed_add(struct sf_cluster *c, const struct addrinfo *info)
{
	struct endpoint *seed = &c->seeds[c->seed_count];

	if (c->seed_count == sizeof(c->seeds) / sizeof(c->seeds[0]))
		return;
	if (getnameinfo(info->ai_addr, info->ai_addrlen, seed->addr, sizeof(seed->addr), NULL, 0,
	                NI_NUMERICHOST) == 0)
		c->seed_count++;
}

/* IPv4 first: that is where daemons without a key listen. */
static int seeds_resolve(struct sf_cluster *c, const char *address, uint16_t port)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct addrinfo *info;
	char bare[INET6_ADDRSTRLEN];

	if (sscanf(address, "[%45[0-9a-fA-F:.]]", bare) == 1) /* as node list prints it */
		address = bare;
	for (int i = 0; i < 2; i++) {
		struct addrinfo hints = {.ai_family = families[i], .ai_socktype = SOCK_STREAM};

		if (getaddrinfo(address, NULL, &hints, &info) != 0)
			continue;
		for (struct addrinfo *a = info; a; a = a->ai_next)
			seed_add(c, a);
		freeaddrinfo(info);
	}
	for (uint32_t i = 0; i < c->seed_count; i++)
		c->seeds[i].port = port;
	return c->seed_count ? 0 : -ENOTCONN;
}

static struct sf_cluster *cluster_create(const struct sf_options *o)
{
	struct sf_cluster *c = xcalloc(1, sizeof(*c));
	uint64_t seed[2];

	c->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	c->stop = o->stop;
	c->window = o->window ? o->window : DEFAULT_WINDOW;
	c->lease_ms = MAX(o->lease_ms ? o->lease_ms : LOCK_LEASE_MS, (uint32_t)LOCK_LEASE_MIN_MS);
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->submitted);
	list_init(&c->ready);
	list_init(&c->conns);
	list_init(&c->dirty);
	list_init(&c->delayed);
	list_init(&c->admission);
	htab_init(&c->inflight);
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		seed[0] = seed[1] = cluster_now_ms() ^ (uintptr_t)c;
	c->client = seed[0] | 1; /* 0 stands for "none" */
	prng_init(&c->prng, seed[1]);
	return c;
}

static void cluster_free(struct sf_cluster *c)
{
	map_unref(c->map);
	map_unref(c->next_map);
	placement_destroy(c->placement);
	free(c->endpoints);
	htab_fini(&c->inflight);
	if (c->loop)
		ev_loop_destroy(c->loop);
	pthread_mutex_destroy(&c->lock);
	tls_destroy(c->tls);
	free(c->key_file);
	free(c);
}

static struct timespec key_changed(const struct sf_cluster *c)
{
	struct stat st;

	return stat(c->key_file, &st) < 0 ? (struct timespec){0} : st.st_mtim;
}

static int key_load(struct sf_cluster *c, const char *path)
{
	struct keys keys;
	char text[512];

	if (!path)
		path = getenv("SHEEPFOLD_KEY_FILE");
	if (!path || !*path)
		return 0;
	c->key_file = xstrdup(path);
	c->key_changed = key_changed(c);
	if (keys_read(path, &keys, text) < 0)
		return error_set(-ENOTCONN, "%s", text);
	c->tls = tls_create(&keys);
	keys_wipe(&keys);
	return 0;
}

void cluster_refresh_key(struct sf_cluster *c)
{
	struct timespec changed = c->key_file ? key_changed(c) : (struct timespec){0};
	struct keys keys;
	char text[512];

	if (!changed.tv_sec || (changed.tv_sec == c->key_changed.tv_sec && changed.tv_nsec == c->key_changed.tv_nsec) ||
	    keys_read(c->key_file, &keys, text) < 0)
		return;
	tls_destroy(c->tls);
	c->tls = tls_create(&keys);
	c->key_changed = changed;
	keys_wipe(&keys);
}

int sf_key_generate(char hex[65])
{
	static_assert(KEY_HEX_LEN == 64, "the size in sheepfold.h");
	return key_generate(hex);
}

static int cluster_start(struct sf_cluster *c)
{
	c->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!c->loop)
		return error_set(-ENOMEM, "cannot create an event loop");
	ev_prepare_init(&c->prepare, on_prepare);
	c->prepare.data = c;
	ev_prepare_start(c->loop, &c->prepare);
	ev_async_init(&c->wake, on_wake);
	ev_async_start(c->loop, &c->wake);
	ev_timer_init(&c->ticker, on_tick, 0, 0);
	c->ticker.data = c;
	if (pthread_create(&c->thread, NULL, thread_main, c) != 0)
		return error_set(-ENOMEM, "cannot start a thread");
	return 0;
}

int sf_connect(const struct sf_options *options, struct sf_cluster **ret)
{
	static const struct sf_options defaults;
	const struct sf_options *o = options ? options : &defaults;
	const char *address = o->address ? o->address : "localhost";
	uint16_t port = o->port ? o->port : DEFAULT_PORT;
	struct sf_cluster *c = cluster_create(o);
	char why[ERROR_TEXT_LEN];
	int err = seeds_resolve(c, address, port);

	if (err < 0) {
		cluster_free(c);
		return error_set(err, "'%s' is no address or known host name", address);
	}
	mapcache_set_endpoints(c);
	err = key_load(c, o->key_file);
	if (!err)
		err = cluster_start(c);
	if (err < 0) {
		cluster_free(c);
		return err;
	}
	err = mapcache_fetch(c, CONNECT_MS);
	if (err < 0 && err != -ENODEV) {
		snprintf(why, sizeof(why), "%s", sf_error());
		sf_disconnect(c);
		return error_set(-ENOTCONN, "cannot connect to %s port %u: %.150s", address, port,
		                 why);
	}
	error_clear();
	*ret = c;
	return 0;
}

static void drop_connections(struct sf_cluster *c)
{
	while (!list_empty(&c->conns))
		conn_fail(list_item(c->conns.next, struct conn, link), "closed");
}

uint64_t sf_retries(const struct sf_cluster *cluster)
{
	return __atomic_load_n(&cluster->retries, __ATOMIC_RELAXED);
}

void sf_disconnect(struct sf_cluster *cluster)
{
	if (!cluster)
		return;
	pthread_mutex_lock(&cluster->lock);
	cluster->stopping = true;
	pthread_mutex_unlock(&cluster->lock);
	ev_async_send(cluster->loop, &cluster->wake);
	pthread_join(cluster->thread, NULL);
	drop_connections(cluster);
	cluster_free(cluster);
}

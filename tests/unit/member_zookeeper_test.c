/* SPDX-License-Identifier: Apache-2.0 */

/* The logic of the zookeeper driver against a service of one server, whose every answer the test lets out itself; and what -c
 * zookeeper:... may look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "sheep/member/zk_logic.h"
#include "sheep/member/zk_spec.h"

enum { MAX_ZNODES = 256, MAX_QUEUE = 256, TIMEOUT_MS = 2400, LEASE_MS = 800 };

struct fake_znode {
	char path[ZK_PATH_LEN];
	uint8_t *data;
	size_t len;
	int session; /* 0: persistent */
};

struct fake {
	struct zk_logic *logic;
	struct node_info info;
	uint64_t now_ms;
	int session;
	struct fake_znode znodes[MAX_ZNODES];
	uint32_t count;
	struct zk_request queue[MAX_QUEUE];
	uint32_t queued;
	char watch[ZK_PATH_LEN];
	bool watch_children;
	uint32_t lose; /* answers from now on that are lost, with what they would have said */
	/* told */
	uint32_t maps, last_epoch, leases, proposals, lives, live_count;
	uint64_t lease_from;
	uint32_t lease_ms;
	int proposed;
	char failed[512];
};

static struct fake_znode *find(struct fake *f, const char *path)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (!strcmp(f->znodes[i].path, path))
			return &f->znodes[i];
	return NULL;
}

static void fire(struct fake *f, const char *path)
{
	char live[] = "/r/live";

	if (!strcmp(f->watch, path)) {
		f->watch[0] = '\0';
		zk_logic_watch(f->logic, f->now_ms, path);
	} else if (f->watch_children && !strncmp(path, "/r/live/", 8)) {
		f->watch_children = false;
		zk_logic_watch(f->logic, f->now_ms, live);
	}
}

static void znode_remove(struct fake *f, struct fake_znode *z)
{
	char path[ZK_PATH_LEN];

	strcpy(path, z->path);
	free(z->data);
	*z = f->znodes[--f->count];
	fire(f, path);
}

static void znode_add(struct fake *f, const char *path, const void *data, size_t len, int session)
{
	struct fake_znode *z = &f->znodes[f->count++];

	assert_true(f->count < MAX_ZNODES);
	*z = (struct fake_znode){.data = xmemdup(data, len), .len = len, .session = session};
	strcpy(z->path, path);
	fire(f, path);
}

static void on_request(void *arg, const struct zk_request *r)
{
	struct fake *f = arg;

	assert_true(f->queued < MAX_QUEUE);
	f->queue[f->queued] = *r;
	f->queue[f->queued].path = xstrdup(r->path);
	f->queue[f->queued++].data = xmemdup(r->data, r->len);
}

static void carry_out(struct fake *f, const struct zk_request *r)
{
	static const char *names[MAX_ZNODES];
	struct zk_answer a = {.tag = r->tag};
	struct fake_znode *z = find(f, r->path);
	bool create = r->op == ZK_CREATE || r->op == ZK_CREATE_EPHEMERAL;

	a.result = create ? (z ? ZK_NODE_EXISTS : ZK_OK) : z ? ZK_OK : ZK_NO_NODE;
	if (create && !z) {
		znode_add(f, r->path, r->data, r->len, r->op == ZK_CREATE_EPHEMERAL ? f->session : 0);
	} else if (r->op == ZK_DELETE && z) {
		znode_remove(f, z);
	} else if (r->op == ZK_GET && z) {
		a.data = z->data;
		a.len = z->len;
	} else if (r->op == ZK_EXISTS_WATCH && !z) {
		strcpy(f->watch, r->path);
	} else if (r->op == ZK_CHILDREN_WATCH) {
		f->watch_children = true;
		for (uint32_t i = 0; i < f->count; i++)
			if (!strncmp(f->znodes[i].path, "/r/live/", 8))
				names[a.name_count++] = f->znodes[i].path + 8;
		a.names = names;
	}
	if (!f->lose)
		zk_logic_answer(f->logic, f->now_ms, &a);
}

/* The oldest request. False: there is none. */
static bool step(struct fake *f)
{
	struct zk_request r;

	if (!f->queued)
		return false;
	r = f->queue[0];
	memmove(f->queue, f->queue + 1, --f->queued * sizeof(r));
	carry_out(f, &r);
	free((char *)r.path);
	free((void *)r.data);
	return true;
}

static void settle(struct fake *f)
{
	do
		zk_logic_run(f->logic, f->now_ms);
	while (step(f));
}

static void on_wake(void *arg)
{
}

static void on_map(void *arg, struct map *map)
{
	struct fake *f = arg;

	assert_int_equal(map->epoch, map->epoch == 1 ? 1 : f->last_epoch + 1);
	f->last_epoch = map->epoch;
	f->maps++;
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct fake *f = arg;

	f->lives++;
	f->live_count = count;
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct fake *f = arg;

	f->leases++;
	f->lease_from = proven_ms;
	f->lease_ms = lease_ms;
}

static void on_proposed(void *arg, int result)
{
	struct fake *f = arg;

	f->proposals++;
	f->proposed = result;
}

static void on_failed(void *arg, const char *why)
{
	struct fake *f = arg;

	snprintf(f->failed, sizeof(f->failed), "%s", why);
}

static void connect(struct fake *f, bool fresh)
{
	f->session += fresh;
	zk_logic_connected(f->logic, f->now_ms, fresh, TIMEOUT_MS);
}

static void disconnect(struct fake *f)
{
	for (; f->queued; f->queued--) {
		free((char *)f->queue[f->queued - 1].path);
		free((void *)f->queue[f->queued - 1].data);
	}
	f->watch[0] = '\0';
	f->watch_children = false;
	zk_logic_disconnected(f->logic, f->now_ms);
}

static struct fake *fake_create(uint32_t part_bytes)
{
	struct fake *f = xcalloc(1, sizeof(*f));
	struct zk_config config = {
		.root = "/r",
		.part_bytes = part_bytes,
		.callbacks = {f, on_map, on_live, on_lease, on_proposed, on_failed},
		.ops = {f, on_request, on_wake},
	};

	f->now_ms = 1000;
	f->info = (struct node_info){.id = 7, .incarnation = 70, .addr = "10.0.0.7", .port = 7000, .disk_count = 1};
	f->info.disks[0].id = 1;
	f->info.disks[0].weight = 1;
	config.self = f->info;
	f->logic = zk_logic_create(&config);
	return f;
}

static struct fake *fake_joined(uint32_t part_bytes)
{
	struct fake *f = fake_create(part_bytes);

	connect(f, true);
	settle(f);
	assert_int_equal(f->leases, 1);
	return f;
}

static void fake_destroy(struct fake *f)
{
	disconnect(f);
	zk_logic_destroy(f->logic);
	while (f->count)
		free(f->znodes[--f->count].data);
	free(f);
}

static struct map *map_of(uint32_t nodes)
{
	struct format_options o = {.cluster = 99, .now_s = 1, .k = 1, .m = 2, .object_shift = 22, .grace_ms = 1000};
	struct node_info *infos = xcalloc(nodes, sizeof(*infos));
	char text[FORMAT_TEXT_LEN];
	struct map *map;

	for (uint32_t i = 0; i < nodes; i++) {
		infos[i] = (struct node_info){.id = i + 1, .incarnation = 1, .addr = "127.0.0.1", .port = 7000, .zone = i,
		                              .disk_count = 1};
		infos[i].disks[0].id = i + 1001;
		infos[i].disks[0].weight = 1;
	}
	assert_int_equal(map_format(&o, infos, nodes, &map, text), 0);
	free(infos);
	return map;
}

static void propose_first(struct fake *f, uint32_t nodes)
{
	struct map *map = map_of(nodes);

	zk_logic_propose(f->logic, 0, 0, map);
	map_unref(map);
}

/* Another node's map 1, as its driver would have made it. */
static void other_wins(struct fake *f)
{
	struct fake *other = fake_joined(ZK_PART_BYTES);
	struct fake_znode *z;

	other->info.id = 8;
	propose_first(other, 4);
	settle(other);
	z = find(other, "/r/maps/map.00000001");
	assert_non_null(z);
	/* Of another nonce: the proposer is another. */
	znode_add(f, z->path, z->data, z->len, 0);
	fake_destroy(other);
}

static void a_proposal_wins_and_is_told_after_its_map(void **state)
{
	struct fake *f = fake_joined(ZK_PART_BYTES);

	propose_first(f, 3);
	assert_int_equal(f->proposals, 0); /* never from inside the call */
	settle(f);
	assert_int_equal(f->maps, 1);
	assert_int_equal(f->proposals, 1);
	assert_int_equal(f->proposed, 0);
	propose_first(f, 3); /* against nothing, but there is a map now */
	settle(f);
	assert_int_equal(f->proposed, -SF_EAGAIN);
	fake_destroy(f);
}

static void a_proposal_whose_answer_is_lost_is_settled_by_the_register(void **state)
{
	for (uint32_t lost = 0; lost < 2; lost++) { /* the answer only, or the request too */
		struct fake *f = fake_joined(ZK_PART_BYTES);

		propose_first(f, 3);
		zk_logic_run(f->logic, f->now_ms);
		f->lose = 1;
		if (!lost)
			step(f);
		f->lose = 0;
		disconnect(f);
		zk_logic_run(f->logic, f->now_ms);
		assert_int_equal(f->proposals, 0);
		connect(f, false);
		settle(f);
		assert_int_equal(f->proposals, 1);
		assert_int_equal(f->proposed, 0);
		assert_int_equal(f->maps, 1);
		fake_destroy(f);
	}
}

static void a_map_too_big_for_a_znode_is_split_and_read_back(void **state)
{
	struct fake *f = fake_joined(1000), *reader;
	uint32_t parts = 0;

	propose_first(f, 200);
	settle(f);
	assert_int_equal(f->proposed, 0);
	assert_int_equal(f->maps, 1);
	for (uint32_t i = 0; i < f->count; i++) {
		parts += !strncmp(f->znodes[i].path, "/r/parts/", 9);
		assert_true(f->znodes[i].len <= 1000);
	}
	assert_true(parts > 5);
	/* A part that is gone is told, not taken. */
	reader = fake_create(1000);
	for (uint32_t i = 0; i < f->count; i++)
		if (!f->znodes[i].session && strcmp(f->znodes[i].path + strlen(f->znodes[i].path) - 4, "0002"))
			znode_add(reader, f->znodes[i].path, f->znodes[i].data, f->znodes[i].len, 0);
	connect(reader, true);
	settle(reader);
	assert_non_null(strstr(reader->failed, "register"));
	assert_int_equal(reader->maps, 0);
	fake_destroy(reader);
	fake_destroy(f);
}

static void a_lease_counts_from_when_the_write_was_sent(void **state)
{
	struct fake *f = fake_joined(ZK_PART_BYTES);
	uint64_t sent;

	f->now_ms += 400;
	zk_logic_run(f->logic, f->now_ms);
	sent = f->now_ms;
	assert_int_equal(f->queued, 1);
	f->now_ms += 300;
	step(f);
	assert_int_equal(f->leases, 2);
	assert_int_equal(f->lease_from, sent);
	assert_int_equal(f->lease_ms, LEASE_MS);
	fake_destroy(f);
}

static void no_lease_before_the_newest_map_is_known(void **state)
{
	struct fake *f = fake_joined(ZK_PART_BYTES);

	f->now_ms += 400;
	zk_logic_run(f->logic, f->now_ms); /* the write is on its way */
	other_wins(f);                     /* and another's map is there before it */
	while (f->maps == 0) {
		assert_int_equal(f->leases, 1);
		assert_true(step(f));
	}
	settle(f);
	assert_int_equal(f->leases, 2);
	fake_destroy(f);
}

static void no_lease_without_an_answer(void **state)
{
	struct fake *f = fake_joined(ZK_PART_BYTES);

	for (int i = 0; i < 60; i++) {
		f->now_ms += 50;
		zk_logic_run(f->logic, f->now_ms);
	}
	assert_int_equal(f->leases, 1);
	assert_true(zk_logic_is_stuck(f->logic, f->now_ms));
	fake_destroy(f);
}

static void an_expired_session_joins_anew(void **state)
{
	struct fake *f = fake_joined(ZK_PART_BYTES);
	uint32_t leases = f->leases;

	zk_logic_expired(f->logic, f->now_ms);
	disconnect(f);
	for (uint32_t i = f->count; i-- > 0;)
		if (f->znodes[i].session)
			znode_remove(f, &f->znodes[i]);
	connect(f, true);
	assert_int_equal(f->leases, leases);
	settle(f);
	assert_int_equal(f->leases, leases + 1);
	assert_non_null(find(f, "/r/live/0000000000000007.0000000000000046.00000002"));
	fake_destroy(f);
}

static void a_dead_process_at_our_address_is_not_waited_for(void **state)
{
	for (uint32_t elsewhere = 0; elsewhere < 2; elsewhere++) {
		struct fake *f = fake_create(ZK_PART_BYTES), *before = fake_joined(ZK_PART_BYTES);
		const char *path = "/r/live/0000000000000007.0000000000000046.00000001";
		struct zk_config config = {.root = "/r", .part_bytes = ZK_PART_BYTES, .self = f->info,
		                           .callbacks = {f, on_map, on_live, on_lease, on_proposed, on_failed},
		                           .ops = {f, on_request, on_wake}};

		config.self.incarnation = 71;
		if (elsewhere)
			strcpy(config.self.addr, "10.0.0.9");
		zk_logic_destroy(f->logic);
		f->logic = zk_logic_create(&config);
		znode_add(f, path, find(before, path)->data, find(before, path)->len, 77);
		connect(f, true);
		settle(f);
		if (elsewhere) {
			assert_int_equal(f->leases, 0);
			f->now_ms += 2 * TIMEOUT_MS + 3000;
			settle(f);
			assert_non_null(strstr(f->failed, "running already"));
		} else {
			assert_null(find(f, path));
			assert_int_equal(f->leases, 1);
			assert_int_equal(f->live_count, 1);
		}
		fake_destroy(before);
		fake_destroy(f);
	}
}

static void what_belongs_to_others_is_refused(void **state)
{
	struct fake *f = fake_create(ZK_PART_BYTES);

	znode_add(f, "/r", "something else", 14, 0);
	connect(f, true);
	settle(f);
	assert_non_null(strstr(f->failed, "/r"));
	assert_int_equal(f->leases, 0);
	assert_int_equal(f->count, 1);
	fake_destroy(f);
}

static void the_option_is_understood_or_refused_in_one_line(void **state)
{
	static const char *const bad[] = {
		NULL, "", ":", "a:b", "a:0", "a:65536", "a:1/", "a:1/b/c", "a:1/b,c:2", "a:1,timeout=", "a:1,timeout=x",
		"a:1,timeout=1", "a:1,what=ever", "::1", "::1:2181", "[::1:2181", "[::1]2181", "a:1/..", "a:1,auth-file=",
	};
	char text[512];
	struct zk_spec s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		text[0] = '\0';
		assert_true(zk_spec_parse(bad[i], &s, text) < 0);
		assert_true(strlen(text) > 10);
		assert_null(strchr(text, '\n'));
	}
	assert_int_equal(zk_spec_parse("a,b:2182,[::1]:3/name_1,timeout=1500,auth-file=/x/y", &s, text), 0);
	assert_int_equal(s.host_count, 3);
	assert_int_equal(s.hosts[0].port, 2181);
	assert_string_equal(s.hosts[2].name, "::1");
	assert_string_equal(s.root, "/name_1");
	assert_int_equal(s.timeout_ms, 1500);
	assert_string_equal(s.auth_file, "/x/y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proposal_wins_and_is_told_after_its_map),
		cmocka_unit_test(a_proposal_whose_answer_is_lost_is_settled_by_the_register),
		cmocka_unit_test(a_map_too_big_for_a_znode_is_split_and_read_back),
		cmocka_unit_test(a_lease_counts_from_when_the_write_was_sent),
		cmocka_unit_test(no_lease_before_the_newest_map_is_known),
		cmocka_unit_test(no_lease_without_an_answer),
		cmocka_unit_test(an_expired_session_joins_anew),
		cmocka_unit_test(a_dead_process_at_our_address_is_not_waited_for),
		cmocka_unit_test(what_belongs_to_others_is_refused),
		cmocka_unit_test(the_option_is_understood_or_refused_in_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

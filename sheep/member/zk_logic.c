/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/zk_logic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/math.h"
#include "lib/base/mem.h"
#include "sheep/member/zk_maps.h"

enum {
	LEASE_MAX_MS = 1000, /* what sheep/core takes for the longest */
	LEASE_MARGIN_MS = 50,
	FETCH_WINDOW = 16, /* maps asked for at once */
	TAKEN_AGAIN_MS = 200,
	TAKEN_MARGIN_MS = 2000, /* the service ends sessions a little late */
	NAME_LEN = 64,
};

/*
 *          join, expired             connected, all made      announced
 *   AWAY ------------------> ENTER ------------------------> IN: rounds
 *    ^                         |  another daemon of our id: looks again, then gives up
 *    '--- disconnected --------'-------------------------------'
 *
 * A session that is connected again goes on where it was.
 */
enum zk_state { ZK_AWAY, ZK_ENTER, ZK_IN, ZK_DEAD };

/* What an answer is for. */
enum wanted { W_DIR, W_OTHERS, W_ANNOUNCE, W_ROUND, W_HEAD, W_CHILDREN, W_NODE, W_MAP, W_PART, W_PROPOSED_PART,
              W_COMMIT, W_CLEAN };
struct asked {
	uint32_t tag;
	enum wanted what;
	uint32_t seq, part; /* MAP, PART */
	char name[NAME_LEN]; /* NODE */
};

struct zk_node {
	char name[NAME_LEN]; /* of the znode */
	uint32_t number;     /* its last part */
	bool known, seen;
	struct node_info info;
};

struct fetched {
	bool asked;
	struct map *map; /* decoded, waits for those before it */
	struct zk_map_header header;
	uint8_t *bytes;
	uint32_t parts_left;
	size_t part_bytes;
};

enum proposal_state { P_NONE, P_NEW, P_PARTS, P_COMMIT, P_LOST, P_DONE };
struct proposal {
	enum proposal_state state;
	uint64_t expected_cluster;
	uint32_t expected_epoch, epoch;
	uint64_t cluster;
	uint8_t *bytes;
	size_t len;
	uint32_t seq, parts, parts_made;
	uint64_t nonce;
	bool won; /* read back: the map of this number is ours */
	int result;
};

struct zk_logic {
	struct member_callbacks cb;
	struct zk_service service;
	const struct log *log;
	char base[ZK_PATH_LEN];
	uint32_t timeout_ms, lease_ms, part_bytes;
	struct node_info self;
	enum zk_state state;
	bool connected;
	struct asked *asked;
	uint32_t asked_count, asked_capacity, last_tag;
	/* entering */
	uint32_t dirs_left;
	bool enter_lost; /* all over again */
	uint64_t taken_since_ms, enter_again_ms;
	uint32_t announced; /* number in the name of our announcement */
	bool announce_due;
	/* a round */
	bool in_round, round_failed, round_due;
	uint64_t round_ms; /* when it began */
	bool has_head;
	struct zk_head head;
	int32_t head_version;
	uint32_t seen; /* last map delivered */
	struct fetched fetched[FETCH_WINDOW];
	bool live_unknown, live_due;
	struct zk_node *nodes;
	uint32_t node_count;
	struct proposal proposal;
};

static void zk_advance(struct zk_logic *l, uint64_t now);

/* ---- Asking ---- */

__attribute__((format(printf, 2, 3))) static void ask_path(char path[ZK_PATH_LEN], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, ZK_PATH_LEN, fmt, ap);
	va_end(ap);
}

static struct asked *ask(struct zk_logic *l, enum wanted what, struct zk_request *rq)
{
	struct asked *a;

	if (l->asked_count == l->asked_capacity) {
		l->asked_capacity = l->asked_capacity ? 2 * l->asked_capacity : 16;
		l->asked = xrealloc(l->asked, l->asked_capacity * sizeof(*l->asked));
	}
	a = &l->asked[l->asked_count++];
	*a = (struct asked){.tag = ++l->last_tag, .what = what};
	rq->tag = a->tag;
	l->service.request(l->service.arg, rq);
	return a;
}

static uint32_t outstanding(const struct zk_logic *l, enum wanted first, enum wanted last)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < l->asked_count; i++)
		n += l->asked[i].what >= first && l->asked[i].what <= last;
	return n;
}

static void zk_fail(struct zk_logic *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void zk_fail(struct zk_logic *l, const char *fmt, ...)
{
	char why[512];
	int n = snprintf(why, sizeof(why), "zookeeper %.200s: ", l->base);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why + n, sizeof(why) - n, fmt, ap);
	va_end(ap);
	if (l->state == ZK_DEAD)
		return;
	zk_logic_leave(l);
	l->state = ZK_DEAD;
	l->cb.failed(l->cb.arg, why);
}

/* ---- Entering ---- */

static void fetched_forget(struct fetched *f)
{
	map_unref(f->map);
	free(f->bytes);
	*f = (struct fetched){0};
}

static void round_forget(struct zk_logic *l)
{
	l->in_round = false;
	for (uint32_t i = 0; i < FETCH_WINDOW; i++)
		fetched_forget(&l->fetched[i]);
}

/* Its directories, each made unless it is there, and an empty head. */
static void enter_begin(struct zk_logic *l)
{
	static const char *const below[] = {"/maps", "/parts", "/live"};
	struct zk_head none = {0};
	char path[ZK_PATH_LEN], head[ZK_HEAD_LEN];

	l->state = ZK_ENTER;
	l->enter_lost = false;
	l->dirs_left = 0;
	for (const char *slash = strchr(l->base + 1, '/');; slash = strchr(slash + 1, '/')) {
		ask_path(path, "%.*s", slash ? (int)(slash - l->base) : (int)strlen(l->base), l->base);
		ask(l, W_DIR, &(struct zk_request){.op = ZK_CREATE, .path = path});
		l->dirs_left++;
		if (!slash)
			break;
	}
	for (uint32_t i = 0; i < ARRAY_LEN(below); i++) {
		ask_path(path, "%s%s", l->base, below[i]);
		ask(l, W_DIR, &(struct zk_request){.op = ZK_CREATE, .path = path});
		l->dirs_left++;
	}
	zk_head_format(&none, head);
	ask_path(path, "%s/head", l->base);
	ask(l, W_DIR, &(struct zk_request){.op = ZK_CREATE, .path = path, .data = (uint8_t *)head,
	                                   .len = strlen(head)});
	l->dirs_left++;
}

static void enter_look(struct zk_logic *l)
{
	char path[ZK_PATH_LEN];

	ask_path(path, "%s/live", l->base);
	l->enter_again_ms = 0;
	ask(l, W_OTHERS, &(struct zk_request){.op = ZK_CHILDREN, .path = path});
}

static void announce(struct zk_logic *l)
{
	char path[ZK_PATH_LEN];
	uint8_t *data;
	size_t len;

	l->announce_due = false;
	l->announced++;
	ask_path(path, "%s/live/%016" PRIx64 ".%016" PRIx64 ".%" PRIu32, l->base, l->self.id, l->self.incarnation,
	         l->announced);
	node_info_encode(&l->self, &data, &len);
	ask(l, W_ANNOUNCE, &(struct zk_request){.op = ZK_CREATE, .path = path, .data = data, .len = len,
	                                        .ephemeral = true});
	free(data);
	/* What was said before: this session's, or one's that is about to end. */
	for (uint32_t i = 0; i < l->node_count; i++) {
		if (l->nodes[i].info.id != l->self.id || l->nodes[i].info.incarnation != l->self.incarnation)
			continue;
		ask_path(path, "%s/live/%s", l->base, l->nodes[i].name);
		ask(l, W_CLEAN, &(struct zk_request){.op = ZK_REMOVE, .path = path});
	}
}

static bool live_name_parse(const char *name, uint64_t *ret_id, uint64_t *ret_incarnation, uint32_t *ret_number)
{
	int end = 0;

	return strlen(name) < NAME_LEN &&
	       sscanf(name, "%16" SCNx64 ".%16" SCNx64 ".%" SCNu32 "%n", ret_id, ret_incarnation, ret_number,
	              &end) == 3 &&
	       !name[end];
}

/* Before we announce ourselves: a daemon with our id that was killed is gone when its session is. */
static void enter_others(struct zk_logic *l, const struct zk_answer *a, uint64_t now)
{
	uint64_t id, incarnation;
	bool taken = false;
	uint32_t number;

	for (uint32_t i = 0; i < a->name_count; i++)
		taken |= live_name_parse(a->names[i], &id, &incarnation, &number) && id == l->self.id &&
		         incarnation != l->self.incarnation;
	if (!taken) {
		l->taken_since_ms = 0;
		announce(l);
		return;
	}
	if (!l->taken_since_ms) {
		l->taken_since_ms = now;
		log_info(l->log, "waiting for the session of this node's former process to end");
	}
	if (now > l->taken_since_ms + l->timeout_ms + TAKEN_MARGIN_MS) {
		zk_fail(l, "a daemon with this node's id is running already (is META_DIR a copy?)");
		return;
	}
	l->enter_again_ms = now + TAKEN_AGAIN_MS;
}

/* ---- A round ---- */

static void round_begin(struct zk_logic *l, uint64_t now)
{
	char path[ZK_PATH_LEN];

	l->in_round = true;
	l->round_failed = l->round_due = false;
	l->round_ms = now;
	ask_path(path, "%s/head", l->base);
	ask(l, W_ROUND, &(struct zk_request){.op = ZK_SYNC, .path = path});
	ask(l, W_HEAD, &(struct zk_request){.op = ZK_GET, .path = path, .watch = true});
	if (!l->live_unknown)
		return;
	l->live_unknown = false;
	ask_path(path, "%s/live", l->base);
	ask(l, W_CHILDREN, &(struct zk_request){.op = ZK_CHILDREN, .path = path, .watch = true});
}

static void take_head(struct zk_logic *l, const struct zk_answer *a)
{
	struct zk_head head;

	if (zk_head_parse(a->data, a->len, &head) < 0) {
		zk_fail(l, "the znode head is damaged; restore it from a backup of ZooKeeper");
		return;
	}
	if (head.last < l->seen) {
		zk_fail(l, "the map register has lost what it held (map %" PRIu32 " is its last, this node knows %" PRIu32
		        "); restore it from a backup of ZooKeeper", head.last, l->seen);
		return;
	}
	l->head = head;
	l->head_version = a->version;
	l->has_head = true;
	/* What precedes the last format is history and delivered to nobody. */
	if (head.first && l->seen + 1 < head.first) {
		for (uint32_t i = 0; i < FETCH_WINDOW; i++)
			fetched_forget(&l->fetched[i]);
		l->seen = head.first - 1;
	}
}

static void take_children(struct zk_logic *l, const struct zk_answer *a)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->node_count; i++)
		l->nodes[i].seen = false;
	for (uint32_t i = 0; i < a->name_count; i++) {
		struct zk_node *found = NULL;
		uint64_t id, incarnation;
		uint32_t number;
		if (!live_name_parse(a->names[i], &id, &incarnation, &number))
			continue;
		for (uint32_t j = 0; j < l->node_count && !found; j++)
			if (!strcmp(l->nodes[j].name, a->names[i]))
				found = &l->nodes[j];
		if (found) {
			found->seen = true;
			continue;
		}
		l->nodes = xrealloc(l->nodes, (l->node_count + 1) * sizeof(*l->nodes));
		found = &l->nodes[l->node_count++];
		*found = (struct zk_node){.seen = true, .number = number};
		strcpy(found->name, a->names[i]);
	}
	for (uint32_t i = 0; i < l->node_count; i++) {
		if (!l->nodes[i].seen) {
			l->live_due = true;
			continue;
		}
		l->nodes[kept++] = l->nodes[i];
	}
	l->node_count = kept;
	for (uint32_t i = 0; i < l->node_count; i++) {
		char path[ZK_PATH_LEN];
		struct asked *asked;
		if (l->nodes[i].known)
			continue;
		ask_path(path, "%s/live/%s", l->base, l->nodes[i].name);
		asked = ask(l, W_NODE, &(struct zk_request){.op = ZK_GET, .path = path});
		strcpy(asked->name, l->nodes[i].name);
	}
}

static void take_node(struct zk_logic *l, const struct asked *q, const struct zk_answer *a)
{
	uint64_t id = 0, incarnation = 0;
	uint32_t number;

	for (uint32_t i = 0; i < l->node_count; i++) {
		struct zk_node *n = &l->nodes[i];
		if (strcmp(n->name, q->name))
			continue;
		n->known = a->result == ZK_OK && node_info_decode(a->data, a->len, &n->info) == 0 &&
		           live_name_parse(n->name, &id, &incarnation, &number) && n->info.id == id &&
		           n->info.incarnation == incarnation;
		l->live_due |= n->known;
		if (a->result == ZK_OK && !n->known)
			log_warn(l->log, "the announcement %s is not understood", n->name);
		if (a->result == ZK_NONE)
			l->live_unknown = l->round_due = true;
	}
}

/* Asks for maps as far as the window goes. */
static void fetch_more(struct zk_logic *l)
{
	for (uint32_t seq = l->seen + 1; seq <= l->head.last && seq <= l->seen + FETCH_WINDOW; seq++) {
		struct fetched *f = &l->fetched[seq % FETCH_WINDOW];
		char path[ZK_PATH_LEN];
		if (f->asked)
			continue;
		f->asked = true;
		ask_path(path, "%s/maps/%010" PRIu32, l->base, seq);
		ask(l, W_MAP, &(struct zk_request){.op = ZK_GET, .path = path})->seq = seq;
	}
}

static void fetched_decode(struct zk_logic *l, struct fetched *f, uint32_t seq)
{
	struct proposal *p = &l->proposal;

	if (crc32c(0, f->bytes, f->header.len) != f->header.crc ||
	    map_decode(f->bytes, f->header.len, &f->map) < 0) {
		zk_fail(l, "map %" PRIu32 " of the register is damaged; restore it from a backup of ZooKeeper", seq);
		return;
	}
	if (p->state != P_NONE && p->seq == seq)
		p->won = p->len == f->header.len && !memcmp(p->bytes, f->bytes, p->len);
}

static void take_map(struct zk_logic *l, const struct asked *q, const struct zk_answer *a)
{
	struct fetched *f = &l->fetched[q->seq % FETCH_WINDOW];

	if (a->result == ZK_NONE || zk_map_header_decode(a->data, a->len, &f->header) < 0) {
		zk_fail(l, "map %" PRIu32 " of the register is %s; restore it from a backup of ZooKeeper", q->seq,
		        a->result == ZK_NONE ? "gone" : "damaged");
		return;
	}
	f->bytes = xmalloc(f->header.len + 1);
	f->parts_left = f->header.parts;
	if (!f->parts_left) {
		memcpy(f->bytes, a->data + ZK_MAP_HEADER, f->header.len);
		fetched_decode(l, f, q->seq);
		return;
	}
	f->part_bytes = (f->header.len + f->header.parts - 1) / f->header.parts;
	for (uint32_t i = 0; i < f->header.parts; i++) {
		char path[ZK_PATH_LEN];
		struct asked *asked;
		ask_path(path, "%s/parts/%010" PRIu32 ".%016" PRIx64 ".%" PRIu32, l->base, q->seq, f->header.nonce, i);
		asked = ask(l, W_PART, &(struct zk_request){.op = ZK_GET, .path = path});
		asked->seq = q->seq;
		asked->part = i;
	}
}

static void take_part(struct zk_logic *l, const struct asked *q, const struct zk_answer *a)
{
	struct fetched *f = &l->fetched[q->seq % FETCH_WINDOW];
	size_t off = q->part * f->part_bytes;
	size_t len = MIN(f->part_bytes, f->header.len - off);

	if (a->result == ZK_NONE || a->len != len) {
		zk_fail(l, "part %" PRIu32 " of map %" PRIu32 " is %s; restore it from a backup of ZooKeeper", q->part,
		        q->seq, a->result == ZK_NONE ? "gone" : "damaged");
		return;
	}
	memcpy(f->bytes + off, a->data, len);
	if (--f->parts_left == 0)
		fetched_decode(l, f, q->seq);
}

static void deliver_maps(struct zk_logic *l)
{
	struct fetched *f;

	while (l->state == ZK_IN && (f = &l->fetched[(l->seen + 1) % FETCH_WINDOW])->map) {
		struct map *map = map_ref(f->map);
		fetched_forget(f);
		l->seen++;
		l->cb.map(l->cb.arg, map);
		map_unref(map);
	}
}

/* The newest announcement of each node; by id, those of one node the newest first. */
static int node_order(const void *a, const void *b)
{
	const struct zk_node *x = a, *y = b;

	if (x->info.id != y->info.id)
		return x->info.id < y->info.id ? -1 : 1;
	if (x->info.incarnation != y->info.incarnation)
		return x->info.incarnation < y->info.incarnation ? -1 : 1;
	return x->number > y->number ? -1 : x->number < y->number;
}

static void deliver_live(struct zk_logic *l)
{
	struct node_info *nodes = xcalloc(l->node_count + 1, sizeof(*nodes));
	uint32_t count = 0;

	qsort(l->nodes, l->node_count, sizeof(*l->nodes), node_order);
	for (uint32_t i = 0; i < l->node_count; i++) {
		const struct zk_node *n = &l->nodes[i];
		if (n->known && (!count || nodes[count - 1].id != n->info.id))
			nodes[count++] = n->info;
	}
	l->live_due = false;
	l->cb.live(l->cb.arg, nodes, count);
	free(nodes);
}

/* Whether our newest announcement stands. */
static bool announcement_stands(const struct zk_logic *l)
{
	char name[NAME_LEN];

	snprintf(name, sizeof(name), "%016" PRIx64 ".%016" PRIx64 ".%" PRIu32, l->self.id, l->self.incarnation,
	         l->announced);
	for (uint32_t i = 0; i < l->node_count; i++)
		if (l->nodes[i].known && !strcmp(l->nodes[i].name, name))
			return true;
	return false;
}

static void proposal_settle(struct zk_logic *l)
{
	struct proposal *p = &l->proposal;
	int result = p->result;

	if (p->state == P_LOST)
		result = p->won ? 0 : -SF_EAGAIN;
	else if (p->state != P_DONE)
		return;
	free(p->bytes);
	*p = (struct proposal){0};
	l->cb.proposed(l->cb.arg, result);
}

static void round_end(struct zk_logic *l)
{
	bool whole = !l->round_failed;

	l->in_round = false;
	if (!whole) {
		round_forget(l);
		l->live_unknown = l->round_due = true;
		return;
	}
	proposal_settle(l);
	if (l->state == ZK_IN && l->live_due && !l->live_unknown)
		deliver_live(l);
	if (l->state != ZK_IN)
		return;
	if (announcement_stands(l))
		l->cb.lease(l->cb.arg, l->round_ms, l->lease_ms);
	else if (!outstanding(l, W_ANNOUNCE, W_ANNOUNCE) && !l->live_unknown)
		l->announce_due = true; /* somebody removed it */
}

/* ---- Proposing ---- */

static void proposal_part(struct zk_logic *l)
{
	struct proposal *p = &l->proposal;
	size_t part_bytes = (p->len + p->parts - 1) / p->parts, off = p->parts_made * part_bytes;
	char path[ZK_PATH_LEN];

	ask_path(path, "%s/parts/%010" PRIu32 ".%016" PRIx64 ".%" PRIu32, l->base, p->seq, p->nonce, p->parts_made);
	ask(l, W_PROPOSED_PART, &(struct zk_request){.op = ZK_CREATE, .path = path, .data = p->bytes + off,
	                                             .len = MIN(part_bytes, p->len - off)});
}

static void proposal_commit(struct zk_logic *l)
{
	struct proposal *p = &l->proposal;
	struct zk_map_header h = {.parts = p->parts, .len = (uint32_t)p->len, .crc = crc32c(0, p->bytes, p->len),
	                          .nonce = p->nonce};
	struct zk_head head = {.first = p->epoch == 1 ? p->seq : l->head.first, .last = p->seq,
	                       .cluster = p->cluster, .epoch = p->epoch};
	char path[ZK_PATH_LEN], head_path[ZK_PATH_LEN], text[ZK_HEAD_LEN];
	size_t len = ZK_MAP_HEADER + (p->parts ? 0 : p->len);
	uint8_t *data = xmalloc(len);

	p->state = P_COMMIT;
	zk_map_header_encode(&h, data);
	if (!p->parts)
		memcpy(data + ZK_MAP_HEADER, p->bytes, p->len);
	zk_head_format(&head, text);
	ask_path(path, "%s/maps/%010" PRIu32, l->base, p->seq);
	ask_path(head_path, "%s/head", l->base);
	ask(l, W_COMMIT, &(struct zk_request){.op = ZK_COMMIT, .path = path, .data = data, .len = len,
	                                      .head = head_path, .head_text = text,
	                                      .head_version = l->head_version});
	free(data);
}

static void proposal_end(struct zk_logic *l, enum proposal_state state, int result)
{
	l->proposal.state = state;
	l->proposal.result = result;
	l->round_due = true;
}

static void proposal_begin(struct zk_logic *l)
{
	struct proposal *p = &l->proposal;

	if (p->expected_cluster != l->head.cluster || p->expected_epoch != l->head.epoch) {
		proposal_end(l, P_DONE, -SF_EAGAIN);
		return;
	}
	p->seq = l->head.last + 1;
	p->nonce = l->self.incarnation + p->seq * 0x9e3779b97f4a7c15ULL + ++l->last_tag;
	p->parts = p->len > l->part_bytes ? (p->len + l->part_bytes - 1) / l->part_bytes : 0;
	p->state = P_PARTS;
	if (p->parts)
		proposal_part(l);
	else
		proposal_commit(l);
}

static void proposal_answer(struct zk_logic *l, enum wanted what, const struct zk_answer *a)
{
	struct proposal *p = &l->proposal;

	if (a->result == ZK_LOST) {
		/* A part alone means nothing. */
		proposal_end(l, what == W_COMMIT ? P_LOST : P_DONE, -SF_EAGAIN);
	} else if (what == W_PROPOSED_PART && a->result == ZK_OK && ++p->parts_made < p->parts) {
		proposal_part(l);
	} else if (what == W_PROPOSED_PART && a->result == ZK_OK) {
		proposal_commit(l);
	} else if (what == W_COMMIT && a->result == ZK_OK) {
		proposal_end(l, P_DONE, 0);
	} else {
		char path[ZK_PATH_LEN];
		for (uint32_t i = 0; i < p->parts_made; i++) {
			ask_path(path, "%s/parts/%010" PRIu32 ".%016" PRIx64 ".%" PRIu32, l->base, p->seq, p->nonce, i);
			ask(l, W_CLEAN, &(struct zk_request){.op = ZK_REMOVE, .path = path});
		}
		proposal_end(l, P_DONE, -SF_EAGAIN);
	}
}

/* ---- What happens ---- */

/* Whatever can be done next. */
static void zk_advance(struct zk_logic *l, uint64_t now)
{
	if (!l->connected || l->state == ZK_AWAY || l->state == ZK_DEAD)
		return;
	if (l->state == ZK_ENTER) {
		if (l->enter_lost && !l->asked_count)
			enter_begin(l);
		if (!l->dirs_left && l->enter_again_ms && now >= l->enter_again_ms)
			enter_look(l);
		return;
	}
	if (l->in_round && !l->round_failed && l->has_head)
		fetch_more(l);
	if (l->in_round && !outstanding(l, W_ROUND, W_PART))
		round_end(l);
	if (l->state != ZK_IN || l->in_round)
		return;
	if (l->announce_due)
		announce(l);
	if (l->proposal.state == P_NEW && l->has_head)
		proposal_begin(l);
	if (l->round_due || now >= l->round_ms + l->lease_ms / 4)
		round_begin(l, now);
}

void zk_logic_connected(struct zk_logic *l, uint32_t timeout_ms, uint64_t now)
{
	if (l->state == ZK_DEAD)
		return;
	l->connected = true;
	l->timeout_ms = timeout_ms;
	l->lease_ms = MIN(timeout_ms * 2 / 3, LEASE_MAX_MS + LEASE_MARGIN_MS) - LEASE_MARGIN_MS;
	l->round_due = l->live_unknown = true;
	if (l->state == ZK_IN && outstanding(l, W_DIR, W_CLEAN) == 0)
		l->announce_due = !announcement_stands(l);
	if (l->state == ZK_ENTER)
		l->enter_lost = true;
	zk_advance(l, now);
}

/* The service answers what is outstanding with ZK_LOST. */
void zk_logic_disconnected(struct zk_logic *l)
{
	l->connected = false;
}

void zk_logic_expired(struct zk_logic *l, uint64_t now)
{
	if (l->state == ZK_DEAD || l->state == ZK_AWAY)
		return;
	log_warn(l->log, "the session with ZooKeeper has expired: joining again");
	l->connected = false;
	l->state = ZK_ENTER;
	l->dirs_left = 0;
	l->enter_again_ms = l->taken_since_ms = 0;
	l->announce_due = false;
	l->asked_count = 0; /* of a session that is no more */
	round_forget(l);
	if (l->proposal.state == P_PARTS || l->proposal.state == P_COMMIT)
		proposal_end(l, P_LOST, 0);
	(void)now;
	l->service.reopen(l->service.arg);
}

void zk_logic_denied(struct zk_logic *l)
{
	zk_fail(l, "access is denied: give the right user and password with ,auth=FILE");
}

void zk_logic_changed(struct zk_logic *l, uint64_t now)
{
	l->round_due = l->live_unknown = true;
	zk_advance(l, now);
}

void zk_logic_tick(struct zk_logic *l, uint64_t now)
{
	zk_advance(l, now);
}

static void enter_answer(struct zk_logic *l, const struct asked *q, const struct zk_answer *a, uint64_t now)
{
	if (a->result == ZK_LOST) {
		l->enter_lost = true;
		return;
	}
	if (q->what == W_DIR && --l->dirs_left == 0)
		enter_look(l);
	else if (q->what == W_OTHERS)
		enter_others(l, a, now);
	else if (q->what == W_ANNOUNCE) {
		l->state = ZK_IN;
		l->round_due = l->live_unknown = true;
	}
}

static void round_answer(struct zk_logic *l, const struct asked *q, const struct zk_answer *a)
{
	if (a->result == ZK_LOST || l->round_failed || !l->in_round || (q->what == W_ROUND && a->result != ZK_OK)) {
		l->round_failed = true;
		return;
	}
	switch (q->what) {
	case W_HEAD:
		if (a->result == ZK_OK)
			take_head(l, a);
		else
			zk_fail(l, "the znode head is gone; restore it from a backup of ZooKeeper");
		break;
	case W_CHILDREN:
		if (a->result == ZK_OK)
			take_children(l, a);
		else
			zk_fail(l, "the znode live is gone; start this daemon again");
		break;
	case W_NODE:
		take_node(l, q, a);
		break;
	case W_MAP:
		take_map(l, q, a);
		deliver_maps(l);
		break;
	case W_PART:
		take_part(l, q, a);
		deliver_maps(l);
		break;
	default:
		break;
	}
}

void zk_logic_answer(struct zk_logic *l, const struct zk_answer *a, uint64_t now)
{
	struct asked q;
	uint32_t i = 0;

	while (i < l->asked_count && l->asked[i].tag != a->tag)
		i++;
	if (i == l->asked_count || l->state == ZK_DEAD)
		return;
	q = l->asked[i];
	memmove(&l->asked[i], &l->asked[i + 1], (--l->asked_count - i) * sizeof(q));
	if (q.what == W_CLEAN)
		return;
	if (a->result == ZK_DENIED) {
		zk_logic_denied(l);
		return;
	}
	if (a->result == ZK_BROKEN && q.what != W_ROUND) {
		zk_fail(l, "%s", a->text);
		return;
	}
	if (q.what == W_PROPOSED_PART || q.what == W_COMMIT)
		proposal_answer(l, q.what, a);
	else if (l->state == ZK_ENTER)
		enter_answer(l, &q, a, now);
	else if (q.what == W_ANNOUNCE)
		l->round_due = l->live_unknown = true;
	else
		round_answer(l, &q, a);
	zk_advance(l, now);
}

/* ---- The driver's face ---- */

struct zk_logic *zk_logic_create(const struct zk_config *config, const struct node_info *self,
                                 const struct zk_service *service, const struct member_callbacks *callbacks)
{
	struct zk_logic *l = xcalloc(1, sizeof(*l));

	l->cb = *callbacks;
	l->service = *service;
	l->log = config->log;
	snprintf(l->base, sizeof(l->base), "%s", config->base);
	l->timeout_ms = config->timeout_ms;
	l->part_bytes = config->part_bytes ? config->part_bytes : ZK_PART_BYTES;
	l->self = *self;
	return l;
}

void zk_logic_destroy(struct zk_logic *l)
{
	if (!l)
		return;
	round_forget(l);
	free(l->proposal.bytes);
	free(l->asked);
	free(l->nodes);
	free(l);
}

void zk_logic_join(struct zk_logic *l, uint64_t now)
{
	(void)now;
	l->state = ZK_ENTER;
	l->service.reopen(l->service.arg);
}

void zk_logic_leave(struct zk_logic *l)
{
	if (l->state == ZK_AWAY || l->state == ZK_DEAD)
		return;
	l->state = ZK_AWAY;
	l->connected = false;
	l->asked_count = 0;
	round_forget(l);
	l->service.close(l->service.arg);
}

void zk_logic_propose(struct zk_logic *l, uint64_t expected_cluster, uint32_t expected_epoch,
                      const struct map *map)
{
	struct proposal *p = &l->proposal;

	if (l->state == ZK_AWAY || l->state == ZK_DEAD)
		return; /* it left, or failed: nothing of it may win any more */
	free(p->bytes);
	*p = (struct proposal){.state = P_NEW, .expected_cluster = expected_cluster,
	                       .expected_epoch = expected_epoch, .epoch = map->epoch, .cluster = map->cluster};
	map_encode(map, &p->bytes, &p->len);
}

void zk_logic_update(struct zk_logic *l, const struct node_info *self)
{
	l->self = *self;
	l->announce_due = l->state == ZK_IN;
}

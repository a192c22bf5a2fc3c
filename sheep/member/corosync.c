/* SPDX-License-Identifier: Apache-2.0 */
#include <corosync/cpg.h>
#include <corosync/votequorum.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/htab.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "sheep/member/cs_disk.h"
#include "sheep/member/cs_frames.h"
#include "sheep/member/cs_logic.h"
#include "sheep/member/member.h"

/*
 * Membership by Corosync 3 (-c corosync[:CLUSTER]): drives cs_logic.c with a closed process group of libcpg, and how many nodes
 * there are from votequorum. Messages are sent in fragments; one counts where its last fragment stands in the order. When
 * corosync on this machine ends, its successor is looked for; until then there is no view, and no lease.
 */
enum {
	TICK_MS = 50,
	REOPEN_MS = 300,
	VOTES_MS = 1000, /* how often the quorum is looked at, */
	NO_VOTES_MS = 100, /* and where there is none */
	TWINS_MS = 3000, /* the process before may still be on its way out */
};

struct member {
	struct member_callbacks callbacks;
	struct ev_loop *loop;
	const struct log *log;
	struct node_info self;
	struct cpg_name group;
	struct cs_disk disk;
	struct cs_logic *logic;
	bool joined, connected, broken, over, told;
	cpg_handle_t cpg;
	votequorum_handle_t votes;
	uint32_t node;
	uint64_t ring, reopen_ms, votes_ms, twins_ms;
	uint32_t nodes;
	bool quorate;
	uint32_t member_count;
	struct cs_id members[CPG_MEMBERS_MAX];
	struct cs_frames frames;
	ev_io io;
	ev_timer tick;
};

/* ---- Sending ---- */

static void queue_flush(struct member *m)
{
	struct cs_frame *f;

	while (m->connected && !m->broken && (f = cs_frames_first(&m->frames))) {
		struct iovec iov = {f->bytes, f->len};
		cs_error_t rc = cpg_mcast_joined(m->cpg, CPG_TYPE_AGREED, &iov, 1);

		if (rc == CS_ERR_TRY_AGAIN)
			return;
		if (rc == CS_OK)
			cs_frames_pop(&m->frames);
		else
			m->broken = true;
	}
}

static void on_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct member *m = arg;

	if (!m->connected)
		return;
	if (!cs_frames_put(&m->frames, bytes, len))
		m->broken = true; /* corosync takes nothing: begin anew */
	queue_flush(m);
}

static void on_deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid, void *msg,
                       size_t len)
{
	struct cs_id from = {node, pid};
	const uint8_t *whole;
	struct member *m;

	if (cpg_context_get(handle, (void **)&m) != CS_OK)
		return;
	whole = cs_frames_take(&m->frames, from, msg, len, &len);
	if (whole && !m->over)
		cs_logic_message(m->logic, clock_boottime_ms(), from, whole, len);
}

/* ---- Views ---- */

static void votes_look(struct member *m)
{
	struct votequorum_info info;

	m->votes_ms = clock_boottime_ms();
	if (votequorum_getinfo(m->votes, m->node, &info) != CS_OK) {
		m->broken = true;
		return;
	}
	m->nodes = info.node_expected_votes;
	m->quorate = info.flags & VOTEQUORUM_INFO_QUORATE;
}

static void view_tell(struct member *m, const struct cs_id *dead, uint32_t dead_count)
{
	struct cs_view v = {
		.ring = m->ring,
		.nodes = m->nodes,
		.quorate = m->quorate,
		.count = m->member_count,
		.members = m->members,
		.dead_count = dead_count,
		.dead = dead,
	};

	if (m->member_count && !m->over)
		cs_logic_view(m->logic, clock_boottime_ms(), &v);
}

static void on_confchg(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *members,
                       size_t count, const struct cpg_address *left, size_t left_count,
                       const struct cpg_address *joined, size_t joined_count)
{
	struct cs_id dead[CPG_MEMBERS_MAX];
	uint32_t dead_count = 0;
	struct member *m;

	if (cpg_context_get(handle, (void **)&m) != CS_OK)
		return;
	m->member_count = 0;
	for (size_t i = 0; i < count && i < CPG_MEMBERS_MAX; i++)
		m->members[m->member_count++] = (struct cs_id){members[i].nodeid, members[i].pid};
	/* Not PROCDOWN: it is also told of a living process whose corosync ends in order, or whose connection broke. */
	for (size_t i = 0; i < left_count && i < CPG_MEMBERS_MAX; i++)
		if (left[i].reason == CPG_REASON_LEAVE)
			dead[dead_count++] = (struct cs_id){left[i].nodeid, left[i].pid};
	cs_frames_keep(&m->frames, m->members, m->member_count);
	votes_look(m);
	view_tell(m, dead, dead_count);
}

static void on_totem(cpg_handle_t handle, struct cpg_ring_id ring, uint32_t count, const uint32_t *nodes)
{
	struct member *m;

	if (cpg_context_get(handle, (void **)&m) != CS_OK)
		return;
	m->ring = hash64(ring.seq ^ hash64(ring.nodeid));
	votes_look(m);
	view_tell(m, NULL, 0);
}

/* ---- The connection ---- */

static void handle_close(struct member *m)
{
	if (!m->connected)
		return;
	ev_io_stop(m->loop, &m->io);
	cpg_finalize(m->cpg);
	votequorum_finalize(m->votes);
	m->connected = m->broken = false;
	m->member_count = 0;
	cs_frames_keep(&m->frames, NULL, 0);
	cs_frames_drop(&m->frames);
	cs_logic_alone(m->logic);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents);

static cs_error_t handle_open(struct member *m)
{
	cpg_model_v1_data_t model = {
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_totem,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};
	votequorum_callbacks_t none = {0};
	cs_error_t rc = cpg_model_initialize(&m->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, m);
	int fd;

	if (rc != CS_OK)
		return rc;
	rc = votequorum_initialize(&m->votes, &none);
	if (rc != CS_OK) {
		cpg_finalize(m->cpg);
		return rc;
	}
	m->connected = true;
	m->broken = false;
	rc = cpg_local_get(m->cpg, &m->node);
	if (rc == CS_OK)
		rc = cpg_fd_get(m->cpg, &fd);
	if (rc == CS_OK) {
		ev_io_init(&m->io, on_io, fd, EV_READ);
		m->io.data = m;
		ev_io_start(m->loop, &m->io);
		cs_logic_set_id(m->logic, (struct cs_id){m->node, (uint32_t)getpid()});
		rc = cpg_join(m->cpg, &m->group);
	}
	if (rc != CS_OK)
		handle_close(m);
	return rc;
}

static void look_for_corosync(struct member *m)
{
	cs_error_t rc;

	if (clock_boottime_ms() < m->reopen_ms)
		return;
	m->reopen_ms = clock_boottime_ms() + REOPEN_MS;
	rc = handle_open(m);
	if (rc == CS_OK)
		log_info(m->log, "Corosync: joined the group %.*s on node %u", (int)m->group.length,
		         m->group.value, m->node);
	else if (!m->told)
		log_warn(m->log, "Corosync cannot be reached (%s); waiting for it%s", cs_strerror(rc),
		         rc == CS_ERR_ACCESS ? ": corosync.conf has to name our user in a uidgid section" : "");
	m->told = rc != CS_OK;
}

/* The register of a machine can be kept by one daemon only. */
static void twins_look(struct member *m)
{
	uint32_t here = 0;

	for (uint32_t i = 0; i < m->member_count; i++)
		here += m->members[i].node == m->node;
	if (here < 2) {
		m->twins_ms = 0;
		return;
	}
	if (!m->twins_ms)
		m->twins_ms = clock_boottime_ms();
	if (clock_boottime_ms() < m->twins_ms + TWINS_MS)
		return;
	m->over = true;
	m->callbacks.failed(m->callbacks.arg, "another sheep of this cluster runs on this Corosync node; use one, or "
	                                      "another cluster's name (-c corosync:NAME)");
}

static void turn(struct member *m)
{
	uint32_t nodes = m->nodes;
	bool quorate = m->quorate;

	if (!m->joined || m->over)
		return;
	if (m->connected && m->broken) {
		log_warn(m->log, "Corosync: connection lost");
		handle_close(m);
	}
	if (!m->connected) {
		look_for_corosync(m);
		return;
	}
	if (clock_boottime_ms() >= m->votes_ms + (m->quorate ? VOTES_MS : NO_VOTES_MS))
		votes_look(m);
	if (nodes != m->nodes || quorate != m->quorate)
		cs_logic_votes(m->logic, m->nodes, m->quorate);
	twins_look(m);
	if (!m->over)
		cs_logic_run(m->logic, clock_boottime_ms());
	queue_flush(m);
}

static void on_io(struct ev_loop *loop, ev_io *w, int revents)
{
	struct member *m = w->data;
	cs_error_t rc = cpg_dispatch(m->cpg, CS_DISPATCH_ALL);

	if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN)
		m->broken = true;
	turn(m);
}

static void maps_tell(struct member *m);

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct member *m = w->data;

	if (!m->logic)
		maps_tell(m);
	if (m->logic)
		turn(m);
}

/* ---- What is on the disk ---- */

static int on_vote_save(void *arg, const struct cs_vote *vote)
{
	struct member *m = arg;

	return cs_disk_vote_save(&m->disk, vote);
}

static int on_map_save(void *arg, uint32_t seq, const struct map *map)
{
	struct member *m = arg;

	return seq == m->disk.reg.seq + 1 ? cs_disk_map_save(&m->disk, map) : -SF_ECORRUPT;
}

static int on_map_load(void *arg, uint32_t seq, struct map **ret)
{
	struct member *m = arg;

	return cs_disk_map_load(&m->disk, seq, ret);
}

static void on_failed(void *arg, const char *why)
{
	struct member *m = arg;

	m->over = true;
	m->callbacks.failed(m->callbacks.arg, why);
}

static void on_map(void *arg, struct map *map)
{
	struct member *m = arg;

	m->callbacks.map(m->callbacks.arg, map);
}

static void on_live(void *arg, const struct node_info *nodes, uint32_t count)
{
	struct member *m = arg;

	m->callbacks.live(m->callbacks.arg, nodes, count);
}

static void on_lease(void *arg, uint64_t proven_ms, uint32_t lease_ms)
{
	struct member *m = arg;

	m->callbacks.lease(m->callbacks.arg, proven_ms, lease_ms);
}

static void on_proposed(void *arg, int result)
{
	struct member *m = arg;

	m->callbacks.proposed(m->callbacks.arg, result);
}

/* ---- The driver's face ---- */

static struct cs_vote vote_taken(struct cs_vote *from)
{
	struct cs_vote vote = *from;

	memset(from, 0, sizeof(*from));
	return vote;
}

struct start {
	struct member m;
	struct cs_vote vote;
};

/* First of all the maps that are here: they have won. */
static void maps_tell(struct member *m)
{
	struct start *s = container_of(m, struct start, m);
	struct cs_config config = {
		.self = m->self,
		.log = m->log,
		.callbacks = {m, on_map, on_live, on_lease, on_proposed, on_failed},
		.ops = {m, on_send, on_vote_save, on_map_save, on_map_load},
	};
	struct map *map;
	int got;

	while ((got = local_register_next(&m->disk.reg, &map)) > 0) {
		if (!config.reg)
			config.reg = map->cluster;
		m->callbacks.map(m->callbacks.arg, map);
		map_unref(map);
	}
	if (got < 0) {
		m->over = true;
		m->callbacks.failed(m->callbacks.arg, "the maps kept in META_DIR cannot be read");
		return;
	}
	config.committed = m->disk.reg.seq;
	config.cluster = m->disk.reg.cluster;
	config.epoch = m->disk.reg.epoch;
	config.vote = vote_taken(&s->vote);
	m->logic = cs_logic_create(&config);
}

static int spec_parse(struct member *m, const char *spec, char dir[PATH_MAX], char text[512])
{
	const char *at = strstr(spec, ",dir=");
	size_t len = strcspn(spec, ",");

	if (!at || !at[5] || at != spec + len || len > 100) {
		snprintf(text, 512, "-c corosync:%.200s: give corosync or corosync:CLUSTER", spec);
		return -EINVAL;
	}
	m->group.length = (uint32_t)snprintf(m->group.value, sizeof(m->group.value), "sheepfold:%.*s",
	                                     len ? (int)len : 7, len ? spec : "default");
	snprintf(dir, PATH_MAX, "%s", at + 5);
	return 0;
}

static int member_create(const char *spec, const struct node_info *self, struct ev_loop *loop, const struct log *log,
                         const struct member_callbacks *callbacks, struct member **ret, char text[512])
{
	struct start *s = xcalloc(1, sizeof(*s));
	struct member *m = &s->m;
	char dir[PATH_MAX];
	int err = spec_parse(m, spec ? spec : "", dir, text);

	if (!err) {
		err = cs_disk_open(&m->disk, dir, self->id, &s->vote);
		if (err)
			snprintf(text, 512, "%.300s: %s", dir, sf_strerror(err));
	}
	if (err) {
		free(s);
		return err;
	}
	m->callbacks = *callbacks;
	m->self = *self;
	m->loop = loop;
	m->log = log;
	cs_frames_init(&m->frames);
	ev_timer_init(&m->tick, on_tick, 0., TICK_MS / 1000.);
	m->tick.data = m;
	*ret = m;
	return 0;
}

static int member_join(struct member *m, char text[512])
{
	m->joined = true;
	ev_timer_start(m->loop, &m->tick);
	return 0;
}

static void member_propose(struct member *m, uint64_t expected_cluster, uint32_t expected_epoch,
                           const struct map *map)
{
	cs_logic_propose(m->logic, expected_cluster, expected_epoch, map);
}

static int member_update(struct member *m, const struct node_info *self)
{
	m->self = *self;
	if (m->logic)
		cs_logic_update(m->logic, self);
	return 0;
}

static void member_leave(struct member *m)
{
	if (!m->joined)
		return;
	m->joined = false;
	ev_timer_stop(m->loop, &m->tick);
	if (m->connected) {
		cpg_leave(m->cpg, &m->group);
		handle_close(m);
	}
}

static void member_destroy(struct member *m)
{
	if (!m)
		return;
	member_leave(m);
	cs_logic_destroy(m->logic);
	cs_disk_close(&m->disk);
	free(container_of(m, struct start, m)->vote.data);
	free(container_of(m, struct start, m));
}

const struct member_driver member_corosync = {
	.name = "corosync",
	.waits = true,
	.keeps_maps = true,
	.create = member_create,
	.join = member_join,
	.propose = member_propose,
	.update = member_update,
	.leave = member_leave,
	.destroy = member_destroy,
};

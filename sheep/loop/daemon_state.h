/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_DAEMON_STATE_H
#define SF_LOOP_DAEMON_STATE_H

#include <ev.h>

#include "sheep/core/node.h"
#include "sheep/loop/completions.h"
#include "sheep/loop/compute_pool.h"
#include "sheep/loop/daemon.h"
#include "sheep/loop/disks.h"
#include "sheep/member/member.h"
#include "sheep/net/net.h"

/* What daemon.c (start, what happens, end) and daemon_step.c (what the node wants done) share. */
struct daemon {
	struct daemon_options options;
	const struct log *log;
	struct ev_loop *loop;
	struct node_info info;
	struct buf_pool *pool;
	struct node *node;
	struct net *net;
	const struct member_driver *driver;
	struct member *member;
	struct completions completions;
	struct compute_pool *compute;
	struct disks *disks;
	struct effects fx;
	struct list computed; /* done in place, not yet told to the node */
	uint32_t adopting;    /* disks that have not answered yet */
	uint64_t adopting_cluster;
	int adopt_result;
	uint32_t quiet_ticks;       /* in a row in which no payload was held */
	bool joined, stopping;
	bool announce; /* disks came or went: the live set is to know */
	int exit_status;
	char stop_why[DAEMON_TEXT_LEN];
	ev_timer tick, leave, linger, join;
	ev_prepare before_wait;
	ev_idle unsent; /* active while a step's effects await before_wait: keeps the loop from waiting */
	ev_signal term, intr, hup;
};

void daemon_stop(struct daemon *d, int status, const char *why);
/* Gives the node an event and carries out what it wants. */
void daemon_step(struct daemon *d, struct event ev);
/* Stamps all disks with the cluster; EV_ADOPTED when they have answered. */
void daemon_adopt(struct daemon *d, uint64_t cluster);
/* Just before the loop waits: everything this round gave rise to leaves together. */
void daemon_before_wait(struct ev_loop *loop, ev_prepare *w, int revents);

#endif

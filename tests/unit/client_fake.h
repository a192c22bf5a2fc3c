/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TESTS_CLIENT_FAKE_H
#define SF_TESTS_CLIENT_FAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/place/map.h"
#include "lib/wire/msg.h"

/*
 * A cluster of fake daemons for tests of the client library: real sockets and frames, one store of
 * whole objects that all nodes share, a real map. A daemon serves what it is primary of and refuses
 * the rest as a real one does. Faults are ordered by setting a counter; each fault uses one up.
 */
enum { FAKE_NODES = 4, FAKE_CONNS = 64, FAKE_REMEMBERED = 4096 };

struct fake_object {
	struct fake_object *next;
	uint32_t pool;
	uint64_t oid;
	uint8_t *data;
	uint32_t len;
	uint64_t version; /* of the last change */
};
struct fake_conn {
	struct fake *fake;
	uint32_t node;
	int fd;
	bool used, ended;
	pthread_t thread;
};
struct fake_node {
	struct fake *fake;
	uint32_t index;
	uint64_t id;
	uint16_t port;
	int listen_fd;
	bool up, running;
	pthread_t thread;
};
struct fake {
	pthread_mutex_t lock;
	struct map *map;
	struct placement *placement;
	struct fake_node nodes[FAKE_NODES];
	struct fake_conn conns[FAKE_CONNS];
	struct fake_object *objects;
	struct req_id applied[FAKE_REMEMBERED]; /* the last ones */
	uint32_t applied_count;
	uint64_t versions; /* given out so far */
	/* Seen. */
	uint32_t writes, map_writes, reads, retries_of_applied;
	/* Faults, for requests of the data pool; the counter says for how many. */
	uint32_t drop_before, drop_after, answer_again, answer_nospace, damage_payload,
		never_answer;
	/* When cut: so many changes are made yet, all later ones are refused. */
	bool cut;
	uint32_t cut_after;
	bool data_lost;  /* while set, all data are lost */
	bool meta_again; /* while set, no request of the metadata pool is served */
	/* While set: of the changes of inodes' headers, or of data, one after so many others has not arrived. */
	bool late, late_data;
	uint32_t late_after;
	struct req_id late_req; /* it */
};

void fake_start(struct fake *fake, uint32_t k, uint32_t m);
void fake_stop(struct fake *fake);
/* The daemon stops at once; the map says so from now on when `noticed`. */
void fake_kill(struct fake *fake, uint32_t node, bool noticed);
void fake_notice(struct fake *fake, uint32_t node);
bool fake_has(struct fake *fake, uint32_t pool, uint64_t oid);
uint32_t fake_count(struct fake *fake, uint32_t pool);
/* Removes all objects of the pool within [first, last]. */
void fake_drop(struct fake *fake, uint32_t pool, uint64_t first, uint64_t last);
void fake_put(struct fake *fake, uint32_t pool, uint64_t oid, uint32_t off, const void *data,
              uint32_t len);

#endif

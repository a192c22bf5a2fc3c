/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_CS_H
#define SF_SIM_CS_H

#include "sheep/member/cs_frames.h"
#include "sheep/member/cs_logic.h"
#include "tests/sim/sim_driver.h"
#include "tests/sim/world.h"

/*
 * A simulated Corosync on every machine (sim_cs_totem.c) and, per node, what sheep/member/corosync.c does with it for the real
 * logic of sheep/member/cs_logic.c (sim_cs.c).
 *
 * What it keeps of Corosync:
 *   - machines that hear each other form a ring; each machine is in one ring at a time. A ring has one order of messages and of
 *     processes that join and leave the group, and each of its machines receives a beginning of it, in this order;
 *   - a ring ends when a machine of it has not been heard for the token's time, or when another ring comes into reach. Those who go
 *     on together into the next ring have received the same of the last one; what the others received beyond it, they may never
 *     hear. What a machine had sent and nobody who stays with it had received is sent in the next ring;
 *   - in a new ring the processes behind machines that did not come along leave the group at once; those on machines that came from
 *     another ring join one after the other;
 *   - a process reads all this later, and how many nodes its ring has (quorum) whenever it looks, not in the order;
 *   - a Corosync that stands still is dropped by the others and finds out later; one that ends loses all that it had not passed on;
 *     ended in order it first says of its processes what it says of those that died, though they live.
 *
 * Every daemon keeps its vote and its maps; they survive everything but the loss of its directory.
 *
 * Beside what the whole run is checked for, here: whoever is told a lease knows every map that was known to anybody
 * before the moment from which it counts; no two maps win as the same number; a proposal that is said to have lost has not won.
 */
enum { CS_IDS_MAX = 2 * SIM_MAX_NODES };

enum cs_item_type { ITEM_MESSAGE, ITEM_JOINED, ITEM_LEFT, ITEM_ENDED };
struct cs_item { /* of a ring's order */
	uint32_t refs;
	enum cs_item_type type;
	uint32_t machine; /* where it comes from */
	struct cs_id id;  /* who sent it, joined, left, or is not connected any more */
	size_t len;
	uint8_t bytes[];
};

struct cs_ring {
	struct cs_ring *next;
	uint64_t id, broken_us; /* since when not everybody hears everybody; 0: they do */
	uint32_t members;       /* bit set of machines */
	bool lost;              /* one of them has ended: the others notice after the token's time */
	struct cs_item **items;
	uint32_t count, capacity;
};

enum cs_event_type { EVENT_RING, EVENT_VIEW, EVENT_MESSAGE };
struct cs_event { /* for the process on this machine */
	struct cs_event *next;
	enum cs_event_type type;
	uint64_t ring;
	uint32_t member_count, dead_count;
	struct cs_id members[CS_IDS_MAX], dead[1];
	struct cs_item *item;
};

struct cs_machine {
	bool up;
	uint64_t stuck_until_us;
	uint32_t side;  /* of a network of its own: sides do not hear each other */
	uint32_t reign; /* counts starts */
	struct cs_ring *ring;
	uint32_t received; /* items of the ring */
	uint32_t member_count;
	struct cs_id members[CS_IDS_MAX]; /* of the group, by what was received */
	struct cs_id process;             /* here; pid 0: none */
	struct cs_item **out;             /* not in the order yet */
	uint32_t out_count;
	bool sending, receiving;
	struct cs_event *first, **last;
};

struct cs_store { /* a daemon's directory */
	struct cs_vote vote;
	struct map **maps;
	uint32_t map_count;
};

struct cs_client;
struct cs_engine {
	bool faults;
	uint32_t token_ms;
	uint64_t ring_count, changed_us; /* who is in which ring, or will be */
	uint32_t configured; /* nodes in corosync.conf: bit set */
	struct cs_ring *rings;
	struct cs_machine machines[SIM_MAX_NODES];
	struct cs_store stores[SIM_MAX_NODES];
	struct cs_client *clients[SIM_MAX_NODES];
	struct cs_client *dead; /* freed at the end */
};

/* sim_cs_totem.c */
void cs_totem_start(struct world *w, struct cs_engine *e);
void cs_totem_destroy(struct cs_engine *e);
void cs_machine_up(struct world *w, uint32_t machine); /* if it is not */
void cs_machine_down(struct world *w, uint32_t machine);
bool cs_machine_is_stuck(const struct world *w, uint32_t machine);
uint32_t cs_machine_ring_size(const struct world *w, uint32_t machine);
void cs_process_join(struct world *w, uint32_t machine, struct cs_id id);
void cs_process_leave(struct world *w, uint32_t machine, bool in_order);
void cs_process_send(struct world *w, uint32_t machine, const uint8_t *bytes, size_t len);
void cs_event_free(struct cs_event *e);
void cs_item_unref(struct cs_item *item);
void cs_totem_start_faults(struct world *w);
void cs_totem_heal(struct world *w);

/* sim_cs.c: something waits to be read. */
void cs_client_wake(struct world *w, uint32_t node);

#endif

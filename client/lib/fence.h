/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_FENCE_H
#define SF_CLIENT_FENCE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Until when requests may be sent that are right only under a lock. Looked at whenever bytes of
 * one go out: what was stopped for a while (SIGSTOP, a sleeping machine) sends nothing more. A
 * fence that has passed holds requests back; one that is lost fails them with -ENOLCK.
 *
 * On the I/O thread only.
 */
struct fence {
	uint64_t until_ms; /* by fence_now_ms */
	bool final;        /* nobody renews it: lost once it has passed */
	bool lost;
	char why[128]; /* how it was lost */
};

/* Milliseconds that go on while the machine sleeps. */
uint64_t fence_now_ms(void);

static inline bool fence_is_open(const struct fence *fence)
{
	return !fence || (!fence->lost && fence_now_ms() < fence->until_ms);
}
static inline bool fence_is_lost(const struct fence *fence)
{
	return fence && (fence->lost || (fence->final && fence_now_ms() >= fence->until_ms));
}

/* The fence of all changes that this thread asks for by calls that wait; NULL: none. */
const struct fence *fence_of_thread(void);
void fence_set_thread(const struct fence *fence);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_LOOP_SYSTEM_H
#define SF_LOOP_SYSTEM_H

#include <stdint.h>

/* What the daemon asks of the machine it runs on. */

/* Random, never 0; made of `fallback` where the kernel has no random numbers. */
uint64_t system_random_id(uint64_t fallback);
/*
 * Tells systemd (sd_notify(3): one datagram to $NOTIFY_SOCKET), "READY=1" or "STOPPING=1" say, with
 * a line for people. Without a service manager nothing happens.
 */
void system_notify(const char *state, const char *status);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_BASE_CLOCK_H
#define SF_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_BOOTTIME: a machine that has slept knows that its lease is over. */
uint64_t clock_boottime_ms(void);

#endif

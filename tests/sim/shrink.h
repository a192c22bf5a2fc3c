/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_SHRINK_H
#define SF_SIM_SHRINK_H

#include "tests/sim/scenario.h"

/*
 * Makes a failing run smaller: faults of its list are left out, many at once and then one by one,
 * as long as it still fails. Leaving something out changes the course of all that follows, so each
 * try is given several courses (salts). Every try is a process of its own: a failed assertion is a
 * failure like any other.
 *
 * options is changed to the smallest that was found. Prints how to run it and what is left in it.
 */
void shrink_run(struct scenario_options *options);

#endif

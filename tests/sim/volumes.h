/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SIM_VOLUMES_H
#define SF_SIM_VOLUMES_H

#include "tests/sim/scenario.h"

/*
 * A run with volumes (sim --volumes): processes with the real client library work on them while things break, and vanish;
 * all heals; then every image must be what the model says, operations go on without faults, all is deleted,
 * and no object is left on any disk.
 */
void volumes_run(struct scenario *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_member.h"

const struct sim_driver sim_zk = {.name = "zookeeper"};

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_SHEEP_ADDRESS_H
#define SF_SHEEP_ADDRESS_H

#include "sheep/options.h"

/*
 * Which address to listen on and which one to tell the others, where the options leave it open.
 * Without a key only loopback will do. With one the daemon listens everywhere, and tells
 *
 *   what -i or -y say, else what -b says, else
 *   the address from which this host reaches the membership engine, else
 *   the first address of this host that is neither loopback nor link-local
 *
 * Fills in bind_addr and my_addr. 0, or -1 and one line in text.
 */
int address_choose(struct options *o, char text[OPTIONS_TEXT_LEN]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_CLIENT_CONN_RX_H
#define SF_CLIENT_CONN_RX_H

struct conn;

/* Receives what there is (within its turn) and hands answers to their requests. Not NULL: why the
 * connection must be closed. */
const char *conn_receive(struct conn *conn);

#endif

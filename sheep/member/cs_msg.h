/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_MEMBER_CS_MSG_H
#define SF_MEMBER_CS_MSG_H

#include <stddef.h>
#include <stdint.h>

/* What daemons say to each other in the Corosync group (cs_logic.h), as bytes. */
enum cs_type {
	CS_STATE = 1, /* what I know, at the beginning of this view: promised accepted_* committed reg, info in data;
	               * ballot: of the last view that was active here */
	CS_READY,     /* I have promised `ballot` */
	CS_PROPOSE,   /* ballot seq nonce, the map in data */
	CS_ACK,       /* ballot seq nonce: durable here */
	CS_BEAT,      /* ballot beat, committed: what I know to have won; whom I heard last in echoes */
	CS_WANT,      /* committed: I lack what comes after */
	CS_MAP,       /* seq, the map in data: one that has won */
	CS_INFO,      /* my announcement in data */
	CS_ANEW,      /* all begin this view anew */
};
enum { CS_ECHO_MAX = 1024, CS_DATA_MAX = 8 << 20 };

struct cs_echo {
	uint32_t node, pid;
	uint64_t beat;
};
struct cs_msg {
	uint32_t type;
	uint64_t view, ballot, promised, accepted_ballot, accepted_nonce, reg, nonce, beat;
	uint32_t accepted_seq, committed, seq;
	uint32_t echo_count;
	const struct cs_echo *echoes;
	const uint8_t *data;
	uint32_t len;
};

/* malloc'ed. */
uint8_t *cs_msg_encode(const struct cs_msg *m, size_t *ret_len);
/* echoes: room for CS_ECHO_MAX. What it points to lies in bytes. -SF_EFORMAT. */
int cs_msg_decode(const uint8_t *bytes, size_t len, struct cs_echo *echoes, struct cs_msg *ret);

#endif

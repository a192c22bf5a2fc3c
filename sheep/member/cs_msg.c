/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/member/cs_msg.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { CS_MAGIC = 0x31736643, HEAD_LEN = 4 + 4 + 8 * 8 + 3 * 4 + 2 * 4, ECHO_LEN = 16 };

static void put32(uint8_t **p, uint32_t n)
{
	n = htole32(n);
	memcpy(*p, &n, 4);
	*p += 4;
}

static void put64(uint8_t **p, uint64_t n)
{
	n = htole64(n);
	memcpy(*p, &n, 8);
	*p += 8;
}

static uint32_t get32(const uint8_t **p)
{
	uint32_t n;

	memcpy(&n, *p, 4);
	*p += 4;
	return le32toh(n);
}

static uint64_t get64(const uint8_t **p)
{
	uint64_t n;

	memcpy(&n, *p, 8);
	*p += 8;
	return le64toh(n);
}

uint8_t *cs_msg_encode(const struct cs_msg *m, size_t *ret_len)
{
	size_t len = HEAD_LEN + (size_t)m->echo_count * ECHO_LEN + m->len;
	uint8_t *bytes = xmalloc(len), *p = bytes;

	put32(&p, CS_MAGIC);
	put32(&p, m->type);
	put64(&p, m->view);
	put64(&p, m->ballot);
	put64(&p, m->promised);
	put64(&p, m->accepted_ballot);
	put64(&p, m->accepted_nonce);
	put64(&p, m->reg);
	put64(&p, m->nonce);
	put64(&p, m->beat);
	put32(&p, m->accepted_seq);
	put32(&p, m->committed);
	put32(&p, m->seq);
	put32(&p, m->echo_count);
	put32(&p, m->len);
	assert(p == bytes + HEAD_LEN);
	for (uint32_t i = 0; i < m->echo_count; i++) {
		put32(&p, m->echoes[i].node);
		put32(&p, m->echoes[i].pid);
		put64(&p, m->echoes[i].beat);
	}
	if (m->len)
		memcpy(p, m->data, m->len);
	*ret_len = len;
	return bytes;
}

int cs_msg_decode(const uint8_t *bytes, size_t len, struct cs_echo *echoes, struct cs_msg *ret)
{
	const uint8_t *p = bytes;

	if (len < HEAD_LEN || get32(&p) != CS_MAGIC)
		return -SF_EFORMAT;
	memset(ret, 0, sizeof(*ret));
	ret->type = get32(&p);
	ret->view = get64(&p);
	ret->ballot = get64(&p);
	ret->promised = get64(&p);
	ret->accepted_ballot = get64(&p);
	ret->accepted_nonce = get64(&p);
	ret->reg = get64(&p);
	ret->nonce = get64(&p);
	ret->beat = get64(&p);
	ret->accepted_seq = get32(&p);
	ret->committed = get32(&p);
	ret->seq = get32(&p);
	ret->echo_count = get32(&p);
	ret->len = get32(&p);
	if (ret->echo_count > CS_ECHO_MAX || ret->len > CS_DATA_MAX ||
	    len != HEAD_LEN + (size_t)ret->echo_count * ECHO_LEN + ret->len)
		return -SF_EFORMAT;
	for (uint32_t i = 0; i < ret->echo_count; i++) {
		echoes[i].node = get32(&p);
		echoes[i].pid = get32(&p);
		echoes[i].beat = get64(&p);
	}
	ret->echoes = echoes;
	ret->data = p;
	return 0;
}

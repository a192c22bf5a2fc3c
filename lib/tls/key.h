/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_TLS_KEY_H
#define SF_TLS_KEY_H

#include <stdint.h>

/*
 * The keys that open a cluster. A key file has one key a line, 64 hexadecimal digits; empty lines
 * and those that begin with # are skipped. The first key is used where we connect, all of them are
 * accepted from those who connect to us: so keys change node by node. Nobody but its owner may
 * read the file.
 */
enum { KEY_LEN = 32, KEY_HEX_LEN = 2 * KEY_LEN, KEY_MAX = 4, KEY_ID_LEN = 24 };
struct key {
	uint8_t secret[KEY_LEN];
	char id[KEY_ID_LEN]; /* tells keys apart, and nothing about them: said in the open */
};
struct keys {
	uint32_t count;
	struct key v[KEY_MAX];
};

/* 0 or negative; then one line in text. */
int keys_read(const char *path, struct keys *ret, char text[512]);
void keys_wipe(struct keys *keys);
/* A new key as a line for a key file. 0 or -errno. */
int key_generate(char hex[KEY_HEX_LEN + 1]);

#endif

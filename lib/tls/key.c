/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/key.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static int nibble(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* What the other side finds the key by: a hash that does not lead back to it. */
static void key_set_id(struct key *k)
{
	static const char label[] = "sheepfold key id";
	uint8_t input[sizeof(label) + KEY_LEN], hash[SHA256_DIGEST_LENGTH];

	memcpy(input, label, sizeof(label));
	memcpy(input + sizeof(label), k->secret, KEY_LEN);
	SHA256(input, sizeof(input), hash);
	snprintf(k->id, sizeof(k->id), "sf-%02x%02x%02x%02x%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3],
	         hash[4], hash[5], hash[6], hash[7]);
	OPENSSL_cleanse(input, sizeof(input));
}

static bool key_parse(const char *hex, struct key *ret)
{
	for (int i = 0; i < KEY_LEN; i++) {
		int high = nibble(hex[2 * i]), low = high < 0 ? -1 : nibble(hex[2 * i + 1]);
		if (low < 0)
			return false;
		ret->secret[i] = (uint8_t)(high << 4 | low);
	}
	key_set_id(ret);
	return hex[KEY_HEX_LEN] == '\0';
}

/* NULL, or what is wrong. */
static const char *keys_parse(FILE *f, struct keys *ret)
{
	char line[256];
	const char *bad = NULL;

	while (!bad && fgets(line, sizeof(line), f)) {
		char *text = line + strspn(line, " \t");
		text[strcspn(text, " \t\r\n")] = '\0';
		if (!*text || *text == '#')
			continue;
		if (ret->count == KEY_MAX)
			bad = "it holds more than 4 keys";
		else if (!key_parse(text, &ret->v[ret->count++]))
			bad = "a line is not a key of 64 hexadecimal digits (dog key generate makes one)";
	}
	OPENSSL_cleanse(line, sizeof(line));
	if (!bad && !ret->count)
		bad = "it holds no key (dog key generate makes one)";
	return bad;
}

int keys_read(const char *path, struct keys *ret, char text[512])
{
	struct keys keys = {0};
	const char *bad = NULL;
	struct stat st;
	FILE *f = fopen(path, "re");

	if (!f || fstat(fileno(f), &st) < 0) {
		snprintf(text, 512, "the key file %.300s cannot be read: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return -EINVAL;
	}
	if (S_ISREG(st.st_mode) && st.st_mode & 077)
		bad = "others than its owner may read it (chmod 600)";
	else
		bad = keys_parse(f, &keys);
	fclose(f);
	if (bad) {
		snprintf(text, 512, "the key file %.300s cannot be used: %s", path, bad);
		keys_wipe(&keys);
		return -EINVAL;
	}
	*ret = keys;
	keys_wipe(&keys);
	return 0;
}

void keys_wipe(struct keys *keys)
{
	OPENSSL_cleanse(keys, sizeof(*keys));
}

int key_generate(char hex[KEY_HEX_LEN + 1])
{
	uint8_t secret[KEY_LEN];

	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		return -errno;
	for (int i = 0; i < KEY_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", secret[i]);
	OPENSSL_cleanse(secret, sizeof(secret));
	return 0;
}

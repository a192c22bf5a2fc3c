/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/dog.h"

/* To a file of its own that nobody else may read, and that was not there before. */
static int key_store(const char *path, const char *line, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok;

	if (fd < 0) {
		fprintf(stderr, "Failed to make the key file %s: %s\n", path,
		        errno == EEXIST ? "it exists, and a key is never overwritten" : strerror(errno));
		return errno == EEXIST ? DOG_EXISTS : DOG_FAILED;
	}
	ok = write(fd, line, len) == (ssize_t)len && fsync(fd) == 0;
	if (close(fd) < 0 || !ok) {
		fprintf(stderr, "Failed to write the key file %s: %s\n", path, strerror(errno));
		unlink(path);
		return DOG_FAILED;
	}
	return DOG_OK;
}

static int key_generate(struct dog *dog, int argc, char **argv)
{
	char line[66];
	int err = sf_key_generate(line);

	if (err < 0)
		return dog_fail(err, "make a key");
	line[64] = '\n';
	line[65] = '\0';
	if (argc > 0)
		return key_store(argv[0], line, 65);
	fputs(line, stdout);
	return DOG_OK;
}

static const struct dog_verb verbs[] = {
	{"generate", "[FILE]", "makes a key for a cluster; in FILE, or on standard output", 0, 1, key_generate, {{0}}},
	{0},
};

const struct dog_noun dog_key = {"key", "The key that opens a cluster (sheep --key, dog --key)", verbs};

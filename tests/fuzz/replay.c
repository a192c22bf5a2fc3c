/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a target on the inputs that are kept: every file of the folders or files given, by default
 * tests/fuzz/corpus/TARGET, where the program's name is TARGET_replay. Prints TAP.
 */
#include <dirent.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/base/mem.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 1 << 20 };

/* Mutators refer to it; here nothing is mutated. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
	return size;
}

static unsigned run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data, *exact;
	size_t len;

	if (!f)
		return 0;
	/* Stands there when the target fails. */
	printf("# %s\n", path);
	fflush(stdout);
	data = xmalloc(INPUT_MAX);
	len = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	exact = xmalloc(len + 1);
	memcpy(exact, data, len);
	free(data);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 1;
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static unsigned run_path(const char *path)
{
	struct dirent **names;
	unsigned done = 0;
	char file[4096];
	int n = scandir(path, &names, not_hidden, alphasort);

	if (n < 0)
		return run_file(path);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		done += run_file(file);
		free(names[i]);
	}
	free(names);
	return done;
}

int main(int argc, char **argv)
{
	const char *top = getenv("srcdir"), *name = basename(argv[0]),
		   *end = strstr(name, "_replay");
	unsigned done = 0;
	char path[4096];

	for (int i = 1; i < argc; i++)
		done += run_path(argv[i]);
	if (argc == 1) {
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%.*s", top ? top : ".",
		         end ? (int)(end - name) : 0, name);
		done = run_path(path);
	}
	printf("1..1\n%sok 1 - %u inputs\n", done ? "" : "not ", done);
	return done ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/dog/progress.h"
#include "client/dog/stream.h"
#include "client/dog/vdi.h"

/* arg: what became of it. A full disk here is no full cluster. */
static int output_write(void *arg, const void *data, size_t len)
{
	int *result = arg;

	*result = stream_write(STDOUT_FILENO, data, len);
	return *result;
}

static int output_fail(int err)
{
	fprintf(stderr, "Failed to write to standard output: %s\n", strerror(-err));
	return DOG_SYSTEM;
}

/* Ctrl-C ends the input: what was restored so far is cleared away. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static ssize_t input_read(void *arg, void *data, size_t len)
{
	ssize_t n;

	(void)arg;
	do {
		if (interrupted)
			return -EINTR;
		n = read(STDIN_FILENO, data, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;

	p->total = total;
	progress_update(p, done);
}

int vdi_backup(struct dog *dog, int argc, char **argv)
{
	const char *to = option_get(dog, "snapshot"), *from = option_get(dog, "from");
	struct progress p;
	int code = vdi_name_check(argv[0]), written = 0, err;

	if (!code && !to)
		code = dog_usage("dog vdi backup needs a snapshot: -s TAG");
	if (!code && isatty(STDOUT_FILENO))
		code = dog_usage("dog vdi backup writes to standard output: redirect it to a file or a pipe");
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	progress_begin(&p, 0, false);
	err = sf_backup(dog->cluster, argv[0], to, from, output_write, &written, on_progress, &p);
	progress_end(&p);
	if (written < 0)
		return output_fail(written);
	if (err < 0)
		return vdi_tag_fail(err, "back up", argv[0], to);
	err = stream_sync(STDOUT_FILENO);
	return err < 0 ? output_fail(err) : DOG_OK;
}

int vdi_restore(struct dog *dog, int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	const char *tag = option_get(dog, "snapshot");
	struct progress p;
	int code = vdi_name_check(argv[0]), err;

	if (!code && isatty(STDIN_FILENO))
		code = dog_usage("dog vdi restore reads a backup from standard input");
	if (!code)
		code = dog_connect(dog);
	if (code)
		return code;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	progress_begin(&p, 0, false);
	err = sf_restore(dog->cluster, argv[0], tag, input_read, NULL, on_progress, &p);
	progress_end(&p);
	if (err == -EEXIST)
		return dog_fail(err, "restore VDI %s", argv[0]);
	return err < 0 ? vdi_tag_fail(err, "restore", argv[0], tag) : DOG_OK;
}

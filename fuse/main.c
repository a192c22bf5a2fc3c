/* SPDX-License-Identifier: Apache-2.0 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse/mount.h"

/* The parent returns when the mount can be used, or with what the child said on its way out. */
static int parent_wait(pid_t child, int ready_fd)
{
	char byte;
	ssize_t n;
	int status;

	do
		n = read(ready_fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return EXIT_SUCCESS;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "sheepfs: ended by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* The child keeps the terminal until the mount can be used, for what is wrong. */
static int serve_in_background(const struct options *o, struct fuse_args *fuse)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		fprintf(stderr, "sheepfs: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	child = fork();
	if (child < 0) {
		fprintf(stderr, "sheepfs: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (child > 0) {
		close(fds[1]);
		return parent_wait(child, fds[0]);
	}
	close(fds[0]);
	setsid();
	return mount_serve(o, fuse, fds[1]);
}

/* A standard stream that came closed would be the next file opened, a connection to a daemon. */
static void streams_open(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct fuse_args fuse = FUSE_ARGS_INIT(0, NULL);
	struct options o;
	int code;

	streams_open();
	code = options_parse(&o, argc, argv, &fuse);
	if (code == OPTIONS_GO_ON)
		code = o.foreground ? mount_serve(&o, &fuse, -1) : serve_in_background(&o, &fuse);
	fuse_opt_free_args(&fuse);
	options_fini(&o);
	return code;
}

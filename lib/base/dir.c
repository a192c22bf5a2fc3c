/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int dir_make(const char *path, mode_t mode)
{
	char above[PATH_MAX];

	if (snprintf(above, sizeof(above), "%s/..", path) >= (int)sizeof(above))
		return -ENAMETOOLONG;
	if (mkdir(path, mode) < 0)
		return errno == EEXIST ? 0 : -errno;
	return dir_sync(above);
}

int dir_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

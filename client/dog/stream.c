/* SPDX-License-Identifier: Apache-2.0 */
#include "client/dog/stream.h"

#include <errno.h>
#include <unistd.h>

/* Per read or write: the other side of a pipe gets to work earlier. */
enum { TRANSFER_MAX = 1 << 20 };

int stream_write(int fd, const void *data, uint64_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len < TRANSFER_MAX ? len : TRANSFER_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (uint64_t)n;
	}
	return 0;
}

int64_t stream_read(int fd, void *data, uint64_t len)
{
	uint64_t got = 0;

	while (got < len) {
		uint64_t want = len - got < TRANSFER_MAX ? len - got : TRANSFER_MAX;
		ssize_t n = read(fd, (uint8_t *)data + got, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (uint64_t)n;
	}
	return (int64_t)got;
}

int stream_sync(int fd)
{
	/* What cannot be synced says so. */
	return fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : -errno;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SF_DOG_STREAM_H
#define SF_DOG_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* Bytes to and from files and pipes, whole. Errors: -errno. */

int stream_write(int fd, const void *data, uint64_t len);
/* Fewer than len only at the end of the input. */
int64_t stream_read(int fd, void *data, uint64_t len);
/* What was written to a file is on its disk, or it is told why not; nothing to do for a pipe. */
int stream_sync(int fd);

#endif

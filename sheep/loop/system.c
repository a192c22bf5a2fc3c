/* SPDX-License-Identifier: Apache-2.0 */
#include "sheep/loop/system.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

uint64_t system_random_id(uint64_t fallback)
{
	uint64_t id = 0;

	if (getrandom(&id, sizeof(id), 0) == sizeof(id) && id)
		return id;
	return fallback ? fallback : 1;
}

void system_notify(const char *state, const char *status)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	char text[512];
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = 0; /* an abstract socket: no zero at its end either */
	snprintf(text, sizeof(text), "%s\nSTATUS=%.400s\n", state, status);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* Nobody to tell if that fails: systemd then gives up on the start in its own time. */
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
	              offsetof(struct sockaddr_un, sun_path) + len);
	close(fd);
}

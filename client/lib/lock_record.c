/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/lock_record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/le.h"
#include "lib/base/crc32c.h"
#include "lib/base/err.h"
#include "lib/base/htab.h"

#define LOCK_MAGIC "SFlock01"
enum { CRC_FROM = 12, OFF_HOST = 128, OFF_PURPOSE = 256, OFF_VOLUME = 512 };

static_assert(OFF_HOST + sizeof(((struct lock_record *)0)->host) == OFF_PURPOSE, "fields touch");

void lock_record_encode(const struct lock_record *r, uint8_t bytes[LOCK_RECORD_LEN])
{
	memset(bytes, 0, LOCK_RECORD_LEN);
	memcpy(bytes, LOCK_MAGIC, 8);
	put32(bytes + 12, r->flags);
	put64(bytes + 16, r->holder);
	put64(bytes + 24, r->seq);
	put64(bytes + 32, r->since_s);
	put32(bytes + 40, r->lease_ms);
	put32(bytes + 44, r->pid);
	put64(bytes + 48, r->machine);
	put64(bytes + 56, r->started);
	put64(bytes + 64, r->guest);
	put32(bytes + 72, r->visit);
	memcpy(bytes + OFF_HOST, r->host, strnlen(r->host, sizeof(r->host) - 1));
	memcpy(bytes + OFF_PURPOSE, r->purpose, strnlen(r->purpose, sizeof(r->purpose) - 1));
	memcpy(bytes + OFF_VOLUME, r->volume, strnlen(r->volume, sizeof(r->volume) - 1));
	put32(bytes + 8, crc32c(0, bytes + CRC_FROM, LOCK_RECORD_LEN - CRC_FROM));
}

int lock_record_decode(const uint8_t bytes[LOCK_RECORD_LEN], struct lock_record *ret)
{
	struct lock_record r = {0};

	if (memcmp(bytes, LOCK_MAGIC, 8) != 0)
		return -SF_EFORMAT;
	if (get32(bytes + 8) != crc32c(0, bytes + CRC_FROM, LOCK_RECORD_LEN - CRC_FROM))
		return -SF_ECORRUPT;
	r.flags = get32(bytes + 12);
	r.holder = get64(bytes + 16);
	r.seq = get64(bytes + 24);
	r.since_s = get64(bytes + 32);
	r.lease_ms = get32(bytes + 40);
	r.pid = get32(bytes + 44);
	r.machine = get64(bytes + 48);
	r.started = get64(bytes + 56);
	r.guest = get64(bytes + 64);
	r.visit = get32(bytes + 72);
	memcpy(r.host, bytes + OFF_HOST, sizeof(r.host));
	memcpy(r.purpose, bytes + OFF_PURPOSE, sizeof(r.purpose));
	memcpy(r.volume, bytes + OFF_VOLUME, sizeof(r.volume));
	if (r.host[sizeof(r.host) - 1] || r.purpose[sizeof(r.purpose) - 1] ||
	    r.volume[sizeof(r.volume) - 1] || r.holder == 0)
		return -SF_EFORMAT;
	*ret = r;
	return 0;
}

/* ---- Processes of this machine ---- */

static ssize_t file_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n;
}

/* 0: not known. */
static uint64_t machine_id(void)
{
	char text[256] = "", space[64] = "";
	ssize_t len = file_read("/proc/sys/kernel/random/boot_id", text, 128);

	if (len <= 0 || readlink("/proc/self/ns/pid", space, sizeof(space) - 1) <= 0)
		return 0;
	snprintf(text + len, sizeof(text) - (size_t)len, "%s", space);
	return hash_bytes(text, strlen(text));
}

#define STARTED_UNKNOWN UINT64_MAX

/* When the process started: field 22 of its stat, the 20th behind the name. 0: there is none. What
 * cannot be read may live all the same: /proc can hide the processes of others. */
static uint64_t process_started(uint32_t pid)
{
	char path[64], text[1024], *at;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	if (file_read(path, text, sizeof(text)) <= 0)
		return kill((pid_t)pid, 0) < 0 && errno == ESRCH ? 0 : STARTED_UNKNOWN;
	at = strrchr(text, ')');
	if (!at || strlen(at) < 3)
		return STARTED_UNKNOWN;
	if (at[2] == 'Z' || at[2] == 'X')
		return 0;
	for (int field = 0; at && field < 20; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : STARTED_UNKNOWN;
}

void lock_record_sign(struct lock_record *r)
{
	r->pid = (uint32_t)getpid();
	r->machine = machine_id();
	r->started = process_started(r->pid);
	if (r->started == STARTED_UNKNOWN)
		r->started = 0;
	if (gethostname(r->host, sizeof(r->host) - 1) < 0)
		snprintf(r->host, sizeof(r->host), "?");
}

bool lock_record_is_dead(const struct lock_record *r)
{
	uint64_t started;

	if (r->flags & LOCK_LEFT)
		return true;
	if (!r->machine || !r->started || r->machine != machine_id())
		return false;
	started = process_started(r->pid);
	return started != STARTED_UNKNOWN && started != r->started;
}

/* SPDX-License-Identifier: Apache-2.0 */

/* Start-up and shutdown of the daemon: options, identity, log, going to the background. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/crc32c.h"
#include "lib/base/dir.h"
#include "lib/tls/key.h"
#include "sheep/address.h"
#include "sheep/loop/daemon.h"
#include "sheep/loop/system.h"
#include "sheep/options.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unbuilt"
#endif

enum { PATH_LEN = 4096, TEXT_LEN = DAEMON_TEXT_LEN, PATIENCE_MS = 12000 };

/* ---- The log: one write(2) a line, so that disk threads may log too ---- */

struct log_out {
	enum log_sink sink;
	int fd;
};

static void log_out_write(void *arg, enum log_level level, const char *line)
{
	static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG"};
	static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	const struct log_out *out = arg;
	char text[1024], when[32];
	struct timespec now;
	struct tm tm;

	if (out->sink == LOG_TO_SYSLOG) {
		syslog(priorities[level], "%s", line);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	int n = snprintf(text, sizeof(text), "%s.%03ld %-5s %s\n", when, now.tv_nsec / 1000000,
	                 names[level], line);
	if (n >= (int)sizeof(text)) {
		n = sizeof(text) - 1;
		text[n - 1] = '\n';
	}
	if (write(out->fd, text, n) < 0)
		return; /* nowhere left to say so */
}

static int log_open(const struct options *o, struct log_out *out, char text[TEXT_LEN])
{
	char path[PATH_LEN];

	out->sink = o->log_sink;
	out->fd = STDOUT_FILENO;
	if (o->log_sink == LOG_TO_SYSLOG)
		openlog("sheep", LOG_PID, LOG_DAEMON);
	if (o->log_sink != LOG_TO_FILE)
		return 0;
	snprintf(path, sizeof(path), "%s/sheep.log", o->log_dir ? o->log_dir : o->meta_dir);
	out->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (out->fd < 0) {
		snprintf(text, TEXT_LEN, "cannot write the log %.600s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

/* ---- META_DIR: lock and identity ---- */

static int make_dir(const char *path, char text[TEXT_LEN])
{
	int err = dir_make(path, 0755);

	if (err)
		snprintf(text, TEXT_LEN, "cannot make directory %.600s: %s", path, strerror(-err));
	return err ? -1 : 0;
}

/* Held until the process ends. */
static int meta_lock(const char *meta, char text[TEXT_LEN])
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/lock", meta);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		snprintf(text, TEXT_LEN, "cannot use %.600s: %s", meta, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		snprintf(text, TEXT_LEN, "%.600s is in use by another sheep", meta);
		close(fd);
		return -1;
	}
	return 0;
}

struct node_file {
	char magic[8];
	uint64_t id;
	uint32_t crc;
	uint32_t reserved;
};

static int node_file_write(const char *meta, const char *path, const struct node_file *f)
{
	char temp[PATH_LEN + 8];

	snprintf(temp, sizeof(temp), "%s.tmp", path);
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	bool ok = write(fd, f, sizeof(*f)) == sizeof(*f) && fsync(fd) == 0;
	close(fd);
	return ok && rename(temp, path) == 0 && dir_sync(meta) == 0 ? 0 : -1;
}

/* This node's id: made once, kept in META_DIR/node. */
static int node_id_get(const char *meta, uint64_t *ret, char text[TEXT_LEN])
{
	struct node_file f;
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s/node", meta);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, &f, sizeof(f));
		close(fd);
		if (n == sizeof(f) && !memcmp(f.magic, "SFnode1", 8) &&
		    f.crc == crc32c(0, &f.id, sizeof(f.id)) && f.id) {
			*ret = f.id;
			return 0;
		}
		snprintf(text, TEXT_LEN,
		         "%.600s is damaged; restore it, or start with an empty META_DIR", path);
		return -1;
	}
	memset(&f, 0, sizeof(f));
	memcpy(f.magic, "SFnode1", 8);
	if (errno != ENOENT || getrandom(&f.id, sizeof(f.id), 0) != sizeof(f.id) || !f.id) {
		snprintf(text, TEXT_LEN, "cannot read %.600s: %s", path, strerror(errno));
		return -1;
	}
	f.crc = crc32c(0, &f.id, sizeof(f.id));
	if (node_file_write(meta, path, &f) < 0) {
		snprintf(text, TEXT_LEN, "cannot write %.600s: %s", path, strerror(errno));
		return -1;
	}
	*ret = f.id;
	return 0;
}

/* ---- Going to the background ---- */

/* The parent stays until the child says "ready" (an empty line) or what went wrong; if it is ended
 * before that, so is the child. Returns the pipe's end, -1 on failure. */
static int background(void)
{
	int pipes[2];
	char line[TEXT_LEN];
	size_t got = 0;
	ssize_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		setsid();
		close(pipes[0]);
		return pipes[1];
	}
	close(pipes[1]);
	struct pollfd answer = {.fd = pipes[0], .events = POLLIN};
	if (poll(&answer, 1, PATIENCE_MS) == 0)
		fprintf(stderr, "sheep: still starting; its log says what it waits for\n");
	while (got < sizeof(line) - 1 &&
	       (n = read(pipes[0], line + got, sizeof(line) - 1 - got)) > 0)
		got += n;
	line[got] = 0;
	if (got == 1 && line[0] == '\n')
		_exit(0);
	fprintf(stderr, "sheep: %s\n",
	        got ? line : "the daemon died while it started; see its log");
	_exit(1);
}

static void detach(int ready)
{
	int null = open("/dev/null", O_RDWR);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	prctl(PR_SET_PDEATHSIG, 0);
	if (write(ready, "\n", 1) < 0)
		_exit(1);
	close(ready);
}

static int fail(int ready, const char *text)
{
	if (ready < 0)
		fprintf(stderr, "sheep: %s\n", text);
	else if (write(ready, text, strlen(text)) < 0)
		return 1;
	return 1;
}

static int write_pidfile(const char *path, char text[TEXT_LEN])
{
	FILE *f = fopen(path, "w");

	if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0) {
		snprintf(text, TEXT_LEN, "cannot write the pid file %.600s: %s", path,
		         strerror(errno));
		return -1;
	}
	return 0;
}

/* ---- Key and zone ---- */

static int keys_load(struct options *o, struct keys *ret, char text[TEXT_LEN])
{
	char why[512];

	if (!o->key_file)
		o->key_file = getenv("SHEEPFOLD_KEY_FILE");
	if (!o->key_file || !*o->key_file) {
		o->key_file = NULL;
		return 0;
	}
	if (keys_read(o->key_file, ret, why) == 0)
		return 0;
	snprintf(text, TEXT_LEN, "%s", why);
	return -1;
}

/* Nodes of one address share a fate. */
static uint32_t zone_of(const struct options *o)
{
	struct in_addr v4;
	struct in6_addr v6 = {0};

	if (o->has_zone)
		return o->zone;
	if (inet_pton(AF_INET, o->my_addr, &v4) == 1)
		return ntohl(v4.s_addr);
	inet_pton(AF_INET6, o->my_addr, &v6);
	return crc32c(0, &v6, sizeof(v6));
}

/* ---- */

static void raise_limits(void)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* META alone is also a disk: its store lives in META/store. */
static int choose_disks(struct options *o, char own[PATH_LEN], char text[TEXT_LEN])
{
	if (!o->gateway && !o->disk_count) {
		snprintf(own, PATH_LEN, "%s/store", o->meta_dir);
		o->disk_dirs[o->disk_count++] = own;
	}
	for (uint32_t i = 0; i < o->disk_count; i++)
		/* A disk that is broken is left out later; the only one must be there. */
		if (make_dir(o->disk_dirs[i], text) < 0 && o->disk_count == 1)
			return -1;
	return 0;
}

static void set_log_level(const struct log *log, int level)
{
	__atomic_store_n(&((struct log *)log)->level, (enum log_level)level, __ATOMIC_RELAXED);
}

static int run(struct options *o, int ready)
{
	static char own[PATH_LEN];
	char text[TEXT_LEN] = "";
	struct log_out out;
	struct log log = {.level = o->log_level, .write = log_out_write, .arg = &out};
	struct daemon_options d = {
		.version = PACKAGE_VERSION, .log = &log, .set_log_level = set_log_level};
	struct daemon *daemon;
	struct keys keys = {0};

	if (keys_load(o, &keys, text) < 0 || address_choose(o, text) < 0 || make_dir(o->meta_dir, text) < 0 ||
	    meta_lock(o->meta_dir, text) < 0 || log_open(o, &out, text) < 0 ||
	    node_id_get(o->meta_dir, &d.node_id, text) < 0 || choose_disks(o, own, text) < 0)
		return fail(ready, text);
	d.meta_dir = o->meta_dir;
	d.disk_dirs = o->disk_dirs;
	d.disk_count = o->disk_count;
	d.cluster = o->cluster;
	d.bind_addr = o->bind_addr;
	d.my_addr = o->my_addr;
	d.io_addr = o->io_addr;
	d.io_port = o->io_port ? o->io_port : o->port;
	d.key_file = o->key_file;
	d.keys = keys.count ? &keys : NULL;
	d.port = o->port;
	d.zone = zone_of(o);
	d.weight = o->weight;
	d.gateway = o->gateway;
	d.nosync = o->nosync;
	d.recovery_max = o->recovery_max;
	d.recovery_interval_ms = o->recovery_interval_ms;
	raise_limits();
	if (!keys.count)
		log_info(&log, "no key (--key FILE): listening on loopback only");
	else
		log_info(&log, "key %s: listening on %s; the others are told %s", keys.v[0].id, o->bind_addr,
		         o->my_addr);
	int err = daemon_create(&d, &daemon, text);
	if (err == -ECANCELED && ready < 0)
		return 0; /* it has said so */
	if (err < 0 || (o->pidfile && write_pidfile(o->pidfile, text) < 0))
		return fail(ready, text);
	log_info(&log, "sheep %s: node %016llx on %s port %u, %u disks", PACKAGE_VERSION,
	         (unsigned long long)d.node_id, o->my_addr, o->port, o->disk_count);
	system_notify("READY=1", "serving");
	if (ready >= 0)
		detach(ready);
	int status = daemon_run(daemon);
	daemon_destroy(daemon);
	log_info(&log, "stopped");
	if (o->pidfile)
		unlink(o->pidfile);
	return status;
}

/* A standard stream that came closed would be the next file opened, and detach() would close that. */
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
	struct options o;
	char text[OPTIONS_TEXT_LEN];
	int ready = -1;

	streams_open();
	switch (options_parse(argc, argv, &o, text)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_BAD:
		fprintf(stderr, "sheep: %s\n", text);
		return 64;
	case OPTIONS_RUN:
		break;
	}
	if (!o.foreground) {
		ready = background();
		if (ready < 0)
			return fail(-1, strerror(errno));
	}
	return run(&o, ready);
}

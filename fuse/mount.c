/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/mount.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "fuse/gather.h"
#include "fuse/landing.h"
#include "fuse/leave.h"
#include "fuse/tree.h"

enum {
	WORKERS = 4,
	READ_AHEAD_KIB = 16384, /* the kernel's 128 KiB would be one small request at a time */
	REQUESTS_PER_TURN = 32, /* before what is gathered is looked at again */
};

uint64_t mount_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void mount_log(const struct mount *m, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (m->options->foreground)
		fprintf(stderr, "sheepfs: %s\n", text);
	else
		syslog(LOG_WARNING, "%s: %s", m->options->mountpoint, text);
}

/* ---- Once the kernel has greeted ---- */

struct ready_job {
	struct job job;
	struct mount *mount;
};

/* The bdi is there only now, and to find it the mount must be asked. */
static void read_ahead_raise(const struct mount *m)
{
	char path[64], text[16];
	struct stat st;
	int fd, len;

	if (stat(m->options->mountpoint, &st) < 0)
		return;
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev),
	         minor(st.st_dev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* only root may; reading is slower then */
	len = snprintf(text, sizeof(text), "%d\n", READ_AHEAD_KIB);
	if (write(fd, text, (size_t)len) != len)
		mount_log(m, "cannot raise %s: %s", path, strerror(errno));
	close(fd);
}

static void terminal_leave(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || chdir("/") < 0)
		abort();
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close(null);
}

static void ready_run(struct job *job)
{
	struct ready_job *r = (struct ready_job *)job;
	struct mount *m = r->mount;

	read_ahead_raise(m);
	if (m->ready_fd >= 0) {
		terminal_leave();
		if (write(m->ready_fd, "", 1) != 1)
			mount_log(m, "nobody waits for the mount");
		close(m->ready_fd);
		m->ready_fd = -1;
	}
	free(r);
}

static void mount_ready(struct mount *m)
{
	struct ready_job *r = memory_zeroed(sizeof(*r));

	r->job.run = ready_run;
	r->mount = m;
	workers_post(m->workers, &r->job);
}

void mount_wake(struct mount *m)
{
	uint64_t one = 1;

	if (write(m->wake_fd, &one, sizeof(one)) != sizeof(one))
		mount_log(m, "cannot wake the loop: %s", strerror(errno));
}

/* ---- The loop ---- */

/* True: there was a request. */
static bool request_take(struct mount *m)
{
	if (!landing_take(m))
		return false;
	if (m->greeted && !m->serving && !fuse_session_exited(m->session)) {
		m->serving = true;
		mount_ready(m);
	}
	return true;
}

static void signal_take(struct mount *m, int signal_fd)
{
	struct signalfd_siginfo info;

	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	/* The second one waits for nothing: what was accepted and not synced is lost. */
	if (m->leaving) {
		fuse_session_unmount(m->session);
		_exit(EXIT_FAILURE);
	}
	leave_start(m);
	m->leaving = true;
}

static void loop(struct mount *m, int signal_fd)
{
	struct pollfd fds[] = {
		{.fd = fuse_session_fd(m->session), .events = POLLIN},
		{.fd = signal_fd, .events = POLLIN},
		{.fd = m->wake_fd, .events = POLLIN},
	};
	uint64_t wakes;
	int timeout_ms;

	while (!fuse_session_exited(m->session)) {
		bool more = true;

		for (int i = 0; more && i < REQUESTS_PER_TURN; i++)
			more = request_take(m);
		timeout_ms = more ? 0 : gather_pause(m);
		if (fuse_session_exited(m->session))
			break;
		if (poll(fds, 3, timeout_ms) <= 0)
			continue;
		if (fds[1].revents & POLLIN)
			signal_take(m, signal_fd);
		if (fds[2].revents & POLLIN)
			(void)!read(m->wake_fd, &wakes, sizeof(wakes)); /* it does not block */
	}
}

/* ---- Start and end ---- */

static int mount_connect(struct mount *m)
{
	const struct options *o = m->options;
	struct sf_options options = {
		.address = o->address,
		.port = o->port,
		.timeout_ms = o->io_timeout_s * 1000,
		.key_file = o->key,
	};

	if (sf_connect(&options, &m->cluster) < 0) {
		fprintf(stderr, "sheepfs: %s\n", sf_error());
		return -ENOTCONN;
	}
	return 0;
}

/* libfuse says what is wrong in lines of its own, some of them in pieces: the last is the reason. */
static char fuse_said[512];

static void fuse_log_keep(enum fuse_log_level level, const char *format, va_list ap)
{
	static size_t len; /* of a line that has not ended */
	char *end;

	if (level > FUSE_LOG_ERR)
		return;
	vsnprintf(fuse_said + len, sizeof(fuse_said) - len, format, ap);
	end = strchr(fuse_said, '\n');
	if (end)
		*end = '\0';
	len = end ? 0 : strlen(fuse_said);
}

static const char *fuse_reason(void)
{
	static const char prefix[] = "fuse: ";
	bool prefixed = strncmp(fuse_said, prefix, sizeof(prefix) - 1) == 0;

	return prefixed ? fuse_said + sizeof(prefix) - 1 : fuse_said;
}

static int mount_attach(struct mount *m, struct fuse_args *fuse)
{
	const char *path = m->options->mountpoint;
	int flags;

	fuse_set_log_func(fuse_log_keep);
	fuse_opt_add_arg(fuse, "-o");
	fuse_opt_add_arg(fuse, "default_permissions,fsname=sheepfold,subtype=sheepfs");
	m->session = fuse_session_new(fuse, &tree_ops, sizeof(tree_ops), m);
	if (!m->session) {
		fprintf(stderr, "sheepfs: %s\n", fuse_reason());
		return -EINVAL;
	}
	if (fuse_session_mount(m->session, path) < 0) {
		/* Without a reason, an ordinary user's helper (fusermount3) has said it. */
		if (*fuse_reason())
			fprintf(stderr, "sheepfs: cannot mount on %s: %s\n", path, fuse_reason());
		return -EIO;
	}
	flags = fcntl(fuse_session_fd(m->session), F_GETFL);
	if (flags < 0 || fcntl(fuse_session_fd(m->session), F_SETFL, flags | O_NONBLOCK) < 0)
		abort(); /* of a descriptor that is open this cannot fail */
	return 0;
}

static sigset_t signals_of_the_end(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

static int signals_open(void)
{
	sigset_t set = signals_of_the_end();

	/* Before the first thread starts, so that no other gets them. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void mount_init(struct mount *m, const struct options *options, int ready_fd)
{
	*m = (struct mount){
		.options = options,
		.uid = getuid(),
		.gid = getgid(),
		.mounted_s = time(NULL),
		.last_ino = NODE_COUNT,
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.ready_fd = ready_fd,
	};
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->idle, NULL);
	STAILQ_INIT(&m->throttled);
	TAILQ_INIT(&m->gathers);
	memory_init(&m->reads, REQUEST_MAX);
	memory_init(&m->gathered, GATHER_MAX);
	landing_init(m);
}

/* Everything that was accepted is written; what the kernel still had open is closed. */
static void mount_drain(struct mount *m)
{
	struct volume *v;

	gather_close_all(m);
	pthread_mutex_lock(&m->lock);
	while (m->ops > 0)
		pthread_cond_wait(&m->idle, &m->lock);
	pthread_mutex_unlock(&m->lock);
	workers_destroy(m->workers);
	m->workers = NULL;
	while (!LIST_EMPTY(&m->files))
		file_destroy(m, LIST_FIRST(&m->files));
	for (unsigned i = 0; i < VOLUME_BUCKETS; i++) {
		while ((v = LIST_FIRST(&m->volumes[i]))) {
			v->readers = v->writers = 0;
			volume_settle(v);
			v->lookups = 0;
			v->refs = 1;
			volume_unref(v);
		}
	}
}

static void mount_fini(struct mount *m)
{
	workers_destroy(m->workers);
	if (m->session)
		fuse_session_destroy(m->session);
	sf_disconnect(m->cluster);
	for (size_t i = 0; i < m->exposed_count; i++)
		free(m->exposed[i]);
	free(m->exposed);
	landing_fini(m);
	memory_fini(&m->reads);
	memory_fini(&m->gathered);
	pthread_cond_destroy(&m->idle);
	pthread_mutex_destroy(&m->lock);
	close(m->wake_fd);
	free(m);
}

int mount_serve(const struct options *options, struct fuse_args *fuse, int ready_fd)
{
	struct mount *m = memory_zeroed(sizeof(*m));
	int signal_fd = signals_open(), err;
	sigset_t set;

	mount_init(m, options, ready_fd);
	err = mount_connect(m);
	if (!err && !(m->workers = workers_create(WORKERS)))
		err = -ENOMEM;
	if (!err)
		err = mount_attach(m, fuse);
	if (!err) {
		openlog("sheepfs", LOG_PID, LOG_DAEMON);
		loop(m, signal_fd);
		/* Whoever does not want to wait for the cluster any longer may kill it now. */
		set = signals_of_the_end();
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		mount_drain(m);
		if (m->taken_off)
			terminal_leave(); /* libfuse says that it is not mounted any more */
		fuse_session_unmount(m->session);
		if (!m->serving) {
			fprintf(stderr, "sheepfs: cannot mount on %s: %s\n", options->mountpoint,
			        fuse_reason());
			err = -EIO;
		}
	}
	mount_fini(m);
	close(signal_fd);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
